"""Bodies of the platform's HTTP operations as typed structs; on the wire their fields are in camel case.

Nothing here knows a path or a method: operations.py joins bodies and paths. Stamps are RFC 3339 in UTC, durations
milliseconds.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"\S")]
Email = Annotated[str, Meta(min_length=3, max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")]
ClientType = Literal["DESKTOP", "SERVER"]
RuntimeKind = Literal["edge-device", "cloud-managed"]

MAX_TIMEOUT_MS = 24 * 60 * 60 * 1000


class Request(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of what a client sends: an unknown field is an error, because a misspelt option must not be ignored."""


class Reply(msgspec.Struct, kw_only=True, rename="camel"):
    """Base of what the platform answers: a client ignores fields it does not know."""


class ErrorBody(Reply):
    """What is wrong and what to do next."""

    code: str
    message: str
    hint: str = ""


class ErrorReply(Reply):
    """Body of every answer with a status of 400 and above."""

    error: ErrorBody


class Empty(Reply):
    """Nothing to say beyond the status."""


# ---- set-up and identity


class SetupRequest(Request):
    """Makes the first organization, its admin and one server token; works once, with the code of the first start."""

    code: str
    organization: Name
    name: Name
    email: Email
    password: Annotated[str, Meta(max_length=200)] = ""
    """At least 10 characters; without one the admin cannot sign in to pages."""


class SetupReply(Reply):
    """Shown once: the tokens are kept as hashes only."""

    organization_id: str
    organization: str
    user_id: str
    server_token: str
    session_token: str


class Jwk(Reply):
    """A public key (RFC 8037)."""

    kty: str
    crv: str
    x: str
    kid: str
    use: str = "sig"
    alg: str = "EdDSA"


class Jwks(Reply):
    """The keys that sign session tokens (RFC 7517)."""

    keys: list[Jwk]


class Whoami(Reply):
    """Who the credentials stand for."""

    kind: Literal["server_token", "user", "deployment"]
    name: str
    organization_id: str
    organization: str
    user_id: str = ""
    email: str = ""
    deployment_id: str = ""
    scopes: list[str] = []


class SessionTokenRequest(Request):
    """Asks for a JWT."""

    expires_in_s: Annotated[int, Meta(ge=60, le=90 * 24 * 3600)] = 30 * 24 * 3600


class SessionTokenReply(Reply):
    """A JWT for the user behind the credentials."""

    token: str
    expires_at: str


class ServerTokenRequest(Request):
    """Names a new server token."""

    name: Name


class ServerToken(Reply):
    """A server token as it is listed."""

    id: str
    name: str
    created_at: str
    last_used_at: str | None = None


class NewServerToken(Reply):
    """A new server token; `token` is shown this once."""

    id: str
    name: str
    token: str
    created_at: str


class ServerTokenList(Reply):
    """All server tokens of the organization."""

    tokens: list[ServerToken]


# ---- deployments


class DeploymentRequest(Request):
    """Describes a new deployment."""

    name: Name
    description: Annotated[str, Meta(max_length=1000)] = ""
    type: ClientType = "SERVER"


class Problem(Reply):
    """Something that is wrong on a connector, in its words."""

    code: str
    sentence: str = ""
    severity: str = "warning"
    since: float = 0.0


class ConnectorLoad(Reply):
    """How busy a connector says it is."""

    running: int = 0
    queued: int = 0
    slots: int = 0


class BundleRef(Reply):
    """The bundle that a connector serves."""

    bundle_id: str = ""
    name: str = ""
    version: int = 0
    checksum: str = ""


class Connector(Reply):
    """A connector of a deployment with what it last said."""

    id: str
    online: bool
    state: str
    """The connector's own word while it is online, else `offline`, `asleep`, `stopping`, `paused` or `restarting`."""
    host: str = ""
    version: str = ""
    platform: str = ""
    connected_at: str | None = None
    last_seen_at: str | None = None
    offline_reason: str = ""
    problems: list[Problem] = []
    proof_age_ms: int = -1
    load: ConnectorLoad = msgspec.field(default_factory=ConnectorLoad)
    round_trip_ms: float | None = None
    open_calls: int = 0
    tool_count: int = 0
    bundle: BundleRef | None = None


