"""What the sources of files share: globs, content as identity, half-written files, errors that name the file."""

from __future__ import annotations

import glob
import hashlib
import logging
import os
import stat
import time
from abc import abstractmethod
from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from evergreen.errors import SourceError
from evergreen.params.base import Duration, Section, format_duration
from evergreen.sources.base import Inferred, Receipt, Request

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.sources.base import Fit

log = logging.getLogger(__name__)

RACY_SECONDS = 2  # as git has it: a file that was written this lately may change and keep its time of change


class Refused(Exception):
    """Why a file is refused, without its name."""


class FileSource(Inferred, Section):
    """Files that a glob finds. A subclass says how one of them is read."""

    ordered: ClassVar[bool] = False
    end: ClassVar[str]  # what a file has when its writer is through

    path: str = Field(min_length=1, description="A path or glob, from the folder of params.yaml; `**` crosses folders.")
    settle: Duration = Field(
        timedelta(minutes=1),
        description="A file without its end (a line end, a footer) is left for the next ingest until it was last "
        "written this long ago: most likely somebody is writing it.",
    )

    @abstractmethod
    def drop(self, request: Request, name: str) -> Drop:
        """The file of that name, unread."""

    def deliveries(self, request: Request) -> Iterator[Drop]:
        """The files whose content is new (`Request.is_new`), in the order of their names.

        One of a size that no content had is new without a look at it, which spares reading it twice.
        """
        listed: set[str] = set()
        copies: dict[str, str] = {}
        sizes = None if request.sizes is None else set(request.sizes)
        for name in self._names(request):
            drop = self.drop(request, name)
            drop.look(sizes)
            if drop.sha256 in listed or (drop.sha256 and not request.is_new(name, drop.sha256)):
                copies |= request.copied(name, drop.sha256)
                continue
            if drop.is_unfinished(self.settle):
                log.warning(
                    "%s: lacks its %s and was written less than %s ago, most likely somebody is writing it: left for "
                    "the next ingest", name, self.end, format_duration(self.settle),
                )  # fmt: skip
                continue
            yield drop
            listed |= {drop.sha256} - {""}
            if sizes is not None and drop.stamp is not None:
                sizes.add(drop.stamp[1])
        request.warn_of_copies(copies)

    def sample(self, request: Request, rows: int) -> pa.Table | None:
        """The first rows of each file in the order of their names until there are `rows`.

        Those of one file alone where it has a column twice: none goes beside it, and an ingest refuses it.
        """
        parts: list[pa.Table] = []
        for name in self._names(request):
            part = self.drop(request, name).head(rows)
            if part is not None and len(set(part.column_names)) < part.num_columns:
                return part.slice(0, rows)
            parts += [part] if part is not None else []
            if sum(part.num_rows for part in parts) >= rows:
                break
        return together(parts, request.schema, self.fit).slice(0, rows) if parts else None

    def _names(self, request: Request) -> list[str]:
        """The files, and the folders on the way that cannot be listed: reading one says why, and stops no other."""
        found = sorted(glob.glob(self.path, root_dir=request.root, recursive=True))
        folders = [name for name in found if (request.root / name).is_dir()]
        names = sorted({*found} - {*folders} | {*self._closed(request.root)})
        for folder in folders:
            if not any(name.startswith(os.path.join(folder, "")) for name in names):
                log.warning("%s: %s is a folder, and what is in it is not read", request.table, folder)
        if not names:
            log.warning("%s: no file matches %s in %s", request.table, self.path, request.root)
        return names

    def _closed(self, root: Path) -> Iterator[str]:
        """The folders that the glob would look into and cannot; the standard library passes them in silence."""
        above = os.path.dirname(self.path)
        for folder in glob.glob(os.path.join(above, ""), root_dir=root, recursive=True) if above else []:
            try:
                os.scandir(root / folder).close()
            except OSError:
                yield folder


