"""Objects of Google Cloud Storage: listed in pages, pinned to their generation, read as a stream, checked by CRC32C.

The listing tells an object's MD5, so what was taken before is known without reading it: a delivery is named by a hash
of the content's MD5, CRC32C and size, and copies and replacements count as they do for files. Composite objects have no
MD5, and 32 bits do not tell contents apart: they are named by bucket, name and generation as well, so each generation
is taken once, and a copy of one is another.
"""

from __future__ import annotations

import fnmatch
import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from evergreen import faults
from evergreen.errors import SourceError
from evergreen.params.base import Duration, Section
from evergreen.sources.base import Inferred, Request
from evergreen.sources.csv_dates import DESCRIPTION, DateFormats, check_formats
from evergreen.sources.files import together
from evergreen.sources.gcs_client import open_client
from evergreen.sources.gcs_object import GcsFile
from evergreen.sources.gcs_stream import Object, explain, retrying
from evergreen.sources.values import Epoch

if TYPE_CHECKING:
    import pyarrow as pa
    from google.cloud.storage import Client

log = logging.getLogger(__name__)

PAGE = 1000  # names in one answer, the most that the service gives
SHOWN = "items(name,generation,size,crc32c,md5Hash,contentEncoding),nextPageToken"


class Gcs(Inferred, Section):
    """Objects whose names match; each is a delivery. An object that is replaced by other content is a new one."""

    ordered: ClassVar[bool] = False

    bucket: str = Field(min_length=1, description="The bucket's name, without gs://.")
    path: str = Field(
        min_length=1, description="An object's name or a glob such as `airports/*.csv`; `**` crosses slashes."
    )
    connection: str | None = Field(
        None,
        description="Airflow connection of the type google_cloud_platform: a service account's key in `keyfile_dict` "
        "or `key_path`, or `is_anonymous`, or another `endpoint`. Default: the machine's own account.",
    )
    format: Literal["csv", "jsonl", "parquet"] | None = Field(
        None, description="What is in the objects; default by the name's end. csv and jsonl may be packed (.gz, .zst)."
    )
    delimiter: str = Field(",", min_length=1, max_length=1, description="csv: the character between two values.")
    null_values: tuple[str, ...] = Field(("",), description="csv, jsonl: texts that mean a missing value.")
    date_formats: DateFormats = Field({}, description="csv: " + DESCRIPTION[0].lower() + DESCRIPTION[1:])
    fields: dict[str, str] = Field({}, description="jsonl: column to its path in a record, such as `lat: place.lat`.")
    optional: tuple[str, ...] = Field((), description="jsonl: columns that may be absent from all records.")
    epoch: Epoch | None = Field(None, description="jsonl: what a number in a timestamp column counts since 1970.")
    timeout: Duration = Field(
        timedelta(seconds=60), description="Longest wait for a connection and for the next part of an object."
    )
    give_up_after: Duration = Field(
        timedelta(minutes=2),
        description="Longest time that a request, or an object of which nothing more comes, is tried again.",
    )

    def deliveries(self, request: Request) -> Iterator[GcsFile]:
        """The objects whose content is new (`Request.is_new`), in the order of their names."""
        check_formats(self.date_formats, request)
        with closing(open_client(self.connection)) as client:
            listed: dict[str, str] = {}
            copies: dict[str, str] = {}
            new: list[tuple[str, Object]] = []
            count = 0
            for sha256, found in self._listed(client):
                count += 1
                if sha256 in listed:
                    copies[found.origin] = listed[sha256]
                elif request.is_new(found.origin, sha256):
                    listed[sha256] = found.origin
                    new.append((sha256, found))
                else:
                    copies |= request.copied(found.origin, sha256)
            faults.point("gcs.listed")
            request.warn_of_copies(copies)
            if not count:
                log.warning("%s: no object matches gs://%s/%s", request.table, self.bucket, self.path)
            for sha256, found in new:
                yield GcsFile(found, sha256, self, request.schema, client)

    def sample(self, request: Request, rows: int) -> pa.Table | None:
        """The first rows of the objects in the order of their names; types as they say, or inferred."""
        check_formats(self.date_formats, request)
        parts: list[pa.Table] = []
        with closing(open_client(self.connection)) as client:
            for sha256, found in self._listed(client):
                part = GcsFile(found, sha256, self, request.schema, client).head(rows)
                parts += [part] if part is not None and part.num_rows else []
                if sum(part.num_rows for part in parts) >= rows:
                    break
        return together(parts, request.schema, None).slice(0, rows) if parts else None

    def _listed(self, client: Client) -> Iterator[tuple[str, Object]]:
        """Every object that matches, with what names its content; nothing of it is read."""
        pattern = translate(self.path)
        prefix = re.split(r"[*?\[]", self.path, maxsplit=1)[0]
        try:
            found = client.list_blobs(
                self.bucket, prefix=prefix, fields=SHOWN, page_size=PAGE, timeout=self.timeout.total_seconds(),
                retry=retrying(self.give_up_after.total_seconds()),
            )  # fmt: skip
            for blob in found:
                if pattern.fullmatch(blob.name) and not blob.name.endswith("/"):
                    yield _identity(self.bucket, blob)
        except SourceError:
            raise
        except Exception as error:  # the library raises what its transport raises: each means that it is not listed
            raise SourceError(f"gs://{self.bucket}/{self.path}: cannot be listed: {explain(error)}") from None


def translate(glob: str) -> re.Pattern[str]:
    """A glob over object names as an expression, as for files: only `**` crosses slashes, `[!0]` is no 0."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\])", glob)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(known.get(part) or _literal(part) for part in parts), re.DOTALL)


def _literal(part: str) -> str:
    """Characters that stand for themselves, or one of a set of them."""
    if part.startswith("[") and len(part) > 1:
        return "(?!/)" + fnmatch.translate(part).removesuffix(r"\Z")
    return re.escape(part)


def _identity(bucket: str, blob: Any) -> tuple[str, Object]:
    found = Object(bucket, blob.name, int(blob.generation), int(blob.size), blob.crc32c, blob.content_encoding or "")
    content = f"md5 {blob.md5_hash} crc32c {found.crc32c} size {found.size}"
    if not blob.md5_hash:
        content += f" of {found.origin}#{found.generation}"
    return hashlib.sha256(content.encode()).hexdigest(), found
