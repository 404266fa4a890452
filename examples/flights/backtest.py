"""`make backtest`: does retraining pay on the flights? 2013, trained on January to March, replayed from April on.

Puts the shipped flights into a lake of their own (.evergreen/year; it may be deleted), takes the snapshot of the whole
year, and runs `evergreen backtest` on it by the section `backtest` of params.yaml. Killed and started again, it goes on
with the fits that it had.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from datetime import date
from pathlib import Path

from evergreen.backtest.commands import asked, run_and_tell
from evergreen.errors import EvergreenError
from evergreen.project import Project
from evergreen.stages.ingest import ingest
from evergreen.stages.snapshot import snapshot
from evergreen.stages.validate import validate
from feed import drops_folder, feed, with_drops
from shipped import local_midnight

ROOT = Path(__file__).parents[2]
CLOSE = date(2014, 1, 6)  # a Monday on which every label of the year is known


def main() -> None:
    """Feed the year, then replay it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--policy", action="append", help="in place of backtest.policies; give it again for another")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    given = parser.parse_args()
    project = Project.load(ROOT)
    whole = whole_year(project)
    run_and_tell(asked(whole, {"policies": given.policy}), local_midnight(CLOSE), committed=True, as_json=given.json)


def whole_year(project: Project) -> Project:
    """The project with the snapshot of the whole year in place of its own; the pages stay in its home."""
    year = project.home.root / "year"
    year.mkdir(parents=True, exist_ok=True)
    fed = with_drops(Project.load(ROOT, home=year / ".evergreen"))
    fed = dataclasses.replace(fed, root=year)
    until = local_midnight(CLOSE)
    print("the lake of the whole year", file=sys.stderr, flush=True)
    feed(drops_folder(fed), until)
    for table in fed.params.tables:
        ingest(fed, table, until)
        validate(fed, table, again=True)
    snapshot(fed, until)
    return dataclasses.replace(project, root=year)


if __name__ == "__main__":
    try:
        main()
    except EvergreenError as error:
        sys.exit(f"backtest: {error}")
