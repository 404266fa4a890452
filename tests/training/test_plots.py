"""The curves' files and the figures drawn from them."""

from __future__ import annotations

import csv
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from evergreen.training.curves import write_curves
from evergreen.training.plots import figures

NAMES = {"roc", "pr", "calibration", "histogram", "confusion"}


def judged(rows: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    p = random.random(rows)
    return (random.random(rows) < p).astype("float64"), p


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_curves_are_small_and_complete(tmp_path: Path) -> None:
    y, p = judged()
    write_curves(tmp_path / "plots", y, p, 0.5)
    assert {path.stem for path in (tmp_path / "plots").iterdir()} == NAMES
    assert all(path.stat().st_size < 30_000 for path in (tmp_path / "plots").iterdir())
    roc = read(tmp_path / "plots/roc.csv")
    assert len(roc) == 500
    assert [float(value) for value in roc[0].values()] == [0, 0]
    assert [float(value) for value in roc[-1].values()] == [1, 1]
    bins = read(tmp_path / "plots/calibration.csv")
    assert [int(line["rows"]) for line in bins] == [300] * 10
    assert all(abs(float(line["mean_p"]) - float(line["rate"])) < 0.12 for line in bins)
    bars = read(tmp_path / "plots/histogram.csv")
    assert sum(int(line["positives"]) for line in bars) == y.sum()
    assert sum(int(line["negatives"]) for line in bars) == (1 - y).sum()
    cells = {line["cell"]: int(line["rows"]) for line in read(tmp_path / "plots/confusion.csv")}
    assert sum(cells.values()) == 3000
    assert cells["true positive"] + cells["false negative"] == y.sum()


def test_floats_are_written_in_full_and_old_files_go(tmp_path: Path) -> None:
    write_curves(tmp_path, np.array([0.0, 1.0]), np.array([1 / 3, 2 / 3]), 0.5)
    assert [float(line["mean_p"]) for line in read(tmp_path / "calibration.csv")] == [1 / 3, 2 / 3]
    (tmp_path / "old.csv").touch()
    write_curves(tmp_path, *judged(), 0.5)
    assert not (tmp_path / "old.csv").exists()


@pytest.mark.parametrize("rows", [0, 1, 3000])
def test_every_curve_has_a_figure(tmp_path: Path, rows: int) -> None:
    y, p = judged(3000)
    write_curves(tmp_path, y[:rows], p[:rows], 0.5)
    drawn = figures(tmp_path)
    assert set(drawn) == NAMES
    for figure in drawn.values():
        image = BytesIO()
        figure.savefig(image, format="png")
        assert image.getvalue().startswith(b"\x89PNG")
