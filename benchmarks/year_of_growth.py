"""What a year of the loop takes of a disk, by kind and month: bikeshare's 2011, replayed with nightly retrains.

    .venv/bin/python benchmarks/year_of_growth.py FOLDER [--months 12] [--ingest-every 7]

In FOLDER: a clone of this repository's HEAD, its home, and a real MLflow server on a free port. Each week: a drop of
what became known, ingest, validate, score, monitor, `evergreen gc`. Each night: begin, and where there is anything to
learn, a build with its DVC stages, track, gate, promote. Each month a row of the table: the space by kind, what the
clean-ups freed so far (without them it would still be there), and the size of the data. Run again with the same FOLDER,
it goes on where it was ended.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd

from evergreen import clock
from evergreen.errors import EvergreenError
from evergreen.files import write_atomic
from evergreen.gc.run import free
from evergreen.gc.space import read_space
from evergreen.ledger import Ledger
from evergreen.local import mlflow
from evergreen.local.ports import Ports
from evergreen.project import Project

ROOT = Path(__file__).parents[1]
ZONE = ZoneInfo("America/New_York")
FIRST_RETRAIN = date(2011, 3, 1)  # 500 labels before a gate window of 28 days; each night before would say too few
SOURCE = "../../.venv/lib/python3*/site-packages/ISLP/data/Bikeshare.csv"
DROPS = "../../.evergreen/drops/bikeshare/hours-*.csv"
SHOWN = {  # column: kinds
    "data": ("raw", "clean", "validation", "predictions"), "builds": ("builds", "DVC scratch"), "models": ("models",),
    "evidence": ("evidence",), "reports": ("reports",), "cache": ("DVC cache",), "remote": ("DVC remote",),
    "mlflow": ("MLflow",),
}  # fmt: skip


@dataclass
class State:
    """How far a replay is; kept in FOLDER after each night."""

    night: int = 0  # of the year, from 0
    builds: int = 0
    freed: int = 0
    seconds: float = 0.0


class Year:
    """The loop of one year, night by night."""

    def __init__(self, project: Project, folder: Path, every: int) -> None:
        self.project, self.every, self.place = project, every, folder / "state.json"
        self.state = State(**json.loads(self.place.read_text())) if self.place.exists() else State()
        hours = pd.read_csv(next(ROOT.glob(SOURCE.removeprefix("../../"))))
        local = pd.Timestamp("2011-01-01") + pd.to_timedelta((hours["day"] - 1) * 24 + hours["hr"], "h")
        self.hours = hours.assign(starts=local)

    def run(self, months: int) -> None:
        """Night by night, from where it was; a row at the end of each month."""
        print(
            " ".join(f"{head:>9}" for head in ("month", "builds", "promoted", "hours", *SHOWN, "all", "+freed", "min"))
        )
        first = date(2011, 1, 1)
        while (first + timedelta(days=self.state.night)) <= date(2011, 12, 31):
            today = first + timedelta(days=self.state.night)
            tomorrow = today + timedelta(days=1)
            began = time.monotonic()
            self.day(tomorrow)
            self.state.night += 1
            self.state.seconds += time.monotonic() - began
            write_atomic(self.place, json.dumps(vars(self.state)))
            if tomorrow.month != today.month:
                self.row(today.month)
                if today.month == months:
                    return

    def day(self, night: date) -> None:
        """What happens in the night to `night`."""
        as_of = clock.midnight(night, ZONE)
        clock.set_replay(self.project.home, as_of)
        if self.state.night % self.every == self.every - 1:
            self.bring(night, as_of)
        if self.state.night % 7 == 6:
            self.watch(as_of)
        if night >= FIRST_RETRAIN:
            with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):  # what DVC says of each stage
                self.retrain(as_of)
        if self.state.night % 7 == 6:
            self.clean()

    def bring(self, night: date, as_of: datetime) -> None:
        """Drop the hours since the last drop, ingest and validate them."""
        from evergreen.stages.ingest import ingest
        from evergreen.stages.validate import validate

        end = pd.Timestamp(night)
        new = self.hours[(self.hours["starts"] < end) & (self.hours["starts"] >= end - timedelta(days=self.every))]
        drop = self.project.home.root / "drops" / "bikeshare" / f"hours-{night:%m%d}.csv"
        write_atomic(drop, new.drop(columns="starts").to_csv(index=False))
        ingest(self.project, "hours", as_of)
        validate(self.project, "hours")

    def watch(self, as_of: datetime) -> None:
        """Score and monitor."""
        from evergreen.stages.monitor import monitor
        from evergreen.stages.score import score

        score(self.project, as_of)
        monitor(self.project, as_of)

    def retrain(self, as_of: datetime) -> None:
        """A retrain run, as its DAG makes one."""
        from evergreen.builds import build as builds
        from evergreen.stages.gate import gate
        from evergreen.stages.promote import promote
        from evergreen.stages.retrain import begin
        from evergreen.stages.track import track

        if not begin(self.project, as_of).run:
            return
        build = builds.take_snapshot(self.project, as_of).build
        try:
            for stage in ("features", "train", "evaluate"):
                builds.run_stage(self.project, build, stage)
        except EvergreenError as error:
            print(f"{as_of:%Y-%m-%d}: {error}", file=sys.stderr)
            return
        track(self.project, build)
        judged = gate(self.project, build, as_of, "a benchmark")
        promote(self.project, judged.decision)
        self.state.builds += 1

    def clean(self) -> None:
        """`evergreen gc --yes`."""
        for one in free(self.project, self.project.params.retention):
            self.state.freed += one.size
            if one.problem or one.left:
                print(f"{one.kind}: {one.left} left, {one.problem}", file=sys.stderr)

    def row(self, month: int) -> None:
        """One line of the table, in MB."""
        space = {one.kind: one.total / 1e6 for one in read_space(self.project.home, self.project.name)}
        total = sum(space.values())
        promoted = len(Ledger.open(self.project.home).promotions(self.project.name))
        known = len(self.hours[self.hours["starts"] < pd.Timestamp(2011, month, 1) + pd.offsets.MonthBegin(1)])
        cells: list[object] = [f"2011-{month:02d}", self.state.builds, promoted, known]
        cells += [f"{sum(space[kind] for kind in kinds):.1f}" for kinds in SHOWN.values()]
        cells += [f"{total:.1f}", f"{total + self.state.freed / 1e6:.1f}", f"{self.state.seconds / 60:.0f}"]
        print(" ".join(f"{cell!s:>9}" for cell in cells), flush=True)


def clone(folder: Path) -> Path:
    """HEAD of this repository with the drops as bikeshare's source; found again, it is left as it is."""
    root = folder / "clone"
    project = root / "examples" / "bikeshare"
    if (root / "ready").exists():
        return project
    subprocess.run(["git", "clone", "--quiet", "--no-tags", str(ROOT), str(root)], check=True)
    params = project / "params.yaml"
    text = params.read_text()
    assert SOURCE in text
    params.write_text(text.replace(SOURCE, DROPS))
    who = ["-c", "user.name=Benchmark", "-c", "user.email=benchmark@localhost"]
    subprocess.run(["git", "-C", str(root), *who, "commit", "-qam", "A drop a week"], check=True)
    (root / "ready").touch()
    return project


@contextmanager
def tracked(project: Project, port: int) -> Iterator[None]:
    """The home's own MLflow server, as the local stack starts it."""
    from evergreen.registry.server import why_unreachable

    ports = Ports(port - 1)
    mlflow.prepare(project.home)
    os.environ |= mlflow.settings(ports)
    log = project.home.logs / "mlflow.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        server = subprocess.Popen(
            mlflow.program(project.home, ports).command, stdout=stream, stderr=stream, start_new_session=True
        )
    try:
        while why_unreachable(ports.mlflow_url):
            if server.poll() is not None:
                raise SystemExit(f"MLflow did not start: see {log}")
            time.sleep(0.5)
        yield
    finally:
        os.killpg(server.pid, 15)
        server.wait()


def main() -> None:
    """Replay the year, or some months of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--months", type=int, default=12)
    parser.add_argument("--ingest-every", type=int, default=7, help="days; 1: new labels, and so a build, each night")
    parser.add_argument("--port", type=int, default=8471, help="of MLflow")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    os.environ["OMP_NUM_THREADS"] = "1"
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    project = Project.load(clone(folder))
    with tracked(project, given.port):
        Year(project, folder, given.ingest_every).run(given.months)


if __name__ == "__main__":
    main()
