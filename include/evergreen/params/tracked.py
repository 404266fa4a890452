"""The sections of params.yaml that dvc.yaml tracks: DVC does not know defaults, so each must be written down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from evergreen.errors import ParamsError
from evergreen.params.model import Params


def require_tracked(root: Path, params: Params) -> None:
    """Raise ParamsError where dvc.yaml tracks a key that params.yaml leaves to its default, with the line to add."""
    if not (root / "dvc.yaml").exists():
        return
    yaml = YAML(typ="safe")
    stages = yaml.load(root / "dvc.yaml").get("stages", {})
    written, known = yaml.load(root / "params.yaml"), params.model_dump(mode="json", by_alias=True)
    keys = dict.fromkeys(key for stage in stages.values() for key in stage.get("params", []) if isinstance(key, str))
    missing = [key for key in keys if _find(written, key) is None and not _is_null(written, key)]
    if missing:
        lines = ", ".join(f"`{_line(key, _find(known, key))}`" for key in missing)
        raise ParamsError(
            f"{root / 'params.yaml'}: dvc.yaml tracks {', '.join(missing)}, and DVC does not know defaults: add {lines}"
        )


def _find(tree: Any, key: str) -> Any:
    for part in key.split("."):
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree


def _is_null(tree: Any, key: str) -> bool:
    """Whether the key is written with the value null, which is there for DVC too."""
    parent, _, last = key.rpartition(".")
    place = _find(tree, parent) if parent else tree
    return isinstance(place, dict) and last in place


def _line(key: str, value: Any) -> str:
    """The default as one line of YAML."""
    section, _, inner = key.partition(".")
    if inner:
        return f"{section}: {{{inner}: {value}}}"
    return f"{section}: {{}}" if isinstance(value, dict) else f"{section}: {value}"
