"""All that a clone, its home and its ledger hold, in a form that is equal where two runs did the same."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from evergreen.builds.records import Record

_SCRATCH = (".evergreen/locks", ".evergreen/dvc/site", ".evergreen/dvc/cache/runs")


def files(root: Path) -> dict[str, str]:
    """Hash of every file of the clone, but for what is scratch, or told by its content elsewhere."""
    found = {}
    for folder, folders, names in os.walk(root):
        place = Path(folder).relative_to(root).as_posix()
        folders[:] = [name for name in folders if f"{place}/{name}" not in _SCRATCH]
        folders[:] = [name for name in folders if name not in ("__pycache__", ".git", "tmp")]
        for name in names:
            if name.startswith("ledger.db") or name == ".git":
                continue
            found[f"{place}/{name}"] = short_hash(_normal(Path(folder, name)))
    return found


def is_hidden(place: str) -> bool:
    """A temporary name, or a place in a temporary folder: readers list neither."""
    inside = place.removeprefix(".evergreen/")
    return any(part.startswith(".") for part in inside.split("/")) or "/run/" in inside


def is_first_record(path: Path) -> bool:
    """Whether a build was opened and has no snapshot yet."""
    return not Record.model_validate_json(path.read_bytes()).files


def _normal(path: Path) -> bytes:
    if path.name == "drift.html":  # Evidently draws it with random ids; its numbers are drift.json's
        return b"page" if path.read_bytes().rstrip().endswith(b"</html>") else b"half a page"
    content = path.read_bytes()
    if path.parent.name == "ledger":
        return re.sub(rb'"committed_at": "[^"]*"', b"", content)
    return content


def refs(root: Path) -> dict[str, str]:
    """The clone's refs, and its worktrees."""
    listed = subprocess.run(["git", "-C", str(root), "show-ref"], capture_output=True, text=True, check=True).stdout
    return {f"git {name}": sha for sha, name in (line.split() for line in listed.splitlines())}


def rows(ledger: Path) -> dict[str, str]:
    """The ledger's rows without the wall time of their recording, and without what was timed."""
    found: dict[str, str] = {}
    if not ledger.exists():
        return found
    with tempfile.TemporaryDirectory() as scratch:  # SQLite would follow /proc/<pid>/root to the file outside of it
        for file in ledger.parent.glob("ledger.db*"):
            shutil.copy(file, scratch)
        with closing(sqlite3.connect(Path(scratch, ledger.name))) as db:
            for table in ("decisions", "promotions", "requests", "answers", "windows"):
                cursor = db.execute(f"select * from {table} order by 1, 3")
                names = [column[0] for column in cursor.description]
                for number, row in enumerate(cursor):
                    kept = dict(zip(names, row, strict=True))
                    del kept["created_at"]
                    if "inputs" in kept:
                        kept["inputs"] = untimed(json.loads(kept["inputs"]))
                    found[f"ledger {table} {kept.get('end', number)}"] = json.dumps(kept)
    return found


def untimed(inputs: dict[str, Any]) -> dict[str, Any]:
    """What a decision stands on, but for how long a prediction took this time."""
    for who in ("latency", "champion_latency"):
        if inputs.get("facts", {}).get(who):
            inputs["facts"][who] = "timed"
    for rule in inputs.get("rules", ()):
        if rule["rule"] == "latency":
            del rule["text"], rule["numbers"]
    return inputs


def pages(folder: Path) -> int:
    """What the files of a folder take on a disk whose pages have 4096 bytes."""
    found = [os.lstat(os.path.join(at, name)).st_size for at, _, names in os.walk(folder) for name in names]
    return sum(-(-size // 4096) * 4096 for size in found)


def difference(found: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, tuple[str | None, str | None]]:
    """The places at which two contents differ: what is there, what should be."""
    return {
        place: (found.get(place), wanted.get(place))
        for place in sorted({*found, *wanted})
        if found.get(place) != wanted.get(place)
    }


def short_hash(content: bytes) -> str:
    """Enough of a SHA-256 to tell contents apart."""
    return hashlib.sha256(content).hexdigest()[:16]


def mirror(source: Path, target: Path) -> None:
    """Make `target` what `source` is; files of the same size and time stay, which a stage leaves most of."""
    target.mkdir(exist_ok=True)
    wanted = {entry.name: entry for entry in os.scandir(source)}
    for entry in list(os.scandir(target)):
        other = wanted.get(entry.name)
        if other is None or entry.is_dir(follow_symlinks=False) != other.is_dir(follow_symlinks=False):
            shutil.rmtree(entry) if entry.is_dir(follow_symlinks=False) else os.unlink(entry)
        elif not entry.is_dir() and _stamp(entry) == _stamp(other):
            del wanted[entry.name]
    for name, entry in wanted.items():
        if entry.is_dir(follow_symlinks=False):
            mirror(Path(entry), target / name)
        else:
            shutil.copy2(entry, target / name, follow_symlinks=False)


def _stamp(entry: os.DirEntry[str]) -> tuple[int, int, int]:
    told = entry.stat(follow_symlinks=False)
    return told.st_size, told.st_mtime_ns, told.st_mode
