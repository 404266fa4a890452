from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evergreen.errors import ContractError, EvergreenError, LakeError
from evergreen.features.engine import connect
from evergreen.lake.known import known_rows
from evergreen.lake.manifests import DataFile, commit, read_manifests
from evergreen.lake.schema import WRITER, arrow_schema
from evergreen.paths import file_sha256
from evergreen.project import Project
from evergreen.quality.records import FileValidation, read_validations
from evergreen.stages.validate import FilesRefused, validate
from evergreen.status import read_status

MakeProject = Callable[..., Project]
DAY = datetime(2013, 1, 1)

PARAMS = """
name: small
tables:
  jobs:
    source: {{kind: csv, path: drops/*.csv}}
    key: [id]
    known_at: due
    quarantine: {{max_share: {max_share}}}
    columns:
      id: {{type: int64}}
      due: {{type: timestamp}}
      size ($): {{type: float64, between: [0, {high}], severity: {severity}, mostly: {mostly}}}
      team: {{type: category, in: [red, blue], severity: warning}}
      serial: {{type: string, unique: {unique}}}
prediction: {{rows: jobs, at: due, label: {{value: team = 'red', known_at: due}}}}
features: {{row: {{size: '"size ($)"'}}}}
training: {{estimator: logistic}}
"""


def params(
    *, high: float = 10, max_share: float = 1, severity: str = "error", mostly: float = 1, unique: str = "false"
) -> str:
    return PARAMS.format(high=high, max_share=max_share, severity=severity, mostly=mostly, unique=unique)


def job(id_: int | None = 1, size: float | None = 1.0, **values: Any) -> dict[str, Any]:
    return {"id": id_, "due": DAY, "size ($)": size, "team": "red", "serial": None, **values}


def deliver(project: Project, *files: list[dict[str, Any]] | pa.Table, table: str = "jobs") -> list[str]:
    """Commit the given files as one manifest of raw files; their places."""
    folder = project.lake / "raw" / table
    folder.mkdir(parents=True, exist_ok=True)
    seq = len(read_manifests(folder)) + 1
    made = []
    for number, rows in enumerate(files):
        schema = arrow_schema(project.params.tables[table].columns)
        data = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows, schema)
        path = folder / f"{hashlib.sha256(f'{seq}/{number}'.encode()).hexdigest()[:16]}-00000.parquet"
        pq.write_table(data, path, **WRITER)
        place = path.relative_to(project.lake).as_posix()
        size = path.stat().st_size
        made.append(
            DataFile(
                path=place, sha256=file_sha256(path), rows=len(data), bytes=size, origin=f"jobs-{seq}-{number}.csv"
            )
        )
    commit(folder, seq, datetime(2013, 1, 2, tzinfo=UTC), made)
    return [file.path for file in made]


def mend(project: Project, text: str) -> Project:
    (project.root / "params.yaml").write_text(text)
    return Project.load(project.root)


def read(project: Project, place: str | None) -> list[dict[str, Any]]:
    return pq.read_table(project.lake / place, partitioning=None).to_pylist() if place else []


def record(project: Project, place: str) -> FileValidation:
    return read_validations(project.lake, "jobs")[place]


