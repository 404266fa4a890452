"""`evergreen decisions`: what was decided, on what, and whether it would be again."""

from __future__ import annotations

from textwrap import fill
from typing import Annotated

import typer

from evergreen import clock
from evergreen.errors import EvergreenError
from evergreen.project import Project

WIDTH = 120
decisions = typer.Typer(no_args_is_help=True, help="What was decided, on what, and whether it would be again.")


@decisions.command("list")
def list_all() -> None:
    """The decisions, newest first."""
    from evergreen.ledger.store import Ledger

    project = Project.load()
    found = Ledger.open(project.home).decisions(project.name)
    if not found:
        typer.echo("no decision yet: run the retrain DAG")
    for decision in found:
        moment = clock.format_time(decision.as_of)
        typer.echo(f"{moment}  {decision.kind:<9} {decision.verdict:<13} {decision.id}")
        typer.echo(fill(decision.reason, WIDTH, initial_indent="    ", subsequent_indent="    ") or "    (no reason)")


@decisions.command("show")
def show(
    decision: Annotated[str, typer.Argument(help="Id of a decision, or a part that only it has.")],
    as_json: Annotated[bool, typer.Option("--json", help="The record as the ledger has it.")] = False,
) -> None:
    """One decision: verdict and reason, rules and numbers, models, rows, who and when (as Markdown)."""
    from evergreen.ledger.describe import describe
    from evergreen.ledger.store import Ledger

    project = Project.load()
    ledger = Ledger.open(project.home)
    ids = [found.id for found in ledger.decisions(project.name)]
    meant = [id_ for id_ in ids if id_ == decision] or [id_ for id_ in ids if decision in id_]
    if len(meant) > 1:
        raise EvergreenError(f"`{decision}` is part of {len(meant)} decisions; give more of it: {', '.join(meant)}")
    found = ledger.decision(meant[0] if meant else decision)
    typer.echo(found.model_dump_json(indent=2) if as_json else describe(found), nl=as_json)


@decisions.command("replay")
def replay_all() -> None:
    """Decide every gate decision again from its stored evidence; exit 1 if any verdict differs.

    Of approvals and rollbacks, which people decided, it is checked that what they refer to is in the ledger.
    """
    from evergreen.ledger.replay import replay

    replayed = replay(Project.load())
    for one in replayed:
        outcome = (
            ("same" if one.same else "DIFFERS") if one.kind == "gate" else ("founded" if one.same else "UNFOUNDED")
        )
        typer.echo(f"{outcome:<9}  {one.kind:<9} {one.recorded:<13} {one.id}  {one.problem or ''}".rstrip())
    gates = [one for one in replayed if one.kind == "gate"]
    typer.echo(f"{sum(one.same for one in gates)} of {len(gates)} verdicts are the same")
    if others := [one for one in replayed if one.kind != "gate"]:
        founded = sum(one.same for one in others)
        typer.echo(
            f"{len(others)} decisions of people are not decided again: what {founded} of them refer to is in the ledger"
        )
    if not all(one.same for one in replayed):
        raise typer.Exit(1)


@decisions.command("copy")
def copy_all() -> None:
    """Copy the ledger in the home's file into the database that EVERGREEN_LEDGER_URL names, which has none yet."""
    from evergreen.ledger.copy import copy_ledger

    for table, rows in copy_ledger(Project.load().home).items():
        typer.echo(f"{table:<11}{rows:>7}")
