"""A record in one word and in one sentence."""

from __future__ import annotations

from typing import Literal

from evergreen.monitoring.records import Record

SHOWN = 5  # outcomes that no label can be
State = Literal["immature", "quiet", "unknown", "alarm"]


def state(record: Record) -> State:
    """`alarm` where a rule alarms, `unknown` where one cannot be answered; `quiet` only where all were."""
    if not record.mature:
        return "immature"
    return "alarm" if record.alarms else "unknown" if record.unknown else "quiet"


def verdict(record: Record) -> str:
    """The state with its numbers, for people."""
    late = f"; {record.arrived_late} labels came after their window was judged" if record.arrived_late else ""
    return _said(record) + late + _astray(record)


def _astray(record: Record) -> str:
    """Labels that the champion was never asked for: no figure knows of them."""
    if not record.strays:
        return ""
    named = ", ".join(f"`{text}`" for text in list(record.strays)[:SHOWN])
    return f"; {sum(record.strays.values())} outcomes are none that this champion's label can be, such as {named}"


def _said(record: Record) -> str:
    found = state(record)
    if found == "immature":
        return (
            f"immature: {record.rows} labelled predictions on {record.complete_days} whole days are too few "
            f"(of {record.min_rows} on {record.min_days}), so no rule was asked{_missing(record)}"
        )
    if found == "quiet":
        return f"quiet: no rule alarms on {record.rows} rows"
    names = record.alarms if found == "alarm" else record.unknown
    return f"{found}: " + "; ".join(f"{rule.name}: {rule.text}" for rule in record.rules if rule.name in names)


def _missing(record: Record) -> str:
    """Where the others may be, if it can be told: no labels came, or no predictions were made for them."""
    if record.labels is not None and not record.labels:
        return ". No label became known in the window: look at whether the labels' table still arrives"
    if record.unpredicted:
        return (
            f". {record.unpredicted} labels became known of rows without a prediction: their moments lie before the "
            "first promotion, or score has not run for them (`evergreen score --window` looks further back)"
        )
    return ""
