"""Hundreds of calls while links break and programs are killed, as a seed decides; then the checks of a drill.

A failing run prints its seed: `FAULTS_SEED=<seed> python -m pytest tests/faults/test_storm.py` repeats the same storm.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge_connector.cli.drill.checks import CHECKS
from edge_connector.cli.drill.evidence import Evidence
from edge_connector.cli.drill.plan import KINDS, storm
from edge_connector.cli.drill.world import World, summary
from tests.support.commands import COMMAND, clean_environment
from tests.support.processes import processes_in
from tests.support.waiting import eventually

EVENTS = 30


def _seed() -> int:
    """The one that was asked for, always the same in CI, else a new one each time."""
    asked = os.environ.get("FAULTS_SEED")
    return int(asked) if asked else 1 if "CI" in os.environ else secrets.randbelow(2**32)


@pytest.fixture
def room() -> Iterator[Path]:
    """Where a drill makes its folder; a short path, for the command socket lies below it."""
    folder = Path(tempfile.mkdtemp(dir=os.environ["XDG_RUNTIME_DIR"]))
    yield folder
    assert list(folder.iterdir()) == []
    folder.rmdir()


@pytest.mark.timeout(180)
async def test_every_check_holds_after_a_long_storm(tmp_path: Path) -> None:
    seed, faults = _seed(), list[str]()
    async with World(seed=seed, callers=8, on_event=faults.append) as world:
        await world.weather(storm(seed, EVENTS))
        await world.recover()
        evidence = await world.close_books()
        findings = {check.id: found for check in CHECKS if (found := check.findings(evidence))}
        if findings:
            shutil.copytree(world.root, tmp_path / "world", ignore=shutil.ignore_patterns("*.sock"))
    told = f"FAULTS_SEED={seed}\n{summary(evidence)}\n{faults}\nlogs: {tmp_path / 'world'}"
    assert not findings, f"{json.dumps(findings, indent=2)}\n{told}"
    assert _worth_it(evidence), told


def _worth_it(evidence: Evidence) -> bool:
    """Hundreds of calls, of which some met a fault and most did not."""
    outcomes = summary(evidence)["outcomes"]
    return len(evidence.calls) >= 200 and outcomes["succeeded"] >= 100 and outcomes.get("interrupted", 0) >= 1


@pytest.mark.timeout(120)
async def test_the_drill_command_says_what_it_saw(tmp_path: Path, room: Path) -> None:
    environment = clean_environment(HOME=tmp_path, EC_HOME=tmp_path / "installation", TMPDIR=room)
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "drill", "--json", "--seed", "3", env=environment, cwd=tmp_path,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    document = json.loads(out)
    assert (process.returncode, document["passed"], document["seed"]) == (0, True, 3), f"{document}\n{err.decode()}"
    assert [check["id"] for check in document["checks"]] == [check.id for check in CHECKS]
    assert {check["status"] for check in document["checks"]} == {"ok"}
    # Each kind once, less what a slow machine leaves out, and the last cut.
    assert 10 <= len(document["faults"]) <= len(KINDS) + 1
    assert document["faults"][-1]["fault"] == "a last cut, and nobody helps"
    assert document["outcomes"]["succeeded"] >= 20
    assert err == b"" and list(tmp_path.iterdir()) == []


async def test_a_drill_that_is_interrupted_leaves_nothing(tmp_path: Path, room: Path) -> None:
    async with _begun_drill(tmp_path, room) as process:
        os.killpg(process.pid, signal.SIGINT)
        out, _ = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 130 and b"Traceback" not in out


async def test_a_drill_that_is_killed_takes_its_programs_with_it(tmp_path: Path, room: Path) -> None:
    async with _begun_drill(tmp_path, room) as process:
        (folder,) = room.iterdir()
        try:
            assert processes_in(folder)
            process.kill()
            await process.communicate()
            await eventually(lambda: not processes_in(folder), what="both programs and all workers to end")
        finally:
            shutil.rmtree(folder)


@asynccontextmanager
async def _begun_drill(home: Path, room: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A drill whose first fault has come."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "drill", env=clean_environment(HOME=home, TMPDIR=room), cwd=home,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(40):
            await process.stdout.readuntil(b" s  ")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
