"""What is said of a twin on the gate window: `assess` gives an Evaluation, which build/evaluation.json holds."""

from __future__ import annotations

from evergreen.training.evaluation.records import Evaluation, Figure

__all__ = ["Evaluation", "Figure"]
