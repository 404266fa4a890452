"""Candidate and champion on the same rows: those of the gate window, which neither has learned from."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from evergreen import clock
from evergreen.errors import EvergreenError, RegistryError
from evergreen.params.prediction import Kind
from evergreen.project import Project
from evergreen.registry.bundle import Bundle
from evergreen.registry.gate import Facts, Latency
from evergreen.registry.serving import size_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Which = Literal["model", "twin"] | None


@dataclass(frozen=True)
class Opponent:
    """The champion as it can be judged: `which` is None where neither of its models can be, and `why` says why."""

    bundle: Bundle
    promoted: datetime  # the promotion's as_of
    which: Which
    why: str | None = None

    @property
    def sha256(self) -> str | None:
        """The hash of the model that is compared."""
        training = self.bundle.training
        return {"model": training.model_sha256, "twin": training.twin_sha256}[self.which] if self.which else None

    @property
    def cutoff(self) -> datetime | None:
        """Up to where the model that is compared has learned."""
        training = self.bundle.training
        return {"model": training.learned_until, "twin": training.judge_from}[self.which] if self.which else None

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """What the model that is compared says; raises RegistryError where its file was altered."""
        from evergreen.training.artifacts import predict

        p: np.ndarray = predict(self.bundle.model() if self.which == "model" else self.bundle.twin(), frame)
        return p

    def predict_classes(self, frame: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
        """The same in the order of `classes`, (rows, classes); to one that it does not know it gives no chance."""
        import numpy as np

        own, p = self.bundle.training.classes, self.predict(frame)
        columns = [p[:, own.index(name)] if name in own else np.zeros(len(p)) for name in classes]
        return np.column_stack(columns)


def opponent(champion: Bundle, promoted: datetime, judge_from: datetime, kind: Kind = "binary") -> Opponent:
    """The champion's own model where it learned from nothing in the window, else its twin, else neither.

    Neither is judged on labels of a `kind` that is not its own.
    """
    training = champion.training
    if training.kind != kind:
        why = (
            f"the champion {champion.build} predicts a {training.kind} label, and this one is {kind}: what is to be "
            "predicted otherwise is another use case, with a `name` of its own in params.yaml"
        )
        return Opponent(champion, promoted, None, why)
    which, why_not = comparable(champion.build, training.learned_until, training.judge_from, judge_from)
    return Opponent(champion, promoted, which, why_not)


def comparable(build: str, cutoff: datetime, twin_cutoff: datetime, judge_from: datetime) -> tuple[Which, str | None]:
    """Which of a champion's two models can be judged on a window from `judge_from`; None, and why, where neither can.

    `cutoff` is up to where its model has learned, `twin_cutoff` the same of its twin.
    """
    if cutoff <= judge_from:
        return "model", None
    if twin_cutoff <= judge_from:
        return "twin", None
    return None, (
        f"the gate window starts at {clock.format_time(judge_from)}, but even the twin of the champion {build} has "
        f"learned from labels up to {clock.format_time(twin_cutoff)}"
    )


def facts_of(
    candidate: Bundle,
    champion: Opponent | None,
    as_of: datetime,
    threshold: float | None,
    latencies: Sequence[Latency] = (),
    known: int | None = None,
) -> Facts:
    """What the gate knows besides the rows; `latencies` are of the models that serve, the candidate's first.

    `known` is how many rows the candidate's twin could have learned from.
    """
    own, other = (*latencies, None, None)[:2]
    its = {} if champion is None else {
        "champion_build": champion.bundle.build, "champion_model": champion.which,
        "champion_sha256": champion.sha256, "champion_cutoff": champion.cutoff,
        "incomparable": champion.why, "last_promotion": champion.promoted,
        "champion_model_sha256": champion.bundle.training.model_sha256,
        "champion_size": size_of(champion.bundle.path("model.pkl")), "champion_latency": other,
    }  # fmt: skip
    return Facts(
        as_of=as_of,
        time_zone=candidate.params.time_zone,
        kind=candidate.training.kind,
        classes=candidate.training.classes,
        build=candidate.build,
        candidate_sha256=candidate.training.twin_sha256,
        candidate_cutoff=candidate.training.judge_from,
        window_end=candidate.training.cutoff,
        threshold=threshold,
        model_sha256=candidate.training.model_sha256,
        size=size_of(candidate.path("model.pkl")),
        latency=own,
        twin_rows=candidate.training.twin_rows,
        twin_rows_known=known,
        **its,
    )


def threshold_of(project: Project, candidate: Bundle) -> float | None:
    """The decision threshold that `evaluate` chose, on rows that are not judged; None of a label that has none."""
    if candidate.training.kind != "binary":
        return None
    path = project.build / "metrics.json"
    try:
        threshold = float(json.loads(path.read_text())["threshold"])
        if not math.isfinite(threshold):
            raise ValueError("no number")
        return threshold
    except (OSError, ValueError, KeyError, TypeError):
        raise EvergreenError(
            f"{path} is missing or has no `threshold`: run the build's stage `evaluate` again"
        ) from None


def candidate_predictions(project: Project, candidate: Bundle, frame: pd.DataFrame) -> np.ndarray:
    """What the candidate's stored twin says, of shape (rows,) or (rows, classes).

    Raises RegistryError where build/judged.parquet, which metrics and plots were made of, says something else: what is
    judged here is what was shown there.
    """
    import numpy as np

    from evergreen.training.artifacts import predict
    from evergreen.training.frame import read_frame
    from evergreen.training.predictions import as_array

    p: np.ndarray = predict(candidate.twin(), frame)
    path = project.build / "judged.parquet"
    shown = read_frame(path, ["_key", "p"])
    same = list(shown["_key"]) == list(frame["_key"])
    close = same and np.allclose(as_array(shown["p"], len(candidate.training.classes)), p, **_tolerance(p))
    if not close:
        raise RegistryError(
            f"{path} does not hold what the stored twin of {candidate.build} predicts for the gate window: run the "
            "build's stages `features`, `train` and `evaluate` again"
        )
    return p


def _tolerance(p: np.ndarray) -> dict[str, Any]:
    """What another processor's sums may differ by: of probabilities, and of values by their size."""
    import numpy as np

    scale = max(1.0, float(np.nanmax(np.abs(p), initial=0.0)))
    return {"rtol": 0, "atol": 1e-9 * (scale if np.isfinite(scale) else 1.0), "equal_nan": True}


