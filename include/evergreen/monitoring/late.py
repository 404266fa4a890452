"""Labels that came after their window was judged: no later window is about them, so they are counted and shown.

That a label was known in its window and only ingested after it is seen from the counts that the window's record keeps:
an ingest's `as_of` does not say it, since a backfill brings everything late.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from evergreen.monitoring.records import Record
from evergreen.monitoring.span import whole_days

if TYPE_CHECKING:
    import pandas as pd

_TICK = timedelta(microseconds=1)  # windows are (start, end]: midnight itself belongs to the day that it ends


def labels_by_day(known: pd.Series[pd.Timestamp], zone: ZoneInfo) -> dict[date, int]:
    """How many of these moments (naive UTC) lie in each local day, from after its midnight to the next."""
    local = (known - _TICK).dt.tz_localize("UTC").dt.tz_convert(zone)
    return dict(sorted(Counter(local.dt.date.tolist()).items()))


def arrived_late(labels: Mapping[date, int], earlier: Sequence[Record], before: datetime, zone: ZoneInfo) -> int:
    """How many `labels` (by day, as known now) the `earlier` records did not count, in days that end by `before`.

    Where windows overlap, a day counts as the record knew it that saw most of it. Records of an older version, which
    kept no counts, say nothing of their days.
    """
    seen: dict[date, int] = {}
    for record in earlier:
        if record.labels is None:
            continue
        for day in whole_days(record.start, min(record.end, before), zone):
            seen[day] = max(seen.get(day, 0), record.labels.get(day, 0))
    return sum(max(0, labels.get(day, 0) - count) for day, count in seen.items())
