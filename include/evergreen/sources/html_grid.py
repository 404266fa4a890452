"""A table of a web page as rows of text: its cells row by row, with their spans, in the columns under its names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from evergreen.errors import SourceError
from evergreen.sources.html_page import LEFT_OUT, Row, attribute, tidy

if TYPE_CHECKING:
    from bs4 import Tag

MOST_SPAN = {"colspan": 1000, "rowspan": 65534}  # as HTML has it
MOST_PLACES = 10_000_000  # of a table, which spans of a few letters could fill by the thousand
GROUPS = ("thead", "tbody", "tfoot")


@dataclass
class Cell:
    """One cell of a grid; a cell that spans several places is the same object in each."""

    parts: list[str]
    href: str | None
    columns: int = 1
    rows: int = 1
    foot: bool = False

    @cached_property
    def text(self) -> str:
        """What a reader sees in it."""
        return tidy("".join(self.parts))


Hanging = dict[int, tuple[Cell, int]]  # column: the cell from above, and for how many more rows


@dataclass(frozen=True)
class Table:
    """The names over the columns and the rows under them."""

    names: list[str]
    rows: list[list[Cell]]


def read_table(table: Tag, header_rows: int) -> Table:
    """The table as a grid; a row that does not fill the columns under the names is refused."""
    grid = _grid(_lines(table))
    header = list(islice(grid, header_rows))
    if len(header) < header_rows:
        raise SourceError(f"the table has {len(header)} rows, and `header_rows` is {header_rows}")
    width = max(map(len, header), default=0)
    head = [[row[column] for row in header if column < len(row)] for column in range(width)]
    names = [" ".join(dict.fromkeys(cell.text for cell in cells if cell.text)) for cells in head]
    rows = []
    for number, row in enumerate(grid, header_rows + 1):
        if not row or row[0].foot or [cell.text for cell in row] == [cell.text for cell in header[-1]]:
            continue  # a header that is repeated for readers
        one_cell = len(row) > 1 and all(cell is row[0] for cell in row)
        if len(row) != width or one_cell:
            found = "one cell across all columns" if one_cell else f"{len(row)} cells where {width} are expected"
            raise SourceError(
                f"row {number} of the table has {found} (`{row[0].text[:80]}`); if it is no data, name it in `without`"
            )
        rows.append(row)
    return Table(names, rows)


def pick(table: Table, columns: Mapping[str, str], base: str) -> list[Row]:
    """The columns of `columns` (column to name over it, with `@href` the link in it), in its order."""
    lowered = [name.lower() for name in table.names]
    places = []
    for column, wanted in columns.items():
        name = wanted.removesuffix("@href")
        found = [index for index, one in enumerate(lowered) if one == tidy(name).lower()]
        if len(found) != 1:
            raise SourceError(
                f"{len(found) or 'no'} column{'s' * (len(found) > 1)} of the table named `{name}` (for `{column}`). "
                f"Found: {', '.join(table.names)}"
            )
        places.append((found[0], wanted.endswith("@href")))
    return [[_part(row[index], href, base) for index, href in places] for row in table.rows]


def _part(cell: Cell, href: bool, base: str) -> str | None:
    if not href:
        return cell.text
    return None if cell.href is None else urljoin(base, cell.href)


@dataclass
class Line:
    """The cells that a row has itself, and the part of the table that it is in."""

    group: Tag | None  # thead, tbody or tfoot
    cells: list[Cell]


def _lines(table: Tag) -> list[Line]:
    """The rows in document order, so that end tags may be left out, as HTML allows."""
    from bs4 import Tag
    from bs4.element import NavigableString

    inner = {id(part) for nested in table.find_all("table") for part in nested.find_all(["tr", "td", "th"])}
    inner |= {id(text) for caption in table.find_all("caption") for text in caption.descendants}
    rows: list[Line] = []
    row = Line(None, [])
    cell = Cell([], None)  # what lies outside of cells is lost in it
    groups: dict[int, Tag | None] = {id(table): None}  # of each element
    for node in table.descendants:
        if isinstance(node, Tag):
            group = groups[id(node)] = node if node.name in GROUPS else groups[id(node.parent)]
            if node.name == "tr" and id(node) not in inner:
                row, cell = Line(group, []), Cell([], None)
                rows += [] if LEFT_OUT in node.attrs else [row]
            elif node.name in ("td", "th") and id(node) not in inner:
                cell = Cell([], None, _span(node, "colspan"), _span(node, "rowspan"))
                cell.foot = row.group is not None and row.group.name == "tfoot"
                row.cells += [] if LEFT_OUT in node.attrs else [cell]
            elif node.name == "a" and cell.href is None:
                cell.href = attribute(node, "href", "")
            cell.parts.append(" " if node.name in ("br", "p", "div", "li", "tr", "td", "th") else "")
        elif type(node) is NavigableString and id(node) not in inner:  # no comment
            cell.parts.append(str(node))
    return rows


def _span(tag: Tag, name: str) -> int:
    text = str(tag.get(name, "1")).strip()
    span = int(text) if re.fullmatch(r"\d{1,6}", text) else 1
    most = MOST_SPAN[name]
    return min(span, most) if span else (most if name == "rowspan" else 1)


def _grid(lines: list[Line]) -> Iterator[list[Cell]]:
    """Every cell at every place that it covers; none hangs into another part of the table."""
    hanging: Hanging = {}
    group, places = None, 0
    for number, line in enumerate(lines, 1):
        if line.group is not group:
            group, hanging = line.group, {}
        places += sum(cell.columns for cell in line.cells) + len(hanging)
        if places > MOST_PLACES:
            raise SourceError(f"the table has more than {MOST_PLACES} cells up to row {number}, as its spans say")
        row, hanging = _row(line.cells, hanging, number)
        yield row


def _row(cells: list[Cell], hanging: Hanging, number: int) -> tuple[list[Cell], Hanging]:
    """One row's places, and what hangs into the next."""
    row: list[Cell] = []
    below: Hanging = {}

    def put(cell: Cell, rows: int) -> None:
        below.update({len(row): (cell, rows - 1)} if rows > 1 else {})
        row.append(cell)

    for cell in cells:
        while len(row) in hanging:
            put(*hanging[len(row)])
        for _ in range(cell.columns):
            if len(row) in hanging:
                raise SourceError(
                    f"row {number} of the table has a cell that runs into one from above (`{cell.text[:80]}`)"
                )
            put(cell, cell.rows)
    while len(row) in hanging:
        put(*hanging[len(row)])
    return row, below
