"""The messages of Tool RPC v1 as typed structs; docs/tool-rpc.md describes each for a peer written in another language.

On the wire a message is a JSON object whose `type` names it and whose other fields are in camel case. Fields with a
default may be absent; unknown fields are ignored. Arguments, results and schemas are raw JSON that no hop parses unless
it has to.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

SUBPROTOCOL = "nara.tool-rpc.v1"
"""Name in `Sec-WebSocket-Protocol` (RFC 6455, section 1.9)."""

VERSION = 1
HEARTBEAT_S = 30.0
"""Documented: shows liveness and keeps proxies from closing an idle socket."""
SILENCE_S = 75.0
"""A peer that sent nothing for two and a half heartbeats is gone."""
HELLO_TIMEOUT_S = 10.0
"""From the open socket to hello, and from hello to welcome."""
REGISTER_TIMEOUT_S = 30.0
"""From welcome to register, and from register to registered."""
MAX_FRAME_BYTES = 16 * 1024 * 1024
MAX_RESULT_BYTES = 8 * 1024 * 1024
FEATURE_PROBE = "probe"
"""In the features of a welcome: this platform answers `probe`."""
FEATURE_PARTS = "parts"
"""In the features of a hello or welcome: this end takes results as `result.part`."""
FEATURE_REFERENCES = "references"
"""In the features of a welcome: this platform takes results over HTTP and `result.reference` for them."""
ACCEPT_AFTER_S = 0.05
"""A call that is not over by then is announced with `accepted`."""

Integer = Annotated[int, Meta(ge=-(2**53) + 1, le=2**53 - 1)]
"""An integer that every JSON peer holds exactly (RFC 8259, section 6); larger ones could not be encoded again."""
Period = Annotated[float, Meta(ge=0.05)]
"""Seconds between two repetitions; the floor keeps a bad peer from making the other end spin."""


class Role(StrEnum):
    """Who dials: a connector that runs tools, or a caller that uses them."""

    CONNECTOR = "connector"
    CALLER = "caller"


class Outcome(StrEnum):
    """How a call that gave no result ended."""

    REFUSED = "refused"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class Message(msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag_field="type", omit_defaults=True):
    """Base of all messages."""


class Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of the objects inside messages."""


# ---- handshake


class Agent(Part, frozen=True, kw_only=True):
    """The program behind a peer."""

    name: str
    version: str
    host: str = ""


class Hello(Message, frozen=True, kw_only=True, tag="hello"):
    """First frame of whoever dials. Credentials are not here: they travel in the upgrade's `Authorization` header."""

    versions: list[Integer]
    role: Role = Role.CONNECTOR
    instance_id: str = ""
    """Random id kept in the installation directory; empty for callers."""
    agent: Agent | None = None
    take_over: bool = False
    """Ask the platform to close another installation's live session of this deployment."""
    features: list[str] = []


class Limits(Part, frozen=True, kw_only=True):
    """What the platform accepts on this session."""

    max_frame_bytes: Integer = MAX_FRAME_BYTES
    max_result_bytes: Integer = MAX_RESULT_BYTES


class Welcome(Message, frozen=True, kw_only=True, tag="welcome"):
    """The platform accepts the session and sets its terms."""

    version: Integer
    session_id: str
    organization_id: str
    organization: str = ""
    deployment_id: str = ""
    deployment: str = ""
    connector_id: str = ""
    heartbeat_s: Period = HEARTBEAT_S
    silence_s: Period = SILENCE_S
    limits: Limits = Limits()
    agent: Agent | None = None
    features: list[str] = []


# ---- registration and status


