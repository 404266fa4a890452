"""What a source is: options from params.yaml that, told what was read before, yield deliveries.

To add one: a module with a frozen options model that has `deliveries`, a line in catalog.py, and a harness in
tests/contracts/test_sources.py, whose suite then runs on it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from evergreen.lake.rejects import Reject

if TYPE_CHECKING:
    import pyarrow as pa

    Fit = Callable[[pa.ChunkedArray, pa.DataType], pa.ChunkedArray]

log = logging.getLogger(__name__)

SHOWN = 3  # copies that are named


@dataclass(frozen=True)
class Request:
    """What a source is asked for: the rows of one table that the lake does not hold yet."""

    root: Path  # the project's folder, which relative places start from
    table: str
    schema: pa.Schema  # the declared columns in declared order, as lake.schema.arrow_schema gives them
    as_of: datetime
    position: Mapping[str, Any] = field(default_factory=dict)  # of the last commit that had one
    origins: Mapping[str, str] = field(default_factory=dict)  # origin -> SHA-256 of its newest delivery taken
    contents: Mapping[str, str] = field(default_factory=dict)  # SHA-256 -> first origin, of every delivery taken

    sizes: frozenset[int | None] | None = frozenset()  # of those contents; None where one is not known

    def is_new(self, origin: str, sha256: str) -> bool:
        """Whether a delivery adds anything.

        It does not where its content came under another name, or is the newest that came under its own. One that
        returns to what it said before takes a correction back, and is new.
        """
        owner = self.contents.get(sha256)
        return owner is None or (owner == origin and self.origins.get(origin) != sha256)

    def copied(self, origin: str, sha256: str) -> dict[str, str]:
        """`origin` and the other name under which its content came; nothing where there is none."""
        owner = self.contents.get(sha256, origin)
        return {origin: owner} if owner != origin else {}

    def warn_of_copies(self, copies: Mapping[str, str]) -> None:
        """Say what is passed over for its content, and what that is a copy of: it may be a correction taken back."""
        if copies:
            named = ", ".join(f"{origin} (came as {owner})" for origin, owner in list(copies.items())[:SHOWN])
            log.warning(
                "%s: %d passed over, since the content came under another name: %s%s. Where that is no copy, but "
                "values that returned, let a column tell the day (`changed_at`): then no two contents are the same",
                self.table, len(copies), named, ", ..." if len(copies) > SHOWN else "",
            )  # fmt: skip


@dataclass(frozen=True)
class Receipt:
    """What is known of a delivery once it was read to its end.

    `sha256` names it for ever: of its content where the source has files or bodies, else of the range of positions
    that it covers. A delivery that is not `Request.is_new` by it is dropped. `position` is where a later read goes
    on, as JSON; it is empty where the source is known by content alone.
    """

    sha256: str
    bytes: int
    position: Mapping[str, Any] = field(default_factory=dict)
    lag: str = ""  # what the source holds beyond `position`, in its own words; empty where it does not tell


class Delivery(Protocol):
    """One unit that is committed whole or not at all: a file, an object, a range of offsets, a changed set."""

    @property
    def origin(self) -> str:
        """What the source calls it; shown in errors and kept in the manifest."""
        ...

    def batches(self) -> Generator[pa.RecordBatch | Reject, None, None]:
        """The rows in the request's schema, in bounded memory; a generator, which frees what it holds when closed.

        A record that cannot be a row, in a delivery that is good without it, comes as a Reject: it is kept beside the
        delivery's rows and committed with them, so that one bad message neither is lost nor stops the others.
        Raises SourceError: then nothing of the delivery is committed.
        """
        ...

    def receipt(self) -> Receipt:
        """Verify what `batches` has read to its end: length, checksum, count. Raises SourceError: as above."""
        ...


class Source(Protocol):
    """The options of one table's source; a frozen pydantic model that forbids unknown keys."""

    ordered: ClassVar[bool]  # positions build on each other: after a refused delivery the run reads no further

    def deliveries(self, request: Request) -> Iterator[Delivery]:
        """The new deliveries in a stable order, each read before the next is asked for.

        The end is fixed at the start, so that a source that keeps growing ends. Raises SourceError where the
        source cannot be reached or listed.
        """
        ...

    def sample(self, request: Request, rows: int) -> pa.Table | None:
        """About the first `rows` rows, for a look at the source: every column of it, typed as the source says.

        A column that params.yaml does not declare is among them. Where the source has no types, they are inferred,
        but what is declared as text stays as it is written. None where there is nothing. Position and what was taken
        before play no part. Raises SourceError as above.
        """
        ...

    @property
    def fit(self) -> Fit | None:
        """Puts a sample's column into a declared type: null where a delivery with the value would be refused.

        None where the source has no types of its own: those of its sample are inferred, and say nothing of that.
        """
        ...


@runtime_checkable
class Acknowledging(Protocol):
    """A source whose server is told how far the lake is, for its own display; nothing is ever read from there."""

    def acknowledge(self, request: Request, position: Mapping[str, Any]) -> None:
        """Tell it after a run what is committed. Never raises where the server does not listen."""
        ...


class Inferred:
    """A source whose sample has inferred types, or types that a delivery does not go by."""

    @property
    def fit(self) -> Fit | None:
        """As `Source.fit`: none."""
        return None
