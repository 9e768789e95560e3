"""Large results in parts: cut so that small messages and heartbeats overtake them, and put together again.

Sans-IO. `OutgoingParts` belongs to the end that sends results, `IncomingParts` to the one that receives them; neither
outlives its session, so after a reconnect a result starts again from its first byte.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec
from msgspec import Raw

from edge_connector.wire import messages as m
from edge_connector.wire.close_codes import CloseCode
from edge_connector.wire.codec import ProtocolError

PART_ABOVE: Final = 64 * 1024
"""Bytes of JSON; a larger result travels in parts."""
PART_BYTES: Final = (4 * 1024, 64 * 1024)
"""Least and most bytes of JSON in one part, before escaping; what the link carries in `PART_S` lies between."""
PART_S: Final = 0.03
"""How long a part should take to leave: it is what a small message waits at worst."""
MAX_AT_ONCE: Final = 4
"""Results in parts that may be under way at the same time: with the largest result it bounds the receiver's memory."""
QUICK_PARTS: Final = 8
"""So many in a row have to leave at once before the next is larger."""

_check = msgspec.json.Decoder(Raw).decode


class _Outgoing:
    __slots__ = ("data", "offset", "result")

    def __init__(self, result: m.Result) -> None:
        self.result = result
        self.data = memoryview(result.result)
        self.offset = 0

    @property
    def left(self) -> int:
        return len(self.data) - self.offset

    def next(self, size: int) -> m.ResultPart:
        """The next part, of at most `size` bytes; no cut goes through a character."""
        data, start, total = self.data, self.offset, len(self.data)
        end = min(start + size, total)
        for _ in range(3):
            # RFC 3629, section 3: 10xxxxxx continues a character, which has at most three such bytes.
            if end == total or data[end] & 0xC0 != 0x80:
                break
            end -= 1
        text = str(data[start:end], "utf-8")
        self.offset = end
        return m.ResultPart(
            id=self.result.id,
            offset=start,
            total=total,
            data=text,
            duration_ms=0.0 if start else self.result.duration_ms,
        )


