"""`edge-connector calls`: the same answers from a running connector and from its file, and the proof of both."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import Finished, run_command
from tests.support.real_connector import environment, running_connector
from tests.support.real_platform import running_platform
from tests.support.waiting import eventually


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Path]:
    """The directory of a connector that was called twice and has stopped."""
    home = tmp_path / "home"
    async with running_platform(tmp_path / "platform") as platform:
        edge = await platform.deploy()
        async with running_connector(home, environment(platform.rpc_url, edge.id, edge.secret)) as runtime:
            await platform.call("echo", {"message": "first"})
            await platform.call("echo", {"massage": 1})
            await eventually(lambda: runtime.desk.unconfirmed == 0, what="receipts")
            live = await calls(home, "list", "--json")
            live_report = await calls(home, "verify", "--json")
    stopped = await calls(home, "list", "--json")
    # The same from the connector and from the file.
    assert live.document == stopped.document
    assert live_report.document == (await calls(home, "verify", "--json")).document
    yield home


async def calls(home: Path, *words: str | Path) -> Finished:
    return await run_command("calls", *words, "--dir", str(home))


async def test_calls_are_listed_and_shown(home: Path) -> None:
    listed = (await calls(home, "list", "--json")).document
    assert [(call["tool"], call["outcome"], call["state"]) for call in listed["calls"]] == [
        ("echo", "refused", "confirmed"),
        ("echo", "succeeded", "confirmed"),
    ]
    table = await calls(home, "list", "--outcome", "succeeded", "--since", "1h")
    assert table.code == 0
    assert "succeeded" in table.out and "refused" not in table.out
    assert "No calls" in (await calls(home, "list", "--tool", "none")).out
    one = listed["calls"][1]["id"]
    shown = (await calls(home, "show", one, "--json")).document
    assert (shown["arguments"], shown["result"]) == ({"message": "first"}, {"message": "first"})
    text = (await calls(home, "show", one)).out
    assert "succeeded after" in text and "confirmed" in text and '{"message": "first"}' in text
    refused = (await calls(home, "show", listed["calls"][0]["id"])).out
    assert "error" in refused and "invalid_arguments" in refused


async def test_an_export_is_verified_by_itself(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "export.jsonl"
    wrote = await calls(home, "export", file)
    assert wrote.code == 0 and "of 2 calls" in wrote.out
    assert file.stat().st_mode & 0o777 == 0o600
    streamed = await calls(home, "export")
    kinds = [json.loads(line)["type"] for line in streamed.out.splitlines()]
    assert kinds[0] == "head" and kinds[-1] == "end" and set(kinds[1:-1]) == {"row"}
    report: dict[str, Any] = (await calls(home, "verify", file, "--json")).document
    assert report["intact"] and report["headHash"] in wrote.out
    assert (await calls(home, "verify", "--head", report["headHash"])).code == 0
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], *lines[2:]]))
    broken = await calls(home, "verify", file)
    assert broken.code == 1
    assert "missing: Row 1 is missing" in broken.out
    again = await calls(home, "export", file)
    assert again.code == 1 and "already exists" in again.err


async def test_what_cannot_be_done_says_why(home: Path, tmp_path: Path) -> None:
    for words, code, text in (
        (("show", "call_none"), 1, "has no call"),
        (("list", "--since", "noon"), 2, "is no time"),
        (("list", "--limit", "0"), 2, "--limit"),
        (("export", "--json"), 2, "Name one"),
        (("verify", tmp_path / "missing.jsonl"), 1, "missing.jsonl"),
        (("verify", home / "config.json"), 1, ""),
    ):
        if words[0] == "verify" and str(words[1]).endswith("config.json"):
            (home / "config.json").write_text("{}")
        ended = await calls(home, *words)
        assert (ended.code, text in (ended.err or ended.out)) == (code, True), (words, ended)
        assert ended.err.startswith("error: ") or "--json" in words
    nothing = await calls(tmp_path / "empty", "list", "--json")
    assert (nothing.code, nothing.error["code"]) == (1, "no_ledger")
