"""params.yaml as frozen models: `load_params(path)` reads and validates it."""

from __future__ import annotations

from evergreen.params.load import load_params, load_params_text
from evergreen.params.model import Params

__all__ = ["Params", "load_params", "load_params_text"]
