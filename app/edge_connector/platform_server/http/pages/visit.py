"""One request of a browser: its cookies, its form, whose session it is, and whether the form is one of ours.

A form carries a token that a page of another origin cannot know: made from the session's cookie, or before a sign-in
from a cookie for forms alone. Nothing here renders.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from edge_connector.platform_server.identity import Principal
from edge_connector.platform_server.people.sessions import LIFE_S, Session
from edge_connector.platform_server.refusals import Refused, invalid_request

SESSION_COOKIE = "ec_session"
FORM_COOKIE = "ec_form"
MAX_FIELDS = 50
HOME = "/deployments"
"""Where a signed-in person arrives."""
_OWN_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")
"""Visible ASCII without backslashes: no browser reads another host into it (WHATWG URL, "special" schemes)."""


class Visit:
    """What a page is given.

    Attributes:
        session: of the signed-in person; None without one.
        fields: of the form that was sent; empty for GET.
    """

    def __init__(self, request: Request, session: Session | None, *, is_secure: bool) -> None:
        self.request = request
        self.session = session
        self.fields: dict[str, str] = {}
        self._is_secure = is_secure
        self._form_key = request.cookies.get(cookie_name(FORM_COOKIE, is_secure=is_secure), "")
        self._is_new_key = False

    # ---- what was sent

    @property
    def address(self) -> str:
        """Where it came from."""
        return self.request.client.host if self.request.client else ""

    @property
    def browser(self) -> str:
        """What the browser calls itself."""
        return self.request.headers.get("user-agent", "")

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters of the address."""
        return self.request.query_params

    def given(self, name: str) -> str:
        """A field of the form, else a parameter of the address, without blanks around it."""
        return self.fields.get(name, self.query.get(name, "")).strip()

    @property
    def next(self) -> str:
        """Where the person wanted to go, on this platform; empty when it was nowhere."""
        return own_path(self.given("next"))

    def read_form(self, body: bytes) -> None:
        """Take the fields of a form.

        Raises:
            Refused: 400, it is no form, or has a field twice.
        """
        try:
            pairs = parse_qsl(
                body.decode(), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=MAX_FIELDS
            )
        except ValueError as error:
            raise invalid_request("the body is no form") from error
        self.fields = dict(pairs)
        if len(self.fields) != len(pairs):
            raise invalid_request("a field is there twice")

    # ---- who sent it

    @property
    def signed_in(self) -> Session:
        assert self.session is not None, "the page is for signed-in people"
        return self.session

    @property
    def principal(self) -> Principal:
        principal = self.signed_in.principal
        assert principal is not None, "the page is for members of the chosen organization"
        return principal

    # ---- forms

    @property
    def csrf(self) -> str:
        """To be in each form of the answer."""
        if self.session is not None:
            return self.session.csrf
        if not self._form_key:
            self._form_key = secrets.token_urlsafe(32)
            self._is_new_key = True
        return self._of_key()

    def check_form(self, *, needs_session: bool) -> None:
        """Pass only with a form that was made for this browser.

        Args:
            needs_session: whether only the session's own forms pass; a form from before the sign-in passes otherwise.

        Raises:
            Refused: 403 `wrong_form`.
        """
        sent = self.fields.get("csrf", "")
        if self.session is not None and self.session.is_csrf(sent):
            return
        is_anonymous = bool(self._form_key) and hmac.compare_digest(self._of_key().encode(), sent.encode())
        if needs_session or not is_anonymous:
            raise Refused(
                403,
                "wrong_form",
                "This form was not made for this browser's session, so nothing was changed.",
                hint="Go back, load the page again, and send the form once more; the browser must accept cookies.",
            )

    def _of_key(self) -> str:
        return hmac.digest(self._form_key.encode(), b"csrf form", hashlib.sha256).hex()

    # ---- cookies of the answer

    def keep_form_key(self, response: Response) -> None:
        """Give the browser the cookie that its forms were made from, when it is new."""
        if self._is_new_key:
            self._set(response, FORM_COOKIE, self._form_key, None)

    def sign_in(self, response: Response, session: Session) -> None:
        """The browser is signed in from now on."""
        self._set(response, SESSION_COOKIE, session.token, int(LIFE_S))

    def sign_out(self, response: Response) -> None:
        """The browser forgets its session."""
        self._set(response, SESSION_COOKIE, "", 0)

    def _set(self, response: Response, name: str, value: str, max_age: int | None) -> None:
        response.set_cookie(
            cookie_name(name, is_secure=self._is_secure),
            value,
            max_age=max_age,
            secure=self._is_secure,
            httponly=True,
            samesite="lax",
        )


def cookie_name(name: str, *, is_secure: bool) -> str:
    """With https the prefix that ties a cookie to this host and path (RFC 6265bis, section 4.1.3.2)."""
    return f"__Host-{name}" if is_secure else name


def own_path(path: str) -> str:
    """`path` when it leads to this platform, else empty."""
    return path if _OWN_PATH.fullmatch(path) else ""
