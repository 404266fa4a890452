"""What every source of files does, whatever their format: waits for who writes, and refuses what it cannot read."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evergreen.errors import SourceError
from evergreen.sources.base import Delivery
from evergreen.sources.catalog import open_source
from tests.sources.drops import SCHEMA, deliveries, request_for, settled

Write = Callable[[str, int], Path]


def csv_bytes(rows: int) -> bytes:
    return b"id,at,name,x\n" + b"".join(b"%d,2013-01-01,ann,2.5\n" % n for n in range(rows))


def parquet_bytes(rows: int) -> bytes:
    table = pa.Table.from_pylist([{"id": n, "at": None, "name": "ann", "x": 2.5} for n in range(rows)], SCHEMA)
    pq.write_table(table, stream := io.BytesIO())
    return stream.getvalue()


CONTENT = {"csv": csv_bytes, "parquet": parquet_bytes}


@pytest.fixture(params=CONTENT)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def write(kind: str, tmp_path: Path) -> Write:
    """Write `drop-<name>` with so many rows."""

    def write(name: str, rows: int) -> Path:
        path = tmp_path / f"drop-{name}"
        path.write_bytes(CONTENT[kind](rows))
        return path

    return write


def cut(path: Path, much: int = 1) -> Path:
    """Without its end."""
    os.truncate(path, path.stat().st_size - much)
    return path


def taken(delivery: Delivery, batches: Iterator[pa.RecordBatch]) -> int:
    """The rows of a delivery that is read to its end."""
    rows = sum(batch.num_rows for batch in batches)
    assert delivery.receipt().bytes > 0
    return rows


def refused(delivery: Delivery) -> str:
    with pytest.raises(SourceError) as error:
        list(delivery.batches())
    return str(error.value)


def origins(root: Path, kind: str, **options: str) -> list[str]:
    return [delivery.origin for delivery in deliveries(root, kind, **options)]


def test_a_file_without_its_end_waits_while_it_is_young(
    kind: str, write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write("a", 3)
    young = cut(write("b", 2))
    assert origins(tmp_path, kind) == ["drop-a"]
    assert "drop-b: lacks its" in caplog.text
    assert "written less than 1 minute ago, most likely somebody is writing it: left for the next ingest" in caplog.text
    assert origins(tmp_path, kind, settle="0 seconds") == ["drop-a", "drop-b"]
    for age, wanted in ((59, ["drop-a"]), (-59, ["drop-a"]), (61, ["drop-a", "drop-b"]), (-600, ["drop-a", "drop-b"])):
        os.utime(young, (time.time() - age,) * 2)
        if abs(age) != 59 or time.time() - young.stat().st_mtime < 60:
            assert origins(tmp_path, kind) == wanted
    assert origins(tmp_path, kind, settle="2 hours") == ["drop-a"]


def test_an_empty_file_waits_too_and_is_refused_later(kind: str, tmp_path: Path) -> None:
    (tmp_path / "drop").touch()
    assert origins(tmp_path, kind) == []
    settled(tmp_path / "drop")
    (delivery,) = deliveries(tmp_path, kind)
    assert "drop: is empty" in refused(delivery)


def test_a_file_that_waited_is_taken_when_its_writer_is_through(kind: str, write: Write, tmp_path: Path) -> None:
    cut(write("a", 3))
    assert origins(tmp_path, kind) == []
    write("a", 3)
    (delivery,) = deliveries(tmp_path, kind)
    assert taken(delivery, delivery.batches()) == 3


@pytest.mark.parametrize("whole", [csv_bytes(3)[:-1], csv_bytes(3)])
@pytest.mark.parametrize("short", [0, 9])
def test_a_packed_file_is_whole_when_its_text_is(whole: bytes, short: int, tmp_path: Path) -> None:
    packed = gzip.compress(whole, mtime=0)
    (tmp_path / "drop.csv.gz").write_bytes(packed[: len(packed) - short])
    assert origins(tmp_path, "csv") == (["drop.csv.gz"] if whole.endswith(b"\n") and not short else [])


def test_a_file_that_grows_while_it_is_read_is_left_for_the_next_time(kind: str, write: Write, tmp_path: Path) -> None:
    write("a", 3)
    source = open_source("jobs", {"kind": kind, "path": "drop*"})
    for delivery in source.deliveries(request_for(tmp_path)):
        batches = delivery.batches()
        next(batches)
        with (tmp_path / "drop-a").open("ab") as stream:
            stream.write(b"4,,bob,1\n")
        with pytest.raises(SourceError, match="drop-a: changed while it was read; the next ingest tries it again"):
            taken(delivery, batches)


def test_a_file_that_is_rewritten_before_it_is_read_has_changed_whatever_is_wrong_with_it(
    kind: str, write: Write, tmp_path: Path
) -> None:
    for content in (b"", b"id,at\n1,\n", CONTENT[kind](2)[:-9], CONTENT[kind](200_000)[:-9]):
        write("a", 3)
        (delivery,) = deliveries(tmp_path, kind)
        (tmp_path / "drop-a").write_bytes(content)
        with pytest.raises(SourceError, match="changed while it was read"):
            taken(delivery, delivery.batches())


def test_a_file_of_a_size_that_no_content_had_is_read_once(kind: str, write: Write, tmp_path: Path) -> None:
    for name, rows in (("a", 3), ("b", 3), ("c", 40)):
        settled(write(name, rows))
    source, found = open_source("jobs", {"kind": kind, "path": "drop*"}), {}
    for delivery in source.deliveries(request_for(tmp_path)):
        assert delivery.sha256 == "", "it was not read before"
        taken(delivery, delivery.batches())
        found[delivery.origin] = delivery.receipt()
    assert list(found) == ["drop-a", "drop-c"], "a copy is known by its content, when it has the size of another"
    origins = {origin: receipt.sha256 for origin, receipt in found.items()}
    known = {"contents": {sha256: origin for origin, sha256 in origins.items()}, "origins": origins}
    for sizes in (frozenset(receipt.bytes for receipt in found.values()), None):
        assert list(source.deliveries(request_for(tmp_path, sizes=sizes, **known))) == []


def test_a_file_that_was_not_read_before_is_seen_to_change_all_the_same(
    kind: str, write: Write, tmp_path: Path
) -> None:
    path = settled(write("a", 3))
    (delivery,) = deliveries(tmp_path, kind)
    path.write_bytes(CONTENT[kind](3))  # the same, but somebody wrote
    with pytest.raises(SourceError, match="changed while it was read"):
        taken(delivery, delivery.batches())


def test_a_removed_file_has_a_reason(kind: str, write: Write, tmp_path: Path) -> None:
    path = write("a", 3)
    (delivery,) = deliveries(tmp_path, kind)
    path.unlink()
    assert refused(delivery) == "drop-a: cannot be read: No such file or directory"


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (make_pipe, "it is no file but a pipe or a device"),
        (make_loop, "Too many levels of symbolic links"),
        (lambda path: path.symlink_to("nowhere"), "No such file or directory, and it is a link"),
        (lambda path: path.symlink_to("/dev/zero"), "it is no file but a pipe or a device"),
        pytest.param(
            lambda path: path.symlink_to("/proc/self/mem"),
            "In",  # put error, or invalid argument
            marks=pytest.mark.skipif(sys.platform != "linux", reason="a file that fails while it is read"),
        ),
    ],
    ids=["pipe", "loop", "nowhere", "device", "memory"],
)
def test_what_cannot_be_read_is_refused_alone(
    make: Callable[[Path], None], reason: str, kind: str, write: Write, tmp_path: Path
) -> None:
    write("a", 3)
    make(tmp_path / "drop-b")
    write("c", 4)
    first, bad, last = deliveries(tmp_path, kind)
    assert refused(bad).startswith(f"drop-b: cannot be read: {reason}")
    assert [taken(good, good.batches()) for good in (first, last)] == [3, 4]


@contextmanager
def nobody(folder: Path) -> Iterator[None]:
    """Root may read everything, so be somebody else for a while; `folder` becomes theirs to look into."""
    folder.chmod(0o755)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_what_may_not_be_read_is_refused_alone(
    kind: str, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write("a", 3).chmod(0o644)
    write("b", 4).chmod(0)
    (tmp_path / "drop-c").mkdir()
    write("c/drop-d", 5)
    (tmp_path / "drop-c").chmod(0)
    try:
        with nobody(tmp_path):
            good, bad = deliveries(Path(), kind)
            assert refused(bad) == "drop-b: cannot be read: Permission denied"
            assert taken(good, good.batches()) == 3
            (closed,) = deliveries(Path(), kind, "drop-c/*")
            assert refused(closed) == "drop-c/: cannot be read: Permission denied"
            assert "drop-c/" in origins(Path(), kind, path="**/drop*")
    finally:
        (tmp_path / "drop-c").chmod(0o755)


def test_a_glob_may_cross_folders(kind: str, write: Write, tmp_path: Path) -> None:
    for name in ("x.csv", "x.csv/drop-2", ".drop-hidden"):
        (tmp_path / f"drop-{name}").parent.mkdir(exist_ok=True)
    (tmp_path / "drop-x.csv").mkdir(exist_ok=True)
    write("x.csv/drop-2", 3)
    write("1", 2)
    (tmp_path / ".drop-hidden").touch()
    assert origins(tmp_path, kind, path="**/drop-*") == ["drop-1", "drop-x.csv/drop-2"]


def test_a_folder_whose_files_the_glob_does_not_reach_is_told(
    kind: str, write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "drop-x").mkdir()
    write("x/drop-1", 3)
    write("y", 4)
    assert origins(tmp_path, kind) == ["drop-y"]
    assert "jobs: drop-x is a folder, and what is in it is not read" in caplog.text
    caplog.clear()
    assert origins(tmp_path, kind, path="drop-x/*") == ["drop-x/drop-1"]
    assert caplog.text == ""


def test_no_file_is_told(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert origins(tmp_path, kind) == []
    assert "jobs: no file matches drop* in" in caplog.text


BAD = """
import sys
from pathlib import Path
from evergreen.errors import SourceError
from tests.sources.drops import deliveries

