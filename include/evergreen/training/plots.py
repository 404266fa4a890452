"""The evaluation's curves as figures, for MLflow. `dvc plots` draws its own from the same files."""

from __future__ import annotations

import csv
import math
import warnings
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
    "confusion": "Confusion",
    "metrics": "Metrics beside the baselines'",
    "segments": "Segments and the worst pairs",
    "fairness": "Groups",
    "importance": "Permutation importance",
    "cost": "Cost by threshold",
}
SHOWN = 60  # lines of a figure that has one for each segment or feature


def figures(folder: Path) -> dict[str, Figure]:
    """One figure per curve in `folder` (a build's plots), by name; no display and no global state is used."""
    draw: dict[str, Any] = {
        "roc": _roc, "pr": _pr, "calibration": _calibration, "histogram": _histogram, "confusion": _confusion,
        "metrics": _metrics, "segments": _segments, "fairness": _fairness, "importance": _importance, "cost": _cost,
    }  # fmt: skip
    found = {name: _read(path) for name in draw if (path := folder / f"{name}.csv").is_file()}
    return {name: _figure(TITLES[name], draw[name], columns) for name, columns in found.items()}


def images(folder: Path) -> dict[str, bytes]:
    """The figures of `folder` as PNG."""
    import io

    found = {}
    for name, figure in figures(folder).items():
        stream = io.BytesIO()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph", UserWarning)  # a name in letters that its font does not have
            figure.savefig(stream, format="png", dpi=100)
        found[name] = stream.getvalue()
    return found


def _figure(title: str, draw: Any, columns: dict[str, list[Any]]) -> Figure:
    from matplotlib.figure import Figure

    lines = len(next(iter(columns.values())))
    tall = min(max(lines, 16), SHOWN) * 0.22 + 1 if draw in (_segments, _importance, _fairness) else 4.5
    wide = 8.0 if draw in (_metrics, _segments, _importance, _fairness) else 5.5
    figure = Figure(figsize=(wide, tall), layout="constrained")
    if not lines:
        axes = figure.add_subplot(title=title)
        axes.text(0.5, 0.5, "not defined by the judged rows, or not asked for", ha="center", transform=axes.transAxes)
    elif draw is _metrics:
        figure.suptitle(title)
        draw(figure, columns)
    else:
        draw(figure.add_subplot(title=title), columns)
    return figure


def _roc(axes: Axes, columns: dict[str, list[Any]]) -> None:
    axes.plot(columns["fpr"], columns["tpr"])
    _unit_square(axes, "false positive rate", "true positive rate")


def _pr(axes: Axes, columns: dict[str, list[Any]]) -> None:
    axes.plot(columns["recall"], columns["precision"])
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1))


def _calibration(axes: Axes, columns: dict[str, list[Any]]) -> None:
    _with_interval(axes, columns, "mean_p", "rate", marker="o")
    every = [*columns["mean_p"], *columns["rate"]]
    if all(0 <= value <= 1 for value in every):
        return _unit_square(axes, "mean prediction", "rate of positives")
    ends = (min(every), max(every))
    axes.plot(ends, ends, linestyle=":", color="grey")
    axes.set(xlabel="mean prediction", ylabel="mean outcome")


def _histogram(axes: Axes, columns: dict[str, list[Any]]) -> None:
    width = 1 / len(columns["p"])
    axes.bar(columns["p"], columns["negatives"], width, label="negative", alpha=0.7)
    axes.bar(columns["p"], columns["positives"], width, label="positive", alpha=0.7)
    axes.set(xlabel="prediction", ylabel="rows")
    axes.legend()


def _confusion(axes: Axes, columns: dict[str, list[Any]]) -> None:
    if "actual" in columns:
        names = list(dict.fromkeys(map(str, columns["actual"])))
        table = [columns["rows"][place : place + len(names)] for place in range(0, len(names) ** 2, len(names))]
    else:
        names = ["positive", "negative"]
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
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="actual")


