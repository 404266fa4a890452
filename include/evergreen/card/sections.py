"""The card's sections, each of one part of the facts."""

from __future__ import annotations

from collections.abc import Iterator

from evergreen.card.facts import Facts
from evergreen.clock import format_time
from evergreen.html import listed, paragraph, pictures, section, table
from evergreen.params.base import format_duration
from evergreen.params.features import AGGREGATES, Features
from evergreen.training.evaluation.records import Evaluation, Figure, Segment


def data(facts: Facts) -> str:
    """What it learned from, of when, and what judges it."""
    prediction, training, evaluation = facts.params.prediction, facts.training, facts.evaluation
    rows = [
        ("a prediction", f"a row of {prediction.rows}, made at {prediction.at}"),
        ("label", f"{prediction.label.value} of {facts.params.label_table} ({evaluation.kind})"),
        ("snapshot", f"{facts.snapshot['id']}: {_tables(facts)}"),
        ("labels known by", format_time(training.learned_until)),
        ("training rows", f"{training.rows:,}, {training.positives:,} of them positive"
         if evaluation.kind == "binary" else f"{training.rows:,}"),
        ("twin's training rows", f"{training.twin_rows:,}, labels known by {format_time(training.judge_from)}"),
        ("judged rows", f"{evaluation.rows:,} on {evaluation.days} days, "
         f"{evaluation.first_day} to {evaluation.last_day} ({facts.params.time_zone})"),
        ("counts", ", ".join(f"{name} {count:,}" for name, count in evaluation.counts.items())),
    ]  # fmt: skip
    return section("Data", table(("", ""), rows, texts=(0, 1)))


def metrics(facts: Facts) -> str:
    """Every metric with its interval, beside the baselines on the same rows."""
    evaluation, refit = facts.evaluation, facts.training.refit
    heads = ["metric", "the twin" if refit else "this model", *map(facts.called, evaluation.baselines)]
    rows = [
        [name, _figure(figure), *(_figure(baseline.metrics.get(name)) for baseline in evaluation.baselines)]
        for name, figure in evaluation.metrics.items()
    ]
    told = [f"{facts.called(baseline)}: {baseline.text}" for baseline in evaluation.baselines]
    said = (
        f"In brackets the {evaluation.confidence:.0%} interval from {evaluation.resamples:,} resamples of whole days."
    )
    if refit:
        said = f"The twin is this model as it was before it also learned from the judged rows. {said}"
    return section("Metrics", paragraph(said, note=True), table(heads, rows), listed(told))


def decisions(evaluation: Evaluation) -> str:
    """The threshold, the confusion at it and what being wrong costs."""
    parts = []
    if evaluation.threshold:
        chosen = evaluation.threshold
        parts.append(paragraph(
            f"Threshold {chosen.value:.4f}, of best {chosen.by} on {chosen.rows:,} out-of-fold rows of the twin's own."
        ))  # fmt: skip
    if evaluation.confusion:
        names = list(dict.fromkeys(name for cells in evaluation.confusion.values() for name in cells))
        rows = [
            [f"actual {actual}", *(f"{cells.get(name, 0):,}" for name in names)]
            for actual, cells in evaluation.confusion.items()
        ]
        parts.append(table(["", *(f"predicted {name}" for name in names)], rows))
    if cost := evaluation.cost:
        rows = [
            [name, _figure(figure)]
            for name, figure in (("by the model", cost.per_1000), ("never positive", cost.never),
                                 ("always positive", cost.always))
        ]  # fmt: skip
        weights = f"a missed positive {cost.false_negative:g}, a false alarm {cost.false_positive:g}"
        parts += [table((f"cost per 1,000 rows ({weights})", ""), rows)]
    return section("Decisions and cost", *parts)


def plots(facts: Facts) -> str:
    """The pictures, calibration first; none of what was not asked for."""
    asked = {"cost": facts.evaluation.cost, "fairness": facts.evaluation.fairness, "confusion": None}  # that is a table
    first = [name for name in ("calibration", "metrics", "cost", "roc", "pr") if name in facts.images]
    rest = [name for name in facts.images if name not in first]
    shown = [name for name in (*first, *rest) if asked.get(name, True)]
    return section("Plots", pictures({name: facts.images[name] for name in shown}))


def segments(evaluation: Evaluation) -> str:
    """Each configured column's levels, and the worst pairs."""
    found = evaluation.segments
    columns = [part for column in found.columns.values() for part in column]
    shown = list(dict.fromkeys(name for part in (*columns, *found.worst_pairs) for name in part.metrics))
    parts = [_segments(columns, shown)]
    if found.worst_pairs:
        parts += [paragraph(f"The worst of {found.pairs:,} pairs by {found.by}"), _segments(found.worst_pairs, shown)]
    if found.most_biased_pairs:
        parts += [paragraph("The pairs that are farthest off on average"), _segments(found.most_biased_pairs, shown)]
    return section("Segments", *parts)


