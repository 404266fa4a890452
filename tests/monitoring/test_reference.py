from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evergreen.monitoring.reference import read_reference, window_biases

ZONE = ZoneInfo("America/New_York")
WEEK = timedelta(days=7)
CUTOFF = datetime(2013, 4, 1, 4, tzinfo=UTC)  # midnight in New York; the clocks went forward on 10 March


def hours(first: datetime, last: datetime) -> np.ndarray:
    return np.arange(first.replace(tzinfo=None), last.replace(tzinfo=None), timedelta(hours=1)).astype("datetime64[us]")


def test_windows_are_local_weeks_back_from_the_cutoff() -> None:
    known = hours(datetime(2013, 3, 4, 6, tzinfo=UTC), CUTOFF + timedelta(hours=1))
    local = [datetime.fromisoformat(str(k)).replace(tzinfo=UTC).astimezone(ZONE) for k in known]
    # Midnight itself belongs to the week that ends with it: (start, end].
    week = np.array([((moment - timedelta(microseconds=1)).date().toordinal() - 1) // 7 for moment in local])
    monday = week - week.min()
    found = window_biases(known, monday.astype(float), CUTOFF, WEEK, ZONE)

    assert len(found) == 4
    assert len(set(found)) == 4
    assert all(value == int(value) for value in found), "a window mixes two local weeks"


def test_an_oldest_window_that_is_not_whole_is_left_out() -> None:
    start = datetime(2013, 3, 5, 12, tzinfo=UTC)  # a day and a half late
    errors = np.zeros(len(hours(start, CUTOFF)))

    assert len(window_biases(hours(start, CUTOFF), errors, CUTOFF, WEEK, ZONE)) == 3


def test_windows_that_the_monitor_would_not_judge_are_left_out() -> None:
    known = np.concatenate([
        hours(CUTOFF - 3 * WEEK, CUTOFF - 2 * WEEK), hours(CUTOFF - WEEK, CUTOFF)[:5],
    ])  # fmt: skip

    assert len(window_biases(known, np.zeros(len(known)), CUTOFF, WEEK, ZONE, min_rows=50)) == 1


def test_the_sd_is_that_of_the_windows_biases(tmp_path: Path) -> None:
    ends = [CUTOFF - n * WEEK - timedelta(days=1) for n in range(4)]
    known = [end.replace(tzinfo=None) for end in ends for _ in range(10)]
    table = pa.table(
        {
            "_label_known_at": pa.array(known, pa.timestamp("us")),
            "_label": [0.0] * 40,
            "p": np.repeat([0.1, 0.2, 0.3, 0.4], 10),
        }
    )
    pq.write_table(table, tmp_path / "reference.parquet")
    found = read_reference(tmp_path / "reference.parquet", CUTOFF, WEEK, ZONE, min_rows=5)
    moved = pa.array([CUTOFF.replace(tzinfo=None)] * 40, pa.timestamp("us"))  # all were corrected at the cut-off
    now = table.rename_columns(["_label_first_known_at", "_label", "p"]).append_column("_label_known_at", moved)
    pq.write_table(now, tmp_path / "reference.parquet")

    assert read_reference(tmp_path / "reference.parquet", CUTOFF, WEEK, ZONE, min_rows=5) == found
    assert found.windows == 3  # of the oldest, six days are missing
    assert found.rows == 40
    assert found.sd == pytest.approx(0.1)


def test_one_window_has_no_sd(tmp_path: Path) -> None:
    known = [(CUTOFF - timedelta(days=n)).replace(tzinfo=None) for n in range(7)]
    table = pa.table({"_label_known_at": pa.array(known, pa.timestamp("us")), "_label": [0.0] * 7, "p": [0.1] * 7})
    pq.write_table(table, tmp_path / "reference.parquet")

    found = read_reference(tmp_path / "reference.parquet", CUTOFF, WEEK, ZONE, min_rows=1)
    assert (found.sd, found.windows) == (None, 1)
    pq.write_table(table.slice(0, 0), tmp_path / "reference.parquet")
    assert read_reference(tmp_path / "reference.parquet", CUTOFF, WEEK, ZONE, min_rows=1).windows == 0
