"""Several installations and deployments: side by side, in each other's way, taking over, and after a half-open end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.e2e.access import Access, result_of
from tests.support.connector_process import running_connector


async def test_two_directories_with_two_deployments_run_side_by_side(access: Access, tmp_path: Path) -> None:
    async with access.connector(tmp_path / "one") as one, access.connector(tmp_path / "two") as two:
        assert one.process.lock["healthPort"] != two.process.lock["healthPort"]
        assert one.process.socket != two.process.socket
        for fixed in (one, two):
            assert result_of(await fixed.call("echo", {"message": fixed.deployment.id}))["message"] == (
                fixed.deployment.id
            )
        assert await one.process.stop() == 0
        assert (await two.process.status())["state"] == "working"
        assert result_of(await two.call("echo", {"message": "still here"}))["message"] == "still here"


async def test_a_deployment_that_is_connected_already_is_refused_until_taken_over(
    access: Access, tmp_path: Path
) -> None:
    deployment = await access.deploy("twice")
    environment = access.environment(deployment)
    async with running_connector(tmp_path / "one", environment) as one:
        await one.until_state("working")
        async with running_connector(tmp_path / "two", environment) as two:
            status = await two.until_problem("deployment_already_connected")
            assert status["state"] == "connecting" and status["link"]["phase"] == "waiting"
            assert 50 < status["link"]["nextAttemptInS"] <= 60
            (problem,) = status["problems"]
            assert problem["sentence"].startswith("Deployment already connected (host ")
            assert "since 20" in problem["sentence"]
            assert "--take-over" in problem["fix"]
            assert "Deployment already connected" in two.log
            assert (await two.health("/healthz"))[0] == 503
            assert (await one.status())["state"] == "working"
            await two.request("redial")
            await two.until_log("Disconnected from platform server cause=deployment_already_connected", times=2)
            assert await two.stop() == 0

        async with running_connector(tmp_path / "two", environment, "--take-over") as two:
            await two.until_state("working")
            status = await one.until_problem("taken_over")
            assert status["state"] == "connecting"
            assert 50 < status["link"]["nextAttemptInS"] <= 60
            assert result_of(await access.call("echo", {"message": "2"}, deployment=deployment.id))["message"] == "2"
            # The first does not take it back by itself: --take-over was for this one start.
            await one.request("redial")
            await one.until_problem("deployment_already_connected")
            assert (await two.status())["state"] == "working"
            assert await two.stop() == 0
        await one.request("redial")
        await one.until_state("working")


async def test_the_own_half_open_predecessor_is_replaced_at_once(access: Access, home: Path) -> None:
    deployment = await access.deploy("half open")
    async with _forwarder(access.served.rpc_url) as url:
        environment = access.environment(deployment, TOOL_RPC_URL=url)
        async with running_connector(home, environment) as first:
            await first.until_state("working")
            assert await first.stop(signal.SIGKILL) == -signal.SIGKILL
            # The forwarder keeps the platform's end open, as a lost network would.
            assert (await access.deployment(deployment.id)).active_connectors == 1
            async with running_connector(home, environment) as second:
                status = await second.until_state("working")
                assert status["link"]["reconnects"] == 0
                assert "Deployment already connected" not in second.log
                found = await access.deployment(deployment.id)
                assert found.active_connectors == 1
                echoed = result_of(await access.call("echo", {"message": "here"}, deployment=deployment.id))
                assert echoed["message"] == "here"


@asynccontextmanager
async def _forwarder(target: str) -> AsyncIterator[str]:
    """A TCP hop that hides from the platform that its peer is gone."""
    parts = urlsplit(target)
    tasks: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()
        except ConnectionError:
            pass

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(parts.hostname, parts.port)
        writers.extend((writer, far_writer))
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            tasks.add(asyncio.create_task(copy(source, sink)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
