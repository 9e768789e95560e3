"""Decides a device sign-in (RFC 8628): when to ask the platform next, and which answer is the end.

Pure: moments are monotonic seconds that the caller brings, and nothing is sent from here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from edge_connector.core.errors import EdgeError, NeedsLogin, UserError

SLOW_DOWN_S = 5.0
"""What `slow_down` adds to the interval, for good (RFC 8628 section 3.5)."""
MAX_SILENCE_S = 60.0
"""Longest wait after failures to connect."""
AGAIN = "Run `edge-connector auth --browser` again, or sign in from the window."


@dataclass(frozen=True, slots=True)
class DeviceFlow:
    """A sign-in that waits for a person's approval.

    Attributes:
        device_code: the secret half, known to this process and the platform.
        user_code: what the person compares or types.
        address: the page to open; it holds the user code where the platform offers that.
        expires_at: when the platform forgets it.
        interval_s: least time between two questions.
        next_poll_at: when to ask next.
        failures: failed connections in a row.
    """

    device_code: str = field(repr=False)
    user_code: str
    verification_address: str
    address: str
    expires_at: float
    interval_s: float
    next_poll_at: float
    failures: int = 0

    @classmethod
    def begin(
        cls,
        *,
        device_code: str,
        user_code: str,
        verification_uri: str,
        verification_uri_complete: str = "",
        expires_in_s: float,
        interval_s: float,
        now: float,
    ) -> DeviceFlow:
        """A flow that the platform has just opened."""
        return cls(
            device_code=device_code,
            user_code=user_code,
            verification_address=verification_uri,
            address=verification_uri_complete or verification_uri,
            expires_at=now + expires_in_s,
            interval_s=interval_s,
            next_poll_at=now + interval_s,
        )

    def answered(self, error: str, description: str, *, now: float) -> DeviceFlow:
        """The flow after the platform answered a question with `error`.

        Raises:
            NeedsLogin: it is over: denied or expired.
            UserError: it is over: the platform does not want this client or code.
        """
        match error:
            case "authorization_pending":
                interval_s = self.interval_s
            case "slow_down":
                interval_s = self.interval_s + SLOW_DOWN_S
            case "access_denied":
                raise NeedsLogin("sign_in_denied", "Sign-in was denied on the approval page.", hint=AGAIN)
            case "expired_token":
                raise self.expired()
            case _:
                raise UserError(
                    "sign_in_refused", f"The platform refused the sign-in: {error} ({description}).", hint=AGAIN
                )
        return replace(self, interval_s=interval_s, next_poll_at=now + interval_s, failures=0)

    def unreachable(self, *, now: float) -> DeviceFlow:
        """The flow after a question got no answer: each further one waits twice as long (RFC 8628 section 3.5)."""
        failures = min(self.failures + 1, 10)
        wait_s = max(min(self.interval_s * 2.0**failures, MAX_SILENCE_S), self.interval_s)
        return replace(self, next_poll_at=now + wait_s, failures=failures)

    def wait_s(self, *, now: float) -> float:
        """Seconds until the next question.

        Raises:
            NeedsLogin: the time is over before it.
        """
        if now >= self.expires_at:
            raise self.expired()
        return max(min(self.next_poll_at, self.expires_at) - now, 0.0)

    def is_due(self, *, now: float) -> bool:
        """Whether the platform may be asked; the interval holds at the end of the time too."""
        return now >= self.next_poll_at

    def expired(self) -> EdgeError:
        """The end when nobody approved in time."""
        return NeedsLogin(
            "sign_in_expired",
            "Sign-in was not approved in time: the page was closed, or nobody approved it.",
            hint=AGAIN,
        )