def clean_ids(project: Project, place: str) -> list[int]:
    return [row["id"] for row in read(project, record(project, place).clean)]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_good_rows_go_on_and_bad_ones_to_quarantine_with_their_reasons(make_project: MakeProject) -> None:
    project = make_project(params())
    rows = [job(1), job(2, 99.0), job(3, float("nan")), job(None), job(5, 11.0, due=None), job(6, team="green")]
    (place,) = deliver(project, rows)
    result = validate(project, "jobs")
    kept = record(project, place)
    assert kept.clean == f"clean/jobs/{Path(place).stem}.{kept.contract}.parquet"
    assert kept.quarantine == f"quarantine/jobs/{Path(place).stem}.{kept.contract}.parquet"
    clean = read(project, kept.clean)
    assert list(clean[0]) == ["id", "due", "size ($)", "team", "serial", "_row"]
    assert [(row["id"], row["_row"], row["size ($)"]) for row in clean] == [(1, 0, 1.0), (3, 2, None), (6, 5, 1.0)]
    assert [(row["_row"], row["_rule"]) for row in read(project, kept.quarantine)] == [
        (1, "size ($): between 0 and 10"),
        (3, "id: never null (key)"),
        (4, "size ($): between 0 and 10; known_at: `due` has a value"),
    ]
    assert {(one.column, one.rule): one.count for one in kept.failures} == {
        ("id", "nulls"): 1, ("size ($)", "between"): 2, ("team", "in"): 1, (None, "known_at"): 1,
    }  # fmt: skip
    assert result.model_dump(exclude={"report"}) == {
        "table": "jobs", "files": 1, "rows": 6, "quarantined": 3, "warnings": 1,
        "notes": ("`team` expected one of red, blue: 1 row(s) broke it, such as green",),
        "admitted": 3, "readmitted": 0, "withdrawn": 0, "discarded": 0,
    }  # fmt: skip


def test_a_validated_file_is_not_validated_again(make_project: MakeProject) -> None:
    project = make_project(params())
    deliver(project, [job(1)])
    validate(project, "jobs")
    before = contents(project.lake)
    for again in (False, True):
        result = validate(project, "jobs", again=again)
        assert (result.files, result.report) == (0, None)
    assert contents(project.lake) == before


def test_no_files_and_no_rows_are_nothing_wrong(make_project: MakeProject) -> None:
    project = make_project(params())
    assert validate(project, "jobs").files == 0
    (place,) = deliver(project, [])
    result = validate(project, "jobs")
    assert (result.files, result.rows) == (1, 0)
    assert read(project, record(project, place).clean) == []


def test_an_unknown_table_is_named(make_project: MakeProject) -> None:
    with pytest.raises(EvergreenError, match=r"`job` is not a table of params\.yaml; known: jobs"):
        validate(make_project(params()), "job")


def test_a_critical_file_stops_no_other_and_is_refused_until_the_contract_is_mended(make_project: MakeProject) -> None:
    project = make_project(params(severity="critical", mostly=0.6))
    bad, good, fair = deliver(project, [job(1, 99), job(2, 98)], [job(3)], [job(4), job(5), job(6, 97)])
    for _ in range(2):  # a retry finds no new file and must not pass over it
        with pytest.raises(ContractError) as caught:
            validate(project, "jobs")
        assert f"  {bad} (jobs-1-0.csv): `size ($)` expected between 0 and 10 in at least 60%" in str(caught.value)
        assert "2 of 2 rows (100%) broke it, such as 99.0, 98.0" in str(caught.value)
        assert "`evergreen validate jobs --again`" in str(caught.value)
    assert record(project, bad).clean is None
    assert len(read(project, record(project, bad).quarantine)) == 2
    assert (clean_ids(project, good), clean_ids(project, fair)) == ([3], [4, 5])

    project = mend(project, params(severity="critical", mostly=0.6, high=98))
    with pytest.raises(ContractError):
        validate(project, "jobs")  # nothing is validated anew without `again`
    project = mend(project, params(severity="critical", mostly=0.5, high=98))
    result = validate(project, "jobs", again=True)
    assert (result.files, result.admitted, result.readmitted, result.quarantined) == (3, 2, 2, 1)
    assert [clean_ids(project, place) for place in (bad, good, fair)] == [[2], [3], [4, 5, 6]]


def test_more_than_the_largest_share_in_quarantine_is_critical(make_project: MakeProject) -> None:
    project = make_project(params(max_share=0.1))
    many, one, some = deliver(
        project,
        [job(i, 99 if i < 3 else 1) for i in range(20)],
        [job(30, 99), job(31)],  # one row of a small file is no trend
        [job(i, 99 if i < 42 else 1) for i in range(40, 60)],
    )
    with pytest.raises(ContractError, match=r"at most 10% of the rows in quarantine; 3 of 20 rows"):
        validate(project, "jobs")
    assert record(project, many).critical
    assert not record(project, one).critical
    assert not record(project, some).critical


