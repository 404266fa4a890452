"""`prediction`: what one prediction is about, when it is made, and what it should have said."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from evergreen.params.base import Section

Kind = Literal["binary", "multiclass", "regression"]
LEAST_CLASSES = 3  # two are a binary label, which has a threshold and everything that goes with it


def _as_label(value: Any) -> Any:
    """A label as text: YAML reads `true` and `1` as what they are."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


LabelName = Annotated[str, BeforeValidator(_as_label), Field(min_length=1)]


class Label(Section):
    """The outcome, and when it is known."""

    value: str = Field(
        description="SQL expression over the label's table, null for no label: true or false; of a `multiclass` label "
        "one of its `classes`, of a `regression` a number."
    )
    kind: Kind = Field("binary", description="What there is to predict: one of two, one of several, or a number.")
    classes: tuple[LabelName, ...] | None = Field(
        None, description="Every value of a `multiclass` label, in the order in which predictions list them."
    )
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

    @model_validator(mode="after")
    def _classes_of_a_multiclass_label(self) -> Label:
        if self.kind != "multiclass":
            if self.classes is not None:
                raise ValueError(f"`classes` are of `kind: multiclass`, and this kind is {self.kind}: remove one")
            return self
        if self.classes is None:
            raise ValueError("`kind: multiclass` needs `classes`: every value that the label can have, in order")
        if repeated := sorted({name for name in self.classes if self.classes.count(name) > 1}):
            raise ValueError(f"`classes` names {', '.join(repeated)} twice")
        if len(self.classes) < LEAST_CLASSES:
            raise ValueError(
                f"`classes` has {len(self.classes)}, and `kind: multiclass` at least {LEAST_CLASSES}; two outcomes are "
                "`kind: binary`, with a `value` that says whether it is the second"
            )
        return self

    @property
    def n_classes(self) -> int:
        """How many probabilities a prediction holds: 0 for a label that is no class among several."""
        return len(self.classes or ())


class Prediction(Section):
    """One prediction a row of `rows`, made at `at`."""

    rows: str = Field(description="Table whose rows are predicted.")
    at: str = Field(description="SQL expression over that table: the moment (UTC) at which a row is predicted.")
    label: Label