class ToolSpec(Part, frozen=True, kw_only=True):
    """One tool that a connector offers."""

    name: str
    title: str = ""
    description: str = ""
    parameters: Raw = Raw(b'{"type":"object"}')
    """JSON Schema (draft 2020-12) of the arguments object."""
    result: Raw = Raw(b"{}")
    """JSON Schema of the result."""
    risk: str = "read"
    """`read`, `write`, `execute`, `network` or `spend`."""
    repeat: str = "once"
    """`read`, `repeatable` or `once`: may a call be sent again when its outcome is unknown."""
    timeout_ms: Integer = 0
    """How long a call may take when the caller does not say; 0 leaves it to the platform."""
    source: str = "builtin"
    """`builtin`, `local` or `bundle`."""


class BundleInfo(Part, frozen=True, kw_only=True):
    """The bundle whose tools are served."""

    bundle_id: str = ""
    name: str = ""
    version: Integer = 0
    checksum: str = ""


class RuntimeInfo(Part, frozen=True, kw_only=True):
    """Facts about the connector's machine and process."""

    version: str = ""
    host: str = ""
    platform: str = ""
    python: str = ""
    pid: Integer = 0


class Register(Message, frozen=True, kw_only=True, tag="register"):
    """All tools of this connector; replaces what the session registered before. `revision` grows with each."""

    revision: Integer
    tools: list[ToolSpec]
    runtime: RuntimeInfo = RuntimeInfo()
    bundle: BundleInfo | None = None


class RejectedTool(Part, frozen=True, kw_only=True):
    """A tool that the platform did not take, and why."""

    name: str
    reason: str


class Registered(Message, frozen=True, kw_only=True, tag="registered"):
    """Answer to `register` with the same revision."""

    revision: Integer
    accepted: Integer
    rejected: list[RejectedTool] = []


class Load(Part, frozen=True, kw_only=True):
    """How busy the connector is."""

    running: Integer = 0
    queued: Integer = 0
    slots: Integer = 0


class ProblemInfo(Part, frozen=True, kw_only=True):
    """Something that is wrong on the connector, in words."""

    code: str
    sentence: str = ""
    severity: str = "warning"
    since: float = 0.0
    """Unix seconds."""


class Status(Message, frozen=True, kw_only=True, tag="status"):
    """Sent on each change and with each heartbeat."""

    state: str
    problems: list[ProblemInfo] = []
    bundle: BundleInfo | None = None
    proof_age_ms: Integer = -1
    """Milliseconds since the last proof; -1 when there is none yet."""
    load: Load = Load()


class Heartbeat(Message, frozen=True, kw_only=True, tag="heartbeat"):
    """Both ends send one each period; the peer answers at once with `heartbeat.ack`."""

    seq: Integer


class HeartbeatAck(Message, frozen=True, kw_only=True, tag="heartbeat.ack"):
    """Answer to `heartbeat`; gives its sender the round trip."""

    seq: Integer


class Probe(Message, frozen=True, kw_only=True, tag="probe"):
    """A connector asks for proof: the platform answers with an ordinary call of `echo` with the same `probe`."""

    probe: str


class Drain(Message, frozen=True, kw_only=True, tag="drain"):
    """The platform is about to close: finish, then dial again within the window (milliseconds from the close)."""

    reconnect_min_ms: Integer
    reconnect_max_ms: Integer
    reason: str = ""


class Goodbye(Message, frozen=True, kw_only=True, tag="goodbye"):
    """A connector takes no more calls from now on, and says why: `stopping`, `asleep`, `paused` or `restarting`."""

    reason: str


# ---- calls


class CallContext(Part, frozen=True, kw_only=True):
    """On whose behalf a call is made."""

    user: str = ""
    organization: str = ""
    deployment: str = ""
    agent: str = ""


class Call(Message, frozen=True, kw_only=True, tag="call"):
    """Run a tool. Sent by the platform to a connector, and by a caller to the platform."""

    id: str
    tool: str
    arguments: Raw = Raw(b"{}")
    remaining_ms: Integer = 0
    """Time left, as a duration and never a clock time; 0 leaves it to the receiver's default."""
    context: CallContext = CallContext()
    attempt: Integer = 1
    probe: str = ""
    """Set on a call that answers a `probe`."""
    deployment: str = ""
    """From a caller only: id or name of the deployment that shall run it; empty lets the platform choose."""


