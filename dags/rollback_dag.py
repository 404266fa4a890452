"""## Rollback: an earlier champion again

**What it does.** Makes the champion before the present one the champion again, or the version that you name: the two
swap. It is recorded in the ledger with your name and your reason, MLflow's aliases follow, and the next scoring uses
it. The model must be, byte for byte, the one that was promoted.

**When.** When somebody asks for it; it has no schedule. The retrain DAG does not undo it: a build that was rolled back,
or one with the same model, is not promoted again unless a person forces it. A better one that the gate has compared
with the restored champion is, but not before `gate.every` has passed.

**When it fails.** The message says why: there is no champion, none before it, the version is the champion already or
never was, or its model was altered (`evergreen track <build>` stores it again from the build's tag). Then nothing has
changed. If it says that only the aliases are missing, MLflow is away: scoring goes back all the same, and the aliases
follow with the next retry, gate or promotion. Clearing the task rolls back once, not twice.

**Params.** `version` is a number in MLflow or a build's id. To undo a rollback, run this again with another reason.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task

import assets
from deployed import AS_OF, actor, as_of, policy, project, projects, ring
from evergreen.project import Project


@task(multiple_outputs=False)
def rollback(name: str) -> dict[str, Any]:
    """Swap the champion for an earlier one."""
    from evergreen.stages import rollback as stage

    given = get_current_context()["params"]
    who = actor(name, "rollback")
    result = stage.rollback(project(name), given["reason"], who, as_of(name), given["version"])
    ring(assets.champion(name), decision=result.decision, version=result.version)
    return result.model_dump(mode="json")


def build(name: str, deployed: Project) -> DAG:
    """The rollback DAG of one use case."""
    with DAG(
        **policy(deployed, "rollback", timedelta(minutes=10)),
        description="Make an earlier champion the champion again",
        schedule=None,
        doc_md=__doc__,
        max_active_runs=1,
        params={
            "version": Param(
                None,
                type=["null", "string"],
                title="Version",
                description="The version in MLflow, or the build, to go back to. Empty: the champion before.",
            ),
            "reason": Param(
                type="string",
                minLength=1,
                title="Reason",
                description="Why. The ledger keeps it with your name.",
            ),
            "as_of": AS_OF,
        },
    ) as dag:
        rollback.override(outlets=[assets.champion(name)])(name)
    return dag


for deployed_project in projects():
    globals()[f"{deployed_project.name}_rollback"] = build(deployed_project.name, deployed_project)
