"""A lake, a trained champion and its promotion, made by the real stages once and copied for each test."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import pandas as pd
import pyarrow as pa

from evergreen.features.engine import connect
from evergreen.features.table import feature_table
from evergreen.lake.known import known_rows
from evergreen.ledger import Decision, Ledger, Promotion
from evergreen.project import Project
from evergreen.registry.bundle import load_bundle, store_bundle
from evergreen.stages.ingest import ingest
from evergreen.stages.score import score
from evergreen.stages.train import train
from evergreen.stages.validate import validate
from evergreen.training.frame import write_table
from tests.conftest import SMALL
from tests.data import day, small_tables

DAYS = 63
TRAINED = 35  # the champion learned from the first 35 days
SHIFT = 49  # from here on far more is late
UNLABELLED = 20  # every 20th job never gets an outcome


@dataclass(frozen=True)
class World:
    """A project whose lake holds 63 days, with the bundles `one` and `two` and nobody promoted."""

    project: Project

    @property
    def ledger(self) -> Ledger:
        return Ledger.open(self.project.home)

    def promote(self, build: str, on: datetime) -> Promotion:
        """Make `build` the champion from `on`."""
        name, ledger = self.project.name, self.ledger
        bundle, previous = load_bundle(self.project.home, name, build), ledger.champion(name)
        decision = Decision(
            id=f"{name}-{build}-{on:%Y%m%d}", name=name, kind="gate", build=build, as_of=on, verdict="promote",
            reason="a test", actor="test",
        )  # fmt: skip
        ledger.record_decision(decision)
        return ledger.record_promotion(
            Promotion(
                name=name, build=build, version=len(ledger.promotions(name)) + 1, bundle=bundle.sha256,
                cutoff=bundle.training.cutoff, as_of=on, decision=decision.id,
                previous_build=previous.build if previous else None,
            )
        )  # fmt: skip

    def configure(self, *changes: tuple[str, str]) -> Project:
        """Edit params.yaml, as a team would while the champion serves."""
        path = self.project.root / "params.yaml"
        text = path.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path.write_text(text)
        return Project.load(self.project.root)

    def bring(self, table: str, frame: pd.DataFrame, as_of: datetime) -> None:
        """Let the source deliver `frame` at `as_of`."""
        _deliver(self.project, table, frame, as_of)


def tables(**changes: int) -> dict[str, pd.DataFrame]:
    """The drops of the world, `late` included, with `_time` and `_known` beside."""
    made = small_tables(DAYS, **{"drift_from": SHIFT, **changes})
    made["outcomes"] = made["outcomes"][made["outcomes"]["id"] % UNLABELLED != 0]
    return made


def rows_between(after: datetime, until: datetime) -> pd.DataFrame:
    """The jobs whose moment of prediction lies in (after, until], with `late` (NaN: no outcome); by hand, in pandas."""
    made = tables()
    rows = made["jobs"].merge(made["outcomes"][["id", "late"]], on="id", how="left")
    rows["_key"] = rows["id"].astype(str)
    rows["_time"] = rows["due"] - timedelta(hours=1)
    rows["_known"] = rows["due"] + timedelta(days=1)
    return rows[(rows["_time"] > after.replace(tzinfo=None)) & (rows["_time"] <= until.replace(tzinfo=None))]


def open_world(folder: Path) -> World:
    """A copy of the world in `folder`."""
    return _copy(_original(), folder)


def open_scored_world(folder: Path) -> World:
    """The same with `one` as champion since its cut-off, and four weeks scored."""
    return _copy(_scored(), folder)


def _copy(root: Path, folder: Path) -> World:
    return World(Project.load(shutil.copytree(root, folder / "world")))


def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="evergreen-world-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def _scored() -> Path:
    world = _copy(_original(), _folder())
    world.promote("one", day(TRAINED))
    score(world.project, day(DAYS), timedelta(days=DAYS - TRAINED))
    return world.project.root


@cache
def _original() -> Path:
    root = _folder()
    (root / "params.yaml").write_text(SMALL)
    subprocess.run(["git", "init", "-q", "-b", "main", str(root)], check=True)
    project = Project.load(root)
    for table, frame in tables().items():
        _deliver(project, table, frame, day(TRAINED))  # what is brought later comes after it
    known = known_rows(connect(), project, day(TRAINED))
    rows = feature_table(known, project.params, until=day(TRAINED), known_until=day(TRAINED))
    write_table(rows.to_pyarrow(), project.build / "features.parquet")
    train(project)
    for build in ("one", "two"):
        store_bundle(project, build)
    return root


def _deliver(project: Project, table: str, frame: pd.DataFrame, as_of: datetime) -> None:
    folder = project.root / "drops"
    folder.mkdir(exist_ok=True)
    number = len(list(folder.glob(f"{table}-*.csv")))
    text = frame.assign(due=frame["due"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")).to_csv(index=False)
    (folder / f"{table}-{number:03d}.csv").write_text(text)
    ingest(project, table, as_of)
    validate(project, table)


def predictions(project: Project) -> pd.DataFrame:
    """All stored predictions, with the inputs as columns of their own."""
    from evergreen.lake.predictions import COLUMNS, read_predictions

    parts = []
    for build in ("one", "two"):
        table = read_predictions(project.lake, build=build, columns=[*COLUMNS, "inputs"])
        if table.num_rows:
            inputs = pa.Table.from_struct_array(table["inputs"]).to_pandas()
            parts.append(pd.concat([table.drop_columns(["inputs"]).to_pandas(), inputs], axis=1))
    return pd.concat(parts, ignore_index=True).sort_values(["build", "_key"], ignore_index=True)
