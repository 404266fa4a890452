"""The groups that the gate judges: each that has rows enough, however many there are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from evergreen.params import Params, load_params_text
from evergreen.registry.groups import segments_of, sensitive_of
from evergreen.training.evaluation.levels import MOST
from tests.conftest import SMALL

LEVELS = MOST + 20


def params(**gate: int) -> Params:
    text = SMALL.replace("evaluation: {", "evaluation: {sensitive: [team], segments: {team: {}}, ")
    limits = f"segments: {{min_rows: {gate['segment']}}}, fairness_min_rows: {gate['group']}}}"
    return load_params_text(text.replace("min_days: 3}", f"min_days: 3, {limits}"))


@pytest.fixture
def frame() -> pd.DataFrame:
    """Many teams, the later ones with fewer rows, and some rows without any."""
    names = [f"t{number:02d}" for number in range(LEVELS)]
    rows = np.repeat([*names, None], [*(100 - np.arange(LEVELS)), 200])
    return pd.DataFrame({"team": pd.Categorical(np.random.default_rng(0).permutation(rows))})


def test_every_level_that_has_rows_enough_is_looked_at(frame: pd.DataFrame) -> None:
    for found in (
        segments_of(params(segment=40, group=200), frame)["team"],
        sensitive_of(params(segment=200, group=40), frame)["team"],
    ):
        texts = frame["team"].astype("object").fillna("missing")
        counts = texts.value_counts()
        expected = sorted(counts.index[counts >= 40])
        assert len(expected) > MOST
        assert list(found.names) == expected
        said = np.array([*found.names, "rare"])[found.place]
        assert list(said) == list(texts.where(texts.isin(expected), "rare"))
        assert found.left_out == LEVELS + 1 - len(expected)


def test_where_none_of_the_others_has_rows_enough_those_that_a_page_lists_are(frame: pd.DataFrame) -> None:
    for found in (
        segments_of(params(segment=200, group=200), frame)["team"],
        sensitive_of(params(segment=200, group=200), frame)["team"],
    ):
        assert (len(found.names), found.left_out) == (MOST, LEVELS + 1 - MOST)
