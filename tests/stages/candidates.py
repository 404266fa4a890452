"""Real builds with planted rows: worktrees, models and bundles as the retrain run makes them, without its DVC runs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import datetime

import pandas as pd

from evergreen.builds.records import Build
from evergreen.builds.worktree import ensure_build, open_build
from evergreen.project import Project
from evergreen.registry.bundle import Bundle, load_bundle, store_bundle
from evergreen.stages.evaluate import evaluate
from evergreen.stages.features import features
from evergreen.stages.ingest import ingest
from evergreen.stages.snapshot import snapshot
from evergreen.stages.train import train
from evergreen.stages.validate import validate
from tests.synthetic import TIMES, feature_frame, write_features


class Candidates:
    """Builds of one project; every build sees the same world, up to its own `as_of`."""

    def __init__(self, project: Project) -> None:
        self.project = project
        place = project.root / ".dvc"
        place.mkdir()
        (place / "config").write_text("[core]\n    analytics = false\n")
        (place / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
        self._commit("dvc")

    def make(
        self,
        as_of: datetime,
        until: datetime | None = None,
        change: Callable[[pd.DataFrame], pd.DataFrame] = lambda frame: frame,
    ) -> str:
        """A trained, evaluated and stored build on the labels known at `until` (default: `as_of`)."""
        build = open_build(self.project, as_of)
        frame = feature_frame()
        unknown = frame["_label_known_at"] > pd.Timestamp(until or as_of).tz_convert("UTC").tz_localize(None)
        frame.loc[unknown, "_label"] = None
        frame.loc[unknown, TIMES] = pd.NaT
        frame = change(frame[["_key", "_time", *build.project.params.features.names(), "_label", *TIMES]])
        write_features(build.project, frame)
        return self._train(build)

    def make_from_lake(self, as_of: datetime) -> str:
        """The same from the rows that the lake knows at `as_of`."""
        build = open_build(self.project, as_of)
        snapshot(build.project, as_of)
        features(build.project)
        return self._train(build)

    def fill_lake(self, as_of: datetime) -> None:
        """Ingest the world's rows as two tables."""
        frame = feature_frame()
        due = frame["_time"] + pd.Timedelta(hours=1)
        jobs = pd.DataFrame({"id": frame.index, "due": due, "team": frame["team"], "size": frame["size"]})
        outcomes = jobs[["id", "due", "team"]].assign(late=frame["_label"] * 20).dropna()
        drops = self.project.root / "drops"
        drops.mkdir()
        for table, rows in (("jobs", jobs), ("outcomes", outcomes)):
            rows.to_csv(drops / f"{table}-1.csv", index=False)
            ingest(self.project, table, as_of)
            validate(self.project, table)

    def resend(self, outcomes: pd.DataFrame, as_of: datetime) -> None:
        """Ingest rows of `outcomes` again, as `fill_lake` left them but for what was changed."""
        outcomes.to_csv(self.project.root / "drops" / "outcomes-2.csv", index=False)
        ingest(self.project, "outcomes", as_of)
        validate(self.project, "outcomes")

    def here(self, build: str) -> Project:
        """The project in a build's worktree."""
        return ensure_build(self.project, build).project

    def bundle(self, build: str) -> Bundle:
        """A build's stored bundle."""
        return load_bundle(self.project.home, self.project.name, build)

    def change_params(self, old: str, new: str) -> None:
        """Edit params.yaml and commit it."""
        path = self.project.root / "params.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        self._commit("params")
        self.project = Project.load(self.project.root)

    def _train(self, build: Build) -> str:
        train(build.project)
        evaluate(build.project)
        store_bundle(build.project, build.id)
        return build.id

    def _commit(self, message: str) -> None:
        for command in (["add", "."], ["commit", "-qm", message]):
            subprocess.run(["git", "-C", str(self.project.root), *command], check=True)
