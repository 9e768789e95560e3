"""When a saved token is renewed or warned about. Pure: moments are wall-clock seconds that the caller brings."""

from __future__ import annotations

from edge_connector.auth.claims import TokenInfo

RENEW_AT = 0.8
"""Share of a token's life after which it is exchanged for a new one."""
ASSUMED_LIFE_S = 3600.0
"""Of a token that does not say when it was issued."""
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
WARNINGS_S = (7 * DAY_S, DAY_S, HOUR_S)
"""So long before the end a person is warned where no renewal is possible."""


def renew_at(info: TokenInfo) -> float | None:
    """The moment to exchange the token; None when it never ends."""
    if info.expires_at is None:
        return None
    return info.expires_at - (1 - RENEW_AT) * life_s(info)


def life_s(info: TokenInfo) -> float:
    """Seconds from issue to end of a token that ends."""
    assert info.expires_at is not None, "it ends"
    issued_at = info.issued_at if info.issued_at is not None else info.expires_at - ASSUMED_LIFE_S
    return max(info.expires_at - issued_at, 1.0)


def warned_at(info: TokenInfo) -> list[float]:
    """The moments of the warnings, in order.

    A token that lives shorter than a warning runs ahead has no such warning, but one when a fifth of its life is left.
    """
    if info.expires_at is None:
        return []
    life = life_s(info)
    ahead = [seconds for seconds in WARNINGS_S if seconds < life] or [(1 - RENEW_AT) * life]
    return [info.expires_at - seconds for seconds in ahead]


def warning(info: TokenInfo, *, now: float) -> str:
    """How long the token is still good, in words, when that has to be said by now; else empty."""
    moments = warned_at(info)
    if info.expires_at is None or not moments or now < moments[0] or now >= info.expires_at:
        return ""
    return span(info.expires_at - now)


def next_change(info: TokenInfo, *, now: float) -> float | None:
    """The next moment at which `warning` may say something else; None when it never will again."""
    if info.expires_at is None:
        return None
    # The words count days above two days, hours above two hours, else minutes.
    left = info.expires_at - now
    unit = DAY_S if left > 2 * DAY_S else HOUR_S if left > 2 * HOUR_S else 60.0
    coming = [moment for moment in (*warned_at(info), info.expires_at) if moment > now]
    if warning(info, now=now):
        coming.append(now + (left % unit or unit))
    return min(coming, default=None)


def span(seconds: float) -> str:
    """A time to come in words, e.g. `3 days`, `5 hours`, `12 minutes`."""
    for unit, size in (("day", DAY_S), ("hour", HOUR_S)):
        if seconds > 2 * size:
            return f"{int(seconds // size)} {unit}s"
    minutes = max(int(seconds // 60), 1)
    return f"{minutes} minute{'' if minutes == 1 else 's'}"
