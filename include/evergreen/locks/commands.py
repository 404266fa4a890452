"""`evergreen locks`: who holds what."""

from __future__ import annotations

import typer

from evergreen.project import Project

holders = typer.Typer()


@holders.command("locks")
def show() -> None:
    """Who holds which lock, where the locks are rows of the ledger."""
    from evergreen.locks.rows import rows_of

    home = Project.load().home
    rows = rows_of(home)
    if rows is None:
        typer.echo(f"the locks are files in {home.locks}, each freed with the process that holds it")
        return
    held = rows.held()
    if not held:
        typer.echo("nothing is locked")
    for one in held:
        who = f"{one.holder.host}, process {one.holder.pid}"
        state = f"until {one.until:%H:%M:%S}" if not one.left else "left over: free for the next who asks"
        shared = " (shared)" if one.shared else ""
        typer.echo(f"{one.since:%Y-%m-%dT%H:%M:%SZ}  {one.name}{shared}  {state}\n    {one.what}  ({who})")
