"""From what the policies served to the figures: per period and in total, each beside `never` on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evergreen.backtest.intervals import drawn, figure
from evergreen.backtest.measures import Days, Measure
from evergreen.backtest.moments import Period
from evergreen.backtest.replay import Replayed, Scene, alarmed
from evergreen.backtest.results import Counts, Figure, Figures, PolicyResult, Retrain
from evergreen.params.backtest import Leak

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Values = Mapping[str, "NDArray[np.float64]"]


class Judged:
    """The rows that count, and the tables of their days by measure for each policy asked about."""

    def __init__(self, scene: Scene, periods: Sequence[Period], measures: Sequence[Measure]) -> None:
        import numpy as np

        self.scene, self.measures, self.periods = scene, measures, periods
        self.rows = scene.served(scene.start, scene.end)
        self.y = scene.history.meta["_label"].to_numpy(dtype="float64")[self.rows]
        self.days, self.day = np.unique(scene.days[self.rows], return_inverse=True)
        spans = [np.isin(self.rows, scene.served(one.start, one.end), assume_unique=True) for one in periods]
        self.spans = {one.label: inside for one, inside in zip(periods, spans, strict=True)}

    def tables(self, p: NDArray[np.float64]) -> dict[str, Days]:
        """A policy's days by measure; `p` are its predictions of the history's rows."""
        return {one.name: one.by_day(self.y, p[self.rows], self.day, len(self.days)) for one in self.measures}

    def figures(self, tables: Mapping[str, Days], never: Mapping[str, Days], inside: Any = None) -> Figures:
        """The figures of the rows `inside` (all of them: None)."""
        import numpy as np

        wanted = self.scene.params.backtest
        chosen = np.ones(len(self.rows), dtype=bool) if inside is None else inside
        days = np.unique(self.day[chosen])
        often = drawn(len(days), wanted.resamples, wanted.seed)
        ours, theirs = ({name: table.figures(often, days) for name, table in one.items()} for one in (tables, never))

        def made(values: NDArray[np.float64]) -> Figure:
            return figure(values, len(days), wanted.confidence)

        return Figures(
            rows=int(chosen.sum()),
            positives=int(self.y[chosen].sum()) if self.scene.params.prediction.label.kind == "binary" else None,
            days=len(days),
            measures={name: made(values) for name, values in ours.items()},
            against_never={name: made(values - theirs[name]) for name, values in ours.items()},
        )


def result(judged: Judged, replayed: Replayed, never: Mapping[str, Days], by_period: bool = True) -> PolicyResult:
    """A policy's figures and counts; `never` has the tables of the policy that is compared with."""
    tables = judged.tables(replayed.p)
    spans = judged.spans if by_period else {}
    mature = [one for one in replayed.records if one.mature]
    return PolicyResult(
        name=replayed.policy.name,
        gated=replayed.policy.gated,
        title=replayed.policy.title,
        gate=replayed.policy.gate,
        counts=counts(replayed.retrains, judged.scene.params.backtest.margin),
        total=judged.figures(tables, never),
        periods={label: judged.figures(tables, never, inside) for label, inside in spans.items()},
        retrains=tuple(replayed.retrains),
        first=replayed.first,
        alarms=alarmed(replayed.records),
        unknown_windows=sum(1 for one in mature if one.unknown and not one.alarms),
        immature_windows=len(replayed.records) - len(mature),
    )


def suspicions(policies: Sequence[PolicyResult], leak: Leak) -> tuple[str, ...]:
    """Where a figure is better than `backtest.leak` holds for possible."""
    found = []
    for policy in policies:
        spans = [("the whole span", policy.total, leak.roc_auc, "roc_auc")]
        spans += [(label, one, leak.period_roc_auc, "period_roc_auc") for label, one in policy.periods.items()]
        for label, figures, limit, key in spans:
            figure = figures.measures.get("roc_auc")
            value = figure.value if figure else None
            if limit is not None and value is not None and value > limit:
                found.append(
                    f"{policy.title}: ROC AUC {value:.3f} over {label} is above backtest.leak.{key} {limit:g}. Look "
                    "for a feature that knows the outcome: a column that is filled in afterwards, or a table whose "
                    "`known_at` is too early"
                )
    return tuple(found)


def counts(made: Sequence[Retrain], margin: float) -> Counts:
    """How many retrains were what; `margin` is `backtest.margin`."""
    hurt, missed = [one for one in made if one.hurt], [one for one in made if one.missed]
    return Counts(
        retrains=len(made),
        failed=sum(one.failed for one in made),
        promoted=sum(one.promoted for one in made),
        hurt=len(hurt),
        hurt_shown=sum(one.shown for one in hurt),
        hurt_much=sum(one.by_more_than(margin) for one in hurt),
        missed=len(missed),
        missed_shown=sum(one.shown for one in missed),
        missed_much=sum(one.by_more_than(margin) for one in missed),
    )
