"""A web page as rows of text: the cells of a table with their spans, or the parts of repeated elements.

Whatever is not as params.yaml says raises SourceError, never an empty table: the page's layout has changed.
"""

from __future__ import annotations

import codecs
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from evergreen.errors import SourceError

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

MOST_SPAN = {"colspan": 1000, "rowspan": 65534}  # as HTML has it
MAY_STAY_OPEN = ("li", "dt", "dd", "p", "option", "colgroup", "thead", "tbody", "tfoot")
LEFT_OUT = "data-left-out"
Row = list[str | None]


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


@dataclass(frozen=True)
class Table:
    """The names over the columns and the rows under them."""

    names: list[str]
    rows: list[list[Cell]]


def open_page(content: bytes, charset: str | None, without: Sequence[str]) -> BeautifulSoup:
    """The page's tree without the elements that the selectors of `without` match."""
    from bs4 import BeautifulSoup, XMLParsedAsHTMLWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)  # XHTML says that it is XML, and is sent as HTML
        page = BeautifulSoup(content, "html.parser", from_encoding=charset)
    told = charset or page.declared_html_encoding
    if page.contains_replacement_characters or (told and not _same(told, page.original_encoding)):
        raise SourceError(f"is not in the encoding that it names ({told or page.original_encoding})")
    for tag in page.select(", ".join(["script", "style", "template", *without])):
        _leave_out(tag)
    return page


def _leave_out(tag: Tag) -> None:
    """Remove an element; a row or a cell is marked, since without its end tag the parser puts what follows inside."""
    if tag.name in ("tr", "td", "th"):
        tag[LEFT_OUT] = ""
    elif tag.name in MAY_STAY_OPEN and tag.find(tag.name):
        raise SourceError(f"an end tag of {tag.name} is left out, so that `without` cannot say where it ends")
    else:
        tag.decompose()


def _same(told: str, used: str | None) -> bool:
    """Whether the page could be read in the encoding that it names; the parser goes on to guess where it cannot."""
    try:
        return codecs.lookup(told).name == codecs.lookup(used or "").name
    except LookupError:
        return False


def find_table(page: BeautifulSoup, selector: str | None, caption: str | None) -> Tag:
    """The one table that the selector or the caption names."""
    tables: list[Tag] = list(page.select(selector) if selector else page.find_all("table"))
    if caption is not None:
        tables = [one for one in tables if one.caption is not None and tidy(one.caption.get_text(" ")) == tidy(caption)]
    wanted = f"the selector {selector}" if selector else f"the caption `{caption}`"
    if len(tables) != 1 or tables[0].name != "table":
        kinds = ", ".join(_outline(one) for one in (tables or page.find_all("table"))[:10]) or "no table at all"
        raise SourceError(f"{len(tables)} elements match {wanted}, where one table is expected. Found: {kinds}")
    return tables[0]


def read_table(table: Tag, header_rows: int) -> Table:
    """The table as a grid; a row that does not fill the columns under the names is refused."""
    grid = _grid(_cells(table))
    if len(grid) < header_rows:
        raise SourceError(f"the table has {len(grid)} rows, and `header_rows` is {header_rows}")
    width = max((len(row) for row in grid[:header_rows]), default=0)
    head = [[row[column] for row in grid[:header_rows] if column < len(row)] for column in range(width)]
    names = [" ".join(dict.fromkeys(cell.text for cell in cells if cell.text)) for cells in head]
    rows = []
    for number, row in enumerate(grid[header_rows:], header_rows + 1):
        if not row or row[0].foot or [cell.text for cell in row] == [cell.text for cell in grid[header_rows - 1]]:
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


