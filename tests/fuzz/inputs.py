"""Random inputs for the fuzzers: what people and attackers send, bent in every way.

Each input follows from two numbers alone, the seed of the run and its own place in it, so that
one which breaks something can be made again without the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random
from zlib import crc32

ODD_BYTES = (0, 9, 10, 11, 12, 13, 32, 34, 37, 44, 46, 47, 58, 59, 92, 127, 128, 160, 192, 255)
LENGTH_MAX = 20_000
_EDITS_MAX = 6


def random_of(fuzzer: str, seed: int, number: int) -> Random:
    """The source of one input."""
    name = int.from_bytes(fuzzer.encode())
    return Random(name << 128 | (seed & (1 << 64) - 1) << 64 | number)


def bent(
    rng: Random,
    data: bytes,
    tokens: Sequence[bytes],
    others: Sequence[bytes] = (),
    *,
    any_byte: bool = True,
) -> bytes:
    """``data`` with one to six edits; ``tokens`` are what its format is made of, and ``others``
    are data of the same format to splice with. Without ``any_byte`` most of it stays text."""
    edited = bytearray(data)
    edits = _EDITS if any_byte or rng.random() < 0.1 else _TEXT_EDITS
    for _ in range(1 + int(rng.random() ** 3 * _EDITS_MAX)):
        at = int(rng.random() * (len(edited) + 1))
        edits[int(rng.random() * len(edits))](rng, edited, at, tokens, others)
    return bytes(edited[:LENGTH_MAX])


Edit = Callable[[Random, bytearray, int, Sequence[bytes], Sequence[bytes]], None]


def _flip(
    rng: Random, data: bytearray, at: int, _tokens: Sequence[bytes], _others: Sequence[bytes]
) -> None:
    if at < len(data):
        data[at] ^= 1 << rng.randrange(8)


def _odd(
    rng: Random, data: bytearray, at: int, _tokens: Sequence[bytes], _others: Sequence[bytes]
) -> None:
    data[at : at + rng.randrange(2)] = bytes([rng.choice(ODD_BYTES)])


def _any(
    rng: Random, data: bytearray, at: int, _tokens: Sequence[bytes], _others: Sequence[bytes]
) -> None:
    data[at : at + rng.randrange(2)] = rng.randbytes(rng.randrange(1, 4))


def _drop(
    rng: Random, data: bytearray, at: int, _tokens: Sequence[bytes], _others: Sequence[bytes]
) -> None:
    del data[at : at + rng.choice((1, 1, 2, 4, 16, 64))]


def _token(
    rng: Random, data: bytearray, at: int, tokens: Sequence[bytes], _others: Sequence[bytes]
) -> None:
    data[at : at + rng.choice((0, 0, 1, 4))] = rng.choice(tokens)


def _token_for_token(
    rng: Random, data: bytearray, _at: int, tokens: Sequence[bytes], _others: Sequence[bytes]
) -> None:
    old = rng.choice(tokens)
    found = data.find(old, rng.randrange(len(data) + 1))
    if found >= 0:
        data[found : found + len(old)] = rng.choice(tokens)


def _again(
    rng: Random, data: bytearray, at: int, _tokens: Sequence[bytes], _others: Sequence[bytes]
) -> None:
    size = rng.choice((1, 2, 8, 32, 128))
    data[at:at] = data[at : at + size] * rng.choice((1, 1, 1, 2, 30))


def _splice(
    rng: Random, data: bytearray, at: int, _tokens: Sequence[bytes], others: Sequence[bytes]
) -> None:
    if others:
        other = rng.choice(others)
        data[at:] = other[rng.randrange(len(other) + 1) :]


def _cut(
    _rng: Random, data: bytearray, at: int, _tokens: Sequence[bytes], _others: Sequence[bytes]
) -> None:
    del data[at:]


_TEXT_EDITS: tuple[Edit, ...] = (
    *(_drop, _drop, _token, _token, _token, _token_for_token, _token_for_token),
    *(_again, _splice, _cut),
)
_EDITS: tuple[Edit, ...] = (_flip, _odd, _odd, _any, *_TEXT_EDITS)


def pieces(data: bytes) -> list[bytes]:
    """``data`` cut at places that follow from itself: into few pieces, many or single bytes."""
    chance = crc32(data)
    if len(data) <= 200 and chance % 5 == 0:
        return [data[i : i + 1] for i in range(len(data))]
    edges = [0, len(data)]
    for _ in range((1, 2, 4, 12)[chance >> 8 & 3]):
        chance = (chance * 1_103_515_245 + 12_345) & 0xFFFFFFFF
        edges.append((chance >> 8) % (len(data) + 1))
    return [data[a:b] for a, b in pairwise(sorted(edges))]