def test_a_mended_contract_counts_each_row_once_and_can_be_taken_back(make_project: MakeProject) -> None:
    project = make_project(params())
    place, other = deliver(project, [job(1), job(2, 20), job(3, 200)], [job(4)])
    validate(project, "jobs")
    first = contents(project.lake / "validation")
    wide = mend(project, params(high=100))
    result = validate(wide, "jobs", again=True)
    assert (result.files, result.admitted, result.readmitted, result.withdrawn) == (2, 1, 1, 0)
    assert (clean_ids(wide, place), clean_ids(wide, other)) == ([1, 2], [4])
    assert [row["id"] for row in read(wide, record(wide, place).quarantine)] == [3]
    project = mend(wide, params())
    result = validate(project, "jobs", again=True)
    assert (result.admitted, result.withdrawn) == (0, 1)
    assert contents(project.lake / "validation").items() >= first.items()


def test_a_file_is_judged_the_same_alone_and_among_others(make_project: MakeProject, tmp_path: Path) -> None:
    text = params(max_share=0.5, severity="critical", mostly=0.5)
    files = [
        [job(1), job(2, 99), job(None)],
        [job(3, None, team=None), job(4, team="green")],
        [job(5, 99), job(6, 98), job(7)],
        [],
        [job(8, due=None), job(9, float("nan")), job(10, 2.0)],
    ]
    together = make_project(text, tmp_path / "together")
    deliver(together, *files)
    alone = make_project(text, tmp_path / "alone")
    for file in files:
        deliver(alone, file)
        with suppress(ContractError):
            validate(alone, "jobs")
    with pytest.raises(ContractError):
        validate(together, "jobs")

    def outcome(project: Project) -> list[Any]:
        found = read_validations(project.lake, "jobs").values()
        plain = [one.model_dump(exclude={"raw", "clean", "quarantine"}) for one in found]
        return [
            (fields, [(project.lake / path).read_bytes() if path else None for path in (one.clean, one.quarantine)])
            for fields, one in zip(plain, found, strict=True)
        ]

    refused = [one.critical is not None for one in read_validations(together.lake, "jobs").values()]
    assert refused == [True, False, True, False, False]
    assert outcome(together) == outcome(alone)


def test_a_unique_value_belongs_to_its_first_key_across_files(make_project: MakeProject) -> None:
    project = make_project(params(unique="true"))
    first, second = deliver(
        project,
        [job(1, serial="a"), job(2, serial="a"), job(1, 2.0, serial="a"), job(3, 99, serial="c"), job(4)],
        [job(5, serial="a"), job(6, serial="c"), job(7), job(1, 3.0, serial="a")],
    )
    (third,) = deliver(project, [job(8, serial="c"), job(9, serial="d")])
    validate(project, "jobs")
    assert clean_ids(project, first) == [1, 1, 4]
    assert clean_ids(project, second) == [6, 7, 1]
    assert clean_ids(project, third) == [9]
    assert [row["_rule"] for row in read(project, record(project, third).quarantine)] == ["serial: unique"]
    (fourth,) = deliver(project, [job(10, serial="d"), job(11, serial="e")])
    validate(project, "jobs")
    assert clean_ids(project, fourth) == [11]


def test_a_row_that_comes_back_takes_its_unique_value_from_later_files(make_project: MakeProject) -> None:
    project = make_project(params(unique="true"))
    (first,) = deliver(project, [job(1, 99, serial="a")])
    validate(project, "jobs")
    project = mend(project, params(unique="true", high=100))
    (second,) = deliver(project, [job(2, serial="a")])
    validate(project, "jobs")  # today's contract, but the first file's rows are still those of yesterday's
    assert clean_ids(project, second) == [2]
    result = validate(project, "jobs", again=True)
    assert (clean_ids(project, first), clean_ids(project, second)) == ([1], [])
    assert (result.files, result.admitted, result.withdrawn) == (2, 1, 1)


