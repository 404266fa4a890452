"""docs/params.md, generated from the models so that it cannot be out of step with them."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from evergreen.params.base import format_duration
from evergreen.params.model import Params

HEAD = """# params.yaml

The one file that a team edits. Every key, its type, its default and what it means; made from the models by
`evergreen docs`, and checked by `make check`. An unknown key or a bad value is an error that names the line.

Durations are a whole number and a unit: `90 seconds`, `6 hours`, `7 days`, `2 weeks`. Moments are UTC. SQL expressions
are DuckDB's, over one row; `local(moment)` is the moment in `time_zone`; a name with spaces or symbols is written in
double quotes.
"""


def render_params_page(sources: Mapping[str, type[BaseModel]]) -> str:
    """The whole page as Markdown, each section after the one that mentions it; the kinds of `source` come last."""
    seen: set[type] = set()
    sections = list(_sections("params.yaml", Params, seen))
    for kind, model in sources.items():
        sections += _sections(f"tables.<name>.source (kind: {kind})", model, seen)
    return HEAD + "".join(_section(title, model) for title, model in sections)


def _sections(title: str, model: type[BaseModel], seen: set[type]) -> Iterator[tuple[str, type[BaseModel]]]:
    if model in seen:
        return
    seen.add(model)
    yield title, model
    for name, field in model.model_fields.items():
        place = field.alias or name if model is Params else f"{title}.{field.alias or name}"
        inner = list(_models(field.annotation))
        mapping = typing.get_origin(field.annotation) is dict
        for part in inner:
            kind = f" (kind: {_kind(part)})" if len(inner) > 1 else ""
            yield from _sections(place + (".<name>" if mapping else "") + kind, part, seen)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _models(part)


def _kind(model: type[BaseModel]) -> str:
    return "/".join(typing.get_args(model.model_fields["kind"].annotation))


def _section(title: str, model: type[BaseModel]) -> str:
    rows = "".join(_row(field.alias or name, field) for name, field in model.model_fields.items())
    head = "| key | type | default | meaning |\n| --- | --- | --- | --- |\n"
    return f"\n## {title}\n\n{inspect.getdoc(model)}\n\n{head}{rows}"


def _row(name: str, field: FieldInfo) -> str:
    cells = (f"`{name}`", _type(field.annotation), _default(field), field.description or "")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, timedelta):
        value = format_duration(value)
    if isinstance(value, BaseModel) or (isinstance(value, dict) and value):
        return "see below"
    if isinstance(value, tuple | dict):
        return ", ".join(f"`{one}`" if one else "the empty text" for one in value) or "none"
    return "null" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _type(annotation: Any) -> str:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type(args[0])
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in args)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(part) for part in args)
    if origin is dict:
        return f"mapping of {_type(args[1])}"
    if origin is tuple:
        return f"list of {_type(args[0])}"
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return "section"
    names = {
        type(None): "null",
        str: "text",
        int: "integer",
        float: "number",
        bool: "true or false",
        timedelta: "duration",
    }
    return names.get(annotation, "any")
