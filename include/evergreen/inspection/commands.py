"""`evergreen check`: is params.yaml valid, and does it fit the data?"""

from __future__ import annotations

from typing import Annotated

import typer

from evergreen import clock
from evergreen.errors import EvergreenError
from evergreen.inspection.configuration import check_configuration
from evergreen.project import Project
from evergreen.store.base import store_of, where

checks = typer.Typer()


@checks.command()
def check(
    tables: Annotated[list[str] | None, typer.Argument(help="Tables to look at; default: all.")] = None,
    rows: Annotated[int, typer.Option(min=1, help="Rows of each table to look at.")] = 30_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    no_data: Annotated[bool, typer.Option("--no-data", help="Check params.yaml alone; read no source.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Fail where the data gives an error or a warning.")] = False,
) -> None:
    """Check params.yaml, then look at a sample of each table: types, keys, leaks, labels, and what to do about each.

    What is wrong with params.yaml itself fails. What the data shows is printed; with --strict, it fails too.
    """
    project = Project.load()
    check_configuration(project)
    valid = f"{project.root / 'params.yaml'} is valid: {len(project.params.features.names())} features"
    store_of(project.lake).reach()
    if (lake := where(project.home)).startswith("gs://"):
        valid += f"; the lake is in {lake}"
    if no_data:
        typer.echo(valid)
        return
    from evergreen.inspection.inspect import inspect
    from evergreen.inspection.report import print_report

    def tell(table: str) -> None:
        typer.echo(f"asking the source of {table}", err=True)

    found = inspect(project, project.require_tables(tables), clock.now(project.home), rows, tell)
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        print_report(found)
        typer.echo(valid)
    bad = found.count("error") + found.count("warning")
    if strict and bad:
        findings = "1 finding is" if bad == 1 else f"{bad} findings are"
        raise EvergreenError(f"--strict: {findings} an error or a warning")
