"""Models on disk: pickles, which are byte-stable, and which are only loaded when they are what was written."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evergreen.errors import RegistryError
from evergreen.training.frame import inputs

if TYPE_CHECKING:
    import pandas as pd

PROTOCOL = 5


def dump_model(model: Any) -> bytes:
    """The model's pickle; equal for equal fits in the same environment."""
    return pickle.dumps(model, protocol=PROTOCOL)


def load_model(path: Path, sha256: str) -> Any:
    """Load a pickle whose hash is the recorded one; raise RegistryError, before anything runs, where it is not."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RegistryError(
            f"the model {path} cannot be read: {error.strerror}; run `dvc pull` or `dvc repro`"
        ) from None
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise RegistryError(
            f"{path} is not the model that was recorded (SHA-256 {found[:12]}, recorded {sha256[:12]}); it was not "
            "loaded. Restore it with `dvc checkout`, or build it again"
        )
    return pickle.loads(content)


def used_features(model: Any) -> tuple[list[str], list[str]]:
    """The numeric and the categorical features that a fitted Pipeline of ours looks at."""
    numeric: list[str] = []
    categorical: list[str] = []
    for block, _, columns in model.named_steps["preprocess"].transformers:
        (categorical if block.startswith("categorical") else numeric).extend(columns)
    operations = model.named_steps["derive"].operations if "derive" in model.named_steps else []
    for operation, _, features, _ in operations:
        (categorical if operation == "cross" else numeric).extend(features)
    added = {name for _, name, _, _ in operations}
    numeric, categorical = (
        [name for name in dict.fromkeys(names) if name not in added] for names in (numeric, categorical)
    )
    return numeric, categorical


def predict(model: Any, frame: pd.DataFrame) -> Any:
    """What a fitted Pipeline of ours says of each row, as float64.

    Of shape (rows,): P(label = 1), or a regression's value. Of a multiclass label (rows, classes), where a class that
    the fit has not seen has 0. `frame` has at least the model's features, of any numeric or text types; a category
    that the model has not seen counts as missing. Raises EvergreenError for a missing column.
    """
    import numpy as np

    from evergreen.training.threads import one_thread

    numeric, categorical = used_features(model)
    rows = inputs(frame, [*numeric, *categorical], categorical)
    classes = getattr(model, "n_classes_", None)
    if rows.empty:
        return np.empty(0 if classes is None else (0, classes), dtype="float64")
    with one_thread():
        if not hasattr(model, "predict_proba"):
            return np.ascontiguousarray(model.predict(rows), dtype="float64")
        p = model.predict_proba(rows)
    if classes is None:
        return np.ascontiguousarray(p[:, 1], dtype="float64")
    said = np.zeros((len(rows), classes), dtype="float64")
    said[:, model.classes_.astype("int64")] = p
    return said