def test_a_refused_file_holds_no_unique_value(make_project: MakeProject) -> None:
    project = make_project(params(unique="true", max_share=0))
    _, second = deliver(project, [job(1, serial="a"), job(2, 99)], [job(3, serial="a")])
    with pytest.raises(ContractError, match=r"^1 file\(s\)"):
        validate(project, "jobs")
    assert clean_ids(project, second) == [3]


def test_a_refused_file_that_is_discarded_counts_for_nothing_and_loses_nothing(make_project: MakeProject) -> None:
    project = make_project(params(max_share=0.5))
    bad, good = deliver(project, [job(1, 99), job(2, 98), job(3)], [job(4)])
    with pytest.raises(ContractError, match=r"`evergreen validate jobs --discard jobs-1-0\.csv`"):
        validate(project, "jobs")
    (mended,) = deliver(project, [job(1), job(2), job(3)])
    result = validate(project, "jobs", discard="jobs-1-0.csv", by="ann", because="the till was broken")
    assert (result.files, result.admitted, result.discarded) == (1, 3, 1)
    kept = record(project, bad)
    assert (kept.critical, kept.clean, kept.rows, kept.quarantined) == (None, None, 3, 3)
    assert kept.discarded == "counts for nothing, discarded by ann because the till was broken"
    assert [(row["id"], row["_row"], row["_rule"]) for row in read(project, kept.quarantine)] == [
        (1, 0, "discarded"), (2, 1, "discarded"), (3, 2, "discarded"),
    ]  # fmt: skip
    assert (project.lake / bad).exists()
    assert (clean_ids(project, good), clean_ids(project, mended)) == ([4], [1, 2, 3])

    assert validate(project, "jobs", discard=bad).discarded == 0  # it is so already
    wide = mend(project, params(max_share=0.5, high=100))
    assert validate(wide, "jobs", again=True).files == 2
    assert record(wide, bad) == kept
    result = validate(wide, "jobs", discarded=True)
    assert (result.files, result.admitted, clean_ids(wide, bad)) == (1, 3, [1, 2, 3])


def test_a_mended_file_of_the_same_name_is_not_discarded_with_the_refused_one(make_project: MakeProject) -> None:
    project = make_project(params())
    bad, good = deliver(project, columns_of([job(1)], project).drop_columns(["id"]), [job(2)])
    folder = project.lake / "raw" / "jobs" / "ledger"
    (manifest,) = folder.iterdir()
    manifest.write_text(manifest.read_text().replace("jobs-1-1.csv", "jobs-1-0.csv"))
    with pytest.raises(ContractError):
        validate(project, "jobs")
    validate(project, "jobs", discard="jobs-1-0.csv")
    kept = record(project, bad)
    assert [(row["size ($)"], row["_rule"]) for row in read(project, kept.quarantine)] == [(1.0, "discarded")]
    assert (kept.rows, kept.quarantined, clean_ids(project, good)) == (1, 1, [2])


def test_only_a_refused_file_can_be_discarded(make_project: MakeProject) -> None:
    project = make_project(params(max_share=0))
    deliver(project, [job(1)], [job(2, 99)])
    with pytest.raises(ContractError):
        validate(project, "jobs")
    with pytest.raises(EvergreenError, match=r"`jobs-1-0.csv` is not refused.*: --discard jobs-1-1\.csv"):
        validate(project, "jobs", discard="jobs-1-0.csv")
    with pytest.raises(EvergreenError, match=r"`jobs-9\.csv` is no file of the table"):
        validate(project, "jobs", discard="jobs-9.csv")


def test_the_error_names_the_report_of_the_refused_file_on_retries_and_later_runs_too(
    make_project: MakeProject,
) -> None:
    project = make_project(params(max_share=0))
    deliver(project, [job(1, 99)])
    with pytest.raises(FilesRefused) as first:
        validate(project, "jobs")
    report = first.value.result.report
    assert report is not None
    for _ in range(2):
        with pytest.raises(FilesRefused, match="The report is") as later:
            validate(project, "jobs")
        assert later.value.result.report == report
        assert str(project.home.root / report) in str(later.value)
        deliver(project, [job(2)])  # its run has a report, which does not show the refused file


