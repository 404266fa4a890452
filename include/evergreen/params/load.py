"""Reading params.yaml: an error names the line, the key, the value and what would be right."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from evergreen.errors import ParamsError
from evergreen.params.model import Params

Loc = tuple[int | str, ...]


def load_params(path: Path) -> Params:
    """Read and validate the params.yaml at `path`; raise ParamsError with every problem found."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ParamsError(
            f"{path}: cannot be read ({error.strerror}); run this in a folder with a params.yaml"
        ) from None
    return load_params_text(text, str(path))


def load_params_text(text: str, name: str = "params.yaml") -> Params:
    """Validate the text of a params.yaml; `name` is what an error calls it."""
    try:
        tree = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ParamsError(f"{name}{line}: not valid YAML: {error.problem}") from None
    if not isinstance(tree, dict):
        raise ParamsError(f"{name}: expected a mapping with the keys {', '.join(Params.model_fields)}")
    try:
        params = Params.model_validate(tree)
    except ValidationError as error:
        raise ParamsError("\n".join(_explain(name, tree, problem) for problem in error.errors())) from None
    return params


def _explain(name: str, tree: Any, problem: Any) -> str:
    loc: Loc = problem["loc"]
    path, line, value = _locate(tree, loc)
    where = f"{name}:{line}: `{'.'.join(map(str, path)) or 'the file'}`"
    if problem["type"] == "extra_forbidden":
        known = _known_keys(path[:-1])
        near = difflib.get_close_matches(str(path[-1]), known, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(known)}"
        return f"{where} is not a key ({hint})"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "missing":
        return f"{where} is missing a required key: `{loc[-1]}`"
    shown = "" if isinstance(value, dict) else f" is {value!r}"
    return f"{where}{shown}: {message}"


def _locate(tree: Any, loc: Loc) -> tuple[list[int | str], int, Any]:
    """Follow an error's place as far as the YAML goes (union tags are no keys); lines count from 1."""
    path: list[int | str] = []
    line, node = 1, tree
    for part in loc:
        if isinstance(node, dict) and part in node:
            line = node.lc.key(part)[0] + 1 if hasattr(node, "lc") else line
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            line = node.lc.item(part)[0] + 1 if hasattr(node, "lc") else line
        else:
            continue
        path.append(part)
        node = node[part]
    return path, line, node


def _known_keys(path: list[int | str]) -> list[str]:
    """The keys valid at a place, found by walking the models; empty where none is."""
    model: Any = Params
    for part in path:
        model = _step(model, str(part))
    return [field.alias or key for key, field in model.model_fields.items()] if _is_model(model) else []


def _step(model: Any, part: str) -> Any:
    if not _is_model(model):
        found = _models_in(model)
        return found[0] if found else None
    for key, field in model.model_fields.items():
        if part in (key, field.alias):
            return field.annotation
    return None


def _models_in(annotation: Any) -> list[Any]:
    if _is_model(annotation):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
