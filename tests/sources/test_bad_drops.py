"""Bad drops between good ones, as a user ingests them: the good are taken; the bad one says why, and is tried again."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evergreen.lake.manifests import read_manifests
from evergreen.lake.raw import raw_folder
from evergreen.project import Project
from evergreen.stages.ingest import DeliveriesRefused, ingest
from tests.conftest import SMALL
from tests.sources.drops import settled

AS_OF = datetime(2013, 4, 1, 4, tzinfo=UTC)
HEADER = "id,due,team,size\n"
MENDED = HEADER + "5,2013-01-01T10:00Z,red,1\n6,2013-01-01T10:00Z,blue,2\n"

REFUSED = {
    "missing column": (HEADER.replace(",team", "") + "5,2013-01-01T10:00Z,1\n", "lacks the declared column `team`"),
    "one bad cell": (MENDED.replace("blue,2", "blue,two"), "row 3 (the header is row 1), column `size`: `two` is not"),
    "unclosed quote": (MENDED.replace("red", '"red'), "row 2 has 3 values, the header 4; is a quote not closed?"),
    "truncated last line": (MENDED[:-8], "row 3 has 2 values, the header 4; was the file cut off"),
    "duplicate header": (MENDED.replace("size", "size,id").replace("\n", ",1\n"), "more than one column named `id`"),
    "empty file": ("", "is empty; expected at least a header line"),
    "not UTF-8": (MENDED.replace("blue", "gr\xfcn").encode("latin-1"), "row 3 (the header is row 1), column `team`"),
    "UTF-16": (MENDED.encode("utf-16"), "looks like UTF-16"),
    "NUL bytes": (MENDED + "\0" * 100, "line 4 holds NUL bytes"),
    "another delimiter": (MENDED.replace(",", ";"), "Should `delimiter` be ';'?"),
    "no header": (MENDED.removeprefix(HEADER), "The first line has to name the columns"),
    "endless line": (MENDED + "x" * 5_000_000, "row 4 is millions of characters long"),
    "a link to nowhere": (Path("nowhere"), "cannot be read: No such file or directory, and it is a link"),
}  # fmt: skip
TAKEN = {
    "extra column": MENDED.replace("size", "size,more").replace("1\n", "1,x\n").replace("2\n", "2,y\n"),
    "reordered columns": "team,size,due,id\nred,1,2013-01-01T10:00Z,5\nblue,2,2013-01-01T10:00Z,6\n",
    "byte order mark": "\ufeff" + MENDED,
    "no last line end, and old": MENDED[:-1],
}


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    project = make_project()
    (project.root / "drops").mkdir()
    put(project, "a", HEADER + "1,2013-01-01T10:00Z,red,1\n")
    put(project, "c", HEADER + "9,2013-01-01T10:00Z,red,1\n")
    return project


def put(project: Project, name: str, content: str | bytes | Path) -> Path:
    path = project.root / "drops" / f"jobs-{name}.csv"
    path.unlink(missing_ok=True)
    if isinstance(content, Path):
        path.symlink_to(content)
        return path
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return settled(path)


def ids(project: Project) -> list[int]:
    files = [file for one in read_manifests(raw_folder(project.lake, "jobs")) for file in one.files]
    return sorted(id for file in files for id in pq.read_table(project.lake / file.path)["id"].to_pylist())


@pytest.mark.parametrize("what", REFUSED)
def test_a_bad_drop_is_refused_with_its_reason_alone_and_taken_once_it_is_mended(project: Project, what: str) -> None:
    content, reason = REFUSED[what]
    put(project, "b", content)
    for rows in (2, 0):
        with pytest.raises(DeliveriesRefused) as error:
            ingest(project, "jobs", AS_OF)
        assert "drops/jobs-b.csv: " in str(error.value)
        assert reason in str(error.value)
        assert error.value.result.rows == rows
        assert ids(project) == [1, 9]
    put(project, "b", MENDED)
    assert ingest(project, "jobs", AS_OF).rows == 2
    assert ids(project) == [1, 5, 6, 9]


@pytest.mark.parametrize("what", TAKEN)
def test_a_drop_that_is_only_unusual_is_taken(project: Project, what: str) -> None:
    put(project, "b", TAKEN[what])
    assert ingest(project, "jobs", AS_OF).rows == 4
    assert ids(project) == [1, 5, 6, 9]


def test_a_header_alone_is_taken_without_rows(project: Project) -> None:
    put(project, "b", HEADER)
    assert ingest(project, "jobs", AS_OF).rows == 2


def test_a_drop_that_is_being_written_is_no_failure_and_taken_when_it_is_whole(project: Project) -> None:
    path = put(project, "b", MENDED[:-8])
    os.utime(path)
    assert ingest(project, "jobs", AS_OF).rows == 2
    path.write_text(MENDED)
    assert ingest(project, "jobs", AS_OF).rows == 2
    assert ids(project) == [1, 5, 6, 9]


def test_parquet_drops_of_another_schema_are_refused_alone(make_project: Callable[..., Project]) -> None:
    project = make_project(SMALL.replace("{kind: csv, path: drops/jobs-*.csv}", "{kind: parquet, path: drops/jobs-*}"))
    (project.root / "drops").mkdir()
    good = pa.table({"id": [1], "due": [datetime(2013, 1, 1)], "team": ["red"], "size": [1.0]})
    pq.write_table(good, project.root / "drops/jobs-a")
    pq.write_table(good.drop_columns("team"), project.root / "drops/jobs-b")
    put(project, "c", HEADER)
    for rows in (1, 0):
        with pytest.raises(DeliveriesRefused) as error:
            ingest(project, "jobs", AS_OF)
        assert "drops/jobs-b: has another schema than params.yaml declares. column `team`: expec" in str(error.value)
        assert "drops/jobs-c.csv: is not a Parquet file: it starts with b'id,d'" in str(error.value)
        assert (error.value.result.rows, ids(project)) == (rows, [1])
