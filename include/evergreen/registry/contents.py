"""What a build's MLflow run holds, read from the outputs of its stages: the same whether they ran or were cached."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evergreen.builds.commit import Commit
from evergreen.builds.differences import flat, outputs
from evergreen.clock import format_time
from evergreen.project import Project
from evergreen.registry.bundle import Bundle
from evergreen.training.chosen import SearchRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.types import Schema

_SECTIONS = ("training", "preprocess", "evaluation", "gate")
EVALUATION = "evaluation.json"


@dataclass(frozen=True)
class Outcome:
    """A finished build: its project in the worktree, its bundle and its commit."""

    project: Project
    bundle: Bundle
    commit: Commit

    @cached_property
    def images(self) -> dict[str, bytes]:
        """The build's plots as PNG, by name; equal plots give equal bytes."""
        from evergreen.training.plots import images

        return images(self.project.build / "plots")

    @property
    def snapshot(self) -> dict[str, Any]:
        """snapshot.json."""
        return dict(json.loads(self.project.snapshot.read_text()))

    @property
    def search(self) -> SearchRecord:
        """search.json."""
        return SearchRecord.read(self.project.search)

    @property
    def lock_sha256(self) -> str:
        """The hash of dvc.lock, and by it that of all outputs."""
        return hashlib.sha256((self.project.root / "dvc.lock").read_bytes()).hexdigest()


def params(outcome: Outcome) -> dict[str, str]:
    """The sections of params.yaml that shape a candidate, flat: `training.options.max_iter`."""
    tree = outcome.project.params.model_dump(mode="json", include=set(_SECTIONS))
    names = {"features": ", ".join(outcome.bundle.training.features)}
    names |= {f"search.chosen.{key}": str(value) for key, value in outcome.search.chosen.items()}
    return {key: str(value) for key, value in flat(tree)} | names


def metrics(outcome: Outcome) -> dict[str, float]:
    """metrics.json, flat: `roc_auc`, `baseline.roc_auc`, `confusion.tp`; a metric that is undefined is left out.

    The headlines of evaluation.json stand beside them as `evaluation.roc_auc.low`; older builds have none.
    """
    from evergreen.training.evaluation import Evaluation

    tree = json.loads((outcome.project.build / "metrics.json").read_text())
    found = {key: float(value) for key, value in flat(tree) if value is not None}
    path = outcome.project.build / EVALUATION
    if path.exists():
        found |= {f"evaluation.{key}": value for key, value in Evaluation.read(path).headlines()}
    return found


def tags(outcome: Outcome) -> dict[str, str]:
    """Where everything came from."""
    commit, tag = outcome.commit.sha, outcome.commit.tag
    hashes = {f"dvc.md5.{path}": md5 for path, md5 in outputs((outcome.project.root / "dvc.lock").read_text()).items()}
    return hashes | {
        "mlflow.source.git.commit": commit,
        "mlflow.source.name": tag,
        "mlflow.note.content": f"Build `{tag}`. To reproduce it: `git checkout {tag} && dvc pull && "
        "dvc repro --force`; docs/reproduce-a-build.md has the rest.",
        "evergreen.tag": tag,
        "evergreen.snapshot": outcome.snapshot["id"],
        "evergreen.cutoff": format_time(outcome.bundle.training.learned_until),
        "evergreen.bundle": outcome.bundle.sha256,
        "dvc.lock.sha256": outcome.lock_sha256,
    }


def feature_schema(outcome: Outcome) -> Schema:
    """The model's inputs: text for categories, double for the rest; any of them may be missing in a row."""
    from mlflow.types import ColSpec, Schema

    record = outcome.bundle.training
    return Schema([ColSpec("string" if name in record.categorical else "double", name) for name in record.features])


def log_dataset(client: MlflowClient, run: str, outcome: Outcome) -> None:
    """Name the snapshot as the run's training data; the same one twice is one."""
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.entities import DatasetInput, InputTag

    snapshot = outcome.snapshot["id"]
    source = {"git.commit": outcome.commit.sha, "git.tag": outcome.commit.tag, "path": "data"}
    data = MetaDataset(
        CodeDatasetSource(source), name=outcome.project.name, digest=snapshot[:36], schema=feature_schema(outcome)
    )
    marks = {"mlflow.data.context": "training", "snapshot": snapshot} | dict(_snapshot_md5(outcome.project))
    inputs = [DatasetInput(data._to_mlflow_entity(), [InputTag(key, value) for key, value in marks.items()])]
    client.log_inputs(run, datasets=inputs)


def log_files(client: MlflowClient, run: str, outcome: Outcome, card: Path | None) -> None:
    """Upload params.yaml (the feature definitions), what describes the build, its card, and its curves."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name in ("params.yaml", "dvc.lock", "snapshot.json", "build/metrics.json", "build/training.json"):
            shutil.copy(outcome.project.root / name, folder)
        if (evaluation := outcome.project.build / EVALUATION).exists():  # builds of before it have none
            shutil.copy(evaluation, folder)
        if outcome.project.search.exists():
            shutil.copy(outcome.project.search, folder)
        plots = outcome.project.build / "plots"
        shutil.copytree(plots, folder / "plots")
        for name, image in outcome.images.items():
            (folder / "plots" / f"{name}.png").write_bytes(image)
        if card is not None:
            shutil.copy(card, folder / "card.html")
        client.log_artifacts(run, str(folder))


def _snapshot_md5(project: Project) -> Iterator[tuple[str, str]]:
    for output in _yaml(project.root / "data.dvc")["outs"]:
        yield "dvc.md5", output["md5"]


def _yaml(path: Path) -> Any:
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(path)
