"""A connector's `result.reference` becomes the result that it brought before, or the failure of its call."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Raw

from edge_connector.core.tasks import TaskOwner
from edge_connector.platform_server.results.store import ResultStore
from edge_connector.wire import messages as m

_check = msgspec.json.Decoder(Raw).decode


class References:
    """Resolves references beside the loop, each once."""

    def __init__(self, store: ResultStore) -> None:
        self._store = store
        self._tasks = TaskOwner("references")
        self._under_way: set[tuple[str, str]] = set()

    def resolve(
        self, deployment_id: str, reference: m.ResultReference, done: Callable[[m.Result | m.Failure], None]
    ) -> None:
        """Give the outcome to `done`; nothing happens when the same reference is being resolved."""
        key = (deployment_id, reference.id)
        if key not in self._under_way:
            self._under_way.add(key)
            self._tasks.spawn(self._resolve(key, reference, done), name=reference.id)

    async def _resolve(
        self, key: tuple[str, str], reference: m.ResultReference, done: Callable[[m.Result | m.Failure], None]
    ) -> None:
        try:
            data = await self._store.take(*key, reference.sha256)
        finally:
            self._under_way.discard(key)
        done(_outcome(reference, data))

    async def close(self) -> None:
        """Resolve nothing more."""
        await self._tasks.close()


def _outcome(reference: m.ResultReference, data: bytes | None) -> m.Result | m.Failure:
    if data is None:
        return _failure(
            reference,
            "result_lost",
            "The platform does not have the result that the connector says it brought.",
            "Call the tool again if that is safe.",
        )
    try:
        data.decode()
        return m.Result(id=reference.id, result=_check(data), duration_ms=reference.duration_ms)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _failure(reference, "result_not_json", f"The result is not JSON: {error}.", "")


def _failure(reference: m.ResultReference, code: str, message: str, hint: str) -> m.Failure:
    error = m.CallError(code=code, message=message, hint=hint)
    return m.Failure(id=reference.id, outcome=m.Outcome.FAILED, error=error, duration_ms=reference.duration_ms)
