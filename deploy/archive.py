"""A folder of a running stack as a tar, such that whatever a file in it names is in it too; run inside a container.

    python -P deploy/archive.py write /evergreen hold      prints a line, waits for one, then writes the tar to stdout
    python -P deploy/archive.py read /evergreen            unpacks the tar from stdin into a folder that has nothing
    python -P deploy/archive.py facts                      prints that first line alone

Data files never change and are there before anything names them, so what names is taken first and at one moment, and
data afterwards. With `hold` `evergreen gc` is kept away from the first line on: rows that are dumped meanwhile name
files that stay. What belongs to processes that run, and what is made again when it is missing, is left out.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

# Locks and scratch of running processes; a build's worktree and DVC's notes on it, which its tag and the cache bring.
LEFT_OUT = (
    "home/locks", "home/run", "home/logs", "home/builds", "home/backtest", "home/dvc/site", "project/.git/worktrees",
)  # fmt: skip
SMALL = 1 << 20
PATIENCE = 300.0
PASSES = 3
Entry = tuple[str, int, int, int]


def main(what: str, folder: str = "", hold: str = "") -> None:
    """Write or read, as asked."""
    if what == "facts":
        print(json.dumps(facts()))
    elif what == "read":
        read(Path(folder))
    elif hold:
        with kept():
            print(json.dumps(facts()), flush=True)
            if sys.stdin.readline():  # nothing where whoever asked is gone
                write(Path(folder))
    else:
        write(Path(folder))


def kept() -> AbstractContextManager[None]:
    """While this is held, `evergreen gc` frees nothing."""
    from evergreen import locks
    from evergreen.project import find_home

    return locks.using(find_home("/"))


def facts() -> dict[str, str]:
    """Which commit and versions this is, and which key encrypts Airflow's connections, by its hash."""
    from importlib.metadata import version

    git = ["git", "-C", "/opt/evergreen", "rev-parse", "HEAD"]
    head = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    key = hashlib.sha256(os.environ.get("AIRFLOW__CORE__FERNET_KEY", "").encode()).hexdigest()
    return {"commit": head, "fernet_key": key, **{name: version(name) for name in ("apache-airflow", "mlflow", "dvc")}}


def write(root: Path) -> None:
    """The tar to stdout: folders, what names at one moment, data, and git's objects that were packed anew meanwhile."""
    settings = {"format": tarfile.PAX_FORMAT, "bufsize": 1 << 20, "dereference": True}
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|", **settings) as tar:
        for name in folders(root):
            tar.add(root / name, arcname=name, recursive=False)
        named = moment(root)
        for name, content in named.items():
            add(tar, root, name, content)
        written = set(named)
        for others in ("", *[".git/objects/"] * PASSES):
            for entry in list(entries(root)):
                if entry[0] not in written and others in entry[0] and not naming(entry):
                    add(tar, root, entry[0])
                    written.add(entry[0])


def moment(root: Path) -> dict[str, bytes]:
    """What names other files, as it was while none of it changed."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        before = sorted(entry for entry in entries(root) if naming(entry))
        try:
            contents = {name: (root / name).read_bytes() for name, *_ in before}
        except FileNotFoundError:
            continue
        if before == sorted(entry for entry in entries(root) if naming(entry)):
            return contents
    sys.exit(f"{root} changed without a pause for {PATIENCE:.0f} s: try again when less is going on")


def naming(entry: Entry) -> bool:
    """Whether a file names others: manifests, records, and of git all that is no object."""
    name, size, *_ = entry
    parts = Path(name).parts
    if ".git" in parts:
        return "objects" not in parts
    return size <= SMALL and (name.endswith((".json", ".dvc")) or parts[-1] == "dvc.lock")


def folders(root: Path) -> list[str]:
    """Every folder below this one that is not left out; git knows no clone by, say, an empty `refs` that is missing."""
    return [name for name, _ in walk(root) if name != "."]


def walk(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Each folder that is not left out, relative to this one, with its files."""
    for folder, inside, files in os.walk(root):
        name = Path(folder).relative_to(root).as_posix()
        inside[:] = sorted(part for part in inside if f"{name}/{part}".removeprefix("./") not in LEFT_OUT)
        yield name, sorted(files)


def entries(root: Path) -> Iterator[Entry]:
    """Every file that is not left out, with what tells whether it changed."""
    for folder, files in walk(root):
        for file in files:
            name = f"{folder}/{file}".removeprefix("./")
            if ".git" in name.split("/") and file.endswith(".lock"):
                continue
            try:
                status = (root / name).lstat()
            except FileNotFoundError:
                continue
            yield name, status.st_size, status.st_mtime_ns, status.st_ino


def add(tar: tarfile.TarFile, root: Path, name: str, content: bytes | None = None) -> None:
    """One file, of as many bytes as it has now or had at the moment; one that was never named and is gone is none."""
    about = tarfile.TarInfo(name)
    about.mode, about.mtime = 0o644, int(time.time())
    try:
        if (root / name).is_symlink():
            about.type, about.linkname = tarfile.SYMTYPE, os.readlink(root / name)
            tar.addfile(about)
            return
        with (root / name).open("rb") as stream:
            about = tar.gettarinfo(arcname=name, fileobj=stream)
            if content is None:
                tar.addfile(about, stream)
    except FileNotFoundError:
        if content is None:
            return
    if content is not None:
        about.size = len(content)
        tar.addfile(about, io.BytesIO(content))


def read(root: Path) -> None:
    """Unpack stdin into a folder that has nothing, synced to disk."""
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|", bufsize=1 << 20) as tar:
        # Nothing outside of the folder; a Python before 3.11.4 knows no such rule, and the archive's hash was checked.
        tar.extraction_filter = getattr(tarfile, "tar_filter", None)
        tar.extractall(root)
    os.sync()


if __name__ == "__main__":
    main(*sys.argv[1:])
