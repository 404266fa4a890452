"""## Retrain: from a snapshot to a decision

**What it does.** `begin` asks whether there is anything to learn: new mature labels, an open request, a promotion that
is not too recent. If not, the run ends here and its log says why. Otherwise it makes a build in a git worktree of its
own: the rows known at `as_of` (`snapshot`), then the DVC stages `features`, `train` and `evaluate`; `search`, between
the first two, looks for better options of the estimator where it is asked to, and is skipped else; `track` completes
the MLflow run, commits and tags the build and pushes it; `gate` judges the candidate's twin against the champion on
rows that neither has learned from; `promote` moves the champion if, and only if, the verdict says so. Where an approval
is required (`gate.approval`, or the Param), a verdict to promote first waits in `ask` for a person's answer, which
`approve` writes to the ledger.

**When.** Nightly at 03:00 (`schedule.retrain`), or when a retrain request rings.

**To approve.** *Required Actions* of the task `ask`, or of Airflow's home page, shows the verdict with its numbers and
asks for a comment. Whoever's role lets them answer tasks can, or only the users in `gate.approvers`. Without an answer
by the deadline (`gate.approval_deadline` after the verdict) nothing is promoted. While a build waits, the next runs end
at `begin` and say so (docs/approval-and-rollback.md).

**What to read.** *Model card* and *MLflow run* in the Details of `track`; the verdict with its numbers in the log of
`gate` and in `evergreen decisions show`. `inconclusive` means that nothing could be shown either way; the champion
stays.

**When it fails.** Every task first makes sure that its build is there and then does only what is missing, so clear the
failed task. Nothing is promoted by a failed run. MLflow being away fails `track` and `promote` only; their retries
complete. `git checkout build/<name>/<id>`, `dvc pull` and `dvc repro` bring any build to a laptop.

**Params.** `force` runs although nothing is new; the gate stays as strict. `search` does too, and searches first; a run
that does not search trains with what an earlier search chose (docs/search.md). `approval` says for this run whether a
person is asked. `force_promotion` promotes also what was rolled back, if the gate says so.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, AssetOrTimeSchedule, Param, TriggerRule, XComArg, get_current_context, task, task_group
from airflow.sdk.exceptions import AirflowSkipException

import assets
from approval import APPROVE, ask
from deployed import AS_OF, actor, as_of, cron, link, policy, project, projects, ring
from evergreen.clock import parse_time
from evergreen.project import Project

log = logging.getLogger("evergreen.retrain")


@task(multiple_outputs=False)
def begin(name: str) -> dict[str, Any]:
    """Ask whether there is anything to learn; if not, the run ends here and says why."""
    from evergreen.stages import retrain as stage

    moment = as_of(name)
    given = get_current_context()["params"]
    result = stage.begin(project(name), moment, force=given["force"] or given["search"])
    if not result.run:
        raise AirflowSkipException(result.reason)
    return {"as_of": moment.isoformat(), "reason": result.reason}


@task(multiple_outputs=False)
def snapshot(name: str, begun: dict[str, Any]) -> str:
    """Open the build and take its snapshot; returns the build's id."""
    from evergreen.builds import build as builds

    return builds.take_snapshot(project(name), parse_time(begun["as_of"])).build


@task(multiple_outputs=False)
def dvc_stage(name: str, stage: str, build: str) -> str:
    """Run one DVC stage of the build."""
    from evergreen.builds import build as builds

    builds.run_stage(project(name), build, stage)
    if stage == "train":
        link("mlflow_run", builds.run_url(project(name), build))
    return build


@task(multiple_outputs=False)
def plan(name: str, build: str) -> list[int]:
    """Begin the search, and number its workers; without a search there is none, and what follows is skipped."""
    from evergreen.builds import search

    return search.plan(project(name), build, asked=get_current_context()["params"]["search"])


@task(multiple_outputs=False, map_index_template="worker {{ worker }}")
def trial(name: str, build: str, worker: int) -> int:
    """Run trials until none is left."""
    from evergreen.builds import search

    get_current_context()["worker"] = worker
    search.trials(project(name), build)
    return worker


@task(multiple_outputs=False)
def choose(name: str, build: str) -> None:
    """Write what the search chose to search.json, which is committed with the build."""
    from evergreen.builds import search

    search.choose(project(name), build)


@task_group(group_id="search")
def look_for_options(name: str, build: XComArg) -> XComArg:
    """Trials side by side, which share one storage; the last task has what they found."""
    tried = trial.partial(name=name, build=build).expand(worker=plan(name, build))
    chosen = choose(name, build)
    tried >> chosen
    return chosen


