"""The built-in tools, called for real."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from edge_connector.tools.api import ToolError
from edge_connector.tools.diagnostics import check_network, tail
from tests.unit.tools.harness import serving

NAMES = {"echo", "getSystemInfo", "getPlatformNetworkCheck", "getDiskUsage", "listEnvironmentNames", "tailConnectorLog"}


async def test_they_are_always_there_and_described(tmp_path: Path) -> None:
    async with serving(tmp_path, implementations=None, log_file=tmp_path / "log", platform_url="ftp:nonsense") as bench:
        assert {tool.name for tool in bench.executor.tools} == NAMES
        assert all(tool.description and tool.title and tool.repeat == "read" for tool in bench.executor.tools)
        info = await bench.value("getSystemInfo")
        assert info["cpus"] == os.cpu_count() and info["memory_total"] > info["memory_available"] > 0
        assert (await bench.value("getDiskUsage", path=str(tmp_path)))["total"] > 0
        assert (await bench.call("getDiskUsage", path="/no/such")).code == "path_unreadable"
        assert "PATH" in await bench.value("listEnvironmentNames")
        assert (await bench.value("getPlatformNetworkCheck"))["steps"][0]["ok"] is False
        assert (await bench.call("tailConnectorLog")).code == "log_unreadable"
        (tmp_path / "log").write_text("".join(f"line {number}\n" for number in range(300)))
        result = await bench.value("tailConnectorLog", lines=2)
        assert result["lines"] == ["line 298", "line 299"] and result["truncated"]


async def test_a_local_tool_cannot_take_a_builtin_name(tmp_path: Path) -> None:
    async with serving(tmp_path, "@tool\ndef echo() -> str:\n    return 'mine'\n") as bench:
        assert await bench.value("echo", message=1) == {"message": 1}
        assert [problem.code for problem in bench.executor.problems] == ["tool_name_duplicate"]


async def test_network_check_against_a_server(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.read(4096)
        status = b"204 No Content" if request.startswith(b"GET /base/livez HTTP/1.1") else b"404 Not Found"
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        check = await asyncio.to_thread(check_network, f"http://127.0.0.1:{port}/base/")
        assert check.ok and [step.name for step in check.steps] == ["dns", "tcp", "http"]
        assert "204" in check.steps[-1].detail
        secure = await asyncio.to_thread(check_network, f"wss://127.0.0.1:{port}")
        assert not secure.ok and secure.steps[-1].name == "tls"


@pytest.mark.parametrize("url", ["", "http://", "http://host:99999", "http://name.invalid"])
def test_network_check_of_bad_addresses(url: str) -> None:
    check = check_network(url)
    assert not check.ok and not check.steps[-1].ok and check.steps[-1].detail


def test_tail_of_a_large_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 2_000_000 + b"\nlast \xff\n")
    found = tail(path, 10)
    assert found.lines == ["last \N{REPLACEMENT CHARACTER}"] and found.truncated
    with pytest.raises(ToolError):
        tail(tmp_path / "none", 1)
