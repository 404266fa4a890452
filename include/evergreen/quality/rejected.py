"""Records that could not be rows, as what a file broke: they count for `quarantine.max_share` as rows do.

So a producer that starts to send something else is a refused file, and not a table that quietly gets fewer rows.
"""

from __future__ import annotations

from pathlib import Path

from evergreen.lake.manifests import DataFile
from evergreen.lake.rejects import read_rejects
from evergreen.quality.records import Failure

EXAMPLES = 3
_LOOKED_AT = 100


def rejected(lake: Path, file: DataFile) -> tuple[Failure, ...]:
    """The rejects of one raw file as a failure; none where it has none. Raises LakeError where they were altered."""
    if file.rejects is None:
        return ()
    reasons = dict.fromkeys(f"{one.place} {one.reason}" for one in read_rejects(lake, [file], _LOOKED_AT))
    count = file.rejects.rows
    return (
        Failure(
            column=None, rule="rejected", severity="error", count=count, share=count / (count + file.rows),
            expected="every record can be a row", examples=tuple(reasons)[:EXAMPLES],
        ),
    )  # fmt: skip
