"""Every fuzz target with its seeds and some mutated inputs; `make fuzz` follows the coverage for longer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from random import Random

import pytest

from tests.fuzz.mutation import mutated
from tests.fuzz.server_targets import close
from tests.fuzz.targets import TARGETS

MUTATIONS = 200


@pytest.fixture(scope="module", autouse=True)
def _closed_in_the_end() -> Iterator[None]:
    yield
    close()


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_mutations(name: str) -> None:
    target = TARGETS[name]
    seed = 1 if "CI" in os.environ else int.from_bytes(os.urandom(4), "big")
    random = Random(seed)
    inputs = [*target.seeds, *(mutated(target.seeds, random) for _ in range(MUTATIONS))]
    for data in inputs:
        try:
            target.run(data)
        except Exception as error:
            pytest.fail(f"{name} of {data!r} (seed {seed}): {type(error).__name__}: {error}", pytrace=True)
