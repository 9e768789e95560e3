"""How deeply JSON is nested, told from its bytes; what is too deep would cost the session it travels in.

It neither decodes nor checks the JSON: it has to be valid.
"""

from __future__ import annotations

import re
from itertools import accumulate

MAX_DEPTH = 240
"""The protocol allows 256 levels, those of the frame around arguments or a result included."""

_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # as signed bytes: +1 and -1
_BUT_MARKS = bytes(set(range(256)) - set(b'[{]}"'))
_STRING = re.compile(rb'"[^"]*"')


def deeper_than(data: bytes, limit: int) -> bool:
    """Whether arrays and objects are nested more than `limit` deep.

    Takes time in proportion to the size, whatever the shape: some 50 ms for 1 MB of nothing but brackets.
    """
    if data.count(b"[") + data.count(b"{") <= limit:
        return False
    if b"\\" in data:  # afterwards each quotation mark opens or closes a string
        data = data.replace(rb"\\", b"").replace(rb"\"", b"")
    # Most strings hold no bracket and are a pair of quotation marks now. Taking any pair away changes no other string.
    marks = data.translate(_STEPS, _BUT_MARKS).replace(b'""', b"")
    if b'"' in marks:
        marks = _STRING.sub(b"", marks)
    return max(accumulate(memoryview(marks).cast("b")), default=0) > limit
