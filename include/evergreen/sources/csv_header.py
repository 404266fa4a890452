"""The header of a CSV file: what kind of file it is at all, and whether its names are the declared ones."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from typing import Any

from evergreen.sources.files import Refused

HEADER = 1 << 20  # bytes in which the header must end
SHOWN = 40  # names of columns in a message
_UTF16 = "looks like UTF-16, as some spreadsheets write it; save the file as UTF-8"
_NO_TEXT = {  # how a file starts: what it is
    b"\xff\xfe": _UTF16,
    b"\xfe\xff": _UTF16,
    b"PK\x03\x04": "is a zip archive or a spreadsheet; save it as CSV, in UTF-8",
    b"\x1f\x8b": "is packed with gzip; such a file's name has to end in .gz",
    b"(\xb5/\xfd": "is packed with zstd; such a file's name has to end in .zst",
    b"PAR1": "is a Parquet file; those have a source of their own, `kind: parquet`",
}


def read_header(stream: Any, delimiter: str) -> list[str]:
    """The names in the first line that is not blank; Refused where there is none, or none that is text."""
    start = bytearray()
    while len(start) < HEADER and (data := bytes(stream.read(HEADER - len(start)))):
        start += data
    _check_encoding(bytes(start))
    text = io.StringIO(start.decode("utf-8-sig", "replace"), newline="")
    endless = Refused(
        f"its header does not end within {HEADER:,} bytes; line ends are missing, or a quote is not closed"
    )
    try:
        header = next((line for line in csv.reader(text, delimiter=delimiter) if line), None)
    except csv.Error as error:
        raise endless if "limit" in str(error) else Refused(f"its header cannot be read: {error}") from None
    if len(start) == HEADER and not text.read(1):
        raise endless
    if header is None:
        raise Refused("is empty; expected at least a header line with the names of the columns")
    return header


def _check_encoding(start: bytes) -> None:
    for mark, reason in _NO_TEXT.items():
        if start.startswith(mark):
            raise Refused(reason)
    if b"\0" in start.split(b"\n", 1)[0]:
        raise Refused("its first line holds NUL bytes: it is no text, or not UTF-8; save the file as UTF-8")


def check_header(header: Sequence[str], declared: Sequence[str], delimiter: str = ",") -> list[str]:
    """The columns beyond the declared ones; Refused where a declared one is missing or is there twice."""
    count = Counter(header)
    found = f"Found: {_names(header[:SHOWN])}" + f" and {len(header) - SHOWN} more" * (len(header) > SHOWN)
    if missing := [name for name in declared if name not in count]:
        reason = f"lacks the declared column{'s' * (len(missing) > 1)} {_names(missing)}. {found}"
        raise Refused(reason + _guess(header, len(missing) == len(declared), delimiter))
    if twice := [name for name in declared if count[name] > 1]:
        raise Refused(f"has more than one column named {_names(twice)}. {found}")
    return [name for name in header if name not in declared]


def _guess(header: Sequence[str], none: bool, delimiter: str) -> str:
    """Why names may not be found: most often it is the delimiter, the encoding, or that there is no header."""
    if any("\ufffd" in name for name in header):
        return ". The header is not UTF-8; save the file as UTF-8"
    if others := [mark for mark in ",;\t|" if len(header) == 1 and mark != delimiter and mark in header[0]]:
        return f". Should `delimiter` be {others[0]!r}?"
    return ". The first line has to name the columns" if none else ""


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
