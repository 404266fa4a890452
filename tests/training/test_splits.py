from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from evergreen.errors import EvergreenError
from evergreen.params.load import load_params_text
from evergreen.training.splits import fold_of, sample, split
from tests.conftest import SMALL
from tests.synthetic import TIMES, feature_frame

PARAMS = load_params_text(SMALL)


def params(**changes: str):
    text = SMALL
    for old, new in changes.values():
        assert old in text
        text = text.replace(old, new)
    return load_params_text(text)


def test_the_cut_off_is_the_midnight_after_the_last_label() -> None:
    frame = feature_frame()
    parts = split(frame, PARAMS)
    assert parts.cutoff == datetime(2024, 2, 11, 5, tzinfo=UTC)
    assert parts.judge_from == datetime(2024, 2, 4, 5, tzinfo=UTC)


def test_rows_fall_by_when_their_label_was_known() -> None:
    frame = feature_frame()
    parts = split(frame, PARAMS)
    known = frame["_label_known_at"]
    edge = pd.Timestamp("2024-02-04 05:00")
    assert frame["_label"].iloc[parts.model].notna().all()
    assert len(parts.model) == frame["_label"].notna().sum()
    assert (known.iloc[parts.twin] <= edge).all()
    assert (known.iloc[parts.window] > edge).all()
    assert sorted([*parts.twin, *parts.window]) == parts.model.tolist()


def test_a_label_known_exactly_at_the_edge_trains() -> None:
    frame = feature_frame()
    frame.loc[601, TIMES] = pd.Timestamp("2024-02-04 05:00")
    frame.loc[602, TIMES] = pd.Timestamp("2024-02-04 05:00:00.000001")
    parts = split(frame, PARAMS)
    assert 601 in parts.twin
    assert 602 in parts.window


def test_a_label_corrected_in_the_window_neither_trains_the_twin_nor_judges_it() -> None:
    frame = feature_frame()
    before = split(frame, PARAMS)
    corrected, frozen = 301, frame["_label_first_known_at"].copy()
    frame.loc[corrected, "_label_known_at"] = pd.Timestamp("2024-02-07 12:00")
    parts = split(frame, PARAMS)
    assert frame["_label_first_known_at"].equals(frozen)
    assert corrected in before.twin
    assert corrected in parts.model
    assert parts.twin.tolist() == [row for row in before.twin if row != corrected]
    assert parts.window.tolist() == before.window.tolist()


def test_windows_are_whole_local_days_across_daylight_saving() -> None:
    frame = feature_frame()
    for column in ("_time", *TIMES):
        frame[column] = frame[column] + pd.Timedelta(days=32, hours=-1)  # ends on 13 March; summer time from the 10th
    parts = split(frame, PARAMS)
    assert parts.cutoff == datetime(2024, 3, 14, 4, tzinfo=UTC)
    assert parts.judge_from == datetime(2024, 3, 7, 5, tzinfo=UTC)


def test_a_training_window_forgets_older_labels() -> None:
    frame = feature_frame()
    parts = split(frame, params(window=("min_labels: 50", "min_labels: 50, window: 14 days")))
    known = frame["_label_known_at"]
    assert known.iloc[parts.model].min() > pd.Timestamp("2024-01-28 05:00")
    assert known.iloc[parts.twin].min() > pd.Timestamp("2024-01-21 05:00")
    assert set(parts.window) <= set(parts.model)


def test_too_few_labels_say_how_many_are_known() -> None:
    few = params(labels=("min_labels: 50", "min_labels: 5000"))
    with pytest.raises(
        EvergreenError, match=r"needs 5000 .*; \d+ are known at 2024-02-04T05:00:00Z.* \(1176 by then\)"
    ):
        split(feature_frame(), few)
    with pytest.raises(EvergreenError, match=r"label yet: 0 of 1200 rows; training needs 50\. Ingest `outcomes`"):
        split(feature_frame().assign(_label=np.nan), PARAMS)


@pytest.mark.parametrize(("outcome", "word"), [(0.0, "false"), (1.0, "true")])
@pytest.mark.parametrize("everywhere", [True, False])
def test_one_outcome_only_is_an_error_also_where_the_window_has_both(
    outcome: float, word: str, everywhere: bool
) -> None:
    frame = feature_frame()
    learned = frame["_label"].notna() & (everywhere | (frame["_label_known_at"] <= pd.Timestamp("2024-02-04 05:00")))
    frame["_label"] = frame["_label"].mask(learned, outcome)
    message = rf"all \d+ labels known at 2024-02-04T05:00:00Z are {word}: a classifier needs both outcomes"
    with pytest.raises(EvergreenError, match=message):
        split(frame, PARAMS)


def test_folds_are_blocks_of_local_days_in_turn() -> None:
    midnight = pd.Timestamp("2024-01-04 05:00")  # a Thursday, as was 1 January 1970: a block of 7 days begins
    times = pd.Series([midnight + pd.Timedelta(days=day) for day in range(56)])
    folds = fold_of(times, PARAMS)
    assert [len(set(folds[start : start + 7])) for start in range(0, 56, 7)] == [1] * 8
    assert np.diff(folds[::7]).tolist() == [step if step == 1 else -3 for step in np.diff(folds[::7])]
    assert set(folds) == {0, 1, 2, 3}
    before = fold_of(pd.Series([midnight - pd.Timedelta(seconds=1)]), PARAMS)[0]
    assert (before + 1) % 4 == folds[0]


def test_a_sample_is_stable_when_rows_are_added() -> None:
    keys = pd.Series([f"key {number}" for number in range(1000)])
    all_rows = np.arange(1000)
    assert sample(keys, all_rows[:100], 100).tolist() == list(range(100))
    chosen = sample(keys, all_rows, 100)
    assert len(chosen) == 100
    assert (np.diff(chosen) > 0).all()
    longer = pd.concat([keys, pd.Series(["a new key"])], ignore_index=True)
    assert len(set(sample(longer, np.arange(1001), 100)) & set(chosen)) >= 99


NUMBER = ("value: late > 10}", "value: late, kind: regression}")
CLASSES = ("value: late > 10}", "value: late, kind: multiclass, classes: [low, middle, high]}")
FLOOR = ("floor: {roc_auc: 0.5}, ", "")


def test_numbers_that_are_all_the_same_and_classes_that_never_happened_are_errors() -> None:
    frame = feature_frame()
    known = frame["_label"].notna()
    frame["_label"] = frame["_label"].mask(known, 4.5)
    with pytest.raises(EvergreenError, match=r"labels known at .* are 4\.5: a regression needs values that differ"):
        split(frame, params(label=NUMBER, floor=FLOOR))
    frame["_label"] = frame["_label"].mask(known, pd.Series(np.arange(len(frame)) % 2.0))
    with pytest.raises(EvergreenError, match=r"of the classes of the label high is not among .* cannot tell what it"):
        split(frame, params(label=CLASSES, floor=FLOOR))
    # Seen by the twin, but no more by the model, whose window has gone on.
    early = known & (np.arange(len(frame)) < 300)
    frame["_label"] = frame["_label"].mask(early, 2.0)
    split(frame, params(label=CLASSES, floor=FLOOR))
    window = ("min_labels: 50", "min_labels: 50, window: 28 days")
    with pytest.raises(EvergreenError, match="high is not among"):
        split(frame, params(label=CLASSES, floor=FLOOR, window=window))
