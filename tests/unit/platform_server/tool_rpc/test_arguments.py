"""Arguments that may travel, and those that may not."""

from __future__ import annotations

import pytest
from msgspec import Raw

from edge_connector.platform_server.tool_rpc.arguments import MAX_DEPTH, problem_of


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (b"{}", ""),
        (nested(MAX_DEPTH), ""),
        (nested(MAX_DEPTH + 1), "levels of nesting"),
        (b'{"a":[' + b"[]," * 1000 + b"1]}", ""),
        (b'{"a":"' + b'[{\\"' * 1000 + b'"}', ""),
        (b"[1]", "Expected `object`"),
        (b'"x"', "Expected `object`"),
        (b"null", "Expected `object`"),
    ],
)
def test_arguments(arguments: bytes, words: str) -> None:
    problem = problem_of(Raw(arguments))
    assert words in problem
    assert bool(problem) == bool(words)
