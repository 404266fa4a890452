"""params.yaml: what is wrong is said with its line, key, value and what would be right."""

from __future__ import annotations

import importlib
import warnings
from datetime import timedelta

import pytest

from evergreen.errors import ParamsError
from evergreen.params import load_params, load_params_text
from evergreen.params.monitoring import CATEGORICAL_METHODS, NUMERIC_METHODS
from tests.conftest import ROOT, SMALL


def test_the_shipped_file_is_valid_and_has_the_26_reference_features() -> None:
    params = load_params(ROOT / "params.yaml")
    assert len(params.features.names()) == 26
    assert params.gate.window == timedelta(days=28)
    assert "dest_tz" not in params.features.names()  # only a helper of block_minutes


EVALUATION = next(line for line in SMALL.splitlines() if line.startswith("evaluation:"))
MONITORING = "monitoring: {min_rows: 50}"


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("between: [0, 1000]", "betwen: [0, 1000]", [":13:", "columns.size.betwen", "did you mean `between`"]),
        ("gate: {window: 7 days", "gate: {window: 7 dayz", ["gate.window", "7 dayz", "`6 hours` or `7 days`"]),
        ("gate: {window: 7 days", "gate: {window: 7", ["gate.window", "is 7", "`6 hours` or `7 days`"]),
        ("gate: {window: 7 days", "gate: {window: true", ["gate.window", "True", "`6 hours` or `7 days`"]),
        (
            "gate: {window: 7 days",
            "gate: {window: null",
            ["gate.window` is null: must be a duration, such as `6 hours`"],
        ),
        ("estimator: hist_gradient_boosting", "estimator: xgboost", ["training.estimator", "xgboost", "logistic"]),
        ("type: int64", "type: int", ["columns.id.type", "'int'", "did you mean `int64`?", "float64"]),
        ("type: float64", "type: flaot64", [":13:", "columns.size.type", "'flaot64'", "did you mean `float64`?"]),
        ("nulls: never, severity: critical", "nulls: nevr", [":10:", "columns.id.nulls", "did you mean `never`?"]),
        ("between: [0, 1000]", "between: [0, x]", [":13:", "columns.size.between.1", "'x': should be a valid number"]),
        ("between: [0, 1000]", "between: 5", ["columns.size.between` is 5: must be a list, such as [a, b]"]),
        (
            "    key: [id]",
            "    keys: [id]",
            ["tables.jobs.keys", "did you mean `key`?", "missing a required key: `key`"],
        ),
        ("    key: [id]", "    key: id", [":7:", "tables.jobs.key` is 'id': must be a list"]),
        (
            "source: {kind: csv, path: drops/jobs-*.csv}",
            "source: jobs.csv",
            ["tables.jobs.source", "must be a mapping"],
        ),
        ("rows: jobs", "row: jobs", [":24:", "prediction.row", "did you mean `rows`?"]),
        ("by: [team]", "by: team", ["team_late_3d.by` is 'team'", "a list, such as [a, b], or a mapping"]),
        ("by: [team]", "by: [1]", [":29:", "team_late_3d.by.0` is 1: must be text"]),
        ("over: 3 days", "ovr: 3 days", [":29:", "team_late_3d.ovr", "did you mean `over`?"]),
        ("preprocess: {}", "preprocess: {numeric: {scale: standrad}}", [":31:", "numeric.scale", "`standard`?"]),
        ("min_labels: 50", "out_of_fold: {fold: 3}", [":32:", "training.out_of_fold.fold", "did you mean `folds`?"]),
        ("floor: {roc_auc: 0.5}", "floor: {roc_auk: 1}", [":33:", "gate.floor.roc_auk", "did you mean `roc_auc`?"]),
        ("floor: {roc_auc: 0.5}", "floor: {roc_auc: 60}", [":33:", "between 0 and 1; did you mean 0.6?"]),
        ("min_days: 3}", "mode: non_inferiority}", [":33:", "gate", "non_inferiority` needs `margin`"]),
        ("min_days: 3}", "margin: 0.1}", [":33:", "`margin` is of `mode: non_inferiority`"]),
        ("min_days: 3}", "mode: non_inferiority, margin: 0}", [":33:", "gate.margin", "greater than 0"]),
        ("min_days: 3}", "max_size: 50 mb}", [":33:", "gate.max_size", "50 mb", "such as `50 MB`"]),
        ("min_days: 3}", "segments: {margn: 1}}", [":33:", "gate.segments.margn", "did you mean `margin`?"]),
        (
            "min_days: 3}",
            "fairness: {equalized_odds_difference: 0.1}}",
            ["gate.fairness: equalized_odds_difference", "`evaluation.sensitive`, and that names none"],
        ),
        ("min_days: 3}", "fairness: {mae_ratio: 0.1}}", ["gate.fairness.mae_ratio: a binary label has none"]),
        ("min_days: 3}", "fairness: {accuracy_difference: 10}}", [":33:", "`accuracy_difference` is 10", "0 and 1"]),
        ("floor: {roc_auc: 0.5}", "floor: {log_loss: -1}", [":33:", "`log_loss` is -1, and log_loss is at least 0"]),
        (MONITORING, "monitoring: {rules: {e: {kind: ewma, weigth: 1}}}", [":34:", "rules.e.weigth", "`weight`?"]),
        (MONITORING, "monitoring: {rules: {e: {kind: bais}}}", [":34:", "rules.e.kind` is 'bais'", "`bias`?"]),
        (MONITORING, "monitoring: {rules: {e: {sigmas: 3}}}", [":34:", "rules.e` is missing a required key: `kind`"]),
        (MONITORING, "monitoring: {drift: {numeric: waserstein}}", [":34:", "not a drift method", "`wasserstein`?"]),
        (MONITORING, "monitoring: {drift: {categorical: ks}}", ["drift.categorical", "for categorical columns", "psi"]),
        (
            MONITORING,
            "monitoring: {drift: {methods: {team: ks}}}",
            [":34: monitoring.drift.methods: `team` is `ks`", "which is a category", "chisquare"],
        ),
        (EVALUATION, "evaluation: {segments: {taem: {}}}", [":35: evaluation.segments names `taem`", "mean `team`?"]),
        (EVALUATION, "evaluation: {sensitive: [siez]}", [":35: evaluation.sensitive names `siez`", "mean `size`?"]),
        (EVALUATION, "evaluation: {rule: [tem]}", [":35: evaluation.rule names `tem`", "mean `team`?"]),
        (EVALUATION, "evaluation: {rule: [team, size, hour]}", [":35:", "evaluation.rule", "at most 2 items"]),
        (EVALUATION, "evaluation: {segments: {team: {edges: [1, 2]}}}", [":35: evaluation.segments.team", "by edges"]),
        (EVALUATION, "evaluation: {segments: {size: {edges: [2, 1]}}}", [":35:", "segments.size.edges", "ascend"]),
        (EVALUATION, "evaluation: {cost: {false_negative: 5}}", [":35:", "missing a required key: `false_positive`"]),
        (
            EVALUATION,
            "evaluation: {cost: {false_negative: 5, false_positive: -1}}",
            [":35:", "false_positive` is -1", "greater than 0"],
        ),
        (MONITORING, "schedule: {ingest: hourly}", [":34:", "schedule.ingest` is 'hourly'", "five fields", "@hourly"]),
        (MONITORING, "schedule: {score: '61 * * * *'}", [":34:", "no cron expression", "61 * * * *"]),
        ("name: small", "name: Small!", ["name", "Small!"]),
        (
            "table: outcomes, value",
            "table: outcome, value",
            ["outcome", "Known: jobs, outcomes", "did you mean `outcomes`?"],
        ),
        ("time_zone: America/New_York", "time_zone: New York", ["time_zone", "America/New_York"]),
        ("key: [id]", "key: [di]", ["key column `di`", "id, due, team"]),
        ("mean: late > 10", "mean: late > 10, sum: late", ["exactly one of", "mean, sum"]),
        ("categorical: [team]", "categorical: [tame]", ["`tame` is not a feature", "team, size"]),
    ],
)
def test_a_mistake_is_named_with_its_place_and_its_mend(old: str, new: str, parts: list[str]) -> None:
    assert old in SMALL
    with pytest.raises(ParamsError) as raised:
        load_params_text(SMALL.replace(old, new, 1))
    for part in parts:
        assert part in str(raised.value)


