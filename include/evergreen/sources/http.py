"""What the sources on the web share: options, one resource for each combination of values, and what is remembered."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from evergreen.errors import SourceError
from evergreen.params.base import Duration, Section
from evergreen.sources.base import Inferred, Receipt
from evergreen.sources.http_auth import open_access, unfit
from evergreen.sources.http_client import VALIDATORS, Client

if TYPE_CHECKING:
    import pyarrow as pa

AGENT = "evergreen/0.1 (scheduled ingestion of open data tables)"
_PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Resource:
    """One address with its parameters; a delivery's origin."""

    url: str
    params: tuple[tuple[str, str], ...]  # a value may hold `{position}`

    def key(self) -> str:
        """What a position keeps it under: values from params.yaml, never from a connection."""
        return "&".join([self.url, *(f"{name}={value}" for name, value in self.params)])


class Web(Inferred, Section):
    """Options of every source that is read by HTTP."""

    url: str = Field(
        min_length=1,
        description="The address; a path, where the connection has the host. `{name}` stands for a value of `each`.",
    )
    connection: str | None = Field(
        None,
        description="Airflow connection of the type http: host, and login and password (Basic), a password alone "
        "(bearer token), or in its extra headers and `params` (an API key in the query).",
    )
    params: dict[str, str | int | float] = Field(
        {}, description="Query parameters, none of them secret. `{name}` stands for a value of `each`."
    )
    headers: dict[str, str] = Field({}, description="Further headers, none of them secret.")
    each: dict[str, tuple[str | int, ...]] = Field(
        {}, description="Values to ask for one by one, such as `station: [JFK, LGA]`; each is a delivery of its own."
    )
    user_agent: str = Field(
        AGENT, min_length=1, description="Who asks. Put an address in it at which the site's owner can reach you."
    )
    timeout: Duration = Field(
        timedelta(seconds=30), description="Longest wait for a connection and for each part of an answer."
    )
    give_up_after: Duration = Field(
        timedelta(minutes=2),
        description="Longest time for one page with all its tries. 429 and 5xx are tried again, after `Retry-After` "
        "where the server sends it.",
    )
    max_bytes: int = Field(
        64 << 20, gt=0, description="Longest body, unpacked; a longer one is refused and read no further."
    )

    @field_validator("headers")
    @classmethod
    def _headers_can_be_sent(cls, headers: dict[str, str]) -> dict[str, str]:
        if wrong := unfit(headers):
            raise ValueError(wrong)
        return headers

    @field_validator("user_agent")
    @classmethod
    def _agent_can_be_sent(cls, agent: str) -> str:
        if unfit({"User-Agent": agent}):
            raise ValueError("must be ASCII in one line, with no white space around it")
        return agent

    @field_validator("each")
    @classmethod
    def _values_are_there(cls, each: dict[str, tuple[str | int, ...]]) -> dict[str, tuple[str | int, ...]]:
        if empty := [name for name, values in each.items() if not values]:
            raise ValueError(f"`{empty[0]}` lists no value")
        return each

    def resources(self) -> Iterator[Resource]:
        """Every combination of the values of `each`, in the order of params.yaml."""
        for combination in itertools.product(*self.each.values()):
            values = dict(zip(self.each, map(str, combination), strict=True))
            params = tuple((name, _fill(str(value), values)) for name, value in self.params.items())
            yield Resource(_fill(self.url, values), params)

    def client(self, url: str, more_params: frozenset[str] = frozenset()) -> Client:
        """A client for `url` with the connection's credentials."""
        return Client(
            open_access(url, self.connection),
            agent=self.user_agent,
            timeout=self.timeout.total_seconds(),
            give_up_after=self.give_up_after.total_seconds(),
            max_bytes=self.max_bytes,
            headers=self.headers,
            open_params=frozenset(self.params) | more_params,
        )


def is_moving(pair: tuple[str, str]) -> bool:
    """Whether a parameter's value depends on the position."""
    return "{position}" in pair[1]


def _fill(text: str, values: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda match: values.get(match[1], match[0]), text)


class Memory:
    """The position of a table: what is remembered of each resource, changed only by deliveries that were taken."""

    def __init__(self, position: Mapping[str, Any], options: Web, schema: pa.Schema) -> None:
        self.kept: dict[str, Any] = dict(position)
        told = options.model_dump_json(exclude={"timeout", "give_up_after", "max_bytes", "user_agent"})
        columns = [f"{field.name} {field.type}" for field in schema]
        self.way = hashlib.sha256(json.dumps([told, columns]).encode()).hexdigest()[:16]

    def of(self, resource: Resource, client: Client) -> Place:
        """What is remembered of a resource, where the client asks for it."""
        return Place(self, resource.key(), client.show(client.access.url))


@dataclass(frozen=True)
class Place:
    """A resource at its address: a connection that leads to another host leads to another listing."""

    memory: Memory
    key: str
    at: str

    def state(self) -> dict[str, Any]:
        """What the last read left; empty at first, and without validators where it was read in another way."""
        state = dict(self.memory.kept.get(self.key, {}))
        if state.get("at") != self.at:
            return {}
        new = VALIDATORS if state.get("way") != self.memory.way else ()
        return {name: value for name, value in state.items() if name not in ("at", "way", *new)}

    def keep(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """The whole position with `state` for this resource; nothing is kept of an empty state."""
        kept = self.memory.kept
        kept.pop(self.key, None)
        if state:
            kept[self.key] = {**state, "at": self.at, "way": self.memory.way}
        return dict(kept)


@dataclass
class Refused:
    """A resource that answered, and not with what was asked for: a delivery of which nothing is taken."""

    origin: str
    error: SourceError

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        """Raises what is wrong."""
        raise self.error
        yield

    def receipt(self) -> Receipt:
        """Raises what is wrong."""
        raise self.error
