"""Passwords: argon2id, in threads, a few at a time, no difference for people who have none."""

from __future__ import annotations

import asyncio
import threading

import pytest

from edge_connector.platform_server.people import passwords
from edge_connector.platform_server.people.passwords import MAX_CHARACTERS, MIN_CHARACTERS, Passwords
from edge_connector.platform_server.refusals import Refused


async def test_a_hash_is_argon2id_and_fits_its_password_alone() -> None:
    room = Passwords()
    kept = await room.hash("Zwölf Boxkämpfer")
    assert kept.startswith("$argon2id$")
    assert kept != await room.hash("Zwölf Boxkämpfer")
    assert await room.check(kept, "Zwölf Boxkämpfer")
    assert not await room.check(kept, "zwölf Boxkämpfer")
    assert not room.is_outdated(kept)
    weak = kept.replace("t=3", "t=1")
    assert room.is_outdated(weak)


@pytest.mark.parametrize("length", [0, MIN_CHARACTERS - 1, MAX_CHARACTERS + 1])
async def test_the_length_is_checked_and_named(length: int) -> None:
    with pytest.raises(Refused) as refused:
        await Passwords().hash("x" * length)
    assert (refused.value.status, refused.value.code) == (400, "password_length")
    assert f"not {length}" in refused.value.message


@pytest.mark.parametrize("kept", ["", "no hash at all"])
async def test_who_has_no_password_gets_in_with_none(kept: str) -> None:
    room = Passwords()
    for password in ("", "nobody's password", "x" * 1000):
        assert not await room.check(kept, password)


async def test_work_is_done_in_threads_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    room = Passwords()
    running, most, loops_thread = 0, 0, threading.get_ident()
    gate, lock = threading.Event(), threading.Lock()

    def slow(kept: str, password: str) -> bool:
        nonlocal running, most
        assert threading.get_ident() != loops_thread
        with lock:
            running += 1
            most = max(most, running)
        gate.wait(10)
        with lock:
            running -= 1
        return True

    monkeypatch.setattr(room, "_check", slow)
    monkeypatch.setattr(passwords, "MAX_WAITING", 4)
    waiting = [asyncio.create_task(room.check("", "x")) for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(Refused) as busy:
        await room.check("", "x")
    assert (busy.value.status, busy.value.code) == (503, "sign_in_busy")
    gate.set()
    assert await asyncio.gather(*waiting) == [True] * 4
    assert most <= passwords.AT_A_TIME
