"""One GET at a time, with what the open web needs: retries, limits, conditions, redirects and kept secrets."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from evergreen.errors import SourceError
from evergreen.sources.http_auth import Access, origin_of, trusted
from evergreen.sources.http_watch import Watch

if TYPE_CHECKING:
    import httpx

log = logging.getLogger(__name__)

VALIDATORS = ("etag", "modified")
AGAIN = {408, 425, 429, 500, 502, 503, 504}
REDIRECTS = 5
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds before the second try, doubled for each further one


class Unreachable(SourceError):
    """No try within the time was answered: asking for something else there would not be either."""


@dataclass(frozen=True)
class Answer:
    """What came, whole; `content` is empty where it has not changed (304)."""

    url: str
    status: int
    headers: Mapping[str, str]  # names in lower case
    content: bytes

    @property
    def validators(self) -> dict[str, str]:
        """What a conditional request sends back."""
        named = {"etag": self.headers.get("etag"), "modified": self.headers.get("last-modified")}
        return {name: value for name, value in named.items() if value and value.isascii()}

    @property
    def has_length(self) -> bool:
        """Whether the server told where the body ends; else it ends where the connection did."""
        return "content-length" in self.headers or "chunked" in self.headers.get("transfer-encoding", "").lower()


@dataclass
class Client:
    """Asks one host on behalf of one source; close it after use.

    Credentials go to the source's own host and no other: a redirect or a next page elsewhere is asked without them.
    """

    access: Access
    agent: str
    timeout: float  # seconds for a connection, and for each part of a body
    give_up_after: float  # seconds for one page, with all its tries
    max_bytes: int
    headers: Mapping[str, str] = field(default_factory=dict)
    open_params: frozenset[str] = frozenset()  # query parameters whose values are no secret
    allow: Callable[[str], None] = lambda url: None  # raises SourceError for an address that must not be asked
    _client: httpx.Client | None = None
    _watch: Watch = field(default_factory=Watch)

    def get(self, url: str, params: Iterable[tuple[str, str]] = (), validators: Mapping[str, str] | None = None,
            fine: Iterable[int] = ()) -> Answer:  # fmt: skip
        """The answer to GET, after as many tries as fit into `give_up_after`.

        `params` replace those of the same name in `url`. Raises SourceError for a status that is neither 200 nor, with
        `validators`, 304 nor one of `fine`; for a body over `max_bytes`; and where time runs out.
        """
        wanted = {"If-None-Match": "etag", "If-Modified-Since": "modified"}
        conditions = {name: (validators or {})[key] for name, key in wanted.items() if key in (validators or {})}
        target, end, tries = with_params(url, params), time.monotonic() + self.give_up_after, 0
        problem, asked = "", None
        while True:
            tries += 1
            try:
                answer, problem, asked = self._try(target, conditions, end)
            except Unreachable:
                if tries == 1:
                    raise
                break  # it began just before the end: what the tries before it met says more
            if answer is not None and answer.status not in AGAIN:
                if answer.status == 200 or answer.status in fine or (answer.status == 304 and conditions):
                    return answer
                raise self._refusal(answer)
            wait = max(_wait(tries), asked or 0.0)
            if time.monotonic() + wait > end:
                break
            log.info("%s: %s; asking again in %.1f s", self.show(target), problem, wait)
            time.sleep(wait)
        raise Unreachable(self._gave_up(target, tries, problem, asked))

    def show(self, url: str) -> str:
        """The address for people: of the query only what params.yaml says is shown, and no secret anywhere."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        host += f":{parts.port}" if parts.port else ""
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        query = "&".join(f"{name}={value if name in self.open_params else '...'}" for name, value in pairs)
        return self.access.redact(urlunsplit((parts.scheme, host, parts.path, query, "")))

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def _try(self, url: str, conditions: Mapping[str, str], end: float) -> tuple[Answer | None, str, float | None]:
        """One try: the answer, or what went wrong, and how long the server asks to wait."""
        import httpx

        try:
            answer = self._follow(url, conditions, end)
        except httpx.TimeoutException:
            return None, f"no answer within {self.timeout:g} s", None
        except (httpx.TransportError, httpx.DecodingError) as error:
            return None, self.access.redact(str(error)) or type(error).__name__, None
        except httpx.InvalidURL:
            raise SourceError(f"{self.show(url)}: is not an address") from None
        reason = f"the server says {answer.status}"
        return answer, reason, _retry_after(answer.headers) if answer.status in AGAIN else None

    def _follow(self, url: str, conditions: Mapping[str, str], end: float) -> Answer:
        for _ in range(REDIRECTS + 1):
            if urlsplit(url).scheme not in ("http", "https"):
                raise SourceError(f"{self.show(url)}: only http and https are followed")
            self.allow(url)
            answer = self._once(url, conditions, end)
            place = answer.headers.get("location")
            if answer.status not in (301, 302, 303, 307, 308) or not place:
                return answer
            url = urljoin(url, place)
        raise SourceError(f"{self.show(url)}: more than {REDIRECTS} redirects")

    def _once(self, url: str, conditions: Mapping[str, str], end: float) -> Answer:
        import httpx

        headers = {**self.headers, "User-Agent": self.agent, **conditions}
        target = url
        if origin_of(url) == self.access.origin:
            headers |= self.access.headers
            target = with_params(url, self.access.params.items())
        client, content, length = self._open(), list[bytes](), 0
        options: dict[str, Any] = {"headers": headers, "extensions": {"trace": self._watch.trace}}
        try:
            with self._watch.until(end), client.stream("GET", target, **options) as response:
                for part in response.iter_bytes():
                    length += len(part)
                    if length > self.max_bytes:
                        raise SourceError(
                            f"{self.show(url)}: the body is longer than {self.max_bytes} bytes, and was read no "
                            f"further. Ask for smaller pages, or raise `max_bytes`"
                        )
                    content.append(part)
        except httpx.TransportError:
            if not self._watch.over:
                raise
        if self._watch.over:
            raise self._too_late(url, length)
        named = {name.lower(): value for name, value in response.headers.items()}
        return Answer(url, response.status_code, named, b"".join(content))

    def _open(self) -> httpx.Client:
        import httpx

        if self._client is None:
            self._watch = Watch()
            for name in ("httpx", "httpcore"):  # they log addresses and headers, which hold credentials
                logging.getLogger(name).setLevel(logging.WARNING)
            self._client = httpx.Client(
                timeout=self.timeout, verify=trusted(self.access.verify), follow_redirects=False
            )
            self._client.headers.clear()
            self._client.headers.update({"Accept": "*/*", "Accept-Encoding": "gzip, deflate"})
        self._client.cookies.clear()
        return self._client

    def _refusal(self, answer: Answer) -> SourceError:
        hints = {
            401: "it wants credentials, or others: check the `connection`",
            403: "it refuses these credentials, or this User-Agent: check the `connection`",
            404: "there is nothing at this address: check `url`",
        }
        hint = hints.get(answer.status, "")
        if not hint and not answer.headers.get("content-type", "").startswith("text/html"):
            hint = self.access.redact(" ".join(answer.content[:2000].decode("utf-8", "replace").split())[:200])
        return SourceError(f"{self.show(answer.url)}: the server says {answer.status}" + (f"; {hint}" if hint else ""))

    def _too_late(self, url: str, length: int) -> SourceError:
        if length:
            return SourceError(
                f"{self.show(url)}: the body did not end within {self.give_up_after:g} s ({length} bytes came)"
            )
        return Unreachable(f"{self.show(url)}: no answer within {self.give_up_after:g} s (`give_up_after`)")

    def _gave_up(self, url: str, tries: int, problem: str, asked: float | None) -> str:
        text = f"{self.show(url)}: {problem} ({tries} {'tries' if tries > 1 else 'try'}"
        if asked is not None and asked > self.give_up_after:
            return f"{text}), and asks to wait {asked:.0f} s; ingest again then, or raise `give_up_after`"
        return (
            f"{text} in `give_up_after`, {self.give_up_after:g} s). Is the host right, and can it be reached from here?"
        )


def with_params(url: str, params: Iterable[tuple[str, str]]) -> str:
    """The address with these query parameters, in place of those of the same names."""
    new = list(params)
    if not new:
        return url
    parts, names = urlsplit(url), {name for name, _ in new}
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in names]
    return urlunsplit(parts._replace(query=urlencode(kept + new)))


def _wait(tries: int) -> float:
    """Doubling, with jitter, so that many clients do not come back at once."""
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (tries - 1)) * random.uniform(0.5, 1)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that `Retry-After` asks for, as a number or a date; None where it says nothing."""
    text = headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        moment: datetime = parsedate_to_datetime(text)
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (zoned - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None
