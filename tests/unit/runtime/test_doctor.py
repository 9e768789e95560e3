"""What the doctor makes of the status of a running connector."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_connector.core.checks import CheckResult, Once, run_checks
from edge_connector.runtime.doctor.registry import CHECKS
from edge_connector.runtime.doctor.subject import Running, Subject


async def look(home: Path, name: str, status: dict[str, Any], *recent: dict[str, Any]) -> CheckResult:
    """One check of an installation whose connector says `status`."""
    subject = Subject(home, {})

    async def running() -> Running | None:
        return Running(status, list(recent))

    subject.running = Once(running)
    check = next(check for check in CHECKS if check.id == name)
    (result,) = await run_checks([replace(check, needs=())], subject)
    return result


def link(phase: str = "open", reconnects: int = 0, up_s: float = 3600.0) -> dict[str, Any]:
    facts = {"phase": phase, "since": "2026-01-01T00:00:00.000Z", "reconnects": reconnects, "lastError": "ECONNRESET"}
    return {"link": facts, "process": {"uptimeS": up_s, "pid": 7}}


def proven(age_s: float | None, kind: str = "platform", state: str = "working") -> dict[str, Any]:
    return {"proven": {"ageS": age_s, "roundTripMs": 3.0, "kind": kind}, "state": state, "sentence": "Paused"}


@pytest.mark.parametrize(
    ("given", "status", "word"),
    [
        (proven(12.0), "ok", "12 s ago"),
        (proven(61.0), "fail", "61 s ago"),
        (proven(None), "fail", "yet"),
        (proven(5.0, "local"), "warn", "answers no probes"),
        (proven(500.0, state="paused"), "skipped", "Paused"),
    ],
)
async def test_the_age_of_the_proof(tmp_path: Path, given: dict[str, Any], status: str, word: str) -> None:
    found = await look(tmp_path, "proof", given)
    assert found.status == status and word in found.proof


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (link(), "ok"),
        (link(reconnects=5), "ok"),
        (link(reconnects=20), "warn"),
        (link(reconnects=20, up_s=36_000.0), "ok"),
        (link(reconnects=3, up_s=10.0), "ok"),
        (link("waiting"), "fail"),
    ],
)
async def test_drops_of_the_link(tmp_path: Path, given: dict[str, Any], status: str) -> None:
    found = await look(tmp_path, "link", given)
    assert found.status == status
    assert status != "warn" or "proxy that closes idle sockets" in found.fix
    assert status != "fail" or "ECONNRESET" in found.proof


@pytest.mark.parametrize(("severity", "status"), [("warning", "warn"), ("error", "fail"), ("person", "fail")])
async def test_the_worst_problem_is_told_with_its_cure(tmp_path: Path, severity: str, status: str) -> None:
    problem = {"severity": severity, "sentence": "It hurts.", "fix": "Rest.", "code": "x", "since": ""}
    given = {**link(), "sentence": "Working", "problems": [problem, problem]}
    found = await look(tmp_path, "runtime", given)
    assert (found.status, found.fix) == (status, "Rest.")
    assert "It hurts. (and 1 more)" in found.proof


async def test_a_port_that_is_not_the_configured_one(tmp_path: Path) -> None:
    found = await look(tmp_path, "port", {**link(), "health": {"port": 8081}})
    assert found.status == "warn" and "8080" in found.proof and "8081" in found.proof


async def test_a_ledger_that_is_damaged(tmp_path: Path) -> None:
    assert (await look(tmp_path, "ledger", {})).status == "ok"
    (tmp_path / "calls.sqlite3").write_bytes(b"not a database" * 1000)
    found = await look(tmp_path, "ledger", {})
    assert found.status == "fail" and "calls.sqlite3" in found.proof and found.fix
