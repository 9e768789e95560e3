"""The chain finds whatever was changed, left out or moved, in the file and in an export of it."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_connector.core.errors import UserError
from edge_connector.tools.ledger.chain import GENESIS, VerifyReport
from edge_connector.tools.ledger.lines import LineWriter, verify_lines
from edge_connector.tools.ledger.pages import ChainPages
from edge_connector.tools.ledger.reading import answer
from tests.unit.tools.ledger.ledgers import change, failure, open_ledger, request, tool_info, whole_call

CALLS = 12


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with whole, failed and open calls; each call has several events."""
    folder = tmp_path_factory.mktemp("ledger")

    async def fill() -> None:
        async with open_ledger(folder) as (ledger, _):
            for number in range(CALLS):
                ledger.received(request(str(number)), tool_info())
                await ledger.settle()
                if number % 3:
                    whole_call(ledger, f"quick-{number}", failure(f"quick-{number}") if number % 2 else None)
            await ledger.settle()

    asyncio.run(fill())
    return folder


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    return tmp_path


def verified(folder: Path, *, head: str = "", since: str = "") -> VerifyReport:
    """The proof as a command makes it from the file."""
    connection = sqlite3.connect(folder / "calls.sqlite3", isolation_level=None)
    try:
        pages = ChainPages(head=head, since=since)
        while (params := pages.next_request()) is not None:
            pages.take(answer(connection, "calls.export", params))
        return pages.report()
    finally:
        connection.close()


def exported(folder: Path, since: str = "") -> list[bytes]:
    connection = sqlite3.connect(folder / "calls.sqlite3", isolation_level=None)
    try:
        pages, lines = ChainPages(since=since), LineWriter(exported_at="2026-11-21T00:00:00Z")
        made: list[bytes] = []
        while (params := pages.next_request()) is not None:
            made += lines.take(pages.take(answer(connection, "calls.export", params)))
        return [*made, lines.end()]
    finally:
        connection.close()


def one(folder: Path, sql: str) -> str:
    connection = sqlite3.connect(folder / "calls.sqlite3")
    try:
        return str(connection.execute(sql).fetchone()[0])
    finally:
        connection.close()


def test_what_nobody_touched_is_intact(copy: Path) -> None:
    report = verified(copy)
    assert report.intact and report.findings == []
    assert report.calls == int(one(copy, "SELECT count(*) FROM calls"))
    assert report.events == int(one(copy, "SELECT count(*) FROM events")) == report.head_seq
    assert report.head_hash == one(copy, "SELECT head_hash FROM chain") != GENESIS


@pytest.mark.parametrize(
    ("statement", "kind", "words"),
    [
        ("UPDATE events SET body = replace(body, 'ann', 'eve') WHERE seq = 3", "changed", "Row 3 "),
        ("UPDATE events SET body = 'x' WHERE seq = 3", "changed", "Row 3 "),
        ("UPDATE events SET hash = replace(hash, 'a', 'b') WHERE seq = 3", "changed", "Row 3 "),
        ("UPDATE events SET call = 'other' WHERE seq = 3", "changed", "Row 3 "),
        ("DELETE FROM events WHERE seq = 4", "missing", "Row 4 is missing"),
        ("DELETE FROM events WHERE seq IN (4, 5)", "missing", "Rows 4 to 5 are missing"),
        ("DELETE FROM events WHERE seq = 1", "missing", "Row 1 is missing"),
        ("DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)", "missing", "at the end"),
        ("DELETE FROM calls WHERE id = '5'", "missing", "The row of call 5 is missing"),
        ("UPDATE calls SET user = 'eve' WHERE id = '5'", "changed", "call 5 was changed: user"),
        ("UPDATE calls SET arguments = '{}' WHERE id = '5'", "changed", "call 5 was changed: arguments"),
        ("UPDATE calls SET outcome = 'failed' WHERE id = 'quick-2'", "changed", "quick-2 was changed: outcome"),
        ("UPDATE calls SET result = '7' WHERE id = 'quick-2'", "changed", "quick-2 was changed: result"),
        ("UPDATE calls SET message = 'fine' WHERE id = 'quick-1'", "changed", "quick-1 was changed: message"),
        ("UPDATE calls SET received_at = 5 WHERE id = '5'", "changed", "call 5 was changed: received"),
        ("UPDATE calls SET id = 'x' WHERE id = '5'", "changed", "The row of call x belongs to no event"),
        ("UPDATE calls SET last_seq = last_seq + 1 WHERE id = '5'", "changed", "belongs to no event"),
    ],
)  # fmt: skip
def test_what_was_done_is_named(copy: Path, statement: str, kind: str, words: str) -> None:
    change(copy, statement)
    report = verified(copy)
    assert not report.intact
    assert [finding for finding in report.findings if finding.kind == kind and words in finding.sentence], (
        report.findings
    )
    assert not verify_lines(exported(copy)).intact


def test_rows_that_changed_places_are_named(copy: Path) -> None:
    change(
        copy,
        "UPDATE events SET seq = -1 WHERE seq = 5",
        "UPDATE events SET seq = 5 WHERE seq = 6",
        "UPDATE events SET seq = 6 WHERE seq = -1",
    )
    report = verified(copy)
    reordered = [finding.seq for finding in report.findings if finding.kind == "reordered"]
    assert reordered == [5, 6]


def test_a_chain_that_was_written_anew_fits_itself_but_not_a_head_noted_elsewhere(copy: Path, original: Path) -> None:
    from edge_connector.tools.ledger.chain import link_hash

    noted = verified(original).head_hash
    assert verified(original, head=noted.upper()).intact
    connection = sqlite3.connect(copy / "calls.sqlite3")
    connection.execute("UPDATE events SET body = replace(body, 'ann', 'eve')")
    connection.execute("UPDATE calls SET user = 'eve'")
    previous = GENESIS
    for seq, body in connection.execute("SELECT seq, body FROM events ORDER BY seq").fetchall():
        previous = link_hash(previous, body.encode())
        connection.execute("UPDATE events SET hash = ? WHERE seq = ?", (previous, seq))
    connection.execute("UPDATE chain SET head_hash = ?", (previous,))
    connection.commit()
    connection.close()
    assert verified(copy).intact
    report = verified(copy, head=noted)
    assert not report.intact and "noted elsewhere" in report.findings[0].sentence
    assert not verify_lines(exported(copy), head=noted).intact


def test_an_export_is_proven_without_the_ledger(original: Path) -> None:
    lines = exported(original)
    report = verify_lines(lines)
    assert report == verified(original)
    assert verify_lines(lines, head=report.head_hash).intact
    assert not verify_lines(lines[:-2] + lines[-1:]).intact
    for broken, code in (([], "empty"), (lines[1:], "no head"), (lines[:-1], "end is missing"), ([b"{}\n"], "line 1")):
        with pytest.raises(UserError, match=code) as error:
            verify_lines(broken)
        assert error.value.code == "not_an_export"


def test_an_export_since_a_moment_begins_there_and_is_proven_from_there(original: Path) -> None:
    middle = one(original, f"SELECT received_at FROM calls WHERE id = '{CALLS // 2}'")
    since = f"{msgspec.json.decode(middle) / 1000:.3f}"
    from edge_connector.core.clock import to_iso

    lines = exported(original, since=to_iso(float(since)))
    assert 2 < len(lines) < len(exported(original))
    report = verify_lines(lines)
    assert report.intact and report.anchor_seq > 0
    assert verify_lines(exported(original, since="2999-01-01T00:00:00Z")).events == 0


@pytest.fixture(scope="module")
def export_lines(original: Path) -> Iterator[list[bytes]]:
    yield exported(original)


@given(data=st.data())
def test_no_single_change_of_an_export_goes_unnoticed(export_lines: list[bytes], data: st.DataObject) -> None:
    """Any row removed, doubled, moved, or with any one character of its event changed."""
    lines = list(export_lines)
    place = data.draw(st.integers(1, len(lines) - 2), label="row")
    match data.draw(st.sampled_from(["remove", "double", "move", "edit", "edit row"]), label="how"):
        case "remove":
            del lines[place]
        case "double":
            lines.insert(place, lines[place])
        case "move":
            other = data.draw(st.integers(1, len(lines) - 2).filter(lambda n: n != place), label="to")
            lines.insert(other, lines.pop(place))
        case "edit":
            row = msgspec.json.decode(lines[place])
            key = data.draw(st.sampled_from(["body", "hash", "call"]), label="field")
            text = row[key]
            at = data.draw(st.integers(0, len(text) - 1), label="character")
            row[key] = text[:at] + ("x" if text[at] != "x" else "y") + text[at + 1 :]
            lines[place] = msgspec.json.encode(row)
        case _:
            row = msgspec.json.decode(lines[place])
            if not row.get("row"):
                return
            key = data.draw(st.sampled_from(["tool", "user", "outcome", "receivedAt", "arguments"]), label="field")
            row["row"][key] = 1 if key == "receivedAt" else f"{row['row'][key]}?"
            lines[place] = msgspec.json.encode(row)
    try:
        assert not verify_lines(lines).intact
    except UserError as error:
        assert error.code == "not_an_export"
