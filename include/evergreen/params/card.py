"""`card`: what only people can say of a model; everything else on its card is measured."""

from __future__ import annotations

from pydantic import Field

from evergreen.params.base import Section


class Card(Section):
    """Words for every version's model card."""

    intended_use: str | None = Field(None, description="What the predictions are for, and what they are not for.")
    limits: tuple[str, ...] = Field((), description="Limits that no figure shows, one sentence each.")
