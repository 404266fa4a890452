"""The world that the flights come from: moves it on to a moment, in the systems where such data lives.

    python examples/flights/world.py --until 2013-04-01

| table | system | how it gets there |
|---|---|---|
| flights | PostgreSQL, `ops.flights` | a row 30 days ahead; updated when the flight leaves, and when it is settled |
| departures, arrivals | Kafka, a topic each | a message when it is known; some twice, some out of order |
| weather | a JSON API (web.py) | published an hour later |
| airlines | a web page (web.py) | once |
| airports | Google Cloud Storage | one object, once |
| planes | CSV | one file, once |

Each system knows by itself how far it has come, so moving on again, in other steps, or after a kill adds what is
missing and nothing else.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evergreen.files import write_atomic
from evergreen.project import Project
from evergreen.sources.connections import find_connection
from feed import drops_folder, feed
from shipped import LONG_AGO, START, TABLES, local_midnight, moment, tables

if TYPE_CHECKING:
    import pyarrow as pa
    from confluent_kafka import Consumer, TopicPartition

TOPICS = {"departures": "flights.departures", "arrivals": "flights.arrivals"}
PARTITIONS = 3
BUCKET, AIRPORTS = "evergreen-flights", "reference/airports.csv"
# One message in fifty is sent twice, and each up to two hours late, so that later news overtake it. Both follow from
# the flight's number alone: the same messages in every world.
DELAY = "hash(flight_id) % 7200"
TWICE = "hash(flight_id) % 50 = 0"

FLIGHTS = """
CREATE SCHEMA IF NOT EXISTS ops;
CREATE TABLE IF NOT EXISTS ops.flights (
    flight_id bigint PRIMARY KEY, carrier text NOT NULL, flight integer, origin text NOT NULL, dest text NOT NULL,
    distance double precision, sched_dep timestamptz NOT NULL, sched_arr_time integer,
    status text NOT NULL DEFAULT 'scheduled', tailnum text, dep_time integer, dep_delay double precision,
    arr_time integer, arr_delay double precision
);
CREATE TABLE IF NOT EXISTS ops.known (until timestamptz NOT NULL)
"""
# What a day brings: `$after` and `$until` are its ends.
DAY = (
    """INSERT INTO ops.flights (flight_id, carrier, flight, origin, dest, distance, sched_dep, sched_arr_time)
       SELECT flight_id, carrier, flight, origin, dest, distance, sched_dep AT TIME ZONE 'UTC', sched_arr_time
       FROM new_flights WHERE known_at > $after AND known_at <= $until ORDER BY known_at, flight_id""",
    """UPDATE ops.flights f SET status = 'departed', tailnum = n.tailnum, dep_time = n.dep_time, dep_delay = n.dep_delay
       FROM new_departures n WHERE n.known_at > $after AND n.known_at <= $until AND n.flight_id = f.flight_id""",
    """UPDATE ops.flights f SET status = 'arrived', arr_time = n.arr_time, arr_delay = n.arr_delay
       FROM new_arrivals n WHERE n.known_at > $after AND n.known_at <= $until AND n.flight_id = f.flight_id""",
    "DELETE FROM ops.known",
    "INSERT INTO ops.known VALUES ($until AT TIME ZONE 'UTC')",
)


def move_on(project: Project, until: datetime) -> None:
    """Bring every system to what was known at `until`, by the connections of the project's stack."""
    feed(drops_folder(project), until, of=["planes"])
    _move_database(project, until)
    for table, topic in TOPICS.items():
        _move_topic(project, table, topic, until)
    _put_airports(project)
    write_atomic(published_file(project), json.dumps({"until": until.astimezone(UTC).isoformat()}))


def published_file(project: Project) -> Path:
    """Where web.py reads how far it may tell."""
    return project.root / ".evergreen" / "drops" / project.name / "published.json"


def messages(table: str, after: datetime, until: datetime) -> Iterator[tuple[int, datetime, str]]:
    """The messages about what became known in a span: partition, when it became known, JSON; in the order sent."""
    columns = TABLES[table][0].split(", ")
    values = ", ".join(
        f"{name} := strftime({name}, '%Y-%m-%dT%H:%M:%SZ')" if name == "sched_dep" else f"{name} := {name}"
        for name in columns
    )
    known = f"FROM {table} WHERE known_at > {moment(after)} AND known_at <= {moment(until)}"
    sent = f"known_at + INTERVAL 1 SECOND * ({DELAY})"
    rows = tables().execute(
        f"SELECT flight_id % {PARTITIONS}, known_at, to_json(struct_pack({values})) FROM ("
        f"SELECT *, {sent} AS sent {known} UNION ALL SELECT *, {sent} + INTERVAL 1 HOUR AS sent {known} AND {TWICE}"
        ") ORDER BY sent, flight_id"
    )
    while batch := rows.fetchmany(10_000):
        for partition, at, text in batch:
            yield partition, at.replace(tzinfo=UTC), text