@pytest.mark.parametrize("unique", ["false", "true"])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"x")])
def test_again_makes_lost_and_altered_files_anew(
    make_project: MakeProject, damage: Callable[[Path], object], unique: str
) -> None:
    project = make_project(params(unique=unique))
    first, second, third = deliver(project, [job(1, serial="a"), job(9, 99)], [job(2, serial="a")], [job(3)])
    validate(project, "jobs")
    whole = contents(project.lake)
    for place in (record(project, first).clean, record(project, first).quarantine, record(project, second).clean):
        damage(project.lake / str(place))
    result = validate(project, "jobs", again=True)
    assert (result.files, result.admitted, result.withdrawn) == (2, 0, 0)
    assert {place: data for place, data in contents(project.lake).items() if "/reports/" not in place} == {
        place: data for place, data in whole.items() if "/reports/" not in place
    }
    assert clean_ids(project, third) == [3]


def test_unique_values_are_not_judged_by_an_altered_clean_file(make_project: MakeProject) -> None:
    project = make_project(params(unique="true"))
    (first,) = deliver(project, [job(1, serial="a")])
    validate(project, "jobs")
    (project.lake / str(record(project, first).clean)).unlink()
    deliver(project, [job(2, serial="a")])
    with pytest.raises(LakeError, match=r"is missing; run `evergreen validate jobs --again`"):
        validate(project, "jobs")


def columns_of(rows: list[dict[str, Any]], project: Project) -> pa.Table:
    return pa.Table.from_pylist(rows, arrow_schema(project.params.tables["jobs"].columns))


def test_a_file_without_a_needed_column_is_critical(make_project: MakeProject) -> None:
    project = make_project(params())
    place, fine = deliver(project, columns_of([job(1)], project).drop_columns(["id"]), [job(2)])
    with pytest.raises(ContractError, match=r"expected a column `id` \(int64\); came due, size \(\$\), team, serial"):
        validate(project, "jobs")
    kept = record(project, place)
    assert (kept.clean, kept.quarantine, kept.rows, kept.quarantined) == (None, None, 1, 0)
    assert clean_ids(project, fine) == [2]


def test_types_are_cast_where_nothing_is_lost(make_project: MakeProject) -> None:
    project = make_project(params())
    data = columns_of([job(1)], project)
    whole = data.set_column(2, "size ($)", pa.array([7], pa.int64()))
    words = data.set_column(2, "size ($)", pa.array(["seven"]))
    less = data.drop_columns(["team"]).append_column("more", pa.array([1]))
    cast, broken, filled = deliver(project, whole, words, less)
    with pytest.raises(ContractError, match=r"expected `size \(\$\)` as float64; came string"):
        validate(project, "jobs")
    assert read(project, record(project, cast).clean)[0]["size ($)"] == 7.0
    assert record(project, broken).clean is None
    assert read(project, record(project, filled).clean)[0]["team"] is None
    assert [(one.column, one.rule, one.severity) for one in record(project, filled).failures] == [
        ("team", "schema", "warning")
    ]


@pytest.mark.parametrize(
    ("damage", "said"), [(Path.unlink, "is missing"), (lambda p: p.write_bytes(b"x"), "is not the")]
)
def test_a_missing_or_altered_raw_file_is_an_error(
    make_project: MakeProject, damage: Callable[[Path], object], said: str
) -> None:
    project = make_project(params())
    (place,) = deliver(project, [job(1)])
    damage(project.lake / place)
    with pytest.raises(LakeError, match=said):
        validate(project, "jobs")


