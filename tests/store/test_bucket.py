"""A bucket that is away, busy, refused or gone, and answers that were lost on the way."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evergreen.errors import EvergreenError, LakeError
from evergreen.files import remove, write_atomic
from evergreen.lake.manifests import Conflict, DataFile, commit, read_manifests
from evergreen.lake.raw import raw_folder
from evergreen.project import Project
from evergreen.stages.ingest import ingest
from evergreen.store import bucket as module
from evergreen.store.base import require_store, store_of
from evergreen.store.bucket import Bucket as Objects
from tests.buckets import Bucket, Proxy
from tests.store.hosts import AS_OF, Make, drop, here, in_bucket
from tests.stores import PREFIX

# Google's client leaves an answer such as 503 open when it is asked again; the collector closes it.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
FILE = DataFile(path="raw/jobs/a.parquet", sha256="0" * 64, rows=1, bytes=1)


@pytest.fixture
def proxy(gcs_url: str, lake_bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The way to the server, which fails as the test wants."""
    monkeypatch.setattr(module, "FIRST_WAIT", 0.02)
    proxy = Proxy(int(gcs_url.rpartition(":")[2]))
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
    yield proxy
    proxy.close()
    gc.collect()  # the responses that Google's client did not close, while their warning is ignored


@pytest.fixture
def project(make_project: Make) -> Project:
    project = make_project()
    drop(project, 1)
    return project


def failing(proxy: Proxy, fault: str, times: int, words: str = "") -> list[str]:
    """Fail the first requests whose line has these words; those that failed."""
    failed: list[str] = []

    def decide(line: str) -> str:
        if words in line and len(failed) < times:
            failed.append(line)
            return fault
        return ""

    proxy.fault = decide
    return failed


def test_a_commit_whose_answer_was_lost_is_no_conflict(project: Project, proxy: Proxy, lake_bucket: Bucket) -> None:
    project.refresh()
    lost = failing(proxy, "cut:5", 1, "POST")
    made = commit(raw_folder(project.lake, "jobs"), 1, AS_OF, [FILE])
    assert len(lost) == 1
    assert read_manifests(raw_folder(project.lake, "jobs")) == [made]
    assert here(project) == in_bucket(lake_bucket)
    with pytest.raises(Conflict):
        commit(raw_folder(project.lake, "jobs"), 1, AS_OF, [FILE])


def test_any_answer_may_be_lost_once(project: Project, proxy: Proxy, lake_bucket: Bucket) -> None:
    before: set[str] = set()

    def once(line: str) -> str:
        words = line.partition(" HTTP")[0]
        if "/b/" not in line or words in before:
            return ""
        before.add(words)
        return "cut:5"

    proxy.fault = once
    assert ingest(project, "jobs", AS_OF).rows == 11
    assert ingest(project, "jobs", AS_OF).rows == 0
    assert len(before) >= 3
    assert here(project) == in_bucket(lake_bucket)