class Deployment(Reply):
    """A named runtime target."""

    id: str
    name: str
    description: str
    type: ClientType
    runtime_kind: RuntimeKind
    status: Literal["Active", "Inactive"]
    last_seen_at: str | None
    created_at: str
    active_connectors: int
    connectors: list[Connector]
    old_secret_until: str | None = None
    """While two secrets are good after a rotation."""


class DeploymentList(Reply):
    """All deployments of the organization, by name."""

    deployments: list[Deployment]


class NewDeployment(Reply):
    """A new deployment, or one with a new secret; `secret` is shown this once."""

    id: str
    name: str
    secret: str


# ---- tools and calls


class Tool(Reply):
    """A tool that at least one connected connector offers."""

    name: str
    title: str
    description: str
    parameters: Raw
    result: Raw
    risk: str
    repeat: str
    source: str
    timeout_ms: int
    deployments: list[str]
    """Ids of the deployments that offer it."""


class ToolList(Reply):
    """Tools by name."""

    tools: list[Tool]


class ToolQuery(Request):
    """Which tools."""

    deployment: str = ""
    """Id or name; empty for all."""


def _no_arguments() -> Raw:
    # A factory, because a default of type Raw has no JSON Schema.
    return Raw(b"{}")


class CallRequest(Request):
    """Runs a tool. With `wait` the answer carries its outcome, else only the call's id (status 202)."""

    tool: Annotated[str, Meta(min_length=1, max_length=200)]
    arguments: Raw = msgspec.field(default_factory=_no_arguments)
    """A JSON object; it reaches the tool byte for byte."""
    deployment: Annotated[str, Meta(max_length=200)] = ""
    """Id or name. Empty: the least busy connected deployment that offers the tool; equal ones in order of their ids."""
    timeout_ms: Annotated[int, Meta(ge=0, le=MAX_TIMEOUT_MS)] = 0
    """0: the tool's own limit, else 60 s."""
    wait: bool = True
    agent: Annotated[str, Meta(max_length=200)] = ""
    user: Annotated[str, Meta(max_length=200)] = ""


class CallFailure(Reply):
    """Why a call gave no result; `detail` is the structured error object of the tool, if it gave one."""

    code: str
    message: str
    hint: str = ""
    detail: Raw | UnsetType = UNSET


CallOutcome = Literal["succeeded", "refused", "failed", "timed_out", "cancelled", "interrupted"]


class Call(Reply, omit_defaults=True):
    """A call: open while `outcome` is null.

    A tool that fails is an outcome, not a failed request: the status is 200 then too. The result is kept for calls with
    `wait=false` or an `Idempotency-Key`, for a day; other calls give it in their one answer.
    """

    id: str
    tool: str
    state: Literal["received", "accepted", "finished"]
    outcome: CallOutcome | None
    deployment: str
    attempts: int
    """How often it was sent to the connector: more than once only for tools that may be repeated."""
    duration_ms: float | None
    result: Raw | UnsetType = UNSET
    error: CallFailure | None = None
    progress: float | None = None
    progress_message: str = ""
    started_at: str | None = None
    agent: str = ""
    user: str = ""
    late_outcome: str | None = None
    """An outcome that came after the call had ended; it changes nothing."""


class CallList(Reply):
    """Calls, the newest first."""

    calls: list[Call]


class CallQuery(Request):
    """Which calls."""

    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    before: str = ""
    """Id of a call: only older ones."""
    tool: str = ""
    outcome: str = ""
    deployment: str = ""


class UploadQuery(Request):
    """What the body of an uploaded result is."""

    sha256: str
    """64 hexadecimal digits in lower case."""


class StoredResult(Reply):
    """A result that waits for its reference."""

    size: int
    sha256: str


class Health(Reply):
    """The process answers."""

    status: Literal["ok"] = "ok"


OpenApiDocument = dict[str, Any]
