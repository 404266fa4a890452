"""From `preprocess` to blocks: which columns are treated alike, and how."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from evergreen.params.preprocess import Categorical, Numeric, Preprocess
from evergreen.training.estimators import Estimator

Part = Literal["values", "indicator", "mark"]
Settings = TypeVar("Settings", Numeric, Categorical)


@dataclass(frozen=True)
class Block:
    """Columns of equal settings, and which part of these is meant. Its name begins with `numeric` or `categorical`."""

    name: str
    part: Part
    columns: tuple[str, ...]
    settings: Numeric | Categorical

    @property
    def keeps_columns(self) -> bool:
        """Whether it gives one column for each that it takes, with the same order of values."""
        settings = self.settings
        if self.part != "values":
            return False
        if isinstance(settings, Numeric):
            return settings.bin is None or settings.bin.encode == "ordinal"
        return settings.encode == "ordinal" and bool(settings.order)


def blocks_of(
    preprocess: Preprocess, entry: Estimator, numeric: Sequence[str], categorical: Sequence[str]
) -> list[Block]:
    """The blocks in the order of their output: numbers, what is said of them, categories, and what is said of these."""
    numbers = [(name, entry.suit(preprocess.numeric_of(name))) for name in numeric]
    categories = [(name, entry.suit(preprocess.categorical_of(name))) for name in categorical]
    return [
        *_blocks("numeric", _alike(numbers, preprocess.numeric)),
        *_blocks("categorical", _alike(categories, preprocess.categorical)),
    ]


def _alike(columns: Sequence[tuple[str, Settings]], group: Settings) -> list[tuple[int, Settings, tuple[str, ...]]]:
    """Columns by their settings, numbered, those of the group first."""
    found: list[tuple[Settings, list[str]]] = [(group, [])]
    for name, settings in columns:
        alike = next((names for other, names in found if other == settings), None)
        if alike is None:
            found.append((settings, [name]))
        else:
            alike.append(name)
    return [(place, settings, tuple(names)) for place, (settings, names) in enumerate(found) if names]


def _blocks(kind: str, alike: Sequence[tuple[int, Numeric | Categorical, tuple[str, ...]]]) -> Iterator[Block]:
    parts: tuple[Part, ...] = ("values", "indicator", "mark")
    for part in parts:
        for place, settings, columns in alike:
            if part == "values" or part in _further(settings):
                name = kind if part == "values" else f"{kind}_{part}"
                yield Block(f"{name}_{place}" if place else name, part, columns, settings)


def _further(settings: Numeric | Categorical) -> set[str]:
    parts = {"indicator"} if settings.indicator else set()
    if isinstance(settings, Numeric) and settings.outliers is not None and settings.outliers.then == "mark":
        parts.add("mark")
    return parts