@pytest.mark.parametrize("fault", ["503", "429", "cut:0"])
def test_a_bucket_that_is_away_for_a_while_is_waited_for_and_the_log_says_so(
    project: Project, proxy: Proxy, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    failed = failing(proxy, fault, 4)
    assert ingest(project, "jobs", AS_OF).rows == 11
    assert len(failed) == 4
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == 4
    assert all("gs://" in text and "does not answer" in text and "trying again" in text for text in told)


def test_a_bucket_that_stays_away_is_an_error_that_names_it_and_counts_for_nothing(
    project: Project, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, lake_bucket: Bucket
) -> None:
    project.refresh()
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    failing(proxy, "503", 10_000, "POST")
    with pytest.raises(LakeError, match=rf"gs://{lake_bucket.name}/team/loop: could not write .*503.*run this again"):
        ingest(project, "jobs", AS_OF)
    assert not list(raw_folder(project.lake, "jobs").glob("ledger/*.json"))
    proxy.fault = lambda line: ""
    assert ingest(project, "jobs", AS_OF).rows == 11
    assert here(project) == in_bucket(lake_bucket)


def test_what_never_passes_is_said_at_once(project: Project, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(proxy, "403", 10_000)
    with pytest.raises(LakeError, match="needs the role Storage Object User on the bucket"):
        project.refresh()
    assert len(proxy.lines) == 1
    proxy.fault = lambda line: ""
    monkeypatch.setenv("EVERGREEN_LAKE_URL", "gs://there-is-none/lake")
    with pytest.raises(LakeError, match=r"gs://there-is-none/lake: could not .* there is no such bucket"):
        project.refresh()


@pytest.mark.parametrize("url", ["s3://bucket/lake", "gs://", "gs://Bucket", "gs://bucket/a?b", "bucket"])
def test_a_place_that_is_none_is_refused(project: Project, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("EVERGREEN_LAKE_URL", url)
    with pytest.raises(EvergreenError, match="EVERGREEN_LAKE_URL is not a place such as gs://bucket/prefix"):
        project.refresh()


def test_without_an_account_it_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(LakeError, match="gcloud auth application-default login"):
        Objects("gs://bucket/lake").list()


def test_bytes_that_are_others_under_a_name_that_never_changes_are_refused(
    make_project: Make, tmp_path: Path, lake_bucket: Bucket
) -> None:
    one, other = (make_project(root=tmp_path / name) for name in ("one", "other"))
    for host, content in ((one, b"a"), (one, b"a"), (other, b"a")):
        write_atomic(host.lake / "raw" / "jobs" / "x.parquet", content)
    with pytest.raises(LakeError, match=r"x\.parquet is there with other content, which never changes"):
        write_atomic(other.lake / "raw" / "jobs" / "x.parquet", b"b")
    assert (other.lake / "raw" / "jobs" / "x.parquet").read_bytes() == b"a"


def test_a_record_that_another_run_wrote_since_it_was_read_is_not_overwritten_and_a_page_is(
    make_project: Make, tmp_path: Path, lake_bucket: Bucket
) -> None:
    one, other = (make_project(root=tmp_path / name) for name in ("one", "other"))
    for place in ("validation/jobs/x.json", "../../reports/small/w/monitor.html"):
        for host in (one, other):
            (host.lake / place).resolve().parent.mkdir(parents=True)
        write_atomic((one.lake / place).resolve(), "1")
    other.refresh()
    write_atomic(one.lake / "validation/jobs/x.json", "2")
    with pytest.raises(LakeError, match="written by another run meanwhile: run this again"):
        write_atomic(other.lake / "validation/jobs/x.json", "3")
    other.refresh()
    write_atomic(other.lake / "validation/jobs/x.json", "3")
    write_atomic(other.home.reports("small") / "w/monitor.html", "2")
    assert lake_bucket.read(f"{PREFIX}lake/small/validation/jobs/x.json") == b"3"
    assert lake_bucket.read(f"{PREFIX}reports/small/w/monitor.html") == b"2"
    assert store_of(one.lake).fetch(one.home.reports("small") / "w/monitor.html")
    assert (one.home.reports("small") / "w/monitor.html").read_text() == "2"


@pytest.mark.parametrize("table", ["jobs", "ledger", "reports"])
def test_a_record_may_be_replaced_and_go_whatever_its_table_is_called(
    project: Project, lake_bucket: Bucket, table: str
) -> None:
    record = project.lake / "validation" / table / "x.json"
    for text in ("1", "2"):
        write_atomic(record, text)
    remove(record)
    project.refresh()
    assert here(project) == in_bucket(lake_bucket) == {}


def test_an_evening_with_nothing_new_is_a_few_requests(project: Project, proxy: Proxy) -> None:
    folder = raw_folder(project.lake, "jobs")
    for seq in range(1, 101):
        commit(folder, seq, datetime(2013, 1, 1, tzinfo=UTC), [])
    (project.root / "drops" / "jobs-01.csv").unlink()
    proxy.lines.clear()
    ingest(project, "jobs", AS_OF)
    assert len(proxy.lines) == 1, proxy.lines


def test_a_copy_is_not_written_to_by_who_does_not_know_of_the_bucket(
    project: Project, lake_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(project, "jobs", AS_OF)
    monkeypatch.delenv("EVERGREEN_LAKE_URL")
    with pytest.raises(EvergreenError, match=rf"set EVERGREEN_LAKE_URL=gs://{lake_bucket.name}/team/loop"):
        Project.load(project.root)
    monkeypatch.setenv("EVERGREEN_LAKE_URL", f"gs://{lake_bucket.name}/{PREFIX}")
    require_store(project.home)


def test_a_manifest_that_is_gone_from_the_bucket_is_said_and_nothing_here_is_deleted(
    project: Project, lake_bucket: Bucket
) -> None:
    ingest(project, "jobs", AS_OF)
    before = here(project)
    lake_bucket.delete(f"{PREFIX}lake/small/raw/jobs/ledger/00000001.json")
    with pytest.raises(LakeError, match=r"has lost what was in it, such as .*00000001\.json.*evergreen lake copy"):
        project.refresh()
    assert here(project) == before
