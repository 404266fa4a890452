from __future__ import annotations

import gc
import gzip
import inspect
import io
import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from evergreen.errors import SourceError
from evergreen.project import Project
from evergreen.sources import gcs_stream
from evergreen.sources.base import Request
from evergreen.sources.catalog import open_source
from evergreen.sources.gcs import translate
from evergreen.stages.ingest import DeliveriesRefused, ingest
from tests.buckets import Bucket, Proxy, gcs_server
from tests.servers import free_port
from tests.sources.reading import Reader, raw_ids
from tests.web import Asked, Reply, Site, as_json

# Google's client leaves an answer such as 503 open when it asks again; the collector closes it.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
NOW = datetime(2013, 4, 1, tzinfo=UTC)
SCHEMA = pa.schema([("id", pa.int64()), ("due", pa.timestamp("us")), ("name", pa.string())])
ROW = {"id": 1, "due": datetime(2013, 1, 1, 5), "name": "ann"}
CSV = b"id,due,name\n1,2013-01-01T05:00:00Z,ann\n"


@pytest.fixture
def bucket(gcs_url: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A bucket of this test alone, which STORAGE_EMULATOR_HOST leads to."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_url)
    return Bucket(gcs_url, f"b{abs(hash(request.node.nodeid))}")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gcs_stream, "FIRST_WAIT", 0.02)


@pytest.fixture
def proxy(gcs_url: str, monkeypatch: pytest.MonkeyPatch, bucket: Bucket) -> Iterator[Proxy]:
    """The way to the server, which fails as the test wants."""
    proxy = Proxy(int(gcs_url.rpartition(":")[2]))
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
    yield proxy
    proxy.close()
    gc.collect()  # the responses that Google's client did not close, while their warning is ignored


def reader(bucket: Bucket, path: str = "*", **options: Any) -> Reader:
    return Reader(SCHEMA, kind="gcs", bucket=bucket.name, path=path, **options)


def csv_of(first: int, count: int) -> bytes:
    lines = (f"{n},2013-01-01T05:00:00Z,ann\n" for n in range(first, first + count))
    return b"id,due,name\n" + "".join(lines).encode()


def ids(rows: list[dict[str, Any]]) -> list[int]:
    return [row["id"] for row in rows]


JSON = b'{"id": 1, "due": "2013-01-01T05:00:00Z", "name": "ann", "more": [1]}\n'


def parquet_of(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


ONE = pa.table(
    {
        "more": [1.5],
        "name": pa.array(["ann"]).dictionary_encode(),
        "id": pa.array([1], pa.int32()),
        "due": pa.array([datetime(2013, 1, 1, 5, tzinfo=UTC)], pa.timestamp("ns", "UTC")),
    }
)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", CSV),
        ("x.csv.gz", gzip.compress(CSV, mtime=0)),
        ("x.csv.zst", pa.Codec("zstd").compress(CSV, asbytes=True)),
        ("x.jsonl", JSON),
        ("x.ndjson.gz", gzip.compress(JSON + b"\n", mtime=0)),
        ("x.jsonl", JSON[:-1]),
        ("x.jsonl", b"\xef\xbb\xbf" + JSON),
        ("x.parquet", parquet_of(ONE)),
    ],
)
def test_objects_of_every_format_are_read(bucket: Bucket, name: str, content: bytes) -> None:
    bucket.put(name, content)
    wanted = reader(bucket)
    assert wanted.read() == [ROW]
    assert wanted.receipts[0].bytes == len(content)
    assert set(wanted.sample(5).column_names) >= {"id", "due", "name"}


def test_dates_of_a_csv_may_be_written_otherwise(bucket: Bucket) -> None:
    bucket.put("x.csv", CSV.replace(b"2013-01-01T05:00:00Z", b"01.01.2013 05:00"))
    wanted = reader(bucket, date_formats={"due": "%d.%m.%Y %H:%M"})
    assert wanted.read() == [ROW]
    assert wanted.sample(5)["due"].to_pylist() == [ROW["due"]]


