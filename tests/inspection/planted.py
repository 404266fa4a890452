"""The small project's tables with something planted in them, and what an inspection says of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa

from evergreen.inspection.inspect import judge
from evergreen.inspection.records import Finding, Inspection
from evergreen.inspection.samples import Sample
from evergreen.params import Params, load_params_text
from tests.conftest import SMALL
from tests.data import small_tables

NOW = datetime(2024, 6, 1, tzinfo=UTC)


def planted(days: int = 30) -> dict[str, pd.DataFrame]:
    """`jobs` and `outcomes` as a source types them: 40 a day, with a zone."""
    frames = small_tables(days)
    return {name: frame.assign(due=frame["due"].dt.tz_localize("UTC")) for name, frame in frames.items()}


def small(*changes: tuple[str, str]) -> Params:
    """The small project's params, changed."""
    text = SMALL
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return load_params_text(text)


def look(frames: dict[str, pd.DataFrame | pa.Table], params: Params | None = None) -> Inspection:
    """Inspect `frames` as the samples of their tables."""
    params = params or small()
    tables = {
        name: frame if isinstance(frame, pa.Table) else pa.Table.from_pandas(frame, preserve_index=False)
        for name, frame in frames.items()
    }
    samples = {
        name: Sample.of(name, spec, params.time_zone, tables[name]) if name in tables else "no file matches"
        for name, spec in params.tables.items()
    }
    return judge(params, samples, NOW)


def about(found: Inspection, table: str, column: str | None, *, loud: bool = False) -> list[Finding]:
    """What is said of one column, `loud`: without notes."""
    return [
        one for one in found.findings
        if one.table == table and one.column == column and not (loud and one.severity == "note")
    ]  # fmt: skip


def only(found: Inspection, table: str, column: str | None) -> Finding:
    """The one thing that is said of a column."""
    findings = about(found, table, column)
    assert len(findings) == 1, found.findings
    return findings[0]
