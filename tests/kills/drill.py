"""Rounds of kills: ingest, killed again and again while the source's writer goes on, and what the lake holds then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from evergreen.lake.manifests import read_manifests
from evergreen.lake.raw import find_orphans, raw_folder
from tests.kills.rows import Counts, deliveries
from tests.kills.run import REFUSED, Order, Ran, run
from tests.kills.worlds import Failed, World, writing

ROUND = 25  # kills of one lake
SIZES = {  # so that a little data is many row groups, files, deliveries and commits
    "evergreen.lake.raw:ROW_GROUP": 40, "evergreen.lake.raw:FILE_ROWS": 100, "evergreen.stages.ingest:COMMIT_FILES": 3,
    "evergreen.lake.rejects:HELD": 2,
}  # fmt: skip
EARLY = 0.8  # a kill may come so much before the moment at which the last run began to write
MOST_VAIN = 40  # runs in a row that no kill met at work: something is wrong with the drill


@dataclass
class Tally:
    """What was done to one source, and what came of it."""

    name: str
    at_points: Counter[str] = field(default_factory=Counter)
    at_random: int = 0
    idle: int = 0  # kills before anything was read or written, or after the end, which do not count
    refused: int = 0  # runs in which the source changed while a piece was read
    restarts: int = 0
    rows: int = 0
    written: int = 0
    counts: Counts = field(default_factory=Counts)
    orphans: int = 0
    seconds: float = 0.0

    @property
    def kills(self) -> int:
        return self.at_points.total() + self.at_random


class Killer:
    """Kills the ingest of one kind of world; what it learns of runs serves all of its rounds."""

    def __init__(self, name: str, make: Callable[[Path, Random], World], folder: Path, seed: int) -> None:
        self.tally, self.seed = Tally(name), seed
        self.dice = Random(f"{seed} {name}")
        self.known: Counter[str] = Counter()  # named points, with the most passings in a run
        self._make, self._folder, self._rounds = make, folder, 0
        self._tried: Counter[str] = Counter()
        self._first = self._length = 0.0  # seconds of an undisturbed run: of a round's first, and of the last
        self._begun = 0.0  # when that began to write
        self._passed = self.known  # the points that the last undisturbed run came by

    def learn(self) -> None:
        """A round without kills: how long a run is, and which points it comes by."""
        self.round(0)

    def round(self, kills: int, tell: Callable[[], None] = lambda: None) -> None:
        """Kill the ingests of a new lake so often, and add what is wrong with it then to the tally."""
        with self._lake() as (world, order):
            if not kills:
                self._first = self._run(world, order).seconds
            goal, vain = self.tally.kills + kills, 0
            while self.tally.kills < goal:
                before = self.tally.kills
                self._kill(world, order)
                vain = vain + 1 if self.tally.kills == before else 0
                if vain % 4 == 3:  # the machine has become slower or faster
                    self._run(world, order)
                if vain > MOST_VAIN:
                    raise Failed(f"none of the last {vain} runs was killed at work")
                tell()

    def once_at_each(self) -> None:
        """Kill one lake's ingests once at each point that they come by."""
        with self._lake() as (world, order):
            for point in sorted(self.known):
                tries = (self._run(world, order, point=point).killed for _ in range(MOST_VAIN))
                if not any(tries):
                    raise Failed(f"no run comes by {point}")

    @contextmanager
    def _lake(self) -> Iterator[tuple[World, Order]]:
        """A new world with its writer; at the end nobody writes any more, and the lake is compared."""
        self._rounds += 1
        slug = "".join(letter if letter.isalnum() else "-" for letter in self.tally.name)
        dice = Random(f"{self.seed} {slug} {self._rounds}")  # the writer's own: it is a thread beside
        self.world = world = self._make(self._folder / f"{slug}-{self._rounds}", dice)
        order = Order(world.root, world.root / "heard", SIZES | world.sizes, world.env)
        self._length, self._passed, self._last_killed = self._first, self.known, False
        with writing(world):
            yield world, order
        for _ in range(2):  # one run to the end, and one that must find nothing
            ran = self._run(world, order)
            if ran.code != 0:
                raise Failed(f"the last ingest was refused:\n{ran.trouble}")
        if left := find_orphans(world.lake, "jobs", read_manifests(raw_folder(world.lake, "jobs"))):
            raise Failed(f"files that no manifest names were left: {left}")
        self.tally.counts += world.compare(deliveries(world.lake))
        self.tally.rows += world.rows
        self.tally.written += world.written

    def _kill(self, world: World, order: Order) -> None:
        """One run with a kill in store."""
        if self.tally.at_random <= self.tally.at_points.total():
            self._run(world, order, delay=self.dice.uniform(EARLY * self._begun, self._length))
            return
        point = min(self.known, key=lambda name: (self._tried[name], self.dice.random()))
        self._tried[point] += 1
        number = 1 if self.dice.random() < 0.5 else self.dice.randint(1, max(1, self._passed[point]))
        self._run(world, order, point=f"{point}:{number}")

    def _run(self, world: World, order: Order, point: str = "", delay: float | None = None) -> Ran:
        env = {**order.env, "EVERGREEN_KILL_AT": point} if point else order.env
        ran = run(Order(order.root, order.heard, order.sizes, env), delay)
        tally = self.tally
        tally.restarts += self._last_killed
        tally.orphans += ran.orphans
        self._last_killed = ran.killed
        if ran.killed and point:
            tally.at_points[point.partition(":")[0]] += 1
        elif ran.killed_at_work:
            tally.at_random += 1
        elif ran.killed:
            tally.idle += 1
        elif ran.code == REFUSED and world.may_be_refused(ran.trouble):
            tally.refused += 1
        elif ran.code != 0:
            raise Failed(f"an ingest ended with {ran.code}:\n{ran.trouble}")
        if not ran.killed:
            self._length, self._passed = ran.seconds, ran.points
            self._begun = self._begun if ran.begun is None else ran.begun
            self.known |= ran.points
        return ran
