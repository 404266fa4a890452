"""A CSV text that comes as a stream, cut into parts of whole rows, each of which Arrow reads from memory.

Arrow opens no pipe, and reads ahead in threads of its own that go on after an error: through a file of Python's, a
process that ends meanwhile hangs or aborts.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

_QUOTED = rb'"[^"]*(?:""[^"]*)*(?:"|\Z)'  # without an end, the value goes on behind these bytes
_NOTHING = memoryview(b"")


def cut(read: Callable[[], bytes], header: Sequence[str], delimiter: str, size: int) -> Iterator[memoryview]:
    """The text in parts of about `size` bytes, each with the header before its rows; the bytes are copied once.

    A row that is longer is cut, which Arrow refuses.
    """
    names = io.StringIO()
    csv.writer(names, delimiter=delimiter, lineterminator="\n").writerow(header)
    first = b""
    blocks: list[bytes] = []
    while data := read():
        blocks.append(data)
        if sum(map(len, blocks)) >= size:
            held = b"".join((first, *blocks))
            end = row_end(held, delimiter)
            end = end if end > len(first) else len(held)
            yield memoryview(held)[:end]
            first, blocks = names.getvalue().encode(), [held[end:]]
    if any(blocks):
        yield memoryview(b"".join((first, *blocks)))


def row_end(text: bytes, delimiter: str) -> int:
    """Where the last row of a text that starts with one ends; 0 where none does. A quoted value may hold line ends."""
    size = len(text) - text.endswith(b"\r")  # of which the line feed may come
    if b'"' not in text:
        return _line_end(text, 0, size)
    end = by_pairs(text, delimiter, size)
    return by_values(text, delimiter, size) if end is None else end


def by_pairs(text: bytes, delimiter: str, size: int) -> int | None:
    """The end where quotes come in pairs; None where one stands inside a value that is not quoted.

    The first of each pair opens a value at its start, or is the second of two that stand for one.
    """
    import numpy as np

    found = np.frombuffer(text, np.uint8, size)
    quotes = np.flatnonzero(found == ord('"'))
    opening = quotes[::2]
    before = found[opening - 1]
    starts = (before == ord("\n")) | (before == ord(delimiter)) | (before == ord("\r")) | (opening == 0)
    starts[1:] |= opening[1:] - 1 == quotes[1::2][: len(opening) - 1]
    if not starts.all():
        return None
    end = _line_end(text, 0, size)
    while end and (count := int(np.searchsorted(quotes, end))) % 2:  # inside the value that the last quote opens
        end = _line_end(text, 0, int(quotes[count - 1]))
    return end


def by_values(text: bytes, delimiter: str, size: int) -> int:
    """The same for any text, several times slower."""
    mark = re.escape(delimiter.encode())
    values = re.compile(rb"(?:(?<=[\r\n" + mark + rb"])|\A)" + _QUOTED + rb"(?:" + mark + _QUOTED + rb")*")
    last = behind = 0
    for found in values.finditer(text, 0, size):
        last = _line_end(text, behind, found.start()) or last
        behind = found.end()
    return _line_end(text, behind, size) or last


def _line_end(text: bytes, start: int, end: int) -> int:
    return max(text.rfind(b"\n", start, end), text.rfind(b"\r", start, end)) + 1


def ahead(parts: Iterator[memoryview]) -> Generator[memoryview, None, None]:
    """The same parts; a thread makes the next one beside whoever works on the last."""
    with ThreadPoolExecutor(1, "csv-parts") as thread:
        pending = thread.submit(next, parts, _NOTHING)
        while part := pending.result():
            pending = thread.submit(next, parts, _NOTHING)
            yield part
