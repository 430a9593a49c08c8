from __future__ import annotations

import pytest

from gateway.simulator.blobs import MEMORY_BYTES_MAX, PIECE_BYTES, Blob, joined, new_file


def _filled(data: bytes) -> Blob:
    file = new_file()
    file.write(data)
    return Blob(file)


@pytest.mark.parametrize("size", [0, 1, MEMORY_BYTES_MAX, MEMORY_BYTES_MAX + 1, 5 * PIECE_BYTES])
def test_what_goes_in_comes_out(size: int) -> None:
    data = bytes(number % 251 for number in range(size))
    for blob in (Blob(data), _filled(data)):
        assert blob.size == size
        assert blob.read() == b"".join(blob.pieces()) == data
        assert blob.read(3, 5) == data[3:8]
        assert blob.read(size, 5) == b""


def test_lines_do_not_depend_on_where_pieces_end() -> None:
    lines = [b"x" * length for length in (PIECE_BYTES - 1, 3, 0, 2 * PIECE_BYTES, 7)]
    assert list(_filled(b"\n".join(lines)).lines()) == lines
    assert list(_filled(b"\r\n".join([*lines, b""])).lines()) == lines
    assert list(Blob(b"").lines()) == []


def test_parts_are_joined_in_order() -> None:
    parts = [Blob(b"a"), _filled(b"b" * (MEMORY_BYTES_MAX + 1)), Blob(b""), Blob(b"c")]
    whole = joined(parts)
    assert whole.read() == b"a" + b"b" * (MEMORY_BYTES_MAX + 1) + b"c"
