"""`preprocess` and `training`: from a feature table to a candidate."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from evergreen.params.base import Duration, Section

EstimatorName = Literal["hist_gradient_boosting", "lightgbm", "random_forest", "decision_tree", "logistic", "ridge"]


def _as_label(value: Any) -> Any:
    """A label as text: YAML reads `true` and `1` as what they are."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


LabelName = Annotated[str, BeforeValidator(_as_label)]
Weight = Annotated[float, Field(gt=0)]


class Numeric(Section):
    """Numeric columns."""

    impute: Literal["none", "median", "mean"] = Field("none", description="`none` leaves nulls to the estimator.")
    scale: Literal["none", "standard"] = "none"


class Categorical(Section):
    """Categorical columns."""

    encode: Literal["native", "one_hot", "ordinal"] = Field(
        "native", description="`native` hands categories to an estimator that knows them."
    )


class Preprocess(Section):
    """The row-level part of the scikit-learn Pipeline, in the same artifact as the estimator."""

    numeric: Numeric = Numeric()
    categorical: Categorical = Categorical()


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
    baseline: EstimatorName | None = Field(
        "logistic",
        description="A simpler model judged beside the candidate; null for none. A regression's is `ridge` by default.",
    )
    window: Duration | None = Field(None, description="Train on labels known in this span; null: all (expanding).")
    seed: int = 0
    out_of_fold: OutOfFold = OutOfFold()
    min_labels: int = Field(500, ge=1, description="Fewer training rows with a label are an error.")
