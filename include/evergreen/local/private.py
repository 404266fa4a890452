"""Files that only their owner may read: passwords and keys, made once for a home."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from evergreen.files import sync_folder


def write_private(path: Path, content: str) -> None:
    """Write a file with mode 0600 by rename; at no moment can others read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp gives mode 0600
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
