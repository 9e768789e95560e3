"""How often a password may be tried: by account, with a lock-out, and by address. It checks no password."""

from __future__ import annotations

from collections import OrderedDict

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from edge_connector.core.clock import Clock
from edge_connector.platform_server.refusals import Refused

FAILURES = 10
LOCKED_S = 15 * 60.0
PER_ADDRESS_A_MINUTE = 30
"""Tries, good ones too: an office behind one address signs in, a list of passwords does not get far."""
ACCOUNTS = 20_000
"""Accounts that are remembered; the one that was tried longest ago is forgotten first."""


class Attempts:
    """Counts tries; unknown accounts are counted like known ones, so that nobody learns which there are."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._accounts: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._per_address = RateLimitItemPerMinute(PER_ADDRESS_A_MINUTE)

    def begin(self, account: str, address: str) -> bool:
        """Count a try before its outcome is known, so that tries side by side count too; True when it is the last one.

        Raises:
            Refused: `too_many_attempts` from this address, or `account_locked`.
        """
        if not self._limiter.hit(self._per_address, address or "unknown"):
            raise Refused(
                429,
                "too_many_attempts",
                "Too many passwords were tried from this address.",
                hint="Wait a minute, then try again.",
            )
        now = self._clock.monotonic()
        count, last = self._accounts.get(account, (0, now))
        if now - last >= LOCKED_S:
            count = 0
        if count >= FAILURES:
            minutes = max(1, round((LOCKED_S - (now - last)) / 60))
            raise Refused(
                429,
                "account_locked",
                f"After {FAILURES} wrong passwords this account is locked for another {minutes} min.",
                hint="Wait; an admin cannot shorten it.",
            )
        self._accounts[account] = (count + 1, now)
        self._accounts.move_to_end(account)
        if len(self._accounts) > ACCOUNTS:
            self._accounts.popitem(last=False)
        return count + 1 == FAILURES

    def succeeded(self, account: str) -> None:
        """The password was right: earlier failures are forgotten."""
        self._accounts.pop(account, None)
