"""Every setting of the connector, declared once; `Settings` is the typed result.

It reads nothing: `loading` finds the values, `values` checks them, `document` writes the table for people.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal

ConnectorType = Literal["DESKTOP", "SERVER"]
TrayBackend = Literal["auto", "qt", "pystray", "none"]
RuntimeLoop = Literal["qt", "thread"]
LogLevel = Literal["debug", "info", "warning", "error"]


class Kind(StrEnum):
    """What a value must be."""

    TEXT = "text"
    WORD = "word"
    """Visible ASCII without blanks: it travels in an HTTP header."""
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    URL = "url"
    PATH = "path"
    CHOICE = "choice"
    HOST = "host"
    HOSTS = "hosts"
    NAMES = "names"
    """Names of environment variables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One declared setting.

    Attributes:
        name: the attribute of `Settings`, snake case; time and size end in their unit.
        key: the key in `config.json`, camel case.
        kind: what the value must be.
        variables: environment variables; the first is the primary one, later ones count only while it is unset.
        default: the built-in value as a person would write it; None means not set.
        help: one sentence for tables and `--help`.
        older_keys: keys of earlier versions that are still read.
        unit: the unit of a number, for people.
        minimum, maximum: the allowed range of a number, inclusive.
        choices: the allowed words of a choice.
        schemes: the allowed URL schemes.
        secret: the value is never shown.
    """

    name: str
    key: str
    kind: Kind
    variables: tuple[str, ...]
    help: str
    default: str | int | float | bool | None = None
    older_keys: tuple[str, ...] = ()
    unit: str = ""
    minimum: float = 0
    maximum: float = 0
    choices: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()
    secret: bool = False

    @property
    def flag(self) -> str:
        """The command line option of this setting, without the unit: `--tool-timeout`."""
        return "--" + re.sub(r"_(s|mb|kb)$", "", self.name).replace("_", "-")

    @property
    def need(self) -> str:
        """What the value must be, to follow the words `must be`."""
        match self.kind:
            case Kind.INT:
                return f"a whole number from {self.minimum:g} to {self.maximum:.0f}"
            case Kind.FLOAT:
                return f"a number of seconds from {self.minimum:g} to {self.maximum:.0f}"
            case Kind.BOOL:
                return "true or false"
            case Kind.URL:
                return "a URL that begins with " + " or ".join(f"{scheme}://" for scheme in self.schemes)
            case Kind.PATH:
                return "a path"
            case Kind.CHOICE:
                return ", ".join(self.choices[:-1]) + " or " + self.choices[-1]
            case Kind.HOST:
                return "a host name or an address without a port"
            case Kind.HOSTS:
                return "a list of host names or addresses without ports"
            case Kind.NAMES:
                return "a list of names of environment variables"
            case Kind.WORD:
                return "one word of visible ASCII characters"
            case Kind.TEXT:
                return "text without control characters"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The values in force. Paths are absolute; durations are seconds. Secrets do not show in the repr."""

    tool_rpc_url: str
    platform_api_url: str
    desktop_auth_base_url: str | None
    auth_token_path: Path
    deployment_id: str | None
    deployment_secret: str | None = field(repr=False)
    deployment_credentials_path: Path
    api_token: str | None = field(repr=False)
    ca_file: Path | None
    connector_type: ConnectorType
    instance_name: str | None
    implementations_path: Path
    tool_concurrency: int
    tool_queue: int
    tool_timeout_s: float
    tool_memory_mb: int
    tool_max_children: int
    tool_max_result_kb: int
    tool_environment: tuple[str, ...]
    shutdown_grace_s: float
    ledger_days: int
    ledger_max_mb: int
    health_port: int
    health_host: str
    health_allowed_hosts: tuple[str, ...]
    webhook_relay_expose_lan: bool
    disable_tray: bool
    disable_autostart: bool
    tray_backend: TrayBackend
    runtime_loop: RuntimeLoop
    log_level: LogLevel


