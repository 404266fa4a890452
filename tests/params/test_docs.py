"""The reference page is made from the models and committed."""

from __future__ import annotations

from evergreen.params.docs import render_params_page
from evergreen.params.model import Params
from evergreen.sources.catalog import SOURCES
from tests.conftest import ROOT


def test_the_committed_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "params.md").read_text() == render_params_page(SOURCES)


def test_every_top_level_key_has_a_row() -> None:
    page = render_params_page(SOURCES)
    for name in Params.model_fields:
        assert f"| `{name}` |" in page