def _metrics(figure: Figure, columns: dict[str, list[Any]]) -> None:
    """One scale a metric: the twin and each baseline on it."""
    names = list(dict.fromkeys(columns["metric"]))
    models = list(dict.fromkeys(columns["model"]))
    wide = 3
    for place, name in enumerate(names):
        axes = figure.add_subplot(math.ceil(len(names) / wide), wide, place + 1)
        mine = {key: [value for value, of in zip(columns[key], columns["metric"], strict=True) if of == name]
                for key in columns}  # fmt: skip
        first = not place % wide
        _bars(axes, mine, [models.index(model) for model in mine["model"]], dict(enumerate(models)) if first else {})
        axes.set_title(name.replace("_", " "), fontsize="small")
        axes.set_ylim(len(models) - 0.5, -0.5)
        axes.tick_params(labelsize="x-small")
    figure.set_size_inches(8, 0.5 + math.ceil(len(names) / wide) * (0.5 + 0.16 * len(models)))


def _segments(axes: Axes, columns: dict[str, list[Any]]) -> None:
    columns = {name: values[:SHOWN] for name, values in columns.items()}
    _bars(axes, columns, range(len(columns["segment"])), dict(enumerate(columns["segment"])))
    axes.axvline(columns["value"][0], linestyle=":", color="grey")
    axes.set_ylim(len(columns["segment"]) - 0.5, -0.5)
    axes.set(xlabel=str(columns["metric"][0]).replace("_", " "))


def _fairness(axes: Axes, columns: dict[str, list[Any]]) -> None:
    names = [f"{metric}: {column}={group}" for metric, column, group in
             zip(columns["metric"], columns["column"], columns["group"], strict=True)]  # fmt: skip
    order = sorted(range(len(names)), key=lambda place: columns["metric"][place])[:SHOWN]
    chosen = {key: [values[place] for place in order] for key, values in columns.items()}
    _bars(axes, chosen, range(len(order)), {line: names[place] for line, place in enumerate(order)})
    axes.set_ylim(len(order) - 0.5, -0.5)


def _importance(axes: Axes, columns: dict[str, list[Any]]) -> None:
    names = list(map(str, columns["feature"]))[:SHOWN]
    drop, spread = columns["drop"][:SHOWN], columns["spread"][:SHOWN]
    axes.errorbar(drop, range(len(names)), xerr=spread, fmt="o", markersize=3, capsize=2)
    axes.axvline(0, linestyle=":", color="grey")
    axes.set_yticks(range(len(names)), names, fontsize="small")
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set(xlabel="how much worse where it is shuffled")


def _cost(axes: Axes, columns: dict[str, list[Any]]) -> None:
    _with_interval(axes, columns, "threshold", "cost_per_1000")
    for name, style in (("never", "--"), ("always", "-.")):
        axes.axhline(columns[name][0], linestyle=style, color="grey", label=name)
    axes.axvline(columns["chosen"][0], linestyle=":", color="black", label="the threshold")
    axes.set(xlabel="threshold", ylabel="cost per 1,000 rows")
    axes.legend()


def _with_interval(axes: Axes, columns: dict[str, list[Any]], x: str, y: str, **style: Any) -> None:
    axes.plot(columns[x], columns[y], **style)
    axes.fill_between(columns[x], columns["low"], columns["high"], alpha=0.2)


def _bars(axes: Axes, columns: dict[str, list[Any]], lines: Any, names: dict[int, Any]) -> None:
    """Each value as a point with its interval, one a line; those without an interval have none."""
    for line, value, low, high in zip(lines, columns["value"], columns["low"], columns["high"], strict=True):
        axes.plot([value], [line], marker="o", markersize=3, color="tab:blue")
        axes.plot([low, high], [line, line], color="tab:blue")
    axes.set_yticks(list(names), [str(name) for name in names.values()], fontsize="small")


def _unit_square(axes: Axes, x: str, y: str) -> None:
    axes.plot([0, 1], [0, 1], linestyle=":", color="grey")
    axes.set(xlabel=x, ylabel=y, xlim=(0, 1), ylim=(0, 1))


def _read(path: Path) -> dict[str, list[Any]]:
    with path.open(newline="") as stream:
        header, *rows = csv.reader(stream)
    return {name: [_number(row[place]) for row in rows] for place, name in enumerate(header)}


def _number(text: str) -> float | str:
    """A number, NaN for an empty cell, or the text as matplotlib writes it: without formulas and control characters."""
    if not text:
        return math.nan
    try:
        return float(text)
    except ValueError:
        return "".join(one if one.isprintable() else " " for one in text).replace("$", r"\$")
