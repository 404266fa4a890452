"""The refit, the model that serves, beside its twin, which the verdict is about.

The refit has learned from these rows, so its figures here say nothing for it: only a refit that is worse than its twin
on rows that it knows is broken.
"""

from __future__ import annotations

from evergreen.params.gate import Gate
from evergreen.registry.gate.enough import usable
from evergreen.registry.gate.records import Evidence, Facts, Rule

# The margin where none is configured: of the twin's loss, and of what the twin gains over knowing nothing, since a
# refit that knows nothing is not 5 % worse than a twin that knows little.
SHARE, HALF = 0.05, 0.5


def refit(evidence: Evidence, gate: Gate, facts: Facts) -> list[Rule]:
    """Fails where the refit is shown to be worse than its twin, or says what is no prediction."""
    import numpy as np

    from evergreen.registry.bootstrap import compare_by_day, row_losses

    if gate.refit is None or facts.model_sha256 is None:
        return []  # the decision is from before this rule
    if facts.model_sha256 == facts.candidate_sha256:
        return [Rule(rule="refit", passed=True, text="the model that serves is the one that was judged")]
    p = evidence.refit
    if p is None:
        return [Rule(rule="refit", passed=None, text="the refit's predictions are missing")]
    if wrong := int((~usable(p, facts.kind)).sum()):
        text = f"the refit is broken: {wrong} of its {len(p)} predictions are missing, infinite or no probabilities"
        return [Rule(rule="refit", passed=False, text=text, numbers={"wrong": wrong})]
    metric = gate.metric_of(facts.kind)
    own, twin = (row_losses(metric, evidence.label, one) for one in (p, evidence.candidate))
    if not (np.isfinite(own).all() and np.isfinite(twin).all()):
        return [Rule(rule="refit", passed=None, text=f"{metric} of the refit cannot be computed")]
    margin = gate.refit.margin
    if margin is None:
        margin = min(SHARE * float(twin.mean()), HALF * _gain(evidence, facts, metric, float(twin.mean())))
    found = compare_by_day(
        own - twin - margin, evidence.day, confidence=gate.confidence, resamples=gate.resamples, seed=gate.seed
    )
    passed = found.worse < found.needed
    text = (
        f"the refit's {metric} is {own.mean():.4f} on rows that it has learned from and its twin's {twin.mean():.4f}: "
        + (f"not shown to be worse by more than {margin:.4g}" if passed
           else f"worse by more than {margin:.4g}, so it is broken")
    )  # fmt: skip
    numbers = {"refit": float(own.mean()), "twin": float(twin.mean()), "margin": margin, "worse": found.worse,
               "needed": found.needed}  # fmt: skip
    return [Rule(rule="refit", passed=passed, text=text, numbers=numbers)]


def _gain(evidence: Evidence, facts: Facts, metric: str, twin: float) -> float:
    """What the twin's loss is below that of the best constant for these rows; 0 where it is not."""
    import numpy as np

    from evergreen.registry.bootstrap import row_losses

    label = evidence.label
    if facts.kind == "multiclass":
        rates = np.bincount(label.astype("int64"), minlength=len(facts.classes)) / len(label)
        constant = np.tile(rates, (len(label), 1))
    else:
        constant = np.full(len(label), np.median(label) if metric == "mae" else label.mean())
    return max(float(row_losses(metric, label, constant).mean()) - twin, 0.0)
