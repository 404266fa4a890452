"""One policy, moment by moment: who serves, when it is looked at, and what becomes of each candidate."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from evergreen import clock
from evergreen.backtest.candidates import Candidate, Shared, candidate, nothing, predictions, reference
from evergreen.backtest.fits import Fits, NotTrained
from evergreen.backtest.history import History
from evergreen.backtest.intervals import drawn, figure
from evergreen.backtest.judge import Champion, jobs, judge
from evergreen.backtest.measures import mean_by_day
from evergreen.backtest.moments import months, steps
from evergreen.backtest.policies import Policy
from evergreen.backtest.results import Following, Retrain
from evergreen.backtest.watch import record
from evergreen.monitoring.records import Record
from evergreen.params import Params
from evergreen.registry.gate import Verdict
from evergreen.training.fitting import Job


@dataclass(frozen=True)
class Scene:
    """What all policies share: the history, its fits, and the span [start, end)."""

    history: History
    fits: Fits
    params: Params
    start: datetime
    end: datetime
    days: Any  # the local day of each row
    made: dict[tuple[Any, Any, datetime], Candidate] = field(default_factory=dict)
    shared: Shared = field(default_factory=Shared)

    def candidate(self, policy: Policy, as_of: datetime) -> Candidate:
        """The policy's candidate as of a moment; two policies that train alike share it.

        Raises NotTrained where its labels do not do.
        """
        params = policy.params(self.params, as_of)
        key = params.training.window, params.gate.window, as_of
        if key not in self.made:
            self.made[key] = candidate(self.history, params, as_of, self.shared)
        return dataclasses.replace(self.made[key], params=params)

    def served(self, after: datetime, until: datetime) -> Any:
        """The numbers of the labelled rows with a moment in [after, until)."""
        import numpy as np

        times = self.history.meta["_time"]
        inside = ((times >= clock.naive(after)) & (times < clock.naive(until))).to_numpy()
        return np.flatnonzero(inside & self.history.labelled())


@dataclass
class Replayed:
    """What became of a policy: `p` are the predictions that it served, NaN where it served none."""

    policy: Policy
    p: Any
    first: str
    retrains: list[Retrain] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)


def planned(scene: Scene, policy: Policy) -> list[Job]:
    """The fits that are known to be needed beforehand: all but those of alarms."""
    candidates = [_first(scene, policy)]
    for as_of in [] if policy.retrain == "triggers" else _moments(scene, policy):
        with suppress(NotTrained):  # which its retrain will tell
            candidates.append(scene.candidate(policy, as_of))
    needed = [job for one in candidates for job in (jobs(one) if policy.gated else [one.model])]
    return needed + (list(candidates[0].folds) if policy.retrain == "triggers" else [])


def replay(scene: Scene, policy: Policy) -> Replayed:
    """Replay a policy over the span; the first model serves from its start, whatever the gate says of it."""
    scene.fits.make(planned(scene, policy))
    champion = Champion(_first(scene, policy), scene.start)
    first = judge(scene.history, scene.fits, champion.candidate, None) if policy.gated else None
    found = Replayed(policy, nothing(scene.history, _width(scene.params)), _said(first))
    watch = _Watch(scene, champion) if policy.retrain == "triggers" else None
    moments = _moments(scene, policy)
    for place, as_of in enumerate(moments):
        _serve(scene, found, champion, as_of)
        because = policy.retrain if watch is None else watch.alarm(champion, as_of, found.records)
        if because is None:
            continue
        ends = [scene.end, *moments[place + 1 :]] if watch is None else [scene.end]
        made, won = _retrain(scene, policy, champion, as_of, because, min(ends))
        found.retrains.append(made)
        champion = won or champion
    _serve(scene, found, champion, scene.end)
    return found


def _first(scene: Scene, policy: Policy) -> Candidate:
    """What serves from the start; without it there is nothing to replay."""
    try:
        return scene.candidate(policy, scene.start)
    except NotTrained as error:
        raise error if policy.gate is None else NotTrained(f"backtest.gates.{policy.gate}: {error}") from None


def _width(params: Params) -> tuple[int, ...]:
    """The shape of one prediction."""
    classes = params.prediction.label.n_classes
    return (classes,) if classes else ()


def _moments(scene: Scene, policy: Policy) -> list[datetime]:
    """When the policy looks: at its retrains, or where the monitor's windows end."""
    zone = scene.params.zone
    if policy.retrain == "monthly":
        return months(scene.start, scene.end, zone)
    if policy.retrain == "never":
        return []
    step = scene.params.monitoring.window if policy.retrain == "triggers" else None
    return steps(scene.start, scene.end, zone, step) if step else steps(scene.start, scene.end, zone)


