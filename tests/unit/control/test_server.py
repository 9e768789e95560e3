"""The command socket with its real client, and with clients that misbehave."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_connector.control.address import control_address, is_trusted_owner
from edge_connector.control.client import ControlClient
from edge_connector.control.lock import LOCK_FILE, RuntimeLock
from edge_connector.control.peer import Peer
from edge_connector.control.server import MAX_CLIENTS, ControlServer
from edge_connector.core.errors import EdgeError, NotConnected, UserError
from edge_connector.core.feed import Feed
from tests.support.waiting import eventually


class Target:
    """Answers `echo`, fails on `refuse`, and hangs on `hang`."""

    def __init__(self) -> None:
        self.feed = Feed[dict[str, Any]]({"state": "connecting", "link": {"phase": "dialling"}})
        self.hanging = 0

    async def handle(self, method: str, params: dict[str, Any]) -> Any:
        if method == "refuse":
            raise UserError("no", "No.", hint="Ask nicely.")
        if method == "hang":
            self.hanging += 1
            try:
                await asyncio.sleep(3600)
            finally:
                self.hanging -= 1
        return {"method": method, **params}

    def watch_status(self) -> AsyncIterator[dict[str, Any]]:
        return self.feed.watch()


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[Target]:
    target = Target()
    server = ControlServer(control_address(directory), target, hello={"pid": os.getpid()})
    await server.start()
    try:
        yield target
    finally:
        await server.stop()


async def test_request_and_error(tmp_path: Path) -> None:
    async with serving(tmp_path), ControlClient(tmp_path) as client:
        assert client.hello["pid"] == os.getpid()
        assert await client.request("echo", text="ä") == {"method": "echo", "text": "ä"}
        with pytest.raises(EdgeError) as error:
            await client.request("refuse")
        assert (error.value.code, error.value.message, error.value.hint) == ("no", "No.", "Ask nicely.")


async def test_watch_gives_a_snapshot_then_changes(tmp_path: Path) -> None:
    async with serving(tmp_path) as target, ControlClient(tmp_path) as client:
        seen = client.watch()
        assert (await anext(seen))["state"] == "connecting"
        target.feed.publish({"state": "working", "link": {"phase": "open"}})
        assert await anext(seen) == {"state": "working", "link": {"phase": "open"}}
        await seen.aclose()  # type: ignore[attr-defined]


async def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(NotConnected) as error:
        async with ControlClient(tmp_path):
            pass
    assert error.value.exit_code == 4
    assert "edge-connector run" in error.value.hint


async def test_socket_left_by_a_crash_is_replaced(tmp_path: Path) -> None:
    address = control_address(tmp_path)
    address.parent.mkdir(parents=True, exist_ok=True)
    address.write_text("left over")
    async with serving(tmp_path), ControlClient(tmp_path) as client:
        assert await client.request("echo") == {"method": "echo"}
    assert not address.exists()


async def test_only_this_user_may_enter(tmp_path: Path) -> None:
    async with serving(tmp_path):
        assert stat.S_IMODE(control_address(tmp_path).parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("line", [b"not json\n", b"[]\n", b"3\n", b'{"id": 1}\n', b"[" * 50_000 + b"\n"])
async def test_a_line_that_is_no_request_is_named_and_the_others_go_on(tmp_path: Path, line: bytes) -> None:
    async with serving(tmp_path):
        reader, writer = await asyncio.open_unix_connection(os.fspath(control_address(tmp_path)))
        await reader.readline()
        writer.write(line)
        assert json.loads(await reader.readline())["error"]["code"] == "bad_request"
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        async with ControlClient(tmp_path) as client:
            assert await client.request("echo") == {"method": "echo"}


async def test_a_request_with_wrong_parts_is_an_error_of_that_request(tmp_path: Path) -> None:
    async with serving(tmp_path):
        reader, writer = await asyncio.open_unix_connection(os.fspath(control_address(tmp_path)))
        await reader.readline()
        writer.write(b'{"id": 7, "method": 5}\n{"id": 8, "method": "echo", "params": []}\n')
        answers = [json.loads(await reader.readline()) for _ in range(2)]
        assert {answer["id"] for answer in answers} == {7, 8}
        assert all(answer["error"]["code"] == "bad_request" for answer in answers)
        writer.close()
        await writer.wait_closed()


async def test_a_client_that_leaves_ends_its_requests(tmp_path: Path) -> None:
    async with serving(tmp_path) as target:
        client = ControlClient(tmp_path)
        await client.__aenter__()
        with pytest.raises(NotConnected):
            await client.request("hang", timeout_s=0.05)
        await client.close()
        await eventually(lambda: target.hanging == 0, what="the request of the gone client ends")


async def test_too_many_clients_are_turned_away_and_room_comes_back(tmp_path: Path) -> None:
    async with serving(tmp_path):
        clients = [ControlClient(tmp_path) for _ in range(MAX_CLIENTS)]
        for client in clients:
            await client.__aenter__()
        with pytest.raises(NotConnected):
            await ControlClient(tmp_path).__aenter__()
        for client in clients:
            await client.close()

        async def again() -> bool:
            try:
                async with ControlClient(tmp_path):
                    return True
            except NotConnected:
                return False

        await eventually(again, what="a place for a new client")


async def test_connector_of_another_environment_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service has no XDG_RUNTIME_DIR, a login session has: they meet by the fallback folder or the lock file."""
    here = tmp_path / "installation"
    here.mkdir()
    login = os.environ["XDG_RUNTIME_DIR"]
    elsewhere = Path(login) / "other"
    elsewhere.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(elsewhere))
    async with serving(here):
        (here / LOCK_FILE).write_text(json.dumps({"control": str(control_address(here))}))
        monkeypatch.setenv("XDG_RUNTIME_DIR", login)
        async with ControlClient(here) as client:
            assert await client.request("echo") == {"method": "echo"}
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(elsewhere))
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    async with serving(here):
        monkeypatch.setenv("XDG_RUNTIME_DIR", login)
        (here / LOCK_FILE).unlink()
        async with ControlClient(here) as client:
            assert await client.request("echo") == {"method": "echo"}
        monkeypatch.delenv("XDG_RUNTIME_DIR")


