"""The gate: what a candidate must show. `decide` is the verdict, each other module one of its rules."""

from __future__ import annotations

from evergreen.registry.gate.records import Evidence, Facts, Latency, Rule, Verdict
from evergreen.registry.gate.verdict import decide

__all__ = ["Evidence", "Facts", "Latency", "Rule", "Verdict", "decide"]
