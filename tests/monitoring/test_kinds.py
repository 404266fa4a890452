"""The monitor of numbers and of several classes: its figures, what bias it allows, its rules and its page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, r2_score

from evergreen.monitoring.performance import performance
from evergreen.monitoring.records import ClassShare, Record, Reference
from evergreen.monitoring.reference import read_reference
from evergreen.monitoring.report import write_summary
from evergreen.monitoring.rules import judge, swing
from evergreen.monitoring.shift import prediction_shift
from evergreen.monitoring.verdict import verdict
from evergreen.params.monitoring import BiasRule, EwmaRule, SkillRule
from evergreen.training.predictions import as_column

CLASSES = ("red", "green", "blue")
ZONE = ZoneInfo("America/New_York")
CUTOFF = datetime(2013, 4, 1, 4, tzinfo=UTC)
WEEK = timedelta(days=7)
RULES = {"bias": BiasRule(kind="bias"), "skill": SkillRule(kind="skill"), "ewma": EwmaRule(kind="ewma")}


def classes_of_rows(rows: int = 600) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    p = random.dirichlet([2, 1, 1], rows)
    return np.array([random.choice(3, p=one) for one in p]).astype("float64"), p


def record(found: Any, reference: Reference, week: int = 0, **changes: Any) -> Record:
    values = {
        **found.model_dump(), "build": "b", "version": 1, "start": CUTOFF + (week - 1) * WEEK,
        "end": CUTOFF + week * WEEK, "first_day": None, "last_day": None, "complete_days": 7, "mature": True,
        "unpredicted": 0, "unlabelled": 0, "reference": reference,
    }  # fmt: skip
    made = Record.model_validate({**values, **changes})
    return made.model_copy(update={"rules": judge(RULES, [made], reference)})


def test_the_figures_of_numbers() -> None:
    random = np.random.default_rng(0)
    y = random.gamma(2, 50, 400)
    p = y + random.normal(3, 20, 400)
    found = performance(y, p, "regression")
    assert found.mae == pytest.approx(mean_absolute_error(y, p))
    assert found.skill == pytest.approx(r2_score(y, p))
    assert found.bias == pytest.approx(p.mean() - y.mean())
    assert (found.rate, found.mean_p) == (pytest.approx(y.mean()), pytest.approx(p.mean()))
    assert (found.positives, found.log_loss, found.roc_auc) == (None, None, None)
    assert performance(y, np.full(400, y.mean()), "regression").skill == pytest.approx(0)
    assert performance(np.full(3, 7.0), np.full(3, 7.0), "regression").skill is None
    nothing = performance(np.empty(0), np.empty(0), "regression")
    assert (nothing.rows, nothing.bias, nothing.mae, nothing.skill) == (0, None, None, None)
    broken = performance(y, np.where(np.arange(400) == 1, np.nan, p), "regression")
    assert {broken.mean_p, broken.bias, broken.mae, broken.rmse, broken.skill} == {None}


def test_the_figures_of_classes() -> None:
    y, p = classes_of_rows()
    found = performance(y, p, "multiclass", CLASSES)
    shares = np.bincount(y.astype(int), minlength=3) / len(y)
    assert found.log_loss == pytest.approx(log_loss(y, p))
    assert found.skill == pytest.approx(1 - log_loss(y, p) / stats.entropy(shares))
    assert found.accuracy == pytest.approx(accuracy_score(y, p.argmax(axis=1)))
    biases = dict(zip(CLASSES, p.mean(axis=0) - shares, strict=True))
    assert {name: one.bias for name, one in found.classes.items()} == pytest.approx(biases)
    assert found.bias == pytest.approx(max(biases.values(), key=abs))
    assert performance(y, np.tile(shares, (len(y), 1)), "multiclass", CLASSES).skill == pytest.approx(0)
    assert performance(np.zeros(5), p[:5], "multiclass", CLASSES).skill is None
    p[3, 1] = np.nan
    broken = performance(y, p, "multiclass", CLASSES)
    assert {broken.bias, broken.log_loss, broken.skill, broken.accuracy, broken.brier} == {None}
    assert performance(np.empty(0), np.empty((0, 3)), "multiclass", CLASSES).rows == 0


def write_reference(path: Path, label: np.ndarray, p: np.ndarray, weeks: int) -> Path:
    start = CUTOFF - weeks * WEEK
    step = (CUTOFF - start) / len(label)
    known = [start + (place + 0.5) * step for place in range(len(label))]
    moments = pa.array([one.replace(tzinfo=None) for one in known], pa.timestamp("us"))
    table = pa.table({"_label_first_known_at": moments, "_label": pa.array(label), "p": as_column(p)})
    pq.write_table(table, path)
    return path


def test_a_numbers_bias_swings_in_its_own_unit(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    y = random.normal(500, 100, 8 * 200)
    shifts = np.array([30, -30, 10, -10, 20, -20, 5, -5.0])
    path = write_reference(tmp_path / "r.parquet", y, y + np.repeat(shifts, 200), 8)
    found = read_reference(path, CUTOFF, WEEK, ZONE, 100, "regression")
    assert (found.kind, found.windows) == ("regression", 8)
    assert found.sd == pytest.approx(np.std(shifts, ddof=1), rel=0.05)  # the clocks change on the way
    limit, basis = swing(3, found)
    assert limit is not None
    assert found.sd is not None
    assert limit > 3 * found.sd
    assert f"SDs of {found.sd:.4g}" in basis

    calm = record(performance(y, y + 15, "regression"), found)
    assert [rule.alarm for rule in calm.rules] == [False, False, False]
    wild = record(performance(y, y + 200, "regression"), found)
    assert [rule.name for rule in wild.rules if rule.alarm] == ["bias", "skill", "ewma"]
    assert "|mean prediction - mean outcome| 200 is above" in wild.rules[0].text
    assert "squared-error skill" in wild.rules[1].text
    assert prediction_shift(path, y + np.repeat(shifts, 200)) == pytest.approx(0)
    assert prediction_shift(path, y + 200) == pytest.approx(2, abs=0.2)


def test_each_class_has_a_swing_and_the_worst_class_counts(tmp_path: Path) -> None:
    y, p = classes_of_rows(1600)
    path = write_reference(tmp_path / "r.parquet", y, p, 8)
    found = read_reference(path, CUTOFF, WEEK, ZONE, 100, "multiclass", CLASSES)
    errors = (p - np.eye(3)[y.astype(int)]).reshape(8, 200, 3).mean(axis=1)
    assert found.sd is None
    assert found.classes == pytest.approx(dict(zip(CLASSES, errors.std(axis=0, ddof=1), strict=True)), rel=0.05)
    alone = found.model_copy(update={"sd": found.classes["red"], "classes": {}, "kind": "binary"})
    one, _ = swing(3, alone)
    many, _ = swing(3, found, "red")
    assert one is not None
    assert many is not None
    assert many > one, "three limits together are passed as rarely as one"

    calm = record(performance(y, p, "multiclass", CLASSES), found)
    assert [rule.alarm for rule in calm.rules] == [False, False, False]
    turned = record(performance(y, p[:, [1, 0, 2]], "multiclass", CLASSES), found)
    bias = turned.rules[0]
    assert bias.alarm
    assert "|mean p - share| of `" in bias.text
    assert bias.value == pytest.approx(max(abs(one.bias or 0) for one in turned.classes.values()), rel=0.5)
    assert prediction_shift(path, p, 3) == pytest.approx(0)


def test_a_class_that_is_not_known_makes_a_rule_unknown_unless_another_alarms() -> None:
    reference = Reference(sd=None, windows=8, rows=900, kind="multiclass", classes={"red": 0.02, "green": None})
    shares = {"red": ClassShare(rate=0.5, mean_p=0.5, bias=0.0), "green": ClassShare(rate=0.5, mean_p=0.5, bias=0.0)}
    y, p = classes_of_rows(50)
    found = performance(y, p, "multiclass", CLASSES)
    assert record(found, reference, classes=shares).rules[0].alarm is None
    ruin = {**shares, "red": ClassShare(rate=0.9, mean_p=0.1, bias=-0.8)}
    assert record(found, reference, classes=ruin).rules[0].alarm is True
    assert record(found, Reference(sd=None, windows=1, rows=9, kind="multiclass")).rules[0].alarm is None


def page(tmp_path: Path, *records: Record) -> str:
    write_summary(tmp_path / "monitor.html", "small", records, verdict(records[-1]), ZONE, False)
    return (tmp_path / "monitor.html").read_text()


def test_the_page_shows_the_figures_of_the_kind(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    y = random.gamma(2, 5000, 400)
    numbers = Reference(sd=400.0, windows=8, rows=900, kind="regression")
    made = [record(performance(y, y + bias, "regression"), numbers, week) for week, bias in enumerate((100.0, -3000.0))]
    shown = page(tmp_path, *made)
    for head in ("mean outcome", "mean prediction", "MAE", "RMSE", "skill"):
        assert f"<th>{head}</th>" in shown
    assert "<td>-3000</td>" in shown
    assert "log-loss</th>" not in shown
    assert "AUC" not in shown

    labels, p = classes_of_rows()
    several = Reference(sd=None, windows=8, rows=900, kind="multiclass", classes=dict.fromkeys(CLASSES, 0.02))
    astray = {"teal <b>": 4}
    last = record(performance(labels, p, "multiclass", CLASSES), several, strays=astray, shift=0.3)
    shown = page(tmp_path, last)
    for name in CLASSES:
        assert f"<td>{name}</td>" in shown
    assert "worst bias" in shown
    assert "teal &lt;b&gt; (4 rows)" in shown
    assert "0.30 standard deviations" in shown
    assert "4 outcomes are none that this champion's label can be, such as `teal <b>`" in verdict(last)
