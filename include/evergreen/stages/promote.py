"""promote: make the judged build the champion, if the verdict says so.

The ledger says who the champion is; the aliases in MLflow follow it. What a crash leaves between the two is put right
by the next run of `promote` or `gate`: both set the aliases as the ledger has them.
"""

from __future__ import annotations

import logging

from pydantic import BaseModel, ConfigDict

from evergreen.clock import format_time
from evergreen.disk import full_disk_is_said
from evergreen.errors import RegistryError
from evergreen.faults import point
from evergreen.ledger import Decision, Ledger, Promotion
from evergreen.locks import lock
from evergreen.project import Project
from evergreen.registry.bundle import load_bundle

log = logging.getLogger(__name__)


class PromoteResult(BaseModel):
    """What became of a decision; with `promoted`, the build is champion from `as_of` on, else `reason` says why not."""

    model_config = ConfigDict(frozen=True)

    promoted: bool
    reason: str
    decision: str
    build: str | None
    version: int | None  # in MLflow; None without tracking
    previous: str | None  # the champion before
    as_of: str


@full_disk_is_said()
def promote(project: Project, decision: str) -> PromoteResult:
    """Carry out a decision; again, it changes nothing.

    Where another build became champion since the verdict, nothing is promoted: the gate has not compared with that
    one. Raises RegistryError, with nothing promoted, where MLflow cannot be reached or the stored build is not the one
    that was judged.
    """
    ledger = Ledger.open(project.home)
    found = ledger.decision(decision)
    if found.name != project.name:
        raise RegistryError(f"the decision `{decision}` is about `{found.name}`, not about `{project.name}`")
    if found.verdict != "promote" or found.build is None:
        return _refused(found, f"{found.verdict}: {found.reason}")
    with lock(project.home, f"{project.name}/promote"):
        made = next((one for one in ledger.promotions(project.name) if one.decision == found.id), None)
        if made is None:
            if overtaken := _overtaken(ledger.champion(project.name), found):
                return _refused(found, overtaken)
            made = ledger.record_promotion(_promotion(project, found, found.build))
            point("promote.recorded")
        _apply(project, ledger)
    return PromoteResult(
        promoted=True,
        reason=found.reason,
        decision=found.id,
        build=made.build,
        version=made.version,
        previous=made.previous_build,
        as_of=format_time(made.as_of),
    )


def reconcile(project: Project) -> None:
    """Set the aliases in MLflow as the ledger has them; raises RegistryError where MLflow cannot be reached."""
    ledger = Ledger.open(project.home)
    with lock(project.home, f"{project.name}/promote"):
        _apply(project, ledger)


def _overtaken(champion: Promotion | None, decision: Decision) -> str | None:
    """Why a verdict is no longer about the champion: a second retrain was faster."""
    against = decision.inputs.get("champion")
    if champion is None or (against is not None and against["build"] == champion.build):
        return None
    return (
        f"overtaken by {champion.build}, promoted as of {format_time(champion.as_of)}: run the retrain again so that "
        "the gate compares with it"
    )


def _promotion(project: Project, decision: Decision, build: str) -> Promotion:
    """The promotion that a decision asks for, its model checked: what is promoted is what was judged."""
    judged = decision.inputs.get("candidate")
    if judged is None:
        raise RegistryError(f"the decision `{decision.id}` does not say what it judged (`inputs.candidate`)")
    bundle = load_bundle(project.home, project.name, build, judged["bundle"])
    for file in bundle.hashes:
        bundle.path(file)
    champion = decision.inputs.get("champion")
    return Promotion(
        name=project.name,
        build=build,
        version=_version(project.name, build),
        bundle=bundle.sha256,
        cutoff=bundle.training.learned_until,
        as_of=decision.as_of,
        decision=decision.id,
        previous_build=champion["build"] if champion else None,
    )


def _apply(project: Project, ledger: Ledger) -> None:
    """Point `champion` and `previous` at the last two promotions; nothing to do for one made without MLflow."""
    from evergreen.registry.models import apply_aliases
    from evergreen.registry.server import tracking_uri

    last, before = [*ledger.promotions(project.name), None, None][:2]
    if last is not None and last.version is not None and tracking_uri() is not None:
        apply_aliases(project.name, last, before)


def _version(name: str, build: str) -> int | None:
    """The build's version in MLflow, which must answer before anything is recorded; None where nothing tracks."""
    from evergreen.registry.models import version_of_build
    from evergreen.registry.server import tracking_uri

    if tracking_uri() is None:
        return None
    version = version_of_build(name, build)
    if version is None:
        raise RegistryError(
            f"MLflow has no version of the build {build}, so it was not promoted: run `evergreen track {build}`, then "
            "promote again"
        )
    return version


def _refused(decision: Decision, reason: str) -> PromoteResult:
    log.info("not promoted: %s", reason)
    return PromoteResult(
        promoted=False,
        reason=reason,
        decision=decision.id,
        build=decision.build,
        version=None,
        previous=None,
        as_of=format_time(decision.as_of),
    )
