"""An inspection as text: a table per table, then what was found, worst first, with what to do about each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from evergreen.inspection.records import ColumnSeen, Finding, Inspection, Severity, TableSeen

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

_STYLES: dict[Severity, str] = {"error": "bold red", "warning": "bold yellow", "note": "cyan"}
_WIDTH, _NAME = 120, 56  # of the page where there is no terminal to ask, and of the longest cell that is not cut
_COLUMNS: dict[str, Literal["left", "right"]] = {
    "  column": "left", "declared": "left", "seen": "left", "nulls": "right", "values": "right", "such as": "left",
    "see": "left",
}  # fmt: skip


def print_report(inspection: Inspection, console: Console | None = None) -> None:
    """Print all of it; colours only where a terminal shows them."""
    console = console or page()
    numbers = {id(finding): number for number, finding in enumerate(inspection.findings, 1)}
    for table in inspection.tables:
        for part in _table(table, inspection.findings, numbers, console.width):
            console.print(part)
    if inspection.label is not None:
        console.print(_label(inspection), highlight=False)
    if inspection.findings:
        console.print("\n[bold]Findings[/bold]", highlight=False)
        console.print(_findings(inspection.findings), highlight=False)
    console.print(_summary(inspection), highlight=False)


def page() -> Console:
    """The terminal, or a page of a fixed width."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH)


def _table(
    table: TableSeen, findings: Iterable[Finding], numbers: dict[int, int], width: int
) -> Iterable[RenderableType]:
    from rich.table import Table
    from rich.text import Text

    if table.reason is not None:
        yield Text.assemble((table.name, "bold"), "  nothing to look at: ", table.reason)
        return
    days = [moment.split("T")[0] for moment in (table.known_from, table.known_to) if moment]
    span = f", known from {days[0]} to {days[1]}" if days else ""
    title = Text.assemble("\n", (table.name, "bold"), f"  {table.rows:,} rows{span}  ", (table.source, "dim"))
    title.truncate(width, overflow="ellipsis")
    yield title
    mine = [finding for finding in findings if finding.table == table.name and finding.column]
    rows = [
        [*_cells(column), _see([one for one in mine if column.name in str(one.column).split(", ")], numbers)]
        for column in table.columns
    ]
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    used = 0
    for place, (name, justify) in enumerate(_COLUMNS.items()):
        longest = max(len(name), *(len(row[place]) for row in rows))
        if name == "such as":  # which takes what is left, and leaves room for the last
            longest = min(longest, max(width - used - 12, 20))
        size = min(longest, _NAME)
        used += size + 2
        grid.add_column(name, justify=justify, width=size, no_wrap=True, overflow="ellipsis")
    for column, row in zip(table.columns, rows, strict=True):
        grid.add_row(*row, style="dim" if column.role == "undeclared" else "")
    yield grid


def _cells(column: ColumnSeen) -> list[Text]:
    from rich.text import Text

    texts = (
        f"  {column.name}" + (" (key)" if column.role == "key" else ""),
        column.declared or "-",
        column.seen or "missing",
        "" if column.nulls is None else _percent(column.nulls),
        "" if column.values is None else f"{column.values:,}",
        ", ".join(column.examples),
    )
    return [Text(text) for text in texts]


def _see(findings: list[Finding], numbers: dict[int, int]) -> Text:
    from rich.text import Text

    return Text(", ").join(Text(str(numbers[id(one)]), style=_STYLES[one.severity]) for one in findings)


def _percent(share: float) -> str:
    return "-" if share == 0 else f"{share:.1%}" if share >= 0.001 else "<0.1%"


def _label(inspection: Inspection) -> RenderableType:
    from rich.text import Text

    label = inspection.label
    assert label is not None
    text = f"{label.labelled:,} of {label.rows:,} sampled rows have one"
    if label.share is not None and label.labelled < label.rows:
        text += f" ({label.share:.1%} of those whose outcome the samples reach)"
    if label.rate is not None:
        text += f"; {label.rate:.1%} of them are true"
    if label.figures:
        text += f"; {_figures(label.figures)}"
    if label.hours is not None:
        text += f"; known {_span(label.hours)} after the prediction"
    return Text.assemble("\n", ("The label", "bold"), f"  {text}.")


def _figures(figures: dict[str, float]) -> str:
    """A regression's figures, or the shares of classes."""
    if set(figures) == {"lowest", "median", "mean", "highest"}:
        return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
    return ", ".join(f"{share:.1%} of them `{name}`" for name, share in figures.items())


def _span(hours: float) -> str:
    return f"{hours:.3g} hours" if abs(hours) < 72 else f"{hours / 24:.3g} days"


def _findings(findings: Iterable[Finding]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(justify="right", width=4)
    grid.add_column(width=7)
    grid.add_column(overflow="fold")
    for number, one in enumerate(findings, 1):
        place = one.table or ""
        if one.column:
            place = (
                one.column
                if one.column.startswith("prediction.")
                else f"{place}: {one.column}"
                if place
                else one.column
            )
        text = Text.assemble((place, "bold"), "  ", one.seen, "\n", ("→ ", "green"), one.todo)
        grid.add_row(str(number), Text(one.severity, style=_STYLES[one.severity]), text)
    return grid


def _summary(inspection: Inspection) -> RenderableType:
    from rich.text import Text

    looked = [table for table in inspection.tables if table.reason is None]
    if not looked:
        failed = sum(table.failed for table in inspection.tables)
        if not failed:
            return Text("\nNo table has rows yet: checked without data.")
        plural = "s" * (failed != 1)
        return Text(f"\nChecked without data: the source{plural} of {failed} table{plural} could not be read.")
    counts = [
        f"{count} {severity}{'s' * (count != 1)}" for severity in _STYLES if (count := inspection.count(severity))
    ]
    rows = sum(table.rows for table in looked)
    plural = "s" * (len(looked) != 1)
    return Text(f"\n{', '.join(counts) or 'nothing to say'}, from {rows:,} rows of {len(looked)} table{plural}.")
