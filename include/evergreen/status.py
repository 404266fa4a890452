"""`evergreen status`: data, champion, decisions, open requests and servers, in one answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from evergreen import clock
from evergreen.gc.space import Space, read_space, shown
from evergreen.lake.manifests import SideFile, read_manifests
from evergreen.lake.raw import raw_folder
from evergreen.ledger import Decision, Ledger, Promotion
from evergreen.ledger.approvals import deadline_of, waiting
from evergreen.project import Project
from evergreen.quality.notes import notes_of
from evergreen.quality.records import read_validations
from evergreen.store.base import where


class TableStatus(BaseModel):
    """How fresh a table is at `as_of`, and how many of its rows count."""

    model_config = ConfigDict(frozen=True)

    newest: str | None  # when its newest row became known
    late: str | None  # how late, where it is later than `freshness` allows
    rows: int
    quarantined: int
    rejects: list[str]  # where records that could not be rows are kept, and how many
    refused: list[str]  # files that count for nothing until they are validated, mended or discarded
    discarded: list[str]  # files that count for nothing since someone decided so
    later: str | None = None  # how many rows are known only after `as_of`, and when the last of them is
    notes: list[str] = []  # what broke a rule of severity `warning`, and went on


class Status(BaseModel):
    """Everything a person asks first."""

    model_config = ConfigDict(frozen=True)

    name: str
    as_of: str
    replaying: bool
    lake: str  # where it is
    tables: dict[str, TableStatus]
    champion: dict[str, Any] | None
    decisions: list[dict[str, Any]]
    approvals: list[dict[str, str]]  # decisions that somebody may still approve, and by when
    requests: list[dict[str, Any]]
    servers: dict[str, str]
    urls: dict[str, str]
    space: list[Space]


def read_status(project: Project) -> Status:
    """Ask the lake, the ledger and the servers; needs none of the servers to be up."""
    from evergreen.local import elsewhere, stack

    project.refresh()
    as_of, ledger = clock.now(project.home), Ledger.open(project.home)
    champion = ledger.champion(project.name)
    away = elsewhere.airflow_url()
    servers = elsewhere.status(away) if away else stack.status(project)
    return Status(
        name=project.name,
        as_of=clock.format_time(as_of),
        replaying=clock.replay_time(project.home) is not None,
        lake=where(project.home),
        tables=_tables(project, as_of),
        champion=_champion(ledger, champion) if champion else None,
        decisions=[_decision(decision) for decision in ledger.decisions(project.name, limit=5)],
        approvals=[
            {"id": one.id, "build": str(one.build), "until": clock.format_time(deadline_of(one))}
            for one in waiting(ledger, project.name)
        ],
        requests=[
            {"id": request.id, "as_of": clock.format_time(request.as_of), "reason": request.reason}
            for request in ledger.open_requests(project.name)
        ],
        servers={server.name: server.state if server.healthy else f"{server.state}, not healthy" for server in servers},
        urls={server.name: server.url for server in servers if server.url},
        space=read_space(project.home, project.name),
    )


def _tables(project: Project, as_of: datetime) -> dict[str, TableStatus]:
    from evergreen.features.engine import connect
    from evergreen.lake.known import known_rows, refused_files
    from evergreen.monitoring.freshness import known_later, late_tables, newest_known

    declared = project.params.tables
    records = {name: list(read_validations(project.lake, name).values()) for name in declared}
    readable = [name for name in declared if any(record.clean for record in records[name])]
    ever = known_rows(connect(), project, datetime.max.replace(tzinfo=UTC), readable, refuse=False)
    known = {name: table.filter(table["_known_at"] <= clock.naive(as_of)) for name, table in ever.items()}
    newest = dict.fromkeys(declared, None) | newest_known(known, readable)
    late, later = late_tables(newest, declared, as_of), known_later(ever, as_of)
    return {
        name: TableStatus(
            newest=clock.format_time(moment.replace(tzinfo=UTC)) if (moment := newest[name]) else None,
            late=late.get(name),
            rows=sum(record.rows - record.quarantined for record in records[name] if record.clean),
            quarantined=sum(record.quarantined for record in records[name]),
            rejects=[f"{one.rows} in {one.path}" for one in _rejects(project, name)],
            refused=[text.removeprefix(f"{name}: ") for text in refused_files(project, [name])],
            discarded=[f"{record.raw} {record.discarded}" for record in records[name] if record.discarded],
            later=later.get(name),
            notes=notes_of(records[name]),
        )
        for name in declared
    }


def _rejects(project: Project, table: str) -> list[SideFile]:
    manifests = read_manifests(raw_folder(project.lake, table))
    return [file.rejects for manifest in manifests for file in manifest.files if file.rejects]


def _champion(ledger: Ledger, champion: Promotion) -> dict[str, Any]:
    made = ledger.decision(champion.decision)
    judged = [one for one in ledger.decisions(champion.name) if one.kind == "gate" and one.build == champion.build]
    decision = made if made.kind == "gate" else next(iter(judged), made)
    back = {"rolled_back": f"from {champion.previous_build} by {made.actor}: {made.reason}"}
    return {
        "version": champion.version,
        "build": champion.build,
        "as_of": clock.format_time(champion.as_of),
        "cutoff": clock.format_time(champion.cutoff),
        "metrics": decision.inputs.get("metrics", {}).get("candidate", {}),
        **(back if made.kind == "rollback" else {}),
    }


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "id": decision.id,
        "as_of": clock.format_time(decision.as_of),
        "kind": decision.kind,
        "verdict": decision.verdict,
        "reason": decision.reason,
    }


def render_status(status: Status) -> str:
    """The status as text for a terminal."""
    lines = [f"{status.name} at {status.as_of}" + (" (replayed)" if status.replaying else ""), ""]
    lines.append(f"Data, in {status.lake}" if status.lake.startswith("gs://") else "Data")
    for name, table in status.tables.items():
        note = f"  LATE: {table.late}" if table.late else ""
        lines.append(
            f"  {name:<16} newest {table.newest or 'none':<21} {table.rows:>9,} rows"
            f" {table.quarantined:>6,} quarantined{note}"
        )
        if table.rejects:
            more = f", and {len(table.rejects) - 1} files before it" if len(table.rejects) > 1 else ""
            lines.append(f"    records that could not be rows: {table.rejects[-1]}{more}")
        lines += [f"    does not count: {text}" for text in table.refused]
        lines += [f"    discarded: {text}" for text in table.discarded]
        lines += [f"    {table.later}"] if table.later else []
        lines += [f"    warning: {text}" for text in table.notes]
    lines += ["", "Champion"]
    if status.champion is None:
        lines.append("  none yet: run the retrain DAG")
    else:
        metrics = ", ".join(f"{name} {value:.3f}" for name, value in status.champion["metrics"].items() if value)
        version, build, since = (status.champion[key] for key in ("version", "build", "as_of"))
        known = "not in MLflow" if version is None else f"version {version}"
        lines.append(f"  {known}, build {build}, champion since {since}")
        lines.append(f"  on its gate window: {metrics}")
        if why := status.champion.get("rolled_back"):
            lines.append(f"  rolled back {why}")
    lines += ["", "Decisions"]
    lines += [
        f"  {one['as_of']}  {one['kind']:<9} {one['verdict']:<12} {one['reason']}" for one in status.decisions
    ] or ["  none"]
    if status.approvals:
        lines += ["", "Waiting for an approval"]
        lines += [f"  until {one['until']}  evergreen approve {one['id']}" for one in status.approvals]
    lines += ["", "Open retrain requests"]
    lines += [f"  {one['as_of']}  {one['reason']}" for one in status.requests] or ["  none"]
    lines += ["", "Servers"]
    lines += [f"  {name:<14} {state:<22} {status.urls.get(name, '')}" for name, state in status.servers.items()]
    lines += ["", *_space(status)]
    return "\n".join(lines)


def _space(status: Status) -> list[str]:
    """The kinds that take any space; a blank where a kind is not kept by use case."""
    lines = [f"{'Space':<16} {status.name:>12} {'all':>12} {'files':>9}"]
    for one in status.space:
        if one.total:
            own = "" if one.own is None else shown(one.own)
            lines.append(f"  {one.kind:<14} {own:>12} {shown(one.total):>12} {one.files:>9,}")
    total, files = sum(one.total for one in status.space), sum(one.files for one in status.space)
    return [*lines, f"  {'together':<14} {'':>12} {shown(total):>12} {files:>9,}"]
