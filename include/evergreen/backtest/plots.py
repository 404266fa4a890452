"""The page's plots as SVG: the differences from `never`, the figures by period, and when who retrained."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evergreen.backtest.gates import compared
from evergreen.backtest.results import BacktestResult, PolicyResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NEVER = "#56645b"
COLOURS = ("#2f7d4f", "#1f6fa8", "#b8611b", "#7a4fa3", "#a1260d", "#8a6100")
OUTCOMES = {
    "promoted, was better": "#2f7d4f",
    "promoted, hurt": "#a1260d",
    "kept out, was worse": "#c9d6cd",
    "kept out, missed": "#e2b45c",
}
STYLE = {
    "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 10, "svg.fonttype": "none",
    "svg.hashsalt": "evergreen", "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#b9c4bc",
    "axes.labelcolor": "#56645b", "xtick.color": "#56645b", "ytick.color": "#56645b", "axes.titlesize": 10.5,
}  # fmt: skip


def plots(found: BacktestResult) -> dict[str, str]:
    """Each plot's SVG by name, empty where there is nothing beside `never`; equal results give equal texts."""
    import matplotlib as mpl

    if len(found.policies) == 1:
        return dict.fromkeys(("differences", "periods", "retrains", "gates"), "")
    with mpl.rc_context(STYLE):
        drawn = {"differences": _differences(found), "periods": _periods(found), "retrains": _retrains(found)}
        if found.gates:
            drawn["gates"] = _gates(found)
        return {"gates": "", **{name: _svg(figure, name) for name, figure in drawn.items()}}


def colours(found: BacktestResult) -> dict[str, str]:
    """A colour for each policy's name, gated or not."""
    names = list(dict.fromkeys(one.name for one in found.policies))
    return {name: COLOURS[(place - 1) % len(COLOURS)] if place else NEVER for place, name in enumerate(names)}


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _differences(found: BacktestResult) -> Figure:
    """Each policy minus `never`, with its interval, a panel a measure; the better side is shaded."""
    others, palette = found.policies[1:], colours(found)
    figure = _figure(10, 0.9 + 0.36 * max(len(others), 1))
    panels = figure.subplots(1, len(found.measures), sharey=True, squeeze=False)[0]
    for panel, (name, measure) in zip(panels, found.measures.items(), strict=True):
        panel.axvline(0, color=NEVER, linewidth=1)
        for place, policy in enumerate(others):
            _interval(panel, policy, name, place, palette[policy.name])
        low, high = panel.get_xlim()
        side = (low, 0) if measure.lower_is_better else (0, high)
        panel.axvspan(*side, color="#2f7d4f", alpha=0.07, linewidth=0)
        panel.set_xlim(low, high)
        panel.set_title(f"{measure.title}, minus never")
        panel.set_yticks(range(len(others)), [one.title for one in others])
        panel.locator_params(axis="x", nbins=5)
    panels[0].set_ylim(len(others) - 0.5, -0.5)
    return figure


def _interval(panel: Axes, policy: PolicyResult, measure: str, place: int, colour: str) -> None:
    figure = policy.total.against_never[measure]
    if figure.value is None:
        panel.text(0, place, " not defined", va="center", color="#8a6100")
        return
    if figure.low is not None and figure.high is not None:
        panel.plot([figure.low, figure.high], [place, place], color=colour, linewidth=2.2, solid_capstyle="round")
    fill = "white" if policy.gated else colour
    panel.plot(figure.value, place, "o", color=colour, markerfacecolor=fill, markersize=7, markeredgewidth=1.8)


