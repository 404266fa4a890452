"""Bringing a host's copy up to date: one listing, then what is other there, in an order that misleads no reader.

A manifest or a record is read before what it points at is listed, and put in place after that is here: what it points
at was in the bucket before it, so a reader without a lock never finds one whose files are missing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from evergreen.errors import LakeError
from evergreen.faults import point
from evergreen.store.bucket import Bucket, Stored
from evergreen.store.index import Entry, Index, Look
from evergreen.store.places import MANIFEST, rank

R = TypeVar("R")
log = logging.getLogger(__name__)

STAMP = "format.json"  # as the home's: in the bucket once there is a lake
COPY = "bring it there by `evergreen lake copy`"
ROUNDS = 5  # times that an object may be replaced while it is read
THREADS = 8  # downloads at a time


class Replaced(Exception):
    """An object is another one than was listed: list again."""


class Held(NamedTuple):
    """An object that was read into a file beside, and how the file in its place looked before."""

    stored: Stored
    temporary: Path
    seen: Look | None


@dataclass(frozen=True)
class Copy:
    """A bucket, and the folder that holds the copy."""

    bucket: Bucket
    index: Index
    root: Path

    def refresh(self, prefix: str) -> None:
        """Have all objects here whose name begins so, and nothing that was there and is gone.

        Raises LakeError where a manifest is gone, which nobody ever deletes: nothing is deleted here then.
        """
        for _ in range(ROUNDS):
            try:
                return self._refresh(prefix)
            except Replaced:
                continue
        raise LakeError(f"{self.bucket.url}/{prefix} changes faster than it can be read: run this again")

    def bring(self, stored: Stored) -> bool:
        """Bring one object, unless it is here; False where it is another one by now."""
        try:
            for one in self._stale([stored], self.index.below(stored.name)):
                with self.index.scratch() as beside:
                    self._place(self._read(one, beside))
        except Replaced:
            return False
        return True

    def _refresh(self, prefix: str) -> None:
        known = self.index.below(prefix)  # before the listing: what is not in it then was never there, or is new
        listed = self._listed(prefix, known)
        pointers = self._stale([one for one in listed.values() if rank(one.name)], known)
        with self.index.scratch() as beside:
            held = _each(lambda one: self._read(one, beside), pointers)
            if pointers:
                listed = self._listed(prefix, known)
            data = self._stale([one for one in listed.values() if not rank(one.name)], known)
            _each(lambda one: self._place(self._read(one, beside)), data)
            for one in sorted(held, key=lambda one: (rank(one.stored.name), one.stored.name)):
                self._place(one)
        gone = sorted(known.keys() - listed.keys(), key=lambda name: (-rank(name), name))
        for name in gone:
            self.index.drop(name, self.root / name, known[name].look)
        if pointers or data or gone:
            log.info("%s: %d files brought, %d gone", self.bucket.url, len(pointers) + len(data), len(gone))

    def _listed(self, prefix: str, known: Mapping[str, Entry]) -> Mapping[str, Stored]:
        listed = self.bucket.list(prefix)
        lost = [name for name in known if rank(name) == MANIFEST and name not in listed]
        if lost or (known and not listed and self.bucket.stat(STAMP) is None):
            raise LakeError(
                f"{self.bucket.url} has lost what was in it, such as {min(lost or known)}: restore the bucket's "
                f"objects, or, where the copy in {self.root} is the best that is left, {COPY}"
            )
        return listed

    def _stale(self, listed: Iterable[Stored], known: Mapping[str, Entry]) -> list[Stored]:
        return [one for one in listed if not self._is_current(one, known.get(one.name))]

    def _is_current(self, stored: Stored, entry: Entry | None) -> bool:
        """Whether the file here is that object: as it was noted, or by its content."""
        path = self.root / stored.name
        look = Look.at(path)
        if look is None:
            return False
        if entry == (stored.generation, look):
            return True
        same = stored.is_content_of(path)
        if same:
            self.index.note(stored.name, stored.generation, path)
        return same

    def _read(self, stored: Stored, beside: Path) -> Held:
        """The object in a file beside. Raises Replaced where it is another one by now."""
        seen = Look.at(self.root / stored.name)
        temporary = beside / stored.name.replace("/", "~")
        if self.bucket.get(stored.name, temporary, stored.generation) is None:
            raise Replaced
        os.utime(temporary, (stored.written, stored.written))  # of pages the newest is shown, and leftovers go when old
        point("mirror.read")
        return Held(stored, temporary, seen)

    def _place(self, held: Held) -> None:
        path = self.root / held.stored.name
        path.parent.mkdir(parents=True, exist_ok=True)
        self.index.bring(held.stored.name, held.stored.generation, held.temporary, path, held.seen)
        point("mirror.brought")


def _each(do: Callable[[Stored], R], wanted: list[Stored]) -> list[R]:
    """What `do` gives for each, several at a time; the first error of any."""
    if len(wanted) < 2:
        return [do(one) for one in wanted]
    with ThreadPoolExecutor(THREADS, "bucket") as pool:
        return list(pool.map(do, wanted))
