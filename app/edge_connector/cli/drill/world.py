"""A platform, a connector and two misbehaving proxies in a temporary folder, and the faults that meet them.

    async with World(seed=7) as world:
        await world.weather(storm(7, events=20))
        await world.recover()
        evidence = await world.close_books()

Nothing of it touches the user's installation: own directory, own ports, own environment.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edge_connector.cli.drill.callers import Callers, ask
from edge_connector.cli.drill.checks import grown
from edge_connector.cli.drill.evidence import LOST, MISSING, Census, Evidence, Kept, read_ledger, read_runs
from edge_connector.cli.drill.plan import Event
from edge_connector.cli.drill.programs import Connector, Platform, own_command
from edge_connector.cli.drill.proxy import FaultProxy
from edge_connector.config.paths import InstallationPaths
from edge_connector.core.errors import EdgeError, UserError
from edge_connector.core.resources import resource_path
from edge_connector.core.tasks import TaskOwner
from edge_connector.platform_api.client import PlatformClient
from edge_connector.platform_api.models import DeploymentRequest, SetupRequest
from edge_connector.platform_api.operations import CREATE_DEPLOYMENT, GET_CALL, SETUP

HEARTBEAT_S = 0.5
RECOVER_S = 15.0
"""The first delay is at most 6 s (R1); the rest is for a slow machine."""
SETTLE_S = 5.0
CALM_S = 1.2
CALM_LOOKS = 8
WARM_CALLS = 30
HISTORY_AT_ONCE = 16
MAX_ASKED_AGAIN = 2_000
"""Of the calls of a long run so many are asked for again, spread over all of it."""
KILLED = ("kill_connector", "kill_platform")


class World:
    """Use it as an async context manager: whatever happens, no process and no file is left at the end."""

    def __init__(
        self,
        *,
        seed: int,
        command: tuple[str, ...] | None = None,
        callers: int = 6,
        on_event: Callable[[str], None] = lambda text: None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Nothing is started yet.

        Args:
            command: starts `edge-connector`; this very program when not given.
            on_event: hears of each fault as it comes.
            environment: more variables for both programs.
        """
        self.seed = seed
        self.evidence = Evidence()
        self.root = Path(tempfile.mkdtemp(prefix="ec-drill-"))
        self._command = command or own_command()
        self._count = callers
        self._on_event = on_event
        self._tasks = TaskOwner("drill")
        self._clients: list[PlatformClient] = []
        self._more = dict(environment or {})
        self._token = ""
        self._draw = random.Random(seed)
        self.platform = Platform(self._command, self._environment(), self.root / "platform", heartbeat_s=HEARTBEAT_S)
        self.connector: Connector
        self.link_proxy: FaultProxy
        self.caller_proxy: FaultProxy
        self.callers: Callers
        self.deployment = ""

    async def __aenter__(self) -> Self:
        try:
            await self._set_up()
        except BaseException:
            await self._tear_down()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tear_down()

    # ---- beginning

    def _environment(self, **more: str) -> dict[str, str]:
        """Nothing of the caller's own set-up but paths; temporary files and sockets go into our folder."""
        for name in ("tmp", "run"):
            (self.root / name).mkdir(mode=0o700, exist_ok=True)
        passed = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT", "PYTHONPATH") if name in os.environ}
        own = {"HOME": str(self.root), "TMPDIR": str(self.root / "tmp"), "XDG_RUNTIME_DIR": str(self.root / "run")}
        return {**passed, **own, "HEALTH_PORT": "0", **self._more, **more}

    async def _set_up(self) -> None:
        self.platform.start()
        code = await self.platform.until_serving()
        async with PlatformClient(f"http://127.0.0.1:{self.platform.api_port}") as client:
            made = await client.call(
                SETUP, SetupRequest(code=code, organization="Drill", name="Drill", email="d@drill")
            )
        self._token = made.server_token
        direct = self.direct()
        edge = await direct.call(CREATE_DEPLOYMENT, DeploymentRequest(name="drill"))
        self.deployment = edge.id
        self.link_proxy = FaultProxy("127.0.0.1", self.platform.rpc_port, tap=self.evidence.overheard.take)
        self.caller_proxy = FaultProxy("127.0.0.1", self.platform.api_port)
        await self.link_proxy.start()
        await self.caller_proxy.start()
        home = self.root / "connector"
        shutil.copytree(
            resource_path("drill"), home / "custom-implementations", ignore=shutil.ignore_patterns("__pycache__")
        )
        environment = self._environment(
            TOOL_RPC_URL=f"ws://127.0.0.1:{self.link_proxy.port}",
            PLATFORM_API_URL=f"http://127.0.0.1:{self.caller_proxy.port}",
            DEPLOYMENT_ID=edge.id,
            DEPLOYMENT_SECRET=edge.secret,
        )
        self.connector = Connector(self._command, environment, home)
        self.connector.start()
        await self._until_working()
        warm = self._client(self.caller_proxy.port)
        self.callers = Callers(warm, self.deployment, seed=self.seed, count=self._count)
        await self.callers.warm_up(WARM_CALLS)
        # Its connections are not what the platform holds when nobody calls; it makes new ones when it needs them.
        await warm.close()
        await self._note_before()

    def direct(self) -> PlatformClient:
        """A client that no fault meets; closed with the books."""
        return self._client(self.platform.api_port)

    def _client(self, port: int) -> PlatformClient:
        async def token() -> str:
            return self._token

        client = PlatformClient(f"http://127.0.0.1:{port}", token, timeout_s=10.0)
        self._clients.append(client)
        return client

    async def _until_working(self) -> None:
        status = await self.connector.until_working()
        if status.get("state") != "working":
            said = status.get("sentence") or self.connector.log[-500:]
            raise UserError("drill_program", f"The connector does not work before any fault: {said}")

    # ---- faults

    async def weather(self, events: Iterable[Event]) -> None:
        """Let the faults come while callers call; returns when the last one is over and everything passes again."""
        self.callers.start()
        helpers = TaskOwner("drill-helpers")
        try:
            for event in events:
                await asyncio.sleep(event.after_s)
                self._on_event(str(event))
                await self._meet(event)
                if event.redial_after_s is not None:
                    helpers.spawn(self._redial(event.redial_after_s), name="redial")
        finally:
            await helpers.close()
            self._lift()

    def _lift(self) -> None:
        self.link_proxy.lift()
        self.caller_proxy.lift()

    async def _redial(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        if self.connector.is_running:
            await self.connector.request("redial")

    async def _meet(self, event: Event) -> None:
        """One fault, until it is over."""
        if event.kind in KILLED:
            await self._kill(self.connector if event.kind == "kill_connector" else self.platform, event.for_s)
            return
        if event.kind == "kill_worker":
            await self._kill_worker(int(event.value))
            return
        proxy = self.caller_proxy if event.kind.startswith("caller_") else self.link_proxy
        match event.kind.removeprefix("caller_"):
            case "reset":
                proxy.cut(reset=True)
            case "fin":
                proxy.cut(reset=False)
            case "tear":
                proxy.tear()
            case "half_open":
                proxy.half_open()
            case "corrupt_up":
                proxy.corrupt("up")
            case "corrupt_down":
                proxy.corrupt("down")
            case "refuse":
                proxy.refuse(int(event.value))
                proxy.cut(reset=True)
            case "close":
                proxy.close_with(int(event.value), "the drill closed it")
            case "freeze":
                proxy.freeze()
            case "delay":
                proxy.delay(event.value)
            case "slow":
                proxy.slow(event.value)
        if event.for_s:
            await asyncio.sleep(event.for_s)
            proxy.lift()

    async def _kill(self, program: Connector | Platform, away_s: float) -> None:
        if program is self.platform:
            self.evidence.platform_kills.append(time.monotonic())
        await program.kill()
        await asyncio.sleep(away_s)
        program.start()
        if isinstance(program, Platform):
            await program.until_serving()

    async def _kill_worker(self, number: int) -> None:
        workers = (await self.connector.status()).get("workers", [])
        if workers:
            try:
                os.kill(workers[number % len(workers)]["pid"], signal.SIGKILL)
            except ProcessLookupError:
                pass

    # ---- the end

    async def recover(self) -> None:
        """A last fault that nobody helps with: the link is cut, and the connector has to come back by itself."""
        proof = await self._proof()
        await self._redial(0.0)
        before = await self.connector.until_working(proven_after=proof, within_s=RECOVER_S)
        proof = before.get("proven", {}).get("at", "")
        self._on_event("a last cut, and nobody helps")
        self.link_proxy.cut(reset=True)
        started = time.monotonic()
        status = await self.connector.until_working(proven_after=proof, within_s=RECOVER_S)
        self.evidence.recovery = {
            "state": status.get("state", "gone"),
            "provenAfterFault": status.get("proven", {}).get("at", "") > proof,
            "problems": [problem["code"] for problem in status.get("problems", [])],
            "seconds": round(time.monotonic() - started, 1),
        }

    async def _proof(self) -> str:
        return str((await self.connector.status()).get("proven", {}).get("at", ""))

    async def close_books(self) -> Evidence:
        """Let open calls end, ask what the platform keeps, count what is held, and stop both programs in order."""
        evidence = self.evidence
        await self.callers.stop()
        evidence.calls = self.callers.records
        await self._ask_again()
        await self._read_history()
        for client in self._clients:
            await client.close()
        self.caller_proxy.cut(reset=True)
        await self._note_after()
        evidence.unconfirmed = (await self.connector.status()).get("calls", {}).get("unsentOutcomes", 0)
        evidence.exit_codes = {"connector": await self.connector.stop(), "platform": await self.platform.stop()}
        evidence.runs = read_runs(self.connector.home / "custom-implementations" / "runs.jsonl")
        evidence.ledger, evidence.broken_links = read_ledger(InstallationPaths(self.connector.home).ledger_file)
        evidence.strays = self.connector.strays + self.platform.strays
        evidence.left_files = self._left_files()
        evidence.complaints = self.connector.complaints() + self.platform.complaints()
        return evidence

    async def _ask_again(self) -> None:
        """Every caller with a key asks once more, without any fault: it must hear the same."""
        direct = self.direct()
        asked = [call for call in self.callers.records if call.key and call.call_id]
        for call in asked[:: 1 + len(asked) // MAX_ASKED_AGAIN]:
            call.answers.append(await ask(direct, self.deployment, call))

    async def _read_history(self) -> None:
        direct, evidence = self.direct(), self.evidence
        wanted = {call.call_id for call in evidence.calls if call.call_id and call.outcome != LOST}
        wanted |= {call_id for call_id in evidence.overheard.receipts if not call_id.startswith("probe_")}
        places = asyncio.Semaphore(HISTORY_AT_ONCE)

        async def read(call_id: str) -> None:
            async with places:
                try:
                    found = await direct.call(GET_CALL, path={"id": call_id})
                except EdgeError:
                    evidence.history[call_id] = Kept(MISSING)
                else:
                    evidence.history[call_id] = Kept(found.outcome or "open", found.late_outcome or "")

        async with asyncio.TaskGroup() as group:
            for call_id in wanted:
                group.create_task(read(call_id), name="drill.history")

    async def _note_before(self) -> None:
        """Count what both programs hold at rest: the least of a few looks, for what ends a little later."""
        for _ in range(CALM_LOOKS):
            await asyncio.sleep(CALM_S / CALM_LOOKS)
            for name, census in (await self._census()).items():
                known = self.evidence.before.get(name)
                if known is None or census.size() < known.size():
                    self.evidence.before[name] = census

    async def _note_after(self) -> None:
        """Count it again; what is more than before gets some seconds to end."""
        evidence, end = self.evidence, time.monotonic() + SETTLE_S
        while True:
            evidence.after = await self._census()
            more = any(grown(name, evidence.before[name], evidence.after[name]) for name in evidence.after)
            if not more or time.monotonic() > end:
                return
            await asyncio.sleep(0.2)

    async def _census(self) -> dict[str, Census]:
        workers = len((await self.connector.status()).get("workers", []))
        return {"connector": self.connector.census(workers=workers), "platform": self.platform.census()}

    def _left_files(self) -> list[str]:
        """What both programs should have removed."""
        places = (self.root / "tmp", self.root / "run", self.connector.home / "scratch")
        found = [path for place in places if place.exists() for path in place.rglob("*") if not path.is_dir()]
        found += [path for path in self.connector.home.glob("scratch/*") if path.is_dir()]
        return [str(path.relative_to(self.root)) for path in found if not path.name.startswith("tasks.")]

    async def _tear_down(self) -> None:
        if hasattr(self, "callers"):
            await self.callers.cancel()
        for client in self._clients:
            await client.close()
        for name in ("link_proxy", "caller_proxy"):
            if hasattr(self, name):
                await getattr(self, name).stop()
        await self._tasks.close()
        for name in ("connector", "platform"):
            if hasattr(self, name):
                getattr(self, name).destroy()
        await asyncio.to_thread(shutil.rmtree, self.root, ignore_errors=True)


def summary(evidence: Evidence) -> dict[str, Any]:
    """Counts for people: calls by outcome, runs, receipts."""
    outcomes: dict[str, int] = {}
    for call in evidence.calls:
        outcomes[call.outcome or "none"] = outcomes.get(call.outcome or "none", 0) + 1
    return {
        "calls": len(evidence.calls),
        "outcomes": dict(sorted(outcomes.items())),
        "runs": len(evidence.runs),
        "confirmed": len(evidence.overheard.receipts),
    }
