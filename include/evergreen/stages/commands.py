"""`evergreen promote`, `approve` and `rollback`: what changes the champion, or says that it may."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from evergreen import clock
from evergreen.project import Project

champions = typer.Typer()

Decision = Annotated[str, typer.Argument(help="Id of a gate decision: `evergreen decisions list` has them.")]
Actor = Annotated[str | None, typer.Option("--actor", help="Who says so; default: the user of this machine.")]


@champions.command()
def promote(
    decision: Decision,
    force: Annotated[bool, typer.Option("--force", help="Also a build that was rolled back.")] = False,
    actor: Actor = None,
) -> None:
    """Carry out a decision: move the champion if its verdict, and whoever must approve it, say so."""
    from evergreen.stages.promote import promote as stage

    project = _tracked()
    typer.echo(stage(project, decision, _who(actor) if force else None).model_dump_json(indent=2))


@champions.command()
def approve(
    decision: Decision,
    comment: Annotated[str, typer.Option("--comment", help="Why; the ledger keeps it.")],
    reject: Annotated[bool, typer.Option("--reject", help="Say no.")] = False,
    actor: Actor = None,
) -> None:
    """Answer a decision that waits for an approval; the first answer stands. `evergreen promote` carries it out."""
    from evergreen.stages.approve import Chosen
    from evergreen.stages.approve import approve as stage

    chosen: Chosen = "reject" if reject else "approve"
    typer.echo(stage(Project.load(), decision, chosen, comment, _who(actor)).model_dump_json(indent=2))


@champions.command()
def rollback(
    reason: Annotated[str, typer.Option("--reason", help="Why; the ledger keeps it.")],
    to: Annotated[str | None, typer.Option("--to", help="Version or build; default: the champion before.")] = None,
    as_of: Annotated[str | None, typer.Option(help="From when on; default: now.")] = None,
    actor: Actor = None,
) -> None:
    """Make an earlier champion the champion again; scoring uses it at once."""
    from evergreen.stages.rollback import rollback as stage

    project = _tracked()
    moment = clock.resolve_as_of(project.home, as_of)
    typer.echo(stage(project, reason, _who(actor), moment, to).model_dump_json(indent=2))


def _tracked() -> Project:
    """The project, and the MLflow whose aliases follow its champion."""
    from evergreen.local import mlflow

    project = Project.load()
    mlflow.find(project.home)
    return project


def _who(given: str | None) -> str:
    return given or f"{getpass.getuser()} (command line)"
