"""`gate`'s limits beside its verdict on the whole window: calibration, segments, fairness, refit, size and latency."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from evergreen.params.base import Section
from evergreen.params.prediction import Kind

FairnessLimit = Literal["demographic_parity_difference", "demographic_parity_ratio", "equalized_odds_difference",
                        "equalized_odds_ratio", "equal_opportunity_difference", "equal_opportunity_ratio",
                        "false_positive_rate_difference", "accuracy_difference", "macro_recall_difference",
                        "macro_f1_difference", "mae_difference", "mae_ratio", "bias_difference"]  # fmt: skip
FAIRNESS: dict[Kind, tuple[FairnessLimit, ...]] = {
    "binary": ("demographic_parity_difference", "demographic_parity_ratio", "equalized_odds_difference",
               "equalized_odds_ratio", "equal_opportunity_difference", "equal_opportunity_ratio",
               "false_positive_rate_difference", "accuracy_difference"),
    "multiclass": ("accuracy_difference", "macro_recall_difference", "macro_f1_difference"),
    "regression": ("mae_difference", "mae_ratio", "bias_difference"),
}  # fmt: skip

_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SIZE = re.compile(rf"^\s*(\d+(?:\.\d+)?)\s*({'|'.join(_UNITS)})\s*$")


def parse_size(value: Any) -> Any:
    """Turn `50 MB` or `1.5 GiB` into bytes; a number of bytes stays. Raises ValueError for other text."""
    if not isinstance(value, str):
        return value
    match = _SIZE.match(value)
    if match is None:
        raise ValueError(f"write a size as a number and a unit ({', '.join(_UNITS)}), such as `50 MB`")
    return int(float(match[1]) * _UNITS[match[2]])


Size = Annotated[int, BeforeValidator(parse_size)]


class Calibration(Section):
    """The candidate is rejected where its calibration error is shown to be larger than the champion's and a margin."""

    margin: float = Field(
        0.02,
        ge=0,
        description="By how much the error may be larger: of probabilities and of shares below the prediction "
        "(`mae`) as it is, of values (`mse`) in standard deviations of the label.",
    )


class SegmentLimit(Section):
    """The candidate is rejected where it is shown to be worse than the champion in a segment, by a margin."""

    margin: float | None = Field(
        None, ge=0, description="In the unit of `gate.metric`; null: a twentieth of what the champion has there."
    )
    confidence: float = Field(
        0.95,
        gt=0.5,
        lt=1,
        description="Of all segments together, by Holm: of candidates that are worse in none, at most one in twenty is "
        "rejected.",
    )
    min_rows: int = Field(200, ge=1, description="A segment of fewer rows is counted and named, not judged.")


class RefitLimit(Section):
    """The candidate is rejected where the refit is worse than its twin on rows that the refit has learned from."""

    margin: float | None = Field(
        None,
        ge=0,
        description="In the unit of `gate.metric`; null: a twentieth of the twin's, or half of its gain.",
    )
