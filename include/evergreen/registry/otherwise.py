"""What a candidate's own params.yaml lets it be judged by otherwise than the champion was, which a reviewer must see.

A build is judged by the params of its own commit. That commit may lower the bar for itself: another confidence, another
seed, fewer segments, another label. None of it is forbidden, and none of it goes unsaid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from evergreen.errors import ParamsError
from evergreen.ledger import Decision
from evergreen.params import Params
from evergreen.registry.bundle import Bundle

JUDGING = ("time_zone", "prediction", "gate")  # sections, and those of evaluation's keys that a verdict comes from
ABSENT = "absent"
EVALUATION = ("segments", "sensitive", "cost")


def looks(decisions: Iterable[Decision], champion: str) -> int:
    """How many verdicts were given against this champion before; each is a chance to pass by luck."""
    return sum(one.kind == "gate" and (one.inputs.get("champion") or {}).get("build") == champion for one in decisions)


def changed(candidate: Bundle, champion: Bundle) -> dict[str, Any]:
    """By name, such as `gate.confidence`, what either has; empty where they are judged alike."""
    try:
        before = _flat(champion.params)
    except ParamsError as error:
        return {"params.yaml": f"that of {champion.build} cannot be read: {error}"}
    now = _flat(candidate.params)
    return {
        name: {"champion": before.get(name, ABSENT), "candidate": now.get(name, ABSENT)}
        for name in sorted(before | now)
        if before.get(name, ABSENT) != now.get(name, ABSENT)  # null is a value: of a rule, that it is not asked
    }


def _flat(params: Params) -> dict[str, Any]:
    every = params.model_dump(mode="json", include={*JUDGING, "evaluation"})
    every["evaluation"] = {name: every["evaluation"][name] for name in EVALUATION}
    return dict(_leaves("", every))


def _leaves(name: str, value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, Mapping) or not value:
        return [(name, value)]
    return [leaf for key, one in value.items() for leaf in _leaves(f"{name}.{key}" if name else str(key), one)]
