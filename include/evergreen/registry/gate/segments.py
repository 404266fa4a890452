"""Segments: better on the whole, and ruinous for one of its parts? Every segment is tested, and the looks corrected.

A segment's loss by day is resampled in whole days, which gives the standard error of the difference to the champion
beyond the margin; its p-value is Student's with as many days. Holm's procedure then keeps the chance that any of many
segments is held against a candidate without reason at 1 - `confidence`, whatever they have in common.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evergreen.params.gate import Gate
from evergreen.params.limits import SegmentLimit
from evergreen.registry.gate.records import Evidence, Facts, Rule

if TYPE_CHECKING:
    import numpy as np

SHARE = 0.05  # of the champion's loss: the margin where none is configured
NAMED = 5  # segments that a text names


@dataclass(frozen=True)
class _Segment:
    name: str
    rows: int
    days: int
    candidate: float  # mean losses
    champion: float
    p: float | None  # that it is worse by no more than the margin; None: too small to judge


def segments(evidence: Evidence, gate: Gate, facts: Facts) -> list[Rule]:
    """Fails where the candidate is shown to be worse in a segment; those too small to judge are named."""
    import numpy as np

    from evergreen.registry.bootstrap import row_losses

    if gate.segments is None or evidence.champion is None or not evidence.segments:
        return []
    metric = gate.metric_of(facts.kind)
    own, other = (row_losses(metric, evidence.label, p) for p in (evidence.candidate, evidence.champion))
    if not (np.isfinite(own).all() and np.isfinite(other).all()):
        return [Rule(rule="segments", passed=None, text=f"{metric} by segment cannot be computed: a loss is infinite")]
    found = list(_segments(evidence, gate, gate.segments, own, other))
    judged = [one for one in found if one.p is not None]
    level = 1 - gate.segments.confidence
    worse = holm([one.p for one in judged if one.p is not None], level)
    failed = sorted((judged[place] for place in worse), key=lambda one: (one.p or 0, one.name))
    small = sorted(one.name for one in found if one.p is None)
    numbers = {
        "judged": len(judged), "too_small": small, "worse": [one.name for one in failed], "level": level,
        "rows_of_rare_levels": {name: int((levels.place < 0).sum()) for name, levels in evidence.segments.items()},
        "segments": {one.name: {"rows": one.rows, "days": one.days, "candidate": one.candidate,
                                "champion": one.champion, "p": one.p} for one in judged},
    }  # fmt: skip
    text = _said(gate.segments, facts, len(judged), failed, small)
    return [Rule(rule="segments", passed=not failed, text=text, numbers=numbers)]


def holm(p: Sequence[float], level: float) -> list[int]:
    """The places of the hypotheses that Holm's step-down procedure rejects at a family-wise `level`."""
    rejected = []
    for step, place in enumerate(sorted(range(len(p)), key=lambda place: p[place])):
        if p[place] > level / (len(p) - step):
            break
        rejected.append(place)
    return rejected


def _segments(
    evidence: Evidence, gate: Gate, limit: SegmentLimit, own: np.ndarray, other: np.ndarray
) -> Iterator[_Segment]:
    import numpy as np

    from evergreen.registry.bootstrap import Blocks

    beyond = own - other * (1 + SHARE) if limit.margin is None else own - other - limit.margin
    blocks = Blocks.of(evidence.day, resamples=gate.resamples, seed=gate.seed)
    for column, levels in evidence.segments.items():
        total = len(levels.names)
        sums, rows = (blocks.sums(values, levels.place, total) for values in (beyond, np.ones(len(beyond))))
        count = rows.sum(axis=0)
        means = [blocks.sums(values, levels.place, total).sum(axis=0) / np.maximum(count, 1) for values in (own, other)]
        days = (rows > 0).sum(axis=0)
        p = _p_values(blocks.drawn, sums, rows)
        for place, level in enumerate(levels.names):
            enough = count[place] >= limit.min_rows and days[place] >= gate.min_days
            yield _Segment(
                f"{column}={level}", int(count[place]), int(days[place]),
                float(means[0][place]), float(means[1][place]), float(p[place]) if enough else None,
            )  # fmt: skip


def _p_values(drawn: np.ndarray, sums: np.ndarray, rows: np.ndarray) -> Any:
    """One-sided, (segments,): how likely so large a mean of `sums` through `rows` is where the true one is zero."""
    import numpy as np
    from scipy import stats

    resampled = drawn @ rows
    defined = resampled > 0  # a resample may have drawn no day of a small segment
    means = np.divide(drawn @ sums, resampled, out=np.zeros(resampled.shape), where=defined)
    times = np.maximum(defined.sum(axis=0), 1)
    spread = ((means - means.sum(axis=0) / times) ** 2 * defined).sum(axis=0) / times
    days = np.maximum((rows > 0).sum(axis=0), 2)
    error = np.sqrt(spread * days / (days - 1))
    mean = sums.sum(axis=0) / np.maximum(rows.sum(axis=0), 1)
    # Without any spread the mean is what it is.
    t = np.divide(mean, error, out=np.where(mean > 0, np.inf, -np.inf), where=error > 0)
    return stats.t.sf(t, days - 1)


def _said(limit: SegmentLimit, facts: Facts, judged: int, failed: Sequence[_Segment], small: Sequence[str]) -> str:
    margin = f"{SHARE:.0%} of the champion's loss there" if limit.margin is None else f"{limit.margin:g}"
    sure = f"by more than {margin}, at {limit.confidence:.0%} confidence for all {judged} segments together"
    text = f"in no segment shown to be worse than {facts.champion_build} {sure}"
    if failed:
        text = f"worse than {facts.champion_build} in {_named([_against(one) for one in failed])} {sure}"
    elif not judged:
        text = f"no segment has {limit.min_rows} rows to be judged on"
    return f"{text}; {len(small)} are too small to judge: {_named(small)}" if small else text


def _against(one: _Segment) -> str:
    return f"{one.name} ({one.candidate:.4f} against {one.champion:.4f} on {one.rows} rows)"


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
