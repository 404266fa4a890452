"""Calibration: does what is said come true as often as it is said, and no worse than with the champion?

The error is the expected calibration error: groups of rows by neighbouring predictions, at most ten and of 200 rows or
more, and each group's distance between what was said and what came, weighted by its rows. In smaller groups chance
alone makes a distance, and more of it the more groups there are: a model that says little would beat one that says
much. What is held against what depends on what the metric asks:

- binary: the mean probability and the share of positives;
- multiclass: the mean probability of the class that is named and the share of rows where it came;
- regression by `mse`: the mean prediction and the mean label, in standard deviations of the label;
- regression by `mae`, which asks for the median: the share of labels below the prediction and one half.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evergreen.params.gate import Gate
from evergreen.params.prediction import Kind
from evergreen.registry.gate.records import Evidence, Facts, Rule

if TYPE_CHECKING:
    import numpy as np

BINS, LEAST_ROWS = 10, 200


def calibration_error(kind: Kind, metric: str, label: np.ndarray, p: np.ndarray) -> float:
    """The expected calibration error; NaN where it is not defined."""
    import numpy as np

    gap, group = _gaps(kind, metric, label, p)
    return float(np.abs(np.bincount(group, weights=gap)).sum() / len(label)) if len(label) else float("nan")


def calibration(evidence: Evidence, gate: Gate, facts: Facts) -> list[Rule]:
    """Fails where the error is shown to be larger than the champion's by more than the margin."""
    import numpy as np

    from evergreen.registry.bootstrap import Blocks
    from evergreen.training.intervals import calibrated

    if gate.calibration is None or evidence.champion is None:
        return []
    metric, margin = gate.metric_of(facts.kind), gate.calibration.margin
    both = (evidence.candidate, evidence.champion)
    own, other = (calibration_error(facts.kind, metric, evidence.label, p) for p in both)
    blocks = Blocks.of(evidence.day, resamples=gate.resamples, seed=gate.seed)
    drawn = [_resampled(blocks, *_gaps(facts.kind, metric, evidence.label, p)) for p in both]
    larger = drawn[0] - drawn[1] > margin
    numbers = {"candidate": own, "champion": other, "difference": own - other, "margin": margin}
    if not (np.isfinite(own - other) and np.isfinite(drawn).all()):
        return [Rule(rule="calibration", passed=None, text="the calibration error cannot be computed")]
    share, needed = float(larger.mean()), calibrated(gate.confidence, blocks.days)
    passed = share < needed
    text = (
        f"the candidate is {'not shown to be' if passed else 'shown to be'} worse calibrated than "
        f"{facts.champion_build} by more than {margin:g}: expected calibration error {own:.4f} against {other:.4f}, "
        f"beyond the margin in {share:.1%} of resamples, where {needed:.1%} shows it"
    )
    return [Rule(rule="calibration", passed=passed, text=text, numbers=numbers | {"worse": share, "needed": needed})]


def _gaps(kind: Kind, metric: str, label: np.ndarray, p: np.ndarray) -> tuple[Any, Any]:
    """What was said minus what came, by row, and the row's group of neighbouring predictions."""
    import numpy as np

    said, came = p, label
    if kind == "multiclass":
        said, came = p.max(axis=1, initial=0.0), (p.argmax(axis=1) == label).astype("float64")
    gap = said - came
    if kind == "regression":
        spread = float(label.std()) if len(label) else 0.0
        # A label that never changes has no deviation to measure by, and a gap of any size is infinite.
        gap = (
            (label < p) + 0.5 * (label == p) - 0.5
            if metric == "mae"
            else np.divide(gap, spread, out=np.where(gap == 0, 0.0, np.inf), where=spread > 0)
        )
    bins = min(max(len(said) // LEAST_ROWS, 1), BINS)
    edges = np.unique(np.quantile(said, np.arange(1, bins) / bins)) if len(said) else said
    return gap, np.searchsorted(edges, said, "right")  # equal predictions are never parted


def _resampled(blocks: Any, gap: Any, group: Any) -> Any:
    import numpy as np

    groups = int(group.max(initial=0)) + 1
    rows = blocks.drawn @ np.bincount(blocks.place)
    return np.abs(blocks.drawn @ blocks.sums(gap, group, groups)).sum(axis=1) / rows
