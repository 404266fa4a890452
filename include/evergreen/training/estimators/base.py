"""What an entry of the estimator catalog states about itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from evergreen.errors import ParamsError
from evergreen.params.base import nearest
from evergreen.params.prediction import Kind
from evergreen.params.preprocess import Categorical, Numeric, Preprocess

Settings = TypeVar("Settings", Numeric, Categorical)

CLASSES: tuple[Kind, ...] = ("binary", "multiclass")
EVERY: tuple[Kind, ...] = (*CLASSES, "regression")

# Given by us: the seed, the places of the categories, and what would print, run in parallel or keep state between fits.
MANAGED = {"categorical_features", "n_jobs", "penalty", "random_state", "verbose", "warm_start"}
# Options that every estimator calls otherwise: params.yaml has one key for them.
OURS = {"class_weight": "training.class_weight", "monotonic_cst": "training.monotonic"}


@dataclass(frozen=True)
class Setting:
    """What an estimator is made of. Places count its input columns, after preprocessing, from 0.

    `categories` are the places of the integer-coded categories, `monotonic` holds -1, 0 or 1 a place (empty: no
    constraint). `weights` maps each label to the weight of its rows.
    """

    kind: Kind = "binary"
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    categories: Sequence[int] = ()
    monotonic: Sequence[int] = ()
    weights: str | Mapping[float, float] | None = None

    @property
    def weighted(self) -> dict[str, Any]:
        """The weights as a classifier's argument, for those that are given."""
        if self.weights is None:
            return {}
        return {"class_weight": self.weights if isinstance(self.weights, str) else dict(self.weights)}

    @property
    def constrained(self) -> dict[str, Any]:
        """The monotonic constraints as scikit-learn's argument, for those that are given."""
        return {"monotonic_cst": list(self.monotonic)} if any(self.monotonic) else {}


def _nothing(setting: Setting) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Estimator:
    """One estimator and what the Pipeline must do for it.

    `make(setting)` gives the unfitted estimator, and `fit_arguments(setting)` what its `fit` is told beside rows and
    labels. `nulls` and `categories` say that it takes nulls and integer-coded categories itself; `linear` that its
    inputs must be of one scale, `float32` that it refuses numbers that are too large for one. `skops_trusted` lists
    the types of its fitted Pipeline that skops does not trust by itself, `packages` what it needs beyond the packages
    that serve every model.
    """

    name: str
    kinds: tuple[Kind, ...]
    make: Callable[[Setting], Any]
    nulls: bool
    categories: bool
    linear: bool = False
    float32: bool = False
    monotonic: bool = False
    max_levels: int | None = None
    skops_trusted: tuple[str, ...] = ("numpy.dtype",)
    packages: tuple[str, ...] = ()
    fit_arguments: Callable[[Setting], dict[str, Any]] = _nothing

    def known_options(self, kind: Kind | None = None) -> list[str]:
        """The options that params.yaml may give."""
        made = self.make(Setting(kind or self.kinds[0]))
        return sorted(set(made.get_params(deep=False)) - MANAGED - set(OURS))

    def check_options(self, options: Collection[str], kind: Kind | None = None) -> None:
        """Raise ParamsError for an option that the estimator does not have, naming the ones it has."""
        known = self.known_options(kind)
        for option in options:
            if option in OURS:
                raise ParamsError(f"training.options: `{option}` has a key of its own here: set {OURS[option]}")
            if option not in known:
                raise ParamsError(
                    f"training.options: {self.name} has no option `{option}` that can be set here; "
                    f"{nearest(option, known)}"
                )

    def suited(self, preprocess: Preprocess) -> Preprocess:
        """`preprocess` with what the estimator cannot do without, such as numbers without nulls on one scale."""
        numeric, categorical = self.suit(preprocess.numeric), self.suit(preprocess.categorical)
        if self.linear and numeric.scale == "none":
            numeric = numeric.model_copy(update={"scale": "standard"})
        return preprocess.model_copy(update={"numeric": numeric, "categorical": categorical})

    def suit(self, settings: Settings) -> Settings:
        """A group's or a column's settings with what the estimator cannot take replaced."""
        if isinstance(settings, Numeric) and settings.impute == "none" and not self.nulls:
            return settings.model_copy(update={"impute": "median"})
        if isinstance(settings, Categorical) and settings.encode == "native" and not self.categories:
            return settings.model_copy(update={"encode": "one_hot" if self.linear else "ordinal"})
        return settings
