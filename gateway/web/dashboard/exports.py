"""Any view as a file: ``?format=csv`` or ``?format=parquet`` on the address of a page.

What a view shows and what its file has come from the same query, so that filters and the reader's
scope apply to both. Files are made on threads of their own, piece by piece, and wait for whoever
reads them: neither the event loop nor memory notices a million rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from flask import Response, request

from gateway.adapters.table_files import (
    Batches,
    Column,
    NoParquet,
    csv_pieces,
    write_parquet,
)
from gateway.adapters.threads import on_export_thread
from gateway.core.errors import BadRequest

FORMATS = {"csv": "CSV", "parquet": "Parquet"}
"""The kinds of files, by their name in addresses, and as people read them."""

_PIECE_BYTES = 256 * 1024


def wanted() -> str | None:
    """The format that the current request asks for; None where it asks for the page.

    Raises BadRequest for one that does not exist.
    """
    named = request.args.get("format")
    if not named:
        return None
    if named not in FORMATS:
        raise BadRequest(f"There is no export as {named[:40]!r}: use csv or parquet.")
    return named


def as_file(kind: str, name: str, columns: Sequence[Column], batches: Batches) -> Response:
    """The answer that a browser saves: ``faregate-NAME-DATE.KIND``.

    ``batches`` is walked on a thread, also while the answer is sent; each batch should be a query
    of its own. Raises BadRequest where Parquet is asked for and cannot be written here, and
    whatever the first batch raises.
    """
    made = _parquet(columns, batches) if kind == "parquet" else _csv(columns, batches)
    file_name = f"faregate-{name}-{datetime.now(UTC):%Y-%m-%d}.{kind}"
    made.headers["Content-Disposition"] = f'attachment; filename="{file_name}"'
    made.headers["Cache-Control"] = "no-store"
    made.headers["X-Content-Type-Options"] = "nosniff"
    return made


def one_batch(rows: Iterable[Sequence[object]]) -> Batches:
    """The rows of a view that is small."""
    return [list(rows)]


def _csv(columns: Sequence[Column], batches: Batches) -> Response:
    pieces = csv_pieces(columns, batches)
    # The heads, and the first batch: what fails there is an error and no broken file.
    first = [on_export_thread(next, pieces, b"") for _ in range(2)]

    def rest() -> Iterator[bytes]:
        yield b"".join(first)
        while piece := on_export_thread(next, pieces, b""):
            yield piece

    return Response(rest(), content_type="text/csv; charset=utf-8; header=present")


def _parquet(columns: Sequence[Column], batches: Batches) -> Response:
    folder = TemporaryDirectory(prefix="faregate-export-")
    try:
        path = on_export_thread(partial(write_parquet, columns, batches, Path(folder.name)))
    except NoParquet as error:
        folder.cleanup()
        raise BadRequest(str(error)) from error
    except BaseException:
        folder.cleanup()
        raise
    made = Response(_bytes_of(path), content_type="application/vnd.apache.parquet")
    made.headers["Content-Length"] = str(path.stat().st_size)
    made.call_on_close(folder.cleanup)
    return made


def _bytes_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece
