"""`prediction`: what one prediction is about, when it is made, and what it should have said."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from evergreen.params.base import Section

Kind = Literal["binary", "multiclass", "regression"]


class Label(Section):
    """The outcome, and when it is known."""

    value: str = Field(description="SQL expression over the label's table: true, false, or null for no label.")
    table: str | None = Field(None, description="Table that holds the outcome; by default the rows' own.")
    by: dict[str, str] | None = Field(
        None, description="Label table's column: rows' column. By default the rows' key, of the same name in both."
    )
    known_at: str | None = Field(
        None,
        description="SQL expression over the label's table: when the outcome is known. By default the table's own "
        "`known_at`; a label in the rows' own table must state it.",
    )

    @model_validator(mode="after")
    def _own_table_states_maturity(self) -> Label:
        if self.table is None and self.known_at is None:
            raise ValueError("a label in the rows' own table needs `known_at`: when is the outcome known?")
        return self


class Prediction(Section):
    """One prediction a row of `rows`, made at `at`."""

    rows: str = Field(description="Table whose rows are predicted.")
    at: str = Field(description="SQL expression over that table: the moment (UTC) at which a row is predicted.")
    label: Label
