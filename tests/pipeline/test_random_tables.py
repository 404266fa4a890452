"""A third use case, made of random tables with names that nobody would choose: from zero to a monitored week.

Its labels lie in a file of their own and are joined by an id of another name, the label is whether a text is there at
all, and no feature looks back. The stages are called one after another, as the DAGs do, with the real DVC and MLflow.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from evergreen.builds.build import run_stage, take_snapshot
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
from tests.pipeline.conftest import clone_repository

NAMES = ("Preis $", "Größe (m²)", "größte Länge", "100 % sicher", 'so "genannt"', "a.b", "select", "x|y", "ja, nein",
         "Straße", "$1", "Order", "it's", "tab\tstop", "${x}", "weiß nicht?", "_eigen", "Ω/s")  # fmt: skip
LEVELS = ("rot", "grün", "dunkel blau", "N/A", "x|y", 'ein "Wort"')
START = datetime(2024, 3, 1, tzinfo=UTC)
DAYS, PER_DAY, FIRST = 56, 40, 42


@dataclass(frozen=True)
class Case:
    """Random tables, and the params.yaml that describes them."""

    name: str
    rows: pd.DataFrame
    outcomes: pd.DataFrame
    params: dict


def make_case(seed: int) -> Case:
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
    for frame, column in ((rows, due), (outcomes, "seen at")):
        frame[column] = frame[column].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    never = {"nulls": "never"}
    params = {
        "name": f"random{seed}",
        "time_zone": "Europe/Berlin",
        "tables": {
            "Teile": {
                "source": {"kind": "csv", "path": "drops/rows-*.csv"},
                "key": [key],
                "known_at": f"{quote(due)} - interval 1 day",
                "columns": {key: {"type": "int64", **never}, due: {"type": "timestamp", **never}}
                | {column: {"type": "float64", "between": [-10, 10]} for column in numbers}
                | {column: {"type": "category", "in": list(LEVELS)} for column in texts},
            },
            "Schäden": {
                "source": {"kind": "csv", "path": "drops/outcomes-*.csv"},
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
        "gate": {"window": "14 days", "floor": {"roc_auc": 0.6}, "min_rows": 200},
        "monitoring": {"min_rows": 100},
    }
    return Case(f"random{seed}", rows, outcomes, params)


def deliver(case: Case, project: Project, until: datetime) -> None:
    """Drop, ingest and validate what is known at `until`, as new files."""
    folder = project.root / "drops"
    folder.mkdir(exist_ok=True)
    due = pd.to_datetime(case.outcomes["seen at"])
    for name, frame, lead in (("rows", case.rows, timedelta(days=-1)), ("outcomes", case.outcomes, timedelta(hours=6))):
        frame[due + lead <= until].to_csv(folder / f"{name}-{until:%m%d}.csv", index=False)
    for table in project.params.tables:
        assert not ingest(project, table, until).refused
        assert validate(project, table).quarantined == 0


@pytest.mark.parametrize("seed", [1, 6])
def test_from_zero_to_a_champion_and_a_monitored_week(
    seed: int, tmp_path: Path, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    case = make_case(seed)
    with (tmp_path / "params.yaml").open("w") as stream:
        YAML().dump(case.params, stream)
    root = tmp_path / "clone"
    clone_repository(root, (tmp_path / "params.yaml").read_text())
    project = Project.load(root)
    check_expressions(project.params)
    first, end = START + timedelta(days=FIRST), START + timedelta(days=DAYS)

    deliver(case, project, first)
    assert begin(project, first).run
    build = take_snapshot(project, first).build
    for stage in ("features", "train", "evaluate"):
        run_stage(project, build, stage)
    tracked = track(project, build)
    decided = gate(project, build, first, "a test")
    assert promote(project, decided.decision).promoted, decided.reason
    client = mlflow.MlflowClient(mlflow_uri)
    assert int(client.get_model_version_by_alias(case.name, "champion").version) == tracked.version

    deliver(case, project, end)
    score(project, end, timedelta(days=DAYS - FIRST))
    watched = monitor(project, end)
    record = watched.record
    assert record is not None
    known = pd.to_datetime(case.outcomes["seen at"]) + timedelta(hours=6)
    start = datetime.fromisoformat(record["start"])
    stop = datetime.fromisoformat(record["end"])
    assert record["rows"] == ((known > start) & (known <= stop)).sum()
    assert (record["mature"], watched.drift_report is not None) == (True, True)
    assert snapshot(project, end).rows == {"Teile": len(case.rows), "Schäden": int((known <= end).sum())}
    champion = Ledger.open(project.home).champion(case.name)
    assert champion is not None
    assert champion.build == build
