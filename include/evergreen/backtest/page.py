"""backtest.html: does retraining pay on this data? Figures, plots and every retrain; one file, no script."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from zoneinfo import ZoneInfo

from evergreen.backtest.gates import NO_GATE, Row, compared, in_words, worst_in_words
from evergreen.backtest.measures import warns_from
from evergreen.backtest.plots import plots
from evergreen.backtest.results import BacktestResult, Figure, Figures, MeasureInfo, PolicyResult, Retrain
from evergreen.backtest.words import answer, number, signed
from evergreen.files import write_atomic
from evergreen.html import document

_STYLE = """
td,th{vertical-align:top} th{color:#56645b;font-weight:600} td:first-child{white-space:nowrap}
.lead{font-size:1.1rem;background:#eef5f0;border-left:4px solid #2f7d4f;padding:.7rem 1rem;margin:1rem 0}
.leak{background:#fdf0ec;border-left:4px solid #a1260d;padding:.7rem 1rem}
small{color:#56645b;white-space:nowrap;font-weight:400}
.better{color:#226a41;font-weight:600} .worse{color:#a1260d;font-weight:600} .undefined{color:#8a6100}
li{color:#3c4a42} summary{cursor:pointer;margin:.4rem 0}
"""


def write_page(path: Path, found: BacktestResult) -> None:
    """Write the page atomically; equal results give equal bytes."""
    drawn, zone = plots(found), ZoneInfo(found.time_zone)
    parts = [
        f"<p>{_span(found, zone)}</p>",
        f"<p class=lead>{_marked(answer(found))}</p>",
        _suspicions(found),
        "<h2>In total</h2>",
        _totals(found),
        drawn["differences"],
        f"<p class=note>Points are differences from <b>never</b> with their {found.settings.confidence:.0%} intervals; "
        "hollow ones are gated. The green side is the better one.</p>",
        f"<h2>By {found.settings.period}</h2>",
        drawn["periods"],
        "<p class=note>Above the line is better than never, in every panel.</p>",
        *(_by_period(found, name) for name in found.measures),
        "<h2>Retrains</h2>",
        drawn["retrains"],
        "<p class=note>A filled point was promoted, a hollow one kept out by the gate; a red one hurt, or was missed. "
        "A red stroke is a window in which a rule of the monitor alarmed.</p>",
        *(_retrains(found, policy, zone) for policy in found.policies[1:]),
        _gates(found, drawn["gates"], zone),
        _reading(found),
    ]
    heading = f"{found.name}: does retraining pay?"
    write_atomic(path, document(f"{found.name} backtest", parts, _STYLE, heading))


def _span(found: BacktestResult, zone: ZoneInfo) -> str:
    rate = "" if found.positives is None else f", {found.positives / max(found.rows, 1):.1%} of them positive"
    return (
        f"Replayed from {_day(found.start, zone)} to {_day(found.end, zone)}: {found.rows:,} rows with a "
        f"label{rate}. Every policy starts with a model of what was "
        f"known on {_day(found.start, zone)}. Each row is predicted by the model that served at its moment."
    )


def _suspicions(found: BacktestResult) -> str:
    if not found.suspicions:
        return ""
    items = "".join(f"<li>{escape(text)}</li>" for text in found.suspicions)
    return f"<div class=leak><b>Too good to be true?</b><ul>{items}</ul></div>"


def _totals(found: BacktestResult) -> str:
    heads = ["policy", *(one.title for one in found.measures.values()), "retrains", "promoted", "hurt", "missed"]
    rows = "".join(_total(found, policy) for policy in found.policies)
    return _table(heads, rows)


def _total(found: BacktestResult, policy: PolicyResult) -> str:
    cells = [escape(policy.title)]
    for name, measure in found.measures.items():
        cells.append(_value(policy.total.measures[name], measure))
        if not policy.retrain_never:
            cells[-1] += f"<br>{_difference(policy.total.against_never[name], measure)}"
    counts = policy.counts
    if policy.retrain_never:
        cells += ["0", "", "", ""]
    else:
        cells += [_made(policy), str(counts.promoted), _of(counts.hurt, counts.hurt_shown)]
        cells += [_of(counts.missed, counts.missed_shown) if policy.gated else ""]
    return _row(cells)


def _made(policy: PolicyResult) -> str:
    failed = policy.counts.failed
    return f"{policy.counts.retrains}" + (f"<br><small>{failed} failed</small>" if failed else "")


def _of(count: int, shown: int, much: str = "") -> str:
    return f"{count}<br><small>{shown} beyond chance{much}</small>" if count else "0"


def _row(cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _gates(found: BacktestResult, plot: str, zone: ZoneInfo) -> str:
    """The table of the gates, where `backtest.gates` names any."""
    if not found.gates:
        return ""
    heads = ["policy", "gate", "promoted", "hurt", "the worst of them", "missed"]
    heads += [one.title for one in found.measures.values()]
    rows = "".join(_gate(found, name, row) for name, group in compared(found).items() for row in group)
    margin = f"{found.settings.margin:.1%}"
    note = (
        f"<p class=note>Of <i>hurt</i> and <i>missed</i>, in brackets: those by more than {margin} of the champion's "
        f"{found.gate_metric}. Figures are of the whole span, and below them minus never. A gate cannot make a "
        "candidate better: it is there for the one that is bad, and an honest history has few of those.</p>"
    )
    seen = "".join(_retrains(found, one, zone) for one in found.gates)
    more = f"<details><summary>every retrain of these gates</summary>{seen}</details>"
    lead = f"<p>{escape(in_words(found))}.</p>"
    return "".join(["<h2>What the gate is worth</h2>", lead, plot, _table(heads, rows), note, more])


def _gate(found: BacktestResult, name: str, row: Row) -> str:
    policy, counts = row.policy, row.policy.counts
    cells = [escape(name), escape(row.gate), f"{counts.promoted} of {_made(policy)}"]
    cells += [_of(counts.hurt, counts.hurt_shown, f" ({counts.hurt_much})"), worst_in_words(found, row)]
    cells += ["" if row.gate == NO_GATE else _of(counts.missed, counts.missed_shown, f" ({counts.missed_much})")]
    for key, measure in found.measures.items():
        cells.append(_value(policy.total.measures[key], measure))
        cells[-1] += f"<br>{_difference(policy.total.against_never[key], measure)}"
    return _row(cells)


def _value(figure: Figure, measure: MeasureInfo) -> str:
    if figure.value is None:
        return "<span class=undefined>not defined</span>"
    return f"{number(figure.value, measure)} <small>{_range(figure, measure, sign=False)}</small>"


def _difference(figure: Figure, measure: MeasureInfo) -> str:
    if figure.value is None:
        return "<span class=undefined>not defined</span>"
    text = f"{signed(figure.value, measure)} <small>{_range(figure, measure, sign=True)}</small>"
    kind = figure.side(measure.lower_is_better)
    return f"<span class={kind}>{text}</span>" if kind else text


def _range(figure: Figure, measure: MeasureInfo, sign: bool) -> str:
    if figure.low is None or figure.high is None:
        return "[not defined]"
    show = signed if sign else number
    return f"[{show(figure.low, measure)}, {show(figure.high, measure)}]"


def _by_period(found: BacktestResult, name: str) -> str:
    measure = found.measures[name]
    rate = found.positives is not None
    heads = [found.settings.period, "rows", *(["positive"] if rate else []), *(one.title for one in found.policies)]
    rows = ""
    for label in found.periods:
        here = [policy.periods[label] for policy in found.policies]
        cells = [label, f"{here[0].rows:,}", *([_rate(here[0])] if rate else [])]
        for policy, one in zip(found.policies, here, strict=True):
            figure = one.measures[name]
            text = "<span class=undefined>not defined</span>" if figure.value is None else number(figure.value, measure)
            kind = "" if policy.retrain_never else one.against_never[name].side(measure.lower_is_better)
            cells.append(f"<span class={kind}>{text}</span>" if kind else text)
        rows += _row(cells)
    note = "<p class=note>Green: better than never on the same days beyond chance; red: worse.</p>"
    return f"<details><summary>{measure.title} as a table</summary>{_table(heads, rows)}{note}</details>"


def _rate(figures: Figures) -> str:
    return f"{figures.positives / figures.rows:.1%}" if figures.rows and figures.positives is not None else ""


def _marked(text: str) -> str:
    """A sentence whose `names` stand in a type of their own."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _retrains(found: BacktestResult, policy: PolicyResult, zone: ZoneInfo) -> str:
    rows = "".join(_retrain(found, one, zone) for one in policy.retrains)
    heads = ["as of", "because", "learned from", "verdict", f"{found.gate_metric} against the champion's, after it", ""]
    first = f"<p class=note>The first model: {escape(policy.first)}</p>" if policy.first else ""
    table = _table(heads, rows) if rows else "<p class=note>It never retrained.</p>"
    seen = f"{len(policy.alarms)} windows alarmed, " if policy.name == "triggers" else ""
    if policy.name == "triggers":
        seen += f"{policy.immature_windows} were immature, {policy.unknown_windows} unknown; "
    count = policy.counts.retrains
    seen += "one retrain" if count == 1 else f"{count} retrains"
    summary = f"{escape(policy.title)}: {seen}, {policy.counts.promoted} promoted"
    return f"<details><summary>{summary}</summary>{first}{table}</details>"


def _retrain(found: BacktestResult, one: Retrain, zone: ZoneInfo) -> str:
    verdict = f"failed: {one.reason}" if one.failed else one.reason or "promoted, nobody was asked"
    after = "<span class=undefined>not defined</span>"
    if one.following is not None and one.following.loss.value is not None:
        losses = found.measures if found.gate_metric in ("mae", "mse") else {}
        like = losses.get(found.gate_metric) or MeasureInfo(title="", lower_is_better=True, digits=4)
        after = f"{_difference(one.following.loss, like)}<br><small>until {_day(one.following.until, zone)}</small>"
    word = "<span class=worse>hurt</span>" if one.hurt else "<span class=worse>missed</span>" if one.missed else ""
    cells = [_day(one.as_of, zone), escape(one.because), f"{one.rows:,}", escape(verdict), after, word]
    classes = ["", " class=text", "", " class=text", "", ""]
    return "<tr>" + "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(classes, cells, strict=True)) + "</tr>"


def _reading(found: BacktestResult) -> str:
    return "<h2>How to read this</h2><ul>" + "".join(f"<li>{line}</li>" for line in _lines(found)) + "</ul>"


def _lines(found: BacktestResult) -> Iterator[str]:
    settings = found.settings
    yield (
        f"Intervals are of {settings.confidence:.0%}, from {settings.resamples:,} resamples of whole days: rows of a "
        "day are not independent. All policies are resampled alike, so a difference is of the same days."
    )
    if found.cost:
        yield (
            f"Cost: a positive row without a warning costs {found.cost.false_negative:g}, a needless warning "
            f"{found.cost.false_positive:g}; one warns from p = {warns_from(found.cost):.3f} on, where that costs less "
            "than not to."
        )
    yield (
        "<b>hurt</b>: a promoted candidate was worse than the champion that it replaced, on the rows until the policy "
        "looked again (for triggers: one gate window). <b>missed</b>: one that the gate kept out was better. "
        "<b>beyond chance</b>: the interval of that difference leaves out 0."
    )
    yield (
        "One stretch of one history, and policies that were compared on it: what was best here was chosen after seeing "
        "it. Seeds, too, move a figure in the third digit."
    )
    for note in found.notes:
        yield _marked(note)
    yield f"Snapshot {found.snapshot[:12]}. The same figures as JSON: backtest.json beside this page."


def _table(heads: list[str], rows: str) -> str:
    texts = ("because", "verdict")
    cells = "".join(f"<th{' class=text' if head in texts else ''}>{escape(head)}</th>" for head in heads)
    return f"<div class=wide><table><tr>{cells}</tr>{rows}</table></div>"


def _day(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d}"
