"""The callers of a drill: they call tools through the proxy all the time, and write down what they are told."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import random
from typing import Any

import msgspec

from edge_connector.cli.drill.evidence import LOST, Answer, CallRecord
from edge_connector.core.errors import EdgeError, NotConnected, RetryLater
from edge_connector.core.tasks import TaskOwner
from edge_connector.platform_api.client import PlatformClient
from edge_connector.platform_api.models import Call, CallRequest
from edge_connector.platform_api.operations import CREATE_CALL

TIMEOUT_MS = 3_000
SPARE_S = 7.0
"""So much longer than its call may take an answer is waited for: after that nobody is going to give one."""
ASK_AGAIN_S = 0.2
GIVE_UP_S = 60.0
"""So long a caller with a key asks again before it has no outcome; a drill's faults are over long before."""
BROKEN = frozenset({"platform_unreachable", "platform_timeout", "not_a_platform"})


class Callers:
    """Some tasks that call, one call at a time each, until `stop`."""

    def __init__(self, client: PlatformClient, deployment: str, *, seed: int, count: int = 6) -> None:
        """`client` reaches the platform through the proxy."""
        self.records: list[CallRecord] = []
        self._client = client
        self._deployment = deployment
        self._seed = seed
        self._count = count
        self._numbers = itertools.count(1)
        self._stopping = asyncio.Event()
        self._tasks = TaskOwner("drill-callers")
        self._running: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to call."""
        for index in range(self._count):
            draw = random.Random(f"{self._seed}/{index}")
            self._running.append(self._tasks.spawn(self._call_on(draw), name=str(index)))

    async def stop(self) -> None:
        """Returns when each open call has its outcome."""
        self._stopping.set()
        if self._running:
            await asyncio.wait(self._running)
        await self._tasks.close()

    async def cancel(self) -> None:
        """End at once."""
        await self._tasks.close()

    async def warm_up(self, calls: int) -> None:
        """Some calls at once, so that everything that is made on demand is there."""
        draw = random.Random(self._seed)
        async with asyncio.TaskGroup() as group:
            for _ in range(calls):
                group.create_task(self.call(self._next(draw)), name="drill-callers.warm")

    async def _call_on(self, draw: random.Random) -> None:
        while not self._stopping.is_set():
            record = self._next(draw)
            await self.call(record)
            pause_s = 0.1 if record.outcome in ("refused", LOST) else draw.uniform(0.0, 0.1)
            try:
                async with asyncio.timeout(pause_s):
                    await self._stopping.wait()
            except TimeoutError:
                pass

    def _next(self, draw: random.Random) -> CallRecord:
        number = next(self._numbers)
        seconds = round(draw.choice((0.0, 0.0, 0.01, 0.05, 0.4, 1.2)), 3)
        # In parts over the link, and by reference over HTTP.
        size = draw.choice((100_000, 100_000, 1_600_000))
        tool, more, expected = draw.choices(
            (
                ("markOnce", {"seconds": seconds}, {"number": number, "square": number * number}),
                ("markRead", {"seconds": seconds}, {"number": number, "square": number * number}),
                ("markLarge", {"size": size}, shortened({"text": f"{number} " * (size // 4)})),
                ("markChild", {}, {"number": number}),
                ("markFailure", {}, None),
            ),
            weights=(50, 30, 8, 6, 6),
        )[0]
        record = CallRecord(
            number=number,
            tool=tool,
            repeat="read" if tool == "markRead" else "once",
            arguments={"number": number, **more},
            expected=expected,
            key=f"drill-{self._seed}-{number}" if draw.random() < 0.5 else "",
        )
        self.records.append(record)
        return record

    def use(self, client: PlatformClient) -> None:
        """Call over this client from now on."""
        self._client = client

    async def call(self, record: CallRecord, *, timeout_ms: int = TIMEOUT_MS) -> None:
        """Make one call; with a key it is asked again until an outcome is heard."""
        loop = asyncio.get_running_loop()
        end = loop.time() + GIVE_UP_S
        while True:
            answer = await ask(self._client, self._deployment, record, timeout_ms=timeout_ms)
            record.silences += answer.code == "platform_timeout"
            if answer.outcome != LOST or not record.key:
                record.answers.append(answer)
                return
            if loop.time() > end:
                return
            await asyncio.sleep(ASK_AGAIN_S)


async def ask(client: PlatformClient, deployment: str, record: CallRecord, *, timeout_ms: int = TIMEOUT_MS) -> Answer:
    """One request of one call, and what it was told; `lost` when nobody told anything."""
    request = CallRequest(
        tool=record.tool,
        arguments=msgspec.Raw(msgspec.json.encode(record.arguments)),
        deployment=deployment,
        timeout_ms=timeout_ms,
    )
    try:
        call = await client.call(
            CREATE_CALL, request, idempotency_key=record.key, timeout_s=timeout_ms / 1000 + SPARE_S
        )
    except RetryLater as error:
        return Answer("refused", error.code)
    except NotConnected as error:
        return Answer(LOST if error.code in BROKEN else "refused", error.code)
    except EdgeError as error:
        return Answer(LOST if error.code in BROKEN else "refused", error.code)
    return answer_of(call)


def answer_of(call: Call) -> Answer:
    """A call of the API as an answer."""
    result: Any = msgspec.json.decode(call.result) if isinstance(call.result, msgspec.Raw) else None
    return Answer(call.outcome or "", call.error.code if call.error else "", call.id, shortened(result))


def shortened(result: Any) -> Any:
    """A large result as its digest: a drill of hours keeps every answer."""
    text = result.get("text") if isinstance(result, dict) else None
    return {"sha256": hashlib.sha256(text.encode()).hexdigest()} if isinstance(text, str) else result
