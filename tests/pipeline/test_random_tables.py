"""A third use case, made of random tables with names that nobody would choose: from zero to a monitored week.

Its labels lie in a file of their own and are joined by an id of another name, the label is whether a text is there at
all, and no feature looks back. One comes as CSV, and its stages are called one after another, with the real DVC and
MLflow; the other as Parquet of types that other tools write, and goes through the real DAGs.
"""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from evergreen.builds.build import run_stage, take_snapshot
from evergreen.clock import format_time, naive
from evergreen.features.check import check_expressions
from evergreen.ledger import Ledger
from evergreen.project import Project
from evergreen.sql import quote
from evergreen.stages.gate import gate
from evergreen.stages.ingest import ingest
from evergreen.stages.monitor import monitor
from evergreen.stages.promote import promote
from evergreen.stages.retrain import begin
from evergreen.stages.score import score
from evergreen.stages.snapshot import snapshot
from evergreen.stages.track import track
from evergreen.stages.validate import validate
from tests.pipeline.conftest import Loop, clone_repository, environment
from tests.pipeline.run_dag import SKIPPED

NAMES = ("Preis $", "Größe (m²)", "größte Länge", "100 % sicher", 'so "genannt"', "a.b", "select", "x|y", "ja, nein",
         "Straße", "$1", "Order", "it's", "tab\tstop", "${x}", "weiß nicht?", "_eigen", "Ω/s")  # fmt: skip
LEVELS = ("rot", "grün", "dunkel blau", "N/A", "x|y", 'ein "Wort"')
START = datetime(2024, 3, 1, tzinfo=UTC)
DAYS, PER_DAY = 56, 40
FIRST, END = START + timedelta(days=42), START + timedelta(days=DAYS)


@dataclass(frozen=True)
class Case:
    """Random tables, and the params.yaml that describes them."""

    name: str
    kind: str  # of their source, and the end of their files' names
    rows: pd.DataFrame
    outcomes: pd.DataFrame
    params: dict


def make_case(seed: int, kind: str) -> Case:
    """Two tables of 56 days with random names and values, and a label that a few of the columns decide."""
    rng = np.random.default_rng(seed)
    key, due, other_key, damage, *columns = rng.permutation(NAMES).tolist()
    numbers, texts = columns[: int(rng.integers(2, 6))], columns[-int(rng.integers(1, 3)) :]
    count = DAYS * PER_DAY
    moments = pd.Timestamp(START).tz_localize(None) + pd.to_timedelta(
        np.sort(rng.integers(0, DAYS * 86400, count)), "s"
    )
    rows = pd.DataFrame({key: rng.permutation(count), due: moments})
    for column in numbers:
        rows[column] = np.where(rng.random(count) < 0.05, np.nan, rng.normal(size=count).round(4))
    for column in texts:
        rows[column] = rng.choice(LEVELS, count)
    chance = 1 / (1 + np.exp(-(2.5 * rows[numbers[0]].fillna(0) + 1.5 * (rows[texts[0]] == LEVELS[0]) - 0.5)))
    hit = rng.random(count) < chance
    outcomes = pd.DataFrame({other_key: rows[key], damage: np.where(hit, "Kratzer", None), "seen at": rows[due]})
    if kind == "parquet":  # what is exact in other types: 32 bits, categories, nanoseconds in a zone
        rows = rows.astype({key: "int32"} | dict.fromkeys(texts, "category"))
        rows[due] = rows[due].dt.as_unit("ns").dt.tz_localize("UTC").dt.tz_convert("America/New_York")
    never = {"nulls": "never"}
    params = {
        "name": f"random{seed}",
        "time_zone": "Europe/Berlin",
        "tables": {
            "Teile": {
                "source": {"kind": kind, "path": f"drops/rows-*.{kind}"},
                "key": [key],
                "known_at": f"{quote(due)} - interval 1 day",
                "columns": {key: {"type": "int64", **never}, due: {"type": "timestamp", **never}}
                | {column: {"type": "float64", "between": [-10, 10]} for column in numbers}
                | {column: {"type": "category", "in": list(LEVELS)} for column in texts},
            },
            "Schäden": {
                "source": {"kind": kind, "path": f"drops/outcomes-*.{kind}"},
                "key": [other_key],
                "known_at": '"seen at" + interval 6 hours',
                "columns": {
                    other_key: {"type": "int64", **never},
                    damage: {"type": "string"},
                    "seen at": {"type": "timestamp", **never},
                },
            },
        },
        "prediction": {
            "rows": "Teile",
            "at": quote(due),
            "label": {"table": "Schäden", "by": {other_key: key}, "value": f"{quote(damage)} is not null"},
        },
        "features": {
            "row": {column: quote(column) for column in (*numbers, *texts)}
            | {f"2 * {numbers[0]}": f"2 * {quote(numbers[0])}", "Stunde": f"hour(local({quote(due)}))"},
            "categorical": texts,
        },
        "preprocess": {},
        "training": {"estimator": "hist_gradient_boosting", "options": {"early_stopping": False, "max_iter": 20}},
        "search": {"space": {}},
        "evaluation": {},
        "gate": {"window": "14 days", "floor": {"roc_auc": 0.6}, "min_rows": 200},
        "monitoring": {"min_rows": 100},
    }
    return Case(f"random{seed}", kind, rows, outcomes, params)


def drop(case: Case, root: Path, until: datetime) -> None:
    """Write what is known at `until` as new files."""
    folder = root / "drops"
    folder.mkdir(exist_ok=True)
    due = case.outcomes["seen at"].dt.tz_localize("UTC")
    for name, frame, lead in (("rows", case.rows, timedelta(days=-1)), ("outcomes", case.outcomes, timedelta(hours=6))):
        path, known = folder / f"{name}-{until:%m%d}.{case.kind}", frame[due + lead <= until]
        if case.kind == "csv":
            known.to_csv(path, index=False, date_format="%Y-%m-%dT%H:%M:%SZ")
        else:
            known.to_parquet(path, index=False)


def clone(case: Case, base: Path) -> Path:
    """A clone at `base/clone` whose params.yaml is the case's."""
    text = io.StringIO()
    YAML().dump(case.params, text)
    clone_repository(base / "clone", text.getvalue())
    return base / "clone"


def deliver(case: Case, project: Project, until: datetime) -> None:
    """Drop, ingest and validate what is known at `until`."""
    drop(case, project.root, until)
    for table in project.params.tables:
        assert not ingest(project, table, until).refused
        assert validate(project, table).quarantined == 0


def check_watched(case: Case, project: Project, record: dict[str, Any], end: datetime, mlflow_uri: str) -> None:
    """The champion is in both registries, and the monitored week has every row whose label is known."""
    known = case.outcomes["seen at"] + timedelta(hours=6)
    start, stop = (naive(datetime.fromisoformat(record[side])) for side in ("start", "end"))
    assert record["rows"] == ((known > start) & (known <= stop)).sum() > 0
    assert record["mature"]
    assert snapshot(project, end).rows == {"Teile": len(case.rows), "Schäden": int((known <= naive(end)).sum())}
    champion = Ledger.open(project.home).champion(case.name)
    assert champion is not None
    client = mlflow.MlflowClient(mlflow_uri)
    assert int(client.get_model_version_by_alias(case.name, "champion").version) == champion.version


def test_from_zero_to_a_champion_and_a_monitored_week(
    tmp_path: Path, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    case = make_case(1, "csv")
    project = Project.load(clone(case, tmp_path))
    check_expressions(project.params)

    deliver(case, project, FIRST)
    assert begin(project, FIRST).run
    build = take_snapshot(project, FIRST).build
    for stage in ("features", "train", "evaluate"):
        run_stage(project, build, stage)
    track(project, build)
    decided = gate(project, build, FIRST, "a test")
    assert promote(project, decided.decision).promoted, decided.reason

    deliver(case, project, END)
    score(project, END, END - FIRST)
    watched = monitor(project, END)
    assert watched.record is not None
    assert watched.drift_report is not None
    check_watched(case, project, watched.record, END, mlflow_uri)
    assert watched.record["build"] == build


@pytest.mark.timeout(1800)  # six processes of Airflow: a minute and a half, or far more on a busy machine
def test_parquet_drops_go_the_same_way_through_the_dags(tmp_path: Path, mlflow_uri: str) -> None:
    case = make_case(6, "parquet")
    root = clone(case, tmp_path)
    loop = Loop(root, environment(tmp_path, [root], mlflow_uri), case.name)
    loop.run(sys.executable, "-m", "airflow", "db", "migrate")
    first, end = format_time(FIRST), format_time(END)

    drop(case, root, FIRST)
    assert set(loop.dag("ingest", as_of=first)["tasks"].values()) == {"success"}
    states = loop.dag("retrain", as_of=first)["tasks"]
    assert {task for task, state in states.items() if state != "success"} == SKIPPED
    drop(case, root, END)
    for dag in ("ingest", "score"):
        assert set(loop.dag(dag, as_of=end)["tasks"].values()) == {"success"}
    assert loop.dag("monitor", as_of=end)["tasks"]["monitor[-1]"] == "success"

    ledger = Ledger.open(loop.project.home)
    champion = ledger.champion(case.name)
    assert champion is not None
    [window] = ledger.windows(case.name, champion.build)
    check_watched(case, loop.project, window.record, END, mlflow_uri)
