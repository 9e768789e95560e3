"""Starting and stopping a real platform: ports, lock, certificates, signals, store versions, backups."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import ssl
from pathlib import Path

import pytest
import trustme

from edge_connector.core.errors import Fatal, LockHeld, NeedsLogin, NotConnected, UserError
from edge_connector.platform_api import operations as ops
from edge_connector.platform_api.client import PlatformClient
from edge_connector.platform_server.app import PlatformConfig, PlatformServer, serve_forever
from edge_connector.platform_server.data_directory import backup
from tests.support.peers import connector, pair
from tests.support.real_platform import running_platform


async def start_fails(config: PlatformConfig) -> Exception:
    server = PlatformServer(config)
    with pytest.raises(Exception) as failure:
        await server.start()
    await server.stop()
    return failure.value


async def test_a_taken_port_is_named_with_its_flag(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        for field, flag in (("api_port", "--api-port"), ("rpc_port", "--rpc-port")):
            ports = {"api_port": 0, "rpc_port": 0, field: port}
            error = await start_fails(PlatformConfig(data=tmp_path / "data", **ports))
            assert isinstance(error, UserError)
            assert (error.code, str(port) in error.message, flag in error.hint) == ("port_taken", True, True)


async def test_a_data_directory_serves_one_platform_at_a_time(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        config = PlatformConfig(data=platform.config.data, api_port=0, rpc_port=0)
        error = await start_fails(config)
        assert isinstance(error, LockHeld)
        assert str(config.data) in error.message
    server = PlatformServer(config)
    await server.start()
    await server.stop()
    await server.stop()


async def test_wrong_addresses_and_directories_are_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    for config, code in (
        (PlatformConfig(data=tmp_path / "a", host="not an address", api_port=0, rpc_port=0), "bad_listen_address"),
        (PlatformConfig(data=tmp_path / "a", host="192.0.2.1", api_port=0, rpc_port=0), "bad_listen_address"),
        (PlatformConfig(data=file / "a", api_port=0, rpc_port=0), "not_a_directory"),
        (PlatformConfig(data=tmp_path / "a", public_url="ftp://x", api_port=0, rpc_port=0), "bad_public_url"),
    ):
        error = await start_fails(config)
        assert isinstance(error, UserError)
        assert error.code == code


async def test_tls_serves_both_ports_and_bad_pairs_are_named(tmp_path: Path) -> None:
    authority = trustme.CA()
    pair, other = authority.issue_cert("127.0.0.1"), authority.issue_cert("127.0.0.1")
    certificate, key, wrong_key = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "other.pem"
    pair.cert_chain_pems[0].write_to_path(certificate)
    pair.private_key_pem.write_to_path(key)
    other.private_key_pem.write_to_path(wrong_key)

    def config(cert: Path | None, private: Path | None) -> PlatformConfig:
        return PlatformConfig(data=tmp_path / "data", api_port=0, rpc_port=0, tls_cert=cert, tls_key=private)

    for given, code in (
        (config(certificate, None), "tls_half_pair"),
        (config(certificate, wrong_key), "tls_bad_pair"),
        (config(key, certificate), "tls_bad_pair"),
        (config(tmp_path / "missing.pem", key), "file_error"),
    ):
        error = await start_fails(given)
        assert isinstance(error, UserError)
        assert error.code == code
    server = PlatformServer(config(certificate, key))
    await server.start()
    try:
        assert server.api_url.startswith("https://")
        assert server.rpc_url.startswith("wss://")
        trust = ssl.create_default_context()
        authority.configure_trust(trust)
        async with PlatformClient(server.api_url, ssl=trust) as client:
            assert (await client.call(ops.LIVEZ)).status == "ok"
        async with PlatformClient(server.api_url) as distrustful:
            with pytest.raises(NotConnected) as refused:
                await distrustful.call(ops.LIVEZ)
            assert refused.value.code == "platform_unreachable"
    finally:
        await server.stop()


async def test_a_store_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    connection = sqlite3.connect(data / "platform.db")
    connection.execute("PRAGMA user_version=999")
    connection.close()
    error = await start_fails(PlatformConfig(data=data, api_port=0, rpc_port=0))
    assert isinstance(error, Fatal)
    assert (error.code, "999" in error.message) == ("store_too_new", True)


async def test_a_backup_of_a_running_platform_is_a_whole_store(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        copy = tmp_path / "copy.db"
        await asyncio.to_thread(backup, platform.config.data, copy)
        with pytest.raises(UserError) as exists:
            backup(platform.config.data, copy)
        assert exists.value.code == "backup_exists"
    connection = sqlite3.connect(copy)
    assert connection.execute("SELECT id FROM deployments").fetchall() == [(edge.id,)]
    connection.close()
    with pytest.raises(UserError) as nothing:
        backup(tmp_path / "nowhere", tmp_path / "copy2.db")
    assert nothing.value.code == "nothing_to_back_up"


async def test_a_backup_is_restored_as_the_page_says(tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    async with running_platform(tmp_path) as platform:
        data = platform.config.data
        edge = await platform.deploy()
        await asyncio.to_thread(backup, data, copy)
        await platform.deploy("made after the backup")
        await platform.server.stop()
        page = (Path(__file__).parents[3] / "docs" / "platform.md").read_text().partition("## Backup")[2]
        store, *journals = ("platform.db", "platform.db-wal", "platform.db-shm")
        assert all(f"`{name}`" in page for name in (store, *journals, "signing-key.pem"))
        assert {store, "signing-key.pem"} <= {file.name for file in data.iterdir()}
        for name in journals:
            (data / name).unlink(missing_ok=True)
        copy.replace(data / store)
        (data / "signing-key.pem").unlink()
        await platform.restart()
        deployments = (await platform.client.call(ops.LIST_DEPLOYMENTS)).deployments
        assert [deployment.id for deployment in deployments] == [edge.id]
        with pytest.raises(NeedsLogin):
            await platform.client_with(platform.session_token).call(ops.WHOAMI)
        async with connector(platform.rpc_url, pair(edge.id, edge.secret)):
            assert (await platform.call("echo")).outcome == "succeeded"


async def test_a_signal_ends_serving(tmp_path: Path) -> None:
    seen: list[str] = []

    def ready(server: PlatformServer) -> None:
        seen.append(server.setup_url or "")
        os.kill(os.getpid(), signal.SIGTERM)

    async with asyncio.timeout(20):
        await serve_forever(PlatformConfig(data=tmp_path / "data", api_port=0, rpc_port=0), ready)
    assert seen[0].startswith("http://127.0.0.1:")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
