"""Records to rows and back: dicts as JSON, times as ISO 8601 text of one width, whose order is time's."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from evergreen.ledger.records import Record

R = TypeVar("R", bound=Record)


def to_row(record: Record) -> dict[str, Any]:
    """A record's fields as the ledger stores them."""
    return {key: _store(value) for key, value in record.model_dump().items()}


def from_row(kind: type[R], row: Mapping[str, Any]) -> R:
    """The record of a row; columns that are no field of it are left out."""
    values = {key: row[key] for key in kind.model_fields if key in row}
    for key in ("inputs", "evidence", "record"):
        if isinstance(values.get(key), str) and kind.model_fields[key].annotation == dict[str, Any]:
            values[key] = json.loads(values[key])
    return kind.model_validate(values)


def iso(moment: datetime) -> str:
    """`2013-04-01T04:00:00.000000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def jsonable(value: Any) -> Any:
    """`value` as JSON can hold it: a number that is not finite is missing (null), never a number."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, datetime):
        return iso(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _store(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso(value)
    return json.dumps(jsonable(value), sort_keys=True, allow_nan=False) if isinstance(value, dict) else value
