"""What the platform answers when it does not do as asked, with its HTTP status. It decides nothing."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

import msgspec

from edge_connector.core.errors import UserError
from edge_connector.platform_api.models import ErrorBody, ErrorReply


class Refused(UserError):
    """The request is refused with an HTTP status.

    Attributes:
        status: HTTP status of the answer (RFC 9110, section 15).
    """

    def __init__(self, status: int, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(code, message, hint=hint)
        self.status = status

    def body(self) -> bytes:
        """The JSON body of the answer."""
        return msgspec.json.encode(ErrorReply(error=ErrorBody(code=self.code, message=self.message, hint=self.hint)))


def invalid_request(what: str) -> Refused:
    """400: a field of the request is wrong; `what` names it."""
    return Refused(400, "invalid_request", f"The request is not valid: {what}.", hint="See /api/v1/openapi.json.")


def unauthorized(*, given: bool) -> Refused:
    """401: no credentials, or ones that are not known."""
    if given:
        return Refused(
            401,
            "credentials_refused",
            "The credentials are not known here, were revoked, or have expired.",
            hint="Make a new token, or sign in again.",
        )
    return Refused(
        401,
        "credentials_missing",
        "The request carries no credentials.",
        hint="Send the header Authorization: Bearer <token>.",
    )


def forbidden(message: str, *, hint: str = "") -> Refused:
    """403: good credentials that do not allow this."""
    return Refused(403, "forbidden", message, hint=hint or "Use credentials that allow it.")


def too_many_attempts() -> Refused:
    """429: this address failed too often to present good credentials."""
    return Refused(
        429,
        "too_many_attempts",
        "Too many failed attempts came from this address.",
        hint="Wait a minute, then try again.",
    )


def not_found(kind: str, name: str) -> Refused:
    """404 with the code `unknown_<kind>`."""
    return Refused(404, f"unknown_{kind}", f"There is no {kind} {name!r} in this organization.", hint="Check the id.")


def unknown_tool(name: str, known: Iterable[str]) -> Refused:
    """404 that names the tools with the nearest names."""
    nearest = get_close_matches(name, list(known), n=3, cutoff=0.5)
    hint = f"Did you mean {', '.join(nearest)}?" if nearest else "List the tools with GET /api/v1/tools."
    return Refused(404, "unknown_tool", f"No connector offers a tool {name!r}.", hint=hint)


def connector_unavailable(reason: str) -> Refused:
    """503; the message begins with the documented words."""
    return Refused(
        503,
        "connector_unavailable",
        f"connector unavailable: {reason}",
        hint="Start the connector, or try again later.",
    )


def connector_busy(name: str) -> Refused:
    """503: the link to this connector is full."""
    return Refused(
        503, "connector_busy", f"Too many calls wait for the connector of {name!r}.", hint="Send fewer calls at a time."
    )


def platform_stopping() -> Refused:
    """503: no new calls while the platform stops."""
    return Refused(503, "draining", "The platform is stopping and takes no new calls.", hint="Try again soon.")
