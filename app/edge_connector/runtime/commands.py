"""What programs on this machine may ask a running connector to do, over the command socket or in the same process."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import msgspec

from edge_connector.config.edit import edit_document, edit_sentence, set_value, unset_value
from edge_connector.config.listing import show
from edge_connector.core.errors import UserError
from edge_connector.tools.calls import CallOutcome, CallRequest

if TYPE_CHECKING:
    from edge_connector.runtime.app import ConnectorRuntime

log = logging.getLogger(__name__)

MAX_LOCAL_TIMEOUT_S = 3600.0
LOCAL_PROOF_S = 10.0
MAX_PAUSE_S = 30 * 86_400.0


class Commands:
    """The requests of docs/control.md."""

    def __init__(self, runtime: ConnectorRuntime) -> None:
        self._runtime = runtime

    async def handle(self, method: str, params: dict[str, Any]) -> Any:
        """Answer one request.

        Raises:
            UserError: unknown method, wrong parameter, or refused.
        """
        match method:
            case "status":
                return msgspec.to_builtins(self._runtime.board.snapshot())
            case "tools":
                return self._tools()
            case "call":
                return await self._call(params)
            case "stop":
                return self._stop(force=params.get("force") is True)
            case "redial":
                self._runtime.redial("asked by command")
                return {"redialling": True}
            case "auth.status":
                return self._runtime.sign_in.document()
            case "auth.sign_in":
                return await self._runtime.sign_in.begin(show=params.get("open") is True)
            case "auth.cancel":
                return self._runtime.sign_in.cancel()
            case "auth.sign_out":
                return await self._runtime.sign_in.end()
            case "auth.reload":
                self._runtime.sign_in.reload("asked by command")
                return {"reloaded": True}
            case "pause":
                return self._pause(params)
            case "resume":
                self._runtime.pause.end("asked by command")
                return {"paused": False}
            case "calls.recent":
                return self._recent(params)
            case "calls.list" | "calls.show" | "calls.export":
                return await self._runtime.ledger.answer(method, params)
            case "calls.verify":
                return msgspec.to_builtins(await self._runtime.ledger.verify(_text(params, "head")))
            case "activity":
                return msgspec.to_builtins(self._runtime.activity.summary())
            case "config.show":
                return show(self._runtime.directory, os.environ).to_document()
            case "config.set" | "config.unset":
                return self._edit_config(method, params)
            case "reload":
                await self._runtime.executor.reload()
                return {"tools": len(self._runtime.executor.tools)}
        raise UserError("unknown_method", f"There is no request `{method}`.", hint="See docs/control.md.")

    def watch_status(self) -> AsyncIterator[dict[str, Any]]:
        """The status document now and after each change."""
        return self._runtime.watch_status()

    def _pause(self, params: dict[str, Any]) -> dict[str, Any]:
        for_s = params.get("forS")
        if for_s is not None and not (isinstance(for_s, int | float) and 0 < for_s <= MAX_PAUSE_S):
            raise UserError("bad_request", f"`forS` must be seconds above 0 and up to {MAX_PAUSE_S:.0f}.")
        self._runtime.pause.start(for_s)
        view = self._runtime.pause.view
        assert view is not None, "a pause was just begun"
        return {"paused": True, "pausedUntil": view.until}

    def _recent(self, params: dict[str, Any]) -> list[dict[str, object]]:
        limit, tool = params.get("limit", 50), params.get("tool", "")
        if not isinstance(limit, int) or limit < 1 or not isinstance(tool, str):
            raise UserError("bad_request", "`limit` must be a number above 0 and `tool` a string.")
        return [call.to_document() for call in self._runtime.activity.recent(limit, tool)]

    def _edit_config(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        key, value = params.get("key"), params.get("value", "")
        if not isinstance(key, str) or not isinstance(value, str):
            raise UserError("bad_request", "`key` and `value` must be strings.")
        directory = self._runtime.directory
        if method == "config.set":
            edit, verb = set_value(directory, key, value, os.environ), "set"
        else:
            edit, verb = unset_value(directory, key, os.environ), "unset"
        return {**edit_document(edit), "sentence": edit_sentence(edit, verb=verb)}

    def _tools(self) -> list[dict[str, Any]]:
        return [
            {
                "name": tool.name,
                "title": tool.title,
                "description": tool.description,
                "parameters": msgspec.json.decode(tool.parameters),
                "result": msgspec.json.decode(tool.result),
                "risk": tool.risk,
                "repeat": tool.repeat,
                "source": tool.source,
            }
            for tool in self._runtime.executor.tools
        ]

    def _stop(self, *, force: bool) -> dict[str, Any]:
        running = self._runtime.desk.open
        if running and not force:
            raise UserError(
                "calls_running",
                f"{running} call{'s are' if running > 1 else ' is'} running.",
                hint="Wait for the end, or stop all the same with --force: they get the grace period to finish.",
            )
        self._runtime.stop()
        return {"stopping": True, "running": running}

    async def _call(self, params: dict[str, Any]) -> dict[str, Any]:
        tool, arguments, timeout_s = params.get("tool"), params.get("arguments", {}), params.get("timeoutS")
        if not isinstance(tool, str):
            raise UserError("bad_request", "`tool` must be a string.")
        if timeout_s is not None and not (isinstance(timeout_s, int | float) and 0 < timeout_s <= MAX_LOCAL_TIMEOUT_S):
            raise UserError("bad_request", f"`timeoutS` must be seconds above 0 and up to {MAX_LOCAL_TIMEOUT_S:.0f}.")
        outcome = await self.call_locally(tool, msgspec.json.encode(arguments), timeout_s=timeout_s)
        document: dict[str, Any] = {
            "id": outcome.id,
            "tool": outcome.tool,
            "outcome": outcome.kind.value,
            "durationMs": round(outcome.duration_ms, 3),
        }
        if outcome.result is not None:
            document["result"] = msgspec.json.decode(outcome.result)
        else:
            document["error"] = {"code": outcome.code, "message": outcome.message, "hint": outcome.hint}
            if outcome.detail is not None:
                document["error"]["detail"] = msgspec.json.decode(outcome.detail)
        return document

    async def prove_locally(self) -> bool:
        """Whether `echo` works here; for a platform that answers no probes."""
        outcome = await self.call_locally("echo", b'{"message":"proof"}', timeout_s=LOCAL_PROOF_S, probe=True)
        return outcome.result is not None

    async def call_locally(
        self, tool: str, arguments: bytes, *, timeout_s: float | None, probe: bool = False
    ) -> CallOutcome:
        """Run a tool for somebody on this machine, by the same executor, limits and validation as any call."""
        return await self._runtime.desk.run_locally(
            CallRequest(
                id=f"local-{secrets.token_hex(8)}", tool=tool, arguments=arguments, remaining_s=timeout_s, probe=probe
            )
        )


def _text(params: dict[str, Any], name: str) -> str:
    value = params.get(name, "")
    if not isinstance(value, str):
        raise UserError("bad_request", f"`{name}` must be a string.")
    return value
