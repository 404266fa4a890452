"""A web page as a tree, the table in it, and rows of text that are the parts of repeated elements.

Whatever is not as params.yaml says raises SourceError, never an empty table: the page's layout has changed.
"""

from __future__ import annotations

import codecs
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from evergreen.errors import SourceError

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

MAY_STAY_OPEN = ("li", "dt", "dd", "p", "option", "colgroup", "thead", "tbody", "tfoot")
LEFT_OUT = "data-left-out"
Row = list[str | None]


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


def check_end(page: BeautifulSoup, content: bytes, table: Tag | None, sized: bool) -> None:
    """Raise SourceError where the end of the table, or of the page, did not come; `sized`: its length was told.

    A body without a length ends where the connection does, and the parser closes whatever is open.
    """
    text = content.decode(page.original_encoding or "utf-8", "replace").lower()
    if table is None:
        whole = sized
    else:
        closed = any(one.next_sibling is not None for one in (table, *table.parents))
        whole = closed or text.count("</table") >= text.count("<table")
    if not whole and "</html" not in text:
        missing = "</table>" if table is not None else "</html>"
        raise SourceError(f"its end did not come: there is no {missing} after {len(content)} bytes; ingest again")


def pick_fields(page: BeautifulSoup, selector: str, fields: Mapping[str, str], base: str) -> list[Row]:
    """For each element that the selector matches, the parts that the selectors of `fields` match in it."""
    rows: list[Row] = []
    for number, element in enumerate(page.select(selector), 1):
        row: Row = []
        for column, wanted in fields.items():
            inner, _, name = wanted.partition("@")
            found = element.select(inner) if inner else [element]
            if len(found) > 1:
                raise SourceError(f"{len(found)} parts of row {number} match {inner} (for `{column}`); expected one")
            row.append(attribute(found[0], name, base) if found else None)
        rows.append(row)
    never = [column for index, column in enumerate(fields) if rows and all(row[index] is None for row in rows)]
    if never:
        raise SourceError(f"no row has a part that matches {fields[never[0]]} (for `{never[0]}`)")
    return rows


def tidy(text: str) -> str:
    """The text as a reader sees it: one space for any run of white space."""
    return " ".join(text.split())


def attribute(tag: Tag, name: str, base: str) -> str | None:
    if not name:
        return tidy(tag.get_text(" "))
    value = tag.get(name)
    text = " ".join(value) if isinstance(value, list) else value
    return urljoin(base, text) if text is not None and name in ("href", "src") else text


def _outline(tag: Tag) -> str:
    caption = f" with the caption `{tidy(tag.caption.get_text(' '))}`" if tag.caption else ""
    named = f"#{tag.get('id')}" if tag.get("id") else "".join(f".{name}" for name in tag.get("class") or ())
    return f"{tag.name}{named}{caption}"
