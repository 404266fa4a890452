"""What the gate is worth: several gates over the same retrains, side by side, for the page and the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from evergreen.backtest.results import BacktestResult, PolicyResult, Retrain

NO_GATE = "no gate"
OWN = "the gate of params.yaml"


@dataclass(frozen=True)
class Row:
    """One policy through one gate."""

    gate: str
    policy: PolicyResult

    @property
    def worst(self) -> Retrain | None:
        """The promotion that hurt the most; None where none did."""
        hurt = [one for one in self.policy.retrains if one.hurt]
        return max(hurt, key=lambda one: one.loss, default=None)

    @property
    def outcomes(self) -> dict[str, int]:
        """How many candidates ended which way, in the order of the plot. Equal losses did no harm."""
        made = [one for one in self.policy.retrains if not one.failed]
        return {
            "promoted, was better": sum(one.promoted and not one.hurt for one in made),
            "promoted, hurt": self.policy.counts.hurt,
            "kept out, was worse": sum(not one.promoted and not one.missed for one in made),
            "kept out, missed": self.policy.counts.missed,
        }


def compared(found: BacktestResult) -> dict[str, list[Row]]:
    """The rows of each policy that was replayed through `backtest.gates`: no gate first, then params.yaml's own."""
    names = dict.fromkeys(one.name for one in found.gates)
    return {name: list(_rows(found, name)) for name in names}


def in_words(found: BacktestResult) -> str:
    """What the gates did over all policies, in promotions that hurt and gains missed; no uplift is claimed."""
    rows = [row for group in compared(found).values() for row in group]
    told = []
    for gate in dict.fromkeys(row.gate for row in rows):
        counts = [row.policy.counts for row in rows if row.gate == gate]
        hurt, much = sum(one.hurt for one in counts), sum(one.hurt_much for one in counts)
        missed = f", and kept out {sum(one.missed for one in counts)} that would have been better"
        told.append(
            f"{gate}: {hurt} of {sum(one.promoted for one in counts)} promotions hurt, {much} of them by more than "
            f"{found.settings.margin:.1%}{'' if gate == NO_GATE else missed}"
        )
    return "; ".join(told)


def worst_in_words(found: BacktestResult, row: Row) -> str:
    """How much the worst promotion cost until the next look, and when it was; empty where none hurt."""
    one = row.worst
    if one is None:
        return ""
    return f"+{one.loss:.4f} ({one.as_of.astimezone(ZoneInfo(found.time_zone)):%Y-%m-%d})"


def _rows(found: BacktestResult, name: str) -> Iterator[Row]:
    for one in found.policies:
        if one.name == name:
            yield Row(OWN if one.gated else NO_GATE, one)
    for one in found.gates:
        if one.name == name and one.gate is not None:
            yield Row(one.gate, one)
