"""Prints the table of the drills at the end of `make drill`; each test records its row with `record_property`.

`drill` says what was done, `outcome` what came of it, and `undisturbed` and `disturbed` are seconds, where they were
measured. A drill that failed is in the table too.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.drills import summarize

FOLDER = Path(__file__).parent


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write the table; with several processes, this runs in the one that collects their reports."""
    summarize(terminalreporter, FOLDER.relative_to(config.rootpath).as_posix(), "drills")
