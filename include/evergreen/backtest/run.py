"""`evergreen backtest`: replay every policy, and write the figures as one JSON and one page.

Fits are shared between policies and kept; a run that was killed goes on with those that it had, to the same bytes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from evergreen.backtest.fits import Fits, Progress
from evergreen.backtest.history import History, read_history
from evergreen.backtest.judge import NOT_REPLAYED
from evergreen.backtest.measures import Measure, measures
from evergreen.backtest.moments import Period
from evergreen.backtest.policies import other_gates, policies
from evergreen.backtest.replay import Scene, planned, replay
from evergreen.backtest.results import BacktestResult, MeasureInfo, PolicyResult
from evergreen.backtest.span import replayed_periods
from evergreen.backtest.summary import Judged, result, suspicions
from evergreen.disk import full_disk_is_said
from evergreen.faults import point
from evergreen.files import write_atomic
from evergreen.locks import lock
from evergreen.project import Project
from evergreen.training.chosen import SearchRecord, chosen_options

PATIENCE = 2.0  # seconds to wait for another backtest, which takes minutes


@full_disk_is_said()
def backtest(
    project: Project,
    as_of: datetime,
    *,
    committed: bool = False,
    show: Callable[[Progress], None] = lambda progress: None,
    processes: int | None = None,
) -> BacktestResult:
    """Replay the history known at `as_of` and write backtest.json and backtest.html; equal inputs give equal bytes.

    `committed` takes data/ and snapshot.json rather than the lake. Raises LakeError where there is neither, and
    EvergreenError where there is too little to replay, a model cannot be trained or search.json does not go with
    params.yaml.
    """
    from evergreen.backtest.page import write_page
    from evergreen.training.threads import one_thread

    cache = project.home.backtest(project.name)
    with lock(project.home, f"{project.name}/backtest", PATIENCE), one_thread():
        for left in cache.rglob(".*.npz.*"):  # by a run that was killed
            left.unlink(missing_ok=True)
        searched = SearchRecord.read(project.search)
        project = _tuned(project, as_of)
        history = read_history(project, as_of, cache, committed)
        spans = replayed_periods(history, project.params)
        fits = Fits(history.features, cache / "fits", history.key, show, processes)
        try:
            found = _replayed(project, history, fits, spans, searched)
        finally:
            fits.close()
        folder = project.home.reports(project.name) / "backtest"
        write_atomic(folder / "backtest.json", found.model_dump_json(indent=1) + "\n")
        point("backtest.told")
        write_page(folder / "backtest.html", found)
    return found


def page_of(project: Project) -> Path:
    """Where the page lies."""
    return project.home.reports(project.name) / "backtest" / "backtest.html"


def _tuned(project: Project, as_of: datetime) -> Project:
    """The project with what a search chose among its options, as the stage `train` takes them.

    That it has looked at labels of gate windows before `as_of` is in the notes of the page, not in a warning.
    """
    training = project.params.training
    options = {**training.options, **chosen_options(project.search, project.params, as_of)}
    params = project.params.model_copy(update={"training": training.model_copy(update={"options": options})})
    return dataclasses.replace(project, params=params)


def _replayed(
    project: Project, history: History, fits: Fits, spans: list[Period], searched: SearchRecord
) -> BacktestResult:
    params = project.params
    scene = Scene(history, fits, params, spans[0].start, spans[-1].end, history.days(params.time_zone))
    chosen = policies(params.backtest)
    others = other_gates(params.backtest)
    fits.make([job for policy in (*chosen, *others) for job in planned(scene, policy)])
    labels = history.meta["_label"].to_numpy(dtype="float64")[history.labelled()]
    compared = measures(params.evaluation.cost, params.prediction.label.kind, float(labels.std()))
    judged = Judged(scene, spans, compared)
    never: Any = None
    made: list[PolicyResult] = []
    for policy in chosen:
        found = replay(scene, policy)
        never = judged.tables(found.p) if never is None else never
        made.append(result(judged, found, never))
    gates = tuple(result(judged, replay(scene, policy), never, by_period=False) for policy in others)
    notes = _notes(project, history, searched)
    return _told(project, history, scene, spans, compared, made, gates, notes)


def _told(
    project: Project,
    history: History,
    scene: Scene,
    spans: list[Period],
    compared: tuple[Measure, ...],
    made: list[PolicyResult],
    gates: tuple[PolicyResult, ...],
    notes: tuple[str, ...],
) -> BacktestResult:
    total, settings = made[0].total, project.params.backtest
    return BacktestResult(
        name=project.name,
        start=scene.start,
        end=scene.end,
        time_zone=project.params.time_zone,
        snapshot=history.snapshot,
        rows=total.rows,
        positives=total.positives,
        periods={one.label: (one.start, one.end) for one in spans},
        corrected=history.corrected(),
        settings=settings,
        cost=project.params.evaluation.cost,
        gate_metric=project.params.gate.metric_of(project.params.prediction.label.kind),
        measures={
            one.name: MeasureInfo(title=one.title, lower_is_better=one.lower_is_better, digits=one.digits)
            for one in compared
        },
        policies=tuple(made),
        gates=gates,
        suspicions=suspicions(made, settings.leak),
        notes=notes,
    )


def _notes(project: Project, history: History, searched: SearchRecord) -> tuple[str, ...]:
    """What a reader must know of how this was made."""
    found = []
    if corrected := history.corrected():
        found.append(
            f"The labels of {corrected:,} rows were corrected after they were first known. The history holds their "
            "newest value alone: before its correction such a row counts as one without a label, so it trains and "
            "judges nothing; the figures are of the newest values."
        )
    if searched.chosen and searched.cutoff:
        found.append(
            f"A search chose {', '.join(searched.chosen)} on labels known by {searched.cutoff:%Y-%m-%d}, and every "
            "model here has them: up to that day all policies, never among them, know more than they could have."
        )
    if project.params.evaluation.cost is None and project.params.prediction.label.kind == "binary":
        found.append("No cost is shown: evaluation.cost in params.yaml says what a miss and a needless warning cost.")
    unasked = [name for name in NOT_REPLAYED if getattr(project.params.gate, name) is not None]
    if unasked:
        found.append(f"Rules of size and latency ({', '.join(unasked)}) are not replayed: no gate here asks them.")
    drift = [name for name, rule in project.params.monitoring.rules.items() if rule.kind == "drift"]
    if drift and "triggers" in project.params.backtest.policies:
        found.append(f"Rules of drift ({', '.join(drift)}) are not replayed: they ask for nothing here.")
    return tuple(found)
