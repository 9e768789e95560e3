"""Checks of an installation: what a check is, what it finds, and running many of them in the order of their needs.

A room declares its checks as `Check`s; the composition that runs them makes the list. `T` is what a check is given.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Generic, TypeVar

from edge_connector.core.errors import EdgeError

T = TypeVar("T")
V = TypeVar("V")

MAX_MENDS = 3
"""Of one check in one run."""


class CheckStatus(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    """It works all the same, but somebody should know."""
    FAIL = "fail"
    SKIPPED = "skipped"
    """It could not be looked at; the proof says why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check saw.

    Attributes:
        proof: the fact that was seen, with numbers.
        fix: a sentence or a command; empty when there is nothing to do.
        mend: does what is safe to do without asking, and says in one sentence what it did.
    """

    status: CheckStatus
    proof: str
    fix: str = ""
    mend: Callable[[], str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(Generic[T]):
    """One thing to look at.

    Attributes:
        id: stable name in snake case.
        what: the thing, in a few words.
        looks_at: what is looked at and when it fails, one sentence for the documentation.
        mends: what `--fix` does about it; empty when nothing is safe to do.
        needs: ids of checks without which this one says nothing: it is skipped when one of them fails or is skipped.
        timeout_s: how long it may take; then it fails.
    """

    id: str
    what: str
    looks_at: str
    run: Callable[[T], Awaitable[Finding]]
    mends: str = ""
    needs: tuple[str, ...] = ()
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A finding with the check it belongs to; `mended` says what was done about it, empty when nothing was."""

    id: str
    what: str
    status: CheckStatus
    proof: str
    fix: str
    duration_ms: float
    mended: str = ""

    def to_document(self) -> dict[str, object]:
        """As it stands in `checks[]` of the JSON document."""
        document: dict[str, object] = {
            "id": self.id,
            "what": self.what,
            "status": self.status.value,
            "proof": self.proof,
            "fix": self.fix,
            "durationMs": round(self.duration_ms, 1),
        }
        if self.mended:
            document["mended"] = self.mended
        return document


def ok(proof: str) -> Finding:
    """All is well."""
    return Finding(CheckStatus.OK, proof)


def warn(proof: str, fix: str, mend: Callable[[], str] | None = None) -> Finding:
    """It works, but."""
    return Finding(CheckStatus.WARN, proof, fix, mend)


def fail(proof: str, fix: str, mend: Callable[[], str] | None = None) -> Finding:
    """It does not work."""
    return Finding(CheckStatus.FAIL, proof, fix, mend)


def skip(reason: str) -> Finding:
    """It cannot be looked at."""
    return Finding(CheckStatus.SKIPPED, reason)


async def run_checks(
    checks: Sequence[Check[T]],
    subject: T,
    *,
    mend: bool = False,
    on_result: Callable[[CheckResult], None] = lambda result: None,
) -> list[CheckResult]:
    """Run `checks`, those that need nothing of each other at the same time; returns the results in their order.

    Args:
        mend: do what is safe about what was found, then look again.
        on_result: hears of each result in the order of `checks`, as soon as it and all before it are known.
    """
    known = {check.id for check in checks}
    loop = asyncio.get_running_loop()
    results: dict[str, asyncio.Future[CheckResult]] = {check.id: loop.create_future() for check in checks}

    async def examine(check: Check[T]) -> None:
        for need in check.needs:
            assert need in known, f"{check.id} needs {need}, which is not in the list"
            before = await results[need]
            if before.status in (CheckStatus.FAIL, CheckStatus.SKIPPED):
                reason = f"not looked at, because of: {before.what}"
                results[check.id].set_result(
                    CheckResult(check.id, check.what, CheckStatus.SKIPPED, reason, "", 0.0),
                )
                return
        results[check.id].set_result(await _run_one(check, subject, mend))

    async with asyncio.TaskGroup() as group:
        for check in checks:
            group.create_task(examine(check), name=f"check.{check.id}")
        for check in checks:
            on_result(await results[check.id])
    return [results[check.id].result() for check in checks]


async def _run_one(check: Check[T], subject: T, mend: bool) -> CheckResult:
    loop = asyncio.get_running_loop()
    started = loop.time()

    async def look() -> Finding:
        try:
            async with asyncio.timeout(check.timeout_s):
                return await check.run(subject)
        except TimeoutError:
            return fail(f"no answer within {check.timeout_s:g} s", "Look at the load of this machine and its network.")
        except EdgeError as error:
            return fail(error.message, error.hint)
        except OSError as error:
            return fail(f"the system says: {error}", "Check the rights and the file system of what is named.")

    found, mended = await look(), list[str]()
    # What was mended may have hidden something else.
    while mend and found.mend is not None and len(mended) < MAX_MENDS:
        try:
            mended.append(await asyncio.to_thread(found.mend))
        except (EdgeError, OSError) as error:
            found = replace(found, proof=f"{found.proof}; it could not be mended: {error}", mend=None)
        else:
            found = await look()
    duration_ms = (loop.time() - started) * 1000
    return CheckResult(check.id, check.what, found.status, found.proof, found.fix, duration_ms, "; ".join(mended))


class Once(Generic[V]):
    """A fact that several checks need and that is found out once; a failure is remembered too."""

    def __init__(self, find: Callable[[], Awaitable[V]]) -> None:
        self._find = find
        self._lock = asyncio.Lock()
        self._found: V
        self._failed: EdgeError | OSError | None = None
        self._known = False

    async def __call__(self) -> V:
        """The fact.

        Raises:
            EdgeError, OSError: as the first attempt did.
        """
        async with self._lock:
            if not self._known:
                try:
                    self._found = await self._find()
                except (EdgeError, OSError) as error:
                    self._failed = error
                self._known = True
        if self._failed is not None:
            raise self._failed
        return self._found

    def forget(self) -> None:
        """Find out anew the next time."""
        self._known, self._failed = False, None


async def in_thread(function: Callable[[], V]) -> V:
    """Run a blocking `function` in a thread that nobody waits for at the end: a name server may be silent for long."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[V] = loop.create_future()

    def finish(result: V | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def work() -> None:
        result, error = None, None
        try:
            result = function()
        except Exception as raised:
            error = raised
        try:
            loop.call_soon_threadsafe(finish, result, error)
        except RuntimeError:
            # The loop is closed: whoever asked does not wait any more.
            pass

    threading.Thread(target=work, name="check", daemon=True).start()
    return await done