async def test_a_process_of_another_user_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tmp_path):
        # The listener is this process: somebody else's, as seen by a user who owns neither it nor the directory.
        monkeypatch.setattr("edge_connector.control.client.is_trusted_owner", lambda uid, directory: False)
        with pytest.raises(EdgeError) as error:
            async with ControlClient(tmp_path):
                pass
        assert error.value.code == "foreign_socket"
        monkeypatch.setattr("edge_connector.control.lock.is_trusted_owner", lambda uid, directory: False)
        lock = RuntimeLock(tmp_path / LOCK_FILE)
        lock.acquire(lambda: {"pid": os.getpid()})
        lock.release()
        monkeypatch.undo()
        # The lock's look at the socket was accepted by the loop of this test: let it finish that.
        async with ControlClient(tmp_path) as client:
            assert await client.request("echo") == {"method": "echo"}


def test_trusted_owners(tmp_path: Path) -> None:
    assert is_trusted_owner(os.getuid(), tmp_path)
    assert is_trusted_owner(tmp_path.stat().st_uid, tmp_path)
    assert not is_trusted_owner(os.getuid() + 12_345, tmp_path)
    assert not is_trusted_owner(os.getuid() + 12_345, tmp_path / "missing")


ASK = """
import os, socket, sys
os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
client = socket.socket(socket.AF_UNIX)
client.settimeout(10)
try:
    client.connect(sys.argv[1])
    print("heard" if client.recv(10) else "hung up")
except PermissionError:
    print("no permission")
"""
NOBODY = 65534


async def as_user(uid: int, address: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-c", ASK, str(address), str(uid), stdout=asyncio.subprocess.PIPE, cwd="/"
    )
    return (await process.communicate())[0].decode().strip()


async def test_the_socket_is_for_this_user_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        async with serving(tmp_path):
            address = control_address(tmp_path)
            assert stat.S_IMODE(address.stat().st_mode) == 0o600
            assert stat.S_IMODE(address.parent.stat().st_mode) == 0o700
    finally:
        os.umask(old)


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
async def test_a_process_of_another_user_gets_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(tmp_path):
        address = control_address(tmp_path)
        assert await as_user(0, address) == "heard"
        assert await as_user(NOBODY, address) == "no permission"
        # Somebody opened folder and socket by hand: the kernel still names the caller.
        outer = address.parent.parent
        modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (outer, address.parent)}
        for path in modes:
            path.chmod(0o755)
        address.chmod(0o666)
        try:
            assert await as_user(NOBODY, address) == "hung up"
        finally:
            for path, mode in modes.items():
                path.chmod(mode)
        assert f"uid={NOBODY}" in caplog.text


async def test_the_server_asks_the_kernel_who_connected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_connector.control.server.peer_of", lambda client: Peer(1, os.getuid() + 12_345))
    async with serving(tmp_path):
        with pytest.raises(NotConnected):
            async with ControlClient(tmp_path):
                pass
