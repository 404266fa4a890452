"""`evergreen reproduce`."""

from __future__ import annotations

from typing import Annotated

import typer

from evergreen.project import Project

builds = typer.Typer()


@builds.command()
def reproduce(
    which: Annotated[str, typer.Argument(help="A version's number, an alias (`champion`), or a build's id or tag.")],
    keep: Annotated[bool, typer.Option("--keep", help="Leave the worktree in which it was made again.")] = False,
) -> None:
    """Make a version again from its data, code and params, and compare the bytes; exit 1 where any differ."""
    from evergreen.builds.reproduce import reproduce as make_again

    result = make_again(Project.load(), which, keep)
    named = f"version {result.version}, " if result.version else ""
    typer.echo(f"{named}build {result.build}: commit {result.commit[:12]}, snapshot {result.snapshot[:12]}")
    for path, md5 in result.outputs.items():
        same = not any(text.startswith(f"{path}:") for text in result.differences)
        typer.echo(f"  {'same   ' if same else 'DIFFERS'}  {path}  {md5}")
    for title, texts in (
        ("differs", result.differences),
        ("this environment is another", result.environment),
        ("MLflow", result.registry),
    ):
        for text in texts:
            typer.echo(f"{title}: {text}")
    if result.environment:
        typer.echo(f"its own packages: git worktree add ../again {result.tag} && cd ../again && make setup")
    if result.worktree:
        typer.echo(f"left in {result.worktree}")
    typer.echo("byte-identical" if result.identical else "not identical")
    if not result.identical:
        raise typer.Exit(1)
