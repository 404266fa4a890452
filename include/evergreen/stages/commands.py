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

    project = tracked_project()
    typer.echo(stage(project, decision, actor or this_user() if force else None).model_dump_json(indent=2))


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
    typer.echo(stage(Project.load(), decision, chosen, comment, actor or this_user()).model_dump_json(indent=2))


@champions.command()
def rollback(
    reason: Annotated[str, typer.Option("--reason", help="Why; the ledger keeps it.")],
    to: Annotated[str | None, typer.Option("--to", help="Version or build; default: the champion before.")] = None,
    as_of: Annotated[str | None, typer.Option(help="From when on; default: now.")] = None,
    actor: Actor = None,
) -> None:
    """Make an earlier champion the champion again; scoring uses it at once."""
    from evergreen.stages.rollback import rollback as stage

    project = tracked_project()
    moment = clock.resolve_as_of(project.home, as_of)
    typer.echo(stage(project, reason, actor or this_user(), moment, to).model_dump_json(indent=2))


def tracked_project() -> Project:
    """The project; where it has an MLflow of its own and no variable names another, that one is told."""
    from evergreen.local import mlflow

    project = Project.load()
    mlflow.find(project.home)
    return project


def this_user() -> str:
    """Who runs a command, as the ledger names them."""
    return f"{getpass.getuser()} (command line)"
