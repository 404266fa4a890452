"""Dates and moments that a CSV does not write as ISO 8601: by the pattern that params.yaml gives for the column.

Python reads them, each different text once a batch, since Arrow's own parser takes 31.02.2013 for the third of March.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator

from evergreen.errors import ParamsError
from evergreen.sources.files import Refused

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.sources.base import Request

_EXAMPLE = datetime(2013, 1, 31, 12, tzinfo=UTC)


def _known(formats: dict[str, str]) -> dict[str, str]:
    for column, pattern in formats.items():
        try:
            datetime.strptime(_EXAMPLE.strftime(pattern), pattern)
        except ValueError as error:
            raise ValueError(f"`{pattern}` of `{column}`: {error}") from None
        if not any(year in pattern for year in ("%Y", "%y")):
            raise ValueError(f"`{pattern}` of `{column}` says no year: it lacks %Y or %y")
    return formats


DateFormats = Annotated[dict[str, str], AfterValidator(_known)]
DESCRIPTION = (
    "A date or timestamp column to how it is written, such as `sold: '%d.%m.%Y'` (the codes of Python's strptime); by "
    "default ISO 8601. A moment without an offset (`%z`) is UTC."
)


def check_formats(formats: Mapping[str, str], request: Request) -> None:
    """Raise ParamsError for a column that is not declared as date or timestamp."""
    import pyarrow as pa

    for column in formats:
        index = request.schema.get_field_index(column)
        if index < 0 or not pa.types.is_temporal(request.schema.field(index).type):
            raise ParamsError(
                f"params.yaml: `tables.{request.table}.source.date_formats` names `{column}`: declare it among the "
                "table's columns, of type date or timestamp"
            )


def parse(texts: pa.Array, field: pa.Field, pattern: str, first: int) -> pa.Array:
    """The texts in the field's type; Refused names the row of the first that is not so written. `first` is row 0's."""
    import pyarrow as pa

    different = texts.dictionary_encode()
    found = [_read(text, field.type, pattern) for text in different.dictionary.to_pylist()]
    if None in found:
        bad = different.dictionary[found.index(None)]
        raise Refused(
            f"row {first + texts.index(bad).as_py()} (the header is row 1), column `{field.name}`: `{bad}` is not a "
            f"{'date' if pa.types.is_date(field.type) else 'timestamp'} as `date_formats` has it, {pattern}"
        )
    return pa.array(found, field.type).take(different.indices)


def sampled(texts: pa.ChunkedArray, field: pa.Field, pattern: str) -> pa.ChunkedArray:
    """The same for a look: where some are not so written, the others as ISO 8601 text, and they as they are."""
    import pyarrow as pa

    read = [(text, None if text is None else _read(text, field.type, pattern)) for text in texts.to_pylist()]
    if any(text is not None and value is None for text, value in read):
        return pa.chunked_array([[value.isoformat() if value else text for text, value in read]], pa.string())
    return pa.chunked_array([[value for _, value in read]], field.type)


def _read(text: str, type_: pa.DataType, pattern: str) -> Any:
    """The day, or the moment in UTC; None where it is not so written, and of a day's time, which would be lost."""
    import pyarrow as pa

    try:
        found = datetime.strptime(text, pattern)
    except ValueError:
        return None
    if pa.types.is_date(type_):
        return found.date() if found.time() == datetime.min.time() else None
    return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found