class OutgoingParts:
    """Results that are being sent in parts, in turns; the rest wait for a place."""

    def __init__(self) -> None:
        self.bytes = 0
        """What is not sent yet, in bytes of JSON; 0 when there is nothing to send."""
        self.part_bytes = 2 * PART_BYTES[0]
        """Size of the next part."""
        self._quick = 0
        self._turns: deque[str] = deque()
        self._transfers: dict[str, _Outgoing] = {}
        self._waiting: dict[str, m.Result] = {}

    def add(self, result: m.Result) -> None:
        """Send `result` in parts; one of the same call that is under way is replaced, unless it is the same one."""
        known = self._transfers.get(result.id)
        if known is not None and known.result.result is result.result:
            return
        self.drop(result.id)
        self.bytes += len(memoryview(result.result))
        self._waiting[result.id] = result
        self._fill()

    def drop(self, call_id: str) -> None:
        """Send no more of this call's result, if any of it is left."""
        transfer = self._transfers.pop(call_id, None)
        if transfer is not None:
            self._turns.remove(call_id)
            self.bytes -= transfer.left
            self._fill()
        elif (waiting := self._waiting.pop(call_id, None)) is not None:
            self.bytes -= len(memoryview(waiting.result))

    def clear(self) -> None:
        """Send nothing more."""
        self._turns.clear()
        self._transfers.clear()
        self._waiting.clear()
        self.bytes = 0

    def next(self) -> m.ResultPart | m.Failure | None:
        """What is sent next, or None. A result that is no UTF-8 cannot be sent: its call fails instead."""
        if not self._turns:
            return None
        call_id = self._turns[0]
        transfer = self._transfers[call_id]
        try:
            part = transfer.next(self.part_bytes)
        except UnicodeDecodeError:
            self.drop(call_id)
            error = m.CallError(code="result_not_json", message="The result is no valid UTF-8.")
            duration_ms = transfer.result.duration_ms
            return m.Failure(id=call_id, outcome=m.Outcome.FAILED, error=error, duration_ms=duration_ms)
        self.bytes -= transfer.offset - part.offset
        if transfer.left:
            self._turns.rotate(-1)
        else:
            self.drop(call_id)
        return part

    def left_within(self, seconds: float) -> None:
        """Note how long the last part took to leave: the next is larger or smaller."""
        least, most = PART_BYTES
        if seconds > PART_S:
            self.part_bytes = max(least, self.part_bytes // 2)
            self._quick = 0
        elif seconds < PART_S / 4:
            # On a slow link, too, some are quick: those that the kernel just has room for.
            self._quick += 1
            if self._quick == QUICK_PARTS:
                self.part_bytes = min(most, self.part_bytes * 2)
                self._quick = 0

    def _fill(self) -> None:
        while self._waiting and len(self._turns) < MAX_AT_ONCE:
            call_id = next(iter(self._waiting))
            self._transfers[call_id] = _Outgoing(self._waiting.pop(call_id))
            self._turns.append(call_id)


class _Incoming:
    __slots__ = ("data", "duration_ms", "total")

    def __init__(self, first: m.ResultPart) -> None:
        self.data = bytearray()
        self.total = first.total
        self.duration_ms = first.duration_ms


class IncomingParts:
    """Results that arrive in parts."""

    def __init__(self, max_result_bytes: int) -> None:
        self.max_result_bytes = max_result_bytes
        self.open = 0
        """How many results are incomplete."""
        self._transfers: dict[str, _Incoming] = {}

    def take(self, part: m.ResultPart) -> m.Result | m.Failure | None:
        """The outcome that `part` completes: its result, or the failure of one that is too large; None while more come.

        A part with offset 0 begins anew. Parts that continue nothing are left out: their call has its outcome.

        Raises:
            ProtocolError: a part that does not continue what came before, or more than the protocol allows.
        """
        if part.offset == 0:
            self.drop(part.id)
            if part.total > self.max_result_bytes:
                return too_large(part.id, part.total, self.max_result_bytes, part.duration_ms)
            if self.open >= MAX_AT_ONCE:
                raise ProtocolError(CloseCode.TOO_MANY, f"more than {MAX_AT_ONCE} results in parts at once")
            transfer = self._transfers[part.id] = _Incoming(part)
            self.open += 1
        else:
            known = self._transfers.get(part.id)
            if known is None:
                return None
            transfer = known
            if part.offset != len(transfer.data) or part.total != transfer.total:
                raise ProtocolError(
                    CloseCode.OUT_OF_ORDER,
                    f"result.part at {part.offset} of {part.total}, {len(transfer.data)} of {transfer.total} are here",
                )
        data = _bytes_of(part)
        if not data or len(transfer.data) + len(data) > transfer.total:
            raise ProtocolError(CloseCode.MALFORMED, f"result.part of {len(data)} bytes at {part.offset}")
        transfer.data += data
        if len(transfer.data) < transfer.total:
            return None
        self.drop(part.id)
        return m.Result(id=part.id, result=_checked(transfer.data), duration_ms=transfer.duration_ms)

    def drop(self, call_id: str) -> None:
        """Forget what came of this call's result."""
        if self._transfers.pop(call_id, None) is not None:
            self.open -= 1

    def clear(self) -> None:
        """Forget everything."""
        self._transfers.clear()
        self.open = 0


def too_large(call_id: str, size: int, limit: int, duration_ms: float) -> m.Failure:
    """The outcome of a call whose result has `size` bytes, more than `limit`."""
    error = m.CallError(
        code="result_too_large",
        message=f"The result has {size} bytes, the platform takes {limit}.",
        hint="Let the tool return less, or a path or page instead of everything.",
    )
    return m.Failure(id=call_id, outcome=m.Outcome.FAILED, error=error, duration_ms=duration_ms)


def limited(message: m.Message, limit: int) -> m.Message:
    """`message`, or the failure that takes the place of a result with more than `limit` bytes."""
    if isinstance(message, m.Result) and (size := len(memoryview(message.result))) > limit:
        return too_large(message.id, size, limit, message.duration_ms)
    return message


def _bytes_of(part: m.ResultPart) -> bytes:
    try:
        return part.data.encode()
    except UnicodeEncodeError as error:
        raise ProtocolError(CloseCode.MALFORMED, f"result.part: {error}") from error


def _checked(data: bytearray) -> Raw:
    """Nobody has read the whole yet: what is no JSON would go to the caller unseen."""
    try:
        return _check(bytes(data))
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProtocolError(CloseCode.MALFORMED, f"result in parts is not JSON: {error}") from error
