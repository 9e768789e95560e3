"""Levels of JSON are counted outside of strings only."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from edge_connector.core.depth import deeper_than


def depth_of(value: Any) -> int:
    """The same by looking at the value itself."""
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@pytest.mark.parametrize(
    ("data", "depth"),
    [
        (b"1", 0),
        (b'"[[[["', 0),
        (b"[]", 1),
        (b'{"a":{"b":[]}}', 3),
        (b"[[],[],[],{}]", 2),
        (b'["[","[","[[",[]]', 2),
        (rb'["\\",[["\""]],"\\\"[[["]', 3),
        (rb'["\\\\",["[\"["],"\n[\\"]', 2),
        (b"[" * 300 + b"]" * 300, 300),
    ],
)
def test_levels(data: bytes, depth: int) -> None:
    assert depth == 0 or deeper_than(data, depth - 1)
    assert not deeper_than(data, depth)


def test_random_documents() -> None:
    chance = random.Random(7)
    texts = ["", "[", "]{", '"', "\\", '\\"[', '[\\\\"', "a", "\n", "\u20ac[["]

    def made(levels: int) -> Any:
        kind = chance.randrange(4) if levels else 0
        if kind == 0:
            return chance.choice(texts)
        if kind == 1:
            return {chance.choice(texts): made(levels - 1) for _ in range(3)}
        return [made(levels - 1) for _ in range(chance.randrange(4))]

    for _ in range(300):
        value = made(6)
        data, depth = msgspec.json.encode(value), depth_of(value)
        assert not deeper_than(data, depth) and (depth == 0 or deeper_than(data, depth - 1)), data
