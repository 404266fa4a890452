"""`evergreen features`: the snapshot's rows with their features and labels, into build/features.parquet."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from evergreen.clock import format_time
from evergreen.disk import full_disk_is_said
from evergreen.errors import LakeError
from evergreen.project import Project

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

    from evergreen.features.rows import NeverPredicted
    from evergreen.params import Params
    from evergreen.params.prediction import Label, Prediction

SHOWN = 10  # outcomes that an error names

log = logging.getLogger(__name__)


class FeaturesResult(BaseModel):
    """What build/features.parquet holds."""

    model_config = ConfigDict(frozen=True)

    rows: int
    labelled: int
    positives: int | None  # true labels of a binary kind
    foreknown: int  # rows whose label was known by their moment already: it neither trains nor judges
    without_moment: int  # rows of the snapshot that are never predicted: `prediction.at` has no value,
    known_late: int  # or they were known only after it
    first: datetime  # moments of prediction
    last: datetime
    features: list[str]
    sha256: str


@full_disk_is_said()
def features(project: Project) -> FeaturesResult:
    """Make the feature table of data/ and snapshot.json: a function of these and params.yaml alone.

    Rows whose moment lies after the snapshot's cut-off are left out: not all that they may know is known yet. So are
    labels known after it. Raises LakeError where data/ is not the snapshot, nothing can be predicted, every label was
    known by its row's moment, or an outcome is none that a label can be.
    """
    from evergreen.faults import point
    from evergreen.features.engine import connect
    from evergreen.features.labels import foreknown, strays
    from evergreen.features.rows import never_predicted
    from evergreen.features.table import feature_table
    from evergreen.files import naming, publish
    from evergreen.lake.canonical import write_parquet
    from evergreen.lake.snapshots import load_snapshot, read_snapshot
    from evergreen.paths import file_sha256

    cutoff, con = read_snapshot(project).cutoff, connect()
    tables = load_snapshot(con, project)
    table = feature_table(tables, project.params, until=cutoff, known_until=cutoff)
    lost, found = never_predicted(tables, project.params, until=cutoff), _totals(table)
    if not found["rows"]:
        raise LakeError(_nothing(project.params.prediction, cutoff, lost))
    known = foreknown(tables, project.params, cutoff)
    _look_at_labels(project.params, found["labelled"], known)
    if astray := strays(tables, project.params, cutoff):
        raise LakeError(_none_of_the_labels(project.params.prediction.label, astray))
    path, temporary = project.build / "features.parquet", project.build / ".features.parquet"
    with naming(temporary):
        write_parquet(temporary, features_schema(project.params), table.order_by("_time", "_key").to_pyarrow_batches())
    point("features.written")
    publish(temporary, path)
    return FeaturesResult(
        rows=found["rows"],
        labelled=found["labelled"],
        positives=int(found["positives"] or 0) if project.params.prediction.label.kind == "binary" else None,
        foreknown=known,
        without_moment=lost.without_moment,
        known_late=lost.known_late,
        first=found["first"].replace(tzinfo=UTC),
        last=found["last"].replace(tzinfo=UTC),
        features=project.params.features.names(),
        sha256=file_sha256(path),
    )


def _totals(table: ir.Table) -> dict[str, Any]:
    label, time = table["_label"], table["_time"]
    totals = table.aggregate(
        rows=table.count(), labelled=label.count(), positives=label.sum(), first=time.min(), last=time.max()
    )
    found: dict[str, Any] = totals.to_pyarrow().to_pylist()[0]
    return found


def _nothing(prediction: Prediction, cutoff: datetime, lost: NeverPredicted) -> str:
    text = f"no row of `{prediction.rows}` in the snapshot has a moment of prediction by its cut-off "
    text += f"{format_time(cutoff)} at which it was known"
    if lost.known_late:
        text += f"; {lost.known_late} were known only after their moment, such as {lost.example}"
    if lost.without_moment:
        text += f"; {lost.without_moment} have none"
    if lost.known_late or lost.without_moment:
        return f"{text}. Look at prediction.at (`{prediction.at}`) and the table's `known_at` in params.yaml"
    return f"{text}: take the snapshot at a later as_of"


def _look_at_labels(params: Params, labelled: int, known: int) -> None:
    if not known:
        return
    advice = (
        f"{known} rows had their label by their moment of prediction (`{params.prediction.at}`), so there was nothing "
        f"to predict: it neither trains nor judges. Look at prediction.at and at when the labels of "
        f"`{params.label_table}` are known"
    )
    if not labelled:
        raise LakeError(f"no label is left to learn from: {advice}")
    log.warning("%s; %d rows have a label that was not", advice, labelled)


def _none_of_the_labels(label: Label, astray: dict[str, int]) -> str:
    shown = ", ".join(f"`{text}` ({count} rows)" for text, count in list(astray.items())[:SHOWN])
    more = f" and {len(astray) - SHOWN} others" if len(astray) > SHOWN else ""
    text = f"prediction.label.value: `{label.value}` is {shown}{more}"
    if label.kind == "regression":
        return f"{text}, and must be finite: let it be null where there is no outcome"
    return (
        f"{text}, which prediction.label.classes does not have; known: {', '.join(label.classes or ())}. Add it "
        "there, or let the expression make it one of these, or null where there is no outcome"
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
