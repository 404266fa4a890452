"""Lake, reports, cards and evidence in a bucket, which is the truth, and a copy of them in the home of each host.

Who writes puts the file into the bucket first, on the condition that nobody else did (if-generation-match), and then
in its place here: so what is here was there before, and a kill between the two is mended by the next refresh.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from evergreen.errors import LakeError
from evergreen.faults import point
from evergreen.paths import Home
from evergreen.store.bucket import Bucket
from evergreen.store.claim import claim
from evergreen.store.index import Index
from evergreen.store.places import rank, rule, shared_place
from evergreen.store.refresh import COPY, ROUNDS, STAMP, Copy


class Mirror:
    """The store of a home whose lake is in a bucket."""

    def __init__(self, home: Home, bucket: Bucket) -> None:
        self._bucket, self._index, self._root = bucket, Index(home.mirror), home.root

    def put(self, temporary: Path, path: Path) -> None:
        """Into the bucket, then into place here.

        Raises LakeError where other bytes than these are there under a name that never changes, or were written since
        this host last looked.
        """
        place, copy = self._place(path), self._copy
        before = 0 if rule(place) == "once" else copy.index.generation(place)
        for _ in range(ROUNDS):
            generation = copy.bucket.put(place, temporary, before)
            if generation is None:
                generation, before = self._instead(place, temporary, before)
            if generation is not None:
                point("bucket.put")
                self._index.place(place, generation, temporary, path)
                return
        raise LakeError(f"{self._bucket.url}/{place} changes faster than it can be written: run this again")

    def create(self, temporary: Path, path: Path) -> None:
        """Of two hosts at once one wins: the bucket takes the name once."""
        place = self._place(path)
        generation = self._copy.bucket.put(place, temporary, 0)
        if generation is None:
            there = self._bucket.stat(place)
            if there is None or not there.is_content_of(temporary):
                raise FileExistsError(f"{self._bucket.url}/{place}")
            generation = there.generation  # it is this very write, whose answer was lost
        point("bucket.created")
        self._index.place(place, generation, temporary, path)

    def remove(self, path: Path) -> None:
        """From the bucket, what points at others first, and each from here after it."""
        from evergreen.store.base import DISK

        place = self._place(path)
        known = set(self._copy.index.below(f"{place}/"))
        if path.is_dir():
            inside = (shared_place(self._root, file) for file in path.rglob("*") if file.is_file())
            known |= {name for name in inside if name}
        elif not known and (path.exists() or rule(place) == "free" or self._index.generation(place)):
            known = {place}
        for name in sorted(known, key=lambda name: (-rank(name), name)):
            self._bucket.delete(name)
            point("bucket.deleted")
            self._index.drop(name, self._root / name)
        DISK.remove(path)

    def fetch(self, path: Path) -> bool:
        """Ask the bucket for one object, unless it is one that never changes and is here."""
        place, copy = self._place(path), self._copy
        if rule(place) == "once" and path.is_file():
            return True
        for _ in range(ROUNDS):
            there = self._bucket.stat(place)
            if there is None:
                return False
            if copy.bring(there):
                return True
        raise LakeError(f"{self._bucket.url}/{place} changes faster than it can be read: run this again")

    def refresh(self, folder: Path) -> None:
        """One listing, and what is other than here."""
        self._copy.refresh(f"{self._place(folder)}/")

    def reach(self) -> None:
        """Look for the stamp, which is there from the first run on."""
        if self._copy.bucket.stat(STAMP) is None:
            raise LakeError(
                f"{self._bucket.url} has lost the lake that was in it: restore the bucket's objects, or, where the "
                f"copy in {self._root} is the best that is left, {COPY}"
            )

    @cached_property
    def _copy(self) -> Copy:
        """Home and bucket, which are found to belong together."""
        copy = Copy(self._bucket, self._index, self._root)
        claim(copy)
        return copy

    def _instead(self, place: str, temporary: Path, before: int) -> tuple[int | None, int]:
        """The generation of what is there instead of `before`, if it has these bytes; else what may be replaced."""
        there = self._bucket.stat(place)
        if there is None:
            return None, 0  # deleted elsewhere
        if there.is_content_of(temporary):  # written by a run that was killed, or by this one, whose answer was lost
            return there.generation, before
        if rule(place) == "free":
            return None, there.generation
        why = "which never changes" if rule(place) == "once" else "written by another run meanwhile"
        raise LakeError(
            f"{self._bucket.url}/{place} is there with other content, {why}: run this again, which begins with what is "
            "there"
        )

    def _place(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()
