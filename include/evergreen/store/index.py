"""What this host knows of the bucket: which generation of an object its file is, by size and date of the file.

It is a cache, in SQLite since several processes write it: without it, files are compared by content, once. Its writing
transaction is also the lock under which files are put in place here, so that of a reader who brings what he found a
while ago, and a writer who has just replaced it, the writer's file stays.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from evergreen.errors import LakeError

BUSY = 60.0  # seconds to wait for another process, which holds it for a rename
SCRATCH = ".get."  # begins the names of what is on its way here
_TABLES = """
CREATE TABLE IF NOT EXISTS bucket (url TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS objects
    (name TEXT PRIMARY KEY, generation INTEGER NOT NULL, size INTEGER NOT NULL, changed INTEGER NOT NULL) WITHOUT ROWID;
"""


class Look(NamedTuple):
    """A file as it looks without being read."""

    size: int
    changed: int  # nanoseconds

    @classmethod
    def at(cls, path: Path) -> Look | None:
        """The file at `path`; None where there is none."""
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return cls(found.st_size, found.st_mtime_ns)


class Entry(NamedTuple):
    """An object that was here: its generation, and how its file looked."""

    generation: int
    look: Look


class Index:
    """The cache in the home's folder `mirror/`."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / "index.db"

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder beside for files that are to be put in place; `evergreen gc` removes what a kill left."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=SCRATCH) as folder:
            yield Path(folder)

    def url(self) -> str | None:
        """The bucket's place that all of this is about; None before anything is."""
        if not self._path.exists():
            return None
        with self._open() as connection:
            row = connection.execute("SELECT url FROM bucket").fetchone()
        return row and str(row[0])

    def begin(self, url: str) -> None:
        """Be about the place `url`; what is known of another is forgotten."""
        with self._writing() as connection:
            connection.execute("DELETE FROM objects WHERE NOT EXISTS (SELECT 1 FROM bucket WHERE url = ?)", (url,))
            connection.execute("DELETE FROM bucket")
            connection.execute("INSERT INTO bucket VALUES (?)", (url,))

    def below(self, prefix: str) -> dict[str, Entry]:
        """What is known of the objects whose name begins so."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT name, generation, size, changed FROM objects WHERE substr(name, 1, ?) = ?",
                (len(prefix), prefix),
            ).fetchall()
        return {name: Entry(generation, Look(size, changed)) for name, generation, size, changed in rows}

    def generation(self, name: str) -> int:
        """The generation of an object; 0 where none is known."""
        with self._open() as connection:
            row = connection.execute("SELECT generation FROM objects WHERE name = ?", (name,)).fetchone()
        return row[0] if row else 0

    def place(self, name: str, generation: int, temporary: Path, path: Path) -> None:
        """Put a file in place and note what it is."""
        with self._writing() as connection:
            os.replace(temporary, path)
            _note(connection, name, generation, path)

    def bring(self, name: str, generation: int, temporary: Path, path: Path, seen: Look | None) -> None:
        """The same, unless the file looks otherwise than it was `seen`: then somebody here wrote a newer one."""
        with self._writing() as connection:
            if Look.at(path) == seen:
                os.replace(temporary, path)
                _note(connection, name, generation, path)

    def note(self, name: str, generation: int, path: Path) -> None:
        """Note that the file that is there is that generation."""
        with self._writing() as connection:
            _note(connection, name, generation, path)

    def drop(self, name: str, path: Path, seen: Look | None = None) -> None:
        """Delete a file whose object is gone, and forget the object; nothing where it looks otherwise than `seen`.

        Then somebody here put another one in its place, which the next listing has or has not.
        """
        with self._writing() as connection:
            if seen is None or Look.at(path) in (None, seen):
                path.unlink(missing_ok=True)
                connection.execute("DELETE FROM objects WHERE name = ?", (name,))

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = self._connect()
        try:
            yield connection
        except sqlite3.Error as error:
            raise LakeError(f"{self._path} cannot be used: {error}; it may be removed, it is only a cache") from None
        finally:
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _connected(self._path)
        except sqlite3.OperationalError as error:
            raise LakeError(f"{self._path} cannot be used: {error}; it may be removed, it is only a cache") from None
        except sqlite3.DatabaseError:  # something else wrote to it, or the machine went down
            for file in (self._path, self._path.with_name(f"{self._path.name}-journal")):
                file.unlink(missing_ok=True)
            return _connected(self._path)


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous=OFF")
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'objects'").fetchone():
            connection.executescript(_TABLES)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _note(connection: sqlite3.Connection, name: str, generation: int, path: Path) -> None:
    look = Look.at(path)
    if look is not None:
        connection.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", (name, generation, *look))