def test_the_report_shows_rules_files_and_rows_and_lets_no_markup_through(make_project: MakeProject) -> None:
    project = make_project(params(max_share=0.5))
    deliver(
        project, [job(1), job(2, 99, serial="<script>x</script>"), job(3, team="<b>")], [job(i, 98) for i in range(250)]
    )
    with pytest.raises(ContractError) as caught:
        validate(project, "jobs")
    (page,) = (project.lake / "validation" / "jobs" / "reports").glob("*.html")
    assert str(page) in str(caught.value)
    text = page.read_text()
    for shown in (
        "size ($)", "between 0 and 10", "one of red, blue", "jobs-1-0.csv", "251 broke a rule", "refused", "&lt;b&gt;",
        "&lt;script&gt;x&lt;/script&gt;", "The first 200 of 251", "99.21%",
    ):  # fmt: skip
        assert shown in text
    assert "<script" not in text
    assert "http" not in text
    machine = json.loads(page.with_suffix(".json").read_text())
    assert len(machine["files"]) == 2
    (suite,) = machine["great_expectations"]
    assert suite["rows"] == 253
    assert {one["expectation_config"]["type"] for one in suite["results"] if not one["success"]} == {
        "expect_column_values_to_be_between", "expect_column_values_to_be_in_set",
    }  # fmt: skip


def test_the_result_names_the_report_from_the_home(make_project: MakeProject) -> None:
    project = make_project(params())
    deliver(project, [job(1)])
    report = validate(project, "jobs").report
    assert report is not None
    assert report.startswith("lake/small/validation/jobs/reports/")
    assert (project.home.root / report).exists()


