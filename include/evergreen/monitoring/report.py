"""monitor.html: a champion's windows since its promotion, their rules, and the bias drawn; one file, no script."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from zoneinfo import ZoneInfo

from evergreen.files import write_atomic
from evergreen.html import document
from evergreen.monitoring.records import Performance, Record, RuleResult
from evergreen.monitoring.rules import figure
from evergreen.params.prediction import Kind

_STYLE = ".alarm{color:#a1260d;font-weight:600} .unknown{color:#8a6100}"
# What is shown of a window: heading, then the figure's name and the kind that it is written as.
FIGURES: dict[Kind, dict[str, tuple[str, Kind]]] = {
    "binary": {
        "rate": ("rate", "binary"), "mean p": ("mean_p", "binary"), "bias": ("bias", "binary"),
        "log-loss": ("log_loss", "binary"), "skill": ("skill", "binary"), "AUC": ("roc_auc", "binary"),
        "Brier": ("brier", "binary"),
    },
    "multiclass": {
        "worst bias": ("bias", "multiclass"), "log-loss": ("log_loss", "multiclass"), "skill": ("skill", "multiclass"),
        "accuracy": ("accuracy", "multiclass"), "Brier": ("brier", "multiclass"),
    },
    "regression": {
        "mean outcome": ("rate", "regression"), "mean prediction": ("mean_p", "regression"),
        "bias": ("bias", "regression"), "MAE": ("mae", "regression"), "RMSE": ("rmse", "regression"),
        "skill": ("skill", "binary"),
    },
}  # fmt: skip
_AXIS: dict[Kind, str] = {
    "binary": "mean prediction minus rate, by window",
    "multiclass": "mean prediction minus share of the class that is furthest off, by window",
    "regression": "mean prediction minus mean outcome, by window",
}
_WIDTH, _HEIGHT, _LEFT, _PAD = 900, 260, 60, 24


def write_summary(path: Path, name: str, records: Sequence[Record], verdict: str, zone: ZoneInfo, drift: bool) -> None:
    """Write the page of the last of `records`, oldest first; `drift` says that drift.html lies beside it."""
    last = records[-1]
    parts = [
        f"<p>Labels known from {_day(last.start, zone)} to {_day(last.end, zone)}. <b>{escape(verdict)}</b></p>",
        _rules(last),
        "<h2>Bias by window</h2>",
        _plot(records, zone),
        "<h2>Windows since the promotion</h2>",
        _windows(records, zone),
        _classes(last),
        _context(last, drift),
        "<p class=note>A record is written once, with the labels known at its end. A label corrected later changes no "
        "record.</p>",
    ]
    title, heading = f"{name} monitor {_day(last.end, zone)}", f"{name}: champion {_champion(last)}"
    write_atomic(path, document(title, parts, _STYLE, heading))


def _rules(record: Record) -> str:
    if not record.rules:
        return "<p class=note>No rule was asked: too few labelled predictions, or days with any.</p>"
    rows = "".join(
        f"<tr><td>{escape(rule.name)}</td><td>{_number(rule.value, _unit(rule, record))}</td>"
        f"<td>{_number(rule.limit, _unit(rule, record))}</td>"
        f"<td class={_state(rule.alarm)}>{_state(rule.alarm)}</td><td class=text>{escape(rule.text)}</td></tr>"
        for rule in record.rules
    )
    return _table(("rule", "value", "limit", "state", "why"), rows, text_last=True)


def _unit(rule: RuleResult, record: Record) -> Kind:
    """Skill and drift are shares, whatever is predicted."""
    return record.kind if rule.kind in ("bias", "ewma") else "binary"


def _windows(records: Sequence[Record], zone: ZoneInfo) -> str:
    kind = records[-1].kind
    rows = "".join(
        f"<tr><td>{_day(record.end, zone)}</td><td>{record.rows:,}</td>"
        + "".join(f"<td>{_number(getattr(record, name), unit)}</td>" for name, unit in FIGURES[kind].values())
        + f"<td>{_number(record.drift.share if record.drift else None)}</td><td class=text>{_said(record)}</td></tr>"
        for record in reversed(records)
    )
    return _table(("until", "rows", *FIGURES[kind], "drift share", "rules"), rows, text_last=True)


def _classes(record: Record) -> str:
    """Each class of the last window."""
    if not record.classes:
        return ""
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{_number(one.rate)}</td><td>{_number(one.mean_p)}</td>"
        f"<td>{_number(one.bias)}</td></tr>"
        for name, one in record.classes.items()
    )
    return f"<h2>Classes of the last window</h2>{_table(('class', 'share', 'mean p', 'bias'), rows)}"


def _said(record: Record) -> str:
    if not record.mature:
        return "immature"
    alarms = "".join(f"<span class=alarm>{escape(name)}</span> " for name in record.alarms)
    return alarms + "".join(f"<span class=unknown>{escape(name)}?</span> " for name in record.unknown) or "quiet"


def _context(record: Record, drift: bool) -> str:
    lines = [f"{record.unpredicted:,} labels of the window have no prediction."]
    lines += [f"{record.unlabelled:,} predictions made meanwhile have no label."]
    if record.arrived_late:
        lines += [
            f"{record.arrived_late:,} labels of earlier windows arrived late, after their window was recorded: they "
            "are judged in none."
        ]
    lines += [
        f"{other.rows:,} rows were served by {escape(build)}: bias {_number(other.bias, record.kind)}, {_loss(other)}."
        for build, other in record.predecessors.items()
    ]
    if record.strays:
        named = ", ".join(f"{escape(text)} ({count:,} rows)" for text, count in record.strays.items())
        lines += [f"Outcomes that are none that this champion's label can be, and are judged nowhere: {named}."]
    if record.shift is not None:
        lines += [
            f"The predictions lie {record.shift:.2f} standard deviations from the champion's out-of-fold ones "
            "(Wasserstein distance). That is context, as drift is."
        ]
    if record.drift:
        drifted = [escape(name) for name, moved in record.drift.columns.items() if moved]
        lines += [f"Drifted inputs: {', '.join(drifted) or 'none'}. Drift is context: season alone moves most inputs."]
        lines += [f"{escape(name)} is not compared: {escape(why)}." for name, why in record.drift.left_out.items()]
    link = '<p><a href="drift.html">Drift report</a></p>' if drift else ""
    return "<h2>Beside it</h2><ul>" + "".join(f"<li>{line}</li>" for line in lines) + f"</ul>{link}"


def _plot(records: Sequence[Record], zone: ZoneInfo) -> str:
    """The bias of each window as a bar, its limit above and below (of several classes each has its own); SVG."""
    limit = max((rule.limit or 0.0 for record in records for rule in record.rules if rule.kind == "bias"), default=0.0)
    kind = records[-1].kind
    limit = 0.0 if kind == "multiclass" else limit
    least = 0.01 if kind != "regression" else 1e-9
    reach = 1.15 * max(limit, *(abs(record.bias or 0.0) for record in records), least)
    middle, scale = _HEIGHT / 2, (_HEIGHT / 2 - _PAD) / reach
    step = (_WIDTH - _LEFT) / len(records)
    marks = [_line(0.0, middle, "#56645b", "0")]
    if limit:
        marks += [
            _line(
                sign * limit,
                middle - sign * limit * scale,
                "#a1260d",
                f"{'+' if sign > 0 else '-'}{figure(limit, kind)}",
            )
            for sign in (1, -1)
        ]
    every = -(-len(records) // 12)
    for place, record in enumerate(records):
        left, height = _LEFT + place * step + step * 0.2, abs(record.bias or 0.0) * scale
        top = middle - height if (record.bias or 0.0) > 0 else middle
        fill = "#a1260d" if record.alarms else "#2f7d4f" if record.mature else "#b9c4bc"
        marks.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{step * 0.6:.1f}" height="{height:.1f}" fill="{fill}">'
            f"<title>{_day(record.end, zone)}: {_number(record.bias, kind)}</title></rect>"
        )
        if place % every == 0:
            marks.append(
                f'<text x="{left:.1f}" y="{_HEIGHT - 4}" font-size="11">{record.end.astimezone(zone):%d %b}</text>'
            )
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{_AXIS[kind]}">{"".join(marks)}</svg>'


def _line(value: float, y: float, colour: str, text: str) -> str:
    dash = "" if value == 0 else ' stroke-dasharray="5 4"'
    return (
        f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}"{dash}/>'
        f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" font-size="11" text-anchor="end" fill="{colour}">{text}</text>'
    )


def _table(heads: Sequence[str], rows: str, text_last: bool = False) -> str:
    cells = [f"<th{' class=text' if text_last and head == heads[-1] else ''}>{head}</th>" for head in heads]
    return f"<div class=wide><table><tr>{''.join(cells)}</tr>{rows}</table></div>"


def _champion(record: Record) -> str:
    return record.build if record.version is None else f"version {record.version} ({record.build})"


def _state(alarm: bool | None) -> str:
    return "unknown" if alarm is None else "alarm" if alarm else "quiet"


def _loss(other: Performance) -> str:
    if other.kind == "regression":
        return f"mean absolute error {_number(other.mae, other.kind)}"
    return f"log-loss {_number(other.log_loss)}"


def _number(value: float | None, kind: Kind = "binary") -> str:
    return "unknown" if value is None else figure(value, kind)


def _day(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M}"
