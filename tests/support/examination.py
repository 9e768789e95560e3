"""The doctor's checks, run in this process on an installation of a test."""

from __future__ import annotations

from pathlib import Path

from edge_connector.core.checks import CheckResult, CheckStatus, run_checks
from edge_connector.runtime.doctor.registry import CHECKS
from edge_connector.runtime.doctor.subject import Subject
from tests.support.real_connector import environment
from tests.support.real_platform import RunningPlatform

Results = dict[str, CheckResult]


async def examine(home: Path, variables: dict[str, str], *only: str, mend: bool = False) -> Results:
    """All checks but the import of the tools, which starts processes; or `only` these without what they need."""
    subject = Subject(home, variables)
    wanted = only or tuple(check.id for check in CHECKS if check.id != "tools")
    checks = [check for check in CHECKS if check.id in wanted]
    return {result.id: result for result in await run_checks(checks, subject, mend=mend)}


async def deployed(platform: RunningPlatform, **more: str) -> dict[str, str]:
    """The variables of a connector of a new deployment."""
    made = await platform.deploy()
    return {**environment(platform.rpc_url, made.id, made.secret), "PLATFORM_API_URL": platform.api_url, **more}


def statuses(results: Results) -> dict[str, str]:
    """What is not ok; how much the machine of the tests has to do is left out."""
    not_ok = {name: result.status.value for name, result in results.items() if result.status is not CheckStatus.OK}
    return {name: status for name, status in not_ok.items() if name not in ("memory", "disk")}


def failed(results: Results, name: str, *words: str) -> None:
    """The check failed, and its proof and fix hold the words."""
    result = results[name]
    assert result.status is CheckStatus.FAIL, result
    assert result.fix
    for word in words:
        assert word in f"{result.proof} {result.fix}", result
