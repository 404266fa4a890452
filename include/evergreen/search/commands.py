"""`evergreen search`: look for better options of the estimator, and write search.json."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import typer

from evergreen.project import Project

searches = typer.Typer()


@searches.command()
def search(
    step: Annotated[
        Literal["plan", "trials", "choose"] | None,
        typer.Option(help="Only `plan`, `trials` or `choose`, as the retrain DAG's tasks do."),
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="Write a search.json without a search.")] = False,
) -> None:
    """Try options of the estimator on build/features.parquet, and write what is best to search.json."""
    from evergreen.stages import search as stage

    project = Project.load()
    try:
        result = stage.search_nothing(project) if none else stage.search(project, step, partial(typer.echo, err=True))
    except KeyboardInterrupt:
        typer.echo("interrupted: the trials that have ended are kept, and `evergreen search` goes on", err=True)
        raise
    typer.echo(result.model_dump_json(indent=2))
