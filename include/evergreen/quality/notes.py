"""What broke a rule of severity `warning`, in a line for people: such rows went on."""

from __future__ import annotations

from collections.abc import Iterable

from evergreen.quality.records import Failure, FileValidation


def notes_of(records: Iterable[FileValidation]) -> list[str]:
    """A line for each warning of files that count, with its rows in all of them and examples of the first."""
    found: dict[tuple[str | None, str, str], list[Failure]] = {}
    for record in records:
        for failure in record.failures if record.clean is not None else ():
            if failure.severity == "warning":
                found.setdefault((failure.column, failure.rule, failure.expected), []).append(failure)
    return [_line(failures) for failures in found.values()]


def _line(failures: list[Failure]) -> str:
    first, rows = failures[0], sum(failure.count for failure in failures)
    such = f", such as {' / '.join(first.examples)}" if first.examples else ""
    if first.rule == "key":
        return (
            f"{rows} row(s) repeat a key of their file with other values{such}: the last one counts, as a correction "
            "from its ingest on. Where they are different things, `key` lacks a column; where the source sends every "
            "version, state `changed_at`"
        )
    return f"`{first.column or first.rule}` expected {first.expected}: {rows} row(s) broke it{such}"
