"""dvc.yaml names all that a stage's bytes depend on: changed code is a changed build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "include" / "evergreen"
DVC: dict[str, Any] = YAML(typ="safe").load(ROOT / "dvc.yaml")

# What a stage imports and what can change no byte of its outputs, with a reason each.
NEUTRAL = {
    "evergreen": "a docstring",
    "evergreen.errors": "texts",
    "evergreen.files": "how a file is written, not what",
    "evergreen.lake": "empty",
    "evergreen.locks": "waits",
    "evergreen.params": "re-exports",
    "evergreen.params.base": "parsing, whose results the tracked params are",
    "evergreen.params.gate": "only gate.window is used, which is tracked",
    "evergreen.params.load": "reads or refuses",
    "evergreen.params.model": "puts the sections together",
    "evergreen.params.monitoring": "not used by a build",
    "evergreen.params.scoring": "not used by a build",
    "evergreen.paths": "places",
    "evergreen.project": "places",
    "evergreen.registry": "empty",
    "evergreen.registry.tracking": "watches",
    "evergreen.stages": "empty",
}
