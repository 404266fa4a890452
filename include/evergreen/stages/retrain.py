"""retrain: is there anything to learn? The first step of a retrain run, which ends it in seconds where there is not.

A skipped night leaves no record: the ledger holds what was decided on evidence, and the run's log says why it ended.
"""

from __future__ import annotations

import logging
from datetime import datetime
from operator import attrgetter

from pydantic import BaseModel, ConfigDict

from evergreen import clock
from evergreen.disk import full_disk_is_said
from evergreen.errors import ParamsError, RegistryError
from evergreen.ledger import Decision, Ledger, Promotion
from evergreen.ledger.approvals import deadline_of, waiting
from evergreen.params import load_params_text
from evergreen.project import Project

log = logging.getLogger(__name__)

# What dvc.yaml tracks of params.yaml: another model comes of the same labels where one of these changes.
SECTIONS = ("time_zone", "tables", "prediction", "features", "preprocess", "training", "search.space", "gate.window")


class BeginResult(BaseModel):
    """Whether to run, and why."""

    model_config = ConfigDict(frozen=True)

    run: bool
    reason: str
    as_of: str
    requests: list[str]  # open at `as_of`
    label_cutoff: str | None  # when the newest label known at `as_of` became known


@full_disk_is_said()
def begin(project: Project, as_of: datetime, force: bool = False) -> BeginResult:
    """Decide whether a retrain as of `as_of` is worth its while.

    It is where labels are known that the last judged build did not have, or the committed params.yaml makes another
    model of those it had, and where a request is open or the last promotion is `gate.every` ago. It is not while
    somebody is asked to approve a build, which a deadline ends. `force` asks for labels alone, and is for a change of
    code, which commits do not tell from one of texts. A request that an earlier decision already covers (the run ended
    between the two) is answered by it here.
    """
    from evergreen.features.labels import label_cutoff

    ledger = Ledger.open(project.home)
    judged = last_judged(ledger, project.name)
    if judged is not None:
        covered = [request.id for request in ledger.open_requests(project.name, judged.as_of)]
        ledger.answer_requests(project.name, covered, judged.id)
    requests = [request.id for request in ledger.open_requests(project.name, as_of)]
    project.refresh()
    known = label_cutoff(project, as_of)
    run, reason = _decide(project, as_of, known, judged, ledger.champion(project.name), requests, force)
    if run and not force and (asked := _asked(ledger, project.name)):
        run, reason = False, asked
    log.info(reason)
    return BeginResult(
        run=run,
        reason=reason,
        as_of=clock.format_time(as_of),
        requests=requests,
        label_cutoff=known and clock.format_time(known),
    )


def _decide(
    project: Project,
    as_of: datetime,
    known: datetime | None,
    judged: Decision | None,
    champion: Promotion | None,
    requests: list[str],
    force: bool,
) -> tuple[bool, str]:
    moment = clock.format_time(as_of)
    if known is None:
        return False, f"no label is known at {moment}: {_without_labels(project, as_of)}"
    if force:
        return True, "asked for with `force`"
    edited = judged and _edited(project, judged)
    if judged is not None and edited is None and (nothing_new := _nothing_new(project, known, judged)):
        left_open = f"; open until there are: {', '.join(requests)}" if requests else ""
        return False, nothing_new + left_open
    if requests:
        return True, f"requested: {', '.join(requests)}"
    if champion is None:
        return True, "there is no champion yet"
    zone, every = project.params.zone, project.params.gate.every
    if clock.back(as_of, every, zone) < champion.as_of:
        due = clock.format_time(clock.back(champion.as_of, -every, zone))
        since = clock.format_time(champion.as_of)
        return False, f"{champion.build} was promoted as of {since}; the next retrain without a request is due at {due}"
    return True, edited or f"labels are known up to {clock.format_time(known)}"


def _asked(ledger: Ledger, name: str) -> str | None:
    """Whose answer is waited for: a second build would only be asked about against the same champion."""
    asked = waiting(ledger, name)
    if not asked:
        return None
    until = clock.format_time(deadline_of(asked[0]))
    return f"{asked[0].build} waits for an approval until {until}; `force` trains another one all the same"


def _without_labels(project: Project, as_of: datetime) -> str:
    """Why there may be no label: no row that could hold one, or none that does."""
    from evergreen.features.engine import connect
    from evergreen.lake.known import known_rows

    name, label = project.params.label_table, project.params.prediction.label
    rows = known_rows(connect(), project, as_of, [name])[name].count().to_pyarrow().as_py()
    if not rows:
        return f"ingest `{name}` and look at what validate quarantined of it"
    text = f"{rows} rows of `{name}` are, and prediction.label.value (`{label.value}`) is null for all of them"
    return f"{text}, or prediction.label.known_at (`{label.known_at}`) lies later" if label.known_at else text


def _nothing_new(project: Project, known: datetime, judged: Decision) -> str | None:
    """Why the last judged build cannot be bettered: it was judged on every day of labels that is known by now."""
    cutoff = clock.parse_time(judged.inputs["candidate"]["cutoff"])
    if clock.ceil_day(known, project.params.zone) > cutoff:
        return None
    return (
        f"labels are known up to {clock.format_time(known)}, and {judged.build} was judged on those up to "
        f"{clock.format_time(cutoff)} already ({judged.verdict}): nothing new to learn from"
    )


def _edited(project: Project, judged: Decision) -> str | None:
    """What the committed params.yaml, which a build runs, makes another model than the last judged build's."""
    from evergreen.builds.git import git
    from evergreen.registry.bundle import load_bundle

    now = load_params_text(git(project.root, "show", "HEAD:./params.yaml"))
    try:
        before = load_bundle(project.home, project.name, str(judged.build)).params
    except (RegistryError, ParamsError) as error:
        return f"whether params.yaml has changed since {judged.build} was judged cannot be told: {error}"
    changed = [name for name in SECTIONS if attrgetter(name)(now) != attrgetter(name)(before)]
    return f"params.yaml has changed since {judged.build} was judged: {', '.join(changed)}" if changed else None


def last_judged(ledger: Ledger, name: str) -> Decision | None:
    """By `as_of`: a backfill that was judged later does not hide what newer labels were judged.

    A decision that does not say what it judged shows of no label that it was used.
    """
    told = [one for one in ledger.decisions(name) if one.build and "cutoff" in one.inputs.get("candidate", {})]
    return max(told, key=lambda decision: decision.as_of, default=None)