def test_what_is_stored_as_gzip_is_checked_as_it_is_stored(bucket: Bucket) -> None:
    bucket.put("x.csv", gzip.compress(CSV, mtime=0), encoding="gzip")
    assert reader(bucket).read() == [ROW]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.csv", CSV + b"x,,\n", "/x.csv: row 3 .*column `id`: `x` is not of the declared type int64"),
        ("x.csv", b"", "/x.csv: is empty"),
        ("x.csv.gz", gzip.compress(CSV * 9, mtime=0)[:-9], "/x.csv.gz: cannot be read"),
        ("x.txt", CSV, "/x.txt: `.txt` does not say what is in it; set `format`"),
        ("x.jsonl", JSON * 3 + b'{"id": 1', "/x.jsonl: line 4: sent a text that is not JSON"),
        ("x.jsonl", JSON * 3 + b'{"id": 1.5}\n', "/x.jsonl: from line 1 on, record 4, column `id`: `1.5`"),
        ("x.jsonl", b'{"id": [1\n2]}\n', "/x.jsonl: line 1: .*not JSON"),
        ("x.jsonl", b'{"id": 1}, {"more": [1\n2]}\n', "/x.jsonl: line 1: .*not JSON"),
        ("x.jsonl", JSON + b'{"id": 1}, {"more": [{}\n{}]}\n', "/x.jsonl: line 2: .*not JSON"),
        ("x.jsonl", b'{"id": 1}\n', "none of 1 records has the declared columns `due`, `name`"),
        ("x.parquet", parquet_of(ONE)[:-9], "/x.parquet: has no footer: it was cut off"),
        (
            "x.parquet",
            parquet_of(ONE.drop_columns("due")),
            "/x.parquet: .*column `due`: expected timestamp, the file lacks it",
        ),
        ("x.parquet", parquet_of(ONE.set_column(2, "id", [["1"]])), "column `id`: expected int64, the file has string"),
        ("x.parquet", parquet_of(ONE.set_column(2, "id", [[1.5]])), "row 1 .*column `id`: `1.5` cannot be int64"),
    ],
)
def test_a_bad_object_is_refused_with_its_place_and_reason(
    bucket: Bucket, name: str, content: bytes, reason: str
) -> None:
    bucket.put(name, content)
    with pytest.raises(SourceError, match=f"gs://{bucket.name}.*{reason}"):
        reader(bucket).read()


@pytest.mark.parametrize(
    ("glob", "fits", "does_not"),
    [
        ("a/*.csv", ["a/x.csv", "a/.csv"], ["a/b/x.csv", "b/a/x.csv", "a/xcsv"]),
        ("a/**/*.csv", ["a/x.csv", "a/b/c/x.csv"], ["b/x.csv"]),
        ("a/**", ["a/x", "a/b/c"], ["b"]),
        ("x[12]?.csv", ["x1a.csv"], ["x3a.csv", "x1/.csv"]),
        ("[!0]*.csv", ["1.csv", "^.csv"], ["0.csv", "/.csv"]),
        ("[^0].csv", ["0.csv", "^.csv"], ["1.csv"]),
        ("[]a].csv", ["].csv", "a.csv"], ["b.csv"]),
        (r"[\d&&a-c].csv", ["d.csv", "&.csv", "b.csv"], ["1.csv"]),
        ("[.csv", ["[.csv"], ["x.csv"]),
        ("plain+name.csv", ["plain+name.csv"], ["plainname.csv"]),
    ],
)
def test_globs_are_those_of_files(glob: str, fits: list[str], does_not: list[str]) -> None:
    assert [name for name in fits + does_not if translate(glob).fullmatch(name)] == fits


