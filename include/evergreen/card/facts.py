"""What a card is made of, read from a finished build."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from evergreen.builds.commit import Commit
from evergreen.builds.differences import outputs
from evergreen.params import Params
from evergreen.project import Project
from evergreen.training.chosen import SearchRecord
from evergreen.training.evaluation.records import Baseline, Evaluation
from evergreen.training.record import TrainingRecord


@dataclass(frozen=True)
class Facts:
    """One finished build. `images` are PNG by the name of the plot."""

    build: str
    commit: Commit
    params: Params
    snapshot: dict[str, Any]  # snapshot.json
    training: TrainingRecord
    evaluation: Evaluation
    outputs: dict[str, str]  # MD5 of each output of the DVC stages
    images: dict[str, bytes]
    chosen: dict[str, Any]  # options that a search chose

    def called(self, baseline: Baseline) -> str:
        """A baseline's name for people: of the baseline model its estimator's."""
        return self.training.baseline or baseline.name if baseline.name == "model" else baseline.name


def facts_of(project: Project, build: str, commit: Commit, images: dict[str, bytes]) -> Facts:
    """Read a build's outputs in `project`, its worktree; raises EvergreenError where one is missing."""
    return Facts(
        build=build,
        commit=commit,
        params=project.params,
        snapshot=dict(json.loads(project.snapshot.read_text())),
        training=TrainingRecord.read(project.build / "training.json"),
        evaluation=Evaluation.read(project.build / "evaluation.json"),
        outputs=outputs((project.root / "dvc.lock").read_text()),
        images=images,
        chosen=SearchRecord.read(project.search).chosen,
    )
