"""Reading on from the newest record: what to ask for, and which of the records that come were taken already.

A service that is asked for what came since a moment mostly gives the records of that very moment again, and what it
gets late lies before it. So the position is the newest value of a column, and beside it a hash of every record from
`overlap` before it on: those are asked for again, and dropped where they have not changed. Only those that came in the
last read are remembered, so that a change that is taken back is a change too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import Field

from evergreen.errors import SourceError
from evergreen.params.base import Duration, Section

if TYPE_CHECKING:
    import pyarrow as pa

MOST_RECENT = 10_000  # hashes in a position, which every manifest holds
EPOCH = datetime(1970, 1, 1)


class Incremental(Section):
    """Ask only for what is new: `{position}` in `params` is the newest value of a column so far."""

    column: str = Field(description="A declared column that grows: of type int64, date or timestamp, never null.")
    start: str | int | None = Field(
        None, description="Value of `{position}` at the first read; without it the parameter is left out then."
    )
    overlap: Duration = Field(
        timedelta(0),
        description="Ask again for this much before the newest value, for records that come late or are changed.",
    )
    format: str | None = Field(
        None,
        description="How a moment is written: `seconds` or `milliseconds` since 1970, or a pattern such as %Y-%m-%d. "
        "Default: ISO 8601 in UTC.",
    )


class Window:
    """One read of a resource from a position on."""

    def __init__(self, options: Incremental, state: Mapping[str, Any], schema: pa.Schema) -> None:
        import pyarrow.types as types

        type_ = schema.field(options.column).type if options.column in schema.names else None
        fits = type_ is not None and (types.is_integer(type_) or types.is_timestamp(type_) or types.is_date(type_))
        if not fits or (types.is_integer(type_) and options.overlap):
            raise SourceError(
                f"`incremental.column` is `{options.column}`: it must be a declared column of type timestamp or date, "
                f"or int64 without an `overlap`"
            )
        self._options, self._type = options, type_
        self._value: Any = self._parse(state["value"]) if "value" in state else None
        self._known = {hashed: self._parse(value) for value, hashed in state.get("recent", ())}
        self._newest, self._came = self._value, dict[str, Any]()

    @property
    def asked(self) -> str | None:
        """What `{position}` stands for in this read."""
        if self._value is not None:
            return self._write(self._back(self._value))
        return None if self._options.start is None else str(self._options.start)

    def new(self, values: Sequence[Any], columns: Sequence[Sequence[Any]]) -> list[int]:
        """Which of these records were not taken before; `values` are the column to go by, `columns` all they say."""
        column = self._options.column
        if None in values:
            raise SourceError(f"record {values.index(None) + 1} has no `{column}`, which `incremental` goes by")
        if self._value is not None and (early := min(values, default=self._value)) < self._floor(self._value):
            raise SourceError(
                f"was asked for `{column}` since {self.asked} and sent {early}: does the service know the parameter "
                f"that holds `{{position}}`, and is it of the same time zone?"
            )
        new = [
            index
            for index, value in enumerate(values)
            if self._value is None or value > self._value or _hash(columns, index) not in self._known
        ]
        if len(values):
            self._remember(values, columns)
        return new

    def state(self) -> dict[str, Any]:
        """The position after this read; empty where no record ever came."""
        if self._newest is None:
            return {}
        known = self._came or self._known  # a service that leaves out the boundary itself may have sent nothing
        recent = sorted((self._text(value), hashed) for hashed, value in known.items())
        return {"value": self._text(self._newest), "recent": [list(pair) for pair in recent]}

    def _remember(self, values: Sequence[Any], columns: Sequence[Sequence[Any]]) -> None:
        newest = max(values)
        self._newest = newest if self._newest is None else max(newest, self._newest)
        floor = self._floor(self._newest)
        self._came = {hashed: value for hashed, value in self._came.items() if value >= floor}
        self._came |= {_hash(columns, index): value for index, value in enumerate(values) if value >= floor}
        if len(self._came) > MOST_RECENT:
            raise SourceError(
                f"{len(self._came)} records lie within one step of `{self._options.column}` (and `overlap`), more "
                f"than the {MOST_RECENT} that can be told apart: choose a finer column, `format` or a shorter `overlap`"
            )

    def _floor(self, value: Any) -> Any:
        """The lowest value that is sent when `value` is the newest: what `format` cuts off counts."""
        moment = self._back(value)
        if not isinstance(moment, datetime) or self._options.format is None:
            return moment
        if self._options.format in ("seconds", "milliseconds"):
            return EPOCH + timedelta(milliseconds=int(self._write(moment)) * (1000 if self._in_seconds else 1))
        return min(moment, datetime.strptime(self._write(moment), self._options.format).replace(tzinfo=None))

    @property
    def _in_seconds(self) -> bool:
        return self._options.format == "seconds"

    def _back(self, value: Any) -> Any:
        return value - self._options.overlap if self._options.overlap else value

    def _write(self, value: Any) -> str:
        """A value as the service is asked for it."""
        if isinstance(value, datetime) and self._options.format in ("seconds", "milliseconds"):
            return str((value - EPOCH) // timedelta(seconds=1 if self._in_seconds else 0.001))
        if isinstance(value, date) and self._options.format:
            return value.strftime(self._options.format)
        return self._text(value) if isinstance(value, date) else str(value)

    def _text(self, value: Any) -> Any:
        """A value as JSON; `_parse` is the inverse."""
        if isinstance(value, datetime):
            return value.isoformat() + "Z"
        return value.isoformat() if isinstance(value, date) else value

    def _parse(self, text: Any) -> Any:
        if isinstance(text, int):
            return text
        if "T" in text:
            return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)
        return date.fromisoformat(text)


def _hash(columns: Sequence[Sequence[Any]], index: int) -> str:
    row = [column[index] for column in columns]
    return hashlib.sha256(json.dumps(row).encode()).hexdigest()[:16]
