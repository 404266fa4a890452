"""From the rows that broke each rule to the verdict on one file: which rows go on, and whether the file does.

Pure: it sees one file's rows alone, so that a verdict does not depend on what was checked together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evergreen.params.tables import Table
from evergreen.quality.contract import Rule
from evergreen.quality.records import Failure

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Broken = Mapping[int, np.ndarray[Any, Any]]  # place of the rule -> its rows, ascending

_ROUNDING = 1e-9  # 0.07 * 100 is a little more than 7
_LOOKED_AT = 100  # rows that examples are taken from


@dataclass(frozen=True)
class Verdict:
    """`bad` marks the rows for quarantine; `critical` says why nothing of the file may be used, or is None."""

    bad: np.ndarray[Any, Any]
    failures: tuple[Failure, ...]
    critical: str | None


def judge(
    rows: pa.Table, table: Table, rules: Sequence[Rule], broken: Broken, rejects: Sequence[Failure] = ()
) -> Verdict:
    """Judge one file by the rows that broke each of its rules, and by the records of it that could not be rows."""
    bad = mark_bad(rows.num_rows, rules, broken)
    failures = (
        *rejects,
        *(_failure(rows, table, rules[place], numbers) for place, numbers in sorted(broken.items()) if len(numbers)),
    )
    reasons = [
        reason for place, numbers in sorted(broken.items())
        if (reason := _too_few_pass(rows, table, rules[place], numbers))
    ]  # fmt: skip
    kept_out = sum(failure.count for failure in rejects)
    share = table.quarantine.max_share
    if reason := _too_many_quarantined(int(bad.sum()) + kept_out, len(bad) + kept_out, share, failures):
        reasons.append(reason)
    return Verdict(bad, failures, "; ".join(reasons) or None)


def mark_bad(count: int, rules: Sequence[Rule], broken: Broken) -> np.ndarray[Any, Any]:
    """A mask of the `count` rows that a quarantining rule catches."""
    import numpy as np

    bad = np.zeros(count, dtype=bool)
    for place, numbers in broken.items():
        if rules[place].quarantines:
            bad[numbers] = True
    return bad


def reasons_of(rules: Sequence[Rule], broken: Broken, bad: np.ndarray[Any, Any]) -> list[str]:
    """For each row of `bad`, in order, the rules that it broke, warnings too."""
    reasons: dict[int, list[str]] = {int(number): [] for number in bad.nonzero()[0]}
    for place, numbers in sorted(broken.items()):
        for number in numbers:
            if int(number) in reasons:
                reasons[int(number)].append(rules[place].label)
    return ["; ".join(labels) for labels in reasons.values()]


def _failure(rows: pa.Table, table: Table, rule: Rule, numbers: np.ndarray[Any, Any]) -> Failure:
    return Failure(
        column=rule.column, rule=rule.kind, severity=rule.severity, count=len(numbers),
        share=len(numbers) / rows.num_rows, expected=rule.expected, examples=_examples(rows, table, rule, numbers),
    )  # fmt: skip


def _examples(rows: pa.Table, table: Table, rule: Rule, numbers: np.ndarray[Any, Any]) -> tuple[str, ...]:
    """Up to three different values that broke the rule; where the value says nothing, the rows' keys."""
    names = [rule.column] if rule.column and rule.kind != "nulls" else list(table.key)
    first = rows.select(names).take(numbers[:_LOOKED_AT]).to_pylist()
    if len(names) == 1 and names[0] == rule.column:
        shown = [str(row[rule.column]) for row in first]
    else:
        shown = [", ".join(f"{name}={row[name]}" for name in names) for row in first]
    return tuple(dict.fromkeys(shown))[:3]


def _too_few_pass(rows: pa.Table, table: Table, rule: Rule, numbers: np.ndarray[Any, Any]) -> str | None:
    total, failed = rows.num_rows, len(numbers)
    if rule.severity != "critical" or not failed or failed <= (1 - rule.mostly) * total + _ROUNDING:
        return None
    wanted = "all rows" if rule.mostly == 1 else f"at least {_percent(rule.mostly)} of the rows"
    came = ", ".join(_examples(rows, table, rule, numbers))
    return f"`{rule.column}` expected {rule.expected} in {wanted}; {_counted(failed, total)} broke it, such as {came}"


def _too_many_quarantined(bad: int, total: int, max_share: float, failures: Sequence[Failure]) -> str | None:
    """One row never fails a file, however small the file is, unless `max_share` is 0."""
    if not bad or (bad == 1 and max_share > 0) or bad <= max_share * total + _ROUNDING:
        return None
    worst = sorted((failure for failure in failures if failure.severity != "warning"), key=lambda one: -one.count)
    by_rule = ", ".join(
        f"{one.column or one.rule}: {one.expected} ({one.count}, such as {' / '.join(one.examples)})"
        for one in worst[:3]
    )
    wanted = f"expected at most {_percent(max_share)} of the rows in quarantine"
    return f"{wanted}; {_counted(bad, total)} came there: {by_rule}"


def _counted(part: int, total: int) -> str:
    return f"{part} of {total} rows ({_percent(part / total)})"


def _percent(share: float) -> str:
    return f"{share * 100:.4g}%"
