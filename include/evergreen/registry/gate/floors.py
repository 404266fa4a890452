"""Floors: the worst value that a metric of the candidate may have, whoever the champion is."""

from __future__ import annotations

from evergreen.params.gate import Gate
from evergreen.registry.gate.records import Evidence, Facts, Rule

AT_MOST = (
    "log_loss",
    "brier",
    "mae",
    "mse",
    "rmse",
    "mape",
    "calibration_error",
)  # every other metric is better where it is higher
BINARY = ("roc_auc", "pr_auc", "log_loss", "brier", "precision", "recall", "f1")


def floor(name: str, limit: float, value: float | None) -> Rule:
    """One floor; a metric that is not defined is not passed."""
    numbers = {"value": value, "threshold": limit}
    if value is None:
        return Rule(rule=f"floor.{name}", passed=None, text=f"{name} cannot be computed", numbers=numbers)
    passed = value <= limit if name in AT_MOST else value >= limit
    side = "at most" if name in AT_MOST else "at least"
    text = f"{name} {value:.4f} {'is' if passed else 'is not'} {side} {limit:g}"
    return Rule(rule=f"floor.{name}", passed=passed, text=text, numbers=numbers)


def metrics(evidence: Evidence, gate: Gate, facts: Facts) -> dict[str, dict[str, float | None]]:
    """The figures of the candidate and, where there is one, of the champion on the same rows."""
    from evergreen.registry.gate.calibration import calibration_error
    from evergreen.training.metrics import finite, metrics_of

    found: dict[str, dict[str, float | None]] = {}
    for who, p in (("candidate", evidence.candidate), ("champion", evidence.champion)):
        if p is not None:
            values = metrics_of(facts.kind, evidence.label, p, facts.threshold)
            if "calibration_error" in gate.floor:
                values["calibration_error"] = calibration_error(
                    facts.kind, gate.metric_of(facts.kind), evidence.label, p
                )
            figures = finite(values)
            # A replay compares them all: an old decision has recorded these of a binary label, and its floors.
            wanted = (*BINARY, *gate.floor) if facts.kind == "binary" else figures
            found[who] = {name: value for name, value in figures.items() if name in wanted}
    return found
