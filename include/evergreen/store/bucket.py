"""Objects below a prefix of a Google Cloud Storage bucket, each written or read whole.

The client is who this machine is (Application Default Credentials), or nobody where STORAGE_EMULATOR_HOST is set. A
bucket that is away for a while is waited for; what does not pass becomes a LakeError that names it.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from evergreen.errors import LakeError, SourceError
from evergreen.sources.gcs_client import WRITE, open_client
from evergreen.sources.gcs_stream import innermost

if TYPE_CHECKING:
    from google.cloud.storage import Client

R = TypeVar("R")
log = logging.getLogger(__name__)

PATIENCE = 60.0  # seconds that a bucket may be away
FIRST_WAIT = 0.5  # before the second try, doubled for each further one
LONGEST_WAIT = 8.0
TIMEOUT = (10.0, 60.0)  # to connect, and for the next part of an answer
PAGE = 1000  # names in one answer, the most that the service gives
SHOWN = "items(name,generation,size,crc32c,md5Hash,updated),nextPageToken"
_PASSING = (408, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Stored:
    """One object as it is now; a composite one has no MD5."""

    name: str
    generation: int
    size: int
    crc32c: str
    md5: str | None
    written: float  # seconds since 1970

    def is_content_of(self, path: Path) -> bool:
        """Whether the file holds the same bytes."""
        import google_crc32c

        if path.stat().st_size != self.size:
            return False
        crc32c, md5 = google_crc32c.Checksum(), hashlib.md5(usedforsecurity=False)
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                crc32c.update(block)
                md5.update(block)
        return self.crc32c == _text(crc32c.digest()) and self.md5 in (None, _text(md5.digest()))


class Bucket:
    """The objects below `gs://<bucket>/<prefix>`; names are relative to it."""

    def __init__(self, url: str) -> None:
        found = re.fullmatch(r"gs://([a-z0-9][a-z0-9._-]+)((?:/[^/?#]+)*)/?", url)
        if found is None:
            raise LakeError("EVERGREEN_LAKE_URL is not a place such as gs://bucket/prefix")
        self._bucket, prefix = found[1], found[2].lstrip("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self.url = f"gs://{self._bucket}/{prefix}".rstrip("/")

    def put(self, name: str, path: Path, generation: int) -> int | None:
        """Write a file over the object's `generation`, 0 where there is none; the new one, None where it is another."""
        from google.api_core.exceptions import PreconditionFailed

        def write() -> int | None:
            blob = self._blob(name)
            try:
                blob.upload_from_filename(
                    str(path), content_type="application/octet-stream", if_generation_match=generation,
                    timeout=TIMEOUT, retry=None,
                )  # fmt: skip
            except PreconditionFailed:  # perhaps of this very write, whose answer was lost: who asks compares
                return None
            return int(blob.generation)

        return self._patiently(write, f"write {name}")

    def get(self, name: str, path: Path, generation: int | None = None) -> int | None:
        """Read an object into a file, which is synced; its generation, None where it is gone, or is another one."""
        from google.api_core.exceptions import NotFound

        def read() -> int | None:
            blob = self._blob(name, generation)
            try:
                with path.open("wb") as stream:
                    blob.download_to_file(stream, raw_download=True, timeout=TIMEOUT, retry=None)
                    stream.flush()
                    os.fsync(stream.fileno())
            except NotFound:
                return None
            return int(blob.generation)

        return self._patiently(read, f"read {name}")

    def stat(self, name: str) -> Stored | None:
        """What is there now; None where nothing is."""
        from google.api_core.exceptions import NotFound

        def ask() -> Stored | None:
            blob = self._blob(name)
            try:
                blob.reload(timeout=TIMEOUT, retry=None)
            except NotFound:
                return None
            return self._stored(blob)

        return self._patiently(ask, f"look for {name}")

    def list(self, prefix: str = "") -> dict[str, Stored]:
        """The objects whose name begins so, by name."""

        def ask() -> dict[str, Stored]:
            blobs = self._client.list_blobs(
                self._bucket, prefix=self._prefix + prefix, fields=SHOWN, page_size=PAGE, timeout=TIMEOUT, retry=None
            )
            return {one.name: one for one in map(self._stored, blobs)}

        return self._patiently(ask, f"list {prefix}")

    def delete(self, name: str) -> None:
        """Delete an object; again, it changes nothing."""
        from google.api_core.exceptions import NotFound

        def delete() -> None:
            with suppress(NotFound):
                self._blob(name).delete(timeout=TIMEOUT, retry=None)

        self._patiently(delete, f"delete {name}")

    @cached_property
    def _client(self) -> Client:
        try:
            return open_client(None, WRITE)
        except SourceError:
            raise LakeError(
                f"{self.url}: this machine has no Google account to use: run `gcloud auth application-default login`, "
                "or name a service account's key file in GOOGLE_APPLICATION_CREDENTIALS"
            ) from None

    def _blob(self, name: str, generation: int | None = None) -> Any:
        return self._client.bucket(self._bucket).blob(self._prefix + name, generation=generation)

    def _stored(self, blob: Any) -> Stored:
        name = blob.name.removeprefix(self._prefix)
        return Stored(name, int(blob.generation), int(blob.size), blob.crc32c, blob.md5_hash, blob.updated.timestamp())

    def _patiently(self, request: Callable[[], R], what: str) -> R:
        """What a request gives, tried again while the bucket is away; LakeError where that does not pass."""
        deadline, wait, raised = time.monotonic() + PATIENCE, FIRST_WAIT, _raised()
        while True:
            try:
                return request()
            except raised as error:
                passes = _passes(error)
                if isinstance(error, OSError) and error.errno and not passes:
                    raise  # of this disk, which has its own words
                if not passes or time.monotonic() + wait > deadline:
                    then = f", and did so for {PATIENCE:.0f} s; run this again when that is over" if passes else ""
                    raise LakeError(f"{self.url}: could not {what}: {_explain(error)}{then}") from None
                log.warning("%s does not answer (%s); trying again", self.url, _explain(error))
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)


