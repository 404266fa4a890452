"""A candidate that cannot be trained is a retrain that failed: the champion goes on serving, as in the loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evergreen.backtest.fits import Fits, NotTrained
from evergreen.backtest.run import backtest, page_of
from evergreen.project import Project
from evergreen.training.fitting import Job
from evergreen.training.pipeline import Recipe
from tests.backtest.test_bad_input import _resend
from tests.backtest.worlds import END, START, world
from tests.data import day
from tests.stages.served import tables
from tests.synthetic import feature_frame, write_features


def test_rows_of_one_outcome_end_one_retrain_and_not_the_backtest(tmp_path: Path) -> None:
    project = world(
        tmp_path, f"period: week, start: '{START}', policies: [sliding_1], gates: {{other: {{every: 1 day}}}}"
    )
    outcomes = tables()["outcomes"]
    learned_from = outcomes["due"].between(*(day(number).replace(tzinfo=None) for number in (22, 54)))
    # Corrected after all retrains, so that until then there is no label in their place.
    true = outcomes[learned_from & (outcomes["late"] > 10)]
    _resend(project, true.assign(late=0.0))

    found = backtest(project, END, processes=1)

    never, ungated, gated = found.policies
    for policy in (ungated, gated, *found.gates):
        assert [(one.failed, one.promoted, one.verdict) for one in policy.retrains] == [(True, False, None)]
        assert "no model can be trained as of 2024-03-01: all" in policy.retrains[0].reason
        assert "are false: a classifier needs both outcomes" in policy.retrains[0].reason
        assert (policy.counts.failed, policy.counts.hurt, policy.counts.missed) == (1, 0, 0)
    page = page_of(project).read_text()
    assert "failed: no model can be trained" in page
    assert "1 failed" in page
    assert never.total.rows == gated.total.rows


@pytest.mark.parametrize("processes", [1, 2])
def test_a_fit_that_is_refused_leaves_the_others_alone(
    make_project: Callable[..., Project], tmp_path: Path, processes: int
) -> None:
    small = make_project()
    frame: pd.DataFrame = write_features(small, feature_frame())
    recipe = Recipe.candidate(small.params)
    rows = np.flatnonzero(frame["_label"].notna())
    good, bad = Job("good", recipe, rows, rows), Job("bad", replace(recipe, options={"max_iter": -1}), rows, rows)
    fits = Fits(small.build / "features.parquet", tmp_path / "fits", "a history", processes=processes)
    try:
        for _ in range(2):
            fits.make([bad, good])
            assert np.isfinite(fits[good].p).all()
            with pytest.raises(NotTrained, match=r"max_iter.*Got -1 instead"):
                fits[bad]
    finally:
        fits.close()
