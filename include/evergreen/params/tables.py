"""`tables`: what each source delivers, when a row became known, and what it must satisfy."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from evergreen.params.base import Duration, Section

ColumnType = Literal["int64", "float64", "bool", "string", "category", "timestamp", "date"]
Severity = Literal["warning", "error", "critical"]


class Column(Section):
    """The contract of one column."""

    type: ColumnType = Field(description="Type in the lake. A timestamp is UTC; text without a zone is read as UTC.")
    nulls: Literal["allowed", "never"] = Field(
        "allowed", description="`never`: a row without a value breaks the contract."
    )
    between: tuple[float | None, float | None] | None = Field(
        None, description="Lowest and highest value allowed, both included; null leaves a side open. Numbers only."
    )
    in_: tuple[str | int, ...] | None = Field(None, alias="in", description="The values allowed.")
    matches: str | None = Field(None, description="A regular expression that text must match from its start.")
    unique: bool = Field(False, description="No two keys may share a value, in one file or across files.")
    mostly: float = Field(
        1.0, gt=0, le=1, description="Share of rows that must pass before a `critical` column fails the table."
    )
    severity: Severity = Field(
        "error",
        description="`warning`: reported, the row goes on. `error`: the row goes to quarantine. "
        "`critical`: the row goes to quarantine, and fewer than `mostly` passing rows fail the table.",
    )

    @model_validator(mode="after")
    def _rules_fit_the_type(self) -> Column:
        if self.between is not None and self.type not in ("int64", "float64"):
            raise ValueError(f"`between` needs a number, and the column's type is {self.type}")
        if self.matches is not None and self.type not in ("string", "category"):
            raise ValueError(f"`matches` needs text, and the column's type is {self.type}")
        return self


class Quarantine(Section):
    """How much of one file may go to quarantine."""

    max_share: float = Field(0.05, ge=0, le=1, description="A larger share of a file's rows fails the table.")


class Table(Section):
    """One table: its source, its key, its clock and its contract."""

    description: str = Field("", description="One line for people; shown in the Airflow UI.")
    source: dict[str, Any] = Field(
        description="Where rows come from: `kind` names a source of the catalog, the others are its options (below)."
    )
    key: tuple[str, ...] = Field(
        min_length=1,
        description="Columns that name a row; the same key again is a correction. Twice in one file with other "
        "values, the last one counts from its ingest on, and validation warns.",
    )
    known_at: str = Field(
        description="SQL expression: when the first version of a row became known (UTC): every column of it, so what "
        "settles later belongs into a table of its own, or into a view with a `known_at` of its own."
    )
    changed_at: str | None = Field(
        None, description="SQL expression: when a later version became known; by default the ingest's `as_of`."
    )
    columns: dict[str, Column] = Field(min_length=1, description="The columns, by name, with their contract.")
    derived: dict[str, str] = Field(
        default_factory=dict, description="Further columns as SQL expressions over the table's own, made on reading."
    )
    quarantine: Quarantine = Quarantine()
    ahead: Duration | None = Field(
        None,
        description="Longest time that a row's `known_at` may lie after the ingest that brings it; a row beyond it "
        "goes to quarantine. Null: no limit, and such a row counts from its `known_at` on.",
    )
    freshness: Duration | None = Field(
        None, description="Longest time that the newest row may lie behind `as_of`; later counts as late."
    )

    @model_validator(mode="after")
    def _key_is_a_column(self) -> Table:
        for name in self.key:
            if name not in self.columns:
                raise ValueError(f"key column `{name}` is not one of the columns: {', '.join(self.columns)}")
        if "kind" not in self.source:
            raise ValueError("`source` needs a `kind`, such as `csv`")
        if clash := set(self.derived) & set(self.columns):
            raise ValueError(f"derived columns repeat declared ones: {', '.join(sorted(clash))}")
        return self