def _raised() -> tuple[type[Exception], ...]:
    """What the library raises, and what its transport raises through it: each means that the request was not done."""
    import requests
    import urllib3
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

    return (
        GoogleAPIError, GoogleAuthError, DataCorruption, InvalidResponse, requests.RequestException,
        urllib3.exceptions.HTTPError, OSError,
    )  # fmt: skip


def _passes(error: BaseException) -> bool:
    """Whether it may be otherwise in a moment: a lost connection, a server that is busy, bytes that came altered."""
    import requests
    import urllib3
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth.exceptions import TransportError
    from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

    if isinstance(error, GoogleAPICallError):
        return error.code in _PASSING
    if isinstance(error, InvalidResponse):
        return error.response.status_code in _PASSING
    lost = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    return isinstance(
        error, (*lost, urllib3.exceptions.HTTPError, ConnectionError, TimeoutError, TransportError, DataCorruption)
    )


def _explain(error: Exception) -> str:
    """What went wrong, and what to do."""
    from google.api_core.exceptions import Forbidden, NotFound, Unauthorized
    from google.auth.exceptions import GoogleAuthError

    if isinstance(error, NotFound):
        return "there is no such bucket, or not for this account: make it, or correct EVERGREEN_LAKE_URL"
    if isinstance(error, Forbidden | Unauthorized) or (isinstance(error, GoogleAuthError) and not _passes(error)):
        return "Google refuses these credentials: the account needs the role Storage Object User on the bucket"
    cause = innermost(error)
    status = getattr(getattr(cause, "response", None), "status_code", None)
    return f"Google says {status}" if status else " ".join(str(cause).split())[:300] or type(cause).__name__


def _text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