def fairness(evaluation: Evaluation) -> str:
    """Each sensitive column's groups, and how far apart they are."""
    parts = []
    for fair in evaluation.fairness:
        shown = list(dict.fromkeys(name for group in fair.groups for name in group.metrics))
        parts += [paragraph(f"By {fair.column}"), _segments(fair.groups, shown)]
        rows = [[name, _figure(figure), _figure(fair.ratio.get(name))] for name, figure in fair.difference.items()]
        parts.append(table(("between groups", "difference", "ratio"), rows))
    return section("Fairness", *parts)


def features(facts: Facts) -> str:
    """Each feature's definition and its importance."""
    importance = {found.feature: found for found in facts.evaluation.importance}
    rows = []
    for name, text in definitions(facts.params.features):
        found = importance.get(name)
        drop = "" if found is None or found.drop is None else f"{found.drop:.4f} ± {found.spread or 0:.4f}"
        kind = "category" if name in facts.training.categorical else "number"
        rows.append([name, kind, text, drop])
    said = f"Importance: how much worse {facts.evaluation.primary} becomes where a feature's values are shuffled "
    said += f"among {facts.evaluation.importance_rows:,} judged rows."
    return section(
        "Features", paragraph(said, note=True), table(("feature", "", "definition", "importance"), rows, texts=(1, 2))
    )


def lineage(facts: Facts) -> str:
    """What to give to whom who wants to make it again."""
    training = facts.training
    rows = [
        ("build", f"{facts.build} (git tag {facts.commit.tag})"),
        ("commit", facts.commit.sha),
        ("snapshot", facts.snapshot["id"]),
        ("model.pkl, SHA-256", training.model_sha256),
        ("twin.pkl, SHA-256", training.twin_sha256),
        ("estimator", training.estimator),
        ("its options", _options(facts)),
        *((f"{path}, MD5 in DVC", md5) for path, md5 in facts.outputs.items()),
        *((name, value) for name, value in training.environment.items()),
    ]
    again = f"evergreen reproduce {facts.build} makes it again and compares the bytes."
    return section("Lineage", paragraph(again), table(("", ""), rows, texts=(0, 1)))


def definitions(params: Features) -> Iterator[tuple[str, str]]:
    """(feature, where it comes from) in the model's order."""
    told = {name: str(expression) for name, expression in params.row.items()}
    for name, view in params.latest.items():
        by = ", ".join(column for _, column in view.pairs())
        age = f", at most {format_duration(view.max_age)} old" if view.max_age else ""
        told |= {
            feature: f"latest {expression} of {view.table or name} by {by}{age}"
            for feature, expression in view.expressions().items()
        }
    for name, trailing in params.trailing.items():
        how = next(kind for kind in AGGREGATES if getattr(trailing, kind) is not None)
        by = ", ".join(column for _, column in trailing.pairs())
        what = f"{how} of {getattr(trailing, how)} in {trailing.table} by {by}"
        told[name] = f"{what}, over {format_duration(trailing.over)}"
    for name in params.names():
        yield name, told.get(name, "params.yaml, features")


def _tables(facts: Facts) -> str:
    return (
        ", ".join(f"{name} {found['rows']:,}" for name, found in facts.snapshot["tables"].items()) or "no table named"
    )


def _options(facts: Facts) -> str:
    """What was set otherwise than by default, and what of it a search chose."""
    options = {**facts.params.training.options, **facts.chosen}
    told = (f"{name} {value}{' (searched)' if name in facts.chosen else ''}" for name, value in options.items())
    return ", ".join(told) or "as by default"


def _segments(parts: tuple[Segment, ...] | list[Segment], shown: list[str]) -> str:
    rows = [
        [part.name, f"{part.rows:,}", f"{part.share:.1%}", *(
            _figure(part.metrics.get(name)) if part.metrics else "too few rows" for name in shown
        )]
        for part in parts
    ]  # fmt: skip
    return table(["segment", "rows", "share", *shown], rows)


def _figure(figure: Figure | None) -> str:
    if figure is None or figure.value is None:
        return "not defined"
    value = _number(figure.value)
    if figure.low is None or figure.high is None:
        return value
    return f"{value} [{_number(figure.low)}, {_number(figure.high)}]"


def _number(value: float) -> str:
    """As many digits as a reader compares: three decimals of what is small, none of hundreds."""
    size = abs(value)
    if 0 < size < 0.0005:
        return f"{value:.1g}"
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.3f}"
