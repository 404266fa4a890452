"""From a home to the bucket that EVERGREEN_LAKE_URL names, and back: lake, reports, cards, evidence of every use case.

What points at others comes after them and the stamp last, so a copy that was interrupted counts for nothing and goes
on where it stopped. What is there already is left, and has to be the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby

from pydantic import BaseModel, ConfigDict

from evergreen.errors import EvergreenError, LakeError
from evergreen.faults import point
from evergreen.paths import Home
from evergreen.store.base import VARIABLE, store_of
from evergreen.store.bucket import Bucket, Stored
from evergreen.store.claim import is_stamped, local, stamp
from evergreen.store.index import Index
from evergreen.store.places import SHARED, rank, rule
from evergreen.store.refresh import THREADS, Copy

Progress = Callable[[int, int], None]  # files that are there, of how many


class Copied(BaseModel):
    """What was brought, and what was there."""

    model_config = ConfigDict(frozen=True)

    url: str
    copied: int
    there: int


def copy_lake(home: Home, progress: Progress = lambda *_: None) -> Copied:
    """Bring all that the bucket lacks. Run it while nothing else runs: what is written meanwhile may be missed.

    Raises LakeError where the bucket has another file under the name of one here, or was written by newer code.
    """
    copy = Copy(Bucket(_url()), Index(home.mirror), home.root)
    is_stamped(copy)
    listed, places = copy.bucket.list(), local(copy)
    missing = [place for place in places if not _is_there(copy, place, listed.get(place))]
    done = len(places) - len(missing)
    with ThreadPoolExecutor(THREADS, "bucket") as pool:
        for _, equals in groupby(missing, key=rank):
            for _ in pool.map(partial(_bring, copy), equals):
                done += 1
                progress(done, len(places))
    stamp(copy)
    return Copied(url=copy.bucket.url, copied=len(missing), there=len(places) - len(missing))


def fetch_lake(home: Home) -> str:
    """Bring all that the bucket has and the home lacks; where it was."""
    url = _url()
    for folder in (home.root / top for top in SHARED):
        store_of(folder).refresh(folder)
    return url


def _url() -> str:
    url = os.environ.get(VARIABLE)
    if not url:
        raise EvergreenError(f"{VARIABLE} does not name a bucket: set it to a place such as gs://bucket/prefix")
    return url


def _is_there(copy: Copy, place: str, stored: Stored | None) -> bool:
    if stored is None:
        return False
    if stored.is_content_of(copy.root / place):
        return True
    if rule(place) == "free":  # a page, drawn again since
        return True
    raise LakeError(
        f"{copy.bucket.url}/{place} is there already, with other content than {copy.root / place}: nothing was copied. "
        f"Name another place in {VARIABLE}"
    )


def _bring(copy: Copy, place: str) -> None:
    if copy.bucket.put(place, copy.root / place, 0) is None:
        stored = copy.bucket.stat(place)
        if stored is None or not stored.is_content_of(copy.root / place):  # else it is ours, and its answer was lost
            raise LakeError(
                f"{copy.bucket.url}/{place}: somebody else writes there: stop the loop, then run this again"
            )
    point("lake.copied")
