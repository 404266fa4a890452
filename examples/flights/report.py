"""What the replay prints at its end: what happened week by week, whether a row was lost, and where to look."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.table import Table

from evergreen.features.engine import connect
from evergreen.lake.known import known_rows
from evergreen.lake.manifests import read_manifests
from evergreen.lake.predictions import read_predictions
from evergreen.lake.raw import raw_folder
from evergreen.ledger import Ledger
from evergreen.local.stack import Stack
from evergreen.monitoring.labelled import moments
from evergreen.monitoring.performance import performance
from evergreen.monitoring.records import Performance, Record
from evergreen.project import Project
from evergreen.quality.records import read_validations
from shipped import TABLES, shipped_counts
from world import sent

if TYPE_CHECKING:
    import pyarrow as pa


class Rows(NamedTuple):
    """Rows that a week brought, over all tables."""

    clean: int
    quarantined: int


def rows_brought(project: Project, as_of: datetime) -> Rows:
    """The rows that the ingest of `as_of` committed, by what their validation records say."""
    clean, quarantined = 0, 0
    for table in TABLES:
        records = read_validations(project.lake, table)
        for manifest in read_manifests(raw_folder(project.lake, table)):
            if manifest.as_of == as_of:
                found = [records[file.path] for file in manifest.files]
                quarantined += sum(record.quarantined for record in found)
                clean += sum(record.rows - record.quarantined for record in found)
    return Rows(clean, quarantined)


def pooled(project: Project, until: datetime) -> Performance:
    """Every prediction as it was served, against its label where that is known by `until`."""
    labels = moments(project, until).select("_key", "_label").to_pandas().dropna()
    said = read_predictions(project.lake, columns=["_key", "_scored_as_of", "p"]).to_pandas()
    said = said.sort_values("_scored_as_of").drop_duplicates("_key", keep="first")
    judged = labels.merge(said, on="_key")
    return performance(judged["_label"].to_numpy(), judged["p"].to_numpy())


def print_report(
    console: Console, project: Project, weeks: list[datetime], seconds: dict[str, float], total: float, running: Stack
) -> None:
    """The tables and lines that end the demo."""
    ledger, end = Ledger.open(project.home), weeks[-1]
    console.print(_weeks_table(project, ledger, weeks))
    console.print(_counts_table(project, end))
    console.print("Decisions")
    for decision in reversed(ledger.decisions(project.name)):
        console.print(f"  {decision.as_of:%d %b}  {decision.verdict:<12}  {decision.reason}", highlight=False)
    live = pooled(project, end)
    console.print(f"\n{live.rows} served predictions: ROC AUC {live.roc_auc:.3f}, log-loss {live.log_loss:.3f}")
    phases = ", ".join(f"{name} {spent:.0f} s" for name, spent in seconds.items())
    console.print(f"Took {total:.0f} s: {phases}\n", highlight=False)
    console.print("\n".join(closing_lines(running)), highlight=False)


def closing_lines(running: Stack) -> list[str]:
    """Where the servers are, and what to do next: one command a line, so that each can be pasted."""
    places = {
        "Airflow": f"{running.airflow_url}   user {running.user}, password {running.password}",
        "MLflow": running.mlflow_url,
        **running.others,
    }
    width = max(map(len, places))
    prefix = ".venv/bin/" if running.local else "docker compose exec scheduler "
    return [
        *(f"{name:<{width}}  {place}" for name, place in places.items()),
        "",
        "Next:",
        *(f"  {prefix}{command}" for command in ("evergreen status", "evergreen decisions list")),
        "  make down" if running.local else "  docker compose --profile demo down",
    ]


def _weeks_table(project: Project, ledger: Ledger, weeks: list[datetime]) -> Table:
    table = Table(title="The replayed weeks")
    judged = [window for one in ledger.promotions(project.name) for window in ledger.windows(project.name, one.build)]
    headings = ("week to", "rows in", "quarantined", "late rate", "mean p", "log-loss", "AUC", "alarms", "decision")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("week to", "alarms", "decision") else "right")
    for week in weeks:
        found = [window for window in judged if window.end == week]
        records = [Record.model_validate(window.record) for window in found]
        cells = _judged(max(records, key=lambda record: record.rows)) if records else ["-"] * 5
        verdicts = [decision.verdict for decision in ledger.decisions(project.name) if decision.as_of == week]
        rows = rows_brought(project, week)
        table.add_row(f"{week:%d %b}", f"{rows.clean:,}", f"{rows.quarantined:,}", *cells, ", ".join(verdicts))
    return table


def _judged(record: Record) -> list[str]:
    numbers = (record.rate, record.mean_p, record.log_loss, record.roc_auc)
    shown = ["-" if number is None else f"{number:.3f}" for number in numbers]
    return [*shown, ", ".join(record.alarms) or ("" if record.mature else "immature")]


class Counts(NamedTuple):
    """What came of a table's rows. Doubled is what came more often than it was sent; of rows that are updated, and so
    read again, what counts more than once.
    """

    table: str
    source: str
    shipped: int
    came: int
    quarantined: int
    lost: int
    doubled: int


def _counts_table(project: Project, until: datetime) -> Table:
    table = Table(title="Rows against the shipped data")
    for heading in Counts._fields:
        table.add_column(heading, justify="left" if heading in ("table", "source") else "right")
    for one in counts(project, until):
        table.add_row(one.table, one.source, *(f"{cell:,}" for cell in one[2:]))
    return table


def counts(project: Project, until: datetime) -> list[Counts]:
    """What the lake holds of each table, against what is shipped up to a moment."""
    import pyarrow.parquet as pq

    found = []
    known = known_rows(connect(), project, until)
    for name, shipped in shipped_counts(until).items():
        key = list(project.params.tables[name].key)
        versions = known[name].select(key).to_pyarrow()
        keys = _keys(versions, key)
        came = sum(one.rows for manifest in read_manifests(raw_folder(project.lake, name)) for one in manifest.files)
        held = [record.quarantine for record in read_validations(project.lake, name).values() if record.quarantine]
        kept = [pq.read_table(project.lake / file, columns=key) for file in held]
        lost = shipped - len(keys.union(*(_keys(rows, key) for rows in kept)))
        wanted = sent(name, until)
        doubled = versions.num_rows - len(keys) if wanted is None else came - wanted
        kind, quarantined = project.params.tables[name].source["kind"], sum(rows.num_rows for rows in kept)
        found.append(Counts(name, kind, shipped, came, quarantined, lost, doubled))
    return found


def _keys(rows: pa.Table, key: list[str]) -> set[tuple[object, ...]]:
    return set(zip(*(rows[name].to_pylist() for name in key), strict=True))
