"""The columns that `preprocess` adds to the features, and what must hold between the two sections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from evergreen.params.base import nearest
from evergreen.params.features import Features
from evergreen.params.preprocess import Categorical, Column, Numeric, Preprocess

# A year is as long as it is between two leap years, on average.
PERIODS = {"hour": 24.0, "weekday": 7.0, "month": 12.0, "day_of_year": 365.25}


@dataclass(frozen=True)
class Derived:
    """An added column: ratio, product, difference or cross of two features, part of a time, or sin or cos of either.

    `options` hold a sine's `period`, and a time's `part` and `zone`.
    """

    operation: str
    name: str
    features: tuple[str, ...]
    options: dict[str, float | str] = field(default_factory=dict)

    @property
    def categorical(self) -> bool:
        """Whether it is a category; else it is a number."""
        return self.operation == "cross"


def derivations(preprocess: Preprocess, zone: str) -> list[Derived]:
    """Every added column, in the order of the sections; `zone` is the time zone of calendar parts."""
    made = [Derived(one.operation, name, one.of) for name, one in preprocess.interactions.items()]
    for name, period in preprocess.cyclical.items():
        made += _circle(name, name, {"period": period})
    for name, calendar in preprocess.calendar.items():
        for part in calendar.parts:
            options: dict[str, float | str] = {"part": part, "zone": zone}
            if calendar.cyclical:
                made += _circle(f"{name}_{part}", name, {"period": PERIODS[part], **options})
            else:
                made.append(Derived("part", f"{name}_{part}", (name,), options))
    return made


def check_columns(preprocess: Preprocess, features: Features) -> None:
    """Raise ValueError for the first column of `preprocess` that is none, or is of the wrong kind for its use."""
    numeric, categorical = _inputs(features)
    _require_all("drop_rows", preprocess.drop_rows, features.names())
    for name, one in preprocess.interactions.items():
        known = categorical if one.operation == "cross" else numeric
        _require_all(f"interactions.{name}.{one.operation}", one.of, known, _kind(one.operation == "cross"))
    for name in preprocess.cyclical:
        _require(f"cyclical.{name}", name, numeric, _kind(False))
    for name in preprocess.calendar:
        _require(f"calendar.{name}", name, features.times, "a feature of features.times")
    if unused := [name for name in features.times if name not in preprocess.calendar]:
        raise ValueError(
            f"features.times: `{unused[0]}` is a time, of which the model sees the parts that preprocess.calendar "
            "names, and it names none; add some, or remove the feature"
        )
    made = derivations(preprocess, "UTC")
    _require_new([*features.names()], made)
    numeric += [one.name for one in made if not one.categorical]
    categorical += [one.name for one in made if one.categorical]
    for name, own in preprocess.columns.items():
        _require(f"columns.{name}", name, [*numeric, *categorical], "a feature or an added column")
        _check_own(preprocess, name, own, name in categorical)


def _inputs(features: Features) -> tuple[list[str], list[str]]:
    names = features.names()
    categorical = [name for name in names if name in features.categorical]
    return [name for name in names if name not in categorical and name not in features.times], categorical


def _circle(name: str, feature: str, options: dict[str, float | str]) -> Iterator[Derived]:
    return (Derived(wave, f"{name}_{wave}", (feature,), options) for wave in ("sin", "cos"))


def _kind(categorical: bool) -> str:
    return "a categorical feature" if categorical else "a numeric feature"


def _require(place: str, name: str, known: Sequence[str], what: str = "a feature") -> None:
    if name not in known:
        hint = nearest(name, known) if known else "There is none"
        raise ValueError(f"preprocess.{place}: `{name}` is not {what}; {hint}")


def _require_all(place: str, names: Sequence[str], known: Sequence[str], what: str = "a feature") -> None:
    for name in names:
        _require(place, name, known, what)


def _require_new(names: list[str], made: Sequence[Derived]) -> None:
    for one in made:
        if one.name in names:
            raise ValueError(f"preprocess: the added column `{one.name}` has the name of another; give one a new name")
        names.append(one.name)


def _check_own(preprocess: Preprocess, name: str, own: Column, categorical: bool) -> None:
    group = Categorical if categorical else Numeric
    for key in own.model_fields_set:
        if key not in group.model_fields:
            kind = "categorical" if categorical else "numeric"
            keys = nearest(key, list(group.model_fields))
            raise ValueError(f"preprocess.columns.{name}.{key}: `{name}` is {kind}, which has no `{key}`; {keys}")
    try:
        preprocess.categorical_of(name) if categorical else preprocess.numeric_of(name)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join([name, *map(str, problem["loc"])])
        message = problem["msg"].removeprefix("Value error, ").replace("Input should", "should", 1)
        shown = f"`{problem['input']}` " if problem["loc"] else ""
        raise ValueError(f"preprocess.columns.{place}: {shown}{message}") from None