def test_every_mistake_is_reported_at_once() -> None:
    with pytest.raises(ParamsError) as raised:
        load_params_text(SMALL.replace("type: int64", "type: int").replace("window: 7 days", "window: soon"))
    assert len(str(raised.value).splitlines()) >= 3  # both id columns and the window


def test_a_missing_section_and_a_broken_file_are_clear() -> None:
    with pytest.raises(ParamsError, match="missing a required key: `name`"):
        load_params_text(SMALL.replace("name: small", ""))
    with pytest.raises(ParamsError, match=r"params\.yaml:2: not valid YAML"):
        load_params_text("name: x\ntables: [")
    with pytest.raises(ParamsError, match="expected a mapping"):
        load_params_text("- 1")


def test_a_label_in_the_rows_own_table_must_say_when_it_is_known() -> None:
    text = SMALL.replace("label: {table: outcomes, value: late > 10}", "label: {value: size > 10}")
    with pytest.raises(ParamsError, match="when is the outcome known"):
        load_params_text(text)


def test_the_drift_methods_are_those_of_evidently() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        importlib.import_module("evidently")  # registers its methods
        from evidently.legacy.calculations.stattests.registry import _registered_stat_tests
    kinds = {name: {kind.value for kind in tests} for name, tests in _registered_stat_tests.items()}
    for kind, known in (("num", NUMERIC_METHODS), ("cat", CATEGORICAL_METHODS)):
        assert sorted(known) == sorted(name for name, kinds_of in kinds.items() if kind in kinds_of)


def test_params_cannot_be_changed() -> None:
    params = load_params_text(SMALL)
    with pytest.raises(ValueError, match="frozen"):
        params.gate.window = timedelta(days=1)  # type: ignore[misc]
