"""Each source's ingest is killed once at each named point that it comes by, while its data changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from evergreen.sources.catalog import SOURCES
from tests.kills.drill import Killer
from tests.kills.points import INGEST, named_points
from tests.kills.rows import Counts, Delivered, deliveries
from tests.kills.sources import WORLDS, Servers
from tests.kills.worlds import World

Killed = Callable[[type[World]], Killer]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    """Kills the ingest of a world at each point that it comes by; once for all tests."""
    folder, made = tmp_path_factory.mktemp("kills"), dict[type[World], Killer]()
    with ExitStack() as stack:
        servers = Servers(folder, stack)

        def kill(world: type[World]) -> Killer:
            if world not in made:
                made[world] = Killer(world.name, servers.maker(world), folder, seed=5)
                made[world].learn()
                made[world].once_at_each()
            return made[world]

        yield kill


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_killed_at_each_point_nothing_is_missing_doubled_or_torn(killed: Killed, world: type[World]) -> None:
    killer = killed(world)
    assert killer.tally.at_points == Counter(list(killer.known))
    assert killer.tally.counts == Counts()


def test_no_point_and_no_source_is_forgotten(killed: Killed) -> None:
    assert {world.kind for world in WORLDS} == set(SOURCES)
    at = {point for world in WORLDS for point in killed(world).tally.at_points}
    assert at == named_points(*INGEST)


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_what_is_planted_is_counted(killed: Killed, world: type[World]) -> None:
    source = killed(world).world
    *before, last = deliveries(source.lake)
    first, *rest = last.rows

    def counts(*found: Delivered) -> Counts:
        return source.compare([*before, *found])

    assert counts(last) == Counts()
    assert counts(replace(last, rows=rest)).missing >= 1  # of a snapshot, all of it
    assert counts(replace(last, rows=[first, *last.rows])) == Counts(doubled=1)
    assert counts(last, last) == Counts(doubled=len(last.rows) + len(last.rejects))
    other = next(row for row in rest if row["body"] != first["body"])
    assert counts(replace(last, rows=[{**first, "body": other["body"]}, *rest])).torn == 1
    assert counts(replace(last, rows=[*last.rows, {**first, "version": 10**6}])).torn >= 1
    assert counts(replace(last, spoiled=3)) == Counts(torn=3)


def test_a_file_that_is_not_what_its_manifest_says_is_torn(killed: Killed) -> None:
    source = killed(next(iter(WORLDS))).world
    path = max((source.lake / "raw" / "jobs").glob("*.parquet"))
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    counts = source.compare(deliveries(source.lake))
    path.write_bytes(content)
    assert counts.torn == counts.missing > 0
