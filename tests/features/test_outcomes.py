"""What an outcome becomes in the feature table, by the kind of label; and what none of them can be."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pyarrow as pa
import pytest

from evergreen.errors import LakeError, ParamsError
from evergreen.features.check import check_expressions
from evergreen.features.engine import connect
from evergreen.features.labels import known_labels, strays
from evergreen.params import Params, load_params_text
from evergreen.project import Project
from evergreen.stages.features import features
from evergreen.stages.ingest import ingest
from evergreen.stages.snapshot import snapshot
from evergreen.stages.validate import validate
from tests.conftest import SMALL
from tests.data import day
from tests.features.worlds import load

LABEL = "label: {table: outcomes, value: late > 10}"
TEAMS = "label: {table: outcomes, kind: multiclass, classes: [red, green, blue], value: team}"
MINUTES = "label: {table: outcomes, kind: regression, value: late}"


def with_label(label: str) -> Params:
    text = SMALL.replace(LABEL, label).replace("floor: {roc_auc: 0.5}, ", "")
    return load_params_text(text, "params.yaml")


def outcomes(**columns: list) -> dict:
    """The label's table as `known_rows` gives it, a version a row."""
    count = len(next(iter(columns.values())))
    frame = pd.DataFrame({"id": range(count), "late": [0.0] * count, "team": ["red"] * count} | columns)
    frame["due"] = pd.Timestamp("2024-01-02")
    frame["_known_at"] = frame.pop("known") if "known" in columns else pd.Timestamp("2024-01-03")
    frame["_version"] = frame.groupby("id").cumcount() + 1
    jobs = pd.DataFrame({"id": frame["id"].unique(), "due": pd.Timestamp("2024-01-02"), "team": "red", "size": 1.0})
    jobs = jobs.assign(_known_at=pd.Timestamp("2023-12-31"), _version=1)
    tables = {"outcomes": frame.astype({"_known_at": "datetime64[us]", "due": "datetime64[us]"}), "jobs": jobs}
    return load({name: pa.Table.from_pandas(one, preserve_index=False) for name, one in tables.items()}, connect())


def labels(tables: dict, params: Params) -> dict:
    found = known_labels(tables, params, None).to_pandas()
    return dict(zip(found["id"].tolist(), found["_label"].tolist(), strict=True))


def test_a_class_becomes_its_place() -> None:
    tables = outcomes(team=["green", "red", None, "blue", "Red", "grey"])
    assert labels(tables, with_label(TEAMS)) == {0: 1.0, 1: 0.0, 3: 2.0}
    assert strays(tables, with_label(TEAMS), day(9)) == {"Red": 1, "grey": 1}


def test_a_class_may_be_a_whole_number() -> None:
    label = "label: {table: outcomes, kind: multiclass, classes: [1, 2, 3], value: cast(late as int)}"
    assert labels(outcomes(late=[3.0, 1.0, None]), with_label(label)) == {0: 2.0, 1: 0.0}


def test_a_number_is_itself_and_an_infinite_one_is_none() -> None:
    tables = outcomes(late=[-3.5, float("inf"), float("nan"), None, 0.0])
    assert labels(tables, with_label(MINUTES)) == {0: -3.5, 4: 0.0}
    assert strays(tables, with_label(MINUTES), day(9)) == {"inf": 1}


def test_a_stray_that_was_corrected_is_one_no_more() -> None:
    known = [pd.Timestamp("2024-01-03"), pd.Timestamp("2024-01-04")]
    tables = outcomes(id=[7, 7], team=["gren", "green"], known=known)
    assert strays(tables, with_label(TEAMS), day(9)) == {}
    assert labels(tables, with_label(TEAMS)) == {7: 1.0}
    turned = outcomes(id=[7, 7], team=["green", "gren"], known=known)
    assert strays(turned, with_label(TEAMS), day(9)) == {"gren": 1}
    assert labels(turned, with_label(TEAMS)) == {}


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (MINUTES.replace("value: late", "value: late > 10"), "BOOLEAN, and must be a number.*set it to binary"),
        (MINUTES.replace("value: late", "value: team"), "VARCHAR, and must be a number"),
        (TEAMS.replace("value: team", "value: late"), "DOUBLE, and must be text or a whole number"),
        (LABEL.replace("late > 10", "late"), "DOUBLE, and must be true, false or null.*kind to regression"),
        (LABEL.replace("late > 10", "team"), "VARCHAR, and must be true, false or null.*kind to multiclass"),
    ],
)
def test_an_expression_of_another_type_is_refused(label: str, message: str) -> None:
    params = with_label(label)
    with pytest.raises(ParamsError, match=message):
        check_expressions(params)
    with pytest.raises(ParamsError, match=message.split(", and ")[1]):
        known_labels(outcomes(late=[1.0]), params, None)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (TEAMS.replace("classes: [red, green, blue], ", ""), "needs `classes`"),
        (TEAMS.replace("[red, green, blue]", "[red, green]"), "`classes` has 2.*two outcomes are `kind: binary`"),
        (TEAMS.replace("blue]", "red]"), "names red twice"),
        (MINUTES.replace("value", "classes: [a, b, c], value"), "`classes` are of `kind: multiclass`"),
        (MINUTES.replace("regression", "number"), "multiclass, regression"),
    ],
)
def test_classes_are_a_multiclass_labels(label: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        with_label(label)


@pytest.mark.parametrize(
    ("label", "gate", "message"),
    [
        (MINUTES, "floor: {roc_auc: 0.5}", r"gate\.floor\.roc_auc: a regression label has no roc_auc; .*mae, mse"),
        (MINUTES, "metric: log_loss", r"gate\.metric: a regression label has no `log_loss`.*Known: mae, mse"),
        (TEAMS, "floor: {f1: 0.5}", "did you mean `macro_f1`"),
        (LABEL, "metric: mae", "Known: log_loss, brier"),
        (MINUTES, "floor: {r2: 1.5}", "r2 is at most 1"),
    ],
)
def test_a_metric_of_another_kind_is_named_beside_the_right_ones(label: str, gate: str, message: str) -> None:
    text = SMALL.replace(LABEL, label).replace("floor: {roc_auc: 0.5}", gate)
    with pytest.raises(ParamsError, match=message):
        load_params_text(text, "params.yaml")


def test_the_features_stage_names_an_unknown_class_and_the_known(make_project: Callable[..., Project]) -> None:
    project = make_project(SMALL.replace(LABEL, TEAMS).replace("floor: {roc_auc: 0.5}, ", ""))
    drops = project.root / "drops"
    drops.mkdir()
    due = pd.date_range("2024-01-02", periods=30, freq="h").strftime("%Y-%m-%dT%H:%M:%SZ")
    jobs = pd.DataFrame({"id": range(30), "due": due, "team": "red", "size": 5.0})
    done = jobs.assign(late=1.0, team=["red", "teal", "green"] * 10)
    for name, frame in (("jobs", jobs), ("outcomes", done[["id", "due", "team", "late"]])):
        frame.to_csv(drops / f"{name}-1.csv", index=False)
        ingest(project, name, day(9))
        validate(project, name)
    snapshot(project, day(9))
    with pytest.raises(
        LakeError, match=r"`teal` \(10 rows\), which prediction.label.classes does not have; known: red"
    ):
        features(project)
