"""Evidence: the rows that a decision was made on, stored once under the SHA-256 of their Parquet file."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from evergreen.errors import RegistryError
from evergreen.files import write_atomic
from evergreen.paths import Home

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from evergreen.registry.gate import Evidence


def evidence_schema(classes: int = 0) -> pa.Schema:
    """`p_champion` is null throughout where the champion could not be judged, and for a first model.

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
    path = home.evidence / f"{sha256}.parquet"
    if not path.exists():
        write_atomic(path, content)
    return sha256


def load_evidence(home: Home, sha256: str) -> pa.Table:
    """The rows stored under `sha256`; raises RegistryError where they are missing or were altered."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise RegistryError(f"`{sha256}` is no SHA-256, so it names no evidence")
    path = home.evidence / f"{sha256}.parquet"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise RegistryError(f"the evidence {path} is missing; restore it from a backup of the home") from None
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
    )


def _schema_of(table: pa.Table) -> pa.Schema:
    """What stored rows are to look like: numbers or lists, as the candidate's predictions are."""
    import pyarrow as pa

    place = table.schema.get_field_index("p_candidate")
    return evidence_schema(int(place >= 0 and pa.types.is_list(table.schema.field(place).type)))
