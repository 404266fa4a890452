"""A retrain request with its evidence: raised once a window, and none while another about the champion is open."""

from __future__ import annotations

from evergreen.ledger import Ledger, Request
from evergreen.monitoring.records import Record


def ask_retrain(ledger: Ledger, name: str, record: Record, report: str) -> tuple[str | None, bool]:
    """The id of the open request about the record's champion, and whether it was raised now.

    The caller holds the lock of the monitor. A window whose own request was answered raises none again: the answer
    stands, and there is no id.
    """
    id_ = f"monitor-{name}-{record.build}-{record.end:%Y-%m-%d}"
    about = [request for request in ledger.requests(name) if request.build == record.build]
    still_open = [request.id for request in about if request.answered_by is None]
    if still_open:
        return (id_ if id_ in still_open else still_open[0]), False
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
