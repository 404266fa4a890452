"""build/training.json: what a training run used and made."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from evergreen.errors import EvergreenError
from evergreen.files import read_json, write_atomic
from evergreen.params.prediction import Kind


class TrainingRecord(BaseModel):
    """The facts of one training run; it holds no wall time and no path, so equal runs write equal bytes."""

    model_config = ConfigDict(frozen=True)

    kind: Kind = "binary"
    classes: tuple[str, ...] = ()  # of a multiclass label, in the order of predictions
    cutoff: datetime  # the gate window is what became known in (judge_from, cutoff]
    judge_from: datetime
    refit: bool = True  # whether the model has learned from the gate window too; its twin never has
    rows: int
    positives: int | None  # true labels of a binary kind
    twin_rows: int
    window_rows: int
    estimator: str
    baseline: str | None
    features: tuple[str, ...]
    categorical: tuple[str, ...]
    model_sha256: str
    twin_sha256: str
    baseline_sha256: str | None
    environment: dict[str, str]

    @property
    def learned_until(self) -> datetime:
        """Up to when what the model has learned was known."""
        return self.cutoff if self.refit else self.judge_from

    @classmethod
    def read(cls, path: Path) -> TrainingRecord:
        """Read a training.json; raise EvergreenError where there is none."""
        try:
            return read_json(cls, path, "run `dvc repro`, or `evergreen train`", EvergreenError)
        except FileNotFoundError:
            raise EvergreenError(f"{path} is missing; run `dvc repro`, or `evergreen train` first") from None

    def write(self, path: Path) -> None:
        """Write it atomically."""
        write_atomic(path, self.model_dump_json(indent=2) + "\n")
