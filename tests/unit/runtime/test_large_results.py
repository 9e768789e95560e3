from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import Raw

from edge_connector.config.loading import load
from edge_connector.core.errors import EdgeError, NotConnected, UserError
from edge_connector.runtime.http_courier import doubt_about
from edge_connector.runtime.large_results import REFERENCE_ABOVE, REST_S, LargeResults
from edge_connector.wire import messages as m
from tests.support.waiting import eventually


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now

    def asleep(self) -> float:
        return 0.0


class Courier:
    """Brings when the test lets it, and fails as it is told."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: list[str] = []
        self.at_once = 0
        self.error: EdgeError | None = None
        self.is_closed = False

    async def bring(self, call_id: str, data: bytes, sha256: str) -> None:
        self.asked.append(call_id)
        self.at_once += 1
        assert self.at_once == 1, "one at a time"
        assert hashlib.sha256(data).hexdigest() == sha256
        try:
            await self.gate.wait()
        finally:
            self.at_once -= 1
        if self.error is not None:
            raise self.error

    async def close(self) -> None:
        self.is_closed = True


class Bench:
    def __init__(self) -> None:
        self.sent: list[m.Message] = []
        self.courier = Courier()
        self.made = 0
        self.clock = Clock()
        self.results = LargeResults(self._send, self._make, self.clock)
        self.results.offered(True)

    def _send(self, message: m.Message) -> bool:
        self.sent.append(message)
        return True

    async def _make(self) -> Courier:
        self.made += 1
        return self.courier

    async def until_sent(self, count: int) -> None:
        await eventually(lambda: len(self.sent) >= count, what=f"{count} messages")
        assert len(self.sent) == count


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.results.stop()


def large(call_id: str = "a", size: int = REFERENCE_ABOVE + 1) -> m.Result:
    return m.Result(id=call_id, result=Raw(b"1" * size), duration_ms=2.5)


async def test_a_large_result_becomes_a_reference(bench: Bench) -> None:
    result = large()
    assert bench.results.send(result)
    await bench.until_sent(1)
    digest = hashlib.sha256(bytes(result.result)).hexdigest()
    assert bench.sent == [m.ResultReference(id="a", sha256=digest, duration_ms=2.5)]
    assert bench.results.brought == 1


@pytest.mark.parametrize(
    "message", [large(size=REFERENCE_ABOVE), m.Accepted(id="a"), m.Progress(id="a")], ids=["small", "accepted", "news"]
)
async def test_everything_else_passes_at_once(bench: Bench, message: m.Message) -> None:
    bench.results.send(message)
    assert bench.sent == [message] and bench.made == 0


async def test_nothing_is_brought_to_a_platform_that_does_not_take_it(bench: Bench) -> None:
    bench.results.offered(False)
    bench.results.send(large())
    assert [type(message) for message in bench.sent] == [m.Result] and bench.made == 0


async def test_one_at_a_time_and_the_same_one_once(bench: Bench) -> None:
    bench.courier.gate.clear()
    for call_id in ("a", "b", "a"):
        assert bench.results.send(large(call_id))
    await eventually(lambda: bench.courier.asked, what="the first")
    bench.results.send(m.Accepted(id="small"))
    assert bench.sent == [m.Accepted(id="small")], "it does not wait"
    bench.courier.gate.set()
    await bench.until_sent(3)
    assert bench.courier.asked == ["a", "b"]


@pytest.mark.parametrize(
    ("error", "asked_again"),
    [(NotConnected("platform_unreachable", "no"), False), (UserError("unknown_call", "no"), True)],
    ids=["nobody there", "not this one"],
)
async def test_it_goes_over_the_link_when_it_cannot_be_brought(
    bench: Bench, error: EdgeError, asked_again: bool
) -> None:
    bench.courier.error = error
    first, second = large("a"), large("b")
    bench.results.send(first)
    await bench.until_sent(1)
    assert bench.sent[0] is first
    bench.courier.error = None
    bench.results.send(second)
    await bench.until_sent(2)
    assert (bench.courier.asked == ["a", "b"]) is asked_again
    bench.clock.now += REST_S
    bench.results.send(large("c"))
    await bench.until_sent(3)
    assert bench.courier.asked[-1] == "c"


async def test_a_lost_link_ends_what_is_under_way(bench: Bench) -> None:
    bench.courier.gate.clear()
    bench.results.send(large())
    await eventually(lambda: bench.courier.asked, what="the upload")
    bench.results.link_closed()
    await eventually(lambda: bench.courier.at_once == 0, what="its end")
    bench.courier.gate.set()
    bench.results.offered(True)
    bench.results.send(large())
    await bench.until_sent(1)
    assert bench.courier.asked == ["a", "a"]


async def test_stopping_closes_the_courier(bench: Bench) -> None:
    bench.results.send(large())
    await bench.until_sent(1)
    await bench.results.stop()
    assert bench.courier.is_closed


@pytest.mark.parametrize(
    ("variables", "is_good"),
    [
        ({"TOOL_RPC_URL": "ws://localhost:3001"}, True),
        ({"TOOL_RPC_URL": "wss://platform.example"}, False),
        ({"TOOL_RPC_URL": "wss://platform.example", "PLATFORM_API_URL": "http://platform.example"}, False),
        ({"TOOL_RPC_URL": "wss://rpc.example", "PLATFORM_API_URL": "https://api.example"}, True),
        ({"TOOL_RPC_URL": "ws://10.0.0.1:3001", "PLATFORM_API_URL": "http://10.0.0.1:3000"}, True),
    ],
)
def test_credentials_go_only_where_somebody_said_the_platform_is(
    tmp_path: Path, variables: dict[str, str], is_good: bool
) -> None:
    assert (doubt_about(load(tmp_path, variables)) == "") is is_good
