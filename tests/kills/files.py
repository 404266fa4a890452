"""Files and objects: each content is taken once, whole, whatever it is called.

A content that was replaced or deleted before it was read may be passed over. In a row of the lake `version` is the
number of the content, and `id` the row's place in it.
"""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from tests.buckets import Bucket
from tests.kills.rows import Counts, Delivered, as_texts, count, make_row
from tests.kills.worlds import World


class FilesWorld(World):
    """Files appear, also as copies and in two halves, and are replaced."""

    excuse = "changed while it was read"
    ends: ClassVar[tuple[str, ...]]

    def begin(self) -> None:
        (self.root / "drops").mkdir()
        self._numbers = itertools.count()
        self.lengths: list[int] = []  # rows by the content's number
        self.places: dict[str, int] = {}  # name to number
        self._half: tuple[str, int, bytes] | None = None
        for _ in range(12):
            self.step()

    @property
    def options(self) -> dict[str, Any]:
        return {"kind": self.kind, "path": "drops/*"}

    def step(self) -> None:
        self.finish()
        kind = self.dice.random()
        if self.places and kind < 0.1:  # the same content under another name
            old = self.dice.choice(list(self.places))
            self._put(f"copy-{next(self._numbers)}{self._end(old)}", self.places[old])
            return
        number = len(self.lengths)
        self.lengths.append(self.dice.randrange(20, 160))
        self.written += self.lengths[number]
        if self.places and kind < 0.3:
            self._put(self.dice.choice(list(self.places)), number)
            return
        name = f"drop-{next(self._numbers)}{self.dice.choice(self.ends)}"
        if kind < 0.4:
            self._begin(name, number)
        else:
            self._put(name, number)

    def finish(self) -> None:
        if self._half is not None:
            name, number, rest = self._half
            with (self.root / "drops" / name).open("ab") as stream:
                stream.write(rest)
            self.places[name], self._half = number, None

    def compare(self, found: list[Delivered]) -> Counts:
        taken = {row["version"] for one in found for row in one.rows}
        whole = {number for number in {*taken, *self.places.values()} if number < len(self.lengths)}
        return count(
            (((row["version"], row["id"]), row) for one in found for row in one.rows),
            must=[(number, id) for number in whole for id in range(self.lengths[number])],
            was_there=lambda at: at[0] < len(self.lengths) and at[1] < self.lengths[at[0]],
            spoiled=sum(one.spoiled for one in found),
        )

    @property
    def rows(self) -> int:
        return sum(self.lengths[number] for number in set(self.places.values()))

    def _put(self, name: str, number: int) -> None:
        new = self.root / "new"
        new.write_bytes(self.content(name, number))
        new.rename(self.root / "drops" / name)
        self.places[name] = number

    def _begin(self, name: str, number: int) -> None:
        """The first half of a file, which ends in the middle of a line."""
        content = self.content(name, number)
        half = len(content) // 2
        half += content[half - 1 : half] == b"\n"
        (self.root / "drops" / name).write_bytes(content[:half])
        self._half = name, number, content[half:]

    def content(self, name: str, number: int) -> bytes:
        """The bytes of a content in the format that the name tells."""
        rows = [make_row(id, number) for id in range(self.lengths[number])]
        if name.endswith("parquet"):
            sink = pa.BufferOutputStream()
            pq.write_table(pa.Table.from_pylist(rows), sink, row_group_size=50)
            return bytes(sink.getvalue())
        texts = [as_texts(row) for row in rows]
        if name.endswith("jsonl"):
            return "".join(json.dumps(row) + "\n" for row in texts).encode()
        lines = [",".join(map(str, row.values())) for row in ({name: name for name in texts[0]}, *texts)]
        text = ("\n".join(lines) + "\n").encode()
        return gzip.compress(text, mtime=0) if name.endswith("gz") else text

    def _end(self, name: str) -> str:
        return name[name.index(".") :]


class CsvWorld(FilesWorld):
    kind, name = "csv", "csv"
    ends = (".csv", ".csv", ".csv.gz")


class ParquetWorld(FilesWorld):
    kind, name = "parquet", "parquet"
    ends = (".parquet",)


class GcsWorld(FilesWorld):
    """Objects of a bucket, which are whole or not there."""

    kind, name = "gcs", "gcs"
    ends = (".csv", ".csv.gz", ".jsonl", ".parquet")
    sizes = {"evergreen.sources.gcs:PAGE": 20}
    excuse = "replaced or deleted after it was listed|what came is not what was listed"

    def __init__(self, root: Path, dice: Random, url: str) -> None:
        self.bucket = Bucket(url, root.name)
        super().__init__(root, dice)

    @property
    def env(self) -> dict[str, str]:
        extra = {"endpoint": self.bucket.url, "is_anonymous": True}
        return {"AIRFLOW_CONN_STORE": json.dumps({"conn_type": "google_cloud_platform", "extra": extra})}

    @property
    def options(self) -> dict[str, Any]:
        return {"kind": "gcs", "bucket": self.bucket.name, "path": "drops/*", "connection": "store"}

    def step(self) -> None:
        if len(self.places) > 20 and self.dice.random() < 0.1:
            gone = self.dice.choice(list(self.places))
            self.bucket.delete(f"drops/{gone}")
            del self.places[gone]
        super().step()

    def _put(self, name: str, number: int) -> None:
        self.bucket.put(f"drops/{name}", self.content(name, number))
        self.places[name] = number

    _begin = _put
