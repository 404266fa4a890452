"""PostgreSQL and Kafka under kills.

PostgreSQL: of each row the version that is there at the end must be in the lake; those before it may be passed over
where two updates fell between two reads. No version comes twice, and none of a transaction that was undone.
Kafka: every committed message once, by partition and offset, as a row or, where it cannot be one, as a reject;
tombstones are no rows, and nothing of an aborted transaction comes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from confluent_kafka import Producer

from tests.brokers import KafkaServer
from tests.kills.rows import COLUMNS, Counts, Delivered, Row, as_texts, count, make_row, seal_of
from tests.kills.worlds import World
from tests.servers import PostgresServer

LONG = 200  # rows that the long transaction alone updates, so that no writer waits for the other
BAD = (b"bad", b"", b'{"id": "x"}')  # messages that cannot be rows
_MADE = (
    "CREATE SCHEMA {0}",
    "CREATE TABLE {0}.jobs (id bigint PRIMARY KEY, version bigint, due timestamp, body text, seal text,"
    " change bigserial) WITH (fillfactor = 50)",
    "CREATE TABLE {0}.history (seal text)",
    """CREATE FUNCTION {0}.seal() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    NEW.due := timestamp '2013-01-01' + NEW.id * interval '1 minute' + NEW.version * interval '1 second';
    NEW.body := repeat('body ', (NEW.id % 7)::int) || (random() * 1000000)::int;
    NEW.change := nextval('{0}.jobs_change_seq');
    NEW.seal := md5(concat_ws(':', NEW.id, NEW.version, extract(epoch FROM NEW.due)::bigint, NEW.body));
    INSERT INTO {0}.history VALUES (NEW.seal);
    RETURN NEW; END $$""",
    "CREATE TRIGGER seal BEFORE INSERT OR UPDATE ON {0}.jobs FOR EACH ROW EXECUTE FUNCTION {0}.seal()",
)


class PostgresWorld(World):
    """Short transactions and a long one insert and update rows, and some are undone; a trigger keeps the history."""

    kind, name = "postgres", "postgres"
    first: ClassVar[int] = 2000  # rows before the first read
    cursor: ClassVar[dict[str, str]] = {}

    def __init__(self, root: Path, dice: Random, server: PostgresServer) -> None:
        self.server, self.schema = server, root.name.replace("-", "_")
        super().__init__(root, dice)

    @property
    def env(self) -> dict[str, str]:
        return {"AIRFLOW_CONN_WAREHOUSE": self.server.uri}

    @property
    def options(self) -> dict[str, Any]:
        table = {"kind": "postgres", "connection": "warehouse", "table": f"{self.schema}.jobs", "chunk_rows": 300}
        return table | self.cursor

    def begin(self) -> None:
        self.server.run(*(statement.format(self.schema) for statement in _MADE))
        self.short, self.long = self.server.connect(), self.server.connect()
        self.last, self.is_open = 0, False
        self._do(self.short, *self._insert(self.first))

    def step(self) -> None:
        often = self.dice.sample(range(LONG + 1, self.last), 20)
        self._do(
            self.short, "BEGIN", *self._insert(self.dice.randrange(40)), "SAVEPOINT one", self._update(often[:10]),
            "ROLLBACK TO one" if self.dice.random() < 0.3 else "RELEASE one", self._update(often[10:]),
            "ROLLBACK" if self.dice.random() < 0.2 else "COMMIT",
        )  # fmt: skip
        if not self.cursor:
            self._go_on()

    def _go_on(self) -> None:
        """One more update in the transaction that stays open for many of the short ones."""
        begin, end = [] if self.is_open else ["BEGIN"], self.dice.random() < 0.1
        rows = self.dice.sample(range(1, LONG), 5)
        self._do(self.long, *begin, self._update(rows), *(["COMMIT"] if end else []))
        self.is_open = not end

    def finish(self) -> None:
        if self.is_open:
            self._do(self.long, "COMMIT")
        self.short.close()
        self.long.close()

    def compare(self, found: list[Delivered]) -> Counts:
        history = self._seals("history")
        self.written = len(history) - self.first
        return count(
            ((row["seal"], row) for one in found for row in one.rows),
            must=self._seals("jobs"),
            was_there=history.__contains__,
            spoiled=sum(one.spoiled for one in found),
        )

    @property
    def rows(self) -> int:
        return int(self.server.value(f"SELECT count(*) FROM {self.schema}.jobs"))

    def _insert(self, rows: int) -> list[str]:
        first, self.last = self.last + 1, self.last + rows
        query = f"INSERT INTO {self.schema}.jobs (id, version) SELECT n, 0 FROM generate_series({first}, {self.last}) n"
        return [query]

    def _update(self, ids: list[int]) -> str:
        return f"UPDATE {self.schema}.jobs SET version = version + 1 WHERE id IN ({','.join(map(str, ids))})"

    def _seals(self, table: str) -> set[str]:
        with self.server.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT seal FROM {self.schema}.{table}")
            return {seal for (seal,) in cursor.fetchall()}

    def _do(self, connection: Any, *statements: str) -> None:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


class CursorWorld(PostgresWorld):
    """Read by a column that only grows; as its caveat asks, one transaction writes at a time."""

    name = "postgres, cursor"
    cursor = {"cursor": "change"}


class KafkaWorld(World):
    """Messages of all sorts in three partitions: committed, aborted, without a transaction, twice, bad, tombstones."""

    kind, name = "kafka", "kafka"
    sizes = {"evergreen.sources.kafka:OFFSETS": 60, "evergreen.sources.kafka_client:ROWS": 25}
    columns = {**COLUMNS, "part": "int64", "offset": "int64"}
    partitions: ClassVar[int] = 3

    def __init__(self, root: Path, dice: Random, server: KafkaServer) -> None:
        self.server, self.topic = server, server.make_topic(partitions=self.partitions)
        self.plain = server.producer(log_level=0)
        self.careful = server.producer(log_level=0, **{"transactional.id": self.topic})
        self.careful.init_transactions()
        self.versions: dict[int, int] = {}
        super().__init__(root, dice)

    @property
    def env(self) -> dict[str, str]:
        return {"AIRFLOW_CONN_STREAM": self.server.uri}

    @property
    def options(self) -> dict[str, Any]:
        named = {"connection": "stream", "topic": self.topic, "partition_column": "part", "offset_column": "offset"}
        return {"kind": "kafka", **named, "timeout": "60 seconds"}

    def begin(self) -> None:
        for _ in range(20):
            self.step()

    def step(self) -> None:
        values: list[Any] = [self._message() for _ in range(self.dice.randrange(5, 40))]
        values.append(values[0])
        for _ in range(2):
            bad = self.dice.choice([*BAD, None])
            values.insert(self.dice.randrange(len(values)), bad)
        partition, kind = self.dice.randrange(self.partitions), self.dice.random()
        if kind < 0.5:
            self._send(self.plain, values, partition)
        else:
            self.careful.begin_transaction()
            self._send(self.careful, values, partition)
            self.careful.abort_transaction() if kind < 0.7 else self.careful.commit_transaction()
        self.written += 0 if 0.5 <= kind < 0.7 else sum(value is not None for value in values)

    def finish(self) -> None:
        """No transaction is open."""

    def _message(self) -> Row:
        id = self.dice.randrange(500)
        self.versions[id] = self.versions.get(id, -1) + 1
        return as_texts(make_row(id, self.versions[id]))

    def _send(self, producer: Producer, values: list[Any], partition: int) -> None:
        for value in values:
            content = json.dumps(value).encode() if isinstance(value, Mapping) else value
            producer.produce(self.topic, content, None, partition)
        producer.flush()

    def compare(self, found: list[Delivered]) -> Counts:
        there = {(part, at): value for part, at, _, value in self.server.read(self.topic) if value is not None}
        rows = [((row["part"], row["offset"]), row) for one in found for row in one.rows]
        rows += [(_place(reject, self.topic), reject) for one in found for reject in one.rejects]
        self.held = len(there)
        return count(
            rows,
            must=there,
            was_there=there.__contains__,
            spoiled=sum(one.spoiled for one in found),
            is_whole=lambda row: _is_message(row, self.topic, there),
        )

    @property
    def rows(self) -> int:
        return self.held


def _place(reject: Row, topic: str) -> tuple[int, int]:
    part, offset = reject["place"].removeprefix(f"{topic}[").split("]@")
    return int(part), int(offset)


def _is_message(row: Row, topic: str, there: Mapping[tuple[int, int], bytes]) -> bool:
    """Whether a row, or a reject, says what the message at its offset says."""
    if "place" in row:
        return row["content"] in BAD and there.get(_place(row, topic)) == row["content"]
    message = there.get((row["part"], row["offset"]))
    said = {name: value for name, value in row.items() if name in COLUMNS}
    return message is not None and as_texts(said) == json.loads(message) and row["seal"] == seal_of(row)
