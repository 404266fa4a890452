"""A random search on the flights as known on the first of July 2013: what it takes, and what it gains.

    .venv/bin/python -m benchmarks.search [--trials 20] [--workers 1 2] [--to table.md]

In a clone of HEAD: the shipped rows by way of drops, their snapshot and features; then the same search
with one process and with several, each in a home of its own, and their search.json compared. At the end the twins of
both options, as configured and as chosen, on the gate window (June), which the search has not seen.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from evergreen.clock import parse_time
from evergreen.project import Project
from evergreen.search.plan import plan_search
from evergreen.stages.features import features
from evergreen.stages.ingest import ingest
from evergreen.stages.snapshot import snapshot
from evergreen.stages.validate import validate
from evergreen.training.chosen import SearchRecord
from evergreen.training.fitting import Job, run
from evergreen.training.frame import META, read_frame
from evergreen.training.metrics import binary_metrics
from evergreen.training.pipeline import Recipe
from evergreen.training.splits import split

ROOT = Path(__file__).parents[1]
AS_OF = "2013-07-01T04:00:00Z"
SPACE = (
    "{max_iter: {int: [50, 300], step: 50}, learning_rate: {float: [0.02, 0.3], log: true}, "
    "max_leaf_nodes: [15, 31, 63], min_samples_leaf: {int: [10, 200], log: true}}"
)


def prepare(root: Path, trials: int) -> Project:
    """A clone with something to search and its feature table."""
    sys.path.insert(0, str(ROOT / "examples" / "flights"))
    from feed import drops_folder, feed, with_drops

    subprocess.run(["git", "clone", "--quiet", "--no-tags", str(ROOT), str(root)], check=True)
    params = root / "params.yaml"
    text = params.read_text()
    assert "search: {space: {}}" in text
    params.write_text(text.replace("search: {space: {}}", f"search: {{trials: {trials}, space: {SPACE}}}"))
    project, moment = with_drops(Project.load(root)), parse_time(AS_OF)
    feed(drops_folder(project), moment)
    for table in project.params.tables:
        ingest(project, table, moment)
        validate(project, table)
    snapshot(project, moment)
    features(project)
    return Project.load(root)


def timed(project: Project, workers: int) -> tuple[float, bytes]:
    """Seconds of a whole search with so many processes, and the search.json that it wrote."""
    text = (project.root / "params.yaml").read_text()
    (project.root / "params.yaml").write_text(text.replace("search: {", f"search: {{parallel: {workers}, "))
    env = os.environ | {"EVERGREEN_HOME": str(project.home.root / f"workers-{workers}"), "OMP_NUM_THREADS": "1"}
    began = time.monotonic()
    subprocess.run(
        [str(Path(sys.executable).parent / "evergreen"), "search"],
        cwd=project.root, env=env, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    seconds = time.monotonic() - began
    (project.root / "params.yaml").write_text(text)
    return seconds, project.search.read_bytes()


def judged(project: Project, record: SearchRecord) -> dict[str, dict[str, float]]:
    """The twin's metrics on the gate window, as configured and as chosen."""
    path = project.build / "features.parquet"
    meta = read_frame(path, META)
    parts = split(meta, project.params)
    options = {"as configured": {}, "as chosen": record.chosen}
    jobs = [
        Job(name, Recipe.candidate(project.params, chosen), parts.twin, parts.window, keep=False)
        for name, chosen in options.items()
    ]
    y = meta["_label"].to_numpy()[parts.window]
    return {fitted.name: binary_metrics(y, fitted.p, 0.5) for fitted in run(path, jobs, processes=1)}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--to", type=Path, default=None)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-search-") as scratch:
        project = prepare(Path(scratch) / "clone", given.trials)
        plan = plan_search(project)
        rows = [(len(fold.train), len(fold.validate)) for fold in plan.cut.folds]
        print(f"folds (rows to learn from, rows that judge): {rows}; load {os.getloadavg()[0]:.1f}", flush=True)
        lines = ["| processes | seconds | load before |", "| --: | --: | --: |"]
        found = set()
        for workers in given.workers:
            load = os.getloadavg()[0]
            seconds, content = timed(project, workers)
            found.add(content)
            lines.append(f"| {workers} | {seconds:.0f} | {load:.1f} |")
            print(lines[-1], flush=True)
        record = SearchRecord.read(project.search)
        lines += ["", f"search.json: {'the same bytes' if len(found) == 1 else 'DIFFERENT'}", ""]
        lines += ["| | mean log-loss of the folds | log-loss of June | AUC of June |", "| --- | --: | --: | --: |"]
        folds = {"as configured": record.trials[0].score, "as chosen": record.trials[record.best or 0].score}
        for name, metrics in judged(project, record).items():
            lines.append(f"| {name} | {folds[name]:.4f} | {metrics['log_loss']:.4f} | {metrics['roc_auc']:.4f} |")
        lines += ["", f"chosen, trial {record.best}: {record.chosen}"]
    print("\n".join(lines))
    if given.to:
        given.to.write_text("\n".join(lines) + "\n")
    if len(found) != 1:
        raise SystemExit("the searches do not agree")


if __name__ == "__main__":
    main()
