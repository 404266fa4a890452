"""`evergreen gc`: show what nothing needs any more, then free it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evergreen.errors import EvergreenError
from evergreen.gc.space import shown
from evergreen.params.retention import Retention
from evergreen.project import Project

if TYPE_CHECKING:
    from evergreen.gc.run import Freed, Progress

cleanup = typer.Typer()
Span = Annotated[str | None, typer.Option(help="In place of params.yaml's, such as `7 days`.")]


@cleanup.command()
def gc(
    yes: Annotated[bool, typer.Option("--yes", help="Free it, without asking.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    candidates: Span = None,
    worktrees: Span = None,
    reports: Span = None,
    logs: Span = None,
) -> None:
    """Show what no tagged build, no snapshot and no open request needs; free it with --yes."""
    from evergreen.gc import run
    from evergreen.local import mlflow

    project = Project.load()
    given = {"candidates": candidates, "worktrees": worktrees, "reports": reports, "logs": logs}
    retention = _retention(project, given)
    mlflow.find(project.home)
    with _progress() as progress:
        result = (run.free if yes else run.find)(project, retention, progress)
    typer.echo(_render(result, freed=yes, as_json=as_json))
    if not yes and not as_json and any(one.count for one in result):
        if sys.stdin.isatty() and typer.confirm("Free it?"):
            with _progress() as progress:
                result = run.free(project, retention, progress)
            typer.echo(_render(result, freed=True, as_json=False))
        else:
            typer.echo("Nothing was freed: `evergreen gc --yes` frees it.")
    if any(one.problem for one in result):
        raise typer.Exit(1)


def _retention(project: Project, given: dict[str, str | None]) -> Retention:
    from pydantic import ValidationError

    wanted = project.params.retention.model_dump() | {key: value for key, value in given.items() if value is not None}
    try:
        return Retention.model_validate(wanted)
    except ValidationError as error:
        problem = error.errors()[0]
        text = str(problem["msg"]).removeprefix("Value error, ")
        raise EvergreenError(f"--{problem['loc'][0]} is `{problem['input']}`: {text}") from None


@contextmanager
def _progress() -> Iterator[Progress]:
    """What is being done, in one line of a terminal; a log is left alone."""
    from rich.console import Console

    with Console(stderr=True).status("") as status:

        def show(kind: str, done: int, of: int) -> None:
            status.update(f"{kind}: {done:,} of {of:,}" if of else kind)

        yield show


def _render(result: Sequence[Freed], freed: bool, as_json: bool) -> str:
    if as_json:
        return json.dumps([one.model_dump(mode="json") for one in result], indent=2)
    lines = [f"{'':<30} {'how many':>8} {'space':>10}  {'freed' if freed else 'can go'} because"]
    lines += [text for one in result for text in _lines(one)]
    total: dict[str, Any] = {"count": sum(one.count for one in result), "size": sum(one.size for one in result)}
    return "\n".join([*lines, f"{'together':<30} {total['count']:>8,} {shown(total['size']):>10}"])


def _lines(one: Freed) -> Iterator[str]:
    if one.count:
        yield f"{one.kind:<30} {one.count:>8,} {shown(one.size):>10}  {one.why}"
    if one.left:
        yield f"{one.kind:<30} {one.left:>8,} {'':>10}  stay: in use, or needed again"
    if one.problem:
        yield f"{one.kind:<30} {'?':>8} {'':>10}  {one.problem}"
