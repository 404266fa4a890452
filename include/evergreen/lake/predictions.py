"""What champions said: `predictions/` in the lake, one row per row and build, with manifests like raw.

Columns: `_key`, `_time` (the moment of prediction), `build`, `version` (in MLflow, null without), `p`, `_scored_as_of`,
and `inputs`, a struct of the feature values (a struct, so that a feature may have any name). `p` is what was said: the
probability of a true label, a regression's value, or of a multiclass label a list, the probability of each class
in the order of the build's `prediction.label.classes`. A manifest's position says
for each of its files the build and the span of moments, so that a reader opens only the files that it needs. A file is
named by its build and content: a run that was killed before its commit leaves a file that no manifest names, and the
run that follows writes the same one again or removes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from evergreen.clock import format_time, naive, parse_time
from evergreen.errors import LakeError
from evergreen.faults import point
from evergreen.files import remove, write_atomic
from evergreen.lake.manifests import DataFile, Manifest, commit, mark_newest, read_manifests, read_positioned, unnamed
from evergreen.lake.schema import ROW_GROUP, WRITER, prediction_type

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "predictions"
COLUMNS = ("_key", "_time", "build", "version", "p", "_scored_as_of")


class PredictionFile(NamedTuple):
    """A committed file: one build's predictions at moments from `first` to `last`, both included."""

    data: DataFile
    build: str
    first: datetime
    last: datetime


def prediction_schema(inputs: pa.DataType | None = None, classes: int = 0) -> pa.Schema:
    """The schema of a file; `inputs` is the struct type of the features, None leaves the column out.

    `classes` is how many a multiclass label has, 0 of another.
    """
    import pyarrow as pa

    moment = pa.timestamp("us")
    types = (pa.string(), moment, pa.string(), pa.int64(), prediction_type(classes), moment)
    fields = list(zip(COLUMNS, types, strict=True))
    return pa.schema(fields if inputs is None else [*fields, ("inputs", inputs)])


def prediction_files(
    lake: Path, after: datetime | None = None, until: datetime | None = None, build: str | None = None
) -> list[PredictionFile]:
    """The committed files with moments in (after, until], in order of commit."""
    found = []
    for manifest in read_positioned(lake / FOLDER):
        for data in manifest.files:
            span = manifest.position[data.path]
            file = PredictionFile(data, span["build"], parse_time(span["first"]), parse_time(span["last"]))
            if (after and file.last <= after) or (until and file.first > until) or (build and file.build != build):
                continue
            found.append(file)
    return found


def read_predictions(
    lake: Path,
    after: datetime | None = None,
    until: datetime | None = None,
    *,
    build: str | None = None,
    columns: Sequence[str] = COLUMNS,
) -> pa.Table:
    """The predictions with `_time` in (after, until], sorted by `_time` and `_key`.

    `inputs` may be asked for together with a `build`, whose features are the same in all files. Where builds predict
    labels of several kinds, `p` is a list in every row. Raises LakeError, naming the file, where one is missing or not
    what was committed.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    wanted = list(dict.fromkeys([*columns, "_time", "_key"]))
    parts = [
        pq.read_table(pa.BufferReader(_verified(lake, file.data)), columns=wanted)
        for file in prediction_files(lake, after, until, build)
    ]
    empty = prediction_schema(None if "inputs" not in wanted else pa.struct([])).empty_table().select(wanted)
    table = pa.concat_tables(_alike(parts)) if parts else empty
    if after is not None:
        table = table.filter(pc.greater(table["_time"], pa.scalar(naive(after), pa.timestamp("us"))))
    if until is not None:
        table = table.filter(pc.less_equal(table["_time"], pa.scalar(naive(until), pa.timestamp("us"))))
    return table.sort_by([("_time", "ascending"), ("_key", "ascending")]).select(list(columns))


def add_predictions(lake: Path, as_of: datetime, tables: Iterable[pa.Table]) -> Manifest | None:
    """Commit one file per table (each one build's rows) in one manifest; None where there are no rows.

    The caller holds the lock of scoring. Raises Conflict where a run on another host committed meanwhile.
    """
    seq = max((manifest.seq for manifest in read_manifests(lake / FOLDER)), default=0) + 1
    files = [_write(lake, table) for table in tables if table.num_rows]
    if not files:
        return None
    point("score.placed")
    position = {
        file.data.path: {"build": file.build, "first": format_time(file.first), "last": format_time(file.last)}
        for file in files
    }
    return commit(lake / FOLDER, seq, as_of, [file.data for file in files], position)


def find_orphans(lake: Path) -> list[Path]:
    """The files that no manifest names, left by killed runs. Raises LakeError where a manifest was lost."""
    return sorted(unnamed(lake, lake / FOLDER, read_manifests(lake / FOLDER)))


def remove_orphans(lake: Path) -> list[str]:
    """Remove the orphans; the caller holds the lock of scoring."""
    orphans = find_orphans(lake)
    mark_newest(lake / FOLDER, len(read_manifests(lake / FOLDER)))
    for path in orphans:
        remove(path)
    return [path.name for path in orphans]


def _alike(parts: list[pa.Table]) -> list[pa.Table]:
    """The tables with one type of `p`: where some hold lists, a number is a list of its own."""
    import numpy as np
    import pyarrow as pa

    if len({part.schema.field("p").type for part in parts if "p" in part.column_names}) < 2:
        return parts
    made = []
    for part in parts:
        p = part["p"].combine_chunks()
        if not pa.types.is_list(p.type):
            p = pa.ListArray.from_arrays(pa.array(np.arange(len(p) + 1, dtype="int32")), p)
        made.append(part.set_column(part.column_names.index("p"), "p", p.cast(prediction_type(classes=1))))
    return made


def _write(lake: Path, table: pa.Table) -> PredictionFile:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    ordered = table.sort_by([("_time", "ascending"), ("_key", "ascending")])
    pq.write_table(ordered, sink, row_group_size=ROW_GROUP, **WRITER)
    content = sink.getvalue().to_pybytes()
    digest = hashlib.sha256(content).hexdigest()
    build = table["build"][0].as_py()
    path = f"{FOLDER}/{build}-{digest[:16]}.parquet"
    write_atomic(lake / path, content)
    point("score.written")
    span = pc.min_max(table["_time"]).as_py()
    data = DataFile(path=path, sha256=digest, rows=table.num_rows, bytes=len(content), origin=build)
    return PredictionFile(data, build, *(span[end].replace(tzinfo=UTC) for end in ("min", "max")))


def _verified(lake: Path, file: DataFile) -> bytes:
    try:
        content = (lake / file.path).read_bytes()
    except FileNotFoundError:
        raise LakeError(f"{lake / file.path} is missing, but its manifest names it; restore it from a backup") from None
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise LakeError(
            f"{lake / file.path} was altered after its commit (its SHA-256 differs from its manifest's); "
            "restore it from a backup"
        )
    return content
