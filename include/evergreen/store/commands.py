"""`evergreen lake`: where the lake is, and the way into a bucket and back."""

from __future__ import annotations

import typer

from evergreen.project import Project, find_home

lakes = typer.Typer(no_args_is_help=True, help="Where the lake is, and the way into a bucket and back.")


@lakes.command("where")
def show() -> None:
    """The folder or the bucket that the lake, the reports, the cards and the evidence are in."""
    from evergreen.store.base import store_of, where

    project = Project.load()
    store_of(project.lake).reach()
    typer.echo(where(project.home))


@lakes.command("copy")
def copy_all() -> None:
    """Copy what is in the home to the bucket that EVERGREEN_LAKE_URL names; again, it goes on where it stopped."""
    from rich.console import Console

    from evergreen.store.copy import copy_lake

    with Console(stderr=True).status("looking at what is there") as status:
        done = copy_lake(find_home(), lambda count, of: status.update(f"{count:,} of {of:,} files"))
    typer.echo(f"{done.copied:,} files copied to {done.url}, {done.there:,} were there")


@lakes.command("fetch")
def fetch_all() -> None:
    """Bring all that the bucket has into the home, so that the loop can go on there without it."""
    from evergreen.store.copy import fetch_lake

    home = find_home()
    typer.echo(f"all that is in {fetch_lake(home)} is in {home.root}")
