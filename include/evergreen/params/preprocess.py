"""`preprocess`: the row-level part of the scikit-learn Pipeline, in the same artifact as the estimator."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from evergreen.params.base import Section

Operation = Literal["ratio", "product", "difference", "cross"]
OPERATIONS: tuple[Operation, ...] = ("ratio", "product", "difference", "cross")
Part = Literal["hour", "weekday", "month", "day_of_year"]
Then = Annotated[Literal["clip", "mark"], Field(description="`mark` leaves them, and adds a column that is 1 there.")]
Encode = Annotated[Literal["ordinal", "one_hot"], Field(description="The bin's number, or a column a bin.")]


def _both(key: str, value: str, meant: str, other: str, given: object) -> None:
    if value == meant and given is None:
        raise ValueError(f"`{key}: {meant}` needs `{other}`")
    if value != meant and given is not None:
        raise ValueError(f"`{other}` is of `{key}: {meant}`, and {key} is `{value}`")


class QuantileOutliers(Section):
    """Numbers beyond two quantiles of the training rows."""

    kind: Literal["quantile"]
    low: float = Field(0.01, ge=0, lt=1, description="Share of rows below.")
    high: float = Field(0.99, gt=0, le=1, description="Share of rows not above.")
    then: Then = "clip"

    @model_validator(mode="after")
    def _ascending(self) -> QuantileOutliers:
        if self.low >= self.high:
            raise ValueError(f"`low` is {self.low:g} and must be less than `high`, which is {self.high:g}")
        return self


class IqrOutliers(Section):
    """Numbers further outside of the middle half of the training rows than `factor` times its width."""

    kind: Literal["iqr"]
    factor: float = Field(1.5, gt=0, description="Widths between the quartiles.")
    then: Then = "clip"


class EqualBins(Section):
    """Bins of equal width (`uniform`) or of equally many training rows (`quantile`)."""

    kind: Literal["uniform", "quantile"]
    bins: int = Field(5, ge=2, le=255, description="How many; equal quantiles make fewer.")
    encode: Encode = "ordinal"


class GivenBins(Section):
    """Bins that end where they are told to."""

    kind: Literal["edges"]
    edges: tuple[float, ...] = Field(min_length=1, max_length=254, description="Inner edges; each begins a bin.")
    encode: Encode = "ordinal"

    @model_validator(mode="after")
    def _ascending(self) -> GivenBins:
        if list(self.edges) != sorted(set(self.edges)):
            raise ValueError("`edges` must ascend, each once")
        return self


Outliers = Annotated[QuantileOutliers | IqrOutliers, Field(discriminator="kind")]
Bins = Annotated[EqualBins | GivenBins, Field(discriminator="kind")]


class Numeric(Section):
    """Numeric columns. In this order: outliers, imputation, bins, scale; nulls are passed over until imputed."""

    impute: Literal["none", "mean", "median", "mode", "constant"] = Field(
        "none", description="`none` leaves nulls to the estimator."
    )
    fill: float | None = Field(None, description="What `impute: constant` puts in.")
    indicator: bool = Field(False, description="Add a column that is 1 where the value was null.")
    outliers: Outliers | None = Field(None, description="Clip or mark what lies far out; null: leave it.")
    scale: Literal["none", "min_max", "standard", "robust", "log", "yeo_johnson"] = Field(
        "none", description="`log` is log(1 + x), and -log(1 - x) of negative numbers: it copes with any."
    )
    bin: Bins | None = Field(None, description="Cut into bins.")

    @model_validator(mode="after")
    def _constant_has_its_value(self) -> Numeric:
        _both("impute", self.impute, "constant", "fill", self.fill)
        return self


class Rare(Section):
    """Categories that few training rows have become one."""

    share: float | None = Field(None, gt=0, lt=1, description="Rare is what fewer than this share of the rows have.")
    count: int | None = Field(None, ge=2, description="Rare is what fewer than this many rows have.")

    @model_validator(mode="after")
    def _one_limit(self) -> Rare:
        if (self.share is None) == (self.count is None):
            raise ValueError("give either `share` or `count`")
        return self


class Categorical(Section):
    """Categorical columns. In this order: unknown and rare categories, imputation, encoding."""

    impute: Literal["none", "mode", "constant"] = Field("none", description="`none` leaves nulls to the encoding.")
    fill: str | None = Field(None, description="The category that `impute: constant` puts in.")
    indicator: bool = Field(False, description="Add a column that is 1 where the category was null.")
    encode: Literal["native", "one_hot", "ordinal", "target"] = Field(
        "native",
        description="`native` hands categories to an estimator that knows them; `target` is the mean label of the "
        "category's training rows, cross-fitted.",
    )
    order: tuple[str, ...] = Field((), description="The order of `encode: ordinal`; without it that of the alphabet.")
    rare: Rare | None = Field(None, description="Group rare categories; null: none is grouped.")
    unknown: Literal["ignore", "missing", "rare", "level"] = Field(
        "ignore",
        description="A category that the training rows do not have: `ignore` gives it no code (null, no column of "
        "one_hot, the mean of target), or it counts as missing, as rare, or as `level`.",
    )
    level: str | None = Field(None, description="The category that `unknown: level` makes of it.")

    @model_validator(mode="after")
    def _keys_fit(self) -> Categorical:
        _both("impute", self.impute, "constant", "fill", self.fill)
        _both("unknown", self.unknown, "level", "level", self.level)
        if self.order and self.encode != "ordinal":
            raise ValueError(f"`order` is of `encode: ordinal`, and encode is `{self.encode}`")
        if len(set(self.order)) < len(self.order):
            raise ValueError("`order` names a category twice")
        for key, category in (("fill", self.fill), ("level", self.level)):
            if self.order and category is not None and category not in self.order:
                raise ValueError(f"`{key}` is `{category}`, which `order` does not name: it would have no code")
        if self.unknown == "rare" and self.rare is None:
            raise ValueError("`unknown: rare` needs `rare`, which says what the group is")
        return self


class Column(Section):
    """What one column has otherwise than its group; keys that are left out are the group's."""

    impute: Literal["none", "mean", "median", "mode", "constant"] = "none"
    fill: float | str | None = None
    indicator: bool = False
    outliers: Outliers | None = None
    scale: Literal["none", "min_max", "standard", "robust", "log", "yeo_johnson"] = "none"
    bin: Bins | None = None
    encode: Literal["native", "one_hot", "ordinal", "target"] = "native"
    order: tuple[str, ...] = ()
    rare: Rare | None = None
    unknown: Literal["ignore", "missing", "rare", "level"] = "ignore"
    level: str | None = None


