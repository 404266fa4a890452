"""A second use case beside the flights, by params.yaml alone: a regression, its label in the rows' own table."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from evergreen.clock import naive, parse_time
from evergreen.ledger import Ledger
from evergreen.ledger.replay import replay
from evergreen.project import Project
from evergreen.stages.features import features
from evergreen.stages.ingest import ingest
from evergreen.stages.snapshot import snapshot
from evergreen.stages.train import train
from evergreen.stages.validate import validate
from tests.conftest import ROOT
from tests.pipeline.conftest import Loop, clone_repository, environment
from tests.pipeline.run_dag import SKIPPED
from tests.pipeline.test_loop import outputs

EXAMPLE = ROOT / "examples" / "bikeshare"
DROP = Path(".venv/lib/python3.11/site-packages/ISLP/data/Bikeshare.csv")  # as params.yaml names it
FIRST, LATER, AGAIN = "2011-07-01T04:00:00Z", "2011-07-15T04:00:00Z", "2011-08-05T04:00:00Z"


def shipped() -> Path:
    """The package's file; the package is not imported, since it needs torch."""
    spec = find_spec("ISLP")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "data" / "Bikeshare.csv"


def put_example(root: Path) -> None:
    """The example's tracked files, links as links, and its source, into the folder of a clone."""
    listed = subprocess.run(["git", "ls-files"], cwd=EXAMPLE, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        target = root / "examples" / "bikeshare" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(EXAMPLE / name, target, follow_symlinks=False)
    (root / DROP).parent.mkdir(parents=True)
    shutil.copy(shipped(), root / DROP)


@pytest.fixture(scope="module")
def bikes(tmp_path_factory: pytest.TempPathFactory, mlflow_uri: str) -> Loop:
    """A clone with both use cases, both deployed in one Airflow."""
    base = tmp_path_factory.mktemp("bikeshare")
    root = base / "clone"
    put_example(root)
    clone_repository(root, (ROOT / "params.yaml").read_text())
    env = environment(base, [root, root / "examples" / "bikeshare"], mlflow_uri)
    made = Loop(root, env | {"EVERGREEN_PROJECT": str(root / "examples/bikeshare")}, "bikeshare", "examples/bikeshare")
    made.run(sys.executable, "-m", "airflow", "db", "migrate")
    return made


def test_0_there_is_no_python_and_the_stages_are_the_shipped_ones() -> None:
    own = [path for path in EXAMPLE.iterdir() if not path.is_symlink()]
    assert not [path for path in own if path.suffix == ".py" or (path.is_dir() and any(path.rglob("*.py")))]
    assert (EXAMPLE / "dvc.yaml").read_bytes() == (ROOT / "dvc.yaml").read_bytes()
    assert (EXAMPLE / "include").resolve() == ROOT / "include"


def test_1_one_airflow_has_the_five_dags_of_either(bikes: Loop) -> None:
    code = (
        "import sys, json; sys.path.insert(0, 'dags')\n"
        "from airflow.dag_processing.dagbag import DagBag\n"
        "bag = DagBag('dags')\n"
        "print(json.dumps([sorted(bag.dags), bag.import_errors]))"
    )
    found, errors = json.loads(bikes.run(sys.executable, "-c", code, cwd=ROOT).stdout.strip().splitlines()[-1])
    stages = ("ingest", "monitor", "retrain", "rollback", "score")
    assert errors == {}
    assert found == sorted(f"{name}_{stage}" for name in ("bikeshare", "flights") for stage in stages)


def test_2_from_an_empty_lake_to_a_champion(bikes: Loop) -> None:
    run = bikes.dag("ingest", as_of=FIRST)
    assert set(run["tasks"].values()) == {"success"}
    run = bikes.dag("retrain", as_of=FIRST)
    assert {task for task, state in run["tasks"].items() if state != "success"} == SKIPPED
    champion = Ledger.open(bikes.project.home).champion("bikeshare")
    assert champion is not None
    assert champion.cutoff == parse_time(FIRST)
    client = mlflow.MlflowClient(bikes.env["MLFLOW_TRACKING_URI"])
    version = client.get_model_version_by_alias("bikeshare", "champion")
    assert int(version.version) == champion.version
    decision = Ledger.open(bikes.project.home).decision(champion.decision)
    assert {rule["rule"] for rule in decision.inputs["rules"]} == {
        "enough.rows", "enough.days", "complete", "unseen", "learned", "floor.r2", "floor.mae", "size", "latency",
        "refit",
    }  # fmt: skip
    shown = client.get_run(version.run_id).data.metrics
    assert shown["mae"] == pytest.approx(decision.inputs["metrics"]["candidate"]["mae"])
    assert shown["mae"] < shown["baseline.mae"] < 60
    assert "roc_auc" not in shown


@pytest.mark.filterwarnings("ignore:(?s).*Any type hint is inferred:UserWarning")  # mlflow.pyfunc's own, on import
def test_2b_the_registered_model_says_numbers_of_bikes(bikes: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", bikes.env["MLFLOW_TRACKING_URI"])
    model = mlflow.pyfunc.load_model("models:/bikeshare@champion")
    said = model.predict(model.input_example)
    assert said.shape == (5,)
    assert model.metadata.signature.outputs.inputs[0].shape == (-1,)
    assert 0 < said.max() < 1000


def test_3_dvc_repro_in_its_folder_gives_the_same_hashes(bikes: Loop) -> None:
    tags = bikes.run("git", "tag", "--list", "build/*").stdout.split()
    assert len(tags) == 1
    folder = bikes.root / bikes.folder
    bikes.evergreen("snapshot", "--as-of", FIRST)
    bikes.run(sys.executable, "-m", "dvc", "add", "-q", "data", cwd=folder)
    bikes.run(sys.executable, "-m", "dvc", "repro", "--force", cwd=folder)
    committed = bikes.run("git", "show", f"{tags[0]}:{bikes.folder}/dvc.lock").stdout
    assert outputs((folder / "dvc.lock").read_text()) == outputs(committed)


def test_4_a_fresh_clone_pulls_and_reproduces_it_and_only_it(bikes: Loop, tmp_path: Path) -> None:
    tag = bikes.run("git", "tag", "--list", "build/*").stdout.strip()
    fresh = tmp_path / "fresh"
    bikes.run("git", "clone", "-q", "--branch", tag, str(bikes.root), str(fresh))
    env = {key: value for key, value in bikes.env.items() if not key.startswith(("EVERGREEN", "MLFLOW"))}
    remote = str(bikes.root / ".evergreen" / "dvc" / "remote")
    there = Loop(fresh, env, "bikeshare", bikes.folder)
    for command in (["remote", "modify", "--local", "storage", "url", remote], ["pull", "-q"], ["repro", "--force"]):
        there.run(sys.executable, "-m", "dvc", *command, cwd=fresh / bikes.folder)
    assert there.run("git", "status", "--porcelain").stdout == ""
    top = there.run(sys.executable, "-m", "dvc", "pull", check=False)  # without the flights' lock in this clone
    assert "bikeshare" not in top.stdout + top.stderr


def test_5_a_week_is_scored_and_monitored(bikes: Loop) -> None:
    assert bikes.dag("score", as_of=LATER)["tasks"] == {"score[-1]": "success"}
    run = bikes.dag("monitor", as_of=LATER)
    assert run["tasks"]["monitor[-1]"] == "success"
    ledger = Ledger.open(bikes.project.home)
    champion = ledger.champion("bikeshare")
    assert champion is not None
    [window] = ledger.windows("bikeshare", champion.build)
    record = window.record
    assert record["rows"] == 7 * 24
    assert record["mature"]
    assert record["kind"] == "regression"
    hours = pd.read_csv(shipped())
    known = starts(hours) + timedelta(hours=24)
    judged = hours[(known > naive(parse_time("2011-07-08T04:00:00Z"))) & (known <= naive(parse_time(LATER)))]
    assert record["rate"] == pytest.approx(judged["bikers"].mean())
    assert record["skill"] > 0.5
    assert record["reference"]["sd"] > 1  # bikes an hour
    rules = {rule["name"]: rule for rule in record["rules"]}
    assert set(rules) == {"bias", "skill", "ewma"}
    assert all(rule["alarm"] is False for rule in rules.values()), rules
    assert rules["bias"]["limit"] > record["reference"]["sd"]
    pages = list((bikes.project.home.reports("bikeshare")).glob("*/monitor.html"))
    assert "<th>MAE</th>" in pages[0].read_text()


def test_6_a_later_candidate_is_compared_in_bikes_and_the_decisions_replay(bikes: Loop) -> None:
    run = bikes.dag("retrain", as_of=AGAIN)
    assert set(run["tasks"].values()) <= {"success", "skipped"}
    ledger = Ledger.open(bikes.project.home)
    last = ledger.decisions("bikeshare")[0]
    better = next(rule for rule in last.inputs["rules"] if rule["rule"] == "better")
    assert f" in mae: {last.inputs['metrics']['candidate']['mae']:.4f} against " in better["text"]
    assert [one.same for one in replay(bikes.project)] == [True, True]


@pytest.fixture
def alone(tmp_path: Path) -> Project:
    """The use case in a repository of its own."""
    root = tmp_path / "alone"
    put_example(root)
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    return Project.load(root / "examples" / "bikeshare")


def deliver(project: Project, hours: pd.DataFrame) -> None:
    """Empty the lake and bring these rows instead."""
    shutil.rmtree(project.lake, ignore_errors=True)
    hours.to_csv(project.root / "../.." / DROP, index=False)
    ingest(project, "hours", parse_time(FIRST))
    validate(project, "hours")


def starts(hours: pd.DataFrame) -> pd.Series:
    """The hours' beginnings, as naive UTC."""
    local = pd.Timestamp("2011-01-01") + pd.to_timedelta((hours["day"] - 1) * 24 + hours["hr"], "h")
    return local.dt.tz_localize("America/New_York", ambiguous=True).dt.tz_convert("UTC").dt.tz_localize(None)


@pytest.mark.parametrize("as_of", [FIRST, "2011-06-30T19:30:00Z"])
def test_a_count_that_is_not_settled_reaches_neither_features_nor_labels(alone: Project, as_of: str) -> None:
    """Known, but not ripe: all such counts are turned around, and not a byte may move."""
    hours, moment = pd.read_csv(shipped()), parse_time(as_of)
    settled = starts(hours) + timedelta(hours=24) <= naive(moment)
    made = []
    for counts in (hours["bikers"], hours["bikers"].where(settled, 1000 - hours["bikers"])):
        deliver(alone, hours.assign(bikers=counts))
        taken = snapshot(alone, moment)
        made.append((features(alone).sha256, train(alone).model_sha256, taken.id))
    true, turned = made
    assert true[:2] == turned[:2]
    assert true[2] != turned[2], "the turned counts are in the snapshot, only not to be seen"
    table = pd.read_parquet(alone.build / "features.parquet")
    known = hours[starts(hours) <= naive(moment)]
    labels = table.set_index("_key")["_label"].dropna()
    expected = known[settled[known.index]]
    assert len(table) == len(known)
    assert labels.to_dict() == {f"{row.day}|{row.hr}": float(row.bikers) for row in expected.itertuples()}


def test_labels_ripen_also_where_no_row_comes_any_more(alone: Project) -> None:
    """The service closes: nothing new is known, but the last day's counts are settled a day later."""
    hours = pd.read_csv(shipped())
    end = naive(parse_time(FIRST))
    deliver(alone, hours[starts(hours) < end])
    labelled = []
    for later in (0, 12, 36):
        snapshot(alone, parse_time(FIRST) + timedelta(hours=later))
        labelled.append(features(alone).labelled)
    open_then = [(end - timedelta(hours=24 - later) < starts(hours)) & (starts(hours) < end) for later in (0, 12)]
    assert labelled[2] == (starts(hours) < end).sum()
    assert [labelled[2] - found for found in labelled[:2]] == [each.sum() for each in open_then]
