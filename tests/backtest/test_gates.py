"""Several gates over the same retrains: each judges for itself, fits are shared, and the table says what came of it."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

from evergreen.backtest.commands import asked
from evergreen.backtest.gates import NO_GATE, OWN, Row, compared, in_words, worst_in_words
from evergreen.backtest.judge import needs_threshold
from evergreen.backtest.results import BacktestResult, Figure, Following, PolicyResult, Retrain
from evergreen.backtest.run import backtest, page_of
from evergreen.backtest.summary import counts
from evergreen.errors import ParamsError
from evergreen.params import load_params_text
from evergreen.project import Project
from tests.backtest.worlds import END, START, command, world
from tests.conftest import SMALL
from tests.data import day
from tests.monitoring.test_report import Tags

GATES = (
    "gates: {same: {confidence: 0.9}, any gain: {confidence: 0.51}, never: {floor: {roc_auc: 1}}, "
    "<two> weeks: {window: 14 days}}"
)
ASKED = f"period: week, start: '{START}', policies: [weekly, triggers]"


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = world(tmp_path_factory.mktemp("gates"), f"{ASKED}, {GATES}")
    backtest(project, END, processes=1)
    return project


@pytest.fixture(scope="module")
def found(replayed: Project) -> BacktestResult:
    return BacktestResult.model_validate_json(page_of(replayed).with_suffix(".json").read_bytes())


def rows(found: BacktestResult) -> dict[str, PolicyResult]:
    return {row.gate: row.policy for row in compared(found)["weekly"]}


def test_every_policy_with_a_calendar_meets_every_gate(found: BacktestResult) -> None:
    assert list(compared(found)) == ["weekly"], "alarms of another champion would ask for other retrains"
    assert list(rows(found)) == [NO_GATE, OWN, "same", "any gain", "never", "<two> weeks"]
    assert [one.title for one in found.policies if one.name == "weekly"] == ["weekly, ungated", "weekly, gated"]
    assert len({policy.counts.retrains for policy in rows(found).values()}) == 1


def test_each_judges_by_its_own_rules(found: BacktestResult) -> None:
    told = rows(found)
    assert told["same"].retrains == told[OWN].retrains, "it says what params.yaml says"
    assert told["same"].total == told[OWN].total
    assert told["never"].counts.promoted == 0
    assert told["never"].total.measures == found.policies[0].total.measures, "the first model serves to the end"
    assert told["any gain"].counts.promoted >= told[OWN].counts.promoted
    windows = {name: re.findall(r"(\d+) days", json.dumps(one.first)) for name, one in told.items()}
    assert windows[OWN] == windows["same"]
    assert "at 51% confidence" in " ".join(one.reason for one in told["any gain"].retrains)
    assert [one.reason for one in told["<two> weeks"].retrains] != [one.reason for one in told[OWN].retrains]


def test_gates_of_one_window_share_all_fits_and_another_window_costs_its_twins(
    replayed: Project, tmp_path: Path
) -> None:
    def fits(settings: str, folder: str) -> set[str]:
        project = world(tmp_path / folder, f"{ASKED.replace(', triggers', '')}, {settings}")
        backtest(project, END, processes=1)
        return {path.name for path in (project.home.backtest("small") / "fits").glob("*.npz")}

    own = fits("gates: {}", "own")
    assert fits("gates: {any gain: {confidence: 0.51}, brier: {metric: brier}}", "alike") == own
    other = fits("gates: {two weeks: {window: 14 days}}", "other")
    assert own < other
    assert len(other - own) == 1, "a week's twin is an earlier week's model: only the first has none before it"


def test_the_page_has_the_table_the_plot_and_every_reason(replayed: Project, found: BacktestResult) -> None:
    page = page_of(replayed).read_text()
    tags = Tags()
    tags.feed(re.sub(r"<(\w+)([^<>]*)/>", r"<\1\2></\1>", page.replace("<br>", "")))
    assert tags.open == []
    assert tags.seen.count("svg") == 4
    assert "What the gate is worth" in page
    for gate in ("any gain", "never", "&lt;two&gt; weeks", NO_GATE, OWN):
        assert gate in page
    assert "<two>" not in page
    assert in_words(found).replace("<", "&lt;").replace(">", "&gt;") in page


@pytest.mark.parametrize(
    ("gate", "needed"),
    [("floor: {log_loss: 0.6}", False), ("floor: {f1: 0.1}", True),
     ("fairness: {demographic_parity_difference: 0.5}", True)],
)  # fmt: skip
def test_the_threshold_that_evaluate_would_choose_is_chosen_where_the_gate_asks_about_it(
    gate: str, needed: bool
) -> None:
    text = SMALL.replace("evaluation: {", "evaluation: {sensitive: [team], ")
    assert needs_threshold(load_params_text(text.replace("floor: {roc_auc: 0.5}", gate))) is needed


def test_json_keeps_a_gate_as_it_was_told(found: BacktestResult, replayed: Project) -> None:
    told = json.loads(page_of(replayed).with_suffix(".json").read_text())["settings"]["gates"]
    assert told["same"] == {"confidence": 0.9}
    assert told["<two> weeks"] == {"window": "14 days"}
    same = asked(replayed, {"start": START}).params.backtest
    assert same.gates == replayed.params.backtest.gates
    assert [gate.model_fields_set for gate in same.gates.values()] == [set(gate) for gate in told.values()]


def test_the_command_prints_them_and_leaves_them_out_on_demand(
    replayed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = command(replayed, monkeypatch, "--policy", "weekly")
    assert "any gain" in shown.stdout
    assert "by > 0.5%" in shown.stdout
    without = command(replayed, monkeypatch, "--policy", "weekly", "--no-gates", "--json")
    assert json.loads(without.stdout)["gates"] == []


@pytest.mark.parametrize(
    ("gates", "parts"),
    [
        ("{x: {windw: 7 days}}", ("backtest.gates.x.windw", "window")),
        ("{x: {confidence: 90}}", ("backtest.gates.x.confidence", "less than 1")),
        ("{x: {metric: mae}}", ("backtest.gates.x", "has no `mae` by row")),
        ("{x: {mode: non_inferiority}}", ("backtest.gates.x", "needs `margin`")),
    ],
)
def test_a_gate_that_could_not_be_one_is_refused_where_it_stands(gates: str, parts: tuple[str, ...]) -> None:
    with pytest.raises(ParamsError) as caught:
        load_params_text(f"{SMALL}\nbacktest: {{gates: {gates}}}\n")
    for part in parts:
        assert part in str(caught.value)


def retrain(loss: float, promoted: bool, half: float = 1.0, number: int = 0) -> Retrain:
    figure = Figure(value=loss, low=loss - half, high=loss + half)
    return Retrain(
        as_of=day(number), because="weekly", rows=100, verdict="promote" if promoted else "reject", reason="",
        promoted=promoted, following=Following(until=day(number) + timedelta(7), rows=9, loss=figure, champion=0.5),
    )  # fmt: skip


def test_what_hurt_and_what_was_missed_is_counted_by_how_much() -> None:
    made = [
        retrain(-0.1, promoted=True), retrain(0.002, promoted=True), retrain(0.01, promoted=True, half=0.001, number=9),
        retrain(0.2, promoted=False), retrain(-0.002, promoted=False), retrain(-0.01, promoted=False),
        Retrain.failed_as(day(1), "weekly", "too few labels"),
    ]  # fmt: skip
    told = counts(made, margin=0.005)
    assert (told.retrains, told.failed, told.promoted) == (7, 1, 3)
    assert (told.hurt, told.hurt_much, told.hurt_shown) == (2, 1, 1)
    assert (told.missed, told.missed_much, told.missed_shown) == (2, 1, 0)


def test_the_worst_promotion_is_named_with_its_day(found: BacktestResult) -> None:
    policy = rows(found)[OWN]
    made = (retrain(0.002, promoted=True), retrain(0.01, promoted=True, number=9), retrain(0.5, promoted=False))
    row = Row(OWN, policy.model_copy(update={"retrains": made, "counts": counts(made, 0.005)}))
    assert worst_in_words(found, row) == "+0.0100 (2024-01-10)"
    assert row.outcomes == {
        "promoted, was better": 0, "promoted, hurt": 2, "kept out, was worse": 1, "kept out, missed": 0,
    }  # fmt: skip
    assert worst_in_words(found, Row(OWN, policy.model_copy(update={"retrains": made[2:]}))) == ""