def pick_fields(page: BeautifulSoup, selector: str, fields: Mapping[str, str], base: str) -> list[Row]:
    """For each element that the selector matches, the parts that the selectors of `fields` match in it."""
    rows: list[Row] = []
    for number, element in enumerate(page.select(selector), 1):
        row: Row = []
        for column, wanted in fields.items():
            inner, _, attribute = wanted.partition("@")
            found = element.select(inner) if inner else [element]
            if len(found) > 1:
                raise SourceError(f"{len(found)} parts of row {number} match {inner} (for `{column}`); expected one")
            row.append(_attribute(found[0], attribute, base) if found else None)
        rows.append(row)
    never = [column for index, column in enumerate(fields) if rows and all(row[index] is None for row in rows)]
    if never:
        raise SourceError(f"no row has a part that matches {fields[never[0]]} (for `{never[0]}`)")
    return rows


def tidy(text: str) -> str:
    """The text as a reader sees it: one space for any run of white space."""
    return " ".join(text.split())


def _part(cell: Cell, href: bool, base: str) -> str | None:
    if not href:
        return cell.text
    return None if cell.href is None else urljoin(base, cell.href)


def _attribute(tag: Tag, name: str, base: str) -> str | None:
    if not name:
        return tidy(tag.get_text(" "))
    value = tag.get(name)
    text = " ".join(value) if isinstance(value, list) else value
    return urljoin(base, text) if text is not None and name in ("href", "src") else text


def _cells(table: Tag) -> list[list[Cell]]:
    """The cells row by row in document order, so that end tags may be left out, as HTML allows."""
    from bs4 import Tag
    from bs4.element import NavigableString

    inner = {id(part) for nested in table.find_all("table") for part in nested.find_all(["tr", "td", "th"])}
    inner |= {id(text) for caption in table.find_all("caption") for text in caption.descendants}
    rows: list[list[Cell]] = []
    row: list[Cell] = []
    cell = Cell([], None)  # what lies outside of cells is lost in it
    foot = False
    for node in table.descendants:
        if isinstance(node, Tag):
            if node.name in ("thead", "tbody", "tfoot"):
                foot = node.name == "tfoot"
            elif node.name == "tr" and id(node) not in inner:
                row, cell = [], Cell([], None)
                rows += [] if LEFT_OUT in node.attrs else [row]
            elif node.name in ("td", "th") and id(node) not in inner:
                cell = Cell([], None, _span(node, "colspan"), _span(node, "rowspan"), foot)
                row += [] if LEFT_OUT in node.attrs else [cell]
            elif node.name == "a" and cell.href is None:
                cell.href = _attribute(node, "href", "")
            cell.parts.append(" " if node.name in ("br", "p", "div", "li", "tr", "td", "th") else "")
        elif type(node) is NavigableString and id(node) not in inner:  # no comment
            cell.parts.append(str(node))
    return rows


def _span(tag: Tag, name: str) -> int:
    text = str(tag.get(name, "1")).strip()
    span = int(text) if re.fullmatch(r"\d{1,6}", text) else 1
    most = MOST_SPAN[name]
    return min(span, most) if span else (most if name == "rowspan" else 1)


def _grid(rows: list[list[Cell]]) -> list[list[Cell]]:
    """Every cell at every place that it covers."""
    grid: list[list[Cell]] = []
    hanging: dict[int, tuple[Cell, int]] = {}  # column: the cell from above, and for how many more rows
    for cells in rows:
        row: list[Cell] = []
        waiting, column, below = iter(cells), 0, dict[int, tuple[Cell, int]]()
        cell = next(waiting, None)
        while cell is not None or column in hanging:
            if column in hanging:
                above, left = hanging[column]
                row.append(above)
                below |= {column: (above, left - 1)} if left > 1 else {}
                column += 1
                continue
            assert cell is not None
            for _ in range(cell.columns):
                row.append(cell)
                below |= {column: (cell, cell.rows - 1)} if cell.rows > 1 else {}
                column += 1
            cell = next(waiting, None)
        grid.append(row)
        hanging = below
    return grid


def _outline(tag: Tag) -> str:
    caption = f" with the caption `{tidy(tag.caption.get_text(' '))}`" if tag.caption else ""
    named = f"#{tag.get('id')}" if tag.get("id") else "".join(f".{name}" for name in tag.get("class") or ())
    return f"{tag.name}{named}{caption}"
