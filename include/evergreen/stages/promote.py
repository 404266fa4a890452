"""promote: make the judged build the champion, if the verdict says so and whoever must approve it has.

The ledger says who the champion is; the aliases in MLflow follow it. What a crash leaves between the two is put right
by the next run of `promote`, `gate` or `rollback`: all set the aliases as the ledger has them.
"""

from __future__ import annotations

import logging

from pydantic import BaseModel, ConfigDict

from evergreen import clock
from evergreen.clock import format_time
from evergreen.disk import full_disk_is_said
from evergreen.errors import RegistryError
from evergreen.ledger import Decision, Ledger, Promotion
from evergreen.ledger.approvals import answer_to, approval_id, is_about, is_required, unapproved
from evergreen.ledger.rollbacks import rollback_of
from evergreen.locks import lock
from evergreen.project import Project
from evergreen.registry.champion import carry_out, champion_lock, follow, settle

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
def promote(project: Project, decision: str, forced_by: str | None = None) -> PromoteResult:
    """Carry out a decision; again, it changes nothing.

    Nothing is promoted where another build became champion since the verdict (the gate has not compared with that
    one), where an approval is asked for and is not there, and where the build was rolled back, unless `forced_by` says
    who wants it all the same. Raises RegistryError, with nothing promoted, where MLflow cannot be reached or the stored
    build is not the one that was judged.
    """
    ledger = Ledger.open(project.home)
    found = require_decision(project, ledger, decision)
    if found.verdict != "promote" or found.build is None:
        return _refused(found, f"{found.verdict}: {found.reason}")
    with lock(project.home, champion_lock(project.name)):
        settle(project, ledger)
        made, back = _made(ledger, found), rollback_of(ledger, found)
        if made is None and found.kind != "gate":
            raise RegistryError(
                f"`{found.id}` is no verdict: promote `{found.inputs.get('decision')}`, which it is about"
            )
        if made is None or back is not None:
            why_not = obstacle(ledger, found, forced=forced_by is not None) or unapproved(ledger, found)
            if why_not:
                return _refused(found, why_not)
            made = _carry_out(project, ledger, found, back, forced_by)
        follow(project, ledger)
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
    with lock(project.home, champion_lock(project.name)):
        settle(project, ledger)
        follow(project, ledger)


def require_decision(project: Project, ledger: Ledger, decision: str) -> Decision:
    """The decision of this use case; raises EvergreenError where there is none."""
    found = ledger.decision(decision)
    if found.name != project.name:
        raise RegistryError(f"the decision `{decision}` is about `{found.name}`, not about `{project.name}`")
    return found


def rolled_back(ledger: Ledger, decision: Decision) -> str | None:
    """Who took off what a decision judged, when and why; None where nobody did."""
    back = rollback_of(ledger, decision)
    if back is None:
        return None
    taken = back.inputs["champion"]["build"]
    which = "it" if taken == decision.build else f"{taken}, whose model is the same byte for byte,"
    return f"{which} was rolled back as of {format_time(back.as_of)} by {back.actor}: {back.reason}"


def obstacle(ledger: Ledger, decision: Decision, forced: bool) -> str | None:
    """Why a verdict to promote can no longer be carried out, whatever anybody answers; None where it can."""
    back = rolled_back(ledger, decision)
    if back is not None and not forced:
        return (
            f"{back}. A person may promote it all the same: `evergreen promote {decision.id} --force`, or the retrain "
            "run's Param `force_promotion`"
        )
    champion = ledger.champion(decision.name)
    if champion is None or is_about(decision, champion):
        return None
    return (
        f"overtaken by {champion.build}, promoted as of {format_time(champion.as_of)}: run the retrain again so that "
        "the gate compares with it"
    )


def _made(ledger: Ledger, decision: Decision) -> Promotion | None:
    """The last promotion that a decision led to; a forced one has a decision of its own."""
    for one in ledger.promotions(decision.name):
        if one.decision == decision.id or one.decision.startswith(_forced_id(decision, "")):
            return one
    return None


def _carry_out(
    project: Project, ledger: Ledger, decision: Decision, back: Decision | None, forced_by: str | None
) -> Promotion:
    """Promote from when the last of verdict, approval and force was given: who predicted before is not rewritten."""
    approval = answer_to(ledger, decision) if is_required(decision) else None
    as_of = max(one.as_of for one in (decision, approval) if one)
    if back is not None and forced_by is not None:
        forced = Decision(
            id=_forced_id(decision, back.id),
            name=decision.name,
            kind="approval",
            build=decision.build,
            as_of=max(as_of, clock.now(project.home)),
            verdict="promote",
            reason=f"forced by {forced_by}, although {back.id} had taken it off: {back.reason}",
            inputs={"decision": decision.id, "despite": back.id}
            | {key: decision.inputs.get(key) for key in ("candidate", "champion", "metrics")},
            actor=forced_by,
        )
        decision = ledger.record_decision(forced)
        as_of = decision.as_of
    return carry_out(project, ledger, decision, as_of)


def _forced_id(decision: Decision, rollback: str) -> str:
    return f"{approval_id(decision.id)}-despite-{rollback}"


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
