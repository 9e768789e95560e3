"""What is fed with arbitrary bytes, what it may answer, and seeds to begin with.

A target takes bytes and returns; any exception is a finding. `test_targets.py` runs each one with its seeds and some
mutated inputs, `run.py` hands them to atheris, which follows the coverage.
"""

from __future__ import annotations

from tests.fuzz import file_targets, server_targets, tool_targets, wire_targets
from tests.fuzz.target import Target

TARGETS: dict[str, Target] = {
    **wire_targets.TARGETS,
    **file_targets.TARGETS,
    **tool_targets.TARGETS,
    **server_targets.TARGETS,
}