@dataclass
class Drop:
    """One file as a delivery."""

    origin: str
    path: Path
    schema: pa.Schema
    sha256: str = ""  # when it was listed
    stamp: tuple[int, int, int] | None = None  # file, size and time of change when it was listed

    @abstractmethod
    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        """As `Delivery.batches`; a subclass calls `has_read` when it is through."""

    @abstractmethod
    def head(self, rows: int) -> pa.Table | None:
        """About the first `rows` rows with every column; None of a file without any."""

    @abstractmethod
    def is_whole(self, stream: BufferedReader) -> bool:
        """Whether the file has an end, as far as its format can tell."""

    def look(self, sizes: Collection[int | None] | None = None) -> None:
        """Note stamp and content's hash; there is none of a file that cannot be read, and `batches` says why.

        Nor of one of none of these `sizes`, unless it was just written: then its stamp may not tell a change.
        """
        with suppress(OSError), open_file(self.path) as stream:
            found = os.fstat(stream.fileno())
            self.stamp = _stamp(found)
            if sizes is None or found.st_size in sizes or abs(time.time() - found.st_mtime) < RACY_SECONDS:
                self.sha256 = hashlib.file_digest(stream, "sha256").hexdigest()

    def is_unfinished(self, settle: timedelta) -> bool:
        """Whether the file has no end and was written less than `settle` ago (or hence, by another clock)."""
        with suppress(OSError), open_file(self.path) as stream:
            age = time.time() - os.fstat(stream.fileno()).st_mtime
            return abs(age) < settle.total_seconds() and not self.is_whole(stream)
        return False

    def has_read(self, sha256: str, size: int) -> None:
        """Note what `batches` found to be the content."""
        self._receipt = Receipt(sha256, size)

    def receipt(self) -> Receipt:
        """The content's hash, which must still be the one that the file had when it was listed, if it was looked at."""
        if (self.sha256 and self._receipt.sha256 != self.sha256) or self._moved():
            raise self._changed()
        self.sha256 = self._receipt.sha256
        return self._receipt

    @contextmanager
    def reading(self) -> Iterator[BufferedReader]:
        """The open file; what makes it unreadable becomes a SourceError that names it."""
        try:
            with open_file(self.path) as stream:
                yield stream
        except Refused as error:
            raise self._refusal(str(error)) from None
        except (OSError, EOFError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            link = ", and it is a link" if self.path.is_symlink() else ""
            raise self._refusal(f"cannot be read: {reason}{link}") from None

    def _refusal(self, reason: str) -> SourceError:
        """What is wrong with a file that changes under the reader is what was read, and not the file."""
        return self._changed() if self._moved() else SourceError(f"{self.origin}: {reason}")

    def _moved(self) -> bool:
        """Whether another file, or other content, is in its place by now."""
        with suppress(OSError):
            return self.stamp is not None and _stamp(self.path.stat()) != self.stamp
        return False

    def _changed(self) -> SourceError:
        return SourceError(f"{self.origin}: changed while it was read; the next ingest tries it again")


def open_file(path: Path) -> BufferedReader:
    """Open a file to read; OSError at once where it is none: a named pipe would wait for somebody to write."""
    stream = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError("it is no file but a pipe or a device")
    return stream


def _stamp(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns


def together(parts: list[pa.Table], schema: pa.Schema, fit: Fit | None) -> pa.Table:
    """The parts as one table. Where the types of a column do not go together, it is as declared if all of its values
    fit that, else text.
    """
    import pyarrow as pa

    for name in dict.fromkeys(name for part in parts for name in part.column_names):
        if _agree([part.schema.field(name) for part in parts if name in part.column_names]):
            continue
        declared = schema.field(name).type if fit and name in schema.names else None
        for number, part in enumerate(parts):
            if name in part.column_names:
                values = part[name]
                fitted = fit(values, declared) if fit and declared else None
                if fitted is None or fitted.null_count > values.null_count:
                    fitted = values.cast(pa.string())
                parts[number] = part.set_column(part.column_names.index(name), name, fitted)
    return pa.concat_tables(parts, promote_options="permissive")


def _agree(fields: list[pa.Field]) -> bool:
    import pyarrow as pa

    try:
        pa.unify_schemas([pa.schema([field]) for field in fields], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return False
    return True
