"""The benchmarks run, on a few rows; what they measure there means nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def printed(name: str, *arguments: str, seconds: float = 300) -> str:
    """What a benchmark prints, run as its users do."""
    run = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize("path", ["csv", "postgres", "kafka", "gcs"])
def test_bench_ingest_checks_what_each_path_wrote_and_prints_its_line(path: str, tmp_path: Path) -> None:
    few = ["--rows", "3000", "--kafka-rows", "3000", "--runs", "1", "--to", str(tmp_path / "table.md")]
    shown = printed("ingest", "--paths", path, *few)
    assert f"{path}, 1 of 1: limit" in shown
    table = (tmp_path / "table.md").read_text()
    assert f"| {path} | 3,000 |" in table
    assert table in shown
    assert ("updated: 30 rows" in table) is (path == "postgres")


def test_bench_evaluate_prints_its_seconds() -> None:
    few = ["--rows", "1000", "--days", "7", "--runs", "1"]
    shown = printed("evaluate", *few)
    assert "1 of 1: 1,000 rows, 7 days, 1000 resamples: " in shown


def test_bench_gate_prints_times_chance_and_the_right_verdicts() -> None:
    few = ["--rows", "2000", "--looks", "20", "--quarters", "2"]
    shown = printed("gate", *few, seconds=600)
    for part in ("2,000 rows of 28 days, 1,000 resamples", "| verdict | ", "| 0.98 | 0 | nightly, every: 7 days | "):
        assert part in shown
    said = dict(line.strip("|").split("|", 1) for line in shown.split("planted candidate")[1].splitlines()[2:])
    verdicts = {name.strip(): tuple(text.strip() for text in rest.split("|")) for name, rest in said.items()}
    assert {name for name, (verdict, _) in verdicts.items() if verdict == "promote"} == {"honest and better"}
    assert verdicts["better as a whole, ruinous for one segment"] == ("reject", "segments")
    assert verdicts["has learned from the gate window"] == ("inconclusive", "learned")
