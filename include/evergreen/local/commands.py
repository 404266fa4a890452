"""`evergreen up`, `down`, `status` and `demo`: the local stack from the command line."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated

import typer

from evergreen.errors import EvergreenError
from evergreen.project import Project, find_home

servers = typer.Typer()


@servers.command()
def up() -> None:
    """Start Airflow, MLflow and the servers that the sources ask for on loopback; wait until they are healthy."""
    from evergreen.local import stack

    stack.up(Project.load(), progress=typer.echo)


@servers.command()
def down() -> None:
    """Stop what `up` started."""
    from evergreen.local import stack

    stack.stop(find_home())


@servers.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Data, champion, decisions, open requests and servers."""
    from evergreen.status import read_status, render_status

    found = read_status(Project.load())
    typer.echo(found.model_dump_json(indent=2) if as_json else render_status(found))


@servers.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def demo(context: typer.Context) -> None:
    """Start the stack and replay the shipped use case through it (examples/<name>/replay.py)."""
    project = Project.load()
    script = project.root / "examples" / project.name / "replay.py"
    if not script.exists():
        raise EvergreenError(f"`{project.name}` ships no replay: {script} is missing")
    raise SystemExit(subprocess.run([sys.executable, str(script), *context.args], check=False).returncode)
