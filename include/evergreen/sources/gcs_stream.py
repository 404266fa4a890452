"""An object as a stream: a thread downloads it into a pipe, and the end is believed only if length and CRC32C agree.

The library goes on where a connection was cut, in the same generation. A failed download looks like a clean end of
the pipe, so `read` asks the thread before it says that there is no more.
"""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from evergreen import faults

if TYPE_CHECKING:
    from google.cloud.storage import Client

FIRST_WAIT = 0.5  # seconds before the second try, doubled for each further one
REPLAY = 2 << 20  # bytes at the start that can be read again without a second download: more than a CSV header takes
PIPE = 1 << 20
PIECE = 256 << 10  # bytes that the library reads at a time
F_SETPIPE_SZ = 1031  # of Linux


@dataclass(frozen=True)
class Object:
    """One generation of an object, as the listing showed it."""

    bucket: str
    name: str
    generation: int
    size: int
    crc32c: str
    encoding: str

    @property
    def origin(self) -> str:
        return f"gs://{self.bucket}/{self.name}"


class Abandoned(Exception):
    """Nobody reads the pipe any more; not an OSError, after which the library would try again."""


class Download:
    """A readable file of the bytes as they are stored; it can only be set back to its start."""

    closed = False

    def __init__(self, client: Client, wanted: Object, timeout: float, give_up_after: float) -> None:
        self._client, self._wanted, self._timeout, self._give_up_after = client, wanted, timeout, give_up_after
        self._pipe: IO[bytes] | None = None
        self._replay: bytes | None = None
        self._again, self._error = b"", ""
        self._start()

    def read(self, size: int = -1) -> bytes:
        """The next bytes; none at the verified end. Raises OSError where the object is not what was listed."""
        assert self._pipe is not None
        if self._again:
            data, self._again = (self._again, b"") if size < 0 else (self._again[:size], self._again[size:])
            return data
        data = self._pipe.read(size)
        faults.point("gcs.read")
        self._length += len(data)
        self._sum.update(data)
        if self._replay is not None:
            self._replay += data
            self._replay = self._replay if len(self._replay) <= REPLAY else None
        if not data or size < 0:
            self._verify()
        return data

    def seek(self, position: int) -> int:
        """Back to the start, which costs a new download after the first megabytes."""
        assert position == 0
        if self._replay is None:
            self.close()
            self._start()
        else:
            self._again = bytes(self._replay)
        return 0

    def close(self) -> None:
        """Stop the download."""
        if self._pipe is not None:
            self._pipe.close()  # the thread's next write fails
            self._pipe = None
            self._thread.join(timeout=1)  # it may wait for the server, and ends after that by itself

    def __enter__(self) -> Download:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def _start(self) -> None:
        import google_crc32c

        self._sum, self._length, self._error = google_crc32c.Checksum(), 0, ""
        self._replay = self._again = b""
        reading, writing = os.pipe()
        _widen(writing)
        self._pipe = os.fdopen(reading, "rb", buffering=PIPE)
        self._thread = threading.Thread(target=self._run, args=(writing,), name="gcs-download", daemon=True)
        self._thread.start()

    def _run(self, writing: int) -> None:
        try:
            self._fetch(writing)
        except Abandoned:
            pass
        except Exception as error:  # a thread's error is lost unless it is kept, whatever it is
            self._error = explain(error, self._wanted.generation)
        finally:
            os.close(writing)

    def _fetch(self, writing: int) -> None:
        from google.cloud.storage._media.requests import _request_helpers as library

        library._SINGLE_GET_CHUNK_SIZE = PIECE  # its own 8 KB take five times as long, and no option changes them
        blob = self._client.bucket(self._wanted.bucket).blob(self._wanted.name, generation=self._wanted.generation)
        sink = _Sink(writing)
        blob.download_to_file(
            sink, client=self._client, raw_download=True, checksum=None, timeout=self._timeout,
            retry=_while_it_moves(retrying(self._give_up_after), sink),
        )  # fmt: skip

    def _verify(self) -> None:
        self._thread.join()
        if self._error:
            raise OSError(self._error)
        sum_ = base64.b64encode(self._sum.digest()).decode()
        if (self._length, sum_) != (self._wanted.size, self._wanted.crc32c):
            raise OSError(
                f"what came is not what was listed: {self._length} bytes with CRC32C {sum_}, not {self._wanted.size} "
                f"with {self._wanted.crc32c}; the next ingest tries it again"
            )
        faults.point("gcs.verified")


class _Sink:
    """The pipe's end as the library writes to it."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self.written = 0

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._handle, rest) :]
            except BrokenPipeError:
                raise Abandoned from None
        self.written += len(data)
        return len(data)


def retrying(give_up_after: float) -> Any:
    """How the library tries again: 429, 5xx and lost connections, with doubling waits and jitter."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(give_up_after).with_delay(initial=FIRST_WAIT, maximum=30.0)


def _while_it_moves(retry: Any, sink: _Sink) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """The library counts from the start of a download, however long it went well: whenever bytes came, count anew."""
    from google.api_core.exceptions import RetryError

    def wrap(request: Callable[[], Any]) -> Callable[[], Any]:
        def go() -> Any:
            while True:
                before = sink.written
                try:
                    return retry(request)()
                except RetryError:
                    if sink.written == before:
                        raise

        return go

    return wrap


def explain(error: Exception, generation: int | None = None) -> str:
    """What went wrong, and what to do."""
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    if isinstance(error, exceptions.NotFound):
        if generation is None:
            return "there is no such bucket, or not for this account: check `bucket` and the `connection`"
        return (
            f"generation {generation} was replaced or deleted after it was listed; the next ingest takes what is there"
        )
    if isinstance(error, exceptions.Forbidden | exceptions.Unauthorized | GoogleAuthError):
        return (
            "Google refuses these credentials: the account needs the role Storage Object Viewer on the bucket, and the "
            "`connection` its valid key"
        )
    cause = innermost(error)
    status = getattr(getattr(cause, "response", None), "status_code", None)
    text = f"Google says {status}" if status else " ".join(str(cause).split())[:300] or type(cause).__name__
    return f"{text} (tried until `give_up_after`)"


def innermost(error: BaseException) -> BaseException:
    """What the transport met, under the layers that wrap it."""
    first = error.args[0] if error.args else None
    wrapped = (getattr(error, "cause", None), getattr(error, "reason", None), first)
    inner = next((one for one in wrapped if isinstance(one, BaseException)), None)
    return error if inner is None else innermost(inner)


def _widen(handle: int) -> None:
    """A longer pipe, where the system has that: fewer switches between the two threads."""
    import fcntl

    with suppress(OSError):
        fcntl.fcntl(handle, F_SETPIPE_SZ, PIPE)
