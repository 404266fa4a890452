"""Commands in the containers of a stack of docker-compose.yaml; what fails ends the program with the command's name.

COMPOSE is the command to use, `docker compose` unless it says otherwise; docker's own variables are obeyed.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COMPOSE = shlex.split(os.environ.get("COMPOSE", "docker compose"))
ARCHIVE = ("python", "-P", "/opt/evergreen/deploy/archive.py")


@contextmanager
def held_files() -> Iterator[subprocess.Popen[bytes]]:
    """The process that keeps `evergreen gc` away, says what it is, and writes the files when it gets a line."""
    process = once("init", *ARCHIVE, "write", "/evergreen", "hold", stdin=subprocess.PIPE)
    try:
        yield process
    finally:
        if not process.stdin.closed:
            process.stdin.close()
        process.stdout.close()
        process.wait(timeout=120)


def once(service: str, *command: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """A command in a new container of a service, with its volumes, which is gone afterwards."""
    return start("run", "--rm", "--no-deps", "-T", "--quiet-pull", service, *command, stdin=stdin)


def exec_(*command: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """A command in the container of PostgreSQL, as its superuser."""
    return start("exec", "-T", "--user", "postgres", "postgres", *command, stdin=stdin)


def start(*arguments: str, stdin: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*COMPOSE, *arguments], stdin=stdin, stdout=subprocess.PIPE)


def rows(statement: str) -> list[list[str]]:
    """What a statement gives, run as the superuser in the database `postgres`."""
    options = ("--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--field-separator=\t", "--set=ON_ERROR_STOP=1")
    text = finished(exec_("psql", "--username=postgres", *options, "--command", statement))
    return [line.split("\t") for line in text.splitlines() if line]


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def finished(process: subprocess.Popen[bytes]) -> str:
    """What a process says. Exits where it fails."""
    said, _ = process.communicate()
    succeeded(process)
    return said.decode()


def keep(process: subprocess.Popen[bytes], path: Path) -> None:
    """Write what a process says into a file, synced to disk. Exits where it fails."""
    with path.open("wb") as stream:
        shutil.copyfileobj(process.stdout, stream, 1 << 20)
        stream.flush()
        os.fsync(stream.fileno())
    process.wait()
    succeeded(process)
    say(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")


def feed(process: subprocess.Popen[bytes], path: Path) -> None:
    """Give a process a file to read. Exits where it fails."""
    with path.open("rb") as stream:
        try:
            shutil.copyfileobj(stream, process.stdin, 1 << 20)
            process.stdin.close()
        except BrokenPipeError:
            pass  # its status tells why
    process.stdout.read()
    process.wait()
    succeeded(process)
    say(f"{path.name} is back")


def succeeded(process: subprocess.Popen[bytes]) -> None:
    if process.returncode:
        command = shlex.join([str(word) for word in process.args])
        raise SystemExit(f"`{command}` failed with status {process.returncode}; see the lines above")


def services() -> list[str]:
    """The services that run now."""
    return finished(start("ps", "--services", stdin=subprocess.DEVNULL)).split()


def run(*arguments: str) -> None:
    """A command of compose that has nothing to say unless it fails."""
    command = [*COMPOSE, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{done.stdout}\n`{shlex.join(command)}` failed with status {done.returncode}")


def say(text: str) -> None:
    """To whoever watches: standard error, as compose does."""
    print(text, file=sys.stderr, flush=True)
