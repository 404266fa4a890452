"""Rows that tell whether they are whole, and the count of what is wrong with those of a lake."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from evergreen.lake.manifests import read_manifests
from evergreen.lake.raw import raw_folder
from evergreen.paths import file_sha256

Row = dict[str, Any]
COLUMNS = {"id": "int64", "version": "int64", "due": "timestamp", "body": "string", "seal": "string"}
START = datetime(2013, 1, 1)


def make_row(id: int, version: int) -> Row:
    """A row with its seal; another version differs in every field but `id`."""
    row = {"id": id, "version": version, "due": START + timedelta(minutes=id, seconds=version % 60)}
    row["body"] = f"{'body ' * (id % 7)}{id * 7919 + version}"
    return row | {"seal": seal_of(row)}


def seal_of(row: Row) -> str:
    """The checksum over the other fields, which PostgreSQL can make too."""
    due = int(row["due"].replace(tzinfo=UTC).timestamp())
    return hashlib.md5(f"{row['id']}:{row['version']}:{due}:{row['body']}".encode()).hexdigest()


def as_texts(row: Row) -> Row:
    """The row with its time as text."""
    return {**row, "due": f"{row['due'].isoformat()}Z"}


@dataclass(frozen=True)
class Delivered:
    """What one delivery left in the lake."""

    origin: str
    rows: list[Row]
    rejects: list[Row]
    spoiled: int  # rows, and rejects, of files that are not what the manifest says


def deliveries(lake: Path) -> list[Delivered]:
    """Everything that the manifests of the table name, as a reader of the lake finds it."""
    found: dict[tuple[int, str, str], Delivered] = {}
    for manifest in read_manifests(raw_folder(lake, "jobs")):
        for file in manifest.files:
            at = manifest.seq, file.origin, file.origin_sha256
            one = found.get(at, Delivered(file.origin, [], [], 0))
            rows, spoiled = _read(lake, file.path, file.sha256, file.rows)
            aside, more = [], 0
            if file.rejects:
                aside, more = _read(lake, file.rejects.path, file.rejects.sha256, file.rejects.rows)
            found[at] = Delivered(
                one.origin, one.rows + rows, one.rejects + aside, one.spoiled + spoiled + more
            )  # fmt: skip
    return list(found.values())


def _read(lake: Path, path: str, sha256: str, rows: int) -> tuple[list[Row], int]:
    """The rows of a file, and how many of them it should have and has not."""
    if not (lake / path).exists() or file_sha256(lake / path) != sha256:
        return [], rows
    found = pq.read_table(lake / path).to_pylist()
    return found, abs(len(found) - rows)


@dataclass(frozen=True)
class Counts:
    """What is wrong with a lake; all 0 where nothing is."""

    missing: int = 0
    doubled: int = 0
    torn: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.missing + other.missing, self.doubled + other.doubled, self.torn + other.torn)


def count(
    found: Iterable[tuple[Hashable, Row]], must: Collection[Hashable], was_there: Callable[[Any], bool],
    spoiled: int = 0, is_whole: Callable[[Row], bool] = lambda row: row["seal"] == seal_of(row),
) -> Counts:  # fmt: skip
    """Compare rows, each with what it is to the source (its key and version, its partition and offset...).

    Missing is what `must` be there and is not, doubled what is there once more. Torn is a row whose fields do not
    belong together, one that the source never committed, and one in a file that is not what its manifest says.
    """
    taken: Counter[Hashable] = Counter()
    torn = spoiled
    for identity, row in found:
        if is_whole(row) and was_there(identity):
            taken[identity] += 1
        else:
            torn += 1
    return Counts(
        missing=sum(identity not in taken for identity in must),
        doubled=sum(times - 1 for times in taken.values()),
        torn=torn,
    )  # fmt: skip
