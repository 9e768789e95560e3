"""Small random changes of bytes, for the runs of the targets without atheris."""

from __future__ import annotations

from random import Random

_BITS = (
    *(b"\0", b"\xff", b"\xed\xa0\x80", b"\\ud800", b"\x1b[2J", b"\n", b'"', b"{", b"[", b"}", b"]", b",", b":", b"\\"),
    *(b"null", b"true", b"-1", b"1e999", b"NaN", b"9" * 40, b"[" * 300, b'{"a":' * 60, "\u202e".encode()),
)


def mutated(seeds: tuple[bytes, ...], random: Random) -> bytes:
    """One of `seeds`, changed in one to four places."""
    data = bytearray(random.choice(seeds))
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(data) + 1)
        match random.randrange(6):
            case 0 if data:
                data[at % len(data)] = random.randrange(256)
            case 1:
                data[at:at] = random.choice(_BITS)
            case 2:
                del data[at : at + random.randint(1, 8)]
            case 3:
                end = at + random.randint(1, 16)
                data[at:at] = data[at:end]
            case 4:
                data[at:] = random.choice(seeds)[at:]
            case _:
                data[at:at] = random.randbytes(random.randint(1, 4))
    return bytes(data)
