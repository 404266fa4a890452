"""`evergreen check` as a user runs it: on drops, on none, and on a params.yaml with mistakes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv as pa_csv

from evergreen import cli, clock
from evergreen.project import Project
from tests.conftest import SMALL
from tests.data import small_tables, write_drops

Run = Callable[..., tuple[int, str, str]]
ASKED = "asking the source of jobs\nasking the source of outcomes\n"


@pytest.fixture
def check(
    make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Make a project of a params.yaml, with the small drops in it, and run `evergreen check` there."""

    def run(
        *arguments: str, text: str = SMALL, days: int = 20, params: str | None = None, now: datetime | None = None
    ) -> tuple[int, str, str]:
        project = make_project(text)
        if now is not None:
            clock.set_replay(project.home, now)
        if days:
            write_drops(project.root / "drops", days)
        if params is not None:
            (project.root / "params.yaml").write_text(params)
        monkeypatch.setenv("EVERGREEN_PROJECT", str(project.root))
        monkeypatch.setattr(sys, "argv", ["evergreen", "check", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def test_good_params_and_good_data(check: Run) -> None:
    code, out, err = check("--strict")
    assert (code, err) == (0, ASKED)
    for part in ("jobs  800 rows, known from 2023-12-30 to 2024-01-1", "id (key)", "int64", "red", "outcomes", "late"):
        assert part in out
    assert "The label  760 of 800 sampled rows have one (100.0% of those whose outcome the samples reach)" in out
    assert "nothing to say, from 1,560 rows of 2 tables." in out
    assert out.rstrip().endswith("is valid: 4 features")


@pytest.mark.parametrize("url", ["s3://lake", "file:///lake", "gs://"])
def test_a_lake_that_is_in_no_bucket_is_told(check: Run, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("EVERGREEN_LAKE_URL", url)
    told = "evergreen: EVERGREEN_LAKE_URL is not a place such as gs://bucket/prefix\n"
    assert check("--no-data") == (1, "", told)


def test_findings_are_numbered_beside_their_column_and_fail_only_when_strict(check: Run) -> None:
    text = SMALL.replace("size: {type: float64, between: [0, 1000]}", "size: {type: int64}")
    code, out, _ = check(text=text)
    assert code == 0
    row = next(line for line in out.splitlines() if line.strip().startswith("size"))
    assert row.split()[-1] == "1"
    assert "1 error   jobs: size  Declared int64, seen float64" in out
    assert "→ A file with one such value is refused as a whole. Declare it float64." in out
    assert "1 error, from 1,560 rows" in out
    code, _, err = check("--strict", text=text)
    assert (code, err) == (1, f"{ASKED}evergreen: --strict: 1 finding is an error or a warning\n")


@pytest.mark.parametrize(
    ("text", "pattern"), [("07030", r"^\d{5}$"), ("True", "^(True|False)$"), ("1.50", r"^\d\.\d\d$")]
)
def test_text_that_looks_like_numbers_or_flags_is_judged_as_it_is_written(
    check: Run, tmp_path: Path, text: str, pattern: str
) -> None:
    drops = tmp_path / "project" / "drops"
    write_drops(drops, 20)
    for path in drops.glob("jobs-*.csv"):
        header, *rows = path.read_text().splitlines()
        path.write_text("\n".join([f"{header},code", *(f"{row},{text}" for row in rows), ""]))
    column = f"size: {{type: float64}}\n      code: {{type: category, matches: '{pattern}'}}"
    params = SMALL.replace("size: {type: float64, between: [0, 1000]}", column)
    code, out, err = check("--strict", text=params, days=0)
    assert (code, err) == (0, ASKED)
    assert "nothing to say" in out
    row = next(line for line in out.splitlines() if line.strip().startswith("code"))
    assert text in row


def test_text_that_is_no_utf8_is_an_error_of_its_column(check: Run, tmp_path: Path) -> None:
    drops = tmp_path / "project" / "drops"
    write_drops(drops, 20)
    path = min(drops.glob("jobs-*.csv"))
    path.write_bytes(path.read_bytes().replace(b",red,", b",r\xe9d,", 1))
    code, out, _ = check("--strict", days=0)
    assert code == 1
    assert "jobs: team  Declared category, seen binary" in out


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("name", ["size", "more"])
def test_a_column_that_is_there_twice_is_named(check: Run, tmp_path: Path, kind: str, name: str) -> None:
    """In all of several files; where it is not declared, it harms nothing."""
    drops = tmp_path / "project" / "drops"
    drops.mkdir(parents=True)
    jobs = pa.Table.from_pandas(small_tables(20)["jobs"], preserve_index=False)
    twice = jobs.append_column(name, jobs["size"]).append_column("more", jobs["size"])
    for number in range(2):
        if kind == "csv":
            pa_csv.write_csv(twice, drops / f"jobs-{number}.csv")
        else:
            pq.write_table(twice, drops / f"jobs-{number}.csv")
    code, out, _ = check(text=SMALL.replace("kind: csv, path: drops/jobs", f"kind: {kind}, path: drops/jobs"), days=0)
    assert code == 0
    assert ("jobs: size  The source has 2 columns of this name." in out) == (name == "size")
    assert "jobs  800 rows" in out


def test_without_drops_each_table_says_so_and_params_are_valid(check: Run) -> None:
    code, out, err = check(days=0)
    assert (code, err) == (0, ASKED)
    assert "jobs  nothing to look at: no file matches drops/jobs-*.csv" in out
    assert "outcomes  nothing to look at: no file matches" in out
    assert "No table has rows yet: checked without data." in out


def test_a_source_that_cannot_be_read_does_not_keep_the_others(check: Run, tmp_path: Path) -> None:
    drop = tmp_path / "project" / "drops" / "jobs-000.csv"
    drop.parent.mkdir(parents=True)
    drop.write_bytes(b"id,due\n1\n")
    text = SMALL.replace("jobs-*.csv", "jobs-000.csv")
    write_drops(drop.parent, 20)
    drop.write_bytes(b"id,due\n1\n")
    code, out, _ = check(text=text, days=0)
    assert code == 0
    assert "jobs  nothing to look at: drops/jobs-000.csv: row 2 has 1 values, the header 2" in out
    assert "outcomes  760 rows" in out


def test_some_tables_few_rows_and_json(check: Run) -> None:
    code, out, _ = check("outcomes", "--rows", "100", "--json")
    found = json.loads(out)
    assert code == 0
    assert [(table["name"], table["rows"]) for table in found["tables"]] == [("outcomes", 100)]
    assert found["label"] is None
    assert found["tables"][0]["columns"][3]["seen"] == "float64"

    code, _, err = check("outcome")
    assert (code, "`outcome` is not a table of" in err, "known: jobs, outcomes" in err) == (1, True, True)


def test_without_data_no_source_is_read(check: Run) -> None:
    code, out, _ = check("--no-data")
    assert code == 0
    assert "rows" not in out
    assert "is valid: 4 features" in out


def test_a_replay_that_stands_in_the_past_is_named(check: Run) -> None:
    _, out, _ = check(now=datetime(2024, 1, 5, tzinfo=UTC))
    assert "lies after now (2024-01-05T00:00Z)" in out
    assert "remove .evergreen/clock.json" in out


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("known_at: due - interval 2 days", "known_at: duee - interval 2 days", ":8: tables.jobs.known_at: `duee"),
        (
            "known_at: due - interval 2 days",
            "known_at: due - - (",
            ":8: tables.jobs.known_at: `due - - (` is not a SQL",
        ),
        (
            "value: late > 10",
            "value: lat > 10",
            ":26: prediction.label.value: `lat > 10` names the column `lat`; did you",
        ),
        ("hour: hour(local(due))", "hour: hour(local(size))", ":28: features.row.hour: `hour(local(size))` cannot be"),
        ("mean: late > 10", "mean: later > 10", ":29: features.trailing.team_late_3d.mean: `later > 10` names"),
        ("categorical: [team]", "categorical: []", ":28: the feature `team` is VARCHAR"),
        ("max_iter: 20", "max_itr: 20", ":32: training.options: hist_gradient_boosting has no option `max_itr`"),
        (
            "search: {space: {}}",
            "search: {space: {max_itr: [20, 50]}}",
            ":36: search.space: hist_gradient_boosting has no option `max_itr` that can be searched; did you mean",
        ),
        (
            "kind: csv, path: drops/jobs",
            "kind: cvs, path: drops/jobs",
            ":6: `tables.jobs.source.kind` is `cvs`: did you",
        ),
        ("path: drops/jobs-*.csv", "paht: drops/jobs-*.csv", ":6: `tables.jobs.source.paht` is not an option: did you"),
        ("between: [0, 1000]", "between: [1000, 0]", ":13: tables.jobs.columns.size.between: no value lies between"),
        ("in: [red, green, blue]", "matches: '('", ":12: tables.jobs.columns.team.matches: `(` is not a regular"),
        (
            "monitoring: {min_rows: 50}",
            "monitoring: {drift: {columns: [tame]}}",
            ":34: monitoring.drift.columns: `tame` is not a feature; did you mean `team`?",
        ),
    ],
)
def test_a_mistake_in_params_is_named_with_its_line(check: Run, old: str, new: str, expected: str) -> None:
    assert old in SMALL
    code, out, err = check(params=SMALL.replace(old, new), days=0)
    assert (code, out) == (1, "")
    assert "params.yaml" + expected in err


def test_unknown_columns_list_the_known_ones_and_all_mistakes_come_at_once(check: Run) -> None:
    params = SMALL.replace("value: late > 10", "value: lat > 10").replace("path: drops/out", "paht: drops/out")
    params = params.replace("max_iter: 20", "max_itr: 20")
    _, _, err = check(params=params, days=0)
    assert "did you mean `late`? Known: id, due, team, late" in err
    assert len(err.splitlines()) == 4  # two about the source, one of the label, one of the option
    assert "Traceback" not in err
