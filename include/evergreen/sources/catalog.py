"""Every kind of source, one line each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from evergreen.errors import ParamsError
from evergreen.params import Params
from evergreen.params.base import nearest
from evergreen.params.explain import known_keys, locate
from evergreen.sources.base import Source
from evergreen.sources.csv import Csv
from evergreen.sources.gcs import Gcs
from evergreen.sources.html_table import HtmlTable
from evergreen.sources.http_json import HttpJson
from evergreen.sources.kafka import Kafka
from evergreen.sources.parquet import Parquet
from evergreen.sources.postgres import Postgres

SOURCES: dict[str, type[BaseModel]] = {
    "csv": Csv,
    "parquet": Parquet,
    "postgres": Postgres,
    "kafka": Kafka,
    "gcs": Gcs,
    "http_json": HttpJson,
    "html_table": HtmlTable,
}


def open_source(table: str, source: Mapping[str, Any]) -> Source:
    """The source that `tables.<table>.source` describes; nothing is read or connected yet.

    Raises ParamsError for an unknown kind, an unknown option or a bad value, naming table, key and what is known.
    """
    place = f"params.yaml: `tables.{table}.source"
    kind = str(source.get("kind"))
    if kind not in SOURCES:
        raise ParamsError(f"{place}.kind` is `{kind}`: {nearest(kind, SOURCES)}")
    options = {key: value for key, value in source.items() if key != "kind"}
    try:
        return cast("Source", SOURCES[kind].model_validate(options))
    except ValidationError as error:
        problems = (_explain(place, SOURCES[kind], options, problem) for problem in error.errors())
        raise ParamsError("\n".join(problems)) from None


def check_sources(params: Params) -> None:
    """Open the source of every table, which connects to none; raises ParamsError with all that is wrong."""
    problems = []
    for name, table in params.tables.items():
        try:
            open_source(name, table.source)
        except ParamsError as error:
            problems.append(str(error))
    if problems:
        raise ParamsError("\n".join(problems))


def _explain(place: str, model: type[BaseModel], options: Mapping[str, Any], problem: Any) -> str:
    path, _, value = locate(options, problem["loc"])
    key = ".".join(map(str, path))
    if problem["type"] == "extra_forbidden":
        return f"{place}.{key}` is not an option: {nearest(path[-1], known_keys(model, options, path[:-1]))}"
    if problem["type"] == "missing":
        lacking = str(problem["loc"][-1])
        meaning = known_keys(model, options, path).get(lacking)
        return f"{place}{'.' * bool(key)}{key}` lacks `{lacking}`" + (f": {meaning}" if meaning else "")
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "literal_error":
        message = nearest(value, re.findall(r"'([^']*)'", problem["ctx"]["expected"]))
    shown = f".{key}` is {value!r}" if key else "`"  # options that do not go together: the message names them
    return f"{place}{shown}: {message}"