def champion_frame(project: Project, candidate: Bundle, champion: Opponent, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of `frame` with the champion's own definition of every feature.

    Where the candidate's params define features otherwise, the champion's are computed from the candidate's snapshot.
    Raises EvergreenError, saying why, where that cannot be done or does not give the same rows.
    """
    if _defines_alike(candidate, champion.bundle):
        return frame
    own = _features_by(project, champion.bundle, frame)
    absent = int((~frame["_key"].isin(own.index)).sum())
    if absent or not own.index.is_unique:
        raise EvergreenError(
            f"the champion's params do not give the same rows: {absent} of {len(frame)} have no row by the same key"
        )
    return own.loc[frame["_key"]].reset_index()


def champion_predictions(candidate: Bundle, champion: Opponent, own: pd.DataFrame) -> np.ndarray:
    """What the champion says of its own rows, shaped as the candidate's predictions."""
    classes = candidate.training.classes
    return champion.predict_classes(own, classes) if classes else champion.predict(own)


def refit_predictions(candidate: Bundle, model: Any, frame: pd.DataFrame) -> np.ndarray | None:
    """What the model that would serve says of rows that it has learned from; None where it is the twin itself."""
    from evergreen.training.artifacts import predict

    if candidate.training.model_sha256 == candidate.training.twin_sha256:
        return None
    p: np.ndarray = predict(model, frame)
    return p


def _defines_alike(one: Bundle, other: Bundle) -> bool:
    """Whether equal rows give equal features: everything that a feature's value comes from is the same.

    The label is no part of it: what is said of the same inputs may be compared on another one.
    """
    sections = ("time_zone", "tables", "features")
    if any(getattr(one.params, section) != getattr(other.params, section) for section in sections):
        return False
    mine, theirs = one.params.prediction, other.params.prediction
    return (mine.rows, mine.at) == (theirs.rows, theirs.at)


def _features_by(project: Project, bundle: Bundle, frame: pd.DataFrame) -> pd.DataFrame:
    """The features by the bundle's params at the moments of `frame`, from the snapshot of `project`, by `_key`."""
    from datetime import UTC, timedelta

    from evergreen.features.engine import connect
    from evergreen.features.table import feature_table
    from evergreen.lake.snapshots import load_snapshot

    tables = load_snapshot(connect(), Project(project.root, bundle.params, project.home))
    first, last = (
        moment.to_pydatetime().replace(tzinfo=UTC) for moment in (frame["_time"].min(), frame["_time"].max())
    )
    table = feature_table(tables, bundle.params, after=first - timedelta(microseconds=1), until=last)
    own: pd.DataFrame = table.to_pyarrow().to_pandas().set_index("_key")
    return own
