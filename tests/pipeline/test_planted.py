"""Planted candidates through the real retrain DAG, with a real MLflow: every verdict, its rule, who serves after.

Each is planted as it would come about: by a commit to the project, of its params.yaml or of its training code, which
the build runs from a worktree of that commit. The champion is weak on purpose, so that a gate that lets a bad one pass
would have something to promote; the last candidate is an honest one, and passes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import mlflow
import pytest

from evergreen.clock import format_time
from evergreen.ledger import Decision, Ledger
from evergreen.project import Project
from tests.conftest import ROOT, SMALL
from tests.data import day, write_drops
from tests.pipeline.conftest import Loop, clone_repository, environment

pytestmark = pytest.mark.timeout(1500)  # the first test sets up Airflow and a champion, on a busy machine too

OPTIONS = "options: {early_stopping: false, max_iter: 20}"
WEAK = "options: {early_stopping: false, max_iter: 2}"
HONEST = {"params.yaml": (WEAK, OPTIONS)}
FIRST = day(56)
# Open wide: nothing but the rules about the candidate itself keeps it out.
PARAMS = (
    SMALL.replace("name: small", "name: planted")
    .replace(OPTIONS, WEAK)
    .replace("gate: {window: 7 days", "gate: {window: 14 days, every: 1 second, segments: {min_rows: 50}")
)
FIT = "model = fit(job.recipe, rows.iloc[job.rows], labels[job.rows])"
FITTING = "include/evergreen/training/fitting.py"


def learning(rows: str, labels: str) -> dict[str, tuple[str, str]]:
    """A commit after which every fit learns from these rows and labels; `np`, `team` and `n` are at hand."""
    before = 'import numpy as np; team, n = rows["team"].to_numpy(), len(labels); '
    text = f"{before}model = fit(job.recipe, rows.iloc[{rows}], {labels})"
    return {FITTING: (FIT, text), "params.yaml": (WEAK, OPTIONS)}


@dataclass
class Planting:
    """A clone with a champion, and a process that runs its retrain DAG for whatever is committed."""

    loop: Loop
    dags: subprocess.Popen[str]
    log: Path
    runs: int = 0

    @property
    def project(self) -> Project:
        return self.loop.project

    @property
    def ledger(self) -> Ledger:
        return Ledger.open(self.project.home)

    def retrain(self) -> tuple[dict[str, Any], Decision | None]:
        """One run of the DAG on what is committed, each a minute after the one before; and its decision."""
        self.runs += 1
        as_of, known = FIRST + timedelta(minutes=self.runs), {one.id for one in self.ledger.decisions("planted")}
        assert self.dags.stdin is not None
        assert self.dags.stdout is not None
        self.dags.stdin.write(json.dumps({"as_of": format_time(as_of), "force": True}) + "\n")
        self.dags.stdin.flush()
        for line in self.dags.stdout:
            with self.log.open("a") as log:
                log.write(line)
            if line.startswith('{"state"'):
                made = [one for one in self.ledger.decisions("planted") if one.id not in known]
                return json.loads(line), made[0] if made else None
        raise AssertionError("the process that runs DAGs has ended")

    def plant(self, changes: dict[str, tuple[str, str]]) -> None:
        """Commit the changes on top of the champion's commit."""
        git = ["git", "-C", str(self.loop.root)]
        subprocess.run([*git, "reset", "-q", "--hard", "champion"], check=True)
        for name, (old, new) in changes.items():
            path = self.loop.root / name
            text = path.read_text()
            assert text.count(old) == 1, f"{name} has `{old}` {text.count(old)} times"
            path.write_text(text.replace(old, new))
        subprocess.run([*git, "commit", "-qam", "planted", "--allow-empty"], env=dict(self.loop.env), check=True)

    def champion(self) -> tuple[str, int]:
        """Who serves: the build by the ledger, and the version by MLflow."""
        client = mlflow.MlflowClient(self.loop.env["MLFLOW_TRACKING_URI"])
        champion = self.ledger.champion("planted")
        assert champion is not None
        return champion.build, int(client.get_model_version_by_alias("planted", "champion").version)


