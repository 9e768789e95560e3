"""The targets that read JSON, with documents that hypothesis makes of the words that matter to each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_connector.config.settings import SETTINGS
from tests.fuzz.server_targets import close
from tests.fuzz.targets import TARGETS
from tests.unit.wire.samples import SAMPLES

WORDS = {
    "config_document": [setting.key for setting in SETTINGS],
    "saved_files": ["token", "deploymentId", "deploymentSecret"],
    "lock_content": ["pid", "control", "healthPort", "version"],
    "tool_arguments": ["name", "number", "share", "tags", "more"],
    "tool_schema": ["parameters", "result", "title", "risk", "repeat", "timeoutS", "type", "properties", "required",
                    "items", "anyOf", "pattern", "enum", "minimum", "object", "string", "array"],
    "control_line": ["id", "method", "params", "call", "pause", "config.set", "key", "value", "forS", "limit", "tool",
                     "calls.recent", "arguments", "timeoutS"],
    "wire_codec": ["type", "id", "seq", "tools", "arguments", "result", "error", *SAMPLES],
    "wire_session": ["type", "id", "seq", "versions", "role", "revision", "tools", *SAMPLES],
    "json_depth": ["a"],
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _closed_in_the_end() -> Iterator[None]:
    yield
    close()


def documents(words: list[str]) -> st.SearchStrategy[Any]:
    texts = st.sampled_from(words) | st.text(max_size=8)
    numbers = st.integers(-(2**64), 2**64) | st.floats(allow_nan=False, allow_infinity=False)
    leaves = st.none() | st.booleans() | numbers | texts
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=5), max_leaves=12
    )


@pytest.mark.parametrize("name", WORDS)
@settings(max_examples=25)
@given(data=st.data())
def test_any_document(name: str, data: st.DataObject) -> None:
    """Settings or one sentence, messages or a protocol error, an answer or a refusal: never anything else."""
    TARGETS[name].run(msgspec.json.encode(data.draw(documents(WORDS[name]))))


@settings(max_examples=25)
@given(
    operation=st.sampled_from(["calls", "deployments", "server-tokens", "session-tokens", "setup"]),
    body=documents(["tool", "arguments", "deployment", "timeoutMs", "wait", "name", "type", "code", "email", "user"]),
)
def test_any_body(operation: str, body: Any) -> None:
    """The platform's operations answer any JSON, and never with an error of their own."""
    TARGETS["http_request"].run(b"POST /api/v1/%s\n\n" % operation.encode() + msgspec.json.encode(body))
