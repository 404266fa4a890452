"""`training`: from a feature table to a candidate."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from evergreen.params.base import Duration, Section
from evergreen.params.prediction import LabelName

EstimatorName = Literal["hist_gradient_boosting", "lightgbm", "random_forest", "decision_tree", "logistic", "ridge"]
Weight = Annotated[float, Field(gt=0)]


class Calibration(Section):
    """Probabilities made to agree with what happened, on rows that the estimator did not learn from."""

    method: Literal["isotonic", "sigmoid"]
    share: float = Field(0.2, gt=0, le=0.5, description="Share of the training rows, the last by time, kept for it.")


def _as_calibration(value: Any) -> Any:
    return {"method": value} if isinstance(value, str) else value


class OutOfFold(Section):
    """Out-of-fold predictions of the training rows: the monitor's reference."""

    folds: int = Field(4, ge=2, le=20, description="Folds, made of whole blocks in turn.")
    block: Duration = Field("7 days", validate_default=True, description="Length of a block.")


class Training(Section):
    """The estimator and the rows it learns from."""

    estimator: EstimatorName = Field(description="Name in the estimator catalog.")
    options: dict[str, Any] = Field(default_factory=dict, description="Arguments of the estimator.")
    class_weight: Literal["balanced"] | dict[LabelName, Weight] | None = Field(
        None,
        description="Weight of each label's rows, such as `{true: 5}` (others 1), or `balanced`: by rarity. It shifts "
        "the probabilities, so it needs a threshold, or a calibration, that knows of it.",
    )
    monotonic: dict[str, Literal["increasing", "decreasing"]] = Field(
        default_factory=dict, description="Feature: how the prediction may move as it grows, all else equal."
    )
    calibration: Annotated[Calibration | None, BeforeValidator(_as_calibration)] = Field(
        None, description="`isotonic` or `sigmoid`, or a section; null: the estimator's probabilities as they are."
    )
    baseline: EstimatorName | None = Field(
        "logistic",
        description="A simpler model judged beside the candidate; null for none. A regression's is `ridge` by default.",
    )
    window: Duration | None = Field(None, description="Train on labels known in this span; null: all (expanding).")
    refit: bool = Field(
        True,
        description="Train what serves on the gate window's rows too, once its twin was judged on them without having "
        "seen them; false: the twin itself serves, which has not learned from the newest rows.",
    )
    seed: int = 0
    out_of_fold: OutOfFold = OutOfFold()
    min_labels: int = Field(500, ge=1, description="Fewer training rows with a label are an error.")
