"""Every kind of source, one line each."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from evergreen.errors import ParamsError
from evergreen.params import Params
from evergreen.sources.base import Source
from evergreen.sources.csv import Csv

SOURCES: dict[str, type[BaseModel]] = {
    "csv": Csv,
}


def open_source(table: str, source: Mapping[str, Any]) -> Source:
    """The source that `tables.<table>.source` describes; nothing is read or connected yet.

    Raises ParamsError for an unknown kind, an unknown option or a bad value, naming table, key and what is known.
    """
    place = f"params.yaml: `tables.{table}.source"
    kind = str(source.get("kind"))
    if kind not in SOURCES:
        raise ParamsError(f"{place}.kind` is `{kind}`: {_nearest(kind, SOURCES)}")
    options = {key: value for key, value in source.items() if key != "kind"}
    try:
        return cast("Source", SOURCES[kind].model_validate(options))
    except ValidationError as error:
        problems = (_explain(place, SOURCES[kind], problem) for problem in error.errors())
        raise ParamsError("\n".join(problems)) from None


def check_sources(params: Params) -> None:
    """Open the source of every table, which connects to none; raises ParamsError for the first that is wrong."""
    for name, table in params.tables.items():
        open_source(name, table.source)


def _explain(place: str, model: type[BaseModel], problem: Any) -> str:
    key = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        return f"{place}.{key}` is not an option: {_nearest(key, model.model_fields)}"
    if problem["type"] == "missing":
        return f"{place}` lacks `{key}`: {model.model_fields[key].description}"
    return f"{place}.{key}` is {problem['input']!r}: {str(problem['msg']).removeprefix('Value error, ')}"


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return (f"did you mean `{near[0]}`? " if near else "") + f"Known: {', '.join(known)}"
