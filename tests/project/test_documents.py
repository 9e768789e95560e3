"""docs/ says what the code says."""

from __future__ import annotations

import pytest

from edge_connector.core.problems import KINDS, describe
from tests.support.documents import GENERATED, ROOT, STATUSZ, renew, statusz_schema


@pytest.mark.parametrize(("file", "part"), [(file, part) for file, parts in GENERATED.items() for part in parts])
def test_generated_part_is_current(file: str, part: str) -> None:
    text = (ROOT / file).read_text()
    assert text == renew(text, part, GENERATED[file][part]()), f"{file} is stale: run `make docs`"


@pytest.mark.parametrize("code", KINDS)
def test_each_problem_fills_its_words(code: str) -> None:
    _, sentence, fix = describe(code, detail="the detail", url="ws://x")
    assert sentence
    assert fix.endswith(".")
    assert "{" not in sentence + fix


def test_words_of_the_look_are_kept() -> None:
    for kind in KINDS.values():
        for phrase in ("something went wrong", "please try again later", "invalid input"):
            assert phrase not in (kind.sentence + kind.fix).lower()


def test_schema_of_the_status_is_current() -> None:
    assert STATUSZ.read_text() == statusz_schema(), "docs/statusz.schema.json is stale: run `make docs`"
