"""The table of the drills: what each did, what came of it and how long it took, from what the tests recorded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import pytest

HEADER = ("drill", "what was done", "outcome", "undisturbed s", "disturbed s", "result")
RECORDED = ("drill", "outcome", "undisturbed", "disturbed")  # by `record_property`


@dataclass(frozen=True)
class Drill:
    """One test's row."""

    place: tuple[str, int]  # the test's file and line, by which the table is ordered
    done: str
    outcome: str
    undisturbed: str
    disturbed: str
    result: str

    @property
    def cells(self) -> tuple[str, ...]:
        group = PurePosixPath(self.place[0]).stem.removeprefix("test_").replace("_", " ")
        return (group, self.done, self.outcome, self.undisturbed, self.disturbed, self.result)


def drill(report: pytest.TestReport, result: str) -> Drill | None:
    """The row of a test; None for one that passed and is no drill, such as the test of this table."""
    found = {key: _text(value) for key, value in report.user_properties}
    path, line, test = report.location
    if "drill" not in found and result == "passed":
        return None
    done, outcome, undisturbed, disturbed = (found.get(key, "") for key in RECORDED)
    return Drill((path, line or 0), done or test, outcome if result == "passed" else "", undisturbed, disturbed, result)


def table(drills: Iterable[Drill]) -> list[str]:
    """Lines of a Markdown table, its columns aligned."""
    rows = [one.cells for one in sorted(drills, key=lambda one: one.place)]
    widths = [max(len(row[column]) for row in (HEADER, *rows)) for column in range(len(HEADER))]
    return [_line(HEADER, widths), _line(["-" * width for width in widths], widths), *(_line(r, widths) for r in rows)]


def summarize(reporter: pytest.TerminalReporter, folder: str, title: str) -> None:
    """Write the table of the drills below a folder, those that failed too."""
    found = [
        row
        for result in ("passed", "failed", "error", "skipped")
        for report in reporter.stats.get(result, [])
        if report.nodeid.startswith(f"{folder}/") and (row := drill(report, result))
    ]
    if found:
        reporter.section(title)
        for line in table(found):
            reporter.write_line(line)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return f"| {' | '.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))} |"


def _text(value: object) -> str:
    """A cell: seconds with one digit, everything else as it is, in one line and without what ends a cell."""
    text = f"{value:.1f}" if isinstance(value, float) else str(value)
    return " ".join(text.split()).replace("|", "/")
