"""rollback: make an earlier champion the champion again, because a person says so.

A decision and a promotion of its own in the ledger: nothing of what was is rewritten, scoring uses the restored build
from `as_of` on, and what was taken off is not promoted again unless somebody forces it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from evergreen.clock import format_time
from evergreen.disk import full_disk_is_said
from evergreen.errors import EvergreenError, RegistryError
from evergreen.faults import point
from evergreen.ledger import Decision, Ledger, Promotion
from evergreen.locks import lock
from evergreen.project import Project
from evergreen.registry.bundle import load_bundle
from evergreen.registry.champion import carry_out, champion_lock, follow, settle, version_in_mlflow

log = logging.getLogger(__name__)


class RollbackResult(BaseModel):
    """Who is champion now, and who was until then."""

    model_config = ConfigDict(frozen=True)

    decision: str
    build: str
    version: int | None  # in MLflow; None without tracking
    previous: str  # the build that was taken off
    reason: str
    as_of: str


@full_disk_is_said()
def rollback(project: Project, reason: str, actor: str, as_of: datetime, to: str | None = None) -> RollbackResult:
    """Make `to` (a version or a build, default: the champion before) the champion as of `as_of`.

    With the reason of a rollback that stands it is that one, which is finished where a crash left it half-way: to roll
    back twice, say why twice. Raises EvergreenError, with nothing recorded, where there is nothing to go back to or
    the stored model was altered. MLflow being away keeps nobody from going back: RegistryError then says that the
    aliases, and nothing else, are missing, and the next gate, promotion or rollback sets them.
    """
    if not reason.strip():
        raise EvergreenError("a rollback needs a reason: the next person will ask for it")
    ledger = Ledger.open(project.home)
    with lock(project.home, champion_lock(project.name)):
        _settle(project, ledger)
        promotions = ledger.promotions(project.name)
        target = _target(project.name, promotions, to) if promotions else None
        standing = _standing(ledger, promotions, reason.strip(), target if to else None)
        if standing is None:
            decision = _decide(project, ledger, promotions, target, (reason.strip(), actor, as_of))
            point("rollback.decided")
            standing = carry_out(project, ledger, decision, decision.as_of)
        decision = ledger.decision(standing.decision)
        log.info("%s is champion again instead of %s: %s", standing.build, standing.previous_build, decision.reason)
        follow(project, ledger)
    return RollbackResult(
        decision=decision.id,
        build=standing.build,
        version=standing.version,
        previous=str(standing.previous_build),
        reason=decision.reason,
        as_of=format_time(standing.as_of),
    )


def _settle(project: Project, ledger: Ledger) -> None:
    """An earlier rollback that cannot be finished, since its model was altered, keeps nobody from another one."""
    try:
        settle(project, ledger)
    except RegistryError as error:
        log.warning("an earlier rollback cannot be finished: %s", error)


def _standing(
    ledger: Ledger, promotions: Sequence[Promotion], reason: str, target: Promotion | None
) -> Promotion | None:
    """The rollback that made the present champion, if it is the one that is asked for."""
    if not promotions or (target is not None and target.build != promotions[0].build):
        return None
    decision = ledger.decision(promotions[0].decision)
    return promotions[0] if decision.kind == "rollback" and decision.reason == reason else None


def _target(name: str, promotions: Sequence[Promotion], to: str | None) -> Promotion | None:
    """The last promotion of what is asked for; None without `to` where nothing was champion before."""
    champion = promotions[0]
    if to is None:
        return next((one for one in promotions if one.build != champion.build), None)
    found = next((one for one in promotions if to in (str(one.version), one.build)), None)
    if found is None:
        known = ", ".join(dict.fromkeys(map(_named, promotions)))
        raise EvergreenError(f"`{to}` was never champion of `{name}`; known: {known}")
    return found


def _decide(
    project: Project,
    ledger: Ledger,
    promotions: Sequence[Promotion],
    target: Promotion | None,
    told: tuple[str, str, datetime],
) -> Decision:
    """Check that the target can serve, and record the decision: by its id, what is asked for twice is one."""
    reason, actor, as_of = told
    if not promotions:
        raise EvergreenError(f"`{project.name}` has no champion yet, so there is nothing to roll back")
    champion = promotions[0]
    if target is None:
        raise EvergreenError(f"{_named(champion)} is the first champion of `{project.name}`: there is none before it")
    if target.build == champion.build:
        raise EvergreenError(f"{_named(champion)} is the champion already, as of {format_time(champion.as_of)}")
    if as_of < champion.as_of:
        raise EvergreenError(
            f"{champion.build} was promoted as of {format_time(champion.as_of)}, and cannot be rolled back as of "
            f"{format_time(as_of)}: the past is not rewritten; use a later as_of"
        )
    bundle = load_bundle(project.home, project.name, target.build, target.bundle)
    bundle.check()
    number = len(promotions)
    decision = Decision(
        id=f"rollback-{project.name}-{number}-{champion.build}-to-{target.build}",
        name=project.name,
        kind="rollback",
        build=target.build,
        as_of=as_of,
        verdict="promote",
        reason=reason,
        inputs={
            "number": number,  # of promotions before it
            "candidate": _told(ledger, target) | {"version": _version(project.name, target)},
            "champion": _told(ledger, champion),
        },
        actor=actor,
    )
    return ledger.record_decision(decision)


def _told(ledger: Ledger, promotion: Promotion) -> dict[str, str | int | None]:
    """A build as a decision names it. The model's hash is by the ledger: the model itself may be what is wrong."""
    judged = ledger.decision(promotion.decision).inputs.get("candidate") or {}
    return {
        "build": promotion.build,
        "bundle": promotion.bundle,
        "version": promotion.version,
        "model_sha256": judged.get("model_sha256"),
    }


def _version(name: str, target: Promotion) -> int | None:
    """The version in MLflow, looked for again since it may have been deleted; as it was, where MLflow is away."""
    from evergreen.registry.server import tracking_uri, why_unreachable

    uri = tracking_uri()
    if uri is None:
        return target.version
    if reason := why_unreachable(uri):
        log.warning("MLflow at %s does not answer (%s): its aliases will follow later", uri, reason)
        return target.version
    return version_in_mlflow(name, target.build, "nothing was rolled back", "roll back")


def _named(promotion: Promotion) -> str:
    return f"version {promotion.version} ({promotion.build})" if promotion.version else promotion.build
