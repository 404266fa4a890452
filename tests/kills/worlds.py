"""What a round of kills needs of a source: a real one, a writer that goes on, and what the lake must hold of it."""

from __future__ import annotations

import json
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from tests.kills.rows import COLUMNS, Counts, Delivered

PATIENCE = 60.0  # seconds for the writer's last step


class Failed(Exception):
    """What a drill cannot go on after."""


class World(ABC):
    """One table of one source, and the project that ingests it."""

    kind: ClassVar[str]
    name: ClassVar[str]  # in the table, where a kind has several
    sizes: ClassVar[dict[str, int]] = {}  # of pieces, beside those that all have
    excuse: ClassVar[str] = "(?!)"  # what a run may be refused for, and the next one takes
    pause: ClassVar[float] = 0.03  # seconds between two writes, on average
    columns: ClassVar[dict[str, str]] = COLUMNS

    def __init__(self, root: Path, dice: Random) -> None:
        self.root, self.dice = root, dice
        self.written = 0  # versions of rows, committed since the round began
        root.mkdir()
        self.begin()
        self.written = 0
        self._write_params()

    @property
    def lake(self) -> Path:
        """The lake of the project."""
        return self.root / ".evergreen" / "lake" / "small"

    @property
    def env(self) -> dict[str, str]:
        """The connections, as the environment has them."""
        return {}

    @property
    @abstractmethod
    def options(self) -> dict[str, Any]:
        """The table's `source` in params.yaml."""

    @abstractmethod
    def begin(self) -> None:
        """Make the source and its first rows."""

    @abstractmethod
    def step(self) -> None:
        """Write a little: new rows, other versions of old ones."""

    @abstractmethod
    def finish(self) -> None:
        """Bring to an end what the writer has begun."""

    @abstractmethod
    def compare(self, found: list[Delivered]) -> Counts:
        """What of the lake is not as the source promises."""

    @property
    @abstractmethod
    def rows(self) -> int:
        """Rows in the source now."""

    def may_be_refused(self, trouble: str) -> bool:
        """Whether everything that an ingest was refused for is a source that changed under it."""
        reasons = [line for line in trouble.splitlines() if line.startswith("  ")] or trouble.splitlines()[:1]
        return all(re.search(self.excuse, reason) for reason in reasons)

    def _write_params(self) -> None:
        table = {
            "source": self.options, "key": ["id"], "known_at": "due",
            "columns": {name: {"type": type_} for name, type_ in self.columns.items()},
        }  # fmt: skip
        params = {
            "name": "small", "tables": {"jobs": table},
            "prediction": {"rows": "jobs", "at": "due", "label": {"value": "version > 10", "known_at": "due"}},
            "features": {"row": {"version": "version"}}, "training": {"estimator": "hist_gradient_boosting"},
        }  # fmt: skip
        (self.root / "params.yaml").write_text(json.dumps(params))


@contextmanager
def writing(world: World) -> Iterator[None]:
    """Go on writing until the block ends; raises what the writer met."""
    done, failed = threading.Event(), list[BaseException]()

    def go_on() -> None:
        try:
            while not done.wait(world.dice.uniform(0, 2 * world.pause)):
                world.step()
            world.finish()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(PATIENCE)
    if failed:
        raise Failed(f"the writer failed: {failed[0]!r}") from failed[0]
    if thread.is_alive():
        raise Failed("the writer does not end")
