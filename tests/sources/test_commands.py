"""`evergreen sources check` and `sample` as a user runs them, on files and on a database."""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from collections.abc import Callable

import pytest

from evergreen import cli
from evergreen.local import kafka
from evergreen.project import Project
from evergreen.sources.connections import keep_connections
from tests.conftest import SMALL
from tests.data import write_drops
from tests.servers import PostgresServer, free_ports
from tests.sources.postgres_worlds import MakeWorld

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run `evergreen sources` in a project."""

    def run(project: Project, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setenv("EVERGREEN_PROJECT", str(project.root))
        monkeypatch.setattr(sys, "argv", ["evergreen", "sources", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        sys.stdout.flush()
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.fixture
def files(make_project: Callable[..., Project]) -> Callable[[str], Project]:
    """A project that reads CSV files."""

    def make(text: str = SMALL) -> Project:
        project = make_project(text)
        write_drops(project.root / "drops", 20)
        return project

    return make


def test_files_that_fit(run: Run, files: Callable[..., Project]) -> None:
    code, out, err = run(files(), "check")
    assert (code, err) == (0, "")
    assert "jobs  800 rows" in out
    assert "nothing to say, from 1,560 rows of 2 tables." in out
    assert "The label" not in out


def test_a_column_that_does_not_fit_fails_and_says_what_to_change(run: Run, files: Callable[..., Project]) -> None:
    project = files(SMALL.replace("size: {type: float64, between: [0, 1000]}", "size: {type: int64}"))
    code, out, err = run(project, "check", "jobs")
    assert code == 1
    assert "outcomes" not in out
    assert "float64" in next(line for line in out.splitlines() if line.lstrip().startswith("size"))
    assert "1 column does not fit; what to change is said above" in err
    found = json.loads(run(project, "check", "jobs", "--json")[1])
    assert [(one["column"], one["severity"]) for one in found["findings"]] == [("size", "error")]
    assert "Declare it float64" in found["findings"][0]["todo"]


def test_a_mistake_in_the_options_is_one_before_anything_is_read(run: Run, files: Callable[..., Project]) -> None:
    project = files()
    (project.root / "params.yaml").write_text(SMALL.replace("path: drops/jobs", "paht: drops/jobs"))
    code, out, err = run(project, "check", "jobs")
    assert (code, out) == (1, "")
    assert "`tables.jobs.source.paht` is not an option: did you mean `path`?" in err


def test_a_database_beside_what_is_declared(run: Run, make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world()
    code, out, _ = run(world.project, "check", "jobs")
    assert code == 0
    assert "the source has no rows yet" in out
    world.insert(0, 50)
    code, out, err = run(world.project, "check", "jobs", "--rows", "20")
    assert (code, err) == (0, "")
    assert "jobs  20 rows" in out
    assert "postgres warehouse" in out
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "postgres://evergreen:s3cret@127.0.0.1:1/evergreen")
    code, out, err = run(world.project, "check", "jobs")
    assert code == 1
    assert "jobs  nothing to look at: " in out
    assert "Checked without data: the source of 1 table could not be read." in out
    assert "rows yet" not in out
    assert "not read: jobs: " in err
    monkeypatch.delenv("AIRFLOW_CONN_WAREHOUSE")
    assert "the connection `warehouse` is not known here" in run(world.project, "check", "jobs")[2]
    assert "s3cret" not in out + err


def test_after_down_each_source_of_the_stack_says_what_starts_it(run: Run, files: Callable[..., Project]) -> None:
    text = SMALL.replace(
        "{kind: csv, path: drops/jobs-*.csv}", "{kind: kafka, connection: evergreen_kafka, topic: jobs}"
    )
    project = files(text)
    keep_connections(project.home, {"evergreen_kafka": kafka.uri(free_ports())})
    began = time.monotonic()
    code, out, err = run(project, "check", "jobs")
    assert code == 1
    assert time.monotonic() - began < 30, "Kafka's client alone would try for minutes"
    assert "not read: jobs: the server of the connection `evergreen_kafka` is down" in err
    assert "`evergreen up` starts it" in err
    assert "could not be read" in out


def test_the_first_rows_as_a_table_as_json_and_as_csv(
    run: Run, files: Callable[..., Project], make_world: MakeWorld, postgres_server: PostgresServer
) -> None:
    code, out, err = run(files(), "sample", "jobs", "--rows", "3")
    assert (code, err) == (0, "")
    assert "jobs  the first 3 rows" in out
    assert len(out.strip().splitlines()) == 6  # with the names and the types
    world = make_world()
    assert "the source has no rows yet" in run(world.project, "sample")[1]
    assert json.loads(run(world.project, "sample", "--json")[1]) == {"jobs": []}
    world.insert(0, 50)
    shown = json.loads(run(world.project, "sample", "--rows", "2", "--json")[1])
    assert [row["id"] for row in shown["jobs"]] == [0, 1]
    code, out, err = run(world.project, "sample", "jobs", "--rows", "4", "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["id"] for row in rows] == ["0", "1", "2", "3"]
    assert set(rows[0]) == set(shown["jobs"][0])


def test_wide_rows_stand_on_end_and_csv_is_of_one_table(run: Run, files: Callable[..., Project]) -> None:
    project = files()
    drop = min((project.root / "drops").glob("jobs*.csv"))
    names = [f"a_column_with_a_long_name_{number}" for number in range(12)]
    lines = drop.read_text().splitlines()
    lines = [",".join([lines[0], *names]), *(f"{line}{',7' * len(names)}" for line in lines[1:])]
    drop.write_text("\n".join(lines) + "\n")
    out = run(project, "sample", "jobs", "--rows", "3")[1]
    assert next(line for line in out.splitlines() if line.startswith("a_column_")).split()[1:] == ["int64", *"777"]
    code, _, err = run(project, "sample", "--csv")
    assert code == 1
    assert "--csv prints one table, and nothing else: evergreen sources sample TABLE --csv" in err
