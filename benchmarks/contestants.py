"""Who is measured beside whom: each brings its processes up, says how it is called and whose processor time counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.edge import Edge
from benchmarks.harness import ROOT, Process, free_port, listens, post, running, wait_for

MESSAGE = "x" * 256
ARGUMENTS = json.dumps({"message": MESSAGE})
SUBPROTOCOL = "nara.tool-rpc.v1"


@dataclass
class Contestant:
    """One way to call the tool.

    Attributes:
        config: for the load generator.
        parts: processor seconds so far, by process.
    """

    name: str
    config: dict[str, Any]
    parts: dict[str, Callable[[], float]] = field(default_factory=dict)


def call_body(tool: str, arguments: str = ARGUMENTS) -> str:
    """The body of `POST /api/v1/calls`."""
    return json.dumps({"tool": tool, "arguments": json.loads(arguments)})


def edge_http(edge: Edge, name: str = "http", tool: str = "repeatMessage") -> Contestant:
    """Calls over the HTTP API."""
    request = post(edge.api_port, "/api/v1/calls", call_body(tool), f"Authorization: Bearer {edge.token}")
    config = {"kind": "http", "port": edge.api_port, "request": request, "expected": '"outcome":"succeeded"'}
    return Contestant(name, config, edge.parts)


def edge_caller(edge: Edge, name: str = "webSocket", tool: str = "repeatMessage") -> Contestant:
    """Calls over a session of role caller."""
    config = {
        "kind": "caller", "port": edge.rpc_port, "token": edge.token, "tool": tool, "arguments": ARGUMENTS,
        "subprotocol": SUBPROTOCOL,
    }  # fmt: skip
    return Contestant(name, config, edge.parts)


class Peers:
    """Starts peers from their own environment."""

    def __init__(self, venv: Path, home: Path, stack: ExitStack) -> None:
        self.python = str(venv / "bin" / "python")
        self._bin = venv / "bin"
        self._home = home
        self._stack = stack

    def _run(self, name: str, *command: str) -> Process:
        log = self._home / f"{name}.log"
        return self._stack.enter_context(running(list(command), log, PYTHONPATH=str(ROOT), PYTHONUNBUFFERED="1"))

    def _module(self, name: str, *arguments: str) -> Process:
        return self._run(name, self.python, "-m", f"benchmarks.peers.{name}", *arguments)

    def _until_ready(self, name: str) -> None:
        log = self._home / f"{name}.log"
        wait_for(lambda: "ready" in log.read_text(), f"{name}: {log.read_text()[-500:]}")

    def nats(self) -> Contestant:
        """Request/reply over nats-server."""
        port = free_port()
        server = self._run("nats_server", str(self._bin / "nats-server"), "-a", "127.0.0.1", "-p", str(port))
        wait_for(lambda: listens(port), "nats-server")
        worker = self._module("nats_worker", str(port), "repeat")
        self._until_ready("nats_worker")
        config = {"kind": "nats", "port": port, "subject": "repeat", "arguments": ARGUMENTS, "message": MESSAGE}
        return Contestant("nats", config, {"hub": server.cpu_s, "worker": worker.cpu_s})

    def wamp(self) -> Contestant:
        """A call through crossbar, WebSocket on both sides."""
        port, node = free_port(), self._home / "crossbar"
        node.mkdir()
        (node / "config.json").write_text(json.dumps(_crossbar_config(port)))
        router = self._run("crossbar", str(self._bin / "crossbar"), "start", "--cbdir", str(node), "--loglevel", "none")
        wait_for(lambda: listens(port), "crossbar", 60)
        worker = self._module("wamp_worker", str(port), "bench.repeat")
        self._until_ready("wamp_worker")
        config = {"kind": "wamp", "port": port, "procedure": "bench.repeat", "message": MESSAGE}
        return Contestant("wamp", config, {"hub": router.cpu_s, "worker": worker.cpu_s})

    def ssh(self) -> Contestant:
        """A reverse tunnel to a plain ASGI application."""
        inner, outer, port = free_port(), free_port(), free_port()
        server = self._module("asgi_server", str(inner))
        keys = self._home / "ssh"
        keys.mkdir(mode=0o700)
        for name in ("host", "user"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)]
            subprocess.run(command, check=True)
        (keys / "authorized").write_bytes((keys / "user.pub").read_bytes())
        (keys / "config").write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {keys}/host\nAuthorizedKeysFile {keys}/authorized\n"
            f"PidFile {keys}/pid\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n"
            "AllowTcpForwarding yes\n"
        )
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # sshd refuses to start as root without it
        daemon = self._run("sshd", "/usr/sbin/sshd", "-D", "-e", "-f", str(keys / "config"))
        wait_for(lambda: listens(port), "sshd")
        client = self._run(
            "ssh", "ssh", "-N", "-R", f"127.0.0.1:{outer}:127.0.0.1:{inner}", "-p", str(port), "-i", str(keys / "user"),
            "-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "127.0.0.1",
        )  # fmt: skip
        wait_for(lambda: listens(outer) and listens(inner), f"ssh -R: {self._home}/ssh.log")
        config = {
            "kind": "http",
            "port": outer,
            "request": post(outer, "/", call_body("repeat")),
            "expected": MESSAGE[:8],
        }
        return Contestant("ssh", config, {"hub": lambda: daemon.cpu_s() + client.cpu_s(), "worker": server.cpu_s})

    def mcp(self) -> Contestant:
        """The official MCP server, called directly, without anything between."""
        port = free_port()
        server = self._module("mcp_server", str(port))
        wait_for(lambda: listens(port), "the MCP server")
        call = {"name": "repeatMessage", "arguments": {"message": MESSAGE}}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call})
        request = post(
            port, "/mcp", body, "Accept: application/json, text/event-stream", "Mcp-Protocol-Version: 2025-06-18"
        )
        config = {"kind": "http", "port": port, "request": request, "expected": MESSAGE[:8]}
        return Contestant("mcp", config, {"worker": server.cpu_s})


def _crossbar_config(port: int) -> dict[str, Any]:
    allow = {"call": True, "register": True, "publish": False, "subscribe": False}
    permission = {"uri": "", "match": "prefix", "allow": allow, "disclose": {}, "cache": True}
    return {
        "version": 2,
        "workers": [
            {
                "type": "router",
                "realms": [{"name": "bench", "roles": [{"name": "anonymous", "permissions": [permission]}]}],
                "transports": [
                    {"type": "websocket", "endpoint": {"type": "tcp", "port": port, "interface": "127.0.0.1"}}
                ],
            }
        ],
    }


def python_of(peers: Peers | None) -> str:
    """Which interpreter generates the load: the peers' when they are there, so that all have the same."""
    return sys.executable if peers is None else peers.python
