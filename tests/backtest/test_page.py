from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from evergreen.backtest.page import write_page
from evergreen.backtest.results import BacktestResult, Figure
from evergreen.backtest.run import backtest, page_of
from evergreen.backtest.words import answer
from evergreen.project import Project
from tests.backtest.worlds import END, START, command, world
from tests.monitoring.test_report import Tags


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    settings = (
        f"period: week, start: '{START}', policies: [weekly, triggers], leak: {{roc_auc: 0.6, period_roc_auc: 0.99}}"
    )
    project = world(tmp_path_factory.mktemp("page"), settings)
    backtest(project, END, processes=1)
    return project


def told(project: Project) -> BacktestResult:
    return BacktestResult.model_validate_json(page_of(project).with_suffix(".json").read_bytes())


def test_the_page_stands_alone_and_is_well_formed(replayed: Project) -> None:
    page = page_of(replayed).read_text()
    tags = Tags()
    tags.feed(re.sub(r"<(\w+)([^<>]*)/>", r"<\1\2></\1>", page.replace("<br>", "")))
    assert tags.open == []
    assert tags.seen.count("svg") == 3
    assert not re.search(r"(src|href)=\"?https?:|<script|@import|url\((?!#)", page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids)), "ids of three plots do not meet"
    assert "nan" not in re.sub(r"<[^>]*>", "", page).lower()


def test_the_page_shows_every_policy_retrain_and_suspicion(replayed: Project) -> None:
    page, found = page_of(replayed).read_text(), told(replayed)
    for policy in found.policies:
        assert policy.title in page
    for what in ("Too good to be true?", "backtest.leak.roc_auc 0.6", "Look for a feature that knows the outcome"):
        assert what in page
    assert len(found.suspicions) == len(found.policies), "each is above .6 in total, none above .99 in a week"
    assert all(policy.retrains for policy in found.policies[1:])
    assert "skill: log-loss skill" in page
    assert "bias: |mean p - rate|" in page


def test_figures_are_consistent(replayed: Project) -> None:
    found = told(replayed)
    never, *others = found.policies
    assert sum(one.rows for one in never.periods.values()) == never.total.rows == found.rows
    assert all(figure.value == 0 for figure in never.total.against_never.values())
    for policy in others:
        for name, figure in policy.total.against_never.items():
            mine, base = policy.total.measures[name].value, never.total.measures[name].value
            assert mine is not None
            assert base is not None
            assert figure.value == pytest.approx(mine - base)
            assert figure.low is not None
            assert figure.high is not None
            assert figure.low <= figure.value <= figure.high
        counts = policy.counts
        assert counts.retrains == len(policy.retrains)
        assert counts.promoted == sum(one.promoted for one in policy.retrains)
        assert counts.hurt <= counts.promoted
        assert counts.missed <= counts.retrains - counts.promoted
        if not policy.gated:
            assert counts.promoted == counts.retrains
            assert counts.missed == 0
    drifted = {one.title: one.total.against_never["log_loss"] for one in others}
    assert drifted["weekly, ungated"].side(lower_is_better=True) == "better", "the last two weeks drift"


def test_equal_results_are_equal_bytes_and_names_are_escaped(replayed: Project, tmp_path: Path) -> None:
    found = told(replayed)
    for place in "ab":
        write_page(tmp_path / f"{place}.html", found)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes() == page_of(replayed).read_bytes()
    write_page(tmp_path / "c.html", found.model_copy(update={"suspicions": ("<b>x</b> & y",)}))
    assert "&lt;b&gt;x&lt;/b&gt; &amp; y" in (tmp_path / "c.html").read_text()


def test_the_answer_says_no_more_than_was_shown(replayed: Project) -> None:
    found = told(replayed)
    assert answer(_with(found, -0.01, -0.02, -0.001)).startswith("Yes: every policy is better than never retraining")
    assert answer(_with(found, -0.01, -0.02, 0.001)).startswith("Not shown: no policy differs")
    assert answer(_with(found, 0.01, 0.002, 0.02)).endswith("None has a lower log-loss than never.")
    kept_out = answer(_with(found, 0.0, 0.0, 0.0))
    assert kept_out.startswith("Not shown: no policy differs")
    assert kept_out.endswith("None has a lower log-loss than never.")
    assert answer(_with(found, 0.01, 0.002, 0.02)).startswith(
        "No: none is shown to be better than never retraining, and 4 of 4 policies are worse than"
    )
    better, unknown, worse = ((-0.02, -0.001), (-0.01, 0.01), (0.001, 0.02))
    assert answer(_each(found, better, unknown, unknown, unknown)).startswith(
        "For one policy: 1 of 4 policies is better than never retraining in log-loss beyond chance, the others are not "
        "shown to differ; chance alone shows one policy in 20 so. The lowest log-loss"
    )
    assert answer(_each(found, better, better, better, unknown)).startswith(
        "For some, yes: 3 of 4 policies are better than never retraining in log-loss beyond chance, the others are not "
        "shown to differ. The"
    )
    assert answer(_each(found, better, better, worse, unknown)).startswith(
        "It depends: 2 of 4 policies are better than never retraining in log-loss beyond chance, and 1 of 4 policies "
        "is worse. The"
    )
    assert answer(_with(found, None, None, None)).startswith("It cannot be said")
    assert answer(found.model_copy(update={"policies": found.policies[:1]})).startswith("Only `never`")


def test_the_command_prints_the_table_and_shows_which_fit_of_how_many(
    replayed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = command(replayed, monkeypatch, "--policy", "sliding_1")
    assert "sliding_1, gated" in run.stdout
    assert "weekly" not in run.stdout
    assert f"The page is {page_of(replayed)}" in run.stdout
    assert re.search(r"fit \d+ of \d+ \(model of 2024-03-01 on \d+ days\), \d+ s left", run.stderr)
    as_json = command(replayed, monkeypatch, "--policy", "sliding_1", "--json")
    assert [policy["name"] for policy in json.loads(as_json.stdout)["policies"]] == ["never", "sliding_1", "sliding_1"]


def _with(found: BacktestResult, value: float | None, low: float | None, high: float | None) -> BacktestResult:
    figure = Figure(value=value, low=low, high=high)
    policies = [found.policies[0]]
    for policy in found.policies[1:]:
        total = policy.total.model_copy(update={"against_never": dict.fromkeys(found.measures, figure)})
        policies.append(policy.model_copy(update={"total": total}))
    return found.model_copy(update={"policies": tuple(policies)})


def _each(found: BacktestResult, *intervals: tuple[float, float]) -> BacktestResult:
    """Each policy but never with an interval of its own."""
    made = [_with(found, sum(one) / 2, *one).policies[place] for place, one in enumerate(intervals, start=1)]
    return found.model_copy(update={"policies": (found.policies[0], *made)})
