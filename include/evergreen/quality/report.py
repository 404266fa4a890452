"""A validation run as one HTML page for people, with the suite's result as JSON beside it.

The page needs nothing from elsewhere and holds no time and no machine's path: the same run gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from evergreen.faults import point
from evergreen.files import write_atomic
from evergreen.lake.manifests import DataFile
from evergreen.lake.rejects import read_rejects
from evergreen.quality.contract import REASON, ROW, Rule
from evergreen.quality.plan import Plan
from evergreen.quality.records import FileValidation

SHOWN_ROWS = 200
SHOWN_BYTES = 200
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; color: #1d2733 }
h1, h2 { font-weight: 600; line-height: 1.2 } h2 { margin-top: 2.2rem }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-size: 13px }
th, td { text-align: left; padding: .35rem .7rem; border-bottom: 1px solid #dde3ea; vertical-align: top }
th { background: #f3f6f9; white-space: nowrap } td.n { text-align: right; font-variant-numeric: tabular-nums }
.pass { color: #146c43 } .warning { color: #8a5a00 } .error { color: #b02a37 } .critical { color: #b02a37 }
.critical, .error { font-weight: 600 } .box { background: #fdf0f0; border-left: 4px solid #b02a37; padding: .6rem 1rem }
"""


def write_report(
    lake: Path, name: str, rules: Sequence[Rule], plan: Plan, records: Mapping[str, FileValidation],
    suites: Sequence[Mapping[str, Any]],
) -> Path:  # fmt: skip
    """Write `validation/<table>/reports/<run>.html` and `.json` for the plan's files; the page's path."""
    done = [records[target.file.path] for target in plan.targets]
    page = lake / "validation" / name / "reports" / f"{plan.id}.html"
    machine = {
        "table": name,
        "files": [record.model_dump(mode="json") for record in done],
        "great_expectations": suites,
    }
    write_atomic(page.with_suffix(".json"), json.dumps(machine, indent=1))
    point("validate.machine")
    write_atomic(page, _page(lake, name, rules, done, [target.file for target in plan.targets]))
    return page


def find_report(lake: Path, name: str, critical: Sequence[FileValidation]) -> Path | None:
    """The newest page on which one of these refused files is shown as it counts today."""
    wanted = {(record.raw, record.contract) for record in critical}
    folder = lake / "validation" / name / "reports"
    for machine in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True):
        files = json.loads(machine.read_bytes())["files"]
        if any((file["raw"], file["contract"]) in wanted for file in files):
            return machine.with_suffix(".html")
    return None


