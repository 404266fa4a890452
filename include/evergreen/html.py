"""What our pages share: one file each, that a browser without network shows; texts are escaped here."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1c2a22;background:#fff}
h1{font-size:1.4rem} h2{font-size:1.1rem;margin-top:2rem} table{border-collapse:collapse;width:100%}
td,th{padding:.25rem .6rem;border-bottom:1px solid #dde5df;text-align:right;font-variant-numeric:tabular-nums}
td:first-child,th:first-child,.text{text-align:left} th{vertical-align:bottom} .note{color:#56645b}
.wide{overflow-x:auto} svg{width:100%;height:auto}
code{font-size:.92em;overflow-wrap:anywhere} .figures{display:flex;flex-wrap:wrap;gap:1rem;align-items:flex-start}
.figures img{max-width:min(100%,34rem);height:auto;border:1px solid #dde5df}
"""


def document(title: str, parts: Iterable[str], style: str = "", heading: str | None = None) -> str:
    """A whole page of parts that are HTML already, under `heading` (default: the title); `style` adds to ours."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}{style}</style></head>'
        f"<body><h1>{escape(heading or title)}</h1>{''.join(parts)}</body></html>\n"
    )


def section(title: str, *parts: str) -> str:
    """A heading with what follows it; nothing where nothing does."""
    body = "".join(parts)
    return f"<h2>{escape(title)}</h2>{body}" if body else ""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], texts: Sequence[int] = ()) -> str:
    """A table of plain texts; `texts` are the places of the columns that hold words, not numbers."""

    def cells(tag: str, row: Sequence[str]) -> str:
        marks = [' class="text"' if place in texts else "" for place in range(len(row))]
        return "".join(f"<{tag}{mark}>{escape(text)}</{tag}>" for mark, text in zip(marks, row, strict=True))

    lines = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{cells("th", heads)}</tr>{lines}</table></div>' if lines else ""


def listed(texts: Iterable[str]) -> str:
    """A list of sentences."""
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f"<ul>{items}</ul>" if items else ""


def paragraph(text: str, note: bool = False) -> str:
    """One paragraph; a note is less loud."""
    return f'<p class="note">{escape(text)}</p>' if note else f"<p>{escape(text)}</p>"


def pictures(images: dict[str, bytes]) -> str:
    """PNG images beside each other, by what they show."""
    found = (
        f'<img alt="{escape(name)}" src="data:image/png;base64,{b64encode(image).decode()}">'
        for name, image in images.items()
    )
    inside = "".join(found)
    return f'<div class="figures">{inside}</div>' if inside else ""
