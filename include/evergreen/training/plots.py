"""The evaluation's curves as figures, for MLflow. `dvc plots` draws its own from the same files."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLES = {
    "roc": "ROC curve",
    "pr": "Precision and recall",
    "calibration": "Calibration: ten groups of equal size",
    "histogram": "Predictions by outcome",
    "confusion": "Confusion at the threshold of highest F1",
}


def figures(folder: Path) -> dict[str, Figure]:
    """One figure per curve in `folder` (a build's plots), by name; no display and no global state is used."""
    draw = {"roc": _roc, "pr": _pr, "calibration": _calibration, "histogram": _histogram, "confusion": _confusion}
    return {name: _figure(TITLES[name], draw[name], _read(folder / f"{name}.csv")) for name in draw}


def _figure(title: str, draw: Any, columns: dict[str, list[Any]]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title)
    if next(iter(columns.values())):
        draw(axes, columns)
    else:
        axes.text(0.5, 0.5, "no judged rows of both outcomes", ha="center", transform=axes.transAxes)
    return figure


def _roc(axes: Axes, columns: dict[str, list[Any]]) -> None:
    axes.plot(columns["fpr"], columns["tpr"])
    _unit_square(axes, "false positive rate", "true positive rate")


def _pr(axes: Axes, columns: dict[str, list[Any]]) -> None:
    axes.plot(columns["recall"], columns["precision"])
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1))


def _calibration(axes: Axes, columns: dict[str, list[Any]]) -> None:
    axes.plot(columns["mean_p"], columns["rate"], marker="o")
    _unit_square(axes, "mean prediction", "rate of positives")


def _histogram(axes: Axes, columns: dict[str, list[Any]]) -> None:
    width = 1 / len(columns["p"])
    axes.bar(columns["p"], columns["negatives"], width, label="negative", alpha=0.7)
    axes.bar(columns["p"], columns["positives"], width, label="positive", alpha=0.7)
    axes.set(xlabel="prediction", ylabel="rows")
    axes.legend()


def _confusion(axes: Axes, columns: dict[str, list[Any]]) -> None:
    cells = dict(zip(columns["cell"], columns["rows"], strict=True))
    table = [
        [cells["true positive"], cells["false negative"]],
        [cells["false positive"], cells["true negative"]],
    ]
    axes.imshow(table, cmap="Blues")
    for row, line in enumerate(table):
        for column, rows in enumerate(line):
            shade = "white" if rows > max(map(max, table)) / 2 else "black"
            axes.text(column, row, f"{rows:,.0f}", ha="center", va="center", color=shade)
    axes.set_xticks([0, 1], ["positive", "negative"])
    axes.set_yticks([0, 1], ["positive", "negative"])
    axes.set(xlabel="predicted", ylabel="actual")


def _unit_square(axes: Axes, x: str, y: str) -> None:
    axes.plot([0, 1], [0, 1], linestyle=":", color="grey")
    axes.set(xlabel=x, ylabel=y, xlim=(0, 1), ylim=(0, 1))


def _read(path: Path) -> dict[str, list[Any]]:
    with path.open(newline="") as stream:
        header, *rows = csv.reader(stream)
    return {name: [_number(row[place]) for row in rows] for place, name in enumerate(header)}


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
