"""A delivery on disk until it is known to be whole: what is read page by page can only be judged at its end."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from evergreen.errors import SourceError

if TYPE_CHECKING:
    import pyarrow as pa


@contextmanager
def spool(schema: pa.Schema) -> Iterator[Spool]:
    """A temporary file of Arrow batches, gone afterwards; raises SourceError where the disk is full."""
    with spooled() as file:
        yield Spool(file, schema)


@contextmanager
def spooled() -> Iterator[IO[bytes]]:
    """A temporary file that has no name; an OSError of the `with` becomes a SourceError that says where it is."""
    try:
        with tempfile.TemporaryFile() as file:
            yield file
    except OSError as error:
        raise SourceError(
            f"cannot be kept in {tempfile.gettempdir()} while it is read: {error}. Make room, or set TMPDIR"
        ) from None


class Spool:
    """Batches that are written once, then read once."""

    def __init__(self, file: IO[bytes], schema: pa.Schema) -> None:
        import pyarrow as pa

        self.rows = 0
        self._file = file
        self._writer = pa.ipc.new_stream(self._file, schema, options=pa.ipc.IpcWriteOptions(compression="lz4"))

    def write(self, batch: pa.RecordBatch) -> None:
        """Add a batch."""
        self._writer.write_batch(batch)
        self.rows += batch.num_rows

    def read(self) -> Generator[pa.RecordBatch, None, None]:
        """All batches, in order."""
        import pyarrow as pa

        self._writer.close()
        self._file.seek(0)
        with pa.ipc.open_stream(self._file) as reader:
            yield from reader
