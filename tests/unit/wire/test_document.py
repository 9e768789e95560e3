"""docs/tool-rpc.md and docs/tool-rpc.asyncapi.json say what the code does: tables, codes, limits and examples."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from edge_connector.wire import codec, parts
from edge_connector.wire import messages as m
from edge_connector.wire.close_codes import MEANING, RETRY, CloseCode
from tests.support.asyncapi import asyncapi_document, asyncapi_text
from tests.support.wire_fields import DIRECTIONS, directions_of, fields_of, message_types, part_types, tag_of
from tests.unit.wire.receivable import RECEIVABLE
from tests.unit.wire.samples import SAMPLES, encoded
from tests.unit.wire.test_codec import DECODERS

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "tool-rpc.md").read_text()
ASYNCAPI = DOCS / "tool-rpc.asyncapi.json"

MESSAGES = {tag_of(kind): kind for kind in message_types()}
PARTS = {kind.__name__: kind for kind in part_types()}


def section(heading: str) -> str:
    """The text below `heading` up to the next heading of its level or above."""
    level = heading.index(" ")
    match = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^#{{2,{level}}} |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert match, f"the document has no section {heading!r}"
    return match[1]


def table(text: str) -> list[list[str]]:
    """The cells of the first table in `text`, without its head."""
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("|")]
    assert len(lines) > 2, "there is no table"
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def examples(text: str) -> list[str]:
    """The JSON blocks in `text`."""
    return re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


class TestMessages:
    def test_there_is_a_section_for_each_in_the_order_of_the_code(self) -> None:
        assert re.findall(r"^### `(.*)`$", section("## Messages"), re.MULTILINE) == list(MESSAGES)
        assert re.findall(r"^### Object `(.*)`$", PAGE, re.MULTILINE) == list(PARTS)

    @pytest.mark.parametrize("tag", MESSAGES)
    def test_direction(self, tag: str) -> None:
        match = re.search(r"^Direction: ([^.]*)\.", section(f"### `{tag}`"), re.MULTILINE)
        assert match and match[1].split(", ") == directions_of(MESSAGES[tag])

    @pytest.mark.parametrize("name", [*MESSAGES, *PARTS])
    def test_fields(self, name: str) -> None:
        kind = MESSAGES.get(name) or PARTS[name]
        rows = table(section(f"### `{name}`" if name in MESSAGES else f"### Object `{name}`"))
        expected = [
            [f"`{f.name}`", f.type, f.default if f.default == "required" else f"`{f.default}`"] for f in fields_of(kind)
        ]
        assert [row[:3] for row in rows] == expected
        assert all(len(row) == 4 and row[3] for row in rows), "each field has a meaning"

    @pytest.mark.parametrize("tag", MESSAGES)
    def test_example_is_read_by_the_decoder_of_each_direction(self, tag: str) -> None:
        (example,) = examples(section(f"### `{tag}`"))
        for direction in directions_of(MESSAGES[tag]):
            (message,) = DECODERS[direction].decode(example)
            assert type(message) is MESSAGES[tag]

    @pytest.mark.parametrize("tag", MESSAGES)
    def test_example_has_no_field_that_the_code_does_not_know(self, tag: str) -> None:
        (example,) = examples(section(f"### `{tag}`"))
        strict = {
            name: schema | {"additionalProperties": False}
            for name, schema in asyncapi_document()["components"]["schemas"].items()
        }
        reference = {"$ref": f"#/components/schemas/{MESSAGES[tag].__name__}"}
        validator = jsonschema_rs.Draft202012Validator({**reference, "components": {"schemas": strict}})
        validator.validate(msgspec.json.decode(example))
        assert not validator.is_valid(msgspec.json.decode(example) | {"unknown": 1})

    def test_every_json_block_of_the_page_is_an_example_of_a_message(self) -> None:
        assert len(examples(PAGE)) == len(MESSAGES)


class TestRules:
    def test_close_codes(self) -> None:
        rows = table(section("## Close codes"))
        assert rows == [[str(code.value), f"`{code.name}`", RETRY[code].value, MEANING[code]] for code in CloseCode]

    def test_phases(self) -> None:
        rows = table(section("## Phases"))
        written = {(row[0], row[1]): set(re.findall(r"`([^`]+)`", row[2])) for row in rows}
        assert written == {where: allowed for where, (_, allowed) in RECEIVABLE.items()}

    def test_error_codes_name_outcomes_that_exist(self) -> None:
        rows = table(section("## Error codes"))
        codes = [row[0].strip("`") for row in rows]
        assert len(set(codes)) == len(codes)
        assert {row[1].strip("`") for row in rows} == {outcome.value for outcome in m.Outcome}
        assert all(re.fullmatch(r"[a-z_]+", code) for code in codes)
        assert all(set(row[2].split(", ")) <= {"connector", "platform"} for row in rows)

    def test_limits_and_times(self) -> None:
        facts = {row[0]: row[1] for row in table(section("## Limits and times"))}
        assert f"({m.MAX_FRAME_BYTES})" in facts["largest frame to a connector or caller"]
        assert f"({m.MAX_FRAME_BYTES})" in facts["largest frame to the platform"]
        assert f"({m.MAX_RESULT_BYTES})" in facts["largest result"]
        assert f"({codec.BATCH_BYTES})" in facts["size of a batch"]
        in_parts = facts["result sent in parts"]
        assert f"({parts.PART_ABOVE})" in in_parts and f"({parts.PART_BYTES[1]})" in in_parts
        assert f"at most {parts.MAX_AT_ONCE} results" in in_parts
        assert facts["upgrade to `hello`, and `hello` to `welcome`"].startswith(f"{m.HELLO_TIMEOUT_S:.0f} s")
        assert facts["`welcome` to `register`, and `register` to `registered`"].startswith(
            f"{m.REGISTER_TIMEOUT_S:.0f} s"
        )
        assert facts["heartbeat"].startswith(f"every {m.HEARTBEAT_S:.0f} s")
        assert facts["silence"].startswith(f"{m.SILENCE_S:.0f} s")
        assert facts["outcome without `accepted`"] == f"within {m.ACCEPT_AFTER_S * 1000:.0f} ms"

    def test_subprotocol_and_version(self) -> None:
        assert f"Subprotocol `{m.SUBPROTOCOL}`" in section("## Transport")
        assert PAGE.startswith(f"# Tool RPC, version {m.VERSION}\n")

    def test_links_within_the_page_lead_somewhere(self) -> None:
        anchors = {
            re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
            for heading in re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
        }
        assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= anchors
        for target in re.findall(r"\]\((?!#)([^)#]+)\)", PAGE):
            assert (DOCS / target).exists(), target


class TestAsyncApi:
    document = asyncapi_document()

    def test_the_committed_file_is_the_generated_one(self) -> None:
        assert ASYNCAPI.read_text() == asyncapi_text(), (
            "run: python -m tests.support.asyncapi > docs/tool-rpc.asyncapi.json"
        )

    def test_structure(self) -> None:
        """The required members of AsyncAPI 3.0.0, as far as this document uses them."""
        document = self.document
        assert document["asyncapi"] == "3.0.0"
        assert set(document) <= {
            "asyncapi", "id", "info", "servers", "defaultContentType", "channels", "operations", "components",
        }  # fmt: skip
        assert {"title", "version"} <= set(document["info"])
        for server in document["servers"].values():
            assert {"host", "protocol"} <= set(server) and "/" not in server["host"]
        for channel in document["channels"].values():
            assert set(channel) <= {"address", "title", "description", "messages", "bindings", "x-close-codes"}
        for operation in document["operations"].values():
            assert operation["action"] in {"send", "receive"}
            assert operation["channel"] == {"$ref": "#/channels/session"}
        for group in document["components"].values():
            assert all(re.fullmatch(r"[\w.\-]+", name) for name in group)

    def test_every_reference_leads_somewhere(self) -> None:
        references = list(references_in(self.document))
        assert len(references) > len(MESSAGES)
        for reference in references:
            assert reference.startswith("#/")
            target: Any = self.document
            for step in reference[2:].split("/"):
                target = target[step]
            assert target

    def test_operations_name_what_travels(self) -> None:
        written = {
            name: [each["$ref"].rsplit("/", 1)[1] for each in operation["messages"]]
            for name, operation in self.document["operations"].items()
        }
        assert sorted(written.values()) == sorted([tag_of(kind) for kind in u.__args__] for u in DIRECTIONS.values())

    @pytest.mark.parametrize("tag", MESSAGES)
    def test_schemas_accept_samples_and_examples(self, tag: str) -> None:
        validator = self.validator(tag)
        (example,) = examples(section(f"### `{tag}`"))
        for frame in (encoded(SAMPLES[tag]), example):
            validator.validate(msgspec.json.decode(frame))

    @pytest.mark.parametrize("tag", MESSAGES)
    def test_schemas_refuse_what_the_decoder_refuses(self, tag: str) -> None:
        validator = self.validator(tag)
        whole = msgspec.json.decode(encoded(SAMPLES[tag]))
        for name in [f.name for f in fields_of(MESSAGES[tag]) if f.default == "required"]:
            assert not validator.is_valid({key: value for key, value in whole.items() if key != name})
        for f in fields_of(MESSAGES[tag]):
            if f.type != "any":
                assert not validator.is_valid(whole | {f.name: object_of_no_type(f.type)}), f.name
        assert validator.is_valid(whole | {"unknown": 1})

    def validator(self, tag: str) -> Any:
        payload = self.document["components"]["messages"][tag]["payload"]
        return jsonschema_rs.Draft202012Validator({**payload, "components": self.document["components"]})


def object_of_no_type(words: str) -> Any:
    """A JSON value that no field of this type takes."""
    return 5.5 if words.startswith(("`", "object", "array", "string", "boolean", "integer")) else "no number"


def references_in(node: Any) -> Any:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from references_in(value)
