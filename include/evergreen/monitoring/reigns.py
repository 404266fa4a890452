"""Who was champion when: a span of moments cut at the promotions in it."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from evergreen.ledger import Ledger, Promotion

_TICK = timedelta(microseconds=1)  # the resolution of moments in tables


class Reign(NamedTuple):
    """The moments in (after, until], and their champion; None before the first promotion."""

    after: datetime
    until: datetime
    champion: Promotion | None


def reigns(ledger: Ledger, name: str, after: datetime, until: datetime) -> list[Reign]:
    """Cut (after, until] so that each moment t is with `ledger.champion(name, at=t)`, in order of time.

    A promotion reigns from its `as_of` on, that moment included.
    """
    starts = sorted({promotion.as_of for promotion in ledger.promotions(name) if after < promotion.as_of <= until})
    edges = [after, *(start - _TICK for start in starts if start - _TICK > after), until]
    return [Reign(low, high, ledger.champion(name, at=low + _TICK)) for low, high in pairwise(edges) if low < high]
