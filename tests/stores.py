"""Where a lake may be: in the home, or in a bucket of a real server. What asks for `each_store` runs on both."""

from __future__ import annotations

import itertools

import pytest

from tests.buckets import Bucket

PREFIX = "team/loop/"
_numbers = itertools.count()


@pytest.fixture
def lake_bucket(gcs_url: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A new bucket, in which the lakes of this test's homes are from now on, below PREFIX."""
    bucket = Bucket(gcs_url, f"lake-{next(_numbers)}")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_url)
    monkeypatch.setenv("EVERGREEN_LAKE_URL", f"gs://{bucket.name}/{PREFIX}")
    return bucket


@pytest.fixture(params=["disk", "bucket"])
def each_store(request: pytest.FixtureRequest) -> None:
    """The test runs with the lake in the home, and again with it in a bucket."""
    if request.param == "bucket":
        request.getfixturevalue("lake_bucket")
