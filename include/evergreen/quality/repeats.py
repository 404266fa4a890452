"""Rows of one file that say something else than the row of their key before them: corrections, or too short a key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evergreen.params.tables import Table
from evergreen.quality.contract import ROW
from evergreen.quality.expressions import connect
from evergreen.sql import quote

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def repeats(rows: pa.Table, table: Table, admissible: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Those of the `admissible` rows (by their `_row`) that count as a correction of an earlier one in the file.

    Equal rows are none, as in `known_rows`; the last one counts, from the ingest that brought the file on.
    """
    import numpy as np
    import pyarrow as pa

    rows, key = rows.filter(pa.array(admissible)), list(table.key)
    if rows.select(key).group_by(key, use_threads=False).aggregate([]).num_rows == rows.num_rows:
        return np.empty(0, dtype=np.int64)
    names = ", ".join(map(quote, key))
    same_key = " AND ".join(f"a.{quote(name)} IS NOT DISTINCT FROM m.{quote(name)}" for name in key)
    others = [quote(name) for name in table.columns if name not in key]
    same = " AND ".join(f"{name} IS NOT DISTINCT FROM lag({name}) OVER w" for name in others) or "true"
    connection = connect()
    connection.register("incoming", rows)
    found = connection.execute(f"""
        WITH often AS (SELECT {names} FROM incoming GROUP BY ALL HAVING count(*) > 1),
        compared AS (
            SELECT {ROW}, row_number() OVER w > 1 AND NOT ({same}) AS differs
            FROM incoming a SEMI JOIN often m ON {same_key} WINDOW w AS (PARTITION BY {names} ORDER BY {ROW})
        )
        SELECT {ROW} FROM compared WHERE differs ORDER BY 1""").fetchnumpy()
    return np.asarray(found[ROW])