for delivery in deliveries(Path(sys.argv[1]), sys.argv[2]):
    batches = delivery.batches()
    try:
        next(batches)
        if sys.argv[3] == "refused":
            list(batches)
    except SourceError as error:
        print(error)
    batches.close()
"""


@pytest.mark.parametrize("how", ["refused", "left"])
def test_a_process_ends_well_after_it_left_files_in_the_middle(
    how: str, kind: str, write: Write, tmp_path: Path
) -> None:
    """Arrow's threads read ahead: through a file of Python's, they made the end of the process a hang or an abort."""
    for number in range(8):
        path = write(str(number), 200_000 + number)
        if how == "refused":
            path.write_bytes(path.read_bytes().replace(b"ann", b"?\xff?", 1))
    run = subprocess.run(
        [sys.executable, "-c", BAD, str(tmp_path), kind, how], capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert len(run.stdout.splitlines()) == (8 if how == "refused" else 0)


LONG = """
import resource, sys
from contextlib import suppress
from tests.sources.drops import deliveries, request_for
from evergreen.errors import SourceError
from evergreen.sources.catalog import open_source
from pathlib import Path

for delivery in deliveries(Path(sys.argv[1])):
    try:
        list(delivery.batches())
    except SourceError as error:
        print(str(error)[:200])
