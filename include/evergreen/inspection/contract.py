"""How many rows of a sample break each rule of their contract, before any is ingested."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from evergreen.inspection.columns import some_values
from evergreen.inspection.convert import is_number
from evergreen.inspection.records import Finding
from evergreen.inspection.samples import Sample
from evergreen.quality.contract import Rule, rules_of

if TYPE_CHECKING:
    import pyarrow as pa


def check_contract(sample: Sample) -> Iterator[Finding]:
    """A finding per rule that rows break; a warning where `evergreen validate` would refuse a file like the sample."""
    import pyarrow.compute as pc

    for rule in rules_of(sample.name, sample.spec, sample.time_zone):
        if rule.column is None or rule.column not in sample.bad or rule.kind == "unique":
            continue  # `known_at` is looked at by itself, absent columns are named, and versions may repeat a value
        values = sample.typed[rule.column]
        broken = _broken(rule, values)
        if count := int(pc.sum(broken).as_py() or 0):
            yield _finding(sample, rule, count, values.filter(broken))


def _broken(rule: Rule, values: pa.ChunkedArray) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if rule.kind == "nulls":
        return values.is_null()
    if rule.kind == "between":
        low, high = rule.options
        outside = [pc.less(values, low)] if low is not None else []
        outside += [pc.greater(values, high)] if high is not None else []
        broken = outside[0] if len(outside) == 1 else pc.or_(*outside)
        return pc.fill_null(broken, False)
    texts = values if is_number(values.type) else values.cast(pa.string())
    distinct = pc.unique(texts.drop_null())
    if rule.kind == "in":
        bad = [value for value in distinct.to_pylist() if value not in rule.options]
    else:
        bad = [value for value in distinct.to_pylist() if re.search(rule.options, value) is None]
    return pc.is_in(texts, value_set=pa.array(bad, texts.type))


def _finding(sample: Sample, rule: Rule, count: int, values: pa.ChunkedArray) -> Finding:
    share, most = count / sample.rows, sample.spec.quarantine.max_share
    critical = rule.severity == "critical" and share > 1 - rule.mostly
    refused = rule.quarantines and (critical or share > most)
    examples = f", such as {', '.join(some_values(values))}" if rule.kind != "nulls" else ""
    if not rule.quarantines:
        todo = "Nothing: the rule only warns."
    elif refused:
        why = "a critical column" if critical else f"more than `quarantine.max_share`, {most:.3g}"
        todo = f"A file like this is refused ({why}). Mend the contract where it is wrong, else the source."
    else:
        todo = "Nothing if the values are wrong: such rows go to quarantine, and come back when the contract is mended."
    return Finding(
        severity="warning" if refused else "note", table=sample.name, column=rule.column,
        seen=f"{count:,} of {sample.rows:,} rows ({share:.2%}) break the contract, {rule.expected}{examples}.",
        todo=todo,
    )  # fmt: skip
