"""What cannot be replayed is said with what is there and what would help; what is not defined is never a number."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from evergreen.backtest.commands import asked
from evergreen.backtest.run import backtest, page_of
from evergreen.errors import EvergreenError, LakeError, ParamsError
from evergreen.project import Project
from tests.backtest.worlds import END, START, world
from tests.data import day
from tests.stages.served import TRAINED, tables


def refused(
    project: Project, *parts: str, as_of: int | None = None, kind: type[EvergreenError] = EvergreenError
) -> None:
    with pytest.raises(kind) as caught:
        backtest(project, END if as_of is None else day(as_of), processes=1)
    for part in parts:
        assert part in str(caught.value)
    assert not page_of(project).exists()


def test_fewer_periods_than_two(tmp_path: Path) -> None:
    project = world(tmp_path, "period: month, start: '2024-03-01'")
    refused(
        project, "needs at least 2 months", "from its start 2024-03-01 to its end 2024-03-04 there are 1",
        "rows with a label are there from 2024-01-01 to 2024-03-03", "set backtest.period to `week`",
    )  # fmt: skip


def test_too_little_history_for_a_start_of_its_own(tmp_path: Path) -> None:
    refused(world(tmp_path, "period: week"), "labels of two gate windows", "2024-01-15", as_of=12)


def test_a_start_of_its_own_has_two_gate_windows_before_it(tmp_path: Path) -> None:
    found = backtest(world(tmp_path, "period: week, policies: [never]"), day(30), processes=1)
    assert found.start == day(14)
    assert [policy.title for policy in found.policies] == ["never"]
    assert list(found.periods) == ["2024-01-15", "2024-01-22", "2024-01-29"]


def test_a_start_after_the_end(tmp_path: Path) -> None:
    project = world(tmp_path, "period: week, start: '2024-02-20', end: '2024-02-10'")
    refused(project, "backtest.start 2024-02-20 is not before its end 2024-02-10", "change backtest.start")


def test_a_start_after_the_last_label(tmp_path: Path) -> None:
    refused(world(tmp_path, "period: week, start: '2025-01-01'"), "2025-01-01 is not before its end 2024-03-04")


def test_a_start_before_there_are_labels(tmp_path: Path) -> None:
    project = world(tmp_path, "period: week, start: '2024-01-03'")
    refused(project, "no model can be trained as of 2024-01-03", "training needs 50 labelled rows")


def test_a_policy_that_there_is_not_names_the_known(tmp_path: Path) -> None:
    with pytest.raises(
        EvergreenError, match=r"`wekly` is not a policy .*did you mean `weekly`\? Known: never, monthly"
    ):
        asked(world(tmp_path), {"policies": ["wekly"]})
    with pytest.raises(EvergreenError, match='--start: not a day: write it in quotes, such as "2013-04-01"'):
        asked(world(tmp_path / "other"), {"start": "April"})


def test_a_bare_date_is_refused_since_dvc_stops_at_it(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"backtest.start.*a bare date, which DVC cannot read: write it in quotes"):
        world(tmp_path, "start: 2024-02-05")


def test_neither_a_lake_nor_a_snapshot(tmp_path: Path) -> None:
    project = world(tmp_path)
    shutil.rmtree(project.lake)
    refused(project, "snapshot.json is missing: take a snapshot with `evergreen snapshot`", kind=LakeError)


def test_a_file_of_the_snapshot_is_missing(tmp_path: Path) -> None:
    from evergreen.stages.snapshot import snapshot

    project = world(tmp_path)
    snapshot(project, END)
    shutil.rmtree(project.lake)
    next(project.data.rglob("*.parquet")).unlink()
    refused(project, "is missing from the snapshot", kind=LakeError)


def test_a_committed_snapshot_gives_what_the_lake_gives(tmp_path: Path) -> None:
    from evergreen.stages.snapshot import snapshot

    project = world(tmp_path, f"period: week, start: '{START}', policies: [weekly], gated: never")
    snapshot(project, END)
    own = (project.build / "features.parquet").read_bytes()
    committed = backtest(project, END, committed=True, processes=1).model_dump_json()
    shutil.rmtree(project.home.backtest("small"))
    assert backtest(project, END, processes=1).model_dump_json() == committed
    assert project.data.is_dir()
    assert not project.data.is_symlink()
    assert (project.build / "features.parquet").read_bytes() == own, "a build of the checkout is left alone"


def test_a_period_of_one_class_is_not_defined_there_and_nowhere_else(tmp_path: Path) -> None:
    project = world(tmp_path, f"period: week, start: '{START}', policies: [weekly], gated: never")
    late = tables()["outcomes"]
    week = late["due"].between(*(day(TRAINED + number).replace(tzinfo=None) for number in (7, 14)))
    _resend(project, late[week].assign(late=0.0))

    found = backtest(project, END, processes=1)

    never = found.policies[0]
    one, *others = (never.periods[label] for label in ("2024-02-12", "2024-02-05", "2024-02-19", "2024-02-26"))
    assert (one.positives, one.measures["roc_auc"].value) == (0, None)
    assert one.against_never["roc_auc"].low is None
    assert one.measures["log_loss"].value is not None
    assert all(other.measures["roc_auc"].value is not None for other in [*others, never.total])
    assert "not defined" in page_of(project).read_text()
    text = page_of(project).with_suffix(".json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["policies"][0]["periods"]["2024-02-12"]["measures"]["roc_auc"]["value"] is None
    assert found.corrected > 0
    assert any("were corrected after they were first known" in note for note in found.notes)


def _resend(project: Project, outcomes: object) -> None:
    """The source corrects outcomes, a day before the replay ends."""
    from evergreen.stages.ingest import ingest
    from evergreen.stages.validate import validate

    frame = outcomes.assign(due=outcomes["due"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    (project.root / "drops" / "outcomes-900.csv").write_text(frame.to_csv(index=False))
    ingest(project, "outcomes", END)
    validate(project, "outcomes")