with suppress(SourceError):
    open_source("jobs", {"kind": "csv", "path": "drop*"}).sample(request_for(Path(sys.argv[1])), 10)
if sys.platform == "linux":  # where getrusage counts what the parent had
    print(next(int(line.split()[1]) >> 10 for line in open("/proc/self/status") if line.startswith("VmHWM")))
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 20)
"""


@pytest.mark.parametrize(
    ("start", "fill", "reason"),
    [
        (b"", b"", "its first line holds NUL bytes"),
        (b"", b"x", "its header does not end within 1,048,576 bytes"),
        (csv_bytes(3) + b"4,,ann", b"x", "row 5 is millions of characters long"),
        (csv_bytes(3) + b'4,,"', b"x\n", "row 5 is millions of characters long"),
    ],
    ids=["zeros", "header", "value", "quoted"],
)
def test_a_line_of_a_gigabyte_costs_no_memory(start: bytes, fill: bytes, reason: str, tmp_path: Path) -> None:
    size = 1 << 30
    with (tmp_path / "drop").open("wb") as stream:
        stream.write(start)
        block = fill * ((1 << 23) // max(len(fill), 1))
        while block and stream.tell() < size:
            stream.write(block)
        stream.truncate(size)
    settled(tmp_path / "drop")
    try:
        run = subprocess.run(
            [sys.executable, "-c", LONG, str(tmp_path)], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )  # fmt: skip
    finally:
        (tmp_path / "drop").unlink()
    said, peak = run.stdout.splitlines()
    assert said.startswith(f"drop: {reason}")
    assert int(peak) < 300  # MB