class Interaction(Section):
    """A column made of two: exactly one of ratio, product, difference (of numbers) and cross (of categories)."""

    ratio: tuple[str, str] | None = Field(None, description="The first over the second; null where that is 0.")
    product: tuple[str, str] | None = None
    difference: tuple[str, str] | None = Field(None, description="The first less the second.")
    cross: tuple[str, str] | None = Field(None, description="One category a pair; null where either is.")

    @model_validator(mode="after")
    def _one_operation(self) -> Interaction:
        given = [name for name in OPERATIONS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(OPERATIONS)}; found {', '.join(given) or 'none'}")
        return self

    @property
    def operation(self) -> Operation:
        """Which one is asked for."""
        return next(name for name in OPERATIONS if getattr(self, name) is not None)

    @property
    def of(self) -> tuple[str, str]:
        """The two features."""
        pair: tuple[str, str] = getattr(self, self.operation)
        return pair


class Calendar(Section):
    """Parts of a time, in the use case's time zone."""

    parts: tuple[Part, ...] = Field(min_length=1, description="Monday is weekday 1.")
    cyclical: bool = Field(False, description="Sine and cosine of each part instead of the part itself.")


class Preprocess(Section):
    """The row-level part of the scikit-learn Pipeline, in the same artifact as the estimator."""

    drop_rows: tuple[str, ...] = Field(
        (), description="Features: a row that lacks one is left out of training. Every row is predicted all the same."
    )
    interactions: dict[str, Interaction] = Field(default_factory=dict, description="Columns of two features, by name.")
    cyclical: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict, description="Numeric feature: its period. Adds <feature>_sin and <feature>_cos."
    )
    calendar: dict[str, Calendar] = Field(
        default_factory=dict, description="Feature of features.times: its parts. Adds <feature>_<part>."
    )
    numeric: Numeric = Numeric()
    categorical: Categorical = Categorical()
    columns: dict[str, Column] = Field(
        default_factory=dict, description="Feature, or column added above: what it has otherwise than its group."
    )

    def numeric_of(self, name: str) -> Numeric:
        """What holds for a numeric column; raise ValidationError where its own keys do not fit its group's."""
        return Numeric.model_validate(_merged(self.numeric, self.columns.get(name)))

    def categorical_of(self, name: str) -> Categorical:
        """What holds for a categorical column; raise ValidationError where its own keys do not fit its group's."""
        return Categorical.model_validate(_merged(self.categorical, self.columns.get(name)))


# A key that means something beside another's value only: a column that overrides the one drops its group's other.
_BESIDE = {"fill": "impute", "order": "encode", "level": "unknown"}


def _merged(group: Section, own: Column | None) -> dict[str, object]:
    theirs, mine = group.model_dump(), {} if own is None else own.model_dump(exclude_unset=True)
    kept = {key: value for key, value in theirs.items() if not (_BESIDE.get(key) in mine and key not in mine)}
    return kept | mine
