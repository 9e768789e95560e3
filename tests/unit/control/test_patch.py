"""Merge patches: whatever changed, applying the patch gives the new document."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge_connector.control.patch import apply_patch, merge_patch

# Null means "remove" in a merge patch (RFC 7396), so documents without null come back exactly.
VALUES = st.recursive(
    st.integers() | st.text(max_size=5) | st.booleans() | st.lists(st.integers(), max_size=3),
    lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(st.text(max_size=3), VALUES, max_size=5)


@given(DOCUMENTS, DOCUMENTS)
def test_patch_turns_one_document_into_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert apply_patch(before, merge_patch(before, after)) == after


@given(DOCUMENTS)
def test_equal_documents_need_no_patch(document: dict[str, Any]) -> None:
    assert merge_patch(document, document) == {}


def test_only_what_changed_is_in_the_patch() -> None:
    before = {"state": "connecting", "link": {"phase": "dialling", "url": "ws://x"}, "tools": [1, 2]}
    after = {"state": "working", "link": {"phase": "open", "url": "ws://x"}, "tools": [1, 2]}
    assert merge_patch(before, after) == {"state": "working", "link": {"phase": "open"}}


def test_a_value_that_becomes_null_is_gone_for_the_watcher() -> None:
    assert apply_patch({"next": 5, "a": 1}, merge_patch({"next": 5, "a": 1}, {"next": None, "a": 1})) == {"a": 1}