@pytest.fixture(scope="module")
def planting(tmp_path_factory: pytest.TempPathFactory, mlflow_uri: str) -> Iterator[Planting]:
    base = tmp_path_factory.mktemp("planted")
    root = base / "clone"
    clone_repository(root, PARAMS)
    write_drops(root / "drops", days=60, until=56)
    loop = Loop(root, environment(base, [root], mlflow_uri), "planted")
    loop.run(sys.executable, "-m", "airflow", "db", "migrate")
    loop.run("git", "tag", "champion")
    for table in ("jobs", "outcomes"):
        loop.evergreen("ingest", table, "--as-of", format_time(FIRST))
    loop.evergreen("validate")
    command = [sys.executable, "-m", "tests.pipeline.run_dag", "planted_retrain"]
    with subprocess.Popen(
        command, cwd=ROOT, env=dict(loop.env), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    ) as dags:  # fmt: skip
        made = Planting(loop, dags, base / "dags.log")
        run, decision = made.retrain()
        assert run["state"] == "success", made.log.read_text()[-3000:]
        assert decision is not None
        assert decision.verdict == "promote", decision.reason
        yield made
        assert dags.stdin is not None
        dags.stdin.close()


PLANTED = {
    "shuffled labels": learning("job.rows", "np.random.default_rng(0).permutation(labels[job.rows])"),
    "future data": {
        "include/evergreen/training/splits.py": (
            "twin = np.flatnonzero(labelled & (known <= start).to_numpy() & _since(known, judge_from, params))",
            "twin = np.flatnonzero(labelled)",
        ),
        **HONEST,
    },
    "one segment only": learning('job.rows[team[job.rows] == "red"]', 'labels[job.rows[team[job.rows] == "red"]]'),
    "overconfident": {
        "params.yaml": (
            WEAK, "options: {early_stopping: false, max_iter: 300, learning_rate: 0.9, min_samples_leaf: 1}",
        )
    },
    "constant": {"params.yaml": (WEAK, "options: {early_stopping: false, max_iter: 2, min_samples_leaf: 100000}")},
    "ruinous for one segment": learning(
        "job.rows", 'np.where((team == "blue") & (np.arange(n) % 3 == 0), 1 - labels, labels)[job.rows]'
    ),
    "identical to the champion": {},
    "gate data empty": {"params.yaml": ("gate: {window: 14 days", "gate: {window: 1 hour")},
}  # fmt: skip
FOUND = {  # the verdict, and rules that are against it; others may be, too
    "shuffled labels": ("reject", {"better"}),
    "future data": ("inconclusive", {"learned"}),
    "one segment only": ("reject", {"better", "segments"}),
    "overconfident": ("reject", {"better", "segments"}),
    "constant": ("reject", {"better"}),
    "ruinous for one segment": ("reject", {"segments"}),
    "identical to the champion": ("inconclusive", {"distinct"}),
    "gate data empty": ("inconclusive", {"enough.rows", "enough.positives", "enough.negatives", "enough.days"}),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_candidate_is_not_promoted_and_the_right_rule_says_why(planting: Planting, kind: str) -> None:
    before = planting.champion()
    planting.plant(PLANTED[kind])
    run, decision = planting.retrain()
    assert run["state"] == "success"
    assert run["tasks"]["promote[-1]"] == "skipped"
    assert decision is not None
    rules = {rule["rule"]: rule["passed"] for rule in decision.inputs["rules"]}
    against = {name for name, passed in rules.items() if passed is (False if decision.verdict == "reject" else None)}
    verdict, least = FOUND[kind]
    assert decision.verdict == verdict, decision.reason
    assert least <= against, decision.reason
    if kind == "ruinous for one segment":
        assert rules["better"] is True, "it is better as a whole"
        assert "team=blue" in decision.reason
    assert planting.champion() == before


def test_missing_metrics_end_the_run_before_any_verdict(planting: Planting) -> None:
    before = planting.champion()
    threshold = ('"threshold": threshold,', '"threshold": float("nan"),')
    planting.plant({"include/evergreen/stages/evaluate.py": threshold, **HONEST})
    run, decision = planting.retrain()
    assert (run["state"], run["tasks"]["gate[-1]"], run["tasks"]["promote[-1]"]) == (
        "failed", "failed", "upstream_failed",
    )  # fmt: skip
    assert decision is None
    assert "metrics.json is missing or has no `threshold`" in planting.log.read_text()
    assert planting.champion() == before


def test_an_honest_candidate_is_promoted_by_the_same_gate(planting: Planting) -> None:
    """So it is not that nothing passes."""
    build, version = planting.champion()
    planting.plant(HONEST)
    run, decision = planting.retrain()
    assert decision is not None
    assert (run["state"], decision.verdict) == ("success", "promote"), decision.reason
    assert planting.champion() == (decision.build, version + planting.runs - 1)
    assert decision.inputs["champion"]["build"] == build


def test_every_verdict_replays(planting: Planting) -> None:
    said = planting.loop.evergreen("decisions", "replay").stdout
    made = len(planting.ledger.decisions("planted"))
    assert f"{made} of {made} verdicts are the same" in said
