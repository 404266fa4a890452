"""Monitor: judge the champion on the labels that became known in the window that ends where the day of `as_of` begins.

One record a champion and window goes into the ledger; run again, it is read back, not made anew: a label corrected
later changes no record, so that what an alarm was raised on stays what it was. Killed anywhere and run again, this ends
with the same record, the same reports and the same request.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from evergreen.clock import format_time
from evergreen.disk import full_disk_is_said
from evergreen.faults import point
from evergreen.files import fetch
from evergreen.ledger import Ledger, Promotion, Window
from evergreen.locks import lock
from evergreen.monitoring.drift import drift_report
from evergreen.monitoring.labelled import left_out
from evergreen.monitoring.late import arrived_late
from evergreen.monitoring.records import Drift, Record
from evergreen.monitoring.reference import read_reference
from evergreen.monitoring.report import write_summary
from evergreen.monitoring.requests import ask_retrain
from evergreen.monitoring.rules import judge
from evergreen.monitoring.served import as_served
from evergreen.monitoring.shift import prediction_shift
from evergreen.monitoring.span import whole_days, window_at
from evergreen.monitoring.verdict import State, state, verdict
from evergreen.monitoring.window import Measured, measure
from evergreen.project import Project
from evergreen.registry.bundle import Bundle, load_bundle

Span = tuple[datetime, datetime]


class MonitorResult(BaseModel):
    """What the window says, and whether a retrain was asked for."""

    model_config = ConfigDict(frozen=True)

    as_of: str
    state: State | Literal["no champion"]
    text: str  # one sentence for people
    build: str | None
    version: int | None
    record: dict[str, Any] | None
    rules: list[dict[str, Any]]
    alarms: list[str]
    request: str | None  # the open request about this champion, new or not
    new_request: bool
    open_requests: list[str]
    summary: str | None  # relative to the use case's reports folder, as is the next
    drift_report: str | None
    refused: list[str] = []  # files of labels and rows that this is measured without, and why


@full_disk_is_said()
def monitor(project: Project, as_of: datetime) -> MonitorResult:
    """Measure, ask the rules, write the reports, and raise a request where a rule alarms.

    Runs on one local day are about one window: the same record, the same reports, the same request.

    Raises RegistryError where the champion's bundle is not what was recorded, LakeError where a file of the lake is
    missing or was altered, and ParamsError for a drift method that cannot be used.
    """
    ledger = Ledger.open(project.home)
    champion = ledger.champion(project.name, at=as_of)
    if champion is None:
        return _no_champion(ledger, project, as_of)
    with lock(project.home, f"{project.name}/monitor"):
        project.refresh()
        bundle = load_bundle(project.home, project.name, champion.build, champion.bundle)
        start, end = window_at(as_of, project.params.monitoring.window, project.params.zone)
        folder = project.home.reports(project.name) / f"{end:%Y%m%dT%H%M%S}-{champion.build}"
        summary = f"{folder.name}/monitor.html"
        refused = left_out(as_served(project, bundle.params))
        record = _record(project, ledger, champion, bundle, (start, end), folder)
        point("monitor.recorded")
        drift = fetch(folder / "drift.html")
        records = [*_earlier(ledger, champion, end), record]
        write_summary(
            project.home.reports(project.name) / summary,
            project.name,
            records,
            verdict(record),
            project.params.zone,
            drift,
        )
        point("monitor.reported")
        request, new = (
            ask_retrain(ledger, project.name, record, summary, project.params.zone) if record.alarms else (None, False)
        )
    return MonitorResult(
        as_of=format_time(as_of),
        state=state(record),
        text=". ".join([verdict(record), *_beside(refused), *([_asked(request, new)] if record.alarms else [])]),
        build=champion.build,
        version=champion.version,
        record=record.model_dump(mode="json"),
        rules=[rule.model_dump(mode="json") for rule in record.rules],
        alarms=record.alarms,
        request=request,
        new_request=new,
        open_requests=[open_.id for open_ in ledger.open_requests(project.name)],
        summary=summary,
        drift_report=f"{folder.name}/drift.html" if drift else None,
        refused=refused,
    )


def _record(project: Project, ledger: Ledger, champion: Promotion, bundle: Bundle, span: Span, folder: Path) -> Record:
    """The window's record: the stored one, with its report restored where that is gone, or a new one."""
    stored = [window for window in ledger.windows(project.name, champion.build) if window.end == span[1]]
    if stored:
        record = Record.model_validate(stored[0].record)
        reported = record.drift is None or record.drift.share is None or fetch(folder / "drift.html")
        if not reported:
            _drift(project, bundle, _measure(project, bundle, record.start, record.end), folder)
        return record
    record = _new_record(project, ledger, champion, bundle, span, folder)
    window = Window(name=project.name, build=champion.build, end=record.end, record=record.model_dump(mode="json"))
    return Record.model_validate(ledger.record_window(window).record)


