"""Commands with words that are hard to quote, for the tests of every system."""

from __future__ import annotations

from hypothesis import strategies as st

HARD_WORDS = [
    "plain",
    "two words",
    "",
    "percent %f %% 100%",
    "dollar $HOME $$ $(id)",
    "back`tick`",
    'double "quotes"',
    "it's",
    "back\\slash",
    "ends in backslash\\",
    "\\\\server\\share",
    "\\n is no line",
    "semi;colon",
    ";",
    "#hash",
    "~",
    "*?[]",
    "<>|&",
    "(a)",
    "ümlaut 漢字 🙂",
    "=",
    "a=b",
    " leading and trailing ",
    "-",
    "%",
    "$",
    '"',
    "'",
    "\\",
    "%%",
    "$$",
    "@:+!-",
]

words = st.text(
    st.characters(exclude_categories=("C", "Zl", "Zp")) | st.sampled_from("\\\"'$%` ;"), max_size=30
).filter(str.isprintable)
"""Any words an entry may carry, with the difficult characters often."""
