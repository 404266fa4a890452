"""What an entry of the estimator catalog states about itself."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from evergreen.errors import ParamsError
from evergreen.params.training import Categorical, Numeric, Preprocess

# Given by us: the seed, the places of the categories, and what would print or keep state between fits.
MANAGED = {"categorical_features", "monotonic_cst", "n_jobs", "penalty", "random_state", "verbose", "warm_start"}


@dataclass(frozen=True)
class Estimator:
    """One scikit-learn classifier and what the Pipeline must do for it.

    `make(options, seed, categories)` gives the unfitted classifier; `categories` are the places of the native
    categorical columns among its inputs. `native` says that it takes nulls and integer-coded categories itself.
    `skops_trusted` lists the types of its fitted Pipeline that skops does not trust by itself.
    """

    name: str
    make: Callable[[Mapping[str, Any], int, list[int]], Any]
    native: bool
    skops_trusted: tuple[str, ...]
    max_levels: int | None = None

    def known_options(self) -> list[str]:
        """The options that params.yaml may give."""
        return sorted(set(self.make({}, 0, []).get_params(deep=False)) - MANAGED)

    def check_options(self, options: Collection[str]) -> None:
        """Raise ParamsError for an option that the estimator does not have, naming the ones it has."""
        known = self.known_options()
        for option in options:
            if option not in known:
                near = difflib.get_close_matches(option, known, n=1)
                hint = f"did you mean `{near[0]}`? " if near else ""
                raise ParamsError(
                    f"training.options: {self.name} has no option `{option}` that can be set here; "
                    f"{hint}Known: {', '.join(known)}"
                )

    def suited(self, preprocess: Preprocess) -> Preprocess:
        """`preprocess` with what the estimator cannot do without: a linear model needs numbers, without nulls."""
        if self.native:
            return preprocess
        impute = preprocess.numeric.impute
        encode = preprocess.categorical.encode
        return Preprocess(
            numeric=Numeric(impute="median" if impute == "none" else impute, scale="standard"),
            categorical=Categorical(encode="one_hot" if encode == "native" else encode),
        )