def warm_python() -> Any:
    """Fresh processes that need not import Great Expectations each."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["great_expectations", "evergreen.stages.validate", "pyarrow.parquet", "duckdb"])
    return context


@pytest.mark.parametrize("kill", ["clean:1", "quarantine:1", "record:1", "clean:2", "record:2", "chunk:1", "report:1"])
def test_a_run_that_was_killed_and_run_again_gives_the_same_bytes(
    make_project: MakeProject, tmp_path: Path, kill: str
) -> None:
    project = make_project(params(unique="true"))
    deliver(project, [job(1, serial="a"), job(2, 99)], [job(3, serial="a"), job(4)])
    twin = tmp_path / "twin"
    shutil.copytree(project.root, twin)
    code = f"import os; os.environ['EVERGREEN_KILL_AT'] = 'validate.{kill}'\n"
    code += "from evergreen.project import Project; from evergreen.stages.validate import validate\n"
    code += f"validate(Project.load({str(project.root)!r}), 'jobs')"
    process = warm_python().Process(target=exec, args=(code, {}))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    killed, whole = validate(project, "jobs"), validate(Project.load(twin), "jobs")
    assert killed == whole
    assert contents(project.lake) == contents(twin / ".evergreen" / "lake" / "small")


ROWS = st.lists(
    st.builds(
        job,
        st.one_of(st.none(), st.integers(0, 5)),
        st.one_of(st.none(), st.floats(-1, 12), st.just(float("nan"))),
        due=st.sampled_from([DAY, None]),
        team=st.sampled_from(["red", "green", None]),
        serial=st.sampled_from(["a", "b", "c", None]),
    ),
    max_size=12,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.lists(ROWS, min_size=1, max_size=3), high=st.integers(0, 12))
def test_clean_and_quarantine_are_the_raw_rows_each_once(
    make_project: MakeProject, tmp_path_factory: pytest.TempPathFactory, files: list[list[dict[str, Any]]], high: int
) -> None:
    project = make_project(params(unique="true"), tmp_path_factory.mktemp("p"))
    places = deliver(project, *files)
    validate(project, "jobs")
    project = mend(project, params(unique="true", high=high))
    validate(project, "jobs", again=True)
    owners: dict[str, int] = {}
    for place, rows in zip(places, files, strict=True):
        kept = record(project, place)
        clean, out = read(project, kept.clean), read(project, kept.quarantine)
        assert len(out) == kept.quarantined
        assert all(row.pop("_rule") for row in out)
        numbered = sorted(clean + out, key=lambda row: row.pop("_row"))
        assert numbered == [
            {name: None if value != value else value for name, value in row.items()} for row in rows
        ]  # NaN is a missing value
        for row in clean:
            assert row["id"] is not None
            assert row["due"] is not None
            assert row["size ($)"] is None or 0 <= row["size ($)"] <= high
            assert row["serial"] is None or owners.setdefault(row["serial"], row["id"]) == row["id"]


def test_a_key_that_comes_twice_in_a_file_is_seen_and_the_last_row_counts(
    make_project: MakeProject, caplog: pytest.LogCaptureFixture
) -> None:
    """Equal rows are one; of differing ones the first counts up to the ingest that brought them, then the last."""
    project = make_project(params())
    rows = [job(1), job(1), job(2), job(2, 3.0), job(2, 4.0), job(3), job(3, 99.0), job(3)]
    (place,) = deliver(project, rows)
    result = validate(project, "jobs")
    (note,) = result.notes
    assert (result.warnings, result.admitted, result.quarantined) == (2, 7, 1)
    assert note.startswith("2 row(s) repeat a key of their file with other values, such as id=2: the last one counts")
    assert "`key` lacks a column" in note
    assert f"jobs: {note}" in caplog.text
    (failure,) = [one for one in record(project, place).failures if one.rule == "key"]
    assert (failure.column, failure.severity, failure.count, failure.examples) == (None, "warning", 2, ("id=2",))
    page = (project.home.root / str(result.report)).read_text()
    assert "no other row of the same id in the file" in page
    assert read_status(project).tables["jobs"].notes == [note]

    def known(as_of: datetime) -> list[tuple[int, int, float]]:
        table = known_rows(connect(), project, as_of)["jobs"].order_by("id", "_version").to_pyarrow().to_pylist()
        return [(row["id"], row["_version"], row["size ($)"]) for row in table]

    ingested = datetime(2013, 1, 2, tzinfo=UTC)
    assert known(ingested - timedelta(seconds=1)) == [(1, 1, 1.0), (2, 1, 1.0), (3, 1, 1.0)]
    assert known(ingested) == [(1, 1, 1.0), (2, 1, 1.0), (2, 2, 3.0), (2, 3, 4.0), (3, 1, 1.0)]


def test_a_file_that_comes_again_with_other_values_is_a_plain_correction(make_project: MakeProject) -> None:
    project = make_project(params())
    deliver(project, [job(1)], [job(1, 2.0)])
    assert validate(project, "jobs").notes == ()


def test_a_row_known_further_ahead_than_allowed_goes_to_quarantine(make_project: MakeProject) -> None:
    """Counted from the ingest that brought it, also when it is validated again later."""
    text = params().replace("known_at: due\n", "known_at: due\n    ahead: 30 days\n", 1)
    project = make_project(text)
    edge = datetime(2013, 2, 1)  # 30 days after the ingest
    dues = [DAY, edge, edge + timedelta(seconds=1), datetime(2204, 1, 1), None]
    (place,) = deliver(project, [job(number, due=due, serial="x") for number, due in enumerate(dues)])
    assert validate(project, "jobs").quarantined == 3
    assert clean_ids(project, place) == [0, 1]
    reason = "ahead: `due` at most 30 days after the ingest"
    found = [(row["id"], row["_rule"]) for row in read(project, record(project, place).quarantine)]
    assert found == [(2, reason), (3, reason), (4, "known_at: `due` has a value")]
    first = contents(project.lake)
    mended = mend(project, text.replace("30 days", "90 days"))
    assert validate(mended, "jobs", again=True).readmitted == 1
    validate(mend(project, text), "jobs", again=True)
    assert (
        contents(project.lake / "clean").items()
        >= {name.removeprefix("clean/"): body for name, body in first.items() if name.startswith("clean/")}.items()
    )


def test_a_row_that_is_too_far_ahead_takes_no_unique_value(make_project: MakeProject) -> None:
    project = make_project(params(unique="true").replace("known_at: due\n", "known_at: due\n    ahead: 30 days\n", 1))
    (place,) = deliver(project, [job(1, due=datetime(2204, 1, 1), serial="x"), job(2, serial="x")])
    validate(project, "jobs")
    assert clean_ids(project, place) == [2]
