from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evergreen.errors import EvergreenError, ParamsError, SourceError
from evergreen.lake.manifests import DataFile, read_manifests, read_position
from evergreen.lake.raw import raw_folder
from evergreen.locks import lock
from evergreen.project import Project
from evergreen.sources import catalog
from evergreen.sources.base import Receipt, Request
from evergreen.stages import ingest as stage
from evergreen.stages.ingest import DeliveriesRefused, IngestResult, ingest
from tests.conftest import SMALL

pytestmark = pytest.mark.usefixtures("each_store")
AS_OF = datetime(2013, 4, 1, 4, tzinfo=UTC)
HEADER = "id,due,team,size\n"


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    project = make_project()
    (project.root / "drops").mkdir()
    return project


def drop(project: Project, day: int, first: int = 0, rows: int = 10, header: str = HEADER) -> Path:
    path = project.root / "drops" / f"jobs-2013-01-{day:02d}.csv"
    path.write_text(header + "".join(f"{n},2013-01-{day:02d}T10:00Z,red,{n}.5\n" for n in range(first, first + rows)))
    return path


def files_of(project: Project) -> list[DataFile]:
    return [file for one in read_manifests(raw_folder(project.lake, "jobs")) for file in one.files]


def ids_of(project: Project) -> list[int]:
    return [n for file in files_of(project) for n in pq.read_table(project.lake / file.path)["id"].to_pylist()]


def stored(project: Project) -> dict[str, bytes]:
    """Every file of the table's raw folder but the manifests, which say when they were made."""
    folder = raw_folder(project.lake, "jobs")
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".json"}


def test_rows_arrive_typed_and_the_result_says_what_was_added(project: Project) -> None:
    drop(project, 1)
    drop(project, 2, first=10)
    result = ingest(project, "jobs", AS_OF)
    files = files_of(project)
    assert result == IngestResult(
        table="jobs", files=2, rows=20, bytes=sum(file.bytes for file in files),
        read_bytes=sum(path.stat().st_size for path in (project.root / "drops").iterdir()),
        seq=1, rows_known=20, last_origin="drops/jobs-2013-01-02.csv",
    )  # fmt: skip
    assert IngestResult.model_validate_json(result.model_dump_json()) == result
    assert pq.read_table(project.lake / files[0].path).to_pylist()[0] == {
        "id": 0, "due": datetime(2013, 1, 1, 10), "team": "red", "size": 0.5,
    }  # fmt: skip


def test_the_same_run_twice_adds_nothing(project: Project) -> None:
    drop(project, 1)
    ingest(project, "jobs", AS_OF)
    before = stored(project)
    again = ingest(project, "jobs", AS_OF)
    assert (again.files, again.rows, again.seq, again.rows_known) == (0, 0, 1, 10)
    assert stored(project) == before


def test_the_same_content_under_another_name_adds_nothing(project: Project) -> None:
    first = drop(project, 1)
    ingest(project, "jobs", AS_OF)
    first.rename(first.with_name("jobs-renamed.csv"))
    (project.root / "drops/jobs-copy.csv").write_bytes((project.root / "drops/jobs-renamed.csv").read_bytes())
    assert ingest(project, "jobs", AS_OF).rows == 0


@pytest.mark.parametrize("at_once", [True, False])
def test_values_that_return_under_another_name_are_passed_over_and_a_warning_names_both(
    project: Project, caplog: pytest.LogCaptureFixture, at_once: bool
) -> None:
    first = drop(project, 1)
    changed = first.with_name("jobs-2.csv")
    changed.write_text(first.read_text().replace("red", "green"))
    if not at_once:
        ingest(project, "jobs", AS_OF)
        assert "passed over" not in caplog.text
    first.with_name("jobs-3.csv").write_bytes(first.read_bytes())
    (project.root / "drops/jobs-4.csv").write_bytes(changed.read_bytes())
    ingest(project, "jobs", AS_OF)
    assert len(files_of(project)) == 2
    (told,) = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert "jobs: 2 passed over" in told
    assert "`changed_at`" in told
    for copy, owner in (("jobs-3.csv", "jobs-2013-01-01.csv"), ("jobs-4.csv", "jobs-2.csv")):
        assert f"drops/{copy} (came as drops/{owner})" in told


def test_other_content_under_the_same_name_is_taken(project: Project) -> None:
    drop(project, 1)
    ingest(project, "jobs", AS_OF)
    drop(project, 1, first=5)
    result = ingest(project, "jobs", AS_OF)
    assert (result.rows, result.seq, result.rows_known) == (10, 2, 20)


