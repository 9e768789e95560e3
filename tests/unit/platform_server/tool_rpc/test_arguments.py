"""Arguments that may travel, and those that may not."""

from __future__ import annotations

import time

import pytest
from msgspec import Raw

from edge_connector.core.depth import MAX_DEPTH
from edge_connector.platform_server.tool_rpc.arguments import MAX_BYTES, problem_of


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
        (b'{"a":["\\\\",' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"]}", "levels of nesting"),
        (b'{"a":["[","]",["\\"["],' + b'["[[\\\\"],{"]":""},' * 1000 + b"1]}", ""),
        (b'{"a":"' + b"x" * MAX_BYTES + b'"}', "bytes"),
        (b"[1]", "Expected `object`"),
        (b'"x"', "Expected `object`"),
        (b"null", "Expected `object`"),
    ],
)
def test_arguments(arguments: bytes, words: str) -> None:
    problem = problem_of(Raw(arguments))
    assert words in problem
    assert bool(problem) == bool(words)


@pytest.mark.parametrize(
    "part", [b"[]", b"[" * 200 + b"]" * 200, b'"["', b'["[\\""]'], ids=["flat", "deep", "texts", "mixed"]
)
def test_the_largest_arguments_hold_the_loop_for_a_moment_only(part: bytes) -> None:
    arguments = Raw(b'{"a":[' + b",".join([part] * ((MAX_BYTES - 100) // (len(part) + 1))) + b"]}")
    begun = time.process_time()
    assert problem_of(arguments) == ""
    # A match for each token took 4 s and more on the machine where this takes half a second at most.
    assert time.process_time() - begun < 2.0
