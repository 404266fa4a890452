"""`features`: row expressions, the latest known observation, and trailing aggregates."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from evergreen.params.base import Duration, Section

Aggregate = Literal["mean", "sum", "count", "min", "max", "last", "change"]
AGGREGATES: tuple[Aggregate, ...] = ("mean", "sum", "count", "min", "max", "last", "change")


class View(Section):
    """What a feature view shares: the table, how its rows are found, and when they were known."""

    table: str | None = Field(None, description="Table observed; for `latest` by default the view's own name.")
    by: tuple[str, ...] | dict[str, str] = Field(
        description="Columns that must be equal: a list where both use one name, else table's column: rows' column."
    )
    known_at: str | None = Field(
        None, description="SQL expression that overrides the table's `known_at`, for values that settle later."
    )

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """(view's column, rows' column) for every column of the entity key."""
        return tuple(self.by.items()) if isinstance(self.by, dict) else tuple((name, name) for name in self.by)


class Latest(View):
    """The last observation known at the moment of prediction."""

    columns: tuple[str, ...] | dict[str, str] = Field(
        description="Features: a list of columns, or feature name: SQL expression over the table."
    )
    max_age: Duration | None = Field(None, description="Older observations (by `known_at`) count as none.")

    def expressions(self) -> dict[str, str]:
        """Feature name to SQL expression."""
        if isinstance(self.columns, dict):
            return dict(self.columns)
        return {name: '"' + name.replace('"', '""') + '"' for name in self.columns}


class Trailing(View):
    """An aggregate of what became known in the span before the moment of prediction.

    Exactly one of mean, sum, count, min, max, last and change holds a SQL expression over the table. `last` is the
    newest value in the span; `change` is the newest value minus the newest that was known a span earlier.
    """

    mean: str | None = None
    sum: str | None = None
    count: str | None = None
    min: str | None = None
    max: str | None = None
    last: str | None = None
    change: str | None = None
    over: Duration = Field(description="The span, counted back on `known_at`; its start excluded, its end included.")

    @model_validator(mode="after")
    def _one_aggregate(self) -> Trailing:
        given = [name for name in AGGREGATES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(AGGREGATES)}; found {', '.join(given) or 'none'}")
        if self.table is None:
            raise ValueError("a trailing feature needs its `table`")
        return self

    @property
    def aggregate(self) -> Aggregate:
        """Which aggregate is asked for."""
        return next(name for name in AGGREGATES if getattr(self, name) is not None)

    @property
    def expression(self) -> str:
        """The SQL expression that is aggregated."""
        return str(getattr(self, self.aggregate))


class Features(Section):
    """The columns that the model sees. Row expressions may use the rows' columns and every view's features."""

    row: dict[str, str] = Field(default_factory=dict, description="Feature name: SQL expression.")
    latest: dict[str, Latest] = Field(default_factory=dict, description="Views of the last known observation, by name.")
    trailing: dict[str, Trailing] = Field(default_factory=dict, description="Trailing aggregates, by feature name.")
    categorical: tuple[str, ...] = Field((), description="Features that are categories, not numbers.")
    times: tuple[str, ...] = Field(
        (),
        description="Features that are moments (UTC), or seconds since 1970: the model sees the parts that "
        "preprocess.calendar names.",
    )
    helpers: tuple[str, ...] = Field(
        (), description="Features that only row expressions use; the model does not see them."
    )

    @model_validator(mode="after")
    def _names_are_distinct(self) -> Features:
        names = self.all_names()
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"features defined twice: {', '.join(repeated)}")
        for name in (*self.categorical, *self.times, *self.helpers):
            if name not in names:
                raise ValueError(f"`{name}` is not a feature; known: {', '.join(names)}")
        if both := [name for name in self.times if name in self.categorical or name in self.helpers]:
            raise ValueError(f"`{both[0]}` is in `times`, and can be in neither `categorical` nor `helpers` too")
        if not self.names():
            raise ValueError("there is no feature")
        return self

    def all_names(self) -> list[str]:
        """Every feature in definition order (row, latest, trailing), helpers included."""
        latest = [name for view in self.latest.values() for name in view.expressions()]
        return [*self.row, *latest, *self.trailing]

    def names(self) -> list[str]:
        """The model's inputs, in order."""
        return [name for name in self.all_names() if name not in self.helpers]
