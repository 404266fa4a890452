"""A decision as a person reads it: Markdown that is as readable in a terminal as it is rendered.

`evergreen decisions show` prints it, and the page on which a promotion is approved shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evergreen.clock import format_time
from evergreen.ledger.markdown import listed, shown, table, unlinked
from evergreen.ledger.records import Decision

OUTCOMES = {True: "passed", False: "failed", None: "cannot be judged"}
_OF_A_GATE = ("gate", "facts", "rules", "metrics", "candidate", "champion", "window", "files",
              "changed", "looks")  # fmt: skip


def describe(decision: Decision) -> str:
    """Verdict and reason, rules with their numbers, metrics, models, rows, and who decided when.

    What was not recorded is left out, so decisions of every kind and of every version can be shown.
    """
    inputs = decision.inputs
    parts = [
        f"# {_title(decision)}",
        "\n".join(f"> {line}" for line in decision.reason.splitlines() or ["no reason was given"]),
        *_otherwise(inputs),  # before the rules: whether the bar was lowered is read first
        *_rules(inputs.get("rules") or []),
        *_metrics(inputs.get("metrics") or {}),
        *_section("Models", _models(decision)),
        *_section("Rows", _rows(decision)),
        *_section("Settings of the gate", inputs.get("gate") or {}),
        *_section("Recorded with it", {key: value for key, value in inputs.items() if key not in _OF_A_GATE}),
        *_section("Who and when", _who(decision)),
    ]
    return unlinked("\n\n".join(parts)) + "\n"


def _title(decision: Decision) -> str:
    if decision.kind == "rollback":
        return f"rollback to {decision.build}"
    return f"{decision.verdict}: {decision.kind} of {decision.build or 'no build'}"


def _rules(rules: Sequence[Mapping[str, Any]]) -> list[str]:
    """One table of all rules, and one for each rule that has rows of numbers, such as a segment each."""
    if not rules:
        return []
    rows, more = [], []
    for rule in rules:
        name, numbers = str(rule.get("rule")), rule.get("numbers") or {}
        # The ledger sorts keys; what was found is read before what it is held against.
        few = [key for key in sorted(numbers, key=lambda key: key != "value") if not _nests(numbers[key])]
        said = shown({key.replace("_", " "): numbers[key] for key in few}) if few else str(rule.get("text", ""))
        rows.append([name, OUTCOMES.get(rule.get("passed"), "cannot be judged"), said])
        more += [
            f"### {name}: {key.replace('_', ' ')}\n\n{_many(_as_rows(value))}"
            for key, value in numbers.items()
            if _nests(value)
        ]
    return ["## Rules", table(["rule", "outcome", "numbers"], rows), *more]


def _nests(value: Any) -> bool:
    inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return bool(inside) and all(isinstance(one, Mapping) for one in inside)


def _as_rows(value: Mapping[str, Mapping[str, Any]] | list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [{"": name, **one} for name, one in value.items()] if isinstance(value, Mapping) else value


def _many(rows: list[Mapping[str, Any]]) -> str:
    columns = _union(rows)
    body = [[_outcome(name, row) for name in columns] for row in rows]
    return table([name.replace("_", " ") for name in columns], body)


def _outcome(column: str, row: Mapping[str, Any]) -> str:
    """A cell of such a row; one that passed or did not says so as a rule does."""
    value = row.get(column)
    return OUTCOMES[value] if column == "passed" and column in row and value in OUTCOMES else shown(value)


def _metrics(metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The candidate's figures beside the champion's, on the same rows."""
    if not metrics:
        return []
    rows = [[name, *(shown(whose.get(name)) for whose in metrics.values())] for name in _union(metrics.values())]
    return ["## Metrics on the gate's rows", table(["metric", *metrics], rows)]


def _otherwise(inputs: Mapping[str, Any]) -> list[str]:
    """What the candidate's own params change of how it is judged, and how many verdicts came before this one."""
    if "looks" not in inputs:
        return []  # a first model, or a decision from before this was recorded
    changes = inputs.get("changed") or {"params.yaml": "nothing that a verdict comes from"}
    before = {"verdicts on this champion before": inputs["looks"]}
    return ["## Changed since the champion, by the candidate's own commit", listed({**changes, **before})]


def _models(decision: Decision) -> dict[str, Any]:
    inputs = decision.inputs
    facts, found = inputs.get("facts") or {}, {}
    if decision.kind == "rollback":  # its candidate is whom it goes back to
        return {"champion again": inputs.get("candidate"), "taken off": inputs.get("champion")}
    if inputs.get("candidate"):
        found["candidate"] = inputs["candidate"]
        found["champion"] = inputs.get("champion") or "none, this is the first model"
    if facts.get("champion_model"):
        found["compared with"] = f"the champion's {facts['champion_model']}"
    return found


def _rows(decision: Decision) -> dict[str, Any]:
    window = dict(decision.inputs.get("window") or {})
    if {"start", "end"} <= window.keys():
        window = {"labels known": f"after {window.pop('start')} and by {window.pop('end')}"} | window
    evidence = {"evidence": f"SHA-256 {decision.evidence}"} if decision.evidence else {}
    return window | (decision.inputs.get("files") or {}) | evidence


def _who(decision: Decision) -> dict[str, Any]:
    return {
        "id": f"`{decision.id}`",
        "use case": decision.name,
        "as of": format_time(decision.as_of),
        "decided by": decision.actor,
        "recorded at": format_time(decision.created_at),
    }


def _section(title: str, entries: Mapping[str, Any]) -> list[str]:
    return [f"## {title}", listed({key.replace("_", " "): one for key, one in entries.items()})] if entries else []


def _union(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))
