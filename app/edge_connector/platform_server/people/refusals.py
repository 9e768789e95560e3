"""Refusals in the form of OAuth: `error` and `error_description` (RFC 6749, section 5.2; RFC 8628, section 3.5)."""

from __future__ import annotations

import msgspec

from edge_connector.platform_server.refusals import Refused


class OAuthRefused(Refused):
    """An OAuth endpoint refuses; its code is the registered `error`."""

    def body(self) -> bytes:
        """The JSON body of the answer."""
        return msgspec.json.encode({"error": self.code, "error_description": self.message})


def in_oauth_form(error: Refused) -> OAuthRefused:
    """Any refusal as an OAuth endpoint says it; what the request did wrong is `invalid_request`."""
    if isinstance(error, OAuthRefused):
        return error
    code = "invalid_request" if error.status in (400, 408, 413) else error.code
    return OAuthRefused(error.status, code, error.message, hint=error.hint)


def invalid_grant(message: str) -> OAuthRefused:
    """400: the code or token is not good, or not any more."""
    return OAuthRefused(400, "invalid_grant", message, hint="Sign in again: edge-connector auth --browser.")


def waiting(error: str) -> OAuthRefused:
    """400 while nobody decided: `authorization_pending` or `slow_down`."""
    text = "Nobody has approved the connector yet."
    if error == "slow_down":
        text += " Ask less often: five seconds more between two requests."
    return OAuthRefused(400, error, text)


def access_denied() -> OAuthRefused:
    """400: a person said no."""
    return OAuthRefused(400, "access_denied", "The connector was denied by a person.")


def expired_token() -> OAuthRefused:
    """400: nobody decided in time."""
    return OAuthRefused(400, "expired_token", "Nobody approved the connector in time; begin again.")
