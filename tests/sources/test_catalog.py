from __future__ import annotations

from typing import Any

import pytest

from evergreen.errors import ParamsError
from evergreen.params import load_params_text
from evergreen.sources.catalog import check_sources, open_source
from tests.conftest import SMALL


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"kind": "csvs"}, r"`tables.jobs.source.kind` is `csvs`: did you mean `csv`\? Known: csv, parquet"),
        ({"kind": "smtp"}, r"`tables.jobs.source.kind` is `smtp`: Known: csv"),
        ({"kind": "csv"}, r"`tables.jobs.source` lacks `path`: A path or glob"),
        ({"kind": "csv", "path": 3}, r"`tables.jobs.source.path` is 3: .*valid string"),
        (
            {"kind": "csv", "path": "x", "delimeter": ";"},
            r"source.delimeter` is not an option: did you mean `delimiter`",
        ),
        ({"kind": "csv", "path": "x", "delimiter": ";;"}, r"source.delimiter` is ';;': "),
        (
            {"kind": "http_json", "url": "http://x", "pages": {"by": "page", "siz": 3}},
            r"`tables.jobs.source.pages.siz` is not an option: did you mean `size`\? Known: by, param",
        ),
        ({"kind": "http_json", "url": "http://x", "pages": {}}, r"`tables.jobs.source.pages` lacks `by`: `link`: the "),
        (
            {"kind": "http_json", "url": "http://x", "pages": {"by": "cursor"}},
            r"`tables.jobs.source.pages` is .*`by: cursor` needs `next`",
        ),
        ({"kind": "http_json", "url": "http://x", "records": "$..a"}, r"source.records` is '\$..a': .*is not a path"),
        ({"kind": "html_table", "url": "http://x"}, r"`tables.jobs.source`: name a table by `table` or `caption`"),
    ],
)
def test_a_bad_source_is_an_error_that_names_table_key_and_what_is_known(source: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        open_source("jobs", source)


def test_the_mistakes_of_all_tables_are_told_at_once() -> None:
    params = load_params_text(SMALL.replace("kind: csv, path", "kind: csv, paht"))
    with pytest.raises(ParamsError) as raised:
        check_sources(params)
    lines = str(raised.value).splitlines()
    assert len(lines) == 4
    assert "`tables.jobs.source.paht` is not an option: did you mean `path`?" in lines[1]
    assert "`tables.outcomes.source` lacks `path`: A path or glob" in lines[2]
