"""params.yaml: what is wrong is said with its line, key, value and what would be right."""

from __future__ import annotations

from datetime import timedelta

import pytest

from evergreen.errors import ParamsError
from evergreen.params import load_params, load_params_text
from tests.conftest import ROOT, SMALL


def test_the_shipped_file_is_valid_and_has_the_26_reference_features() -> None:
    params = load_params(ROOT / "params.yaml")
    assert len(params.features.names()) == 26
    assert params.gate.window == timedelta(days=28)
    assert "dest_tz" not in params.features.names()  # only a helper of block_minutes


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("between: [0, 1000]", "betwen: [0, 1000]", [":13:", "columns.size.betwen", "did you mean `between`"]),
        ("gate: {window: 7 days", "gate: {window: 7 dayz", ["gate.window", "7 dayz", "`6 hours` or `7 days`"]),
        ("estimator: hist_gradient_boosting", "estimator: xgboost", ["training.estimator", "xgboost", "logistic"]),
        ("type: int64", "type: int", ["columns.id.type", "'int'", "int64"]),
        ("name: small", "name: Small!", ["name", "Small!"]),
        ("table: outcomes, value", "table: outcome, value", ["outcome", "known: jobs, outcomes"]),
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


def test_params_cannot_be_changed() -> None:
    params = load_params_text(SMALL)
    with pytest.raises(ValueError, match="frozen"):
        params.gate.window = timedelta(days=1)  # type: ignore[misc]
