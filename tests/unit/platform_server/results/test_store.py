from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge_connector.platform_server.refusals import Refused
from edge_connector.platform_server.results import store as store_module
from edge_connector.platform_server.results.store import KEEP_S, ResultStore

DATA = b'"' + b"x" * 700_000 + b'"'
DIGEST = hashlib.sha256(DATA).hexdigest()


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now

    def asleep(self) -> float:
        return 0.0


async def chunks(data: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> ResultStore:
    made = ResultStore(tmp_path / "results", clock)
    await made.open()
    return made


def files(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "results").iterdir())


async def test_what_was_brought_is_taken_once(store: ResultStore, tmp_path: Path) -> None:
    await store.keep("d", "c", chunks(DATA), size=len(DATA), sha256=DIGEST)
    assert store.bytes == len(DATA) and len(files(tmp_path)) == 1
    assert await store.take("other", "c", DIGEST) is None
    assert await store.take("d", "c", "0" * 64) is None
    assert await store.take("d", "c", DIGEST) == DATA
    assert await store.take("d", "c", DIGEST) is None
    assert store.bytes == 0 and not files(tmp_path)


async def test_the_same_call_again_replaces_it(store: ResultStore, tmp_path: Path) -> None:
    await store.keep("d", "c", chunks(b"1"), size=1, sha256=hashlib.sha256(b"1").hexdigest())
    await store.keep("d", "c", chunks(DATA), size=len(DATA), sha256=DIGEST)
    assert store.bytes == len(DATA) and len(files(tmp_path)) == 1
    assert await store.take("d", "c", DIGEST) == DATA


@pytest.mark.parametrize(
    ("size", "sha256", "words"),
    [(len(DATA) - 1, DIGEST, "more than"), (len(DATA) + 1, DIGEST, "ended after"), (len(DATA), "0" * 64, "SHA-256")],
)
async def test_what_was_not_announced_is_refused_and_leaves_nothing(
    store: ResultStore, tmp_path: Path, size: int, sha256: str, words: str
) -> None:
    with pytest.raises(Refused, match=words) as caught:
        await store.keep("d", "c", chunks(DATA), size=size, sha256=sha256)
    assert caught.value.status == 400
    assert store.bytes == 0 and not files(tmp_path)
    assert await store.take("d", "c", sha256) is None


async def test_all_together_are_bounded(store: ResultStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "MAX_BYTES", 2 * len(DATA))
    for call_id in "ab":
        await store.keep("d", call_id, chunks(DATA), size=len(DATA), sha256=DIGEST)
    with pytest.raises(Refused) as caught:
        await store.keep("d", "c", chunks(DATA), size=len(DATA), sha256=DIGEST)
    assert (caught.value.status, caught.value.code) == (507, "results_full")
    await store.take("d", "a", DIGEST)
    await store.keep("d", "c", chunks(DATA), size=len(DATA), sha256=DIGEST)


async def test_what_nobody_refers_to_expires(store: ResultStore, clock: Clock, tmp_path: Path) -> None:
    await store.keep("d", "c", chunks(DATA), size=len(DATA), sha256=DIGEST)
    clock.now += KEEP_S - 1
    store.expire()
    assert files(tmp_path)
    clock.now += 1
    assert await store.take("d", "c", DIGEST) is None
    assert store.bytes == 0 and not files(tmp_path)


async def test_a_new_process_begins_with_an_empty_directory(store: ResultStore, clock: Clock, tmp_path: Path) -> None:
    await store.keep("d", "c", chunks(DATA), size=len(DATA), sha256=DIGEST)
    again = ResultStore(tmp_path / "results", clock)
    await again.open()
    assert not files(tmp_path) and again.bytes == 0


async def test_a_file_that_went_away_is_a_lost_result(store: ResultStore, tmp_path: Path) -> None:
    await store.keep("d", "c", chunks(DATA), size=len(DATA), sha256=DIGEST)
    for file in files(tmp_path):
        file.unlink()
    assert await store.take("d", "c", DIGEST) is None
    assert store.bytes == 0
