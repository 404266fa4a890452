"""What is measured, each in a process of its own: `python -m benchmarks.ingest.work <function> <arguments>`.

The clock runs from a function's call to its return; the modules that it needs were imported before. Each returns its
number of rows.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from evergreen.project import Project

MODULES = {
    "ingest": "evergreen.stages.ingest pyarrow.parquet pyarrow.compute",
    "csv": "evergreen.sources.csv pyarrow.csv",
    "gcs": "evergreen.sources.gcs pyarrow.csv google.cloud.storage google_crc32c",
    "kafka": "evergreen.sources.kafka pyarrow.json confluent_kafka.admin",
    "postgres": "evergreen.sources.postgres adbc_driver_postgresql",
    "limit": "",
    "user": "pandas pyarrow.parquet",
}
told: dict[str, Any] = {}  # more that a function has to say


def ingest(root: str, kind: str) -> int:
    """Evergreen, from a source of that kind."""
    from evergreen.stages.ingest import ingest

    result = ingest(Project.load(root, Path(root) / "home"), "flights", datetime(2014, 1, 1, tzinfo=UTC))
    told["read"] = result.read_bytes
    return result.rows


def csv_limit(file: str, columns: str) -> int:
    """Arrow's reader alone, as it is without settings but for the types; the rows are dropped."""
    import pyarrow as pa
    from pyarrow import csv

    types = {"category": pa.string(), "timestamp": pa.timestamp("us", "UTC"), "int64": pa.int64()}
    convert = csv.ConvertOptions(column_types={name: types[kind] for name, kind in json.loads(columns).items()})
    with csv.open_csv(file, convert_options=convert) as reader:
        return sum(batch.num_rows for batch in reader)


def csv_user(file: str, to: str) -> int:
    """pandas.read_csv, to_parquet."""
    import pandas as pd

    frame = pd.read_csv(file)
    frame.to_parquet(to)
    return len(frame)


def postgres_user(uri: str, query: str, to: str) -> int:
    """pandas.read_sql through ADBC, to_parquet."""
    import pandas as pd
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(uri) as connection:
        frame = pd.read_sql(query, connection)
    frame.to_parquet(to)
    return len(frame)


def kafka_limit(address: str, topic: str, rows: str) -> int:
    """Consume only: the same client with the same settings, 10,000 messages at a time, which are dropped."""
    from confluent_kafka import Consumer, TopicPartition

    from evergreen.sources.kafka_client import DEFAULTS, FIXED

    consumer = Consumer({**DEFAULTS, "bootstrap.servers": address, **FIXED})
    consumer.assign([TopicPartition(topic, 0, 0)])
    count = 0
    while count < int(rows):
        count += sum(1 for message in consumer.consume(min(10_000, int(rows) - count), 0.1) if not message.error())
    consumer.close()
    return count


def kafka_user(address: str, topic: str, rows: str, to: str) -> int:
    """poll, json.loads, pandas, to_parquet."""
    import pandas as pd
    from confluent_kafka import Consumer

    group = f"loop-{os.getpid()}"
    consumer = Consumer({"bootstrap.servers": address, "group.id": group, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    found = []
    while len(found) < int(rows):
        message = consumer.poll(1)
        if message is not None and message.error() is None:
            place = {"part": message.partition(), "offset": message.offset(), "sent": message.timestamp()[1]}
            found.append({**json.loads(message.value()), **place})
    frame = pd.DataFrame(found)
    frame.to_parquet(to)
    consumer.close()
    return len(frame)


def gcs_user(bucket: str, name: str, to: str) -> int:
    """download_as_bytes, pandas.read_csv, to_parquet."""
    from io import BytesIO

    import pandas as pd
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    client = storage.Client("none", AnonymousCredentials())
    frame = pd.read_csv(BytesIO(client.bucket(bucket).blob(name).download_as_bytes()))
    frame.to_parquet(to)
    return len(frame)


def main() -> None:
    """Run one of them and print what it took."""
    act, arguments = globals()[sys.argv[1]], sys.argv[2:]
    needed = ["ingest", arguments[1]] if act is ingest else sys.argv[1].split("_")
    for module in " ".join(MODULES[part] for part in needed).split():
        import_module(module)
    began, cpu = time.monotonic(), time.process_time()
    rows = act(*arguments)
    took = {"seconds": time.monotonic() - began, "cpu": time.process_time() - cpu}
    # getrusage would count what this process was before it became another.
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert peak is not None
    print(json.dumps({**took, "memory": int(peak[1]) / 1024, "rows": rows, **told}))


if __name__ == "__main__":
    main()
