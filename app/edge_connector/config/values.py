"""From what a person wrote to the value of one setting, or to the one sentence that says what is wrong with it.

Pure: no file and no variable is read here. Secrets never appear in a sentence.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from edge_connector.config.json_file import describe_type
from edge_connector.config.settings import Kind, Setting
from edge_connector.core.errors import UserError

MAX_TEXT = 4096
"""Characters; the longest path that Linux takes."""

_SHOWN = 60
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_HOST = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.(?!-)[A-Za-z0-9_-]{1,63})*\.?")
_TWINS = {"http": "ws", "https": "wss", "ws": "http", "wss": "https"}


def parse_text(setting: Setting, text: str, *, place: str, directory: Path) -> object:
    """The value that `text`, from a variable or the command line, stands for.

    Args:
        place: how the sentence of an error names the place, e.g. `HEALTH_PORT`.
        directory: the installation directory that relative paths belong to.

    Raises:
        UserError: the text is no such value.
    """
    if setting.kind is not Kind.PATH:
        text = text.strip()
    raw: object = text
    match setting.kind:
        case Kind.INT if re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            raw = int(text)
        case Kind.FLOAT if re.fullmatch(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?", text):
            raw = float(text)
        case Kind.BOOL if text.lower() in _TRUE:
            raw = True
        case Kind.BOOL if text.lower() in _FALSE:
            raw = False
    return parse_json(setting, raw, place=place, directory=directory)


def parse_json(setting: Setting, raw: object, *, place: str, directory: Path) -> object:
    """The value that `raw`, from `config.json`, stands for. Arguments and errors as of `parse_text`."""
    match setting.kind:
        case Kind.INT if isinstance(raw, int) and not isinstance(raw, bool):
            return _in_range(setting, raw, place)
        case Kind.FLOAT if isinstance(raw, int | float) and not isinstance(raw, bool):
            return float(_in_range(setting, raw, place))
        case Kind.BOOL if isinstance(raw, bool):
            return raw
        case Kind.HOSTS | Kind.NAMES:
            return _list(setting, raw, place)
        case Kind.INT | Kind.FLOAT | Kind.BOOL:
            raise wrong_type(setting, raw, place)
    if not isinstance(raw, str):
        raise wrong_type(setting, raw, place)
    return _from_string(setting, raw, place, directory)


def default_of(setting: Setting, *, directory: Path) -> object:
    """The built-in value in the type that `Settings` holds; relative paths belong to `directory`."""
    if setting.default is None:
        return None
    if setting.default == "" and setting.kind in (Kind.HOSTS, Kind.NAMES):
        return ()
    return parse_json(setting, setting.default, place=f"the default of {setting.key}", directory=directory)


def wrong_type(setting: Setting, raw: object, place: str) -> UserError:
    """The error for a value of another type than the setting needs."""
    return UserError(
        "setting_wrong_type",
        f"{place} must be {setting.need}, but is {_shown(setting, raw)}.",
        hint=_example(setting, place),
    )


def _in_range(setting: Setting, number: int | float, place: str) -> int | float:
    if setting.minimum <= number <= setting.maximum:
        return number
    raise UserError(
        "setting_out_of_range",
        f"{place} must be {setting.need}, but is {_shown(setting, number)}.",
        hint=_example(setting, place),
    )


def _from_string(setting: Setting, raw: str, place: str, directory: Path) -> object:
    text = raw if setting.kind is Kind.PATH else raw.strip()
    if not text:
        raise UserError("setting_empty", f"{place} is empty.", hint=_example(setting, place))
    _check_characters(setting, text, place)
    match setting.kind:
        case Kind.CHOICE:
            for choice in setting.choices:
                if text.lower() == choice.lower():
                    return choice
            raise UserError(
                "setting_not_a_choice",
                f"{place} must be {setting.need}, but is {_shown(setting, text)}.",
                hint=_example(setting, place),
            )
        case Kind.URL:
            return _url(setting, text, place)
        case Kind.PATH:
            return _path(setting, text, place, directory)
        case Kind.HOST:
            return _host(setting, text, place)
        case Kind.WORD:
            # The pair is sent as `Deployment <id>:<secret>`, so the first colon ends the id.
            if not re.fullmatch(r"[\x21-\x7e]+", text) or (setting.name == "deployment_id" and ":" in text):
                without = " without a colon" if setting.name == "deployment_id" else ""
                raise UserError(
                    "setting_wrong_text",
                    f"{place} must be {setting.need}{without}, but is {_shown(setting, text)}.",
                    hint="Copy the value again from where it was shown.",
                )
    return text


def _check_characters(setting: Setting, text: str, place: str) -> None:
    try:
        # A path from the environment may hold bytes that are no UTF-8; the operating system takes them back.
        os.fsencode(text) if setting.kind is Kind.PATH else text.encode()
    except UnicodeEncodeError:
        problem = "holds characters that cannot be encoded"
    else:
        if len(text) > MAX_TEXT:
            problem = f"is longer than {MAX_TEXT} characters"
        elif re.search(r"[\x00-\x1f\x7f]", text):
            problem = "holds a line break or another control character"
        else:
            return
    raise UserError("setting_wrong_text", f"{place} {problem}.", hint=_example(setting, place))


def _path(setting: Setting, text: str, place: str, directory: Path) -> Path:
    try:
        return directory / Path(text).expanduser()
    except RuntimeError as error:  # `~name` of an unknown user
        raise UserError(
            "setting_wrong_path",
            f"{place} begins with ~, but that home directory is not known.",
            hint="Write the whole path.",
        ) from error


def _list(setting: Setting, raw: object, place: str) -> tuple[str, ...]:
    items = [item for item in raw.split(",") if item.strip()] if isinstance(raw, str) else raw
    if not isinstance(items, list):
        raise wrong_type(setting, raw, place)
    words: dict[str, None] = {}
    for item in items:
        if not isinstance(item, str):
            raise UserError(
                "setting_wrong_type",
                f"{place} must be {setting.need}, but holds {_shown(setting, item)}.",
                hint=_example(setting, place),
            )
        _check_characters(setting, item.strip(), place)
        words[_host(setting, item.strip(), place) if setting.kind is Kind.HOSTS else _name(setting, item, place)] = None
    return tuple(words)


def _name(setting: Setting, item: str, place: str) -> str:
    name = item.strip()
    # Not stricter: Windows knows names such as ProgramFiles(x86).
    if re.fullmatch(r"[^\s=,]+", name):
        return name
    raise UserError(
        "setting_wrong_type",
        f"{place} must be {setting.need}, but holds {_shown(setting, item)}.",
        hint=_example(setting, place),
    )


def _host(setting: Setting, text: str, place: str) -> str:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if _is_address(bare) or (bare == text and len(text) <= 253 and _HOST.fullmatch(text)):
        return bare
    raise UserError(
        "setting_wrong_host",
        f"{place} must be {setting.need}, but is {_shown(setting, text)}.",
        hint=_example(setting, place),
    )


def _url(setting: Setting, text: str, place: str) -> str:
    parts = _split(setting, text, place)
    if "@" in parts.netloc:
        raise UserError(
            "url_with_credentials",
            f"{place} must not hold a user name or a password.",
            hint="Remove the part before @; credentials have settings of their own.",
        )
    if parts.scheme not in setting.schemes:
        fixed = _with_right_scheme(setting, text, parts)
        raise UserError(
            "url_wrong_scheme",
            f"{place} must be {setting.need}, but is {_shown(setting, text)}.",
            hint=f"Use {fixed}." if fixed else _example(setting, place),
        )
    _check_authority(setting, parts, text, place)
    # RFC 6455 section 3: no fragment in a ws URL. A base URL is continued with a path, so it can hold no query either.
    if "#" in text or ("?" in text and "http" in setting.schemes):
        raise UserError(
            "url_malformed",
            f"{place} must end with its path, but goes on with ? or #.",
            hint=_example(setting, place),
        )
    return text.rstrip("/") if "http" in setting.schemes else text


def _split(setting: Setting, text: str, place: str) -> SplitResult:
    try:
        if re.search(r"\s", text):
            raise ValueError("blanks")
        return urlsplit(text)
    except ValueError as error:
        raise UserError("url_malformed", f"{place} is not a URL.", hint=_example(setting, place)) from error


def _check_authority(setting: Setting, parts: SplitResult, text: str, place: str) -> None:
    host = parts.hostname or ""
    if not host:
        raise UserError(
            "url_without_host", f"{place} names no host: {_shown(setting, text)}.", hint=_example(setting, place)
        )
    if not _is_address(host) and not (len(_ascii(host)) <= 253 and _HOST.fullmatch(_ascii(host))):
        raise UserError(
            "url_wrong_host",
            f"{place} names a host that cannot exist: {_shown(setting, text)}.",
            hint=_example(setting, place),
        )
    try:
        port_is_wrong = parts.port == 0 or parts.netloc.endswith(":")
    except ValueError:
        port_is_wrong = True
    if port_is_wrong:
        raise UserError(
            "url_wrong_port",
            f"{place} must name a port from 1 to 65535 or none, but is {_shown(setting, text)}.",
            hint=_example(setting, place),
        )


def _ascii(host: str) -> str:
    try:
        return host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _with_right_scheme(setting: Setting, text: str, parts: SplitResult) -> str:
    """The URL the person most likely meant; empty when that is anyone's guess."""
    rest = text.partition("://")[2] if "://" in text else text
    scheme = parts.scheme if "://" in text else ""
    right = _TWINS.get(scheme, setting.schemes[0]) if scheme in ("", *_TWINS) else ""
    if not right or not re.match(r"[\w\[]", rest) or len(text) > _SHOWN or "?" in text:
        return ""
    return f"{right}://{rest}"


def _shown(setting: Setting, raw: object) -> str:
    """The value as a sentence may show it."""
    if setting.secret or not isinstance(raw, str | int | float):
        return describe_type(raw)
    if isinstance(raw, bool):
        return describe_type(raw)
    if isinstance(raw, str) and setting.kind is Kind.URL:
        raw = raw.partition("?")[0]  # a query may carry a token
    shown = json.dumps(raw, ensure_ascii=isinstance(raw, str) and not raw.isprintable())
    return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "..."


def _example(setting: Setting, place: str) -> str:
    default = setting.default
    if setting.kind is Kind.URL:
        default = default or f"{setting.schemes[0]}://platform.example"
    if default in (None, "") or setting.secret:
        return f"Correct {place}, or remove it."
    return f"The default is {json.dumps(default) if isinstance(default, bool) else default}."
