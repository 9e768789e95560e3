"""Close codes of Tool RPC v1: why a session ended, and whether dialling again can help (docs/tool-rpc.md)."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Retry(StrEnum):
    """What the closed peer does next."""

    BACKOFF = "backoff"
    """Dial again with the documented delays."""
    SLOW = "slow"
    """Dial again every 60 s: somebody else has to act first, but may do so at any time."""
    NEVER = "never"
    """Refused for good: stop until a person or the configuration changes something."""


class CloseCode(IntEnum):
    """Codes of the WebSocket close frame; 1000 to 1015 keep their meaning in RFC 6455, section 7.4.1."""

    GOING_AWAY = 1000
    REPLACED = 4001
    TAKEN_OVER = 4002
    MALFORMED = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    DEPLOYMENT_GONE = 4404
    VERSION_UNSUPPORTED = 4406
    SILENT = 4408
    ALREADY_CONNECTED = 4409
    REVOKED = 4410
    TOO_LARGE = 4413
    OUT_OF_ORDER = 4422
    TOO_MANY = 4429
    INTERNAL = 4500
    DRAINING = 4503


RETRY: dict[int, Retry] = {
    CloseCode.GOING_AWAY: Retry.BACKOFF,
    CloseCode.REPLACED: Retry.SLOW,
    CloseCode.TAKEN_OVER: Retry.SLOW,
    CloseCode.MALFORMED: Retry.BACKOFF,
    CloseCode.UNAUTHORIZED: Retry.NEVER,
    CloseCode.FORBIDDEN: Retry.NEVER,
    CloseCode.DEPLOYMENT_GONE: Retry.NEVER,
    CloseCode.VERSION_UNSUPPORTED: Retry.NEVER,
    CloseCode.SILENT: Retry.BACKOFF,
    CloseCode.ALREADY_CONNECTED: Retry.SLOW,
    CloseCode.REVOKED: Retry.NEVER,
    CloseCode.TOO_LARGE: Retry.BACKOFF,
    CloseCode.OUT_OF_ORDER: Retry.BACKOFF,
    CloseCode.TOO_MANY: Retry.BACKOFF,
    CloseCode.INTERNAL: Retry.BACKOFF,
    CloseCode.DRAINING: Retry.BACKOFF,
}
"""What to do after each code. A code that is not listed is treated as `Retry.BACKOFF`."""

MEANING: dict[int, str] = {
    CloseCode.GOING_AWAY: "the peer ended the session in good order",
    CloseCode.REPLACED: "a newer session of the same installation took this one's place",
    CloseCode.TAKEN_OVER: "another installation was told to take this deployment over",
    CloseCode.MALFORMED: "a frame was not valid JSON of a known message",
    CloseCode.UNAUTHORIZED: "the credentials were refused",
    CloseCode.FORBIDDEN: "the credentials are good but do not allow this role, or the organization is deactivated",
    CloseCode.DEPLOYMENT_GONE: "the deployment was deleted",
    CloseCode.VERSION_UNSUPPORTED: "the two peers speak no common protocol version",
    CloseCode.SILENT: "nothing was received for longer than the silence limit",
    CloseCode.ALREADY_CONNECTED: "Deployment already connected",
    CloseCode.REVOKED: "the credentials were revoked while the session was open",
    CloseCode.TOO_LARGE: "a frame was larger than the announced limit",
    CloseCode.OUT_OF_ORDER: "a message came in a state that does not allow it",
    CloseCode.TOO_MANY: "too many sessions or attempts; slow down",
    CloseCode.INTERNAL: "the peer failed; it has logged why",
    CloseCode.DRAINING: "the platform is shutting down or moving its sessions",
}


def retry_after_close(code: int) -> Retry:
    """What to do after the peer closed with `code`."""
    return RETRY.get(code, Retry.BACKOFF)