def _periods(found: BacktestResult) -> Figure:
    """Each policy minus `never`, period by period; gated ones are dashed. What is not defined is a gap."""
    labels, palette = list(found.periods), colours(found)
    figure = _figure(10, 2.3 * len(found.measures) + 0.5)
    panels = figure.subplots(len(found.measures), 1, sharex=True, squeeze=False)[:, 0]
    for panel, (name, measure) in zip(panels, found.measures.items(), strict=True):
        panel.axhline(0, color=NEVER, linewidth=1)
        for policy in found.policies[1:]:
            values = [_nan(policy.periods[label].against_never[name].value) for label in labels]
            panel.plot(
                range(len(labels)), values, color=palette[policy.name], label=policy.title,
                linestyle=(0, (3, 2)) if policy.gated else "-", marker="o", markersize=3.5,
                linewidth=1.6,
            )  # fmt: skip
        if measure.lower_is_better:
            panel.invert_yaxis()
        panel.set_ylabel(f"{measure.title},\nminus never")
        panel.grid(axis="y", color="#e6ece8", linewidth=0.8)
    step = -(-len(labels) // 14)
    panels[-1].set_xticks(range(0, len(labels), step), labels[::step])
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return figure


def _retrains(found: BacktestResult) -> Figure:
    """Every retrain on a line a policy: filled where it was promoted, red where that was the wrong way."""
    from matplotlib import dates

    shown = [one for one in found.policies if not one.retrain_never]
    palette = colours(found)
    figure = _figure(10, 0.9 + 0.34 * max(len(shown), 1))
    panel = figure.add_subplot()
    for place, policy in enumerate(shown):
        panel.axhline(place, color="#e6ece8", linewidth=1, zorder=0)
        _marks(panel, [one.timestamp() / 86_400 for one in policy.alarms], place, marker="|", color="#a1260d", size=13)
        for one in policy.retrains:
            wrong = one.hurt or one.missed
            edge = "#a1260d" if wrong else palette[policy.name]
            fill = edge if one.promoted else "white"
            panel.plot(
                one.as_of.timestamp() / 86_400, place, "o", color=edge, markerfacecolor=fill, markersize=8,
                markeredgewidth=1.8,
            )  # fmt: skip
    panel.set_yticks(range(len(shown)), [one.title for one in shown])
    panel.set_ylim(len(shown) - 0.5, -0.5)
    panel.set_xlim(found.start.timestamp() / 86_400, found.end.timestamp() / 86_400)
    panel.xaxis.set_major_locator(dates.AutoDateLocator(maxticks=12))
    panel.xaxis.set_major_formatter(dates.ConciseDateFormatter(panel.xaxis.get_major_locator()))
    return figure


def _gates(found: BacktestResult) -> Figure:
    """What became of the candidates at each gate, a panel a policy: promoted and kept out, rightly and wrongly."""
    groups = compared(found)
    most = max(len(rows) for rows in groups.values())
    figure = _figure(10, 1.2 + 0.3 * most)
    panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    for panel, (name, rows) in zip(panels, groups.items(), strict=True):
        begun = [0] * len(rows)
        for outcome, colour in OUTCOMES.items():
            counts = [row.outcomes[outcome] for row in rows]
            panel.barh(range(len(rows)), counts, left=begun, color=colour, height=0.7, label=outcome)
            begun = [so_far + count for so_far, count in zip(begun, counts, strict=True)]
        panel.set_title(name)
        panel.set_yticks(range(len(rows)), [row.gate for row in rows])
        panel.xaxis.get_major_locator().set_params(integer=True)
    panels[0].set_ylim(most - 0.5, -0.5)
    figure.supxlabel("candidates", color=NEVER, fontsize=10)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    return figure


def _marks(panel: Axes, xs: Sequence[float], place: int, marker: str, color: str, size: int) -> None:
    if xs:
        panel.plot(xs, [place] * len(xs), marker, color=color, markersize=size)


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _svg(figure: Figure, name: str) -> str:
    """The figure as an SVG element whose ids no other plot of the page has."""
    stream = io.StringIO()
    metadata: dict[str, Any] = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(stream, format="svg", metadata=metadata)
    text = stream.getvalue()
    text = text[text.index("<svg") :].replace('id="', f'id="{name}-').replace("url(#", f"url(#{name}-")
    return text.replace('href="#', f'href="#{name}-')
