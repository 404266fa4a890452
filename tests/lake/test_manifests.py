from __future__ import annotations

import threading
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evergreen.errors import LakeError
from evergreen.lake.manifests import (
    Conflict,
    DataFile,
    commit,
    mark_newest,
    read_manifests,
    read_position,
    read_positioned,
)
from evergreen.paths import Home

AS_OF = datetime(2013, 4, 1, 4, tzinfo=UTC)


def data_file(name: str) -> DataFile:
    return DataFile(path=f"raw/jobs/{name}.parquet", sha256="0" * 64, rows=3, bytes=10, origin=name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A table's raw folder."""
    return Home(tmp_path / "home").lake("small") / "raw" / "jobs"


def test_nothing_committed_reads_as_nothing(folder: Path) -> None:
    assert read_manifests(folder) == []


def test_manifests_come_back_in_order_as_they_were_committed(folder: Path) -> None:
    made = [commit(folder, seq, AS_OF, [data_file(f"f{seq}")], {"at": seq}) for seq in range(1, 12)]
    assert read_manifests(folder) == made
    assert [manifest.position for manifest in read_positioned(folder)] == [{"at": seq} for seq in range(1, 12)]
    assert read_position(folder, 7) == {"at": 7}
    assert [manifest.seq for manifest in made] == list(range(1, 12))
    assert made[0].as_of == AS_OF


def test_a_number_is_taken_once(folder: Path) -> None:
    first = commit(folder, 1, AS_OF, [data_file("first")])
    with pytest.raises(Conflict, match="manifest 1 was committed by another run"):
        commit(folder, 1, AS_OF, [data_file("second")])
    assert read_manifests(folder) == [first]


def test_of_many_writers_at_once_exactly_one_wins(folder: Path) -> None:
    start = threading.Barrier(8)
    outcomes: list[str] = []

    def write(name: str) -> None:
        start.wait()
        try:
            commit(folder, 1, AS_OF, [data_file(name)])
            outcomes.append(name)
        except Conflict:
            outcomes.append("")

    threads = [threading.Thread(target=write, args=(f"w{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = filter(None, outcomes)
    assert len(outcomes) == 8
    assert [file.origin for manifest in read_manifests(folder) for file in manifest.files] == [winner]


def test_a_lost_last_manifest_is_named_and_refused(folder: Path) -> None:
    for seq in (1, 2):
        commit(folder, seq, AS_OF, [data_file(f"f{seq}")])
    last = folder / "ledger" / "00000002.json"
    last.unlink()
    with pytest.raises(LakeError, match=rf"{last} is missing.*restore it from a backup"):
        read_manifests(folder)
    (folder / "ledger" / "00000001.json").unlink()
    with pytest.raises(LakeError, match=r"00000001\.json is missing"):
        read_manifests(folder)


def test_a_mark_that_a_kill_kept_from_being_written_is_no_loss(folder: Path) -> None:
    made = [commit(folder, seq, AS_OF, [data_file(f"f{seq}")]) for seq in (1, 2)]
    mark_newest(folder, 1)
    assert read_manifests(folder) == made
    (folder / ".newest.json").unlink()
    assert read_manifests(folder) == made, "a home of older code has none"
    mark_newest(folder, 2)
    (folder / "ledger" / "00000002.json").unlink()
    with pytest.raises(LakeError, match="is missing"):
        read_manifests(folder)


def test_what_a_killed_commit_left_is_not_read(folder: Path) -> None:
    made = commit(folder, 1, AS_OF, [data_file("a")])
    (folder / "ledger" / ".manifest.half").write_text('{"seq": 2, "as')
    assert read_manifests(folder) == [made]
    assert commit(folder, 2, AS_OF, []).seq == 2


def test_positions_are_not_in_memory_where_nobody_asks_for_them(folder: Path) -> None:
    for seq in range(1, 21):
        commit(folder, seq, AS_OF, [data_file(f"f{seq}")], {"recent": [f"{n:064x}" for n in range(2000)]})
    tracemalloc.start()
    manifests = read_manifests(folder)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(manifests) == 20
    assert peak < 1 << 20  # with the positions 5 MB
