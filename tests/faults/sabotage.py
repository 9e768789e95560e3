"""Runs the program with bugs put into it, so that a drill's checks can be seen to find them.

    python -m tests.faults.sabotage double_dispatch,leak run --dir DIR

Each bug is one that the product must never have; nothing of this is reachable from the product.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from edge_connector.cli.drill import telling
from edge_connector.link import supervisor
from edge_connector.platform_server.http.call_endpoint import CallEndpoint
from edge_connector.platform_server.tool_rpc.calls import CallRouter, PendingCall
from edge_connector.platform_server.tool_rpc.connector_link import ConnectorLink
from edge_connector.platform_server.tool_rpc.journal import CallJournal
from edge_connector.runtime.calls import CallDesk
from edge_connector.tools.calls import CallOutcome
from edge_connector.tools.ledger import writing
from edge_connector.wire import messages as m

_kept: list[object] = []


def _each(number: int) -> Callable[[], bool]:
    """True at every `number`-th question."""
    count = itertools.count(1)
    return lambda: next(count) % number == 0


def double_dispatch() -> None:
    """The platform sends a call twice, under two ids."""
    send, now = ConnectorLink.send, _each(5)

    def twice(self: ConnectorLink, message: m.Message) -> None:
        send(self, message)
        if isinstance(message, m.Call) and not message.probe and now():
            send(self, msgspec.structs.replace(message, id=f"{message.id}x"))

    ConnectorLink.send = twice  # type: ignore[method-assign]


def forget_history() -> None:
    """The platform confirms outcomes that it does not keep."""
    ended, now = CallJournal.ended, _each(5)

    def forget(self: CallJournal, call: PendingCall) -> None:
        if not now():
            ended(self, call)

    CallJournal.ended = forget  # type: ignore[method-assign]


def drop_receipts() -> None:
    """The platform keeps an outcome and never confirms it."""
    confirm, now = ConnectorLink._confirm, _each(5)

    def drop(self: ConnectorLink, call_id: str) -> None:
        if call_id.startswith("probe_") or not now():
            confirm(self, call_id)

    ConnectorLink._confirm = drop  # type: ignore[method-assign]


def swallow_outcomes() -> None:
    """The platform has an outcome and does not tell the caller."""
    settle, now = CallRouter._settle, _each(30)

    def swallow(self: CallRouter, call: PendingCall, outcome: str, **more: Any) -> None:
        if now():
            call.on_end = lambda _: None
        settle(self, call, outcome, **more)

    CallRouter._settle = swallow  # type: ignore[method-assign]


def forget_keys() -> None:
    """A call that is asked for again with its key is a new call."""

    async def nothing(self: CallEndpoint, order: Any) -> None:
        return None

    CallEndpoint._stored = nothing  # type: ignore[method-assign]


def mix_results() -> None:
    """The connector answers with another call's result."""
    finished, now = CallDesk.finished, _each(2)

    def mix(self: CallDesk, outcome: CallOutcome) -> None:
        if outcome.result is not None and outcome.tool.startswith("mark") and now():
            outcome = msgspec.structs.replace(outcome, result=msgspec.Raw(b'{"number":-1}'))
        finished(self, outcome)

    CallDesk.finished = mix  # type: ignore[method-assign]


def break_chain() -> None:
    """The ledger writes a hash that does not follow from the row before."""
    link: Callable[[str, bytes], str] = vars(writing)["link_hash"]
    now = _each(50)
    vars(writing)["link_hash"] = lambda previous, body: link("" if now() else previous, body)


def _on_dial(bug: Callable[[], object]) -> None:
    dial: Callable[[Any], Awaitable[Any]] = vars(supervisor)["dial"]

    async def dial_and(target: Any) -> Any:
        _kept.append(bug())
        return await dial(target)

    vars(supervisor)["dial"] = dial_and


def leak() -> None:
    """Each dial leaves more descriptors and tasks than one more worker would bring, and a temporary file."""
    _on_dial(lambda: [os.open(os.devnull, os.O_RDONLY) for _ in range(16)])
    _on_dial(lambda: [asyncio.create_task(asyncio.sleep(3600)) for _ in range(16)])
    _on_dial(lambda: tempfile.mkstemp(prefix="left-"))


def orphan() -> None:
    """The connector starts a process that nobody ends."""
    _on_dial(lambda: subprocess.Popen(["sleep", "60"], start_new_session=True))


def give_up() -> None:
    """The connector dials again when it is asked to, and never by itself."""
    wait = supervisor.Link._wait

    async def give_up(self: supervisor.Link, *terms: Any) -> None:
        await wait(self, *terms)
        await self._redial.wait()

    supervisor.Link._wait = give_up  # type: ignore[method-assign,assignment]


BUGS = {
    bug.__name__: bug
    for bug in (
        double_dispatch,
        forget_history,
        drop_receipts,
        swallow_outcomes,
        forget_keys,
        mix_results,
        break_chain,
        leak,
        orphan,
        give_up,
    )
}


def command(*bugs: str) -> tuple[str, ...]:
    """How to start the program with these bugs."""
    return (sys.executable, "-P", "-m", "tests.faults.sabotage", ",".join(bugs))


if __name__ == "__main__":
    for name in sys.argv[1].split(","):
        BUGS[name]()
    sys.exit(telling.main(sys.argv[2:]))
