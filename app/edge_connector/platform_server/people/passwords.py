"""Passwords as argon2id hashes, made and checked in threads, a few at a time. It knows no people."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from edge_connector.platform_server.refusals import Refused

T = TypeVar("T")

MIN_CHARACTERS = 10
MAX_CHARACTERS = 200
AT_A_TIME = 2
"""Each takes 64 MiB and some 50 ms of a core with the library's defaults (RFC 9106, section 4, second option)."""
MAX_WAITING = 50
"""Then who comes next is asked to come again, before all of them wait for minutes."""


class Passwords:
    """Hashes and checks."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        """`hasher`: with other parameters than the library's defaults."""
        self._hasher = hasher or PasswordHasher()
        self._gate = asyncio.Semaphore(AT_A_TIME)
        self._waiting = 0
        self._nobodys = ""

    async def hash(self, password: str) -> str:
        """What is kept of `password`.

        Raises:
            Refused: it is too short or too long, or too many are being checked.
        """
        if not MIN_CHARACTERS <= len(password) <= MAX_CHARACTERS:
            raise Refused(
                400,
                "password_length",
                f"The field password has {MIN_CHARACTERS} to {MAX_CHARACTERS} characters, not {len(password)}.",
                hint="Use a few words that nobody would guess together.",
            )
        return await self._in_thread(self._hash, password)

    async def rehash(self, password: str) -> str:
        """A fresh hash of a password that was right, however short it is."""
        return await self._in_thread(self._hash, password)

    async def check(self, kept: str, password: str) -> bool:
        """Whether `kept` is the hash of `password`; an empty one takes as long and is never it.

        Raises:
            Refused: too many are being checked.
        """
        return await self._in_thread(self._check, kept, password[: MAX_CHARACTERS + 1])

    def is_outdated(self, kept: str) -> bool:
        """Whether a hash was made with weaker parameters than today's."""
        return self._hasher.check_needs_rehash(kept)

    async def _in_thread(self, function: Callable[..., T], *arguments: str) -> T:
        if self._waiting >= MAX_WAITING:
            raise Refused(503, "sign_in_busy", "Too many people sign in at this moment.", hint="Try again soon.")
        self._waiting += 1
        try:
            async with self._gate:
                return await asyncio.to_thread(function, *arguments)
        finally:
            self._waiting -= 1

    def _hash(self, password: str) -> str:
        return self._hasher.hash(password)

    def _check(self, kept: str, password: str) -> bool:
        if not self._nobodys:
            # Made by the first check of all, so that an unknown person takes as long as a known one.
            self._nobodys = self._hasher.hash("nobody's password")
        try:
            return self._hasher.verify(kept or self._nobodys, password) and bool(kept)
        except (VerificationError, InvalidHashError):
            return False
