"""What the ingest DAG does with a file that cannot be read, and with one that breaks its contract."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from evergreen.clock import format_time
from evergreen.features.engine import connect
from evergreen.lake.known import known_rows, refused_files
from evergreen.project import Project
from tests.conftest import ROOT, SMALL
from tests.data import day, write_drops
from tests.pipeline.conftest import Loop

DAYS = 2
EVERGREEN = str(Path(sys.executable).parent / "evergreen")


@pytest.fixture
def refusing(loop: Loop, tmp_path: Path) -> Loop:
    """A project of its own in the Airflow of the loop, with two days of drops."""
    root = tmp_path / "refusing"
    root.mkdir()
    (root / "params.yaml").write_text(SMALL.replace("name: small", "name: refusing"))
    write_drops(root / "drops", days=DAYS, until=DAYS)
    env = {**loop.env, "EVERGREEN_PROJECTS": str(root), "EVERGREEN_HOME": str(root / ".evergreen")}
    return dataclasses.replace(loop, root=root, env=env)


def run_ingest(refusing: Loop) -> dict[str, Any]:
    conf = json.dumps({"as_of": format_time(day(DAYS))})
    done = refusing.run(sys.executable, "-m", "tests.pipeline.run_dag", "refusing_ingest", conf, cwd=ROOT)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def test_good_files_beside_bad_ones_are_validated_and_published_and_the_run_is_red(
    refusing: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    drops = refusing.root / "drops"
    (drops / "jobs-unreadable.csv").write_text("id,due,team,size\n1,yesterday,red,1\n")
    (drops / "outcomes-wrong.csv").write_text("id,due,team,late\n" + ",,red,1\n" * 3)
    run = run_ingest(refusing)
    assert run["state"] == "failed"
    assert run["tasks"] == {
        "table.ingest[0]": "failed", "table.validate[0]": "success",
        "table.ingest[1]": "success", "table.validate[1]": "failed",
        "publish[-1]": "success", "all_tables_checked[-1]": "upstream_failed",
    }  # fmt: skip
    published = run["xcoms"]["publish[-1]"]["return_value"]
    assert published.keys() == {"jobs", "outcomes"}
    link = run["xcoms"]["table.validate[1]"]["link_validation_result"]
    assert link.startswith("/evergreen/refusing_ingest/pages/lake/refusing/validation/outcomes/reports/")

    monkeypatch.setenv("EVERGREEN_HOME", refusing.env["EVERGREEN_HOME"])
    project = Project.load(refusing.root)
    assert [line.split(" broke")[0] for line in refused_files(project, project.params.tables)] == [
        "outcomes: drops/outcomes-wrong.csv"
    ]
    known = known_rows(connect(), project, day(DAYS + 3), refuse=False)
    counted = {name: table.count().execute() for name, table in known.items()}
    assert counted == published

    refusing.run(EVERGREEN, "validate", "outcomes", "--discard", "drops/outcomes-wrong.csv", cwd=refusing.root)
    again = run_ingest(refusing)
    assert again["state"] == "failed"  # of the unreadable file alone
    assert {task for task, state in again["tasks"].items() if state == "failed"} == {"table.ingest[0]"}
    assert again["tasks"]["all_tables_checked[-1]"] == "upstream_failed"
    (drops / "jobs-unreadable.csv").unlink()
    assert run_ingest(refusing)["state"] == "success"
