from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evergreen.errors import EvergreenError, RegistryError
from evergreen.params.preprocess import Preprocess
from evergreen.paths import file_sha256
from evergreen.training.artifacts import dump_model, load_model, predict
from evergreen.training.pipeline import Recipe, fit

ROWS = pd.DataFrame({"size": np.arange(100.0)})


def model():
    recipe = Recipe("hist_gradient_boosting", {"max_iter": 5}, Preprocess(), ("size",), (), seed=0)
    return fit(recipe, ROWS, (ROWS["size"] > 50).to_numpy(dtype="float64"))


def save(saved: Any, path: Path) -> str:
    path.write_bytes(dump_model(saved))
    return file_sha256(path)


def test_a_saved_model_is_loaded_as_it_was(tmp_path: Path) -> None:
    saved = model()
    sha256 = save(saved, tmp_path / "model.pkl")
    np.testing.assert_array_equal(predict(load_model(tmp_path / "model.pkl", sha256), ROWS), predict(saved, ROWS))


class Planted:
    """A pickle that leaves a trace when it is loaded."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def test_a_file_that_we_did_not_write_is_never_loaded(tmp_path: Path) -> None:
    sha256 = save(model(), tmp_path / "model.pkl")
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(Planted(tmp_path / "trace")))
    with pytest.raises(RegistryError, match=f"is not the model that was recorded .*recorded {sha256[:12]}"):
        load_model(tmp_path / "model.pkl", sha256)
    assert not (tmp_path / "trace").exists()
    with pytest.raises(RegistryError, match="cannot be read"):
        load_model(tmp_path / "absent.pkl", sha256)


def test_predicting_without_a_feature_names_it() -> None:
    with pytest.raises(EvergreenError, match="no column size"):
        predict(model(), pd.DataFrame({"other": [1.0]}))


@pytest.mark.parametrize(
    "preprocess",
    [
        {"interactions": {"gap": {"difference": ["size", "size"]}}},
        {"categorical": {"encode": "ordinal", "rare": {"count": 3}, "unknown": "level", "level": "red"}},
    ],
)
def test_a_recipe_that_was_sent_to_another_process_gives_the_same_bytes(preprocess: dict[str, Any]) -> None:
    """Its texts are other objects there, which pickle would tell apart."""
    rows = ROWS.assign(team=pd.Series(["red", "blue"] * 50, dtype="str"))
    recipe = Recipe("decision_tree", {}, Preprocess.model_validate(preprocess), ("size", "team"), ("team",), seed=0)
    labels = (rows["size"] % 7 > 3).to_numpy(dtype="float64")
    sent = pickle.loads(pickle.dumps(recipe))
    assert dump_model(fit(sent, rows, labels)) == dump_model(fit(recipe, rows, labels))
