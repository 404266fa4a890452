"""The format of a state folder, stamped into it: code never works on a home that newer code has written.

A home without a stamp is of format 1, as every version wrote it before there were stamps (up to commit fff74c5). It is
used as it is: what has been added since has a default, the ledger makes the tables that it lacks, and the stamp is
written by whoever takes the first lock. Raise FORMAT where older code would misread what this code writes.
"""

from __future__ import annotations

import json

from evergreen.errors import EvergreenError
from evergreen.files import write_atomic
from evergreen.paths import Home

FORMAT = 1


def require_format(home: Home) -> None:
    """Raise EvergreenError where the home is of a newer format than this code knows."""
    found = read_format(home)
    if found > FORMAT:
        raise EvergreenError(
            f"{home.root} is of format {found}, written by a newer Evergreen; this code knows formats up to {FORMAT}. "
            "Nothing was changed. Bring the code up to date (`git pull && make setup`), or give it a home of its own "
            "(EVERGREEN_HOME)"
        )


def read_format(home: Home) -> int:
    """The home's format; 1 without a stamp. Raises EvergreenError for a stamp that cannot be read."""
    try:
        return int(json.loads(home.stamp.read_bytes())["format"])
    except FileNotFoundError:
        return 1
    except (ValueError, KeyError, TypeError):
        raise EvergreenError(
            f'{home.stamp} does not say a format, such as {{"format": {FORMAT}}}: restore it from a backup of the home'
        ) from None


def stamp(home: Home) -> None:
    """Write the stamp where there is none."""
    if not home.stamp.exists():
        write_atomic(home.stamp, json.dumps({"format": FORMAT}))