def _serve(scene: Scene, found: Replayed, champion: Champion, until: datetime) -> None:
    """The champion's predictions of the rows from its promotion up to `until`; again, they are the same."""
    rows = scene.served(champion.promoted, until)
    found.p[rows] = predictions(scene.history, scene.fits, champion.candidate.model)[rows]


def _retrain(
    scene: Scene, policy: Policy, champion: Champion, as_of: datetime, because: str, until: datetime
) -> tuple[Retrain, Champion | None]:
    """A retrain as of `as_of`, and the new champion where it was promoted."""
    try:
        new, verdict = _judged(scene, policy, champion, as_of)
    except NotTrained as error:
        return Retrain.failed_as(as_of, because, str(error)), None
    promoted = verdict is None or verdict.verdict == "promote"
    if policy.retrain == "triggers":  # which does not look again at a moment that is known
        until = min(until, clock.back(as_of, -scene.params.gate.window, scene.params.zone))
    made = Retrain(
        as_of=as_of,
        because=because,
        rows=len(new.split.model),
        verdict=verdict.verdict if verdict else None,
        reason=_said(verdict),
        promoted=promoted,
        following=_following(scene, new, champion.candidate, until),
    )
    return made, Champion(new, as_of) if promoted else None


def _judged(scene: Scene, policy: Policy, champion: Champion, as_of: datetime) -> tuple[Candidate, Verdict | None]:
    """The candidate as of a moment and, where the policy asks it, what the gate says; raises NotTrained."""
    new = scene.candidate(policy, as_of)
    needed = jobs(new) if policy.gated else [new.model]
    scene.fits.make(needed)
    for job in needed:
        scene.fits.require(job)
    return new, judge(scene.history, scene.fits, new, champion) if policy.gated else None


def _following(scene: Scene, new: Candidate, old: Candidate, until: datetime) -> Following | None:
    import numpy as np

    from evergreen.registry.bootstrap import row_losses

    rows = scene.served(new.as_of, until)
    if not len(rows):
        return None
    y = scene.history.meta["_label"].to_numpy(dtype="float64")[rows]
    said = (predictions(scene.history, scene.fits, one.model)[rows] for one in (new, old))
    # By the section `gate`'s metric, whichever a gate is asked about: all are told in the same unit.
    metric = scene.params.gate.metric_of(scene.params.prediction.label.kind)
    losses = [row_losses(metric, y, p) for p in said]
    days, place = np.unique(scene.days[rows], return_inverse=True)
    wanted = scene.params.backtest
    table = mean_by_day(losses[0] - losses[1], place, len(days))
    values = table.figures(drawn(len(days), wanted.resamples, wanted.seed), slice(None))
    return Following(
        until=until,
        rows=len(rows),
        loss=figure(values, len(days), wanted.confidence),
        champion=float(losses[1].mean()),
    )


def _said(verdict: Verdict | None) -> str:
    return "" if verdict is None else f"{verdict.verdict}: {verdict.reason}"


class _Watch:
    """The monitor over one policy's champions."""

    def __init__(self, scene: Scene, champion: Champion) -> None:
        self.scene = scene
        self._of: Champion | None = None
        self._p: Any = None
        self._reference: Any = None
        self._earlier: list[Record] = []
        self._take(champion)

    def alarm(self, champion: Champion, as_of: datetime, records: list[Record]) -> str | None:
        """Record the window that ends at `as_of`, also into `records`; what alarms in it, None where nothing does."""
        if champion is not self._of:
            self._take(champion)
        one = (champion.candidate.name, champion.promoted, self._p, self._reference)
        made = record(self.scene.history, self.scene.params, as_of, one, self._earlier)
        self._earlier.append(made)
        records.append(made)
        return "; ".join(f"{rule.name}: {rule.text}" for rule in made.rules if rule.alarm) or None

    def _take(self, champion: Champion) -> None:
        scene = self.scene
        scene.fits.make(champion.candidate.folds)
        self._of, self._earlier = champion, []
        self._p = predictions(scene.history, scene.fits, champion.candidate.model)
        self._reference = reference(scene.history, scene.fits, champion.candidate)


def alarmed(records: Sequence[Record]) -> tuple[datetime, ...]:
    """The ends of the windows in which a rule alarmed."""
    return tuple(one.end for one in records if one.alarms)
