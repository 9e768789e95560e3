"""Which credentials this connector uses: the deployment pair, the kept deployment, or the saved token, in this order.

It talks to nobody but the keyring: whether the platform takes them is known after the handshake. No repr and no message
shows a secret. What reads or writes may block for the five seconds that the keyring is given.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge_connector.auth.claims import LEEWAY_S, TokenInfo, check_token, save_hint
from edge_connector.auth.renewal import renew_at
from edge_connector.auth.vault import IN_KEYRING, Kept, Kind, Vault
from edge_connector.config.json_file import describe_type
from edge_connector.config.loading import OriginKind
from edge_connector.config.settings import BY_NAME
from edge_connector.config.values import parse_json
from edge_connector.core.clock import to_iso
from edge_connector.core.errors import EdgeError, NeedsLogin, UserError
from edge_connector.core.log import hide

if TYPE_CHECKING:
    from pathlib import Path

    from edge_connector.config.loading import LoadedConfig

_PAIR_SHAPE = 'Its content is {"deploymentId": "...", "deploymentSecret": "..."}.'
_TOKEN_SHAPE = 'Its content is {"token": "..."}.'


class SignInEnded(NeedsLogin):
    """The platform renews this sign-in no more: a person has to sign in again."""

    def __init__(self, detail: str) -> None:
        """`detail`: the platform's words."""
        super().__init__(
            "sign_in_ended",
            f"Token validation failed: the platform ended this sign-in ({detail.rstrip('.')}).",
            hint="Run `edge-connector auth --browser`.",
        )


@dataclass(frozen=True, slots=True)
class DeploymentCredentials:
    """A deployment's id and secret.

    Attributes:
        source: where they come from, for people: `environment DEPLOYMENT_ID`, `config.json`, the file's path or
            `keyring`.
        warnings: what is wrong with the place but stops nothing.
        registered_for: id of the person whose sign-in registered it; empty for one that was given.
        is_kept: whether it is in the place that this program writes.
    """

    deployment_id: str
    deployment_secret: str = field(repr=False)
    source: str
    warnings: tuple[EdgeError, ...] = ()
    registered_for: str = ""
    is_kept: bool = False

    @property
    def authorization_header(self) -> str:
        """The value of the `Authorization` header of the handshake."""
        return f"Deployment {self.deployment_id}:{self.deployment_secret}"


@dataclass(frozen=True, slots=True)
class TokenCredentials:
    """A person's token, checked but not verified. Attributes as of `DeploymentCredentials`.

    Attributes:
        refresh_token: what a new token is got with; empty when only the person can bring a new one.
        renewal_refused: the platform's words when it ended this sign-in for good; empty when it did not.
    """

    token: str = field(repr=False)
    info: TokenInfo
    source: str
    warnings: tuple[EdgeError, ...] = ()
    refresh_token: str = field(default="", repr=False)
    renewal_refused: str = ""

    def is_renewal_due(self, *, now: float) -> bool:
        """Whether it should be exchanged for a new one by now (wall-clock seconds), and can be."""
        moment = renew_at(self.info)
        return bool(self.refresh_token) and moment is not None and now >= moment

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


def find_credentials(
    config: LoadedConfig, *, now: float, vault: Vault | None = None
) -> DeploymentCredentials | TokenCredentials:
    """The credentials for the platform: the pair in the settings, else the kept deployment, else the saved token.

    Args:
        now: wall-clock seconds.

    Raises:
        NeedsLogin: there are none (`no_credentials`), or the token is no longer usable.
        KeyringLocked: they lie in the keyring, which is locked.
        UserError: a file is there but cannot be used.
    """
    vault = vault or Vault(config)
    found = find_deployment(config, vault=vault) or find_token(config, now=now, vault=vault)
    if found is not None:
        return found
    settings = config.settings
    raise NeedsLogin(
        "no_credentials",
        f"No authentication token found: neither {settings.deployment_credentials_path} nor "
        f"{settings.auth_token_path} exists, and DEPLOYMENT_ID and DEPLOYMENT_SECRET are not set.",
        hint="Run `edge-connector auth --browser`, or set DEPLOYMENT_ID and DEPLOYMENT_SECRET.",
    )


def find_api_access(config: LoadedConfig, *, now: float, vault: Vault | None = None) -> ApiToken | TokenCredentials:
    """What a person's requests to the HTTP API carry: the API token in the settings, else the saved token.

    Raises:
        NeedsLogin, KeyringLocked, UserError: as of `find_credentials`.
    """
    if config.settings.api_token is not None:
        return ApiToken(config.settings.api_token, str(config.origins["api_token"]))
    found = find_token(config, now=now, vault=vault)
    if found is not None:
        return found
    raise NeedsLogin(
        "no_credentials",
        f"No authentication token found: EC_API_TOKEN is not set and {config.settings.auth_token_path} does not exist.",
        hint="Run `edge-connector auth --browser`, or set EC_API_TOKEN to a server token.",
    )


