"""Rules as a Great Expectations suite, and the rows that break them.

The settings are the fastest that were measured: the pandas engine on float64, category and datetime64 columns, one
ValidationDefinition for the whole suite, first with booleans only, then the failed expectations again with the index
of each row. Great Expectations drops what it does not know with no more than a log line, so counts are asserted.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evergreen.quality.contract import Rule

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_SEVERITIES = {"warning": "warning", "error": "critical", "critical": "critical"}
_VOLATILE = ("id", "suite_parameters")
_INDEX = ("unexpected_index_list", "partial_unexpected_index_list", "unexpected_list")


def find_broken(
    frame: pd.DataFrame, rules: Sequence[Rule], columns: Sequence[str]
) -> tuple[list[np.ndarray[Any, Any]], dict[str, Any]]:
    """For each rule the row numbers of `frame` that break it, ascending; and the suite's result for a reader.

    `columns[i]` is the column of `frame` that `rules[i]` looks at. The frame has at least one row.
    """
    import numpy as np

    first = _run(frame, rules, columns, range(len(rules)), {"result_format": "BOOLEAN_ONLY"})
    failed = [place for place, result in first.items() if not result["success"]]
    complete = {"result_format": "COMPLETE", "return_unexpected_index_query": False}
    second = _run(frame, rules, columns, failed, complete) if failed else {}
    broken = [np.empty(0, dtype=np.int64) for _ in rules]
    for place, result in second.items():
        broken[place] = np.sort(np.asarray(result["result"]["unexpected_index_list"], dtype=np.int64))
    return broken, {"rows": len(frame), "results": [_readable(second.get(i, first[i])) for i in range(len(rules))]}


def _run(
    frame: pd.DataFrame, rules: Sequence[Rule], columns: Sequence[str], places: Sequence[int], result_format: Any
) -> dict[int, dict[str, Any]]:
    """Validate the rules at `places`; each one's result by its place."""
    gx = _great_expectations()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("rows").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("rows")
    expectations = [_expectation(rules[place], columns[place], place) for place in places]
    suite = context.suites.add(gx.ExpectationSuite(name="contract", expectations=expectations))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name="contract", data=batch, suite=suite))
    with warnings.catch_warnings():
        # pandas says that a pattern's groups are not returned; we do not want them.
        warnings.filterwarnings("ignore", "This pattern is interpreted as a regular expression", UserWarning)
        answer = definition.run(batch_parameters={"dataframe": frame}, result_format=result_format)
    results = {result["expectation_config"]["meta"]["rule"]: result for result in answer.to_json_dict()["results"]}
    if not len(suite.expectations) == len(results) == len(places):
        raise RuntimeError(f"{len(places)} rules became {len(suite.expectations)} expectations, {len(results)} results")
    for place, result in results.items():
        if result["exception_info"].get("raised_exception", True):
            raise RuntimeError(f"{rules[place].label}: Great Expectations failed: {result['exception_info']}")
    return results


def _great_expectations() -> Any:
    with warnings.catch_warnings():
        # It imports modules of the standard library that Python 3.11 deprecates; that is not ours to mend.
        warnings.filterwarnings("ignore", r"module 'sre_\w+' is deprecated", DeprecationWarning)
        import great_expectations

        return great_expectations


def _expectation(rule: Rule, column: str, place: int) -> Any:
    from great_expectations import expectations as gxe

    shared = {"column": column, "severity": _SEVERITIES[rule.severity], "meta": {"rule": place, "says": rule.label}}
    if rule.kind in ("nulls", "known_at"):
        return gxe.ExpectColumnValuesToNotBeNull(**shared)
    if rule.kind == "between":
        return gxe.ExpectColumnValuesToBeBetween(min_value=rule.options[0], max_value=rule.options[1], **shared)
    if rule.kind == "in":
        return gxe.ExpectColumnValuesToBeInSet(value_set=list(rule.options), **shared)
    if rule.kind == "matches":
        return gxe.ExpectColumnValuesToMatchRegex(regex=rule.options, **shared)
    raise ValueError(f"{rule.label}: a rule of the kind {rule.kind} is not one of a single row")


def _readable(result: dict[str, Any]) -> dict[str, Any]:
    """Without run ids, times and row numbers: the same rows give the same bytes."""
    config = {key: value for key, value in result["expectation_config"].items() if key not in _VOLATILE}
    config["kwargs"] = {key: value for key, value in config["kwargs"].items() if key != "batch_id"}
    counts = {key: value for key, value in result["result"].items() if key not in _INDEX}
    return {"success": result["success"], "expectation_config": config, "result": counts}