def test_content_that_comes_back_under_its_name_takes_a_correction_back(project: Project) -> None:
    drop(project, 1, first=5)
    ingest(project, "jobs", AS_OF)
    drop(project, 1, first=7)
    ingest(project, "jobs", AS_OF)
    again = drop(project, 1, first=5)
    result = ingest(project, "jobs", AS_OF)
    assert (result.files, result.seq) == (1, 3)
    first, _, third = files_of(project)
    assert Path(third.path).name == Path(first.path).name.replace("-00000", "-3-00000")
    assert third.sha256 == first.sha256
    assert ingest(project, "jobs", AS_OF).files == 0
    again.with_name("jobs-copy.csv").write_bytes(again.read_bytes())
    assert ingest(project, "jobs", AS_OF).files == 0


def test_a_run_that_stands_earlier_stamps_nothing_into_the_past(project: Project) -> None:
    drop(project, 1)
    ingest(project, "jobs", AS_OF)
    drop(project, 1, first=5)
    ingest(project, "jobs", AS_OF - timedelta(days=30))
    drop(project, 2)
    ingest(project, "jobs", AS_OF + timedelta(days=1))
    moments = [one.as_of for one in read_manifests(raw_folder(project.lake, "jobs"))]
    assert moments == [AS_OF, AS_OF, AS_OF + timedelta(days=1)]


def test_nothing_there_is_no_error(project: Project) -> None:
    result = ingest(project, "jobs", AS_OF)
    assert (result.files, result.seq, result.last_origin) == (0, None, None)


def test_a_header_alone_is_recorded_once(project: Project) -> None:
    drop(project, 1, rows=0)
    assert (ingest(project, "jobs", AS_OF).files, ingest(project, "jobs", AS_OF).files) == (1, 0)


def test_bad_files_are_refused_by_name_and_the_good_ones_committed(project: Project) -> None:
    drop(project, 1)
    bad = drop(project, 2, first=10)
    bad.write_text(bad.read_text() + "x,2013-01-02T10:00Z,red,1\n")
    worse = drop(project, 3, header="id,due,size\n")
    drop(project, 4, first=20)
    with pytest.raises(DeliveriesRefused) as refused:
        ingest(project, "jobs", AS_OF)
    message = str(refused.value)
    assert "jobs: 2 refused" in message
    assert "drops/jobs-2013-01-02.csv: row 12 (the header is row 1), column `id`: `x`" in message
    assert "drops/jobs-2013-01-03.csv: lacks the declared column `team`" in message
    assert refused.value.result.rows == 20
    assert ids_of(project) == [*range(10), *range(20, 30)]
    assert len(stored(project)) == 2

    drop(project, 2, first=10)
    worse.unlink()
    assert ingest(project, "jobs", AS_OF).rows == 10
    assert sorted(ids_of(project)) == list(range(30))


def test_an_unknown_table_lists_the_known(project: Project) -> None:
    with pytest.raises(ParamsError, match=r"`job` is not a table of params.yaml; known: jobs, outcomes"):
        ingest(project, "job", AS_OF)


def test_many_files_share_a_manifest_up_to_a_bound(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "COMMIT_FILES", 2)
    for day in range(1, 6):
        drop(project, day, first=day * 10)
    assert ingest(project, "jobs", AS_OF).seq == 3
    assert [len(one.files) for one in read_manifests(raw_folder(project.lake, "jobs"))] == [2, 2, 1]


def test_many_rows_are_committed_before_the_rest_is_read(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "FILE_ROWS", 20)
    for day in range(1, 6):
        drop(project, day, first=day * 10)
    assert ingest(project, "jobs", AS_OF).seq == 3


