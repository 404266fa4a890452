"""Whether a home and a bucket belong together: asked once by each home, before anything is read or written.

A lake is never begun anew in a bucket while there is one in the home, and never mixed with another one.
"""

from __future__ import annotations

import json

from evergreen.errors import LakeError
from evergreen.store.places import MANIFEST, SHARED, rank, shared_place
from evergreen.store.refresh import COPY, STAMP, Copy

FORMAT = 1


def claim(copy: Copy) -> None:
    """Note that the home's lake is in the bucket, and begin it there where neither has one.

    Raises LakeError where the home has a lake that the bucket does not have, where the bucket has half of one, and for
    a bucket of a newer format.
    """
    if copy.index.url() == copy.bucket.url:
        return
    here = [place for place in local(copy) if rank(place) == MANIFEST or place.startswith("evidence/")]
    stamped = is_stamped(copy)
    if here and not stamped:
        raise LakeError(
            f"there is no lake in {copy.bucket.url} yet, but there is one in {copy.root / 'lake'}: {COPY}. For a new "
            "one, give the loop a home of its own (EVERGREEN_HOME)"
        )
    if not stamped and copy.bucket.list("lake/"):
        raise LakeError(
            f"the lake in {copy.bucket.url} is not whole, it has no {STAMP}: run `evergreen lake copy` in the home "
            "that it comes from, or restore that object"
        )
    there = copy.bucket.list() if here else {}
    manifests = [place for place in here if rank(place) == MANIFEST]
    strange = [place for place in manifests if place not in there or not there[place].is_content_of(copy.root / place)]
    if strange:
        raise LakeError(
            f"the lake in {copy.bucket.url} is another one than that in {copy.root / 'lake'}, which has "
            f"{strange[0]} of its own: move that away to use the bucket's, or name another place and {COPY}"
        )
    stamp(copy)


def local(copy: Copy) -> list[str]:
    """The places of the home's files that belong into the bucket, what points at others last."""
    paths = (path for top in SHARED for path in (copy.root / top).rglob("*") if path.is_file())
    found = [place for path in paths if (place := shared_place(copy.root, path))]
    return sorted(found, key=lambda place: (rank(place), place))


def is_stamped(copy: Copy) -> bool:
    """Whether there is a lake in the bucket; LakeError for one that newer code has written."""
    with copy.index.scratch() as beside:
        if copy.bucket.get(STAMP, beside / STAMP) is None:
            return False
        found = int(json.loads((beside / STAMP).read_bytes())["format"])
    if found > FORMAT:
        raise LakeError(
            f"{copy.bucket.url} is of format {found}, written by a newer Evergreen; this code knows formats up to "
            f"{FORMAT}. Bring the code up to date (`git pull && make setup`)"
        )
    return True


def stamp(copy: Copy) -> None:
    """Say in the bucket, and of this home, that the lake is there."""
    with copy.index.scratch() as beside:
        (beside / STAMP).write_text(json.dumps({"format": FORMAT}))
        copy.bucket.put(STAMP, beside / STAMP, 0)  # or another host has just done it
    copy.index.begin(copy.bucket.url)