def find_deployment(config: LoadedConfig, *, vault: Vault | None = None) -> DeploymentCredentials | None:
    """The deployment pair of the settings, else the kept one; None when there is neither.

    One that was kept here is newer than the pair that a download came with.

    Raises:
        KeyringLocked: it lies in the keyring, which is locked.
        UserError: the file is there but cannot be used.
    """
    settings, origin = config.settings, config.origins["deployment_id"]
    given = None
    if settings.deployment_id is not None and settings.deployment_secret is not None:
        given = DeploymentCredentials(settings.deployment_id, settings.deployment_secret, str(origin))
    if given is not None and origin.kind is not OriginKind.PROVISIONING:
        return given
    kept = (vault or Vault(config)).read(Kind.DEPLOYMENT, hint=_PAIR_SHAPE)
    if kept is None:
        return given
    name = _field(kept, "deployment_id", config.directory)
    secret = _field(kept, "deployment_secret", config.directory)
    registered_for = kept.values.get("registeredFor", "")
    return DeploymentCredentials(
        name,
        secret,
        kept.place,
        kept.warnings,
        registered_for=registered_for if isinstance(registered_for, str) else "",
        is_kept=True,
    )


def find_token(
    config: LoadedConfig, *, now: float, vault: Vault | None = None, also_expired: bool = False
) -> TokenCredentials | None:
    """The saved token, checked; None when there is none.

    Args:
        also_expired: take one whose time is over as well: it may be exchanged for a new one.

    Raises:
        NeedsLogin: the token is not usable.
        KeyringLocked: it lies in the keyring, which is locked.
        UserError: the file is there but cannot be used.
    """
    vault = vault or Vault(config)
    kept = vault.read(Kind.TOKEN, hint=_TOKEN_SHAPE)
    if kept is None:
        return None
    where = _where(kept)
    token = kept.values.get("token")
    if not isinstance(token, str):
        problem = f"is {describe_type(token)}, but must be text" if "token" in kept.values else "is missing"
        raise NeedsLogin(
            "token_invalid", f"Token validation failed: the token field of {where} {problem}.", hint=save_hint(where)
        )
    token = token.strip()
    refresh_token, refused = kept.values.get("refreshToken"), kept.values.get("renewalRefused")
    refresh_token = refresh_token.strip() if isinstance(refresh_token, str) else ""
    hide(token)
    hide(refresh_token)
    info = check_token(token, now=now, save_to=where, leeway_s=float("inf") if also_expired else LEEWAY_S)
    return TokenCredentials(
        token,
        info,
        kept.place,
        kept.warnings,
        refresh_token=refresh_token,
        renewal_refused=refused if isinstance(refused, str) else "",
    )


def find_renewable_token(config: LoadedConfig, *, now: float, vault: Vault | None = None) -> TokenCredentials | None:
    """As `find_token`; one whose time is over is taken when it can be exchanged for a new one."""
    found = find_token(config, now=now, vault=vault, also_expired=True)
    if found is None or found.refresh_token:
        return found
    return find_token(config, now=now, vault=vault)


def save_token(
    config: LoadedConfig,
    token: str,
    *,
    now: float,
    refresh_token: str = "",
    vault: Vault | None = None,
    is_fresh: bool = False,
) -> TokenCredentials:
    """Check `token` and keep it for later starts. A token that fails is not saved.

    Raises:
        NeedsLogin: the token is not usable.
        KeyringLocked: it belongs in the keyring, which is locked.
        UserError: the file cannot be written.
    """
    vault = vault or Vault(config)
    info = check_token(token, now=now, save_to=str(vault.path(Kind.TOKEN)), is_fresh=is_fresh)
    document = {"token": token}
    if refresh_token:
        document["refreshToken"] = refresh_token
    if info.expires_at is not None:
        document["expiresAt"] = to_iso(info.expires_at)
    place = vault.write(Kind.TOKEN, document)
    return TokenCredentials(token, info, place, refresh_token=refresh_token)


def save_deployment(
    config: LoadedConfig,
    *,
    deployment_id: str,
    deployment_secret: str,
    registered_for: str = "",
    vault: Vault | None = None,
    to_file: bool = False,
) -> str:
    """Keep a deployment pair for later starts, and return the place: a file's path or `keyring`.

    Args:
        registered_for: id of the person whose sign-in registered it, if it was made that way.
        to_file: it was asked for in the installation directory.

    Raises:
        KeyringLocked: it belongs in the keyring, which is locked.
        UserError: not a pair that can be sent, or the file cannot be written.
    """
    pair = {"deploymentId": deployment_id, "deploymentSecret": deployment_secret}
    for name in ("deployment_id", "deployment_secret"):
        setting = BY_NAME[name]
        parse_json(setting, pair[setting.key], place=setting.key, directory=config.directory)
    if registered_for:
        pair["registeredFor"] = registered_for
    return (vault or Vault(config)).write(Kind.DEPLOYMENT, pair, to_file=to_file)


def _where(kept: Kept) -> str:
    return "the keyring" if kept.place == IN_KEYRING else kept.place


def _field(kept: Kept, name: str, directory: Path) -> str:
    setting, where = BY_NAME[name], _where(kept)
    if setting.key not in kept.values:
        raise UserError("credentials_incomplete", f"{where} has no {setting.key}.", hint=_PAIR_SHAPE)
    value = parse_json(setting, kept.values[setting.key], place=f"{setting.key} in {where}", directory=directory)
    return str(value)
