"""The model card: what was recorded, nothing else, in one page that acts on nothing."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from evergreen.builds.commit import Commit, commit_build
from evergreen.builds.records import Build
from evergreen.card.facts import Facts, facts_of
from evergreen.card.limits import limits_of
from evergreen.card.page import card
from evergreen.card.sections import definitions
from evergreen.params.card import Card
from evergreen.params.features import Features
from evergreen.project import Project
from evergreen.stages.track import track
from evergreen.training.evaluation.records import Cost, Figure, Segment
from tests.finished import finish, make_clone, open_with_snapshot

NOTHING = Figure(value=None)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A finished build."""
    return finish(open_with_snapshot(make_clone(tmp_path_factory.mktemp("card"), "carded")))


@pytest.fixture(scope="module")
def facts(build: Build) -> Facts:
    """Its facts, with one picture."""
    return facts_of(build.project, build.id, Commit("c0ffee", build.tag), {"roc": b"\x89PNG"})


def test_it_is_stored_once_and_found_by_the_build(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    project = Project.load(build.clone.repository)
    result = track(project, build.id)
    place = project.home.root / str(result.card)
    assert place == project.home.card("carded", build.id)
    page = place.read_text()
    assert commit_build(build).sha in page
    assert page.count("data:image/png;base64,") >= 5
    place.unlink()
    track(project, build.id)
    assert place.read_text() == page, "equal facts, equal bytes"


def test_it_holds_figures_with_intervals_beside_baselines_and_the_lineage(facts: Facts) -> None:
    page = card(facts)
    auc = facts.evaluation.metrics["roc_auc"]
    assert f"<td>{auc.value:.3f} [{auc.low:.3f}, {auc.high:.3f}]</td>" in page
    names = [facts.called(baseline) for baseline in facts.evaluation.baselines]
    assert names[-1] == facts.training.baseline == "logistic"
    for name in names:
        assert f"<th>{name}</th>" in page
    assert "<th>the twin</th>" in page
    assert "The twin is this model as it was before" in page
    assert "early_stopping False, max_iter 20" in page
    for text in (facts.build, "c0ffee", facts.training.model_sha256, facts.snapshot["id"], *facts.outputs.values()):
        assert text in page
    assert facts.training.environment["scikit-learn"] in page
    for heading in ("Data", "Metrics", "Decisions and cost", "Plots", "Segments", "Features", "Limits", "Lineage"):
        assert f"<h2>{heading}</h2>" in page


def test_it_runs_nothing_asks_nobody_and_escapes_what_it_is_told(facts: Facts) -> None:
    words = Card(intended_use="<script>alert(1)</script> & more", limits=("Not for <b>people</b>.",))
    page = card(replace(facts, params=facts.params.model_copy(update={"card": words})))
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in page
    assert "Not for &lt;b&gt;people&lt;/b&gt;." in page
    assert not re.search(r"<script|<link|https?://", page)


def test_limits_say_what_the_figures_do_not(facts: Facts) -> None:
    assert limits_of(facts)[0].startswith("The figures are the twin's")
    weak = tuple(
        one.model_copy(update={"difference": {**one.difference, facts.evaluation.primary: Figure(value=0.1, high=0.3)}})
        for one in facts.evaluation.baselines
    )
    other = replace(facts, evaluation=facts.evaluation.model_copy(update={"baselines": weak}))
    said = [text for text in limits_of(other) if "not shown to be better" in text]
    assert len(said) == len(weak) > 0
    assert said[-1] == "It was not shown to be better than the baseline `logistic` in log_loss."


def test_what_costs_no_less_than_a_baseline_is_a_limit(facts: Facts) -> None:
    cost = Cost(
        false_negative=5, false_positive=1, per_1000=NOTHING, never=NOTHING, always=NOTHING, weights_threshold=1 / 6,
        at_weights_threshold=NOTHING,
    )  # fmt: skip
    for high, expected in ((-1.0, 0), (4.0, 1)):
        difference = {"log_loss": Figure(value=-0.2, high=-0.1), "cost_per_1000": Figure(value=-5.0, high=high)}
        baseline = facts.evaluation.baselines[-1].model_copy(update={"difference": difference})
        evaluation = facts.evaluation.model_copy(update={"cost": cost, "baselines": (baseline,)})
        said = limits_of(replace(facts, evaluation=evaluation))
        assert said.count("It was not shown to be better than the baseline `logistic` in cost_per_1000.") == expected


def test_options_that_a_search_chose_are_marked(facts: Facts) -> None:
    page = card(replace(facts, chosen={"max_iter": 50}))
    assert "early_stopping False, max_iter 50 (searched)" in page


def test_segments_of_too_few_rows_say_so(facts: Facts) -> None:
    few = Segment(levels={"team": "mauve"}, rows=7, days=3, share=0.01, metrics={})
    columns = {"team": (*facts.evaluation.segments.columns["team"], few)}
    segments = facts.evaluation.segments.model_copy(update={"columns": columns})
    page = card(replace(facts, evaluation=facts.evaluation.model_copy(update={"segments": segments})))
    assert "<td>team=mauve</td><td>7</td><td>1.0%</td><td>too few rows</td>" in page


def test_a_sliding_window_is_no_negative_number_of_rows(facts: Facts) -> None:
    """The model's window moves on, so it may have learned from fewer rows than the twin."""
    fewer = facts.training.model_copy(update={"rows": 900, "twin_rows": 1000})
    said = limits_of(replace(facts, training=fewer))[0]
    assert "(900 rows, the twin from 1,000)" in said


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        (Figure(value=0.0, low=0.0, high=0.0), None),
        (Figure(value=0.3), "The window is too short for intervals."),
        (Figure(value=None), "Its log_loss is not defined for the judged rows"),
    ],
)
def test_an_interval_that_begins_at_0_is_one(facts: Facts, figure: Figure, expected: str | None) -> None:
    evaluation = facts.evaluation.model_copy(update={"metrics": {"log_loss": figure}})
    said = [
        text for text in limits_of(replace(facts, evaluation=evaluation)) if "interval" in text or "defined" in text
    ]
    said = [text for text in said if not text.startswith("One window")]
    assert [text for text in said if expected is None or not text.startswith(expected)] == []
    assert bool(said) == (expected is not None)


def test_a_feature_is_told_as_it_is_defined() -> None:
    features = Features.model_validate(
        {
            "row": {"hour": "hour(at)"},
            "latest": {"weather": {"by": ["place"], "columns": ["temp"], "max_age": "6 hours"}},
            "trailing": {"late": {"table": "trips", "by": {"line": "route"}, "mean": "late > 5", "over": "7 days"}},
        }
    )
    assert dict(definitions(features)) == {
        "hour": "hour(at)",
        "temp": 'latest "temp" of weather by place, at most 6 hours old',
        "late": "mean of late > 5 in trips by route, over 7 days",
    }
