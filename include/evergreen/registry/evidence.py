"""Evidence: the rows that a decision was made on, stored once under the SHA-256 of their Parquet file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from evergreen.errors import RegistryError
from evergreen.files import fetch, write_atomic
from evergreen.paths import Home

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from evergreen.registry.gate import Evidence
    from evergreen.training.evaluation.levels import Levels


REFIT = "p_refit"
GROUPS = ("segment", "sensitive")  # `segment.team`: the row's level of that column


def evidence_schema(classes: int = 0) -> pa.Schema:
    """The columns that all evidence has, before those of refit and groups, which not all has.

    `p_champion` is null throughout where the champion could not be judged, and for a first model.

    Predictions of a multiclass label, one with `classes`, list a probability for each of them.
    """
    import pyarrow as pa

    from evergreen.lake.schema import prediction_type

    p = prediction_type(classes)
    return pa.schema(
        [
            ("_key", pa.string()), ("_time", pa.timestamp("us")), ("_label_known_at", pa.timestamp("us")),
            ("_label_first_known_at", pa.timestamp("us")), ("_label", pa.float64()), ("p_candidate", p),
            ("p_champion", p), ("day", pa.int64()),
        ]
    )  # fmt: skip


def evidence_rows(
    frame: pd.DataFrame,
    candidate: np.ndarray,
    champion: np.ndarray | None,
    time_zone: str,
    refit: np.ndarray | None = None,
    groups: Mapping[str, Mapping[str, Levels]] | None = None,
) -> pa.Table:
    """The rows to store; `groups` are levels by column, under `segment` and `sensitive`."""
    import pyarrow as pa

    from evergreen.training.predictions import as_column, no_column

    classes = candidate.shape[1] if candidate.ndim > 1 else 0
    schema = evidence_schema(classes)
    said = [no_column(len(frame), classes) if p is None else as_column(p) for p in (candidate, champion)]
    local = frame["_time"].dt.tz_localize("UTC").dt.tz_convert(time_zone).dt.tz_localize(None)
    times = [frame[name].astype("datetime64[us]") for name in ("_time", "_label_known_at", "_label_first_known_at")]
    day = local.astype("datetime64[s]").astype("int64") // 86_400
    columns: list[Any] = [frame["_key"], *times, frame["_label"], *said, day]
    arrays = [
        values if isinstance(values, pa.Array) else pa.array(values, field.type, from_pandas=False)
        for values, field in zip(columns, schema, strict=True)
    ]
    table = pa.Table.from_arrays(arrays, schema=schema)
    if refit is not None:
        table = table.append_column(pa.field(REFIT, schema.field("p_candidate").type), as_column(refit))
    for kind in GROUPS:
        for column, levels in (groups or {}).get(kind, {}).items():
            names = pa.array([*levels.names, None], pa.string())  # -1, the last one: no level that is looked at
            places = pa.array(levels.place % len(names))
            table = table.append_column(f"{kind}.{column}", names.take(places))
    return table


def store_evidence(home: Home, rows: pa.Table) -> str:
    """Store rows of `evidence_schema`, sorted by `_time` and `_key`; return their SHA-256. The same rows, the same."""
    import io

    import pyarrow.parquet as pq

    from evergreen.lake.schema import WRITER

    table = rows.cast(_schema_of(rows)).sort_by([("_time", "ascending"), ("_key", "ascending")])
    stream = io.BytesIO()
    pq.write_table(table.combine_chunks(), stream, **WRITER)
    content = stream.getvalue()
    sha256 = hashlib.sha256(content).hexdigest()
    write_atomic(home.evidence / f"{sha256}.parquet", content)  # also again: in a bucket it may have been cleaned up
    return sha256


def load_evidence(home: Home, sha256: str) -> pa.Table:
    """The rows stored under `sha256`; raises RegistryError where they are missing or were altered."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise RegistryError(f"`{sha256}` is no SHA-256, so it names no evidence")
    path = home.evidence / f"{sha256}.parquet"
    if not fetch(path):
        raise RegistryError(f"the evidence {path} is missing; restore it from a backup of the home")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise RegistryError(f"the evidence {path} was altered: its SHA-256 is not its name; restore it from a backup")
    table = pq.read_table(pa.BufferReader(content))
    if not table.schema.equals(_schema_of(table)):
        raise RegistryError(f"the evidence {path} has other columns: another version of Evergreen stored it")
    return table


def as_evidence(table: pa.Table) -> Evidence:
    """The columns that the gate judges; a prediction that is null is NaN, and a champion without any is None."""
    from evergreen.registry.gate import Evidence
    from evergreen.training.predictions import as_array, classes_of

    classes = classes_of(table.column("p_candidate"))

    def column(name: str) -> np.ndarray:
        values: np.ndarray = table.column(name).to_numpy()
        return values

    champion = table.column("p_champion")
    return Evidence(
        label=column("_label"),
        candidate=as_array(table.column("p_candidate"), classes),
        champion=None if champion.null_count == len(champion) else as_array(champion, classes),
        day=column("day"),
        known_at=column("_label_known_at"),
        first_known_at=column("_label_first_known_at"),
        refit=as_array(table.column(REFIT), classes) if REFIT in table.column_names else None,
        segments=_levels(table, "segment"),
        sensitive=_levels(table, "sensitive"),
    )


def _levels(table: pa.Table, kind: str) -> dict[str, Levels]:
    """Each column's levels in order of their names."""
    import numpy as np

    from evergreen.training.evaluation.levels import Levels

    found = {}
    for name in table.column_names:
        if name.startswith(f"{kind}."):
            coded = table.column(name).combine_chunks().dictionary_encode()
            names = coded.dictionary.to_pylist()
            rank = np.argsort(np.argsort(names)) if names else np.empty(0, "int64")
            places = coded.indices.fill_null(len(names)).to_numpy()
            found[name.removeprefix(f"{kind}.")] = Levels(np.append(rank, -1)[places], tuple(sorted(names)))
    return found


def _schema_of(table: pa.Table) -> pa.Schema:
    """What stored rows are to look like: numbers or lists, as the candidate's predictions are."""
    import pyarrow as pa

    place = table.schema.get_field_index("p_candidate")
    schema = evidence_schema(int(place >= 0 and pa.types.is_list(table.schema.field(place).type)))
    if REFIT in table.column_names:
        schema = schema.append(pa.field(REFIT, schema.field("p_candidate").type))
    for name in table.column_names:
        if name.partition(".")[0] in GROUPS:
            schema = schema.append(pa.field(name, pa.string()))
    return schema
