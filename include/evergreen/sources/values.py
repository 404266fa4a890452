"""Values of JSON and of web pages as typed Arrow columns: each conversion is listed here, and none loses anything.

Text is read as the declared type, as in CSV. A number is a number; a whole one is also text, where text is declared.
Objects and lists are never a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from evergreen.sources import csv_checks
from evergreen.sources.csv_checks import zoned
from evergreen.sources.files import Refused

if TYPE_CHECKING:
    import pyarrow as pa

Epoch = Literal["seconds", "milliseconds"]
_WHOLE = re.compile(r"[+-]?\d+")
_GROUPS = r"[+-]?\d{{1,3}}({}\d{{3}})+({}\d*)?"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Reading:
    """How values are written."""

    null_values: frozenset[str] = frozenset()
    epoch: Epoch | None = None
    thousands: str | None = None
    decimal: str = "."


class BadValue(Exception):
    """A value that its column cannot hold: where in the list it is, and why."""

    def __init__(self, index: int, column: str, reason: str) -> None:
        super().__init__(index, column, reason)
        self.index, self.column, self.reason = index, column, reason


def to_array(values: list[Any], field: pa.Field, reading: Reading) -> pa.Array:
    """The values in the column's type; raises BadValue for the first that it cannot hold."""
    import pyarrow as pa

    if reading.null_values:
        values = [None if isinstance(one, str) and one in reading.null_values else one for one in values]
    kinds = set(map(type, values)) - {type(None)}
    try:
        if kinds <= _plain(field.type):
            return _fast(values, field)
    except (pa.ArrowInvalid, OverflowError, UnicodeError, Refused):
        pass  # one by one, which finds the place
    convert = _converter(field.type)
    converted = []
    for index, value in enumerate(values):
        try:
            converted.append(None if value is None else convert(value, reading))
        except ValueError as error:
            raise BadValue(index, field.name, str(error)) from None
    return pa.array(converted, field.type)


def infer(values: list[Any], reading: Reading, texts: bool = False) -> pa.Array:
    """The values in the type that they look like, for a sample; `texts`: numbers are written as text too."""
    import pyarrow as pa

    numbers = [pa.int64(), pa.float64(), pa.bool_()]
    written = not texts and any(isinstance(one, str) for one in values)
    for type_ in [*([] if written else numbers), pa.timestamp("us")]:
        try:
            found = to_array(values, pa.field("", type_), reading)
        except BadValue:
            continue
        return found.cast(pa.timestamp("us", "UTC")) if pa.types.is_timestamp(type_) and zoned(values) else found
    return pa.array([one if one is None or isinstance(one, str) else str(one) for one in values], pa.string())


def _plain(type_: pa.DataType) -> set[type]:
    """The Python types that Arrow itself takes for a column without any doubt."""
    import pyarrow.types as types

    if types.is_integer(type_):
        return {int}
    if types.is_floating(type_):
        return {int, float}
    return {bool} if types.is_boolean(type_) else {str}


def _fast(values: list[Any], field: pa.Field) -> pa.Array:
    import pyarrow as pa
    import pyarrow.types as types

    if types.is_timestamp(field.type):
        texts = pa.record_batch([pa.array(values, pa.string())], names=[field.name])
        return csv_checks.convert(texts, pa.schema([field]), 0).column(0)
    if types.is_date(field.type):
        return pa.array(values, pa.string()).cast(field.type)
    return pa.array(values, field.type)


def _converter(type_: pa.DataType) -> Callable[[Any, Reading], Any]:
    import pyarrow.types as types

    ways: list[tuple[Callable[[Any], bool], Callable[[Any, Reading], Any]]] = [
        (types.is_integer, _whole), (types.is_floating, _float), (types.is_boolean, _bool),
        (types.is_timestamp, _moment), (types.is_date, _date), (types.is_string, _text),
    ]  # fmt: skip
    return next(convert for fits, convert in ways if fits(type_))


def _whole(value: Any, reading: Reading) -> int:
    if isinstance(value, str) and _WHOLE.fullmatch(text := _digits(value, reading)):
        value = int(text)
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise _not(value, "int64")
    return value


def _float(value: Any, reading: Reading) -> float:
    if isinstance(value, str) and _NUMBER.fullmatch(text := _digits(value, reading)):
        return float(text)
    if isinstance(value, bool) or not isinstance(value, int | float) or (isinstance(value, int) and abs(value) > 2**53):
        raise _not(value, "float64")
    return float(value)


def _bool(value: Any, reading: Reading) -> bool:
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    if not isinstance(value, bool):
        raise _not(value, "bool")
    return value


def _text(value: Any, reading: Reading) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise _not(value, "string")
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{ascii(text)[:200]} is not valid Unicode") from None
    return text


def _moment(value: Any, reading: Reading) -> datetime:
    import pyarrow as pa

    if isinstance(value, int | float) and not isinstance(value, bool):
        if reading.epoch is None:
            raise ValueError(
                f"{_show(value)} is a number; set `epoch` to seconds or milliseconds, if it counts from 1970"
            )
        scale = 1_000_000 if reading.epoch == "seconds" else 1_000
        try:
            return datetime(1970, 1, 1) + timedelta(microseconds=round(value * scale))
        except (OverflowError, ValueError):
            raise _not(value, "timestamp") from None
    if isinstance(value, str):
        try:
            field = pa.field("", pa.timestamp("us"))
            texts = pa.record_batch([pa.array([value.strip()], pa.string())], names=[""])
            found: datetime = csv_checks.convert(texts, pa.schema([field]), 0).column(0)[0].as_py()
            return found
        except (Refused, UnicodeError):
            pass
    raise ValueError(f"{_show(value)} is not a timestamp; expected ISO 8601, such as 2013-04-01T04:00:00Z")


def _date(value: Any, reading: Reading) -> Any:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value.strip()):
        try:
            return datetime.strptime(value.strip(), "%Y-%m-%d").replace(tzinfo=UTC).date()
        except ValueError:
            pass
    raise ValueError(f"{_show(value)} is not a date; expected one such as 2013-04-01")


def _digits(text: str, reading: Reading) -> str:
    """The number as Python writes it; a separator counts only between groups of three."""
    text = text.strip()
    if reading.thousands and re.fullmatch(_GROUPS.format(*map(re.escape, (reading.thousands, reading.decimal))), text):
        text = text.replace(reading.thousands, "")
    if reading.decimal != "." and "." in text:
        return ""
    return text.replace(reading.decimal, ".") if reading.decimal != "." else text


def _not(value: Any, type_: str) -> ValueError:
    hint = "; a text for missing values goes into `null_values`" if isinstance(value, str) else ""
    if isinstance(value, dict | list):
        hint = "; name the value inside it in `fields`"
    return ValueError(f"{_show(value)} is not of the declared type {type_}{hint}")


def _show(value: Any) -> str:
    return f"`{value if isinstance(value, str) else repr(value)}`"[:200]
