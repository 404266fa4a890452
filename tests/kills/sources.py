"""Every source that is drilled, and the servers that they need, each started when the first world asks for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

from tests.brokers import KafkaServer
from tests.buckets import gcs_server
from tests.kills.files import CsvWorld, GcsWorld, ParquetWorld
from tests.kills.servers import CursorWorld, KafkaWorld, PostgresWorld
from tests.kills.web import HtmlWorld, JsonWorld, SinceWorld
from tests.kills.worlds import World
from tests.servers import PostgresServer, free_port, kafka_server
from tests.web import Site, web_site

Maker = Callable[[Path, Random], World]
WORLDS: dict[type[World], str] = {  # with the server that each needs
    CsvWorld: "", ParquetWorld: "", PostgresWorld: "postgres", CursorWorld: "postgres", KafkaWorld: "kafka",
    GcsWorld: "gcs", JsonWorld: "site", SinceWorld: "site", HtmlWorld: "site",
}  # fmt: skip


class Servers:
    """One of each at most, until the stack is closed."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack

    def maker(self, world: type[World]) -> Maker:
        """What makes worlds of this kind; starts what it needs."""
        server: Any = (getattr(self, WORLDS[world]),) if WORLDS[world] else ()
        return lambda root, dice: world(root, dice, *server)

    @cached_property
    def postgres(self) -> PostgresServer:
        server = PostgresServer(self._folder / "postgres")
        self._stack.callback(server.stop)
        server.start()
        return server

    @cached_property
    def kafka(self) -> KafkaServer:
        return self._stack.enter_context(kafka_server(self._folder / "kafka"))

    @cached_property
    def gcs(self) -> str:
        return self._stack.enter_context(gcs_server(self._folder / "buckets", free_port()))

    @cached_property
    def site(self) -> Site:
        return self._stack.enter_context(web_site())
