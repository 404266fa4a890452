"""`evergreen sources`: does each source answer, what is in it, and does that go with params.yaml?"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evergreen import clock
from evergreen.errors import EvergreenError, ParamsError
from evergreen.project import Project
from evergreen.sources.catalog import open_source

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.table import Table

sources = typer.Typer(no_args_is_help=True, help="Does each source answer, and what is in it?")

Tables = Annotated[list[str] | None, typer.Argument(help="Tables; default: all of params.yaml.")]
_WIDEST = 24  # characters of a cell


@sources.command()
def check(
    tables: Tables = None,
    rows: Annotated[int, typer.Option(min=1, help="Rows of each table to look at.")] = 1_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Connect, read a few rows, and show what the source has beside what is declared, and what to change.

    Fails where a source cannot be read or a column does not fit. `evergreen check` looks at the values, too.
    """
    from evergreen.inspection.inspect import inspect_schemas
    from evergreen.inspection.report import print_report

    project = Project.load()
    names = project.require_tables(tables)
    _require_options(project, names)
    found, failed = inspect_schemas(project, names, clock.now(project.home), rows)
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        print_report(found)
    if failed:
        raise EvergreenError("not read: " + "\n".join(f"{name}: {reason}" for name, reason in failed.items()))
    if errors := found.count("error"):
        raise EvergreenError(
            f"{errors} column{'s do' if errors > 1 else ' does'} not fit; what to change is said above"
        )


@sources.command()
def sample(
    tables: Tables = None,
    rows: Annotated[int, typer.Option(min=1, help="Rows of each table to show.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: table to its rows.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, of one table.")] = False,
) -> None:
    """Show the first rows of each source with every column that it has, declared or not."""
    project = Project.load()
    names = project.require_tables(tables)
    if as_csv and (as_json or len(names) != 1):
        raise EvergreenError("--csv prints one table, and nothing else: evergreen sources sample TABLE --csv")
    found = {name: _first_rows(project, name, rows) for name in names}
    if as_json:
        shown = {name: table.to_pylist() if table else [] for name, table in found.items()}
        typer.echo(json.dumps(shown, indent=2, default=_text))
    elif as_csv:
        _print_csv(found[names[0]])
    else:
        _print(found)


def _require_options(project: Project, names: list[str]) -> None:
    problems = []
    for name in names:
        try:
            open_source(name, project.params.tables[name].source)
        except ParamsError as error:
            problems.append(str(error))
    if problems:
        raise ParamsError("\n".join(problems))


def _first_rows(project: Project, name: str, rows: int) -> pa.Table | None:
    from evergreen.inspection.samples import first_rows

    seen = first_rows(project, name, rows, clock.now(project.home))
    return None if seen is None or not seen.num_rows else seen.slice(0, rows)


def _print_csv(table: pa.Table | None) -> None:
    from pyarrow import csv

    if table is not None:
        sys.stdout.flush()
        csv.write_csv(table, sys.stdout.buffer)


def _print(found: dict[str, pa.Table | None]) -> None:
    from rich.text import Text

    from evergreen.inspection.report import page

    console = page()
    for name, table in found.items():
        if table is None:
            console.print(Text.assemble(("\n" + name, "bold"), "  the source has no rows yet"))
            continue
        console.print(Text.assemble(("\n" + name, "bold"), f"  the first {table.num_rows:,} rows"))
        console.print(_grid(table, console.width))


def _grid(table: pa.Table, width: int) -> Table:
    """A line a row, or a line a column where the columns do not stand side by side."""
    from rich.table import Table
    from rich.text import Text

    columns = [[name, str(field.type)] for name, field in zip(table.column_names, table.schema, strict=True)]
    for cells, values in zip(columns, table.columns, strict=True):
        cells += ["" if value is None else _text(value) for value in values.to_pylist()]
    across = sum(min(max(map(len, cells)), _WIDEST) + 2 for cells in columns) <= width
    lines = list(zip(*columns, strict=True)) if across else [tuple(cells) for cells in columns]
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    for _ in lines[0]:
        grid.add_column(no_wrap=True, overflow="ellipsis", max_width=_WIDEST)
    for number, line in enumerate(lines):
        about = [number < 2 if across else place < 2 for place in range(len(line))]  # a name or a type
        grid.add_row(*(Text(cell, style="dim" if dim else "") for cell, dim in zip(line, about, strict=True)))
    return grid


def _text(value: Any) -> str:
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)
