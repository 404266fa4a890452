"""Hosts that share nothing but a bucket: each finds what the other wrote, and a kill loses and doubles nothing."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from threading import Barrier, Thread

import pytest

from evergreen.files import remove, write_atomic
from evergreen.lake.manifests import Conflict, DataFile, commit, read_manifests
from evergreen.lake.raw import find_orphans, raw_folder
from evergreen.project import Project
from evergreen.stages.ingest import ingest
from evergreen.stages.snapshot import snapshot
from evergreen.stages.validate import validate
from tests.buckets import Bucket
from tests.store.hosts import AS_OF, Make, drop, here, in_bucket, in_the_middle, killed, passings, work
from tests.stores import PREFIX


@pytest.fixture
def hosts(make_project: Make, tmp_path: Path, lake_bucket: Bucket) -> tuple[Project, Project]:
    first, second = make_project(root=tmp_path / "first"), make_project(root=tmp_path / "second")
    for host in (first, second):
        drop(host, 1)
        drop(host, 2)
    return first, second


@pytest.fixture
def alone(make_project: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The same, done on one disk."""
    project = make_project(root=tmp_path / "alone")
    drop(project, 1)
    drop(project, 2)
    with monkeypatch.context() as there:
        there.delenv("EVERGREEN_LAKE_URL", raising=False)
        work(project)
    return project


def test_a_task_finds_what_the_other_hosts_task_wrote_and_the_bytes_are_those_of_a_disk(
    hosts: tuple[Project, Project], alone: Project, lake_bucket: Bucket
) -> None:
    first, second = hosts
    ingest(first, "jobs", AS_OF)
    assert validate(second, "jobs").files == 2
    assert ingest(second, "outcomes", AS_OF).files == 2
    assert validate(first, "outcomes").files == 2
    assert snapshot(first, AS_OF) == snapshot(second, AS_OF)
    assert first.snapshot.read_bytes() == second.snapshot.read_bytes() == alone.snapshot.read_bytes()
    assert ingest(second, "jobs", AS_OF).files == 0
    assert here(first) == here(second) == here(alone) == in_bucket(lake_bucket)


@pytest.mark.parametrize("lost", ["lake", "lake/small/clean", "mirror", ""])
def test_a_copy_that_was_lost_is_made_anew(hosts: tuple[Project, Project], lake_bucket: Bucket, lost: str) -> None:
    first, second = hosts
    work(first)
    shutil.rmtree(first.home.root / lost)
    first.refresh()
    second.refresh()
    assert here(first) == here(second) == in_bucket(lake_bucket)


def test_a_file_that_was_altered_here_is_brought_again(hosts: tuple[Project, Project], lake_bucket: Bucket) -> None:
    first, _ = hosts
    work(first)
    for path in [*first.lake.glob("clean/jobs/*"), *first.lake.glob("raw/jobs/ledger/*")]:
        path.write_bytes(b"?")
    snapshot(first, AS_OF)
    assert here(first) == in_bucket(lake_bucket)


def test_a_record_that_is_deleted_while_it_is_brought_goes_the_next_time(
    hosts: tuple[Project, Project], lake_bucket: Bucket
) -> None:
    first, second = hosts
    record = first.lake / "validation" / "jobs" / "x.json"
    write_atomic(record, "1")
    second.refresh()
    write_atomic(record, "22")
    with in_the_middle("mirror.read", lambda: remove(record)):
        second.refresh()
    second.refresh()
    assert here(second) == in_bucket(lake_bucket) == {}


def test_of_many_hosts_one_commits_a_manifest_and_the_others_find_it(
    make_project: Make, tmp_path: Path, lake_bucket: Bucket
) -> None:
    hosts = [make_project(root=tmp_path / f"host-{number}") for number in range(4)]
    start, outcomes = Barrier(len(hosts)), list[str]()

    def write(host: Project) -> None:
        file = DataFile(path=f"raw/jobs/{host.root.name}.parquet", sha256="0" * 64, rows=1, bytes=1)
        start.wait()
        try:
            commit(raw_folder(host.lake, "jobs"), 1, AS_OF, [file])
            outcomes.append(host.root.name)
        except Conflict:
            outcomes.append("")

    threads = [Thread(target=write, args=(host,)) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = filter(None, outcomes)
    assert len(outcomes) == len(hosts)
    for host in hosts:
        host.refresh()
        (manifest,) = read_manifests(raw_folder(host.lake, "jobs"))
        assert [file.path for file in manifest.files] == [f"raw/jobs/{winner}.parquet"]


def test_who_was_slower_without_a_lock_in_common_loses_nothing(
    hosts: tuple[Project, Project], lake_bucket: Bucket
) -> None:
    first, second = hosts
    drop(second, 3)
    ran: list[int] = []
    with (
        in_the_middle("ingest.before_commit", lambda: ran.append(ingest(first, "jobs", AS_OF).rows)),
        pytest.raises(Conflict, match="manifest 1 was committed by another run meanwhile"),
    ):
        ingest(second, "jobs", AS_OF)
    assert ran == [22]
    assert ingest(second, "jobs", AS_OF).rows == 11
    first.refresh()
    (one, two) = read_manifests(raw_folder(first.lake, "jobs"))
    assert [len(one.files), len(two.files)] == [2, 1]
    assert find_orphans(first.lake, "jobs", [one, two]) == []
    assert here(first) == here(second) == in_bucket(lake_bucket)


def test_killed_anywhere_between_bucket_and_disk_either_host_goes_on(
    make_project: Make, tmp_path: Path, gcs_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_url)

    def pair(name: str) -> tuple[Bucket, Project, Project]:
        bucket = Bucket(gcs_url, f"kills-{name}")
        monkeypatch.setenv("EVERGREEN_LAKE_URL", f"gs://{bucket.name}/{PREFIX}")
        hosts = make_project(root=tmp_path / name / "first"), make_project(root=tmp_path / name / "second")
        for host in hosts:
            drop(host, 1)
        return bucket, *hosts

    def run(host: Project) -> None:
        ingest(host, "jobs", AS_OF)
        validate(host, "jobs")

    _, whole, _ = pair("none")
    places = [place for place in passings(lambda: run(whole)) if place.startswith(("bucket.", "manifest."))]
    assert {place.partition(":")[0] for place in places} == {
        "bucket.put", "bucket.created", "bucket.deleted", "manifest.written", "manifest.committed",
    }  # fmt: skip
    for number, place in enumerate(places):
        bucket, first, second = pair(str(number))
        assert killed(place, partial(run, first)), place
        one, other = (first, second) if number % 2 else (second, first)
        run(one)
        run(other)
        assert here(second) == in_bucket(bucket) == here(whole), place
        assert here(first) == here(whole) | {name: data for name, data in here(first).items() if "/." in name}, place


@pytest.mark.parametrize("at", ["mirror.read:3", "mirror.brought:1", "mirror.brought:6"])
def test_killed_while_it_is_brought_a_copy_is_whole_the_next_time(
    hosts: tuple[Project, Project], lake_bucket: Bucket, at: str
) -> None:
    first, second = hosts
    work(first)
    assert killed(at, second.refresh)
    assert snapshot(second, AS_OF) == snapshot(first, AS_OF)
    assert here(second) == in_bucket(lake_bucket)
