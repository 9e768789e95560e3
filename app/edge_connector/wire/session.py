"""The states of a Tool RPC session, without sockets or clocks: frames and `now` in, messages and frames out.

    session = ConnectorSession(hello, now=0.0)
    for frame in session.frames_to_send(): ...     # hello
    messages = session.receive(frame, now=0.1)     # [Welcome(...)]
    session.send(Register(...))

`now` is in seconds on a monotonic clock. Nothing here dispatches calls: that belongs to the two users of the session.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Final

from edge_connector.wire import messages as m
from edge_connector.wire.close_codes import CloseCode
from edge_connector.wire.codec import (
    FrameDecoder,
    ProtocolError,
    encode_frames,
    from_caller,
    from_connector,
    to_caller,
    to_connector,
)
from edge_connector.wire.parts import PART_ABOVE, IncomingParts, OutgoingParts, limited

_Kinds = frozenset[type[m.Message]]

_HELLO: Final[_Kinds] = frozenset({m.Hello})
_WELCOME: Final[_Kinds] = frozenset({m.Welcome})
_LIVENESS: Final[_Kinds] = frozenset({m.Heartbeat, m.HeartbeatAck})
_CONNECTOR_BEFORE_REGISTER: Final[_Kinds] = _LIVENESS | {m.Register, m.Status, m.Goodbye}
_CONNECTOR_OPEN: Final[_Kinds] = _CONNECTOR_BEFORE_REGISTER | {
    m.Probe, m.Accepted, m.Progress, m.Result, m.ResultPart, m.ResultReference, m.Failure, m.Webhook,
}  # fmt: skip
_CALLER_OPEN: Final[_Kinds] = _LIVENESS | {m.Call, m.Cancel, m.Receipt}
_TO_CONNECTOR_WELCOMED: Final[_Kinds] = _LIVENESS | {m.Registered, m.Drain, m.BundleAnnounce}
_TO_CONNECTOR_OPEN: Final[_Kinds] = _TO_CONNECTOR_WELCOMED | {m.Call, m.Cancel, m.Receipt, m.WebhookReceipt}
_TO_CALLER_OPEN: Final[_Kinds] = _LIVENESS | {m.Drain, m.Accepted, m.Progress, m.Result, m.ResultPart, m.Failure}
_WATCHED: Final[_Kinds] = _LIVENESS | {m.Hello, m.Welcome, m.Register, m.Registered, m.ResultPart, m.Receipt}
"""What the session itself has to do with."""
_OUTCOMES: Final[_Kinds] = frozenset({m.Result, m.ResultReference, m.Failure})


class Phase(StrEnum):
    """Where a session is. `closed` is final."""

    HELLO = "hello"
    """Waiting for hello (platform) or for welcome (dialling side)."""
    WELCOMED = "welcomed"
    """A connector is known but has not registered its tools."""
    OPEN = "open"
    CLOSED = "closed"


class Session:
    """What both ends share: phase, liveness in both directions, and an outbox that becomes few frames."""

    def __init__(self, decoder: FrameDecoder[m.Message], allowed: frozenset[type[m.Message]], *, now: float) -> None:
        self.phase = Phase.HELLO
        self.heartbeat_s = m.HEARTBEAT_S
        self.silence_s = m.SILENCE_S
        self.max_frame_bytes = m.MAX_FRAME_BYTES
        self.round_trip_s: float | None = None
        self.parts = OutgoingParts()
        """Large results that wait for `next_part`."""
        self.max_result_bytes = m.MAX_RESULT_BYTES
        self._incoming = IncomingParts(m.MAX_RESULT_BYTES)
        self.splits = False
        """Whether the peer puts parts together."""
        self._decoder = decoder
        self._allowed = allowed
        self._outbox: list[m.Message] = []
        self._last_received = now
        self._phase_deadline: float | None = now + m.HELLO_TIMEOUT_S
        self._next_heartbeat = now + self.heartbeat_s
        self._heartbeat_seq = 0
        self._heartbeat_sent_at: float | None = None
        """None while no acknowledgement is due."""

    # ---- in

    def receive(self, frame: bytes | str, *, now: float) -> list[m.Message]:
        """The messages that `frame` brings to the user of the session; heartbeats are answered here.

        A session that is closed takes nothing in: frames that were under way when it closed are dropped.

        Raises:
            ProtocolError: close the session with its code; the phase is `closed` from then on.
        """
        if self.phase is Phase.CLOSED:
            return []
        self._last_received = now
        try:
            size = _size(frame)
            if size > self.max_frame_bytes:
                raise ProtocolError(CloseCode.TOO_LARGE, f"frame of {size} bytes, limit {self.max_frame_bytes}")
            messages = self._take_in(self._decoder.decode(frame), now)
            if size > self.max_result_bytes:
                # A result with too many bytes ends its call, not the session.
                messages = [limited(message, self.max_result_bytes) for message in messages]
            return messages
        except ProtocolError:
            self.phase = Phase.CLOSED
            raise

    def _take_in(self, messages: list[m.Message], now: float) -> list[m.Message]:
        delivered: list[m.Message] = []
        for message in messages:
            kind = type(message)
            if kind not in self._allowed:
                tag = kind.__struct_config__.tag
                raise ProtocolError(
                    CloseCode.OUT_OF_ORDER, f"{tag} is not allowed while the session is in {self.phase}"
                )
            if kind not in _WATCHED:
                # All that comes with calls, and therefore often.
                if self._incoming.open and kind in _OUTCOMES:
                    self._incoming.drop(message.id)  # type: ignore[attr-defined]
                delivered.append(message)
            elif kind is m.Heartbeat:
                self._outbox.append(m.HeartbeatAck(seq=message.seq))  # type: ignore[attr-defined]
            elif kind is m.HeartbeatAck:
                if message.seq == self._heartbeat_seq and self._heartbeat_sent_at is not None:  # type: ignore[attr-defined]
                    self.round_trip_s = now - self._heartbeat_sent_at
                    self._heartbeat_sent_at = None
            elif kind is m.ResultPart:
                outcome = self._incoming.take(message)  # type: ignore[arg-type]
                if outcome is not None:
                    delivered.append(outcome)
            else:
                if kind is not m.Receipt:
                    self._advance(message, now)
                elif self.parts.bytes:
                    for call_id in message.ids:  # type: ignore[attr-defined]
                        self.parts.drop(call_id)
                delivered.append(message)
        return delivered

    def _advance(self, message: m.Message, now: float) -> None:
        raise NotImplementedError

    # ---- out

    def send(self, message: m.Message) -> None:
        """Queue `message` for the next `frames_to_send`, a large result for `next_part`; dropped once closed."""
        if self.phase is Phase.CLOSED:
            return
        if self.splits:
            if type(message) is m.Result and len(memoryview(message.result)) > PART_ABOVE:
                self.parts.add(message)
                return
            if self.parts.bytes and type(message) in _OUTCOMES:
                self.parts.drop(message.id)  # type: ignore[attr-defined]
        self._outbox.append(message)

    @property
    def has_output(self) -> bool:
        """Whether `frames_to_send` would return anything."""
        return bool(self._outbox)

    @property
    def queued(self) -> int:
        """How many messages wait for `frames_to_send`."""
        return len(self._outbox)

    def frames_to_send(self) -> list[bytes]:
        """All queued messages as frames; send each as one WebSocket text message, in order."""
        if not self._outbox:
            return []
        queued, self._outbox = self._outbox, []
        return encode_frames(queued)

    @property
    def has_parts(self) -> bool:
        """Whether `next_part` would return anything."""
        return self.parts.bytes > 0

    def next_part(self) -> bytes | None:
        """A frame with the next part of a large result; send it once everything before has left, and then ask again."""
        part = self.parts.next()
        return None if part is None else encode_frames([part])[0]

    # ---- time

    def next_wakeup(self) -> float:
        """The moment at which `tick` has something to do; infinity once the session is closed."""
        if self.phase is Phase.CLOSED:
            return math.inf
        moments = [self._last_received + self.silence_s]
        if self.phase is Phase.OPEN or self.phase is Phase.WELCOMED:
            moments.append(self._next_heartbeat)
        if self._phase_deadline is not None:
            moments.append(self._phase_deadline)
        return min(moments)

    def tick(self, *, now: float) -> bool:
        """Queue a heartbeat when one is due; True when it was, so that a status can go with it.

        Raises:
            ProtocolError: the peer was silent for too long, or did not finish the handshake in time.
        """
        if self.phase is Phase.CLOSED:
            return False
        if self._phase_deadline is not None and now >= self._phase_deadline:
            self.phase, waited_for = Phase.CLOSED, self.phase
            raise ProtocolError(CloseCode.SILENT, f"no answer in time while the session was in {waited_for}")
        if now - self._last_received >= self.silence_s:
            self.phase = Phase.CLOSED
            raise ProtocolError(CloseCode.SILENT, f"nothing received for {self.silence_s:.0f} s")
        if self.phase is Phase.HELLO or now < self._next_heartbeat:
            return False
        self._heartbeat_seq += 1
        self._heartbeat_sent_at = now
        self._next_heartbeat = now + self.heartbeat_s
        self._outbox.append(m.Heartbeat(seq=self._heartbeat_seq))
        return True

    def close(self) -> None:
        """No message is expected or sent from now on."""
        self.phase = Phase.CLOSED
        self._outbox.clear()
        self.parts.clear()
        self._incoming.clear()

    def _enter(self, phase: Phase, allowed: frozenset[type[m.Message]], *, now: float, within_s: float | None) -> None:
        self.phase = phase
        self._allowed = allowed
        self._phase_deadline = None if within_s is None else now + within_s

    def _set_terms(self, welcome: m.Welcome, now: float) -> None:
        self.max_result_bytes = self._incoming.max_result_bytes = welcome.limits.max_result_bytes
        self.heartbeat_s = welcome.heartbeat_s
        self.silence_s = welcome.silence_s
        self._next_heartbeat = now + welcome.heartbeat_s


def _size(frame: bytes | str) -> int:
    """Bytes of `frame` on the wire; ASCII text, the usual case, is not encoded to count them."""
    if isinstance(frame, bytes) or frame.isascii():
        return len(frame)
    return len(frame.encode(errors="surrogatepass"))


def _check_version(welcome: m.Welcome) -> None:
    if welcome.version != m.VERSION:
        raise ProtocolError(CloseCode.VERSION_UNSUPPORTED, f"peer chose version {welcome.version}, offered {m.VERSION}")


class ConnectorSession(Session):
    """The connector's end."""

    def __init__(self, hello: m.Hello, *, now: float) -> None:
        super().__init__(to_connector, _WELCOME, now=now)
        self.welcome: m.Welcome | None = None
        self._revision = 0
        self.send(hello)

    def register(
        self, tools: list[m.ToolSpec], *, runtime: m.RuntimeInfo, bundle: m.BundleInfo | None, now: float
    ) -> int:
        """Queue the registration of all tools; returns its revision. Calls arrive after the first was answered."""
        self._revision += 1
        self.send(m.Register(revision=self._revision, tools=tools, runtime=runtime, bundle=bundle))
        if self.phase is Phase.WELCOMED:
            self._phase_deadline = now + m.REGISTER_TIMEOUT_S
        return self._revision

    def _advance(self, message: m.Message, now: float) -> None:
        if isinstance(message, m.Welcome):
            _check_version(message)
            self.welcome = message
            self.splits = m.FEATURE_PARTS in message.features
            self._set_terms(message, now)
            self._enter(Phase.WELCOMED, _TO_CONNECTOR_WELCOMED, now=now, within_s=m.REGISTER_TIMEOUT_S)
        elif isinstance(message, m.Registered):
            if not 0 < message.revision <= self._revision:
                raise ProtocolError(
                    CloseCode.OUT_OF_ORDER, f"registered names revision {message.revision}, sent were {self._revision}"
                )
            self._enter(Phase.OPEN, _TO_CONNECTOR_OPEN, now=now, within_s=None)


