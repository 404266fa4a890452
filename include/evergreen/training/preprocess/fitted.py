"""The preprocessing of one fit: fitted to its rows, with the table that it makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evergreen.errors import EvergreenError
from evergreen.params.derived import derivations
from evergreen.params.preprocess import Categorical
from evergreen.training.estimators import Estimator
from evergreen.training.preprocess.blocks import Block, blocks_of
from evergreen.training.preprocess.build import column_transformer

if TYPE_CHECKING:
    import pandas as pd

    from evergreen.training.pipeline import Recipe


@dataclass(frozen=True)
class Fitted:
    """The fitted steps, what they make of the rows that they were fitted to, and where in it the columns are.

    `places` holds the columns that come out one for one with the order of their values kept; `native` the places of
    integer-coded categories.
    """

    steps: list[tuple[str, Any]]
    table: Any
    places: dict[str, int]
    native: list[int]


def fit_preprocessing(recipe: Recipe, entry: Estimator, rows: pd.DataFrame, labels: Any) -> Fitted:
    """Fit the preprocessing; raise EvergreenError where all is empty, or a category has more levels than allowed."""
    steps, numeric, categorical = _derive(recipe, rows)
    for _, step in steps:
        rows = step.fit_transform(rows, labels)
    numeric, categorical = _not_empty(rows, numeric), _not_empty(rows, categorical)
    if not numeric and not categorical:
        raise EvergreenError("every feature is empty in all training rows; look at build/features.parquet")
    blocks = blocks_of(recipe.preprocess, entry, numeric, categorical)
    nulls = recipe.preprocess.numeric.impute == "none"
    transformer = column_transformer(blocks, nulls, recipe.kind, labels, recipe.seed)
    table = transformer.fit_transform(rows, labels)
    places: dict[str, int] = {}
    native: list[int] = []
    for block in blocks:
        begin = transformer.output_indices_[block.name].start
        _check_order(block, rows)
        if block.keeps_columns:
            places |= {name: begin + place for place, name in enumerate(block.columns)}
        if isinstance(block.settings, Categorical) and block.part == "values" and block.settings.encode == "native":
            _check_levels(entry, block, transformer.named_transformers_[block.name])
            native += [begin + place for place in range(len(block.columns))]
    return Fitted([*steps, ("preprocess", transformer)], table, places, native)


def _derive(recipe: Recipe, rows: pd.DataFrame) -> tuple[list[tuple[str, Any]], list[str], list[str]]:
    """The step that adds columns, where any are; and the numeric and categorical columns, added ones included."""
    categorical = [name for name in recipe.names if name in recipe.categorical]
    numeric = [name for name in recipe.names if name not in categorical and name not in recipe.times]
    made = derivations(recipe.preprocess, recipe.time_zone)
    if not made:
        return [], numeric, categorical
    from evergreen.training.preprocess.transformers import Derive

    categorical += [one.name for one in made if one.categorical]
    numeric += [one.name for one in made if not one.categorical]
    operations = [(one.operation, one.name, one.features, one.options) for one in made]
    return [("derive", Derive(operations))], numeric, categorical


def _not_empty(rows: pd.DataFrame, names: list[str]) -> list[str]:
    return [name for name in names if rows[name].notna().any()]


def _check_order(block: Block, rows: pd.DataFrame) -> None:
    """A column whose order names none of its categories would be empty."""
    if not isinstance(block.settings, Categorical) or not block.settings.order:
        return
    for name in block.columns:
        found = sorted(rows[name].dropna().unique())
        if not set(found) & set(block.settings.order):
            raise EvergreenError(
                f"the stated order of `{name}` names none of its {len(found)} categories, such as `{found[0]}`; "
                f"put them into preprocess.columns.{name}.order"
            )


def _check_levels(entry: Estimator, block: Block, fitted: Any) -> None:
    import pandas as pd

    if entry.max_levels is None:
        return
    encoder = fitted.named_steps["code"] if hasattr(fitted, "named_steps") else fitted
    for name, categories in zip(block.columns, encoder.categories_, strict=True):
        if (levels := int(pd.notna(categories).sum())) > entry.max_levels:
            raise EvergreenError(
                f"the category `{name}` has {levels} levels in the training rows, and {entry.name} takes at most "
                f"{entry.max_levels}. Group its rare ones (preprocess.columns.{name}.rare), make it coarser, drop it "
                "from features.categorical, or set preprocess.categorical.encode to `target`, `ordinal` or `one_hot`"
            )
