"""`make reproduce`: the committed build, made again from the shipped data, compared byte for byte.

Feeds the shipped flights into a lake of its own, takes the snapshot at the committed cut-off, runs `dvc repro` and
compares with what is committed: snapshot.json, data.dvc and the feature table must be identical on any machine; models
and metrics on the same kind of processor. Where numpy or BLAS picks other kernels than those recorded, the metrics must
agree to 1e-6. The working tree is left as it was. `--record` records this machine's instead.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from evergreen import clock
from evergreen.errors import EvergreenError
from evergreen.project import Project
from evergreen.stages.ingest import ingest
from evergreen.stages.snapshot import snapshot
from evergreen.stages.validate import validate
from feed import drops_folder, feed, with_drops

ROOT = Path(__file__).parents[2]
RECORDED = Path(__file__).parent / "recorded.json"
COMMITTED = ("snapshot.json", "data.dvc", "dvc.lock")
FEATURES = "build/features.parquet"
TOLERANCE = 1e-6


def main() -> None:
    """Exit 1 where something differs that must not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="record what this machine makes as what is right")
    parser.add_argument("--as-of", default=None, help="cut-off; default: the committed one")
    given = parser.parse_args()
    expected = {name: _read(name) for name in COMMITTED}
    moment = clock.parse_time(given.as_of or json.loads(expected["snapshot.json"])["cutoff"])
    project = with_drops(Project.load(ROOT, home=ROOT / ".evergreen" / "reproduce"))
    try:
        _make(project, moment)
        if given.record:
            RECORDED.write_text(json.dumps(_made(project), indent=1) + "\n")
            print(f"recorded {', '.join(COMMITTED)} and {RECORDED.name}: commit them")
            return
        print(_compare(project, expected))
    finally:
        shutil.rmtree(project.home.root, ignore_errors=True)
        if not given.record:
            for name, text in expected.items():
                (ROOT / name).write_text(text)


def _make(project: Project, moment: Any) -> None:
    print(f"making the lake of the shipped data as of {clock.format_time(moment)}", flush=True)
    feed(drops_folder(project), moment)
    for table in project.params.tables:
        ingest(project, table, moment)
        validate(project, table)
    snapshot(project, moment)
    _dvc("add", "--quiet", "data")
    _dvc("repro", "--force")


def _compare(project: Project, expected: dict[str, str]) -> str:
    """The sentence that says what was found; raises EvergreenError where it is not as it must be."""
    for name in ("snapshot.json", "data.dvc"):
        if _read(name) != expected[name]:
            raise EvergreenError(f"{name} differs from the committed one: the same rows must give the same bytes")
    was, now = _outputs(expected["dvc.lock"]), _outputs(_read("dvc.lock"))
    if was[FEATURES] != now[FEATURES]:
        raise EvergreenError(f"{FEATURES} differs from the committed build's, and must be identical on any machine")
    if _read("dvc.lock") == expected["dvc.lock"]:
        return "byte-identical: snapshot, features, models and metrics are those of the committed build"
    recorded, made = json.loads(RECORDED.read_text()), _made(project)
    differing = ", ".join(sorted(path for path in was if was[path] != now.get(path)))
    if recorded["environment"] == made["environment"]:
        raise EvergreenError(f"on the same kind of processor as recorded, these differ: {differing or 'dvc.lock'}")
    worst = max(abs(recorded["metrics"][name] - value) for name, value in made["metrics"].items())
    if worst > TOLERANCE:
        raise EvergreenError(f"a metric is {worst:.2e} off the recorded one, on another kind of processor: {differing}")
    return f"other kernels than recorded: snapshot and features are byte-identical, metrics agree to {worst:.1e}"


def _made(project: Project) -> dict[str, Any]:
    metrics = json.loads((project.build / "metrics.json").read_text())
    return {
        "environment": json.loads((project.build / "training.json").read_text())["environment"],
        "metrics": {name: value for name, value in metrics.items() if isinstance(value, float)},
    }


def _outputs(lock: str) -> dict[str, str]:
    stages = YAML(typ="safe").load(lock)["stages"].values()
    return {out["path"]: out["md5"] for stage in stages for out in stage["outs"]}


def _read(name: str) -> str:
    path = ROOT / name
    return path.read_text() if path.exists() else ""


def _dvc(*arguments: str) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=ROOT, env=environment, check=True)


if __name__ == "__main__":
    try:
        main()
    except EvergreenError as error:
        sys.exit(f"reproduce: {error}")
