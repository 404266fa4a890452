"""track: a finished build becomes a commit, a bundle, a complete MLflow run and a registered version; each one once.

It works from the outputs of the DVC stages, so a build whose stages were cache hits is tracked like any other.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from evergreen.builds.commit import Commit, commit_build
from evergreen.builds.records import Build, Clone
from evergreen.builds.worktree import ensure_build, held
from evergreen.card.page import store_card
from evergreen.disk import full_disk_is_said
from evergreen.faults import point
from evergreen.locks import lock
from evergreen.paths import file_sha256
from evergreen.project import Project
from evergreen.registry import contents, trials
from evergreen.registry.bundle import store_bundle
from evergreen.registry.contents import Outcome
from evergreen.registry.models import find_version, log_models, register
from evergreen.registry.server import connected, tracking_uri
from evergreen.registry.tracking import find_run, open_run, url_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

COMPLETE = "evergreen.complete"  # a run's tag, set last: the hash of the dvc.lock that it shows


class TrackResult(BaseModel):
    """Where the build is; run and version are None where MLFLOW_TRACKING_URI is not set."""

    model_config = ConfigDict(frozen=True)

    build: str
    commit: str
    tag: str
    bundle: str
    run_id: str | None = None
    run_url: str | None = None
    version: int | None = None
    card: str | None = None  # relative to the home; None for a build of before there were evaluations


@full_disk_is_said()
def track(project: Project, build: str) -> TrackResult:
    """Commit, tag and push the build, store its bundle, complete its MLflow run and register its model.

    `project` is the use case in the main checkout or in any worktree. Whatever was done before is found, not done
    again, so this may be run at any time and by several at once. Raises BuildError where the build's stages are not
    up to date, and RegistryError, within seconds, where MLflow is away; a retry completes it.
    """
    commit = commit_build(ensure_build(project, build))
    point("track.committed")
    with held(Clone.of(project), build) as here:  # its worktree is read; `evergreen gc` leaves it alone
        return _record(project, build, here, commit)


def _record(project: Project, build: str, here: Build, commit: Commit) -> TrackResult:
    """Store the bundle of a committed build, complete its MLflow run and register its model."""
    outcome = Outcome(here.project, store_bundle(here.project, build), commit)
    point("track.stored")
    card = store_card(outcome)
    result = TrackResult(
        build=build,
        commit=commit.sha,
        tag=commit.tag,
        bundle=outcome.bundle.sha256,
        card=card and str(card.relative_to(project.home.root)),
    )
    if tracking_uri() is None:
        return result
    then = (
        f"run the task again, or `evergreen track {build}`: the build is committed and stored, only MLflow is missing"
    )
    # One writer at a time: of three that race for a run, each would make one.
    with connected(then) as client, lock(project.home, f"{project.name}/track"):
        run = find_run(client, here.project.name, build)
        found = find_version(client, here.project.name, build)
        if run is not None and found is not None and _is_complete(run, outcome):
            version = int(found.version)
        else:
            run = client.get_run(open_run(client, here.project.home, here.project.name, build))
            version = _complete(client, run, outcome, card)
    url = url_of(run.info.experiment_id, run.info.run_id)
    return result.model_copy(update={"run_id": run.info.run_id, "run_url": url, "version": version})


def _is_complete(run: Run, outcome: Outcome) -> bool:
    return bool(run.info.status == "FINISHED") and run.data.tags.get(COMPLETE) == outcome.lock_sha256


def _complete_trials(outcome: Outcome) -> None:
    """The runs of the build's own search; one that was taken over is in the run of the build that made it."""
    record = outcome.search
    if record.features == file_sha256(outcome.project.build / "features.parquet"):
        trials.complete(outcome.project, record.trials, outcome.bundle.build)


def _complete(client: MlflowClient, run: Run, outcome: Outcome, card: Path | None) -> int:
    """Fill the run from the build's outputs, register the model and finish the run; return the version."""
    import mlflow
    from mlflow.entities import Metric, Param, RunTag

    tags, run_id = contents.tags(outcome), run.info.run_id
    started = run.info.start_time  # metrics of one moment: logged twice, MLflow keeps them once
    with mlflow.start_run(run_id=run_id):
        models = log_models(client, run, outcome)
        point("track.logged")
        judged = models["twin"].removeprefix("models:/")
        client.log_batch(
            run_id,
            [Metric(key, value, started, 0, model_id=judged) for key, value in contents.metrics(outcome).items()],
            [Param(key, value) for key, value in contents.params(outcome).items()],
            [RunTag(key, value) for key, value in tags.items()],
        )
        point("track.described")
        contents.log_dataset(client, run_id, outcome)
        contents.log_files(client, run_id, outcome, card)
        point("track.filled")
        _complete_trials(outcome)
        version = register(client, run_id, outcome, models, tags)
        point("track.registered")
        client.set_tag(run_id, COMPLETE, outcome.lock_sha256)
        point("track.completed")
    return version