def _new_record(
    project: Project, ledger: Ledger, champion: Promotion, bundle: Bundle, span: Span, folder: Path
) -> Record:
    params, (start, end) = project.params.monitoring, span
    measured = _measure(project, bundle, start, end)
    training, predicted = bundle.training, bundle.path("reference.parquet")
    reference = read_reference(
        predicted,
        training.learned_until,
        params.window,
        project.params.zone,
        params.min_rows,
        training.kind,
        training.classes,
    )
    drift = _drift(project, bundle, measured, folder)
    point("monitor.drift")
    held = len(whole_days(start, end, project.params.zone))
    min_days = held if params.min_days is None else min(params.min_days, held)
    earlier = _earlier(ledger, champion, end)
    record = Record(
        **measured.performance.model_dump(),
        build=champion.build,
        version=champion.version,
        start=start,
        end=end,
        first_day=measured.first_day,
        last_day=measured.last_day,
        complete_days=measured.complete_days,
        mature=measured.performance.rows >= params.min_rows and measured.complete_days >= min_days,
        min_rows=params.min_rows,
        min_days=min_days,
        unpredicted=measured.unpredicted,
        unlabelled=measured.unlabelled,
        labels=measured.labels,
        arrived_late=arrived_late(measured.before, earlier, start, project.params.zone),
        predecessors=measured.predecessors,
        drift=drift,
        shift=prediction_shift(predicted, measured.said, len(training.classes)),
        strays=measured.strays,
        reference=reference,
    )
    if not record.mature:
        return record
    rules = judge(params.rules, [*earlier, record], reference)
    return record.model_copy(update={"rules": rules})


def _measure(project: Project, bundle: Bundle, start: datetime, end: datetime) -> Measured:
    return measure(as_served(project, bundle.params), bundle.build, start, end, project.params.zone)


def _drift(project: Project, bundle: Bundle, measured: Measured, folder: Path) -> Drift | None:
    """The drift report of the champion's rows in the window; None where there are none."""
    import pyarrow.parquet as pq

    if not measured.performance.rows:
        return None
    features = bundle.params.features
    sample = pq.read_table(bundle.path("sample.parquet"))
    return drift_report(
        measured.inputs, sample, features.names(), features.categorical, project.params.monitoring.drift, folder
    )


def _earlier(ledger: Ledger, champion: Promotion, end: datetime) -> list[Record]:
    """The champion's records since its promotion that ended before `end`, oldest first."""
    return [
        Record.model_validate(window.record)
        for window in ledger.windows(champion.name, champion.build)
        if champion.as_of < window.end < end
    ]


def _beside(refused: list[str]) -> list[str]:
    return [f"Measured without {len(refused)} refused files: {'; '.join(refused)}"] if refused else []


def _asked(request: str | None, new: bool) -> str:
    if new:
        return f"Retrain requested: {request}"
    return f"No new request: {request} about this champion is open" if request else "Asked and answered before"


def _no_champion(ledger: Ledger, project: Project, as_of: datetime) -> MonitorResult:
    return MonitorResult(
        as_of=format_time(as_of),
        state="no champion",
        text=f"no champion at {format_time(as_of)}: nothing to monitor",
        build=None,
        version=None,
        record=None,
        rules=[],
        alarms=[],
        request=None,
        new_request=False,
        open_requests=[request.id for request in ledger.open_requests(project.name)],
        summary=None,
        drift_report=None,
    )
