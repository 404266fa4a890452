"""The stage: what it tries, what it chooses, and what is left of it when something goes wrong."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from evergreen.clock import naive
from evergreen.errors import EvergreenError, ParamsError
from evergreen.project import Project
from evergreen.search.plan import plan_search
from evergreen.search.study import Study
from evergreen.stages.search import search, search_nothing
from evergreen.stages.train import train
from evergreen.training.chosen import SearchRecord
from evergreen.training.estimators import CATALOG, find
from evergreen.training.splits import split
from tests.ledger.stores import in_postgres
from tests.search.conftest import SPACE, MakeSearch, in_process, with_search
from tests.servers import PostgresServer
from tests.synthetic import feature_frame, write_features

GRID = "{method: grid, space: {max_iter: {int: [5, 25], step: 10}, max_leaf_nodes: [7, 15]}}"
OPTUNA = f"{{method: optuna, trials: 16, space: {SPACE}}}"


def written(project: Project) -> dict[str, Any]:
    """search.json."""
    found: dict[str, Any] = json.loads(project.search.read_text())
    return found


@pytest.mark.parametrize("section", [GRID, f"{{trials: 4, space: {SPACE}}}", OPTUNA])
def test_the_best_by_its_mean_over_the_folds_is_chosen_and_trained(make_search: MakeSearch, section: str) -> None:
    project = make_search(section)
    result = search(project)
    record = SearchRecord.read(project.search)
    assert result.ended == result.planned == record.planned + 1 == len(record.trials)
    assert [trial.number for trial in record.trials] == list(range(result.planned))
    assert record.trials[0].parameters == {}
    complete = [trial for trial in record.trials if trial.state == "complete"]
    assert min(complete, key=lambda trial: trial.score or 0).parameters == record.chosen == result.chosen
    for trial in complete:
        assert trial.score == pytest.approx(np.mean(trial.scores))
        assert len(trial.scores) == len(record.folds) == 3
    assert all(set(trial.parameters) == set(record.space) for trial in record.trials[1:])
    first = project.search.read_bytes()
    assert search(project) == result, "what has ended is not run again"
    assert project.search.read_bytes() == first

    tuned = train(project).model_sha256
    search_nothing(project)
    assert (train(project).model_sha256 == tuned) is (record.best == 0)


def test_a_grid_tries_every_point(make_search: MakeSearch) -> None:
    project = make_search(GRID)
    search(project)
    tried = [trial["parameters"] for trial in written(project)["trials"][1:]]
    assert tried == [{"max_iter": i, "max_leaf_nodes": n} for i in (5, 15, 25) for n in (7, 15)]


def test_optuna_gives_up_what_is_worse_than_the_median(make_search: MakeSearch) -> None:
    project = make_search("{method: optuna, trials: 16, space: {learning_rate: {float: [0.0001, 1], log: true}}}")
    result = search(project)
    assert result.pruned
    for trial in written(project)["trials"]:
        assert (trial["state"] == "pruned") is (len(trial["scores"]) < 3)


def test_the_gate_window_and_what_was_known_later_are_not_looked_at(make_search: MakeSearch) -> None:
    project = make_search()
    search(project)
    frame = feature_frame()
    judge_from = split(frame, project.params).judge_from
    assert written(project)["cutoff"] == judge_from.isoformat().replace("+00:00", "Z")
    later = frame["_label_known_at"] > naive(judge_from)
    assert later.sum() > 100
    turned = frame.assign(_label=(1 - frame["_label"]).where(later, frame["_label"]))
    other = make_search(place="turned")
    write_features(other, turned)
    search(other)
    mine, others = written(project), written(other)
    assert mine.pop("features") != others.pop("features")
    assert mine == others


@pytest.mark.parametrize("section", [GRID, f"{{trials: 6, space: {SPACE}}}"])
def test_workers_side_by_side_find_the_same(make_search: MakeSearch, section: str) -> None:
    alone, shared = make_search(section), make_search(section, "shared")
    search(alone)
    search(shared, "plan")
    with pytest.raises(EvergreenError, match=r"7 of 7 trials of the search .* have not ended: run its trials again"):
        search(shared, "choose")
    workers = [in_process(shared, "--step", "trials") for _ in range(3)]
    for worker in workers:
        _, err = worker.communicate()
        assert worker.returncode == 0, err
    search(shared, "choose")
    assert shared.search.read_bytes() == alone.search.read_bytes()
    plan = plan_search(shared)
    study = Study(shared.home, plan)
    assert sum(len(one.trials) for one in study._studies.values()) == len(plan.numbers), "no trial ran twice"


def test_workers_whose_locks_are_rows_run_each_trial_once(
    make_search: MakeSearch, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, shared = make_search(GRID), make_search(GRID, "shared")
    search(alone)
    monkeypatch.setenv("EVERGREEN_LEDGER_URL", in_postgres(postgres_server).url)
    search(shared, "plan")
    workers = [in_process(shared, "--step", "trials") for _ in range(2)]
    for worker in workers:
        _, err = worker.communicate()
        assert worker.returncode == 0, err
    plan = plan_search(shared)
    study = Study(shared.home, plan)
    assert sum(len(one.trials) for one in study._studies.values()) == len(plan.numbers), "no trial ran twice"
    search(shared, "choose")
    assert shared.search.read_bytes() == alone.search.read_bytes()


def test_the_trial_of_a_worker_that_is_lost_with_its_host_is_run_by_who_is_left(
    make_search: MakeSearch, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, store = make_search(GRID), in_postgres(postgres_server)
    monkeypatch.setenv("EVERGREEN_LEDGER_URL", store.url)
    monkeypatch.setenv("EVERGREEN_LOCK_LEASE", "10")
    search(project, "plan")
    lost = in_process(project, "--step", "trials", EVERGREEN_KILL_AT="search.fold")
    _, err = lost.communicate()
    assert lost.returncode == -signal.SIGKILL, err
    store.run("UPDATE locks SET host = 'elsewhere'")
    search(project, "trials")
    assert search(project, "choose").ended == len(plan_search(project).numbers)


def test_parallel_processes_are_started_by_the_command_itself(make_search: MakeSearch) -> None:
    alone = make_search(GRID)
    shared = make_search(GRID.replace("method: grid", "parallel: 2, method: grid"), "shared")
    assert search(shared) == search(alone).model_copy(update={"search": search(shared).search})
    assert shared.search.read_bytes() == alone.search.read_bytes()


@pytest.mark.parametrize("parallel", ["", "parallel: 2, "])
def test_each_trial_is_told_as_it_ends(make_search: MakeSearch, parallel: str) -> None:
    told: list[str] = []
    result = search(make_search(GRID.replace("method: grid", f"{parallel}method: grid")), show=told.append)
    assert len(told) == result.planned
    assert any(line.startswith("trial 0 (as configured): log_loss 0.") for line in told)
    assert f"{result.planned} of {result.planned} have ended, best {result.score:.5g} by trial " in " ".join(told)


@pytest.mark.parametrize("section", [f"{{trials: 4, space: {SPACE}}}", OPTUNA])
def test_killed_and_resumed_it_ends_the_same(make_search: MakeSearch, section: str) -> None:
    whole, killed = make_search(section), make_search(section, "killed")
    search(whole)
    places = ["search.started", "search.asked:2", "search.fold:5", "search.ending:2", "search.ended"]
    for place in places:
        run = in_process(killed, EVERGREEN_KILL_AT=place)
        _, err = run.communicate()
        assert run.returncode == -signal.SIGKILL, err
        assert not killed.search.exists()
    run = in_process(killed, EVERGREEN_KILL_AT="search.written")
    run.communicate()
    assert run.returncode == -signal.SIGKILL
    assert killed.search.read_bytes() == whole.search.read_bytes()
    study = Study(killed.home, plan_search(killed))
    asked = sum(len(one.trials) for one in study._studies.values())
    # Killed in the middle of a trial three times: as it was asked, in a fold, and as it told its end, which stands.
    assert asked == len(study.finished()) + 2
    search(killed)
    assert killed.search.read_bytes() == whole.search.read_bytes()
    assert not [path for path in killed.home.locks.iterdir() if "~search~" in path.name]


def test_a_budget_ends_it_with_the_best_so_far(make_search: MakeSearch, caplog: pytest.LogCaptureFixture) -> None:
    project = make_search(f"{{trials: 10000, budget: 2 seconds, space: {SPACE}}}")
    with caplog.at_level(logging.WARNING):
        result = search(project)
    assert "the budget of the search is spent" in caplog.text
    record = SearchRecord.read(project.search)
    assert record.ended == "budget"
    assert 1 <= result.ended < result.planned == 10001
    assert all(len(trial.scores) == 3 for trial in record.trials)
    assert result.score is not None
    assert result.as_configured is not None
    assert result.score <= result.as_configured
    more = search(project).ended  # a resumed search has its whole budget again
    assert more > result.ended


def test_trials_that_nobody_planned_begin_the_budget_themselves(make_search: MakeSearch) -> None:
    project = make_search(f"{{trials: 10000, budget: 1 seconds, space: {SPACE}}}")
    assert 1 <= search(project, "trials").ended < 10001


def test_without_any_time_what_is_configured_is_tried_and_stands(make_search: MakeSearch) -> None:
    project = make_search(f"{{trials: 5, budget: 0 seconds, space: {SPACE}}}")
    search(project)
    assert (written(project)["best"], written(project).get("chosen", {})) == (0, {})


def test_an_unknown_parameter_is_named_with_the_known_ones(make_search: MakeSearch) -> None:
    project = make_search("{space: {max_itr: [5]}}")
    with pytest.raises(ParamsError, match=r"no option `max_itr` .*did you mean `max_iter`\? Known: .*learning_rate"):
        search(project)


def test_a_failed_trial_is_recorded_and_the_others_go_on(make_search: MakeSearch) -> None:
    project = make_search("{method: grid, space: {max_leaf_nodes: [1, 7, 15]}}")
    result = search(project)
    assert (result.ended, result.failed) == (4, 1)
    failed = written(project)["trials"][1]
    assert failed["state"] == "failed"
    assert "max_leaf_nodes" in failed["why"]
    assert written(project)["chosen"] != {"max_leaf_nodes": 1}
    assert search(project) == result, "a trial that failed by itself is not tried again"


def test_where_all_fail_the_first_reason_is_said(make_search: MakeSearch) -> None:
    project = make_search("{method: grid, space: {max_leaf_nodes: [1]}}")
    broken = project.root / "params.yaml"
    broken.write_text(broken.read_text().replace("max_iter: 20", "max_iter: 0"))
    with pytest.raises(EvergreenError, match=r"none of 2 trials gave a score.*the first said: .*max_iter"):
        search(Project.load(project.root))


class Diverging(LogisticRegression):
    """An estimator whose probabilities are no numbers for some values of an option."""

    def predict_proba(self, rows: Any) -> Any:
        return super().predict_proba(rows) * {13: np.nan, 14: -np.inf}.get(self.C, 1.0)


def test_a_metric_that_is_not_finite_is_a_failed_trial_and_never_the_best(
    make_search: MakeSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = replace(find("logistic"), make=lambda setting: Diverging(**setting.options))
    monkeypatch.setitem(CATALOG, "logistic", entry)
    project = make_search("{method: grid, metric: brier, space: {C: [13, 14, 1]}}")
    path = project.root / "params.yaml"
    path.write_text(
        path.read_text().replace("hist_gradient_boosting, options: {early_stopping: false, max_iter: 20}", "logistic")
    )
    project = Project.load(project.root)
    assert search(project).failed == 2
    _, no_number, endless, fine = written(project)["trials"]
    assert "brier is nan in the fold at" in no_number["why"]
    assert "brier is nan in the fold at" in endless["why"]
    assert (fine["state"], no_number["state"], endless["state"]) == ("complete", "failed", "failed")
    assert written(project)["best"] in (0, 3)


def test_nothing_to_search_says_what_to_write(make_search: MakeSearch) -> None:
    with pytest.raises(EvergreenError, match=r"no search\.space, so there is nothing to search: list options"):
        search(make_search("{space: {}}"))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (SPACE, "{}", r"params\.yaml has no search\.space"),
        ("[7, 15]", "[7, 31]", "another than the one that was searched"),
        ("estimator: hist_gradient_boosting, options: {early_stopping: false, max_iter: 20}", "estimator: logistic",
         "it is of the estimator hist_gradient_boosting"),
    ],
)  # fmt: skip
def test_train_refuses_what_was_chosen_for_something_else(
    make_search: MakeSearch, old: str, new: str, why: str
) -> None:
    project = make_search()
    search(project)
    path = project.root / "params.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(EvergreenError, match=rf"does not go with params\.yaml: .*{why}.*run `evergreen search`"):
        train(Project.load(project.root))


def test_train_says_where_the_search_has_seen_the_gate_window(
    make_search: MakeSearch, caplog: pytest.LogCaptureFixture
) -> None:
    project = make_search("{method: grid, space: {max_leaf_nodes: [7]}}")
    search(project)
    with caplog.at_level(logging.WARNING):
        train(project)
    assert not caplog.records
    path = project.root / "params.yaml"
    path.write_text(path.read_text().replace("gate: {window: 7 days", "gate: {window: 10 days"))
    with caplog.at_level(logging.WARNING):
        train(Project.load(project.root))
    assert "what it chose is judged too kindly" in caplog.text


def test_a_step_that_does_not_end_at_the_greatest_value_is_no_warning(make_search: MakeSearch) -> None:
    project = make_search("{method: grid, space: {max_iter: {int: [5, 24], step: 10}}}")
    search(project)
    assert [trial.get("parameters") for trial in written(project)["trials"]] == [
        None,
        {"max_iter": 5},
        {"max_iter": 15},
    ]


def test_another_kind_of_label_is_another_search_with_its_own_options(make_project: Callable[..., Project]) -> None:
    """Labels of 0 and 1 have the same feature table as numbers and as outcomes."""
    text = with_search("{space: {max_leaf_nodes: [7]}}").replace("floor: {roc_auc: 0.5}, ", "")
    binary = make_project(text)
    write_features(binary)
    id_ = plan_search(binary).id
    text = text.replace("value: late > 10}", "value: late > 10, kind: regression}").replace(
        "max_leaf_nodes", "quantile"
    )
    number = make_project(text.replace("[7]", "[0.5]"))
    assert plan_search(number).cut.folds, "only the regressor has the option"
    assert plan_search(make_project(text.replace("quantile", "max_leaf_nodes"))).id != id_


def test_train_says_that_nothing_was_searched_yet(make_search: MakeSearch, caplog: pytest.LogCaptureFixture) -> None:
    project = make_search()
    with caplog.at_level(logging.WARNING):
        train(project)
    assert "search.json holds no search: training with" in caplog.text
    project.search.write_text('{"method": ')
    with pytest.raises(EvergreenError, match=r"search\.json was altered or cut off"):
        train(project)


def test_the_metric_says_what_is_better(make_search: MakeSearch) -> None:
    project = make_search("{method: grid, metric: roc_auc, folds: {kind: stratified}, space: {max_iter: [1, 30]}}")
    result = search(project)
    scores = [trial["score"] for trial in written(project)["trials"]]
    assert result.score == max(scores) > 0.5
    assert pd.Series(scores).between(0, 1).all()


@pytest.mark.parametrize(
    ("label", "value", "wrong"),
    [
        ("value: late, kind: regression", lambda size: size / 10, "roc_auc"),
        ("value: team, kind: multiclass, classes: [low, mid, high]", lambda size: size // 334, "mae"),
    ],
)
def test_other_kinds_of_label_are_searched_by_their_own_metric(
    make_project: Callable[..., Project], label: str, value: Callable[[pd.Series], pd.Series], wrong: str
) -> None:
    section = "{method: grid, space: {max_iter: [1, 30]}}"
    text = with_search(section).replace("value: late > 10}", f"{label}}}").replace("floor: {roc_auc: 0.5}, ", "")
    project = make_project(text)
    frame = feature_frame()
    known = value(frame["size"].fillna(500)).where(frame["_label"].notna())
    write_features(project, frame.assign(_label=known))
    result = search(project)
    assert result.metric == ("mae" if "regression" in label else "log_loss")
    found = {trial.get("parameters", {}).get("max_iter"): trial["score"] for trial in written(project)["trials"]}
    assert found[30] < found[1], "one tree says less than thirty"
    train(project)
    with pytest.raises(ParamsError, match=r"search.metric: not for a (regression|multiclass) label"):
        make_project(text.replace("method: grid", f"method: grid, metric: {wrong}"))
