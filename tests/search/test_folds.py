"""No fold learns from what was unknown at its cut-off, whatever the label delays are."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evergreen.clock import naive
from evergreen.errors import EvergreenError
from evergreen.params.search import Folds
from evergreen.search.folds import cut

START = pd.Timestamp("2024-01-01")


def meta(moments: list[int], delays: list[int], labels: list[int]) -> pd.DataFrame:
    """Rows at these hours, whose labels are known so many hours later."""
    time = START + pd.to_timedelta(moments, "h")
    known = time + pd.to_timedelta(delays, "h")
    return pd.DataFrame({"_time": time, "_label_known_at": known, "_label": [float(label) for label in labels]})


rows = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 400), st.booleans()), min_size=8, max_size=150)


@settings(deadline=None, max_examples=150)
@given(rows, st.integers(1, 6), st.integers(0, 10), st.sampled_from([None, 5, 40]), st.randoms())
def test_no_fold_trains_on_a_label_unknown_at_its_cutoff(rows, count, gap, window, random) -> None:
    random.shuffle(rows)  # a feature table is in order of time; nothing here counts on it
    frame = meta(*zip(*rows, strict=True))
    asked = Folds.model_validate(
        {"kind": "sliding" if window else "expanding", "count": count, "gap": f"{gap} days"}
        | ({"window": f"{window} days"} if window else {})
    )
    used = np.flatnonzero(np.arange(len(frame)) % 5 != 0)
    try:
        made = cut(frame, used, asked, 0, "log_loss", "binary")
    except EvergreenError:  # no fold can be used; what it says has a test of its own
        return
    assert len(made.folds) + len(made.left_out) == count
    judged = np.concatenate([fold.validate for fold in made.folds])
    assert len(set(judged)) == len(judged)
    for fold in made.folds:
        assert fold.cutoff is not None
        cutoff, known = pd.Timestamp(naive(fold.cutoff)), frame["_label_known_at"]
        assert known.iloc[fold.train].max() <= cutoff - timedelta(days=gap)
        assert frame["_time"].iloc[fold.validate].min() > cutoff
        if window:
            assert known.iloc[fold.train].min() > cutoff - timedelta(days=gap + window)
        else:
            assert set(fold.train) == set(used[(known <= cutoff - timedelta(days=gap)).to_numpy()[used]])
        assert set(fold.train) | set(fold.validate) <= set(used)


@pytest.mark.parametrize("kind", ["k_fold", "stratified"])
def test_mixed_folds_judge_each_row_once(kind: str) -> None:
    labels = [1] * 20 + [0] * 83
    frame = meta(list(range(103)), [1] * 103, labels)
    made = cut(frame, np.arange(103), Folds.model_validate({"kind": kind, "count": 4}), 0, "roc_auc", "binary")
    assert sorted(np.concatenate([fold.validate for fold in made.folds])) == list(range(103))
    for fold in made.folds:
        assert not set(fold.train) & set(fold.validate)
        assert len(fold.train) + len(fold.validate) == 103
        if kind == "stratified":
            assert frame["_label"].iloc[fold.validate].sum() == 5
    again = cut(frame, np.arange(103), Folds.model_validate({"kind": kind, "count": 4}), 0, "roc_auc", "binary")
    assert all((one.train == two.train).all() for one, two in zip(made.folds, again.folds, strict=True))


def test_a_fold_of_one_class_is_left_out_and_said() -> None:
    labels = [0] * 40 + [0, 1] * 40
    frame = meta(list(range(120)), [1] * 120, labels)
    made = cut(frame, np.arange(120), Folds(), 0, "log_loss", "binary")
    assert len(made.folds) == 2
    assert made.left_out == ("the fold at 2024-01-02T05:00:00Z: 0 true and 29 false labels to learn from",)
    with pytest.raises(EvergreenError, match=r"no fold of the search can be used .* 0 true .* Lower search.folds"):
        cut(frame, np.arange(40), Folds(), 0, "log_loss", "binary")
    late = meta(list(range(120)), [1] * 120, [0, 1] * 40 + [0] * 40)
    assert len(cut(late, np.arange(120), Folds(), 0, "log_loss", "binary").folds) == 3
    assert (
        "roc_auc is not defined for 0 true" in cut(late, np.arange(120), Folds(), 0, "roc_auc", "binary").left_out[-1]
    )


def test_a_number_needs_rows_and_several_classes_two_of_each() -> None:
    values = meta(list(range(40)), [1] * 40, list(np.linspace(0, 9, 40)))
    assert len(cut(values, np.arange(40), Folds(), 0, "mae", "regression").folds) == 3
    classes = meta(list(range(120)), [1] * 120, [0] * 40 + [0, 1, 2, 2] * 20)
    made = cut(classes, np.arange(120), Folds(), 0, "log_loss", "multiclass")
    assert made.left_out == ("the fold at 2024-01-02T05:00:00Z: 29 of class 0 labels to learn from",)
