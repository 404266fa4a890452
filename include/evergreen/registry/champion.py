"""Making a build champion: a promotion in the ledger first, MLflow's aliases after it.

Whoever does it holds the lock `champion_lock`; were there two all the same, the ledger itself lets one of them through.
What a crash leaves between the two is put right by `settle` and `follow`: each promotion, rollback and gate does it.
"""

from __future__ import annotations

from datetime import datetime

from evergreen.errors import RegistryError
from evergreen.faults import point
from evergreen.ledger import Decision, Ledger, Promotion
from evergreen.project import Project
from evergreen.registry.bundle import load_bundle


def champion_lock(name: str) -> str:
    """The lock under which the champion changes."""
    return f"{name}/promote"


def carry_out(project: Project, ledger: Ledger, decision: Decision, as_of: datetime) -> Promotion:
    """Record the promotion that a decision asks for, its model checked: what is promoted is what was judged."""
    judged = decision.inputs.get("candidate")
    if judged is None or decision.build is None:
        raise RegistryError(f"the decision `{decision.id}` does not say what it judged (`inputs.candidate`)")
    bundle = load_bundle(project.home, project.name, decision.build, judged["bundle"])
    bundle.check()
    champion = decision.inputs.get("champion")
    rollback = decision.kind == "rollback"  # it has looked for the version before it was recorded
    version = (
        judged["version"]
        if rollback
        else version_in_mlflow(project.name, decision.build, "it was not promoted", "promote")
    )
    promotion = Promotion(
        name=project.name,
        build=decision.build,
        version=version,
        bundle=bundle.sha256,
        cutoff=bundle.training.learned_until,
        as_of=as_of,
        decision=decision.id,
        previous_build=champion["build"] if champion else None,
    )
    recorded = ledger.record_promotion(promotion)
    point("promote.recorded")
    return recorded


def settle(project: Project, ledger: Ledger) -> None:
    """Finish a rollback that was decided, and then killed before the ledger had its promotion."""
    last = next((one for one in ledger.decisions(project.name) if one.kind == "rollback"), None)
    promotions = ledger.promotions(project.name)
    if last and last.inputs["number"] == len(promotions) and all(one.decision != last.id for one in promotions):
        carry_out(project, ledger, last, last.as_of)


def follow(project: Project, ledger: Ledger) -> None:
    """Point `champion` and `previous` at the last two promotions; nothing to do for one made without MLflow.

    Raises RegistryError where MLflow cannot be reached.
    """
    from evergreen.registry.models import apply_aliases
    from evergreen.registry.server import tracking_uri

    last, before = [*ledger.promotions(project.name), None, None][:2]
    if last is not None and last.version is not None and tracking_uri() is not None:
        apply_aliases(project.name, last, before)


def version_in_mlflow(name: str, build: str, undone: str, again: str) -> int | None:
    """The build's version in MLflow, which must answer before anything is recorded; None where nothing tracks.

    Raises RegistryError where MLflow has none: with what is `undone` for it, and what to do `again` once it has.
    """
    from evergreen.registry.models import version_of_build
    from evergreen.registry.server import tracking_uri

    if tracking_uri() is None:
        return None
    version = version_of_build(name, build)
    if version is None:
        raise RegistryError(
            f"MLflow has no version of the build {build}, so {undone}: run `evergreen track {build}`, then {again} "
            "again"
        )
    return version