def test_a_second_ingest_of_the_table_waits_for_the_first(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def impatient(home: Any, name: str) -> Any:
        return lock(home, name, timeout=0)

    monkeypatch.setattr(stage, "lock", impatient)
    held = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(project.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert held.stdin is not None
    assert held.stdout is not None
    assert held.stdout.readline() == "held\n"
    with pytest.raises(EvergreenError, match="`small/ingest/jobs` has been locked"):
        ingest(project, "jobs", AS_OF)
    ingest(project, "outcomes", AS_OF)
    held.communicate("\n")
    ingest(project, "jobs", AS_OF)


HOLD = """
import sys
from evergreen.locks import lock
from evergreen.project import Project
with lock(Project.load(sys.argv[1]).home, "small/ingest/jobs"):
    print("held", flush=True)
    sys.stdin.readline()
"""

RUN = """
import sys
from datetime import UTC, datetime
from evergreen.project import Project
from evergreen.stages import ingest
ingest.COMMIT_FILES = 2
ingest.ingest(Project.load(sys.argv[1]), "jobs", datetime(2013, 4, 1, 4, tzinfo=UTC))
"""


@pytest.mark.parametrize(
    "point",
    [
        "ingest.row_group:3",
        "ingest.written",
        "ingest.placed",
        "ingest.placed:3",
        "ingest.before_commit:2",
        "manifest.written:2",
        "ingest.committed",
        "ingest.committed:2",
    ],
)
def test_a_run_killed_anywhere_is_made_whole_by_the_next(make_project: Any, tmp_path: Path, point: str) -> None:
    undisturbed, killed = (make_project(root=tmp_path / name) for name in ("undisturbed", "killed"))
    for project in (undisturbed, killed):
        (project.root / "drops").mkdir()
        for day in range(1, 4):
            drop(project, day, first=day * 10)
    run = subprocess.run(
        [sys.executable, "-c", RUN, str(killed.root)], env={**os.environ, "EVERGREEN_KILL_AT": point}, check=False
    )
    assert run.returncode == -signal.SIGKILL
    for project in (undisturbed, killed):
        ingest(project, "jobs", AS_OF)
    assert sorted(ids_of(killed)) == list(range(10, 40))
    assert files_of(killed) == files_of(undisturbed)
    assert stored(killed) == stored(undisturbed)


LOG = [{"id": n, "due": datetime(2013, 1, 1), "team": "red", "size": 1.0} for n in range(100)]


@dataclass
class LogRange:
    """Ten entries of a log from an offset on: a delivery that is known by its position."""

    schema: pa.Schema
    start: int
    fails: bool

    @property
    def origin(self) -> str:
        return f"log@{self.start}"

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        yield pa.RecordBatch.from_pylist(LOG[self.start : self.start + 10], schema=self.schema)

    def receipt(self) -> Receipt:
        if self.fails:
            raise SourceError(f"{self.origin}: connection lost")
        return Receipt(hashlib.sha256(self.origin.encode()).hexdigest(), 100, {"offset": self.start + 10})


class LogSource(catalog.BaseModel):
    """As Kafka will be: ordered, going on from the committed position."""

    ordered: ClassVar[bool] = True
    lost_at: int = -1

    def deliveries(self, request: Request) -> Iterator[LogRange]:
        for start in range(request.position.get("offset", 0), 50, 10):
            yield LogRange(request.schema, start, fails=start == self.lost_at)


@pytest.fixture
def log_project(make_project: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Project]:
    monkeypatch.setitem(catalog.SOURCES, "log", LogSource)

    def make(lost_at: int) -> Project:
        source = f"{{kind: log, lost_at: {lost_at}}}"
        project: Project = make_project(SMALL.replace("{kind: csv, path: drops/jobs-*.csv}", source))
        return project

    return make


def test_position_and_rows_are_committed_together(log_project: Any) -> None:
    project = log_project(-1)
    assert ingest(project, "jobs", AS_OF).position == {"offset": 50}
    assert ingest(project, "jobs", AS_OF).rows == 0
    assert ids_of(project) == list(range(50))


def test_of_a_long_list_in_a_position_people_see_the_length(
    log_project: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    receipt = LogRange.receipt
    recent = [["2013-01-01", f"{n:064x}"] for n in range(5000)]

    def with_recent(self: LogRange) -> Receipt:
        found = receipt(self)
        return Receipt(found.sha256, found.bytes, {**found.position, "of": {"next": {"0": 1}, "recent": recent}})

    monkeypatch.setattr(LogRange, "receipt", with_recent)
    project = log_project(-1)
    result = ingest(project, "jobs", AS_OF)
    assert result.position == {"offset": 50, "of": {"next": {"0": 1}, "recent": "5000 entries"}}
    assert "5000 entries" in caplog.text
    assert len(caplog.text) < 5000
    assert read_position(raw_folder(project.lake, "jobs"), 1)["of"]["recent"] == recent
    assert ingest(project, "jobs", AS_OF).rows == 0


def test_an_ordered_source_is_not_read_beyond_a_lost_delivery(log_project: Any) -> None:
    with pytest.raises(DeliveriesRefused, match="log@20: connection lost") as refused:
        ingest(log_project(20), "jobs", AS_OF)
    assert (refused.value.result.rows, refused.value.result.position) == (20, {"offset": 20})
    project = log_project(-1)
    assert ingest(project, "jobs", AS_OF).rows == 30
    assert ids_of(project) == list(range(50))


def test_a_position_without_rows_is_committed_without_a_file(log_project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LogRange, "batches", lambda self: (batch for batch in ()))
    result = ingest(log_project(-1), "jobs", AS_OF)
    assert (result.files, result.seq, result.position) == (0, 1, {"offset": 50})


def test_a_source_that_fails_between_deliveries_keeps_what_was_read(
    log_project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deliveries(self: LogSource, request: Request) -> Iterator[LogRange]:
        yield LogRange(request.schema, 0, fails=False)
        raise SourceError("the broker is gone")

    monkeypatch.setattr(LogSource, "deliveries", deliveries)
    project = log_project(-1)
    with pytest.raises(SourceError, match="the broker is gone"):
        ingest(project, "jobs", AS_OF)
    assert ids_of(project) == list(range(10))
