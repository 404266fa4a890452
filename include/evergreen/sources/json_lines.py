"""JSON lines: one record a line, read as a stream in blocks of whole lines."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

from evergreen.errors import SourceError
from evergreen.sources.json_rows import parse

BLOCK = 2 << 20
BETWEEN = secrets.randbits(62)
LONGEST = 64 << 20  # bytes of one line


def read_lines(stream: Any) -> Iterator[tuple[int, list[Any], int]]:
    """Lists of records, each with the number of its first line and its size in bytes.

    Blank lines are passed over. Raises SourceError with the line's number for one that is not a JSON value.
    """
    rest, line = b"", 1
    while True:
        data = stream.read(BLOCK)
        block, end, rest = (rest + data).rpartition(b"\n") if data else (rest, b"", b"")
        if len(rest) > LONGEST:
            raise SourceError(f"a line after line {line} is longer than {LONGEST} bytes; are these JSON lines?")
        if block.strip():
            yield line, _records(block, line), len(block)
        line += block.count(b"\n") + len(end)
        if not data:
            return


def _records(block: bytes, first: int) -> list[Any]:
    """The records of whole lines: parsed as one array, which is fast, and one by one where that does not come out.

    A number that no line holds stands between every two of them, so that no line ends in a part of another.
    """
    lines = [line for line in block.split(b"\n") if line.strip()]
    try:
        found = json.loads(b"[" + (b",%d," % BETWEEN).join(lines) + b"]", parse_constant=_refuse)
        if len(found) == 2 * len(lines) - 1 and found[1::2] == [BETWEEN] * (len(lines) - 1):
            return list(found[::2])
    except (ValueError, RecursionError):
        pass
    return [
        parse(line, f"line {number}", "a text") for number, line in enumerate(block.split(b"\n"), first) if line.strip()
    ]


def _refuse(text: str) -> Any:
    raise ValueError(text)
