"""`POST /api/v1/calls` as plain ASGI: the hot path, in front of the router of all other operations.

No task, no log line and no database access for a call without `Idempotency-Key` and with `wait`.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from typing import Any

import msgspec

from edge_connector.core.errors import EdgeError
from edge_connector.platform_api import models as api
from edge_connector.platform_api.operations import Scope
from edge_connector.platform_server.http.call_documents import document_of, document_of_row, failure_of
from edge_connector.platform_server.identity import Principal
from edge_connector.platform_server.parts import Parts
from edge_connector.platform_server.refusals import Refused, forbidden, invalid_request, too_many_attempts, unauthorized
from edge_connector.platform_server.tool_rpc.arguments import problem_of
from edge_connector.platform_server.tool_rpc.calls import CallOrder, PendingCall

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_KEY = 200

_decode = msgspec.json.Decoder(api.CallRequest).decode
_encode = msgspec.json.Encoder().encode
_JSON = (b"content-type", b"application/json")


class _Answer(msgspec.Struct, rename="camel", omit_defaults=True):
    """The fields of `api.Call` that an ended call has, in the fastest shape."""

    id: str
    tool: str
    state: str
    outcome: str | None
    deployment: str
    attempts: int
    duration_ms: float | None
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: api.CallFailure | None = None


class CallEndpoint:
    """Starts calls, waits for them, and gives a repeated key the same call."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._authenticate = parts.identity.authenticate
        self._start = parts.router.start
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._keys: dict[tuple[str, str], asyncio.Future[PendingCall | None]] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request; the Host header was checked before."""
        try:
            status, body = await self._answer(scope, receive)
        except Refused as error:
            status, body = error.status, error.body()
        headers = [_JSON, (b"content-length", b"%d" % len(body))]
        if status == 413:
            # The rest of the body is on its way and nobody reads it.
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Any, receive: Any) -> tuple[int, bytes]:
        authorization = key = b""
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value
            elif name == b"idempotency-key":
                key = value
            elif name == b"content-length" and int(value) > MAX_BODY_BYTES:
                raise _too_large()
        principal = self._authenticate(authorization)
        if principal is None:
            raise self._stranger(scope, authorization)
        if Scope.CALLS not in principal.scopes:
            raise forbidden("A deployment's credentials do not call tools.", hint="Use a server token or sign in.")
        message = await receive()
        body = message.get("body", b"")
        if message.get("more_body"):
            body = await _rest_of(body, receive)
        try:
            request = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise invalid_request(str(error)) from error
        order = _order(principal, request)
        if key or not request.wait:
            call_or_row = await self._kept(order, key)
            if isinstance(call_or_row, bytes):
                return 200, call_or_row
            if not request.wait and not call_or_row.row.outcome:
                return 202, _encode(document_of(call_or_row))
            await self._ended(call_or_row)
            await self._written()
            return 200, _encode(document_of(call_or_row))
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        call = self._start(order, lambda _: None if ended.done() else ended.set_result(None))
        await ended
        return 200, ended_body(call)

    def start_plain(self, authorization: bytes, body: bytes, on_end: Callable[[PendingCall], None]) -> bool:
        """Start a call whose answer is its outcome; False, with nothing started, when there is anything else to say."""
        principal = self._authenticate(authorization)
        if principal is None or Scope.CALLS not in principal.scopes:
            return False
        try:
            request = _decode(body)
            if not request.wait:
                return False
            self._start(_order(principal, request), on_end)
        except (Refused, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        return True

    def _stranger(self, scope: Any, authorization: bytes) -> Refused:
        client = scope.get("client")
        if authorization and not self._parts.identity.count_failure(client[0] if client else ""):
            return too_many_attempts()
        return unauthorized(given=bool(authorization))

    # ---- calls that are kept

    async def _kept(self, order: CallOrder, key: bytes) -> PendingCall | bytes:
        """A call that is in the store before it is made: the one of this key, or a new one."""
        order.keep = True
        if not key:
            return await self._record_and_dispatch(order)
        order.idempotency_key = _key_text(key)
        slot = (order.organization_id, order.idempotency_key)
        digest = hashlib.sha256(
            b"\0".join((order.tool.encode(), order.deployment.encode(), bytes(order.arguments)))
        ).digest()
        order.request_digest = digest
        while (ahead := self._keys.get(slot)) is not None:
            call = await asyncio.shield(ahead)
            if call is not None:
                _same_request(call.row.request_digest, digest)
                return call
        reserved: asyncio.Future[PendingCall | None] = asyncio.get_running_loop().create_future()
        self._keys[slot] = reserved
        made: PendingCall | None = None
        try:
            row = await self._stored(order)
            if row is not None:
                _same_request(row.request_digest, digest)
                return _encode(document_of_row(row))
            made = await self._record_and_dispatch(order)
            return made
        finally:
            # Once the call has ended the store answers for the key.
            if made is None or made.row.outcome:
                self._keys.pop(slot, None)
            reserved.set_result(made)

    async def _written(self) -> None:
        """Until the outcome is in the store: who is told of it now is told the same after a crash."""
        self._parts.journal.flush()
        try:
            await self._parts.store.settle()
        except EdgeError as error:
            # The outcome is true all the same, and nobody else could tell the caller.
            log.warning("an outcome was told and not kept code=%s error=%s", error.code, error)

    async def _stored(self, order: CallOrder) -> Any:
        self._parts.journal.flush()
        await self._parts.store.settle()
        return await self._parts.store.call_by_key(order.organization_id, order.idempotency_key or "")

    async def _record_and_dispatch(self, order: CallOrder) -> PendingCall:
        router = self._parts.router
        call = router.prepare(order, router.choose(order), self._on_end)
        await self._parts.store.add_call(call.row)
        router.dispatch(call, order, recorded=True)
        return call

    def _on_end(self, call: PendingCall) -> None:
        if call.row.idempotency_key is not None:
            self._keys.pop((call.row.organization_id, call.row.idempotency_key), None)
        for waiter in self._waiting.pop(call.row.id, ()):
            if not waiter.done():
                waiter.set_result(None)

    async def _ended(self, call: PendingCall) -> None:
        if not call.row.outcome:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(call.row.id, []).append(waiter)
            await waiter


def _order(principal: Principal, request: api.CallRequest) -> CallOrder:
    arguments = request.arguments
    if problem := problem_of(arguments):
        raise invalid_request(problem)
    return CallOrder(
        organization_id=principal.organization_id,
        tool=request.tool,
        arguments=arguments,
        deployment=request.deployment,
        timeout_ms=request.timeout_ms,
        agent=request.agent,
        # A person calls as that person; a program with a server token says on whose behalf it calls.
        user=principal.email if principal.kind == "user" else request.user or principal.email,
        credential=principal.name,
    )


def ended_body(call: PendingCall) -> bytes:
    """The document of a call that has its outcome."""
    row = call.row
    error = failure_of(call.error) if call.error is not None else None
    return _encode(
        _Answer(
            row.id,
            row.tool,
            "finished",
            row.outcome,
            row.deployment_id,
            row.attempt,
            row.duration_ms,
            msgspec.UNSET if call.result is None else call.result,
            error,
        )
    )


def _key_text(key: bytes) -> str:
    try:
        text = key.decode("ascii").strip()
    except UnicodeDecodeError:
        text = ""
    if not text or len(text) > MAX_KEY:
        raise invalid_request(f"the header Idempotency-Key has 1 to {MAX_KEY} ASCII characters")
    return text


def _same_request(known: bytes | None, given: bytes) -> None:
    if known is not None and known != given:
        raise Refused(
            422,
            "idempotency_key_reused",
            "This Idempotency-Key was used for another call.",
            hint="Use a new key for each new call, the same only to repeat one.",
        )


async def _rest_of(body: bytes, receive: Any) -> bytes:
    parts = [body]
    size = len(body)
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise invalid_request("the body ended early")
        part = message.get("body", b"")
        parts.append(part)
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise _too_large()
        if not message.get("more_body"):
            return b"".join(parts)


def _too_large() -> Refused:
    return Refused(
        413,
        "body_too_large",
        f"The body is larger than {MAX_BODY_BYTES} bytes.",
        hint="Give the tool a file or an address to read from.",
    )