SETTINGS: tuple[Setting, ...] = (
    Setting(
        name="tool_rpc_url",
        key="toolRpcUrl",
        kind=Kind.URL,
        variables=("TOOL_RPC_URL", "NEXT_PUBLIC_TOOL_RPC_URL"),
        default="ws://localhost:3001",
        schemes=("ws", "wss"),
        help="WebSocket URL of the platform server; all tool traffic goes there.",
    ),
    Setting(
        name="platform_api_url",
        key="platformApiUrl",
        kind=Kind.URL,
        variables=("PLATFORM_API_URL", "NEXT_PUBLIC_PLATFORM_API_URL"),
        default="http://localhost:3000",
        schemes=("http", "https"),
        help="Base URL of the platform's HTTP API: bundles, sign-in, deployments.",
    ),
    Setting(
        name="desktop_auth_base_url",
        key="desktopAuthBaseUrl",
        kind=Kind.URL,
        variables=("DESKTOP_AUTH_BASE_URL",),
        schemes=("http", "https"),
        help="Base URL of sign-in in the browser, where it is not the platform's.",
    ),
    Setting(
        name="auth_token_path",
        key="authTokenPath",
        kind=Kind.PATH,
        variables=("AUTH_TOKEN_PATH",),
        default="./auth-token.json",
        help="File with the saved token.",
    ),
    Setting(
        name="deployment_id",
        key="deploymentId",
        kind=Kind.WORD,
        variables=("DEPLOYMENT_ID",),
        help="Deployment that this connector serves; set it together with the deployment secret.",
    ),
    Setting(
        name="deployment_secret",
        key="deploymentSecret",
        kind=Kind.WORD,
        variables=("DEPLOYMENT_SECRET",),
        secret=True,
        help="Secret of the deployment; set it together with the deployment id.",
    ),
    Setting(
        name="deployment_credentials_path",
        key="deploymentCredentialsPath",
        kind=Kind.PATH,
        variables=("DEPLOYMENT_CREDENTIALS_PATH",),
        default="./deployment-credentials.json",
        help="File with a deployment id and secret, read when the pair is not set directly.",
    ),
    Setting(
        name="api_token",
        key="apiToken",
        kind=Kind.WORD,
        variables=("EC_API_TOKEN",),
        secret=True,
        help="Server token that `call` and `tools list` use instead of the saved token.",
    ),
    Setting(
        name="ca_file",
        key="caFile",
        kind=Kind.PATH,
        variables=("EC_CA_FILE",),
        help="PEM file with certificate authorities that are trusted besides the system's.",
    ),
    Setting(
        name="connector_type",
        key="connectorType",
        kind=Kind.CHOICE,
        variables=("EC_CONNECTOR_TYPE",),
        default="DESKTOP",
        choices=("DESKTOP", "SERVER"),
        help="DESKTOP for a person's machine, SERVER for headless use with deployment credentials.",
    ),
    Setting(
        name="instance_name",
        key="instanceName",
        kind=Kind.TEXT,
        variables=("EC_NAME",),
        help="Name under which the platform shows this connector; the host name when not set.",
    ),
    Setting(
        name="implementations_path",
        key="implementationsPath",
        kind=Kind.PATH,
        variables=("CUSTOM_IMPLEMENTATIONS_PATH",),
        older_keys=("customImplementationsPath",),
        default="./custom-implementations",
        help="Directory with local tools, used while no bundle is assigned.",
    ),
    Setting(
        name="tool_concurrency",
        key="toolConcurrency",
        kind=Kind.INT,
        variables=("EC_TOOL_CONCURRENCY",),
        default=8,
        minimum=1,
        maximum=256,
        unit="calls",
        help="Calls that run at the same time.",
    ),
    Setting(
        name="tool_queue",
        key="toolQueue",
        kind=Kind.INT,
        variables=("EC_TOOL_QUEUE",),
        default=256,
        minimum=0,
        maximum=10_000,
        unit="calls",
        help="Calls that may wait for a free slot; further ones are refused as busy.",
    ),
    Setting(
        name="tool_timeout_s",
        key="toolTimeoutS",
        kind=Kind.FLOAT,
        variables=("EC_TOOL_TIMEOUT_S",),
        default=60,
        minimum=0.1,
        maximum=86_400,
        unit="seconds",
        help="Time a call may take when neither the caller nor the tool says otherwise.",
    ),
    Setting(
        name="tool_memory_mb",
        key="toolMemoryMb",
        kind=Kind.INT,
        variables=("EC_TOOL_MEMORY_MB",),
        default=1024,
        minimum=64,
        maximum=1_048_576,
        unit="MiB",
        help="Memory that one tool worker process may use.",
    ),
    Setting(
        name="tool_max_children",
        key="toolMaxChildren",
        kind=Kind.INT,
        variables=("EC_TOOL_MAX_CHILDREN",),
        default=32,
        minimum=0,
        maximum=4096,
        unit="processes",
        help="Child processes that the tools of one worker may have at the same time.",
    ),
    Setting(
        name="tool_max_result_kb",
        key="toolMaxResultKb",
        kind=Kind.INT,
        variables=("EC_TOOL_MAX_RESULT_KB",),
        default=8192,
        minimum=1,
        maximum=8192,
        unit="KiB",
        help="Size of the largest result that a tool may return; platforms have a limit of their own.",
    ),
    Setting(
        name="tool_environment",
        key="toolEnvironment",
        kind=Kind.NAMES,
        variables=("EC_TOOL_ENVIRONMENT",),
        default="",
        help="Environment variables that tools may see besides the harmless ones such as PATH and LANG.",
    ),
    Setting(
        name="shutdown_grace_s",
        key="shutdownGraceS",
        kind=Kind.FLOAT,
        variables=("EC_SHUTDOWN_GRACE_S",),
        default=30,
        minimum=0,
        maximum=3600,
        unit="seconds",
        help="Time that running calls get to finish when the connector stops.",
    ),
    Setting(
        name="ledger_days",
        key="ledgerDays",
        kind=Kind.INT,
        variables=("EC_LEDGER_DAYS",),
        default=30,
        minimum=1,
        maximum=3650,
        unit="days",
        help="How long the record of a call is kept.",
    ),
    Setting(
        name="ledger_max_mb",
        key="ledgerMaxMb",
        kind=Kind.INT,
        variables=("EC_LEDGER_MAX_MB",),
        default=100,
        minimum=1,
        maximum=1_048_576,
        unit="MiB",
        help="Size that the record of calls may have; the oldest are cut off beyond it.",
    ),
    Setting(
        name="health_port",
        key="healthPort",
        kind=Kind.INT,
        variables=("HEALTH_PORT",),
        default=8080,
        minimum=0,
        maximum=65_535,
        help="Port of the health server; 0 takes any free port.",
    ),
    Setting(
        name="health_host",
        key="healthHost",
        kind=Kind.HOST,
        variables=("HEALTH_HOST",),
        default="127.0.0.1",
        help="Address the health server listens on; 0.0.0.0 opens it to the network.",
    ),
    Setting(
        name="health_allowed_hosts",
        key="healthAllowedHosts",
        kind=Kind.HOSTS,
        variables=("HEALTH_ALLOWED_HOSTS",),
        default="",
        help="Host names under which the health server may be asked, besides localhost and plain addresses.",
    ),
    Setting(
        name="webhook_relay_expose_lan",
        key="webhookRelayExposeLan",
        kind=Kind.BOOL,
        variables=("NARA_LOCAL_HOSTING_WEBHOOK_RELAY_EXPOSE_LAN",),
        default=True,
        help="Whether devices on the local network may reach the webhook relay; false keeps it on this machine.",
    ),
    Setting(
        name="disable_tray",
        key="disableTray",
        kind=Kind.BOOL,
        variables=("EC_DISABLE_TRAY",),
        default=False,
        help="Whether to do without the system tray, e.g. in containers.",
    ),
    Setting(
        name="disable_autostart",
        key="disableAutostart",
        kind=Kind.BOOL,
        variables=("EC_DISABLE_AUTOSTART",),
        default=False,
        help="Whether to refuse registration with the operating system's autostart, e.g. in containers.",
    ),
    Setting(
        name="tray_backend",
        key="trayBackend",
        kind=Kind.CHOICE,
        variables=("EC_TRAY_BACKEND",),
        default="auto",
        choices=("auto", "qt", "pystray", "none"),
        help="What shows the tray icon of the desktop; auto takes Qt, else pystray where that can work.",
    ),
    Setting(
        name="runtime_loop",
        key="runtimeLoop",
        kind=Kind.CHOICE,
        variables=("EC_RUNTIME_LOOP",),
        default="qt",
        choices=("qt", "thread"),
        help="Where the desktop runs the connector: on Qt's event loop, or on one of its own in a thread.",
    ),
    Setting(
        name="log_level",
        key="logLevel",
        kind=Kind.CHOICE,
        variables=("EC_LOG_LEVEL",),
        default="info",
        choices=("debug", "info", "warning", "error"),
        help="Least important level that is written to the log.",
    ),
)

BY_NAME: dict[str, Setting] = {setting.name: setting for setting in SETTINGS}
BY_KEY: dict[str, Setting] = {key: setting for setting in SETTINGS for key in (setting.key, *setting.older_keys)}
"""Older keys included."""


def nearest_key(word: str) -> str:
    """The key that `word` most likely means, also when it is a variable or differs in case; empty when none is near."""
    spelled: dict[str, str] = {}
    for setting in SETTINGS:
        for name in (setting.key, setting.name, setting.flag, *setting.older_keys, *setting.variables):
            spelled[_folded(name)] = setting.key
    close = difflib.get_close_matches(_folded(word[:100]), spelled, n=1, cutoff=0.7)
    return spelled[close[0]] if close else ""


def _folded(word: str) -> str:
    return re.sub(r"[-_\s]", "", word).lower()
