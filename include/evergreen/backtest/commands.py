"""`evergreen backtest`: does retraining pay on this data?"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evergreen import clock
from evergreen.errors import EvergreenError
from evergreen.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

    from evergreen.backtest.fits import Progress
    from evergreen.backtest.results import BacktestResult

replays = typer.Typer()
Day = Annotated[str | None, typer.Option(help="Local day in place of params.yaml's, such as 2013-04-01.")]


@replays.command()
def backtest(
    policy: Annotated[
        list[str] | None, typer.Option(help="In place of backtest.policies; give it again for another one.")
    ] = None,
    start: Day = None,
    end: Day = None,
    gates: Annotated[bool, typer.Option(help="Replay the gates of backtest.gates beside params.yaml's own.")] = True,
    as_of: Annotated[str | None, typer.Option(help="Stand at this moment; default: now.")] = None,
    snapshot: Annotated[
        bool, typer.Option("--snapshot", help="Take data/ and snapshot.json as they are rather than the lake.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
) -> None:
    """Replay history for several ways to retrain, and say which of them would have paid."""
    project = asked(
        Project.load(), {"policies": policy or None, "start": start, "end": end} | ({} if gates else {"gates": {}})
    )
    run_and_tell(project, clock.resolve_as_of(project.home, as_of), committed=snapshot, as_json=as_json)


def run_and_tell(project: Project, as_of: datetime, committed: bool = False, as_json: bool = False) -> None:
    """Run it with its progress on stderr, and print what was found."""
    from evergreen.backtest.run import backtest as run
    from evergreen.backtest.run import page_of

    with _progress() as show:
        found = run(project, as_of, committed=committed, show=show)
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
        return
    print_summary(found)
    typer.echo(f"\nThe page is {page_of(project)}, and the figures are in backtest.json beside it.")


def print_summary(found: BacktestResult) -> None:
    """The table of the whole span, and the answer."""
    from rich.console import Console
    from rich.table import Table

    from evergreen.backtest.words import answer, number, signed

    table = Table("policy", box=None, pad_edge=False)
    for measure in found.measures.values():
        table.add_column(measure.title, justify="right")
        table.add_column("- never", justify="right")
    for name in ("retrains", "promoted", "hurt", "missed"):
        table.add_column(name, justify="right")
    for policy in found.policies:
        cells = [policy.title]
        for name, measure in found.measures.items():
            cells.append(number(policy.total.measures[name].value, measure))
            cells.append("" if policy.retrain_never else signed(policy.total.against_never[name].value, measure))
        counts = policy.counts
        cells += [str(count) for count in (counts.retrains, counts.promoted, counts.hurt)]
        table.add_row(*cells, str(counts.missed) if policy.gated else "")
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False, markup=False)
    console.print(table)
    console.print(f"\n{answer(found)}", soft_wrap=True)
    if found.gates:
        console.print()
        console.print(_gates_table(found))
    for text in found.suspicions:
        console.print(f"A leak? {text}", soft_wrap=True)


def _gates_table(found: BacktestResult) -> Table:
    """What each gate of `backtest.gates` let through and kept out."""
    from rich.table import Table

    from evergreen.backtest.gates import NO_GATE, compared, worst_in_words
    from evergreen.backtest.words import number

    much = f"by > {found.settings.margin:.1%}"
    table = Table("policy", "gate", box=None, pad_edge=False)
    for head in (
        "promoted",
        "hurt",
        much,
        "the worst",
        "missed",
        much,
        *(one.title for one in found.measures.values()),
    ):
        table.add_column(head, justify="right")
    for name, rows in compared(found).items():
        for row in rows:
            counts, total = row.policy.counts, row.policy.total.measures
            missed = ("", "") if row.gate == NO_GATE else (str(counts.missed), str(counts.missed_much))
            cells = [f"{counts.promoted} of {counts.retrains}", str(counts.hurt), str(counts.hurt_much)]
            cells += [worst_in_words(found, row), *missed]
            cells += [number(total[key].value, measure) for key, measure in found.measures.items()]
            table.add_row(name, row.gate, *cells)
    return table


def asked(project: Project, given: dict[str, Any]) -> Project:
    """The project with what the command line says in place of params.yaml's section."""
    import dataclasses

    from pydantic import ValidationError

    from evergreen.params.backtest import Backtest

    told = {name: value for name, value in given.items() if value is not None}
    try:
        wanted = Backtest.model_validate(project.params.backtest.model_dump(exclude_unset=True) | told)
    except ValidationError as error:
        problem = error.errors()[0]
        text = str(problem["msg"]).removeprefix("Value error, ")
        raise EvergreenError(f"--{str(problem['loc'][0]).replace('policies', 'policy')}: {text}") from None
    return dataclasses.replace(project, params=project.params.model_copy(update={"backtest": wanted}))


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None]]:
    """Which fit of how many, and how long the known ones will take: in one line of a terminal, else a line a fit."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lambda one: typer.echo(_line(one), err=True)
        return
    with console.status("snapshot and features of the whole history") as status:
        yield lambda one: status.update(_line(one))


def _line(one: Progress) -> str:
    left = "" if one.seconds_left is None else f", {one.seconds_left:.0f} s left"
    return f"fit {one.done} of {one.of} ({one.what}){left}"
