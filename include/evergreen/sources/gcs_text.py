"""The CSV text of a download, which is counted on its way to Arrow."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

from evergreen.sources import csv_checks as checks
from evergreen.sources.csv_parts import ahead, cut
from evergreen.sources.csv_reader import BLOCK, CODECS, Opener
from evergreen.sources.gcs_stream import Download

PART = 8 * BLOCK  # bytes that Arrow gets at a time; two such parts are in memory


class StreamText:
    """The unpacked text of a download; reading it again beyond its first megabytes costs another one."""

    def __init__(self, stored: Download, suffix: str) -> None:
        self._stored, self._suffix = stored, suffix
        self._counts = checks.Counts()

    @contextmanager
    def stream(self) -> Iterator[Any]:
        """The text for Python."""
        self._stored.seek(0)
        yield unpacked(self._stored, self._suffix)

    def parts(self, header: Sequence[str], delimiter: str) -> Generator[Opener, None, None]:
        """The text in pieces of memory, the last ones after the download was found to be whole."""
        import pyarrow as pa

        self._stored.seek(0)
        self._counts = counts = checks.Counts()
        text = unpacked(self._stored, self._suffix)

        def read() -> bytes:
            data = bytes(text.read(BLOCK))
            counts.add(data)
            if not data:
                to_the_end(self._stored)
            return data

        with closing(ahead(cut(read, header, delimiter, PART))) as parts:
            for part in parts:
                yield partial(pa.BufferReader, part)

    def counts(self) -> checks.Counts:
        """What was counted on the way."""
        return self._counts


def unpacked(stored: Download, suffix: str) -> Any:
    """The bytes as they are without packing, for the thread that reads them."""
    import pyarrow as pa

    return pa.CompressedInputStream(checks.Tap(stored), CODECS[suffix]) if suffix else stored


def to_the_end(stored: Download) -> None:
    """Read what may follow a packed stream, which belongs to the content too, to its verified end."""
    while stored.read(BLOCK):
        pass