class CallerSession(Session):
    """The end of a program that calls tools over a WebSocket instead of HTTP."""

    def __init__(self, hello: m.Hello, *, now: float) -> None:
        super().__init__(to_caller, _WELCOME, now=now)
        self.welcome: m.Welcome | None = None
        self.send(hello)

    def _advance(self, message: m.Message, now: float) -> None:
        if isinstance(message, m.Welcome):
            _check_version(message)
            self.welcome = message
            self._set_terms(message, now)
            self._enter(Phase.OPEN, _TO_CALLER_OPEN, now=now, within_s=None)


class PlatformSession(Session):
    """The platform's end, for connectors and callers.

    After `Hello` was delivered the user answers with `accept` or closes the socket with a close code; each `Register`
    is answered with `confirm`.
    """

    def __init__(self, *, now: float) -> None:
        super().__init__(from_connector, _HELLO, now=now)
        self.hello: m.Hello | None = None

    @property
    def role(self) -> m.Role:
        """The role of the peer; known after hello."""
        assert self.hello is not None, "the role is known only after hello"
        return self.hello.role

    def accept(self, welcome: m.Welcome, *, now: float) -> None:
        """Queue `welcome` and set its terms; a connector has to register next."""
        assert self.hello is not None, "welcome answers hello"
        self.send(welcome)
        self.max_frame_bytes = welcome.limits.max_frame_bytes
        self._set_terms(welcome, now)
        if self.role is m.Role.CALLER:
            self.splits = m.FEATURE_PARTS in self.hello.features
            self._decoder = from_caller
            self._enter(Phase.OPEN, _CALLER_OPEN, now=now, within_s=None)
        else:
            self._enter(Phase.WELCOMED, _CONNECTOR_BEFORE_REGISTER, now=now, within_s=m.REGISTER_TIMEOUT_S)

    def confirm(self, register: m.Register, rejected: list[m.RejectedTool]) -> None:
        """Queue the answer to `register`."""
        accepted = len(register.tools) - len(rejected)
        self.send(m.Registered(revision=register.revision, accepted=accepted, rejected=rejected))

    def _advance(self, message: m.Message, now: float) -> None:
        if isinstance(message, m.Hello):
            if m.VERSION not in message.versions:
                offered = ", ".join(map(str, message.versions)) or "none"
                raise ProtocolError(
                    CloseCode.VERSION_UNSUPPORTED, f"versions offered: {offered}; spoken here: {m.VERSION}"
                )
            self.hello = message
            # Nothing else may come before welcome: it could not be checked against the terms.
            self._enter(Phase.HELLO, frozenset(), now=now, within_s=m.HELLO_TIMEOUT_S)
        elif isinstance(message, m.Register):
            # The user answers with `confirm`; results may already follow, they cannot be out of order.
            self._enter(Phase.OPEN, _CONNECTOR_OPEN, now=now, within_s=None)
