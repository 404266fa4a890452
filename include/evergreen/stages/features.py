"""`evergreen features`: the snapshot's rows with their features and labels, into build/features.parquet."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from evergreen.errors import LakeError
from evergreen.project import Project

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.params import Params


class FeaturesResult(BaseModel):
    """What build/features.parquet holds."""

    model_config = ConfigDict(frozen=True)

    rows: int
    labelled: int
    positives: int
    first: datetime  # moments of prediction
    last: datetime
    features: list[str]
    sha256: str


def features(project: Project) -> FeaturesResult:
    """Make the feature table of data/ and snapshot.json: a function of these and params.yaml alone.

    Rows whose moment lies after the snapshot's cut-off are left out: not all that they may know is known yet. So are
    labels known after it. Raises LakeError where data/ is not the snapshot, or nothing can be predicted.
    """
    from evergreen.features.engine import connect
    from evergreen.features.table import feature_table
    from evergreen.files import publish
    from evergreen.lake.canonical import write_parquet
    from evergreen.lake.snapshots import load_snapshot, read_snapshot
    from evergreen.paths import file_sha256

    cutoff, con = read_snapshot(project).cutoff, connect()
    table = feature_table(load_snapshot(con, project), project.params, until=cutoff, known_until=cutoff)
    path, temporary = project.build / "features.parquet", project.build / ".features.parquet"
    rows = write_parquet(
        temporary, features_schema(project.params), table.order_by("_time", "_key").to_pyarrow_batches()
    )
    if not rows:
        temporary.unlink()
        raise LakeError(f"the snapshot has no row whose moment of prediction lies before its cut-off {cutoff}")
    publish(temporary, path)
    label, time = table["_label"], table["_time"]
    totals = table.aggregate(labelled=label.count(), positives=label.sum(), first=time.min(), last=time.max())
    found = totals.to_pyarrow().to_pylist()[0]
    return FeaturesResult(
        rows=rows,
        labelled=found["labelled"],
        positives=int(found["positives"] or 0),
        first=found["first"].replace(tzinfo=UTC),
        last=found["last"].replace(tzinfo=UTC),
        features=project.params.features.names(),
        sha256=file_sha256(path),
    )


def features_schema(params: Params) -> pa.Schema:
    """Columns of features.parquet."""
    import pyarrow as pa

    def type_(name: str) -> pa.DataType:
        return pa.string() if name in params.features.categorical else pa.float64()

    moment = pa.timestamp("us")
    columns = [(name, type_(name)) for name in params.features.names()]
    labels = [("_label", pa.float64()), ("_label_known_at", moment), ("_label_first_known_at", moment)]
    return pa.schema([("_key", pa.string()), ("_time", moment), *columns, *labels])
