"""What a clean-up looks at: the loop's moment, what is kept for how long, and which builds nothing needs any more."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from evergreen import clock
from evergreen.builds.checkout import made_ready
from evergreen.builds.git import git
from evergreen.builds.records import Clone, Record, record_place
from evergreen.disk import is_full
from evergreen.errors import BuildError, EvergreenError
from evergreen.files import read_json
from evergreen.ledger import Decision, Ledger, Promotion
from evergreen.params.retention import Retention
from evergreen.paths import Home
from evergreen.project import Project
from evergreen.stages.retrain import last_judged

# A file that nothing names may have been written a moment ago, by a run that is about to name it.
QUIET = timedelta(hours=1)
MEND = "remove it if that build is of no use any more, and clean up again"


@dataclass(frozen=True)
class Scene:
    """One clean-up of a use case, and of what it shares with the others of its home."""

    project: Project
    clone: Clone
    retention: Retention
    now: datetime  # by the loop's clock
    started: float  # by the wall's; what is newer stays
    replaying: bool
    dry: bool = True  # nothing is freed: what depends on what was freed before counts that as gone

    @classmethod
    def of(cls, project: Project, retention: Retention) -> Scene:
        """The use case as it is now."""
        home = project.home
        return cls(
            project=project,
            clone=Clone.of(project),
            retention=retention,
            now=clock.now(home),
            started=time.time(),
            replaying=clock.replay_time(home) is not None,
        )

    # Asked when they are needed: on a full disk the ledger cannot be opened until what needs none of them is freed.

    @cached_property
    def ledger(self) -> Ledger:
        """Decisions, promotions and requests."""
        return Ledger.open(self.home)

    @cached_property
    def mlflow_away(self) -> bool:
        """Whether MLflow holds versions and cannot be asked; no build expires then: the challenger is not known."""
        from evergreen.gc.mlflow import is_away

        return is_away(tracked=any(one.version is not None for one in self.ledger.promotions(self.name)))

    @cached_property
    def challenger(self) -> str | None:
        """The build that MLflow calls so."""
        from evergreen.gc.mlflow import challenger

        return None if self.mlflow_away else challenger(self.name)

    @property
    def home(self) -> Home:
        """The state folder."""
        return self.project.home

    @property
    def name(self) -> str:
        """The use case."""
        return self.project.name

    def older(self, moment: datetime, span: timedelta) -> bool:
        """Whether `moment` lies more than `span` before the loop's now."""
        return moment < clock.back(self.now, span, self.project.params.zone)

    def untouched(self, path: Path, span: timedelta = QUIET) -> bool:
        """Whether a file or folder was last changed more than `span` ago (wall clock); False where it is gone."""
        try:
            return path.lstat().st_mtime < self.started - span.total_seconds()
        except FileNotFoundError:
            return False

    # Builds

    def tagged(self) -> dict[str, str]:
        """The finished builds: id to commit."""
        prefix = f"refs/tags/build/{self.name}/"
        lines = git(self.clone.repository, "for-each-ref", "--format=%(refname) %(objectname)", prefix).splitlines()
        return {ref.removeprefix(prefix): sha for ref, sha in (line.split() for line in lines)}

    def records(self) -> dict[str, Record]:
        """The records of the builds that were opened here."""
        folder = self.home.builds(self.name)
        return {path.stem: read_json(Record, path, MEND, BuildError) for path in sorted(folder.glob("*.json"))}

    def expired(self) -> dict[str, str]:
        """The builds that nothing needs any more, with why: judged and not taken, or never finished, and old.

        Kept are those that were ever champion, the one that was judged last (`begin` compares with it), the challenger
        and the newest (a run may be on its way to the gate), what an open request is about, and whatever was made or
        made again in the last days. None where it cannot be known which build is the challenger.
        """
        if self.mlflow_away:
            return {}
        tagged, kept, champion = self.tagged(), self._needed(), self.ledger.champion(self.name)
        found: dict[str, str] = {}
        judged = self._judged()
        for build, decisions in judged.items():
            old = all(self.older(one.as_of, self.retention.candidates) for one in decisions)
            if old and not any(_may_be_promoted(one, champion) for one in decisions):
                found[build] = decisions[0].verdict
        for build, record in self.records().items():  # tagged or not: what was never judged did not end
            if build not in judged and self.older(record.as_of, self.retention.candidates):
                found[build] = "unfinished"
        newest = max(tagged, default=None)
        return {
            build: why
            for build, why in found.items()
            if build not in kept and build != newest and not self._made_lately(build, build in judged)
        }

    def stale_worktrees(self) -> list[str]:
        """The builds whose worktree is older than the retention says, those that expired left out."""
        folder, records = self.home.builds(self.name), self.records()
        expired, judged = self._known()
        there = sorted(path.name for path in folder.glob("*") if path.is_dir() and not path.name.startswith("."))
        return [
            build
            for build in there
            if build not in expired
            and not self._made_lately(build, build in judged)
            and self.older(_opened(build, records.get(build), folder / build), self.retention.worktrees)
        ]

    def _known(self) -> tuple[Collection[str], Collection[str]]:
        """The builds that expired, and those that were judged.

        On a disk so full that the ledger cannot be opened, none was judged, and whatever is not tagged is spared as if
        it had expired: a worktree of a tagged build may go whatever was decided.
        """
        try:
            return self.expired(), self._judged()
        except EvergreenError:
            if not is_full(self.home.root):
                raise
            return self.records().keys() - self.tagged().keys(), ()

    def _judged(self) -> dict[str, list[Decision]]:
        """Build to its decisions, newest first."""
        found: dict[str, list[Decision]] = {}
        for decision in self.ledger.decisions(self.name):
            if decision.build:
                found.setdefault(decision.build, []).append(decision)
        return found

    def _needed(self) -> set[str | None]:
        last = last_judged(self.ledger, self.name)
        return {
            self.challenger,
            last.build if last else None,
            *(promotion.build for promotion in self.ledger.promotions(self.name)),
            *(request.build for request in self.ledger.open_requests(self.name)),
        }

    def _made_lately(self, build: str, judged: bool) -> bool:
        """Whether a run of these days is at it; a backfill's `as_of` is old from the start.

        A replay makes months in an hour: there, only what no gate has come to may be under way between two tasks.
        """
        span = QUIET if self.replaying else self.retention.worktrees
        places = (record_place(self.clone, build), made_ready(self.clone.worktree(build)))
        return not (self.replaying and judged) and any(
            place is not None and place.exists() and not self.untouched(place, span) for place in places
        )


def _may_be_promoted(decision: Decision, champion: Promotion | None) -> bool:
    """Whether `promote` could still carry it out: it says so, and the champion it compared with still is."""
    against = decision.inputs.get("champion")
    return decision.verdict == "promote" and (against and against["build"]) == (champion and champion.build)


def _opened(build: str, record: Record | None, worktree: Path) -> datetime:
    """The moment that a build stands at."""
    if record is not None:
        return record.as_of
    try:
        return clock.parse_time(build.partition("-")[0])
    except EvergreenError:
        return datetime.fromtimestamp(worktree.stat().st_mtime, UTC)