class Accepted(Message, frozen=True, kw_only=True, tag="accepted"):
    """The call is queued or running. Left out when its outcome follows at once."""

    id: str


class Progress(Message, frozen=True, kw_only=True, tag="progress"):
    """How far a running call is."""

    id: str
    fraction: float = -1.0
    """0.0 to 1.0; -1 when unknown."""
    message: str = ""


class Result(Message, frozen=True, kw_only=True, tag="result"):
    """The call succeeded."""

    id: str
    result: Raw
    duration_ms: float = 0.0


class ResultPart(Message, frozen=True, kw_only=True, tag="result.part"):
    """A piece of a large result. All pieces of a call in order make the JSON of a `result`."""

    id: str
    offset: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    """Bytes of UTF-8 in the pieces before."""
    total: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    """Bytes of UTF-8 in all pieces."""
    data: str
    duration_ms: float = 0.0
    """With the first piece only."""


class ResultReference(Message, frozen=True, kw_only=True, tag="result.reference"):
    """The call succeeded, and its result was brought over HTTP before."""

    id: str
    sha256: str
    duration_ms: float = 0.0


class CallError(Part, frozen=True, kw_only=True):
    """Why a call gave no result."""

    code: str
    message: str
    hint: str = ""
    detail: Raw = Raw(b"null")
    """The structured error of a tool that returned or raised one; `null` else (Raw or None cannot be told apart)."""


class Failure(Message, frozen=True, kw_only=True, tag="failure"):
    """The call gave no result."""

    id: str
    outcome: Outcome
    error: CallError
    duration_ms: float = 0.0
    attempt: Integer = 0
    """Which attempt of the call ended so; 0: the newest that was sent."""


class Cancel(Message, frozen=True, kw_only=True, tag="cancel"):
    """Stop a call; its outcome is still reported."""

    id: str
    reason: str = ""


class Receipt(Message, frozen=True, kw_only=True, tag="receipt"):
    """The outcomes of these calls arrived and are kept; the sender may forget them."""

    ids: list[str]


# ---- bundles and webhooks


class BundleAnnounce(Message, frozen=True, kw_only=True, tag="bundle.announce"):
    """A newer bundle or another assignment is in force for this deployment: sync now."""

    bundle_id: str
    version: Integer
    checksum: str
    name: str = ""


class Webhook(Message, frozen=True, kw_only=True, tag="webhook"):
    """A webhook as it was received, byte for byte."""

    id: str
    source: str
    received_at: float
    """Unix seconds."""
    method: str
    target: str
    """Request target exactly as received: path and query, still encoded."""
    headers: list[tuple[str, str]]
    """In order, with case and duplicates; bytes above 127 as ISO 8859-1."""
    body: bytes
    """Base64 (RFC 4648) on the wire."""
    attributes: dict[str, Any] = {}


class WebhookReceipt(Message, frozen=True, kw_only=True, tag="webhook.receipt"):
    """The platform keeps the delivery, or says why it never will."""

    id: str
    accepted: bool
    reason: str = ""


FromConnector = (
    Hello
    | Register
    | Status
    | Heartbeat
    | HeartbeatAck
    | Probe
    | Goodbye
    | Accepted
    | Progress
    | Result
    | ResultPart
    | ResultReference
    | Failure
    | Webhook
)
"""What a platform receives from a connector."""

FromCaller = Hello | Heartbeat | HeartbeatAck | Call | Cancel | Receipt
"""What a platform receives from a caller."""

ToConnector = (
    Welcome | Registered | Heartbeat | HeartbeatAck | Drain | Call | Cancel | Receipt | BundleAnnounce | WebhookReceipt
)
"""What a connector receives."""

ToCaller = Welcome | Heartbeat | HeartbeatAck | Drain | Accepted | Progress | Result | ResultPart | Failure
"""What a caller receives."""
