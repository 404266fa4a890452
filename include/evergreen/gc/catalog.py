"""Every kind of thing that can go, in the order in which it goes: what depends on another comes after it."""

from __future__ import annotations

from evergreen.gc.builds import Candidates, Registrations, Worktrees
from evergreen.gc.dvc import Cache, Remote, RunCache
from evergreen.gc.kinds import Kind
from evergreen.gc.lake import CleanOrphans, PredictionOrphans, RawOrphans
from evergreen.gc.leftovers import DvcScratch, Evidence, Temporaries
from evergreen.gc.logs import AirflowRuns, Logs
from evergreen.gc.mlflow import MlflowRuns
from evergreen.gc.reports import MonitorReports, ValidationReports

KINDS: tuple[Kind, ...] = (
    Temporaries(),  # these three first: they need no ledger, which cannot be opened on a full disk
    DvcScratch(),
    Logs(),
    MlflowRuns(),  # before the builds: an unfinished one is found by its record
    Candidates(),
    Worktrees(),
    Registrations(),
    RawOrphans(),
    CleanOrphans(),
    PredictionOrphans(),
    Evidence(),
    MonitorReports(),
    ValidationReports(),
    Cache(),
    RunCache(),
    Remote(),
    AirflowRuns(),
)
