"""Damage to files: what disks, networks, other programs and attackers do to them."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from random import Random

_INTEGERS = (0, 1, -1, 2, 3, 4, 7, 127, 128, 255, 256, 32767, 32768, 65535, 2**31 - 1, -(2**31), 2**32 - 1, 10**12, 2**63 - 1, -(2**63))
_FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-40, 1e38, -1e38, float("nan"), float("inf"), float("-inf"), 352.0, 1e9)
_TEXTS = (
    *("0", "-1", "1e999", "nan", "NaN", "Infinity", "null", "true", "[]", "{}", '""', "9" * 25, "99999999", "2147483648", "1000000000000"),
    *("1.5", "-0", "é", "\x00", "\udc80", "%s%n", "../../../etc/passwd", "/etc/passwd", "LIST", "%03d.raw 1 9 1", "[" * 2000, "\t", "\r\n"),
)
#: Headers lie at the front; most damage goes there.
_HEADER = 600


def mutate(content: bytes, others: Sequence[bytes], rng: Random) -> bytes:
    """Return `content` with one to four faults; `others` are files to splice in."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        how: Callable[[bytes, Random], bytes] = rng.choice(_WAYS)
        content = _splice(content, rng.choice(others), rng) if how is _flip and rng.random() < 0.15 else how(content, rng)
    return content


def _place(content: bytes, rng: Random) -> int:
    end = min(len(content), _HEADER) if rng.random() < 0.7 else len(content)
    return rng.randrange(max(end, 1))


def _over(content: bytes, at: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + len(new) :]


def _flip(content: bytes, rng: Random) -> bytes:
    at = _place(content, rng)
    return _over(content, at, bytes([(content[at] if content else 0) ^ (1 << rng.randrange(8))]))


def _run(content: bytes, rng: Random) -> bytes:
    return _over(content, _place(content, rng), bytes([rng.choice((0, 0x20, 0x7F, 0x80, 0xFF))]) * rng.choice((1, 2, 4, 8, 64)))


def _integer(content: bytes, rng: Random) -> bytes:
    size = rng.choice((2, 4, 4, 8))
    value = rng.choice(_INTEGERS) % (1 << 8 * size)
    at = _place(content, rng)
    return _over(content, at - at % rng.choice((1, 2, size)), value.to_bytes(size, rng.choice(("little", "big"))))


def _float(content: bytes, rng: Random) -> bytes:
    at = _place(content, rng)
    return _over(content, at - at % 4, struct.pack(rng.choice(("<f", ">f", "<d")), rng.choice(_FLOATS)))


def _truncate(content: bytes, rng: Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _delete(content: bytes, rng: Random) -> bytes:
    at = _place(content, rng)
    return content[:at] + content[at + rng.choice((1, 2, 4, 16, 128)) :]


def _insert(content: bytes, rng: Random) -> bytes:
    at = _place(content, rng)
    return content[:at] + rng.randbytes(rng.choice((1, 2, 4, 16, 128))) + content[at:]


def _repeat(content: bytes, rng: Random) -> bytes:
    at = _place(content, rng)
    part = content[at : at + rng.choice((2, 8, 32, 512))]
    return content[:at] + part * rng.choice((2, 3, 50)) + content[at:]


def _number(content: bytes, rng: Random) -> bytes:
    """Another value in the place of a number that is written as text."""
    found = list(re.finditer(rb"-?\d[\d.e+-]*", content[: 4 * _HEADER]))
    if not found:
        return _flip(content, rng)
    match = rng.choice(found)
    return content[: match.start()] + rng.choice(_TEXTS).encode("utf-8", "surrogateescape") + content[match.end() :]


def _word(content: bytes, rng: Random) -> bytes:
    """Another word of the same file, or something else, in the place of a word."""
    found = list(re.finditer(rb"[A-Za-z_][\w./-]*|\"[^\"]*\"", content[: 4 * _HEADER]))
    if not found:
        return _integer(content, rng)
    match = rng.choice(found)
    new = rng.choice(found)[0] if rng.random() < 0.6 else rng.choice(_TEXTS).encode("utf-8", "surrogateescape")
    return content[: match.start()] + new + content[match.end() :]


def _line(content: bytes, rng: Random) -> bytes:
    """A line that is missing, doubled, or moved."""
    lines = content.split(b"\n")
    at = rng.randrange(min(len(lines), 40))
    line = lines.pop(at)
    for _ in range(rng.choice((0, 1, 2))):
        lines.insert(rng.randrange(min(len(lines), 40) + 1), line)
    return b"\n".join(lines)


def _splice(content: bytes, other: bytes, rng: Random) -> bytes:
    return content[: _place(content, rng)] + other[_place(other, rng) :]


_WAYS = (_flip, _run, _integer, _integer, _float, _truncate, _delete, _insert, _repeat, _number, _number, _word, _line)
