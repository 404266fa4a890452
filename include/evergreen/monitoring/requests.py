"""A retrain request with its evidence: raised once a window, and none while another about the champion is open."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from evergreen.ledger import Ledger, Request
from evergreen.monitoring.records import Record


def ask_retrain(ledger: Ledger, name: str, record: Record, report: str, zone: ZoneInfo) -> tuple[str | None, bool]:
    """The id of the open request that this window's alarm is about, None without, and whether it was raised now.

    The caller holds the lock of the monitor. A window asks once: its own request, once answered, stays answered, and
    what a later decision or a later window's request about the champion covers is not asked again when an old window
    is monitored once more.
    """
    id_ = f"monitor-{name}-{record.build}-{record.end.astimezone(zone):%Y-%m-%d}"
    about = [request for request in ledger.requests(name) if request.build == record.build]
    if own := next((request for request in about if request.id == id_), None):
        return (id_ if own.answered_by is None else None), False
    still_open = [request for request in about if request.answered_by is None]
    if still_open:
        return next((request.id for request in still_open if request.as_of <= record.end), None), False
    if any(_answered_at(ledger, request) >= record.end for request in about):
        return None, False
    request = Request(
        id=id_,
        name=name,
        as_of=record.end,
        raised_by="monitor",
        reason="; ".join(f"{rule.name}: {rule.text}" for rule in record.rules if rule.alarm),
        evidence={"record": record.model_dump(mode="json"), "report": report},
        build=record.build,
    )
    stored, new = ledger.raise_request(request)
    return (stored.id if stored.answered_by is None else None), new


def _answered_at(ledger: Ledger, request: Request) -> datetime:
    """The moment that the answering decision stands at."""
    return ledger.decision(str(request.answered_by)).as_of