def test_known_objects_are_not_read_again_and_replaced_ones_are(
    bucket: Bucket, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = reader(bucket)
    bucket.put("a.csv", csv_of(0, 5))
    assert ids(wanted.read()) == [0, 1, 2, 3, 4]
    bucket.put("copy.csv", csv_of(0, 5))
    bucket.put("a.csv", csv_of(0, 5))  # another generation of the same content
    proxy.lines.clear()
    assert wanted.read() == []
    assert not [line for line in proxy.lines if "alt=media" in line]
    assert re.search(r"1 passed over, .*/copy\.csv \(came as gs://.*/a\.csv\)", caplog.text)
    caplog.clear()
    bucket.put("a.csv", csv_of(0, 6))
    bucket.put("b.csv", csv_of(0, 6))
    assert len(wanted.read()) == 6
    assert re.search(r"2 passed over, .*/b\.csv \(came as gs://.*/a\.csv\)", caplog.text)
    bucket.put("a.csv", csv_of(0, 5))  # a correction taken back
    assert len(wanted.read()) == 5
    assert wanted.read() == []


@pytest.mark.parametrize("change", ["replaced", "deleted"])
def test_an_object_that_changes_after_it_was_listed_is_refused_and_read_next_time(
    bucket: Bucket, make_project: Callable[..., Project], change: str
) -> None:
    project = bucket_project(make_project, bucket)
    for n in range(3):
        bucket.put(f"{n}.csv", csv_of(n, 1))
    request = Request(project.root, "jobs", SCHEMA, NOW)
    deliveries = open_source("jobs", project.params.tables["jobs"].source).deliveries(request)
    first = next(deliveries)  # the listing is done
    bucket.put("1.csv", csv_of(10, 1)) if change == "replaced" else bucket.delete("1.csv")
    assert sum(batch.num_rows for batch in first.batches()) == 1
    with pytest.raises(
        SourceError, match=r"/1.csv: cannot be read: generation \d+ was replaced or deleted after it was"
    ):
        list(next(deliveries).batches())
    assert sum(batch.num_rows for batch in next(deliveries).batches()) == 1
    ingest(project, "jobs", NOW)
    assert sorted(raw_ids(project)) == ([0, 2, 10] if change == "replaced" else [0, 2])


def test_a_long_prefix_is_listed_in_pages_and_known_without_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "seed" / "lots"
    for name in [*(f"many/{n:05d}.csv" for n in range(NAMES)), "other/x.csv"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    port = free_port()
    with gcs_server(tmp_path, port, seed=tmp_path / "seed"):
        proxy = Proxy(port)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        list_many(proxy)
        proxy.close()


def list_many(proxy: Proxy) -> None:
    source = open_source("jobs", {"kind": "gcs", "bucket": "lots", "path": "many/*.csv"})
    request = Request(Path("."), "jobs", SCHEMA, NOW)
    new = list(source.deliveries(request))
    assert [one.origin for one in new] == [f"gs://lots/many/{n:05d}.csv" for n in range(NAMES)]
    pages = len(proxy.lines)
    assert pages == -(-NAMES // 1000)
    known = {one.origin: one.sha256 for one in new}  # type: ignore[attr-defined]
    contents = {sha256: origin for origin, sha256 in known.items()}
    request = Request(Path("."), "jobs", SCHEMA, NOW, {}, known, contents)
    assert list(source.deliveries(request)) == []
    assert len(proxy.lines) == 2 * pages


NAMES = int(os.environ.get("GCS_NAMES", "1500"))  # 20000 take the server half a minute to load


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.parquet", "x.jsonl"])
def test_a_cut_stream_goes_on_where_it_stopped(bucket: Bucket, proxy: Proxy, name: str) -> None:
    count = 60_000
    bucket.put(name, content_of(name, count))
    seen: list[int] = []

    def fault(line: str) -> str:
        if "alt=media" not in line:
            return ""
        seen.append(1)
        return {1: "503", 2: "cut:100000", 3: "cut:0", 4: "503", 5: "cut:80000"}.get(len(seen), "")

    proxy.fault = fault
    assert ids(reader(bucket).read()) == list(range(count))
    assert len(seen) > 5
    assert [line for line in proxy.lines if "alt=media" in line][-1].lower().count("range: bytes=") == 1


def test_an_object_that_takes_longer_than_give_up_after_goes_on_after_a_cut(bucket: Bucket, proxy: Proxy) -> None:
    count = 1_500_000
    bucket.put("x.csv", csv_of(0, count))
    cuts: list[float] = []
    begin = time.monotonic()

    def fault(line: str) -> str:
        if "alt=media" in line:
            cuts.append(time.monotonic() - begin)
            return "cut:33000000" if len(cuts) == 1 else ""
        return ""

    proxy.fault = fault
    source = open_source("jobs", {"kind": "gcs", "bucket": bucket.name, "path": "*", "give_up_after": "1 second"})
    rows = 0
    for delivery in source.deliveries(Request(Path("."), "jobs", SCHEMA, NOW)):
        for batch in delivery.batches():
            rows += batch.num_rows
            time.sleep(0.1)  # whoever takes the rows needs longer than `give_up_after`
        delivery.receipt()
    assert rows == count
    assert cuts[1] - cuts[0] > 1


def content_of(name: str, count: int) -> bytes:
    if "csv" in name:
        return gzip.compress(csv_of(0, count), 0) if name.endswith("gz") else csv_of(0, count)
    if "parquet" in name:
        rows = pa.table({"id": range(count), "due": [ROW["due"]] * count, "name": ["ann"] * count})
        return parquet_of(rows)
    return b"".join(JSON.replace(b": 1,", b": %d," % n, 1) for n in range(count))


def test_a_server_that_stays_away_is_given_up_and_nothing_is_taken(
    bucket: Bucket, proxy: Proxy, make_project: Callable[..., Project]
) -> None:
    bucket.put("x.csv", csv_of(0, 200_000))
    project = bucket_project(make_project, bucket, give_up_after="1 second")
    proxy.fault = lambda line: "503"
    with pytest.raises(SourceError, match=r"gs://.* cannot be listed: Google says 503 \(tried until `give_up_after`\)"):
        ingest(project, "jobs", NOW)
    taken: list[int] = []

    def one_cut(line: str) -> str:
        if "alt=media" in line:
            taken.append(1)
            return "cut:300000" if len(taken) == 1 else "503"
        return ""

    proxy.fault = one_cut
    with pytest.raises(DeliveriesRefused, match=r"x.csv: cannot be read: Google says 503 \(tried until"):
        ingest(project, "jobs", NOW)
    assert raw_ids(project) == []
    proxy.fault = lambda line: ""
    assert ingest(project, "jobs", NOW).rows == 200_000


def test_bytes_that_are_not_those_listed_are_refused(bucket: Bucket) -> None:
    """A server that forgets to pin the generation and sends other bytes, as the proxy makes of it."""
    bucket.put("x.csv", csv_of(0, 10))
    source = open_source("jobs", {"kind": "gcs", "bucket": bucket.name, "path": "*"})
    (delivery,) = source.deliveries(Request(Path("."), "jobs", SCHEMA, NOW))
    object.__setattr__(delivery.wanted, "crc32c", "AAAAAA==")  # type: ignore[attr-defined]
    with pytest.raises(
        SourceError, match=r"x.csv: cannot be read: what came is not what was listed: \d+ bytes with CRC32C"
    ):
        list(delivery.batches())


def test_the_library_still_reads_in_pieces_of_the_size_that_is_set() -> None:
    from google.cloud.storage._media.requests import _request_helpers, download

    assert isinstance(_request_helpers._SINGLE_GET_CHUNK_SIZE, int)
    assert "_request_helpers._SINGLE_GET_CHUNK_SIZE" in inspect.getsource(download.RawDownload._write_to_stream)


def test_no_such_bucket_host_and_credentials_are_named(
    gcs_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    options: dict[str, Any] = {"kind": "gcs", "bucket": "none", "path": "*", "give_up_after": "1 second"}
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_url)
    with pytest.raises(SourceError, match=r"gs://none/.*: cannot be listed: there is no such bucket"):
        Reader(SCHEMA, **options).read()
    for url, reason in (
        ("http://no-such-host.invalid", "(resolve|Resol|known)"),
        (f"http://127.0.0.1:{free_port()}", "refused"),
    ):
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        with pytest.raises(SourceError, match=f"gs://none/.*: cannot be listed: .*{reason}"):
            Reader(SCHEMA, **options).read()
    for extra in (
        {"keyfile_dict": '{"private_key": "s3cret"}'},
        {"keyfile_dict": {"type": "service_account", "private_key": "s3cret", "client_email": "a", "token_uri": "b"}},
        {"extra__google_cloud_platform__keyfile_dict": "s3cret"},
        {"key_path": "/no/such/s3cret.json"},
    ):
        tree = {"conn_type": "google_cloud_platform", "extra": json.dumps(extra)}
        monkeypatch.setenv("AIRFLOW_CONN_STORE", json.dumps(tree))
        with pytest.raises(SourceError, match="the key of the connection `store` cannot be used") as caught:
            Reader(SCHEMA, **options, connection="store").read()
        assert "s3cret" not in f"{caught.value} {caught.value.__cause__} {caplog.text}"


def test_a_service_account_is_who_it_is_and_leaves_no_secret_anywhere(
    bucket: Bucket, proxy: Proxy, site: Site, make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    asked = []

    def token(request: Asked) -> Reply:
        asked.append(request)
        return as_json({"access_token": "marker-token", "expires_in": 3600, "token_type": "Bearer"})

    site.routes["/token"] = token
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    key = {
        "type": "service_account", "client_email": "reader@example.com", "private_key_id": "1", "private_key": pem,
        "token_uri": f"{site.url}/token",
    }  # fmt: skip
    extra = {"keyfile_dict": json.dumps(key), "endpoint": proxy.url}
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    monkeypatch.setenv("AIRFLOW_CONN_STORE", json.dumps({"conn_type": "google_cloud_platform", "extra": extra}))
    bucket.put("x.csv", csv_of(0, 10))
    project = bucket_project(make_project, bucket, connection="store", give_up_after="1 second")
    result = ingest(project, "jobs", NOW)
    assert result.rows == 10
    assert len(asked) == 1
    bucket.put("y.csv", csv_of(0, 11))
    proxy.fault = lambda line: "503"
    with pytest.raises(SourceError) as caught:
        ingest(project, "jobs", NOW)
    kept = "".join(path.read_bytes().decode("latin-1") for path in project.home.root.rglob("*") if path.is_file())
    shown = f"{caught.value} {caught.value.__context__} {caplog.text} {result} {kept} {capfd.readouterr()}"
    assert "marker-token" not in shown
    assert pem.splitlines()[1] not in shown


LEFT = """
import sys
from evergreen.errors import SourceError
from tests.sources.reading import Reader, raw_ids
from tests.web import Asked, Reply, Site, as_json
from tests.sources.test_gcs import SCHEMA
from evergreen.sources.catalog import open_source

wanted = Reader(SCHEMA, kind="gcs", bucket=sys.argv[1], path="*")
kept = []
for delivery in open_source("jobs", wanted.options).deliveries(wanted.request()):
    batches = delivery.batches()
    try:
        next(batches)
        if sys.argv[2] == "refused":
            list(batches)
    except SourceError as error:
        print(error)
    kept.append(batches)
    if sys.argv[2] != "kept":
        batches.close()
"""


@pytest.mark.parametrize("how", ["refused", "left", "kept"])
def test_a_process_ends_well_after_it_left_objects_in_the_middle(bucket: Bucket, how: str) -> None:
    """Arrow reads ahead in threads, which must not need the interpreter when it ends: see test_files.py."""
    for number in range(3):
        for name in ("x.csv", "x.csv.gz", "x.parquet"):
            content = content_of(name, 200_000 + number)
            if how == "refused" and name != "x.parquet":
                content = csv_of(0, 150_000 + number) + b"x,,\n" + csv_of(0, 150_000).partition(b"\n")[2]
                content = gzip.compress(content, 1) if name.endswith("gz") else content
            bucket.put(f"{number}-{name}", content)
    run = subprocess.run(
        [sys.executable, "-c", LEFT, bucket.name, how], capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    refused = run.stdout.splitlines()
    assert len(refused) == (6 if how == "refused" else 0)
    assert all(f"row {150_002 + int(line.split('/')[3][0])} (the header is row 1)" in line for line in refused)


def bucket_project(make_project: Callable[..., Project], bucket: Bucket, **options: str) -> Project:
    source = json.dumps({"kind": "gcs", "bucket": bucket.name, "path": "*", **options})
    return make_project(f"""
name: small
tables:
  jobs:
    source: {source}
    key: [id]
    known_at: due
    columns: {{id: {{type: int64}}, due: {{type: timestamp}}, name: {{type: string}}}}
prediction: {{rows: jobs, at: due, label: {{value: id > 10, known_at: due}}}}
features: {{row: {{id: id}}}}
training: {{estimator: hist_gradient_boosting}}
""")
