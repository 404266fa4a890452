"""The curves' files and the figures drawn from them."""

from __future__ import annotations

import csv
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evergreen.params.evaluation import Cost
from evergreen.params.prediction import Kind
from evergreen.training.curves import curves_of, write_curves
from evergreen.training.evaluation import Evaluation
from evergreen.training.evaluation.tables import tables_of
from evergreen.training.plots import figures
from tests.training.evaluation.scenes import Scene

NAMES = {
    "roc", "pr", "calibration", "histogram", "confusion", "metrics", "segments", "fairness", "importance", "cost",
}  # fmt: skip


def judged(rows: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    p = random.random(rows)
    return (random.random(rows) < p).astype("float64"), p


def write(folder: Path, kind: Kind, y: np.ndarray, p: np.ndarray, **options: Any) -> Evaluation:
    """All curves of predictions, as the stage writes them."""
    scene = Scene(kind, y, p, **options)
    curves = curves_of(y, p, 0.5) if kind == "binary" else {}
    write_curves(folder, curves | tables_of(scene.judged, scene.days, scene.evaluation))
    return scene.evaluation


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_curves_are_small_and_complete(tmp_path: Path) -> None:
    write(tmp_path / "plots", "binary", *judged())
    assert {path.stem for path in (tmp_path / "plots").iterdir()} == NAMES
    assert all(path.stat().st_size < 30_000 for path in (tmp_path / "plots").iterdir())
    roc = read(tmp_path / "plots/roc.csv")
    assert len(roc) == 500
    assert [float(value) for value in roc[0].values()] == [0, 0]
    assert [float(value) for value in roc[-1].values()] == [1, 1]
    bins = read(tmp_path / "plots/calibration.csv")
    assert [int(line["rows"]) for line in bins] == [300] * 10
    assert all(abs(float(line["mean_p"]) - float(line["rate"])) < 0.12 for line in bins)
    assert all(float(line["low"]) < float(line["rate"]) < float(line["high"]) for line in bins)
    y, _ = judged()
    bars = read(tmp_path / "plots/histogram.csv")
    assert sum(int(line["positives"]) for line in bars) == y.sum()
    assert sum(int(line["negatives"]) for line in bars) == (1 - y).sum()
    cells = {line["cell"]: int(line["rows"]) for line in read(tmp_path / "plots/confusion.csv")}
    assert sum(cells.values()) == 3000
    assert cells["true positive"] + cells["false negative"] == y.sum()


def test_the_tables_are_those_of_the_evaluation(tmp_path: Path) -> None:
    cost = Cost(false_negative=5, false_positive=1)
    said = write(tmp_path, "binary", *judged(), cost=cost, sensitive=("team",))
    metrics = {(line["metric"], line["model"]): line for line in read(tmp_path / "metrics.csv")}
    assert float(metrics["roc_auc", "twin"]["value"]) == said.metrics["roc_auc"].value
    assert {model for _, model in metrics} == {"twin", "constant", "rule", "model"}
    curve = read(tmp_path / "cost.csv")
    assert said.cost
    assert float(curve[0]["cost_per_1000"]) == pytest.approx(said.cost.always.value)
    assert {float(line["never"]) for line in curve} == {said.cost.never.value}
    groups = read(tmp_path / "fairness.csv")
    assert {line["group"] for line in groups} == {"red", "green", "blue"}
    assert read(tmp_path / "segments.csv")[0]["segment"] == "all rows"
    assert [line["feature"] for line in read(tmp_path / "importance.csv")] == [one.feature for one in said.importance]


def test_floats_are_written_in_full_and_old_files_go(tmp_path: Path) -> None:
    (tmp_path / "old.csv").touch()
    write_curves(tmp_path, {"some": {"number": [1 / 3], "name": ["a, b"], "none": [None]}})
    assert (tmp_path / "some.csv").read_text() == f'number,name,none\n{1 / 3!r},"a, b",\n'
    assert not (tmp_path / "old.csv").exists()


@pytest.mark.parametrize("rows", [0, 1, 3000])
@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_every_curve_has_a_figure(tmp_path: Path, rows: int, kind: Kind) -> None:
    y, p = judged(3000)
    if kind == "multiclass":
        p = np.column_stack([1 - p, p * 0.7, p * 0.3])
    if kind == "regression":
        y, p = 100 * p - 50, 90 * p - 40
    options: dict[str, Any] = {"sensitive": ("team",)}
    if kind == "binary":
        options["cost"] = Cost(false_negative=5, false_positive=1)
    write(tmp_path, kind, y[:rows], p[:rows], **options)
    drawn = figures(tmp_path)
    of_all = {"calibration", "metrics", "segments", "fairness", "importance"}
    assert set(drawn) == {"binary": NAMES, "multiclass": of_all | {"confusion"}, "regression": of_all}[kind]
    for figure in drawn.values():
        image = BytesIO()
        figure.savefig(image, format="png", dpi=30)
        assert image.getvalue().startswith(b"\x89PNG")