def sent(table: str, until: datetime) -> int | None:
    """The rows that a table's system has sent by `until`; None where that depends on when it was asked (updates)."""
    if table == "flights":
        return None
    again = f" + count(*) FILTER ({TWICE})" if table in TOPICS else ""
    (found,) = tables().execute(f"SELECT count(*){again} FROM {table} WHERE known_at <= {moment(until)}").fetchall()
    return int(found[0])


def _move_database(project: Project, until: datetime) -> None:
    from adbc_driver_postgresql import dbapi

    from evergreen.sources.postgres_session import connection_string

    text = connection_string(find_connection("evergreen_postgres", ("postgres",), home=project.home))
    with dbapi.connect(text) as connection, connection.cursor() as cursor:
        for statement in FLIGHTS.split(";"):
            cursor.execute(statement)
        connection.commit()
        cursor.execute("SELECT max(until) FROM ops.known")
        (after,) = cursor.fetchone()
        after = after or LONG_AGO
        if after >= until:
            return
        for table in ("flights", "departures", "arrivals"):
            cursor.adbc_ingest(f"new_{table}", _rows(table, after, until), mode="create", temporary=True)
        for day in _days(after, until):
            for statement in DAY:
                cursor.execute(statement.replace("$after", moment(after)).replace("$until", moment(day)))
            connection.commit()
            after = day


def _days(after: datetime, until: datetime) -> Iterator[datetime]:
    """The ends of the days of New York that lie in a span, the first of them with all that is older, and its end."""
    day = local_midnight(START)
    while day < until:
        if day > after:
            yield day
        day = local_midnight(day.astimezone(UTC).date() + timedelta(days=1))
    yield until


def _rows(table: str, after: datetime, until: datetime) -> pa.Table:
    query = f"FROM {table} WHERE known_at > {moment(after)} AND known_at <= {moment(until)}"
    return tables().execute(query).to_arrow_table()


def _move_topic(project: Project, table: str, topic: str, until: datetime) -> None:
    """Send what is new in one transaction, and with it how far that is: a feed that is killed has sent nothing.

    How far is the offset, in seconds since 1970, of a group that reads nothing.
    """
    from confluent_kafka import Consumer, Producer, TopicPartition

    from evergreen.sources.kafka_client import client_options

    found = find_connection("evergreen_kafka", ("kafka",), home=project.home)
    options: dict[str, Any] = {**client_options(found), "log_level": 3}
    _make_topic(options, topic)
    producer = Producer({**options, "transactional.id": f"world-{topic}", "linger.ms": 20})
    producer.init_transactions()  # ends what a killed one had begun
    group = Consumer({**options, "group.id": f"world-{topic}"})
    try:
        after = _reached(group, TopicPartition(topic, 0))
        if after >= until:
            return
        producer.begin_transaction()
        for number, (partition, known_at, text) in enumerate(messages(table, after, until)):
            producer.produce(topic, text, partition=partition, timestamp=int(known_at.timestamp() * 1000))
            if number % 10_000 == 0:
                producer.poll(0)
        reached = [TopicPartition(topic, 0, int(until.timestamp()))]
        producer.send_offsets_to_transaction(reached, group.consumer_group_metadata())
        producer.commit_transaction()
    finally:
        group.close()


def _reached(group: Consumer, place: TopicPartition) -> datetime:
    """How far the group was told to be; a broker that has just started may need a moment to know."""
    from confluent_kafka import KafkaError, KafkaException

    soon = (
        KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while True:
        try:
            offset = group.committed([place])[0].offset
        except KafkaException as error:
            if error.args[0].code() not in soon or time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return datetime.fromtimestamp(offset, UTC) if offset > 0 else LONG_AGO


def _make_topic(options: dict[str, Any], topic: str) -> None:
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient(options)
    try:
        admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise


def _put_airports(project: Project) -> None:
    """Upload the object where it is not there with this content."""
    from google.api_core.exceptions import Conflict

    from evergreen.sources.gcs_client import open_client

    content = airports_csv()
    client = open_client("evergreen_gcs")
    with suppress(Conflict):  # it is there
        client.create_bucket(BUCKET)
    blob = client.bucket(BUCKET).get_blob(AIRPORTS)
    if blob is None or blob.download_as_bytes() != content:
        client.bucket(BUCKET).blob(AIRPORTS).upload_from_string(content, "text/csv")
    client.close()


def airports_csv() -> bytes:
    """The airports as the object has them."""
    from io import BytesIO

    from pyarrow import csv

    columns, _, _, key = TABLES["airports"]
    table = tables().execute(f"SELECT {columns} FROM airports ORDER BY {key}").to_arrow_table()
    with BytesIO() as stream:
        csv.write_csv(table, stream)
        return stream.getvalue()


def main() -> None:
    """Move on from the command line; the stack must be up."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--until", type=date.fromisoformat, required=True, help="the day at whose start the world is")
    until = local_midnight(parser.parse_args().until)
    move_on(Project.load(Path(__file__).parents[2]), until)
    print(f"the world is at {until:%Y-%m-%d %H:%M} UTC")


if __name__ == "__main__":
    main()
