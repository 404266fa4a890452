"""`evergreen`: one command per stage, and the local stack.

A stage command is the same function that the Airflow task calls. What a user can mend is printed as one message and
exit code 1; anything else is a defect and keeps its traceback.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from evergreen import clock
from evergreen.backtest.commands import replays
from evergreen.builds.commands import builds
from evergreen.errors import EvergreenError, ParamsError
from evergreen.gc.commands import cleanup
from evergreen.inspection.commands import checks
from evergreen.ledger.commands import decisions
from evergreen.local.commands import servers
from evergreen.locks.commands import holders
from evergreen.params.places import with_lines
from evergreen.project import Project, find_root
from evergreen.search.commands import searches
from evergreen.sources.commands import sources
from evergreen.stages.commands import champions, this_user, tracked_project
from evergreen.store.commands import lakes

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(checks)
app.add_typer(servers)
app.add_typer(searches)
app.add_typer(cleanup)
app.add_typer(builds)
app.add_typer(replays)
app.add_typer(champions)
app.add_typer(decisions, name="decisions")
app.add_typer(holders)
app.add_typer(sources, name="sources")
app.add_typer(lakes, name="lake")

AsOf = Annotated[str | None, typer.Option(help="The moment to stand at, such as 2013-04-01T04:00Z; default: now.")]
Tables = Annotated[list[str] | None, typer.Argument(help="Tables; default: all of params.yaml.")]
Build = Annotated[str, typer.Argument(help="Build id, such as 20130401T0400-1a2b3c4.")]


def main() -> None:
    """The console script."""
    try:
        if os.environ.get("EVERGREEN_BUILD"):
            from evergreen.builds.process import die_with_parent

            die_with_parent()
        app()
    except EvergreenError as error:
        message = str(error)
        if isinstance(error, ParamsError):
            message = with_lines(message, find_root() / "params.yaml")
        print(f"evergreen: {message}", file=sys.stderr)
        raise SystemExit(1) from None


@app.command()
def ingest(tables: Tables = None, as_of: AsOf = None) -> None:
    """Read what the sources have and the lake does not."""
    from evergreen.stages.ingest import ingest as stage

    project = Project.load()
    moment = clock.resolve_as_of(project.home, as_of)
    _each(project.require_tables(tables), lambda table: stage(project, table, moment))


@app.command()
def validate(
    tables: Tables = None,
    again: Annotated[bool, typer.Option("--again", help="Also where contract or clean file changed since.")] = False,
    discard: Annotated[str | None, typer.Option(help="A refused file of TABLE: it counts for nothing now.")] = None,
    because: Annotated[str | None, typer.Option(help="Why it is discarded; default: what it was refused for.")] = None,
    discarded: Annotated[bool, typer.Option("--discarded", help="Validate discarded files again.")] = False,
) -> None:
    """Check new rows against their contract; quarantine those that break it."""
    from evergreen.stages.validate import validate as stage

    project = Project.load()
    if discard and len(tables or []) != 1:
        raise EvergreenError("--discard needs the one table that the file is of: evergreen validate TABLE --discard ..")
    told: dict[str, Any] = {"discard": discard, "by": this_user(), "because": because, "discarded": discarded}
    _each(project.require_tables(tables), lambda table: stage(project, table, again, **told))


@app.command()
def snapshot(as_of: AsOf = None) -> None:
    """Write the rows known at a moment to data/ and describe them in snapshot.json."""
    from evergreen.stages.snapshot import snapshot as stage

    project = Project.load()
    _show(stage(project, clock.resolve_as_of(project.home, as_of)))


@app.command()
def features() -> None:
    """Make the feature table of the snapshot (a DVC stage)."""
    from evergreen.stages.features import features as stage

    _show(stage(Project.load()))


@app.command()
def train() -> None:
    """Train the twin and the model on the feature table (a DVC stage)."""
    from evergreen.stages.train import train as stage

    _show(stage(Project.load()))


@app.command()
def evaluate() -> None:
    """Judge the twin on the gate window (a DVC stage)."""
    from evergreen.stages.evaluate import evaluate as stage

    _show(stage(Project.load()))


@app.command()
def track(build: Build) -> None:
    """Complete a build's MLflow run, commit and tag it, push it, and register its model."""
    from evergreen.stages.track import track as stage

    _show(stage(tracked_project(), build))


@app.command()
def gate(build: Build, as_of: AsOf = None) -> None:
    """Judge a build against the champion and record the decision."""
    from evergreen.stages.gate import gate as stage

    project = tracked_project()
    _show(stage(project, build, clock.resolve_as_of(project.home, as_of), this_user()))


@app.command()
def score(
    as_of: AsOf = None,
    window: Annotated[str | None, typer.Option(help="How far back to look for unscored rows: `30 days`.")] = None,
) -> None:
    """Predict what is due, with the champion of each row's moment."""
    from evergreen.params.base import parse_duration
    from evergreen.stages.score import score as stage

    try:
        span = parse_duration(window)
    except ValueError as error:
        raise EvergreenError(f"--window is `{window}`: {error}") from None
    project = Project.load()
    _show(stage(project, clock.resolve_as_of(project.home, as_of), window=span))


@app.command()
def monitor(as_of: AsOf = None) -> None:
    """Judge the champion on labels that have become known; ask for a retrain where a rule alarms."""
    from evergreen.stages.monitor import monitor as stage

    project = Project.load()
    _show(stage(project, clock.resolve_as_of(project.home, as_of)))


@app.command()
def docs(
    check_only: Annotated[bool, typer.Option("--check", help="Fail if the page is not up to date.")] = False,
) -> None:
    """Write docs/params.md from the models of params.yaml."""
    from evergreen.params.docs import render_params_page
    from evergreen.sources.catalog import SOURCES

    page, path = render_params_page(SOURCES), Path("docs/params.md")
    if not check_only:
        path.write_text(page)
    elif not path.exists() or path.read_text() != page:
        raise EvergreenError(f"{path} is out of step with the models; run `evergreen docs` and commit it")


def _each(tables: list[str], run: Any) -> None:
    """Run a stage table by table; one table's failure does not keep the others from theirs."""
    failures = []
    for table in tables:
        try:
            _show(run(table))
        except EvergreenError as error:
            failures.append(f"{table}: {str(error).removeprefix(f'{table}: ')}")
    if failures:
        raise EvergreenError("\n".join(failures))


def _show(result: BaseModel) -> None:
    typer.echo(json.dumps(result.model_dump(mode="json"), indent=2, ensure_ascii=False))
