"""What pydantic finds wrong, in words that name the line, the key, the value and what would be right."""

from __future__ import annotations

import difflib
import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from evergreen.params.base import nearest
from evergreen.params.model import Params
from evergreen.params.places import line_of

Loc = tuple[int | str, ...]
Path = tuple[int | str, ...]
_KINDS = {
    "tuple_type": "must be a list, such as [a, b]",
    "list_type": "must be a list, such as [a, b]",
    "dict_type": "must be a mapping, such as {a: b}",
    "model_type": "must be a section with keys of its own",
    "model_attributes_type": "must be a section with keys of its own",
    "string_type": "must be text; put it in quotes",
    "time_delta_type": "must be a duration, such as `6 hours` or `7 days`",
}


def explain(name: str, tree: Any, problems: Iterable[Mapping[str, Any]]) -> list[str]:
    """One line a mistake, in the order of `problems`; `tree` is the round-trip YAML, `name` what the file is called."""
    found: dict[Path, list[Mapping[str, Any]]] = {}
    for problem in problems:
        found.setdefault(locate(tree, problem["loc"])[0], []).append(problem)
    # Where a key may hold a list or a mapping, pydantic tries both: what it says of an entry is of the one meant.
    meant = {
        path: group for path, group in found.items()
        if not (all(one["type"] in _KINDS for one in group) and _goes_deeper(path, found))
    }  # fmt: skip
    return [line for group in meant.values() for line in dict.fromkeys(_explain_all(name, tree, group))]


def locate(tree: Any, loc: Loc) -> tuple[Path, int, Any]:
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
    return tuple(path), line, node


def _goes_deeper(path: Path, found: Mapping[Path, object]) -> bool:
    return any(len(other) > len(path) and other[: len(path)] == path for other in found)


def _explain_all(name: str, tree: Any, group: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """The lines of one place; several shapes that it may have become one line."""
    if len(group) > 1 and all(problem["type"] in _KINDS for problem in group):
        shapes = dict.fromkeys(_KINDS[problem["type"]].removeprefix("must be ") for problem in group)
        yield _explain(name, tree, {**group[0], "type": "shape", "msg": f"must be {', or '.join(shapes)}"})
        return
    for problem in group:
        yield _explain(name, tree, problem)


def _explain(name: str, tree: Any, problem: Mapping[str, Any]) -> str:
    loc, kind = problem["loc"], problem["type"]
    if kind == "union_tag_invalid":
        loc = (*loc, "kind")
    path, line, value = locate(tree, loc)
    if not path and kind == "value_error":  # of the whole file: the message names its place
        message = _said(problem)
        return f"{name}:{line_of(tree, message) or line}: {message}"
    where = f"{name}:{line}: `{'.'.join(map(str, path)) or 'the file'}`"
    if kind == "extra_forbidden":
        known = known_keys(Params, tree, path[:-1])
        near = difflib.get_close_matches(str(path[-1]), known, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(known)}"
        return f"{where} is not a key ({hint})"
    if kind in ("missing", "union_tag_not_found"):
        return f"{where} is missing a required key: `{loc[-1] if kind == 'missing' else 'kind'}`"
    expected = problem.get("ctx", {}).get("expected" if kind == "literal_error" else "expected_tags", "")
    valid = re.findall(r"'([^']*)'", expected) if kind in ("literal_error", "union_tag_invalid") else []
    if valid and loc[-1] == "[key]":
        return f"{where} is not a key: {nearest(path[-1], valid)}"
    if valid:
        return f"{where} is {value!r}: {nearest(value, valid)}"
    shown = "" if isinstance(value, dict) or not path else f" is {'null' if value is None else repr(value)}"
    return f"{where}{shown}: {_KINDS.get(kind) or _said(problem)}"


def _said(problem: Mapping[str, Any]) -> str:
    return str(problem["msg"]).removeprefix("Value error, ").replace("Input should", "should", 1)


def known_keys(model: type[BaseModel], tree: Any, path: Path) -> dict[str, str]:
    """The keys valid at a place below `model`, each with what it means; `tree` is what stands there in the YAML."""
    annotation: Any = model
    node = tree
    for part in path:
        annotation, node = _step(annotation, str(part), node), node[part]
    found = _model_of(annotation, node)
    fields = found.model_fields if found else {}
    return {field.alias or key: field.description or "" for key, field in fields.items()}


def _step(annotation: Any, part: str, node: Any) -> Any:
    """The annotation of `part` in a model, or of any entry of a mapping."""
    if typing.get_origin(annotation) is dict:
        return typing.get_args(annotation)[1]
    fields = model.model_fields if (model := _model_of(annotation, node)) else {}
    return next((field.annotation for key, field in fields.items() if part in (key, field.alias)), None)


def _model_of(annotation: Any, node: Any) -> type[BaseModel] | None:
    """The model among an annotation's: the one whose `kind` the YAML names, where there are several."""
    models = _models_in(annotation)
    kind = node.get("kind") if isinstance(node, dict) else None
    named = [model for model in models if "kind" in model.model_fields and _says(model, kind)]
    return next(iter(named or models), None)


def _says(model: type[BaseModel], kind: object) -> bool:
    return kind in typing.get_args(model.model_fields["kind"].annotation)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models_in(part)]