@task(multiple_outputs=False)
def track(name: str, build: str) -> str:
    """Complete the MLflow run; commit, tag and push the build; register its model."""
    from evergreen.stages import track as stage

    result = stage.track(project(name), build)
    link("mlflow_run", result.run_url)
    link("model_card", result.card and f"/evergreen/{name}_retrain/pages/{result.card}")
    return build


@task(multiple_outputs=False)
def gate(name: str, build: str, begun: dict[str, Any]) -> dict[str, Any]:
    """Judge the candidate and record the decision."""
    from evergreen.stages import gate as stage

    params, moment = get_current_context()["params"], parse_time(begun["as_of"])
    terms = params["approval"], params["force_promotion"]
    return stage.gate(project(name), build, moment, actor(name, "retrain"), *terms).model_dump(mode="json")


@task(multiple_outputs=False)
def approve(name: str, judged: dict[str, Any], answer: dict[str, Any] | None) -> dict[str, Any]:
    """Record who answered, when and why; that nobody did by the deadline, which rejects, is recorded too."""
    from evergreen.stages import approve as stage

    decision, user = judged["decision"], (answer or {}).get("responded_by_user")
    if answer is None or user is None:
        return stage.expire(project(name), decision).model_dump(mode="json")
    chosen = "approve" if answer["chosen_options"] == [APPROVE] else "reject"
    who = user["name"] if user["name"] == user["id"] else f"{user['name']} ({user['id']})"
    told = (answer["params_input"].get("comment") or "", who, answer["responded_at"])
    try:
        return stage.approve(project(name), decision, chosen, *told).model_dump(mode="json")
    except stage.LateAnswerError as error:  # given between the deadline and the scheduler's look at it
        log.warning("%s", error)
        return stage.expire(project(name), decision).model_dump(mode="json")


@task(multiple_outputs=False)
def promote(name: str, judged: dict[str, Any]) -> None:
    """Carry out the decision; skipped unless its verdict is `promote`."""
    from evergreen.stages import promote as stage

    forced = get_current_context()["params"]["force_promotion"]
    result = stage.promote(project(name), judged["decision"], actor(name, "retrain") if forced else None)
    if not result.promoted:
        raise AirflowSkipException(result.reason)
    ring(assets.champion(name), decision=judged["decision"], version=result.version)


def search_time(deployed: Project) -> timedelta:
    """What a search adds to the time that a run may take."""
    search = deployed.params.search
    return (search.budget or timedelta(hours=1)) if search.space else timedelta(0)


def build(name: str, deployed: Project) -> DAG:
    """The retrain DAG of one use case."""
    nightly = cron(deployed.params.schedule.retrain)
    on_request = [assets.request(name)]
    with DAG(
        **policy(deployed, "retrain", timedelta(hours=1) + search_time(deployed), asks=True),
        description="Build a candidate, judge it, promote it if it is better",
        schedule=AssetOrTimeSchedule(timetable=nightly, assets=on_request) if nightly else on_request,
        doc_md=__doc__,
        params={
            "as_of": AS_OF,
            "force": Param(False, type="boolean", title="Force", description="Train although nothing is new."),
            "search": Param(
                False, type="boolean", title="Search", description="Look for better options of the estimator first."
            ),
            "approval": Param(
                None,
                type=["null", "string"],
                enum=[None, "required"],
                title="Approval",
                description="`required`: a person must approve what the gate would promote, although params.yaml does "
                "not ask for it. Empty: `gate.approval` of params.yaml.",
            ),
            "force_promotion": Param(
                False,
                type="boolean",
                title="Force promotion",
                description="Promote also what was rolled back, if the gate says so. The ledger keeps your name.",
            ),
        },
    ) as dag:
        begun = begin(name)
        candidate = snapshot(name, begun)
        candidate = dvc_stage.override(task_id="features")(name, "features", candidate)
        chosen = look_for_options(name, candidate)
        # Without a search the tasks before are skipped, which must not skip the training; nor the promotion, where
        # nobody is asked.
        goes_on = TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS
        candidate = dvc_stage.override(task_id="train", trigger_rule=goes_on)(name, "train", candidate)
        chosen >> candidate
        candidate = dvc_stage.override(task_id="evaluate")(name, "evaluate", candidate)
        judged = gate(name, track(name, candidate), begun)
        asked = ask(name)
        judged >> asked
        answered = approve(name, judged, asked.output)
        promoted = promote.override(outlets=[assets.champion(name)], trigger_rule=goes_on)(name, judged)
        answered >> promoted
    return dag


for deployed_project in projects():
    globals()[f"{deployed_project.name}_retrain"] = build(deployed_project.name, deployed_project)
