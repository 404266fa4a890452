"""The grammar of every path and every shared name.

State lives in one folder, the home (`.evergreen` beside the main checkout's `.git`, or `EVERGREEN_HOME`):

    format.json                             the format of all this
    clock.json                              wall or replay time
    ledger.db                               decisions, requests, monitored windows
    lake/<name>/raw/<table>/                typed Parquet as the source said it, with *.rejects.parquet for records that
                                            could not be rows, and ledger/<seq>.json manifests
    lake/<name>/clean|quarantine/<table>/   f(one raw file, contract)
    lake/<name>/validation/<table>/         which result counts for a raw file, and why rows failed
    lake/<name>/predictions/                what the champion said, with manifests like raw
    builds/<name>/<id>/                     a build's git worktree
    models/<name>/<id>/                     a registered build's model, twin and reference
    searches/<name>/<id>.journal            the trials of a search, in Optuna's storage
    evidence/<sha256>.parquet               the rows that a decision was made on
    reports/<name>/                         Evidently reports; backtest/, the page and the figures of a backtest
    cards/<name>/<id>.html                  a build's model card
    backtest/<name>/                        the feature table of a backtest and its fits; may be deleted, costs time
    dvc/cache, dvc/remote                   the shared DVC cache, the default remote
    dvc/site/<name>/<id>/                   what DVC notes for itself of one build
    connections.json                        of the servers that `evergreen up` starts; only its owner reads it
    mirror/                                 what this host knows of the bucket, where EVERGREEN_LAKE_URL names one: then
                                            lake, reports, cards and evidence are there under the same names
                                            (`gs://<bucket>/<prefix>/lake/<name>/...`), and here is a copy
    locks/  airflow/  mlflow/  postgres/  kafka/  gcs/  run/  logs/  drops/

Names that others see: DAG `<name>_<stage>`, asset `evergreen://<name>/<what>`, git tag `build/<name>/<id>`,
registered model `<name>`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_roots: set[Path] = set()  # of the homes of this process


@dataclass(frozen=True)
class Home:
    """The state folder; every place in it is asked for here."""

    root: Path

    def __post_init__(self) -> None:
        _roots.add(self.root)

    @property
    def stamp(self) -> Path:
        return self.root / "format.json"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger.db"

    @property
    def clock(self) -> Path:
        return self.root / "clock.json"

    def lake(self, name: str) -> Path:
        return self.root / "lake" / name

    def builds(self, name: str) -> Path:
        return self.root / "builds" / name

    def models(self, name: str) -> Path:
        return self.root / "models" / name

    def searches(self, name: str) -> Path:
        return self.root / "searches" / name

    def reports(self, name: str) -> Path:
        return self.root / "reports" / name

    def cards(self, name: str) -> Path:
        return self.root / "cards" / name

    def card(self, name: str, build: str) -> Path:
        return self.cards(name) / f"{build}.html"

    def backtest(self, name: str) -> Path:
        return self.root / "backtest" / name

    @property
    def evidence(self) -> Path:
        return self.root / "evidence"

    @property
    def dvc(self) -> Path:
        return self.root / "dvc"

    @property
    def mirror(self) -> Path:
        return self.root / "mirror"

    @property
    def locks(self) -> Path:
        return self.root / "locks"

    @property
    def airflow(self) -> Path:
        return self.root / "airflow"

    @property
    def mlflow(self) -> Path:
        return self.root / "mlflow"

    @property
    def connections(self) -> Path:
        return self.root / "connections.json"

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def kafka(self) -> Path:
        return self.root / "kafka"

    @property
    def gcs(self) -> Path:
        return self.root / "gcs"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def logs(self) -> Path:
        return self.root / "logs"


def home_of(path: Path) -> Home | None:
    """The home that `path` was asked from; None where it lies in none of this process."""
    found = max((root for root in _roots if path.is_relative_to(root)), key=lambda root: len(root.parts), default=None)
    return None if found is None else Home(found)


def asset_uri(name: str, what: str) -> str:
    """`evergreen://rides/clean`; what is one of clean, predictions, request, champion."""
    return f"evergreen://{name}/{what}"


def build_tag(name: str, build: str) -> str:
    """`build/rides/20130401T0400-1a2b3c4`."""
    return f"build/{name}/{build}"


def build_id(as_of: datetime, base_commit: str) -> str:
    """`20130401T0400-1a2b3c4`: the same moment and the same code are the same build.

    Seconds are written where there are any: two runs by hand within a minute are two builds.
    """
    moment = as_of.astimezone(UTC)
    return f"{moment:%Y%m%dT%H%M%S}".removesuffix("00") + f"-{base_commit[:7]}"


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
