"""The figures in words: the answer that the page and the terminal begin with."""

from __future__ import annotations

from collections.abc import Sequence

from evergreen.backtest.results import BacktestResult, MeasureInfo, PolicyResult


def answer(found: BacktestResult) -> str:
    """Whether retraining paid, by the mean loss that the gate compares, and what the best policy would have given."""
    others = found.policies[1:]
    judge = judged_by(found)
    told = [(policy, policy.total.against_never[judge]) for policy in others]
    if not others:
        return "Only `never` was replayed: there is nothing to compare it with."
    sides = [figure.side(found.measures[judge].lower_is_better) for _, figure in told]
    title = found.measures[judge].title
    defined = [(figure.value, policy) for policy, figure in told if figure.value is not None]
    if not defined:
        return f"It cannot be said: {title} is not defined for these rows."
    best = min(defined, key=lambda pair: pair[0])[1]
    return f"{_verdict(sides, title, found.settings.confidence)}. {_best(found, best)}"


def _verdict(sides: Sequence[str], title: str, confidence: float) -> str:
    """What so many policies show; `sides` has one word each, empty where nothing is shown."""
    count, better, worse = len(sides), sides.count("better"), sides.count("worse")
    than = f"than never retraining in {title} beyond chance"
    if not better and not worse:
        return f"Not shown: no policy differs from never retraining in {title} beyond chance"
    if not better:
        return f"No: none is shown to be better than never retraining, and {_of(worse, count)} worse {than}"
    if better == count:
        return f"Yes: {'every policy is' if count > 1 else 'it is'} better {than}"
    if worse:
        return f"It depends: {_of(better, count)} better {than}, and {_of(worse, count)} worse"
    others = "the others are not shown to differ"
    if better == 1:
        others += f"; chance alone shows one policy in {2 / (1 - confidence):.0f} so"
    return f"{'For one policy' if better == 1 else 'For some, yes'}: {_of(better, count)} better {than}, {others}"


def _of(some: int, count: int) -> str:
    return f"{some} of {count} policies {'is' if some == 1 else 'are'}"


def judged_by(found: BacktestResult) -> str:
    """The measure that the answer is about: a loss, as the gate's is by default."""
    return "log_loss" if "log_loss" in found.measures else "mae"


def _best(found: BacktestResult, best: PolicyResult) -> str:
    judge = judged_by(found)
    lowest, least = found.measures[judge].title, best.total.against_never[judge].value
    if least is None or least >= 0:  # 0: every candidate was kept out, so it is the model that was never retrained
        return f"None has a lower {lowest} than never."
    parts = []
    for name, measure in found.measures.items():
        figure, never = best.total.against_never[name], found.policies[0].total.measures[name].value
        if figure.value is None:
            parts.append(f"{measure.title} not defined")
            continue
        share = f" ({_minus(f'{figure.value / never:+.1%}')})" if name in ("cost", "mae") and never else ""
        parts.append(f"{measure.title} {signed(figure.value, measure)}{share}")
    return f"The lowest {lowest} is that of `{best.title}`: {', '.join(parts)} against never."


def number(value: float | None, measure: MeasureInfo) -> str:
    """A value as its measure shows it."""
    return "not defined" if value is None else f"{value:,.{measure.digits}f}"


def signed(value: float | None, measure: MeasureInfo) -> str:
    """A difference with its sign; a minus is a minus, not a hyphen."""
    return "not defined" if value is None else _minus(f"{value:+,.{measure.digits}f}")


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")
