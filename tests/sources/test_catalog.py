from __future__ import annotations

from typing import Any

import pytest

from evergreen.errors import ParamsError
from evergreen.sources.catalog import open_source


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"kind": "cvs"}, r"`tables.jobs.source.kind` is `cvs`: did you mean `csv`\? Known: csv"),
        ({"kind": "smtp"}, r"`tables.jobs.source.kind` is `smtp`: Known: csv"),
        ({"kind": "csv"}, r"`tables.jobs.source` lacks `path`: A path or glob"),
        ({"kind": "csv", "path": 3}, r"`tables.jobs.source.path` is 3: .*valid string"),
        (
            {"kind": "csv", "path": "x", "delimeter": ";"},
            r"source.delimeter` is not an option: did you mean `delimiter`",
        ),
        ({"kind": "csv", "path": "x", "delimiter": ";;"}, r"source.delimiter` is ';;': "),
    ],
)
def test_a_bad_source_is_an_error_that_names_table_key_and_what_is_known(source: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        open_source("jobs", source)
