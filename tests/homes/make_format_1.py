"""How format-1.tar.xz was made: a clone with the state folder that the code of commit fff74c5 wrote.

    git worktree add /tmp/old fff74c5
    PYTHONPATH=/tmp/old/include python tests/homes/make_format_1.py format-1.tar.xz

It ran once, with the code of that commit and the packages that it locked; run with later code it would make another
format. The small use case of tests/conftest.py, with a smaller model: 15 days of drops, a build, its promotion; a week,
scored and monitored; a second build. Without MLflow. Left out of the archive: Evidently's page, 5 MB of JavaScript,
which `monitor` draws again; the worktrees, which name their absolute place and are made again from tag and cache; DVC's
scratch.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
STAGES = """stages:
  features:
    cmd: evergreen features
    deps: [data, snapshot.json]
    params: [time_zone, tables, prediction, features]
    outs: [build/features.parquet]
  train:
    cmd: evergreen train
    deps: [build/features.parquet]
    params: [time_zone, preprocess, training, gate.window]
    outs:
      - build/model.pkl
      - build/twin.pkl
      - build/baseline.pkl
      - build/reference.parquet
      - build/sample.parquet
      - build/training.json
  evaluate:
    cmd: evergreen evaluate
    deps: [build/features.parquet, build/twin.pkl, build/baseline.pkl, build/reference.parquet, build/training.json]
    outs: [build/judged.parquet, build/plots]
    metrics: [build/metrics.json]
"""
IDENTITY = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Test"), ("EMAIL", "test@example.org"), ("DATE", "2024-01-01T00:00:00Z"))
}


def main() -> None:
    """Make the clone, run the loop in it, and pack it."""
    archive = Path(sys.argv[1]).resolve()
    os.environ |= IDENTITY | {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "clone"
        clone(root)
        loop(root)
        with tarfile.open(archive, "w:xz", preset=9) as packed:
            packed.add(root, "clone", filter=kept)
    print(f"{archive}: {archive.stat().st_size:,} bytes")


def clone(root: Path) -> None:
    """A git clone with the small use case and stages."""
    from tests.conftest import SMALL

    files = {
        "params.yaml": SMALL.lstrip().replace("max_iter: 20", "max_iter: 5"),
        "dvc.yaml": STAGES,
        ".gitignore": ".evergreen/\n/data\n/build\n/drops\n/.data.new\n/.data.old\n",
        ".dvcignore": "__pycache__\n.evergreen\n",
        ".dvc/config": "[core]\n    remote = storage\n['remote \"storage\"']\n    url = ../.evergreen/dvc/remote\n",
        ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
    }
    for place, content in files.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(content)
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "start"]):
        subprocess.run(["git", "-C", str(root), *command], check=True)


def loop(root: Path) -> None:
    """Two builds, and a week between them."""
    from evergreen.builds import build as builds
    from evergreen.project import Project
    from evergreen.stages.gate import gate
    from evergreen.stages.ingest import ingest
    from evergreen.stages.monitor import monitor
    from evergreen.stages.promote import promote
    from evergreen.stages.score import score
    from evergreen.stages.track import track
    from evergreen.stages.validate import validate
    from tests.data import day, write_drops

    project = Project.load(root)
    for number in (15, 22):
        write_drops(root / "drops", days=22, until=number)
        for table in project.params.tables:
            ingest(project, table, day(number))
            validate(project, table)
        if number == 22:
            score(project, day(22))
            monitor(project, day(22))
        build = builds.take_snapshot(project, day(number)).build
        for stage in ("features", "train", "evaluate"):
            builds.run_stage(project, build, stage)
        track(project, build)
        judged = gate(project, build, day(number), "a test")
        print(judged.verdict, judged.reason, promote(project, judged.decision).promoted)


def kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """What is packed, owned by nobody in particular."""
    parts = Path(member.name).parts[1:]
    inside = parts[:2]
    left_out = (
        (inside == (".evergreen", "builds") and len(parts) > 3 and not member.name.endswith(".json"))
        or (inside == (".evergreen", "dvc") and "site" in parts)
        or parts[:2] in ((".git", "worktrees"), (".git", "hooks"), (".dvc", "tmp"), (".evergreen", "locks"))
        or member.name.endswith("drift.html")
    )
    if left_out or (member.isdir() and parts[:2] == (".evergreen", "builds") and len(parts) == 4):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    main()
