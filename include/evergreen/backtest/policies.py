"""The policies: when each retrains, on which labels, and whether the gate is asked."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from evergreen.backtest.moments import months_before
from evergreen.params import Params
from evergreen.params.backtest import NEVER, SLIDING, Backtest, setting_of

Retrain = Literal["never", "monthly", "weekly", "triggers"]


@dataclass(frozen=True)
class Policy:
    """One way to keep a model fresh."""

    name: str
    retrain: Retrain
    gated: bool = False
    months: int | None = None  # of the labels that it learns from
    expanding: bool = False  # all labels known, whatever training.window says
    gate: str | None = None  # of backtest.gates; None: the section `gate`

    @property
    def title(self) -> str:
        """The name and which gate is asked, as tables show it."""
        if self.gate is not None:
            return f"{self.name}, {self.gate}"
        return self.name if self.retrain == "never" else f"{self.name}, {'gated' if self.gated else 'ungated'}"

    def params(self, params: Params, as_of: datetime) -> Params:
        """The params of a build as of `as_of`: those of the project, with this policy's gate and training window."""
        if self.gate is not None:
            setting = params.backtest.gates[self.gate]
            params = params.model_copy(update={"gate": setting_of(params.gate, setting)})
        if not self.expanding and self.months is None:
            return params
        window = span_of_months(as_of, self.months, params.zone) if self.months else None
        return params.model_copy(update={"training": params.training.model_copy(update={"window": window})})


def policies(wanted: Backtest) -> list[Policy]:
    """Every policy asked for, `never` first."""
    found = [Policy(NEVER, "never")]
    for name in dict.fromkeys(wanted.policies):
        if name != NEVER:
            gates = {"both": (False, True), "only": (True,), "never": (False,)}[wanted.gated]
            found += [_policy(name, gated) for gated in gates]
    return found


def other_gates(wanted: Backtest) -> list[Policy]:
    """Each policy with a calendar through each of `backtest.gates`; alarms would ask for other retrains each time."""
    names = [name for name in dict.fromkeys(wanted.policies) if name not in (NEVER, "triggers")]
    return [dataclasses.replace(_policy(name, True), gate=gate) for name in names for gate in wanted.gates]


def span_of_months(end: datetime, months: int, zone: ZoneInfo) -> timedelta:
    """The last `months` months before `end` as whole local days, which is how `training.window` counts."""
    start = months_before(end, months, zone)
    return timedelta(days=(end.astimezone(zone).date() - start.astimezone(zone).date()).days)


def _policy(name: str, gated: bool) -> Policy:
    if match := SLIDING.match(name):
        return Policy(name, "monthly", gated, months=int(match[1]))
    if name == "triggers":
        return Policy(name, "triggers", gated)
    return Policy(name, "weekly" if name == "weekly" else "monthly", gated, expanding=True)
