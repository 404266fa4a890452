"""`search`: which of the estimator's options are looked for, how, and how each try is judged."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from evergreen.params.base import Duration, Section, nearest
from evergreen.params.prediction import Kind

Scalar = bool | int | float | str | None

Score = Literal["log_loss", "brier", "roc_auc", "pr_auc", "macro_roc_auc", "mae", "mse", "rmse", "r2"]

SCORES: dict[Kind, tuple[Score, ...]] = {  # the default first
    "binary": ("log_loss", "brier", "roc_auc", "pr_auc"),
    "multiclass": ("log_loss", "brier", "macro_roc_auc"),
    "regression": ("mae", "mse", "rmse", "r2"),
}
TRIALS = 20
GRID = 200  # points of a grid without `trials`: more is more often a slip than a wish


class Parameter(Section):
    """Values of one option: a list of them, or `{int: [50, 400], step: 50}`, `{float: [0.02, 0.3], log: true}`."""

    choices: list[Scalar] | None = Field(None, min_length=1, description="The same as the list alone.")
    int_: list[int] | None = Field(None, alias="int", min_length=2, max_length=2, description="Least and greatest.")
    float_: list[float] | None = Field(None, alias="float", min_length=2, max_length=2, description="The same.")
    step: float | None = Field(None, gt=0, description="Distance of the values of a range; a grid needs it.")
    log: bool = Field(False, description="Small values are tried as often as large ones.")

    @model_validator(mode="before")
    @classmethod
    def _list_alone(cls, value: Any) -> Any:
        if isinstance(value, list):
            return {"choices": value}
        if not isinstance(value, dict):
            raise ValueError("write the values as a list, or a range as `{int: [50, 400], step: 50}`")
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> Parameter:
        if sum(kind is not None for kind in (self.choices, self.int_, self.float_)) != 1:
            raise ValueError("write one of a list of values, `int: [least, greatest]` and `float: [least, greatest]`")
        if self.choices is not None:
            if self.step is not None or self.log:
                raise ValueError("`step` and `log` are for ranges, not for a list of values")
            if any(isinstance(one, float) and not math.isfinite(one) for one in self.choices):
                raise ValueError("a value is not finite, which search.json cannot hold")
            if len({(type(one), one) for one in self.choices}) < len(self.choices):
                raise ValueError("a value stands twice in the list")
            return self
        low, high = self.range
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError("a range is `[least, greatest]`, two different finite numbers in that order")
        if self.log and low <= 0:
            raise ValueError("`log` needs a range above 0")
        if self.log and self.step is not None:
            raise ValueError("`step` and `log` exclude each other")
        if self.step is not None and (self.step > high - low or (self.int_ and self.step % 1)):
            raise ValueError("`step` must fit into the range, and that of an `int` be a whole number")
        return self

    @property
    def range(self) -> tuple[float, float]:
        """Least and greatest value."""
        low, high = self.int_ or self.float_ or (math.nan, math.nan)
        return low, high

    def points(self) -> list[Scalar]:
        """The values in order, of a list or of a range with `step`; exact where floats would drift."""
        if self.choices is not None:
            return list(self.choices)
        kind = int if self.int_ else float
        low, high = (Decimal(str(end)) for end in self.range)
        step = Decimal(str(self.step))
        return [kind(low + place * step) for place in range(int((high - low) // step) + 1)]


class Folds(Section):
    """Rows to learn from and later rows to judge by. Only rows known before the gate window are used."""

    kind: Literal["expanding", "sliding", "k_fold", "stratified"] = Field(
        "expanding",
        description="`expanding` and `sliding` go by time: each fold has a cut-off, learns from labels known by then "
        "and is judged on rows predicted after it. The others mix times: for rows that time does not order.",
    )
    count: int = Field(3, ge=1, le=20, description="Folds.")
    window: Duration | None = Field(None, description="`sliding` learns from labels known in this span.")
    gap: Duration = Field(
        "0 days", validate_default=True, description="Beyond the label's own delay, which is always kept."
    )

    @model_validator(mode="after")
    def _fits_the_kind(self) -> Folds:
        if (self.kind == "sliding") != (self.window is not None):
            raise ValueError("`window` is for `sliding` folds, which need it, such as `90 days`")
        if self.kind in ("k_fold", "stratified"):
            if self.count < 2:
                raise ValueError(f"`{self.kind}` needs a `count` of at least 2")
            if self.gap:
                raise ValueError("`gap` is for folds that go by time")
        return self


class Search(Section):
    """Looks for the estimator's options; what it chose is written to search.json, which `train` reads."""

    method: Literal["grid", "random", "optuna"] = Field(
        "random", description="`optuna` is its tree-structured Parzen estimator (TPE), which learns from the trials."
    )
    space: dict[str, Parameter] = Field(
        default_factory=dict, description="Options of the estimator and their values; none: nothing is looked for."
    )
    trials: int | None = Field(
        None, ge=1, le=10_000, description=f"How many are tried: {TRIALS} by default, and all points of a grid."
    )
    budget: Duration | None = Field(None, description="The search ends after this time, with the best so far.")
    seed: int = Field(0, ge=0)
    metric: Score | None = Field(None, description="null: `log_loss`, and `mae` for a regression.")
    folds: Folds = Folds()
    prune: bool = Field(True, description="`optuna` gives a trial up that is worse than the median after a fold.")
    parallel: int = Field(1, ge=1, le=64, description="Processes, or mapped tasks of the retrain DAG.")
    when: Literal["always", "asked"] = Field(
        "asked", description="In each retrain run, or in those that are given `search`."
    )

    @field_validator("space")
    @classmethod
    def _named(cls, value: dict[str, Parameter]) -> dict[str, Parameter]:
        return dict(sorted(value.items()))  # the order of lines in params.yaml is no other search

    @model_validator(mode="after")
    def _grid_has_points(self) -> Search:
        if self.method != "grid":
            return self
        for name, parameter in self.space.items():
            if parameter.choices is None and parameter.step is None:
                low, high = parameter.range
                raise ValueError(
                    f"a grid needs the points of `{name}`: add a `step` to its range, or list the values, such as "
                    f"`{name}: [{low:g}, {high:g}]`"
                )
        points, most = math.prod(len(one.points()) for one in self.space.values()), self.trials or GRID
        if points > most:
            raise ValueError(
                f"the grid has {points} points, more than {most}: make its steps wider, take `method: random`, or set "
                f"`trials: {points}` if all are meant"
            )
        return self

    @property
    def count(self) -> int:
        """Trials beside that of the options as configured."""
        if self.method == "grid":
            return math.prod(len(one.points()) for one in self.space.values())
        return self.trials or TRIALS

    def metric_of(self, kind: Kind) -> Score:
        """What trials on labels of this kind are compared by."""
        return self.metric or SCORES[kind][0]

    def require_fit(self, kind: Kind) -> None:
        """Raise ValueError for a metric, or folds, that labels of this kind do not have."""
        if self.metric is not None and self.metric not in SCORES[kind]:
            raise ValueError(f"search.metric: not for a {kind} label; {nearest(self.metric, SCORES[kind])}")
        if self.folds.kind == "stratified" and kind == "regression":
            raise ValueError("search.folds.kind: numbers have no classes to stratify by; take `k_fold`")

    def space_as_json(self) -> dict[str, Any]:
        """The space as search.json holds it."""
        return {
            name: one.model_dump(mode="json", by_alias=True, exclude_defaults=True) for name, one in self.space.items()
        }
