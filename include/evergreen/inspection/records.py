"""What an inspection finds, as records."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

Severity = Literal["error", "warning", "note"]  # worst first
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


class Record(BaseModel):
    """Frozen, and complete: what is not there is null."""

    model_config = ConfigDict(frozen=True)


class Finding(Record):
    """One thing seen, and what to do about it.

    An `error` will stop a stage, or makes what is built on it wrong. A `warning` most likely does. A `note` is worth
    knowing, and may well be right as it is.
    """

    severity: Severity
    table: str | None
    column: str | None
    seen: str
    todo: str


class ColumnSeen(Record):
    """One column of a table: declared in params.yaml, in the source, or both."""

    name: str
    role: Literal["key", "column", "derived", "undeclared"]
    declared: str | None
    seen: str | None  # None: not in the source
    nulls: float | None  # share of the sample's rows
    values: int | None  # different ones in the sample
    examples: tuple[str, ...] = ()


class TableSeen(Record):
    """A sample of one table; `reason` says why there is none."""

    name: str
    source: str
    rows: int = 0
    reason: str | None = None
    failed: bool = False  # the reason is that the source could not be read, not that it has no rows
    known_from: str | None = None
    known_to: str | None = None
    columns: tuple[ColumnSeen, ...] = ()


class LabelSeen(Record):
    """The label on the sample: rows to be predicted, those with a label, and how the labels are."""

    rows: int
    labelled: int
    share: float | None  # of the rows whose label the sample could hold
    rate: float | None  # of true among a binary kind's labels
    figures: dict[str, float] = {}  # a regression's lowest, median, mean and highest; shares of several classes
    hours: float | None  # from prediction to label, the median


class Inspection(Record):
    """All of it; `findings` are sorted, worst first."""

    name: str
    as_of: datetime
    tables: tuple[TableSeen, ...]
    label: LabelSeen | None
    findings: tuple[Finding, ...]

    def count(self, severity: Severity) -> int:
        """How many findings are that severe."""
        return sum(finding.severity == severity for finding in self.findings)