def _page(
    lake: Path, name: str, rules: Sequence[Rule], done: Sequence[FileValidation], files: Sequence[DataFile]
) -> str:
    origins = {file.path: file.origin for file in files}
    rows, bad = sum(record.rows for record in done), sum(record.quarantined for record in done)
    critical = [record for record in done if record.critical is not None]
    alarms = "".join(
        f'<p class="box"><b>{escape(_called(record, origins))}</b> is refused: {escape(str(record.critical))}</p>'
        for record in critical
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Validation of {escape(name)}</title><style>{_STYLE}</style></head><body>
<h1>Validation of <code>{escape(name)}</code></h1>
<p>{len(done):,} file(s), {rows:,} rows, {bad:,} broke a rule that keeps them out ({_share(bad, rows)});
{len(critical):,} file(s) refused.</p>
{alarms}
<h2>Rules</h2>
{_table(("Column", "Expected", "Severity", "Rows", "Failed", "Share", "Result", "Examples"), _rule_rows(rules, done))}
<h2>Files</h2>
{_table(("File", "Raw", "Rows", "Clean", "Kept out", "Share", "Result"), _file_rows(done, origins))}
<h2>Rows kept out</h2>
{_quarantined(lake, done, origins)}
<h2>Records that could not be rows</h2>
{_rejected(lake, files)}
</body></html>
"""


def _rule_rows(rules: Sequence[Rule], done: Sequence[FileValidation]) -> Iterable[tuple[Any, ...]]:
    """One line a rule, and one for each way in which a file's schema was not as declared."""
    total = sum(record.rows for record in done)
    lines: dict[tuple[str | None, str], list[Any]] = {
        (rule.column, rule.kind): [rule.expected, rule.severity, 0, ()] for rule in rules
    }
    for failure in (failure for record in done for failure in record.failures):
        place = (failure.column, failure.rule if failure.rule != "schema" else f"schema {failure.expected}")
        line = lines.setdefault(place, [failure.expected, failure.severity, 0, ()])
        line[2] += failure.count
        line[3] = line[3] or failure.examples
    for (column, kind), (expected, severity, failed, examples) in lines.items():
        shown = column or kind.split(" ")[0]
        mark = _Mark(severity, "failed") if failed else _Mark("pass", "passed")
        yield shown, expected, severity, total, failed, _share(failed, total), mark, " / ".join(examples)


def _file_rows(done: Sequence[FileValidation], origins: Mapping[str, str]) -> Iterable[tuple[Any, ...]]:
    for record in done:
        clean = record.rows - record.quarantined if record.critical is None else 0
        mark = _Mark("pass", "accepted") if record.critical is None else _Mark("critical", "refused")
        share = _share(record.quarantined, record.rows)
        yield _called(record, origins), record.raw, record.rows, clean, record.quarantined, share, mark


def _quarantined(lake: Path, done: Sequence[FileValidation], origins: Mapping[str, str]) -> str:
    import pyarrow.parquet as pq

    lines: list[tuple[Any, ...]] = []
    columns: list[str] = []
    for record in done:
        if record.quarantine is None or len(lines) >= SHOWN_ROWS:
            continue
        batch = next(pq.ParquetFile(lake / record.quarantine).iter_batches(batch_size=SHOWN_ROWS - len(lines)))
        columns = [name for name in batch.schema.names if name not in (ROW, REASON)]
        for row in batch.to_pylist():
            values = ("" if row[name] is None else str(row[name]) for name in columns)
            lines.append((_called(record, origins), row[ROW], row[REASON], *values))
    if not lines:
        return "<p>None.</p>"
    total = sum(record.quarantined for record in done)
    more = (
        f"<p>The first {len(lines)} of {total:,}; all are in <code>quarantine/</code>.</p>"
        if total > len(lines)
        else ""
    )
    return more + _table(("File", "Row", "Rules broken", *columns), lines)


def _rejected(lake: Path, files: Sequence[DataFile]) -> str:
    total = sum(file.rejects.rows for file in files if file.rejects)
    if not total:
        return "<p>None.</p>"
    shown = read_rejects(lake, files, SHOWN_ROWS)
    lines = ((one.place, one.reason, one.content[:SHOWN_BYTES].decode(errors="replace")) for one in shown)
    more = f"<p>The first {len(shown)} of {total:,}; all are in <code>raw/</code>.</p>" if total > len(shown) else ""
    return more + _table(("Place", "Reason", "Begins with"), lines)


class _Mark(str):
    """A cell's text with the class that colours it."""

    kind: str

    def __new__(cls, kind: str, text: str) -> _Mark:
        mark = super().__new__(cls, text)
        mark.kind = kind
        return mark


def _table(head: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "\n".join("<tr>" + "".join(map(_cell, line)) + "</tr>" for line in lines)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def _cell(value: Any) -> str:
    if isinstance(value, _Mark):
        return f'<td class="{value.kind}">{escape(value)}</td>'
    if isinstance(value, int):
        return f'<td class="n">{value:,}</td>'
    return f"<td>{escape(str(value))}</td>"


def _called(record: FileValidation, origins: Mapping[str, str]) -> str:
    return origins.get(record.raw) or record.raw


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "-"
