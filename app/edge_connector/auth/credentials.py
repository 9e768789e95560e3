"""Which credentials this connector uses: the deployment pair, the credentials file, or the saved token, in this order.

It talks to nobody: whether the platform takes them is known after the handshake. No repr and no message shows a secret.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge_connector.auth.claims import TokenInfo, check_token, save_hint
from edge_connector.config.json_file import JsonObject, describe_type, read_json_object
from edge_connector.config.settings import BY_NAME
from edge_connector.config.values import parse_json
from edge_connector.core.errors import EdgeError, NeedsLogin, UserError
from edge_connector.core.files import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from edge_connector.config.loading import LoadedConfig

_PAIR_SHAPE = 'Its content is {"deploymentId": "...", "deploymentSecret": "..."}.'
_TOKEN_SHAPE = 'Its content is {"token": "..."}.'


@dataclass(frozen=True, slots=True)
class DeploymentCredentials:
    """A deployment's id and secret.

    Attributes:
        source: where they come from, for people: `environment DEPLOYMENT_ID`, `config.json` or the file's path.
        warnings: what is wrong with the place but stops nothing.
    """

    deployment_id: str
    deployment_secret: str = field(repr=False)
    source: str
    warnings: tuple[EdgeError, ...] = ()

    @property
    def authorization_header(self) -> str:
        """The value of the `Authorization` header of the handshake."""
        return f"Deployment {self.deployment_id}:{self.deployment_secret}"


@dataclass(frozen=True, slots=True)
class TokenCredentials:
    """A person's token, checked but not verified. Attributes as of `DeploymentCredentials`."""

    token: str = field(repr=False)
    info: TokenInfo
    source: str
    warnings: tuple[EdgeError, ...] = ()

    @property
    def authorization_header(self) -> str:
        """The value of the `Authorization` header of the handshake and of HTTP requests."""
        return f"Bearer {self.token}"


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A server token of the HTTP API: opaque here."""

    token: str = field(repr=False)
    source: str
    warnings: tuple[EdgeError, ...] = ()

    @property
    def authorization_header(self) -> str:
        """The value of the `Authorization` header of HTTP requests."""
        return f"Bearer {self.token}"


def find_credentials(config: LoadedConfig, *, now: float) -> DeploymentCredentials | TokenCredentials:
    """The credentials for the platform: the pair in the settings, else the credentials file, else the saved token.

    Args:
        now: wall-clock seconds.

    Raises:
        NeedsLogin: there are none (`no_credentials`), or the token is no longer usable.
        UserError: a file is there but cannot be used.
    """
    found = find_deployment(config) or find_token(config, now=now)
    if found is not None:
        return found
    settings = config.settings
    raise NeedsLogin(
        "no_credentials",
        f"No authentication token found: neither {settings.deployment_credentials_path} nor "
        f"{settings.auth_token_path} exists, and DEPLOYMENT_ID and DEPLOYMENT_SECRET are not set.",
        hint=f"Set DEPLOYMENT_ID and DEPLOYMENT_SECRET. Or: {save_hint(str(settings.auth_token_path))}",
    )


def find_api_access(config: LoadedConfig, *, now: float) -> ApiToken | TokenCredentials:
    """What a person's requests to the HTTP API carry: the API token in the settings, else the saved token.

    Raises:
        NeedsLogin, UserError: as of `find_credentials`.
    """
    if config.settings.api_token is not None:
        return ApiToken(config.settings.api_token, str(config.origins["api_token"]))
    found = find_token(config, now=now)
    if found is not None:
        return found
    path = config.settings.auth_token_path
    raise NeedsLogin(
        "no_credentials",
        f"No authentication token found: EC_API_TOKEN is not set and {path} does not exist.",
        hint=f"Set EC_API_TOKEN to a server token. Or: {save_hint(str(path))}",
    )


def find_deployment(config: LoadedConfig) -> DeploymentCredentials | None:
    """The deployment pair of the settings, else of the credentials file; None when there is neither.

    Raises:
        UserError: the file is there but cannot be used.
    """
    settings = config.settings
    if settings.deployment_id is not None and settings.deployment_secret is not None:
        return DeploymentCredentials(
            settings.deployment_id, settings.deployment_secret, str(config.origins["deployment_id"])
        )
    path = settings.deployment_credentials_path
    file = read_json_object(path, prefix="credentials", hint=_PAIR_SHAPE)
    if file is None:
        return None
    name = _field(file, path, "deployment_id", config.directory)
    secret = _field(file, path, "deployment_secret", config.directory)
    return DeploymentCredentials(name, secret, str(path), _privacy(file, path))


def find_token(config: LoadedConfig, *, now: float) -> TokenCredentials | None:
    """The saved token, checked; None when the file does not exist.

    Raises:
        NeedsLogin: the token is not usable.
        UserError: the file is there but cannot be used.
    """
    path = config.settings.auth_token_path
    file = read_json_object(path, prefix="token_file", hint=_TOKEN_SHAPE)
    if file is None:
        return None
    token = file.values.get("token")
    if not isinstance(token, str):
        problem = f"is {describe_type(token)}, but must be text" if "token" in file.values else "is missing"
        raise NeedsLogin(
            "token_invalid",
            f"Token validation failed: the token field of {path} {problem}.",
            hint=save_hint(str(path)),
        )
    token = token.strip()
    info = check_token(token, now=now, save_to=str(path))
    return TokenCredentials(token, info, str(path), _privacy(file, path))


def save_token(config: LoadedConfig, token: str, *, now: float) -> TokenInfo:
    """Check `token` and keep it for later starts, in a file for this user alone. A token that fails is not saved.

    Raises:
        NeedsLogin: the token is not usable.
        UserError: the file cannot be written.
    """
    path = config.settings.auth_token_path
    info = check_token(token, now=now, save_to=str(path))
    _write_private(path, {"token": token})
    return info


def save_deployment(config: LoadedConfig, *, deployment_id: str, deployment_secret: str) -> Path:
    """Keep a deployment pair for later starts, in a file for this user alone, and return its path.

    Raises:
        UserError: not a pair that can be sent, or the file cannot be written.
    """
    path = config.settings.deployment_credentials_path
    pair = {"deploymentId": deployment_id, "deploymentSecret": deployment_secret}
    for name in ("deployment_id", "deployment_secret"):
        setting = BY_NAME[name]
        parse_json(setting, pair[setting.key], place=setting.key, directory=config.directory)
    _write_private(path, pair)
    return path


def _write_private(path: Path, document: dict[str, str]) -> None:
    write_atomically(path, json.dumps(document, indent=2).encode() + b"\n", mode=0o600)


def _field(file: JsonObject, path: Path, name: str, directory: Path) -> str:
    setting = BY_NAME[name]
    if setting.key not in file.values:
        raise UserError("credentials_incomplete", f"{path} has no {setting.key}.", hint=_PAIR_SHAPE)
    value = parse_json(setting, file.values[setting.key], place=f"{setting.key} in {path}", directory=directory)
    return str(value)


def _privacy(file: JsonObject, path: Path) -> tuple[EdgeError, ...]:
    if not file.is_open_to_others:
        return ()
    return (
        UserError(
            "secret_readable_by_others",
            f"{path} may be read by other users (mode {file.mode:04o}).",
            hint=f"Run: chmod 600 {path}",
        ),
    )
