"""The clock set back: nothing that was done is rewritten, and the error or the result says why."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime

from evergreen import clock
from evergreen.lake.manifests import read_manifests
from tests.data import day, small_tables
from tests.faults.world import DRIFT, SECOND, World, difference, world

Told = Callable[[str, object], None]


def test_stages_after_the_clock_was_set_back(world: World, record_property: Told) -> None:
    record_property("drill", "the clock set back six days after everything ran")
    record_property("outcome", "nothing rewritten; what comes now is not dated into the past; the future is refused")
    world.at("rollback")  # the second build is champion
    clock.set_replay(world.project.home, day(50))
    before = world.content()
    refused = world.start("score")
    assert refused.wait() == 1
    assert "lies in the future: the replayed clock stands at 2024-02-20T05:00:00Z" in refused.err

    assert json.loads(world.command("score", "--window", "8 days").out)["reason"].startswith("every row")
    monitored = json.loads(world.command("monitor").out)
    assert (monitored["build"], monitored["new_request"]) == (world.first, False)
    promoted = world.command("promote", world.decision)
    assert json.loads(promoted.out)["as_of"] == clock.format_time(SECOND), "as it was"
    then = json.loads(world.command("snapshot").out)["id"]
    frame = small_tables(DRIFT + 30, drift_from=DRIFT)["outcomes"].iloc[1300:1310]
    text = frame.assign(late=99.0, due=frame["due"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")).to_csv(index=False)
    (world.root / "drops" / "outcomes-late.csv").write_text(text)
    for stage in ("ingest", "validate"):
        assert world.command(stage, "outcomes").err == ""
    assert read_manifests(world.lake / "raw" / "outcomes")[-1].as_of == SECOND, "not known before what came before it"
    assert json.loads(world.command("snapshot").out)["id"] == then

    after = world.content()
    # The main checkout's snapshot is a new one, the drops are the test's, and so is the manifest that the mark counts.
    ours = ("./", "data/", "drops/", ".evergreen/lake/small/raw/outcomes/.newest.json")
    assert [place for place, sha in before.items() if after.get(place) != sha and not place.startswith(ours)] == []


def test_a_build_is_not_judged_before_its_own_moment(world: World, record_property: Told) -> None:
    record_property("drill", "the clock set back before a build is judged")
    record_property("outcome", "refused, and no decision that would stand; with the clock right, as undisturbed")
    world.at("gate")
    clock.set_replay(world.project.home, day(50))
    refused = world.command("gate", world.build)
    assert refused.err.startswith(f"evergreen: the build {world.build} stands at 2024-02-26T05:00:00Z")
    world.project.home.clock.unlink()
    world.run("gate")
    assert difference(world.content(), world.undisturbed["gate"].after) == {}


def test_drops_of_the_future(world: World, record_property: Told) -> None:
    record_property("drill", "drops whose modification times lie decades ahead")
    record_property("outcome", "taken as undisturbed")
    world.at("ingest")
    ahead = datetime(2090, 1, 1, tzinfo=UTC).timestamp()
    for drop in (world.root / "drops").iterdir():
        os.utime(drop, (ahead, ahead))
    world.run("ingest")
    assert difference(world.content(), world.undisturbed["ingest"].after) == {}


__all__ = ["world"]
