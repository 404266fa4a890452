"""One build's model card as a page that stands alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from evergreen.card import sections
from evergreen.card.facts import Facts, facts_of
from evergreen.card.limits import limits_of
from evergreen.files import fetch, write_atomic
from evergreen.html import document, listed, paragraph, section

if TYPE_CHECKING:
    from evergreen.registry.contents import Outcome


def store_card(outcome: Outcome) -> Path | None:
    """The build's card in the home, made where it is not there; None for a build without an evaluation.json."""
    place = outcome.project.home.card(outcome.project.name, outcome.bundle.build)
    if not (outcome.project.build / "evaluation.json").exists():
        return None
    if not fetch(place):
        facts = facts_of(outcome.project, outcome.bundle.build, outcome.commit, outcome.images)
        write_atomic(place, card(facts))
    return place


def card(facts: Facts) -> str:
    """The page; equal facts give equal bytes."""
    name, evaluation = facts.params.name, facts.evaluation
    use = facts.params.card.intended_use
    return document(
        f"{name}: model card of {facts.build}",
        [
            paragraph(f"{facts.training.estimator}, {evaluation.kind}, {len(facts.training.features)} features"),
            section("Intended use", paragraph(use or "Not stated: write it into card.intended_use in params.yaml.")),
            sections.data(facts),
            sections.metrics(facts),
            sections.decisions(evaluation),
            sections.plots(facts),
            sections.segments(evaluation),
            sections.fairness(evaluation),
            sections.features(facts),
            section("Limits", listed(limits_of(facts))),
            sections.lineage(facts),
        ],
    )
