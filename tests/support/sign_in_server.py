"""A sign-in server of its own making after RFC 8628, 6749 and 7009: an independent judge of the connector's side.

async with sign_in_server() as server:
    ...                                  # begin a sign-in at server.url
    server.approve()                     # or deny(), expire()
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.secrets import WATCH

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass
class SignInServer:
    """What it answers, and what it was asked.

    Attributes:
        clock: what intervals are measured by; a test may bring its own.
        interval: seconds between questions; grows by 5 with each question that comes too early.
        life_s: of an access token.
        asked: the moment of each poll.
        unavailable: so many requests are answered 503.
        strict: whether a poll that comes too early is told to slow down.
    """

    clock: Callable[[], float] = time.monotonic
    interval: float = 0.05
    expires_in: float = 600
    life_s: float = 3600
    with_refresh: bool = True
    wall: Callable[[], float] = time.time
    strict: bool = True
    state: str = "pending"
    forms: list[dict[str, str]] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    refreshed: int = 0
    unavailable: int = 0
    refuse_refresh: str = ""
    organization: str | None = "org_1"
    complete_address: str = ""
    url: str = ""
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    _codes: set[str] = field(default_factory=set)
    _refresh_tokens: set[str] = field(default_factory=set)
    _opened: float = 0.0

    def approve(self) -> None:
        self.state = "approved"

    def deny(self) -> None:
        self.state = "denied"

    def expire(self) -> None:
        self.state = "expired"

    def token(self, *, watched: bool = True, **claims: Any) -> str:
        """An access token of this server. `watched`: whether it must not be seen anywhere."""
        now = int(self.wall())
        content: dict[str, Any] = {"sub": "usr_1", "email": "ada@example.org", "iat": now, "exp": now + self.life_s}
        if self.organization:
            content["orgId"] = self.organization
        made = jwt.encode({**content, **claims}, self.key, algorithm="EdDSA", headers={"kid": "k1"})
        if watched:
            WATCH.learn(made, "access token")
        return made

    def tokens(self) -> dict[str, Any]:
        answer: dict[str, Any] = {"access_token": self.token(), "token_type": "Bearer", "expires_in": self.life_s}
        if self.with_refresh:
            answer["refresh_token"] = "ecr_" + secrets.token_urlsafe(32)
            WATCH.learn(answer["refresh_token"], "refresh token")
            self._refresh_tokens.add(answer["refresh_token"])
        return answer

    # ---- endpoints

    async def device_authorization(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        assert form["client_id"]
        code = secrets.token_urlsafe(32)
        WATCH.learn(code, "device code")
        self._codes = {code}
        self._opened = self.clock()
        self.asked = []
        return web.json_response(
            {
                "device_code": code,
                "user_code": "BDWP-HQPK",
                "verification_uri": f"{self.url}/device",
                "verification_uri_complete": self.complete_address or f"{self.url}/device?user_code=BDWP-HQPK",
                "expires_in": self.expires_in,
                "interval": self.interval,
            }
        )

    async def token_endpoint(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        if self.unavailable:
            self.unavailable -= 1
            return web.Response(status=503, text="busy")
        if form.get("grant_type") == "refresh_token":
            return self._refresh(form["refresh_token"])
        if form.get("grant_type") != DEVICE_GRANT:
            return self._no("unsupported_grant_type")
        now = self.clock()
        before = self.asked[-1] if self.asked else self._opened
        self.asked.append(now)
        if form.get("device_code") not in self._codes:
            return self._no("invalid_grant")
        if self.state == "expired" or now >= self._opened + self.expires_in:
            return self._no("expired_token")
        if self.strict and now - before < self.interval - 1e-6:
            self.interval += 5
            return self._no("slow_down")
        if self.answers:
            answer = self.answers.pop(0)
            if answer == "slow_down":
                self.interval += 5
            return self._no(answer)
        if self.state == "pending":
            return self._no("authorization_pending")
        if self.state == "denied":
            return self._no("access_denied")
        self._codes.clear()  # one use
        return web.json_response(self.tokens(), headers={"Cache-Control": "no-store"})

    async def revocation(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        self.revoked.append(form["token"])
        self._refresh_tokens.discard(form["token"])
        return web.json_response({})

    async def jwks(self, request: web.Request) -> web.Response:
        key = jwt.algorithms.OKPAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return web.json_response({"keys": [{**key, "kid": "k1", "use": "sig", "alg": "EdDSA"}]})

    def _refresh(self, token: str) -> web.Response:
        if self.refuse_refresh:
            return self._no(self.refuse_refresh)
        if token not in self._refresh_tokens:
            return self._no("invalid_grant")
        self._refresh_tokens.remove(token)  # rotated: each is good once
        self.refreshed += 1
        return web.json_response(self.tokens())

    async def _form(self, request: web.Request) -> dict[str, str]:
        assert request.content_type == "application/x-www-form-urlencoded"
        assert "Authorization" not in request.headers
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.forms.append(form)
        return form

    def _no(self, error: str) -> web.Response:
        return web.json_response({"error": error, "error_description": f"said {error}"}, status=400)


@asynccontextmanager
async def sign_in_server(**options: Any) -> AsyncIterator[SignInServer]:
    """A listening server on a free port of this machine."""
    server = SignInServer(**options)
    application = web.Application()
    application.add_routes(
        [
            web.post("/oauth/device_authorization", server.device_authorization),
            web.post("/oauth/token", server.token_endpoint),
            web.post("/oauth/revoke", server.revocation),
            web.get("/.well-known/jwks.json", server.jwks),
        ]
    )
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        server.url = f"http://127.0.0.1:{port}"
        yield server
    finally:
        await runner.cleanup()
