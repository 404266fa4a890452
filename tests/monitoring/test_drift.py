from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from evergreen.errors import ParamsError
from evergreen.monitoring.drift import drift_report, prepare
from evergreen.params.monitoring import Drift

ODD = "größe $ `x`"


def side(rows: int, shift: float = 0.0, seed: int = 0) -> pa.Table:
    random = np.random.default_rng(seed)
    return pa.table(
        {
            ODD: np.append(random.normal(shift, 1, rows - 1), np.inf),
            "team": pa.array([*random.choice(["x", "y"], rows - 1), None]),
            "constant": np.ones(rows),
            "empty": pa.nulls(rows, pa.float64()),
            "nan": np.full(rows, np.nan),
            "void": pa.nulls(rows, pa.string()),
        }
    )


NAMES = [ODD, "team", "constant", "empty", "nan", "void", "gone"]


def test_a_shift_is_found_and_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    reference = side(400, seed=1).append_column("gone", pa.array(np.ones(400)))
    found = drift_report(
        side(300, shift=2), reference, NAMES, ["team", "void"], Drift(methods={"constant": "ks"}), tmp_path
    )

    assert found.columns == {ODD: True, "constant": False, "team": False}
    assert found.share == pytest.approx(1 / 3)
    assert found.methods == {ODD: "wasserstein", "constant": "ks", "team": "jensenshannon"}
    assert found.scores["constant"] == 1.0, "a p-value of 1 is no drift"
    assert found.left_out == {
        "empty": "no value in the window", "nan": "no value in the window", "void": "no value in the window",
        "gone": "not in the window",
    }  # fmt: skip
    assert found.rows == {"current": 300, "reference": 400}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drift.html", "drift.json"]
    assert "<html" in (tmp_path / "drift.html").read_text().lower()
    assert json.loads((tmp_path / "drift.json").read_text())["metrics"]

    with pytest.raises(ParamsError, match=r"monitoring\.drift: No stattest found of name nonsense"):
        drift_report(side(50), reference, ["constant"], [], Drift(methods={"constant": "nonsense"}), tmp_path)
    with pytest.raises(ParamsError, match=r"monitoring\.drift: .* isn't applicable"):
        drift_report(side(50), reference, ["team"], ["team"], Drift(methods={"team": "wasserstein"}), tmp_path)


def test_nothing_to_compare_is_unknown_and_no_report(tmp_path: Path) -> None:
    found = drift_report(side(30), side(30), ["empty", "gone"], [], Drift(), tmp_path)

    assert found.share is None
    assert "no report" in found.note
    assert list(tmp_path.iterdir()) == []


def test_both_sides_are_sampled_the_same_way_each_time() -> None:
    first, second = (prepare(side(900), side(500, seed=1), [ODD, "team"], ["team"], Drift(max_rows=200)) for _ in "ab")

    assert len(first.current) == len(first.reference) == 200
    assert first.current.equals(second.current)
    assert first.reference.equals(second.reference)


def test_the_configured_columns_alone_are_compared() -> None:
    sides = prepare(side(30), side(30), NAMES, ["team"], Drift(columns=("team", "typo")))

    assert (sides.numeric, sides.categorical) == ([], ["team"])
    assert sides.left_out == {"typo": "not in the window"}
