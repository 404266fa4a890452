from __future__ import annotations

import pytest

from evergreen.lake.manifests import DataFile
from evergreen.quality import plan
from evergreen.quality.plan import Plan, Target


def made(*rows: int, contract: str = "c") -> Plan:
    files = [
        DataFile(path=f"raw/jobs/{place}.parquet", sha256="", rows=count, bytes=0) for place, count in enumerate(rows)
    ]
    return Plan(targets=tuple(Target(file=file, contract=contract, before=None) for file in files))


def test_chunks_hold_whole_files_in_order_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "CHUNK_ROWS", 10)
    chunks = [[target.file.rows for target in chunk] for chunk in made(4, 6, 1, 25, 0, 10, 1).chunks()]
    assert chunks == [[4, 6], [1], [25], [0, 10], [1]]
    assert list(made().chunks()) == []


def test_a_run_is_named_by_its_files_and_their_contract() -> None:
    assert made(1, 2).id == made(1, 2).id
    assert len({made(1).id, made(1, 2).id, made(1, contract="d").id}) == 3
