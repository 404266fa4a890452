"""A file that was altered, cut off or deleted: named and refused, and put back it is as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults.world import World, difference, world

Told = Callable[[str, object], None]


def altered(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


class Case(NamedTuple):
    """A file (the first of the glob, in the home), the step that needs it, and what its error says to do."""

    what: str
    place: str
    step: str
    way_out: str
    named: str = "{name}"  # what the error calls it
    damages: tuple[Callable[[Path], None], ...] = (altered, cut_off, Path.unlink)


CASES = (
    Case("raw file", "lake/small/raw/jobs/cfb5a*.parquet", "validate", "restore it"),
    Case("clean file", "lake/small/clean/jobs/*.parquet", "snapshot by hand", "validate jobs --again"),
    Case("prediction", "lake/small/predictions/*.parquet", "monitor", "restore it from a backup"),
    Case(
        "last manifest of predictions",
        "lake/small/predictions/ledger/00000001.json",
        "monitor",
        "restore it from a backup",
    ),
    Case("first manifest", "lake/small/raw/jobs/ledger/00000001.json", "snapshot by hand", "restore it from a backup"),
    Case("last manifest", "lake/small/raw/jobs/ledger/00000001.json", "ingest", "from a backup", "jobs/ledger"),
    Case(
        "validation record",
        "lake/small/validation/jobs/*.json",
        "snapshot by hand",
        "evergreen validate jobs",
        "{stem}",
    ),
    Case("served model", "models/small/{first}/model.pkl", "score", "evergreen track {first}"),
    Case("bundle's list", "models/small/{first}/bundle.json", "gate", "evergreen track {first}", "{first}"),
    Case("candidate's list", "models/small/{build}/bundle.json", "gate", "evergreen track {build}", "{build}"),
    Case("champion's model", "models/small/{first}/model.pkl", "gate", "evergreen track {first}"),
    Case("candidate's twin", "models/small/{build}/twin.pkl", "gate", "evergreen track {build}"),
    Case("judged model", "models/small/{build}/model.pkl", "promote", "evergreen track {build}"),
    Case("snapshot's data", "builds/small/{build}/data/jobs/*.parquet", "features", "evergreen snapshot"),
    Case("trained model", "builds/small/{build}/build/twin.pkl", "evaluate", "dvc "),
    Case("training record", "builds/small/{build}/build/training.json", "evaluate", "dvc repro"),
    Case("ledger", "ledger.db", "score", "restore it from a backup", damages=(cut_off, Path.unlink)),
)


@pytest.mark.parametrize(
    ("case", "damage"),
    [
        pytest.param(case, damage, id=f"{case.what} {damage.__name__}")
        for case in CASES
        for damage in case.damages
    ],
)  # fmt: skip
def test_it_is_named_and_refused(
    world: World, case: Case, damage: Callable[[Path], None], record_property: Told
) -> None:
    record_property("drill", f"{case.what}: {damage.__name__.replace('_', ' ').replace('unlink', 'deleted')}")
    record_property("outcome", f"{case.step} names it, says what to do, changes nothing; restored, the same bytes")
    world.at(case.step)
    builds = {"first": world.first, "build": world.build}
    path = min((world.root / ".evergreen").glob(case.place.format(**builds)))
    kept = path.read_bytes()
    damage(path)
    before = world.content() if path.name != "ledger.db" else {}
    refused = world.start(case.step)
    assert refused.wait() == 1, refused.err[-3000:]
    assert refused.err.startswith("evergreen: ")
    assert case.named.format(name=path.name, stem=path.stem, **builds) in refused.err
    assert case.way_out.format(**builds) in refused.err
    if before:  # another table of the same command goes on, and a run keeps its plan
        assert [
            place for place in difference(world.content(), before) if "/outcomes/" not in place and "/run/" not in place
        ] == []
    path.write_bytes(kept)
    if case.step != "validate":  # whose other table's files are validated by now
        world.run(case.step)
        assert difference(world.content(), world.undisturbed[case.step].after) == {}


def test_the_evidence_of_a_decision(world: World, record_property: Told) -> None:
    record_property("drill", "evidence altered, deleted")
    record_property("outcome", "its replay names it and fails")
    world.at("end")
    path = min((world.root / ".evergreen" / "evidence").glob("*.parquet"))
    for damage in (altered, Path.unlink):
        damage(path)
        replayed = world.command("decisions", "replay")
        assert path.name in replayed.out
        assert "restore it from a backup" in replayed.out
        assert "1 of 2 verdicts are the same" in replayed.out


def test_the_build_s_record(world: World, record_property: Told) -> None:
    record_property("drill", "a build's record altered")
    record_property("outcome", "named; removed as it says, the build goes on from its tag or its first task")
    world.at("track")
    path = world.root / ".evergreen" / "builds" / "small" / f"{world.build}.json"
    cut_off(path)
    refused = world.start("track")
    assert refused.wait() == 1
    assert f"{path} was altered or cut off" in refused.err
    path.unlink()
    assert world.command("build", "snapshot", "2024-02-26T05:00:00+00:00").out.strip() == world.build
    assert world.command("build", "evaluate", world.build).err == ""
    world.run("track")
    assert difference(world.content(), world.undisturbed["track"].after) == {}


def test_the_clock(world: World, record_property: Told) -> None:
    record_property("drill", "clock.json cut off")
    record_property("outcome", "named, refused")
    world.at("score")
    clock = world.root / ".evergreen" / "clock.json"
    clock.write_text('{"now": "2024-0')
    refused = world.start("score")
    assert refused.wait() == 1
    assert f"{clock} was altered or cut off: remove it" in refused.err


__all__ = ["world"]
