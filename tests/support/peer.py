"""A connector written from docs/tool-rpc.md alone, to show that the page is enough. It imports nothing of the product.

    python -P tests/support/peer.py --url ws://127.0.0.1:3001 --deployment dep_abc123 --secret sec_xyz789

It offers `echo`, `add`, `slow` and `fail`. It ends with code 0 on SIGTERM and with 6 when it was refused for good.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import secrets
import signal
import socket as socketlib
import sys
import time
from collections import OrderedDict
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

SUBPROTOCOL = Subprotocol("nara.tool-rpc.v1")
SLOTS, PLACES, KEPT = 8, 500, 2000
MAX_FRAME, MAX_BATCH = 16 * 1024 * 1024, 64 * 1024
PART_ABOVE, PART, AT_ONCE = 64 * 1024, 16 * 1024, 4
SLOW, NEVER = {4001, 4002, 4409}, {4401, 4403, 4404, 4406, 4410}
REQUIRED: dict[str, dict[str, type]] = {
    "welcome": {"version": int, "sessionId": str, "organizationId": str},
    "registered": {"revision": int, "accepted": int},
    "heartbeat": {"seq": int},
    "heartbeat.ack": {"seq": int},
    "drain": {"reconnectMinMs": int, "reconnectMaxMs": int},
    "call": {"id": str, "tool": str},
    "cancel": {"id": str},
    "receipt": {"ids": list},
    "bundle.announce": {"bundleId": str, "version": int, "checksum": str},
    "webhook.receipt": {"id": str, "accepted": bool},
}
WELCOMED = {"registered", "heartbeat", "heartbeat.ack", "drain", "bundle.announce"}
ALLOWED = {
    "hello": {"welcome"},
    "welcomed": WELCOMED,
    "open": WELCOMED | {"call", "cancel", "receipt", "webhook.receipt"},
}
TOOLS: dict[str, dict[str, dict[str, Any]]] = {
    "echo": {"message": {}},
    "add": {"a": {"type": "number"}, "b": {"type": "number"}},
    "slow": {"seconds": {"type": "number"}},
    "fail": {"message": {"type": "string"}},
}


class Broken(Exception):
    """The platform broke the protocol: close with `code`."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Dial(connect):
    """Redirects are not followed: the Authorization header is for the configured host."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


class Peer:
    """What outlives sessions: running calls, outcomes, the count of failures."""

    def __init__(self, url: str, deployment: str, secret: str) -> None:
        self.url, self.authorization = url, f"Deployment {deployment}:{secret}"
        self.instance_id = secrets.token_hex(8)
        self.running: dict[str, asyncio.Task[None]] = {}
        self.outcomes: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self.unreceipted: dict[str, None] = {}
        self.slots = asyncio.Semaphore(SLOTS)
        self.stopping = asyncio.Event()
        self.outbox: list[dict[str, Any]] = []
        self.outbox_filled = asyncio.Event()
        self.in_parts = False
        self.large: OrderedDict[str, tuple[bytes, int, float]] = OrderedDict()
        self.failures = 0
        self.window: tuple[int, int] | None = None
        self.phase = "hello"

    async def run(self) -> int:
        while not self.stopping.is_set():
            self.window, self.phase = None, "hello"
            code = await self.dial()
            if code in NEVER:
                return 6
            self.failures += 1
            try:
                await asyncio.wait_for(self.stopping.wait(), self.delay_s(code))
            except TimeoutError:
                pass
        return 0

    def delay_s(self, code: int) -> float:
        if code in SLOW:
            return 60.0
        if self.window is not None:
            return random.uniform(*self.window) / 1000
        delay = min(5.0 * 2.0 ** min(self.failures - 1, 10), 60.0)
        return delay * random.uniform(0.8, 1.0) if delay == 60 else min(delay * random.uniform(1.0, 1.2), 60.0)

    async def dial(self) -> int:
        """One session; the close code that it ended with, 4401 for status 401, 1006 when there is none."""
        try:
            socket = await Dial(
                self.url, subprotocols=[SUBPROTOCOL], additional_headers={"Authorization": self.authorization},
                compression=None, ping_interval=None, max_size=MAX_FRAME, proxy=None, write_limit=(PART, 0),
            )  # fmt: skip
        except InvalidStatus as refusal:
            return 4401 if refusal.response.status_code == 401 else 1006
        except (OSError, InvalidHandshake, TimeoutError, EOFError):
            return 1006
        if socket.subprotocol != SUBPROTOCOL:
            await socket.close()
            return 1006
        self.outbox = []
        self.large.clear()
        if hasattr(socketlib, "TCP_NOTSENT_LOWAT"):
            raw = socket.transport.get_extra_info("socket")
            raw.setsockopt(socketlib.IPPROTO_TCP, socketlib.TCP_NOTSENT_LOWAT, PART)
        helpers = [asyncio.create_task(self.write(socket)), asyncio.create_task(self.leave(socket))]
        try:
            self.send(type="hello", versions=[1], instanceId=self.instance_id, agent={"name": "peer", "version": "1"})
            await self.listen(socket, helpers)
        except Broken as fault:
            await socket.close(fault.code, str(fault).encode()[:120].decode(errors="ignore"))
            return fault.code
        except ConnectionClosed as end:
            return end.rcvd.code if end.rcvd else 1006
        finally:
            self.phase = "closed"
            for helper in helpers:
                helper.cancel()
            await asyncio.wait(helpers)
        return 1006

    async def listen(self, socket: ClientConnection, helpers: list[asyncio.Task[None]]) -> None:
        heartbeat_s, silence_s, self.seq = 30.0, 75.0, 0
        heard = time.monotonic()
        phase_ends, proven_at = heard + 10, heard + 1e9
        while True:
            limit = min(heard + silence_s, phase_ends)
            try:
                frame = await asyncio.wait_for(socket.recv(), max(limit - time.monotonic(), 0))
            except TimeoutError:
                raise Broken(4408, "nothing received in time") from None
            heard = time.monotonic()
            for message in self.decode(frame):
                match message["type"]:
                    case "welcome":
                        if message["version"] != 1:
                            raise Broken(4406, "only version 1 is spoken here")
                        heartbeat_s, silence_s = message.get("heartbeatS", 30.0), message.get("silenceS", 75.0)
                        self.in_parts = "parts" in message.get("features", [])
                        self.phase, phase_ends, proven_at = "welcomed", heard + 30, heard + 60
                        helpers.append(asyncio.create_task(self.beat(heard, heartbeat_s)))
                        schemas = [
                            {
                                "name": name,
                                "parameters": {"type": "object", "properties": fields, "required": [*fields]},
                            }
                            for name, fields in TOOLS.items()
                        ]
                        self.send(type="register", revision=1, tools=schemas, runtime={"pid": os.getpid()})
                    case "registered":
                        self.phase, phase_ends = "open", heard + 1e9
                        self.status()
                        for call_id in self.unreceipted:
                            self.send(**self.outcomes[call_id])
                    case "heartbeat":
                        self.send(type="heartbeat.ack", seq=message["seq"])
                    case "heartbeat.ack":
                        self.failures = 0 if message["seq"] == self.seq > 0 else self.failures
                    case "drain":
                        self.window = (message["reconnectMinMs"], message["reconnectMaxMs"])
                    case "call":
                        self.start(message)
                    case "cancel":
                        if message["id"] in self.running:
                            self.stop_call(self.running[message["id"]], "cancelled")
                    case "receipt":
                        for call_id in message["ids"]:
                            self.unreceipted.pop(call_id, None)
                            self.large.pop(call_id, None)
            if heard > proven_at:
                self.failures = 0

    def decode(self, frame: str | bytes) -> list[dict[str, Any]]:
        try:
            content = json.loads(frame, parse_constant=not_json)
        except (ValueError, RecursionError):
            raise Broken(4400, "frame is not JSON") from None
        messages = content if isinstance(content, list) else [content]
        known = []
        for message in messages:
            kind = message.get("type") if isinstance(message, dict) else None
            if not isinstance(kind, str):
                raise Broken(4400, "message without a type")
            for field, field_type in REQUIRED.get(kind, {}).items():
                if type(message.get(field)) is not field_type:
                    raise Broken(4400, f"{kind}: {field} is missing or of a wrong type")
            if kind in REQUIRED:
                if kind not in ALLOWED[self.phase]:
                    raise Broken(4422, f"{kind} is not allowed now")
                known.append(message)
        return known

    # ---- out

    def send(self, **message: Any) -> None:
        self.outbox_filled.set()
        if message["type"] in ("result", "failure"):
            self.large.pop(message["id"], None)
        if message["type"] == "result" and self.in_parts:
            data = json.dumps(message["result"], separators=(",", ":"), ensure_ascii=False).encode()
            if len(data) > PART_ABOVE:
                self.large[message["id"]] = (data, 0, message["durationMs"])
                return
        self.outbox.append(message)

    def next_part(self) -> dict[str, Any] | None:
        """A part of the result whose turn it is."""
        if not self.large:
            return None
        call_id, (data, start, duration_ms) = self.large.popitem(last=False)
        end = min(start + PART, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        part: dict[str, Any] = {"type": "result.part", "id": call_id, "offset": start, "total": len(data)}
        if start == 0:
            part["durationMs"] = duration_ms
        if end < len(data):
            # Behind the others that are under way, before those that wait for a place.
            items = list(self.large.items())
            items.insert(AT_ONCE - 1, (call_id, (data, end, duration_ms)))
            self.large = OrderedDict(items)
        return part | {"data": data[start:end].decode()}

    def status(self) -> None:
        running = min(len(self.running), SLOTS)
        load = {"running": running, "queued": len(self.running) - running, "slots": SLOTS}
        self.send(type="status", state="working", load=load)

    async def write(self, socket: ClientConnection) -> None:
        while await self.outbox_filled.wait():
            batch: list[str] = []
            size = 0
            while self.outbox and size < MAX_BATCH:
                text = json.dumps(self.outbox[0], separators=(",", ":"), allow_nan=False)
                if batch and size + len(text) > MAX_BATCH:
                    break
                batch.append(text)
                size += len(text) + 1
                del self.outbox[0]
            if not batch:
                part = self.next_part()
                if part is None:
                    self.outbox_filled.clear()
                    continue
                batch.append(json.dumps(part, separators=(",", ":"), ensure_ascii=False))
                await asyncio.sleep(0)
            await socket.send(batch[0] if len(batch) == 1 else f"[{','.join(batch)}]")

    async def beat(self, since: float, period_s: float) -> None:
        while True:
            await asyncio.sleep(since + (self.seq + 1) * period_s - time.monotonic())
            self.seq += 1
            self.send(type="heartbeat", seq=self.seq)
            self.status()

    async def leave(self, socket: ClientConnection) -> None:
        """Goodbye, then the running calls, then a moment for receipts."""
        await self.stopping.wait()
        self.send(type="goodbye", reason="stopping")
        for task in self.running.values():
            self.stop_call(task, "connector_stopping")
        until = time.monotonic() + 2
        while (self.running or self.unreceipted or self.outbox or self.large) and time.monotonic() < until:
            await asyncio.sleep(0.01)
        await socket.close(1000)

    # ---- calls

    def start(self, call: dict[str, Any]) -> None:
        call_id, tool, arguments = call["id"], call["tool"], call.get("arguments", {})
        if call_id in self.outcomes:
            self.unreceipted[call_id] = None
            self.send(**self.outcomes[call_id])
        elif call_id in self.running:
            self.send(type="accepted", id=call_id)
        elif self.stopping.is_set():
            self.refuse(call_id, "draining", "This connector is stopping.")
        elif tool not in TOOLS:
            self.refuse(call_id, "unknown_tool", f"There is no tool {tool}.")
        elif not isinstance(arguments, dict) or not arguments.keys() >= TOOLS[tool].keys():
            self.refuse(call_id, "invalid_arguments", f"These arguments are needed: {', '.join(TOOLS[tool])}.")
        elif len(self.running) >= PLACES:
            self.refuse(call_id, "busy", "Every place in the queue is taken.")
        else:
            self.running[call_id] = asyncio.create_task(self.work(call_id, tool, arguments, call.get("remainingMs", 0)))

    def refuse(self, call_id: str, code: str, words: str) -> None:
        self.end(call_id, type="failure", outcome="refused", error={"code": code, "message": words})

    def end(self, call_id: str, **outcome: Any) -> None:
        self.outcomes[call_id] = {"id": call_id, **outcome}
        self.unreceipted[call_id] = None
        while len(self.outcomes) > KEPT:
            oldest, _ = self.outcomes.popitem(last=False)
            self.unreceipted.pop(oldest, None)
        if self.phase == "open":
            self.send(**self.outcomes[call_id])

    def stop_call(self, task: asyncio.Task[None], code: str) -> None:
        """One turn later: a task that is cancelled before its first step never runs, and would give no outcome."""
        asyncio.get_running_loop().call_soon(task.cancel, code)

    async def work(self, call_id: str, tool: str, arguments: dict[str, Any], remaining_ms: int) -> None:
        began = time.monotonic()
        announcement = asyncio.get_running_loop().call_later(0.05, lambda: self.tell(type="accepted", id=call_id))
        try:
            async with asyncio.timeout(remaining_ms / 1000 if remaining_ms else 60), self.slots:
                outcome = {"type": "result", "result": await self.perform(call_id, tool, arguments)}
                json.dumps(outcome, allow_nan=False)
        except TimeoutError:
            outcome = failure("timed_out", "timed_out", "The time was over.")
        except asyncio.CancelledError as reason:
            stopped = "connector_stopping" in reason.args
            outcome = (
                failure("interrupted", "connector_stopping", "The connector stopped.")
                if stopped
                else failure("cancelled", "cancelled", "The call was cancelled.")
            )
        except ValueError as error:
            outcome = failure("failed", "result_not_json", str(error))
        except Exception as error:
            outcome = failure("failed", "tool_raised", str(error) or type(error).__name__)
        announcement.cancel()
        del self.running[call_id]
        self.end(call_id, **outcome, durationMs=(time.monotonic() - began) * 1000)

    def tell(self, **message: Any) -> None:
        """Send what is worth nothing to a later session."""
        if self.phase == "open":
            self.send(**message)

    async def perform(self, call_id: str, tool: str, arguments: dict[str, Any]) -> Any:
        match tool:
            case "echo":
                return {"message": arguments["message"]}
            case "add":
                return arguments["a"] + arguments["b"]
            case "slow":
                for step in range(1, 11):
                    await asyncio.sleep(arguments["seconds"] / 10)
                    self.tell(type="progress", id=call_id, fraction=step / 10)
                return {"slept": arguments["seconds"]}
            case _:
                raise RuntimeError(arguments["message"])


def not_json(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def failure(outcome: str, code: str, words: str) -> dict[str, Any]:
    return {"type": "failure", "outcome": outcome, "error": {"code": code, "message": words}}


async def main() -> int:
    parser = argparse.ArgumentParser()
    for option in ("--url", "--deployment", "--secret"):
        parser.add_argument(option, required=True)
    peer = Peer(**vars(parser.parse_args()))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, peer.stopping.set)
    return await peer.run()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
