"""The named points of the code, read from it, so that a new one cannot be forgotten."""

from __future__ import annotations

import re
from pathlib import Path

import evergreen

LIBRARY = Path(evergreen.__file__).parent
INGEST = ("sources", "stages/ingest.py", "lake/raw.py", "lake/manifests.py", "files.py")


def named_points(*places: str) -> set[str]:
    """The points in these files and folders; `{...}` of an f-string stands for any name."""
    found = [LIBRARY / place for place in places]
    files = [file for path in found for file in (path.rglob("*.py") if path.is_dir() else [path])]
    return {name for file in files for name in re.findall(r'\bpoint\(f?"([^"]+)"\)', file.read_text())}
