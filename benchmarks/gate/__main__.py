"""What the gate costs, how often chance alone passes it, and what it says of planted candidates.

    .venv/bin/python -m benchmarks.gate [--rows 100000] [--looks 1000] [--quarters 300] [--to table.md]

Times are of one gate window on the shipped estimator: predictions of candidate, refit and champion, the evidence
stored and read again, the verdict with its rules for 16 x 3 x 7 segments. Not counted is what a retrain run does
besides: the build's worktree, the ledger, MLflow.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.evaluate import CATEGORIES, OPTIONS, ZONE, learned, recipes, world
from benchmarks.gate.chance import NIGHTS, Share, one_look, promotions, quarters
from benchmarks.gate.planted import against, verdicts
from benchmarks.gate.world import facts
from evergreen.params import load_params
from evergreen.params.gate import Gate
from evergreen.paths import Home
from evergreen.registry.evidence import as_evidence, evidence_rows, load_evidence, store_evidence
from evergreen.registry.gate import decide
from evergreen.training.artifacts import predict
from evergreen.training.evaluation.levels import levels_of
from evergreen.training.threads import one_thread

ROOT = Path(__file__).parents[2]
BEGIN = datetime(2024, 1, 1, 5, tzinfo=UTC)


def cost(rows: int, days: int, folder: Path) -> Iterator[tuple[str, float, float]]:
    """Each part of the work, and its wall and CPU seconds."""
    model = learned(recipes()[0], world(20_000, 60, seed=0))
    frame = world(rows, days, seed=1)
    frame["_key"] = [f"{row:07d}" for row in range(rows)]
    frame["_label_known_at"] = frame["_label_first_known_at"] = frame["_time"]

    def timed(name: str, work: Callable[[], Any]) -> Any:
        wall, cpu = time.monotonic(), time.process_time()
        made = work()
        spent.append((name, time.monotonic() - wall, time.process_time() - cpu))
        return made

    spent: list[tuple[str, float, float]] = []
    p = timed("predictions of three models", lambda: [predict(model, frame) for _ in range(3)])[0]
    segments = {name: levels_of(frame[name], name in CATEGORIES, cut) for name, cut in (OPTIONS.segments or {}).items()}
    sensitive = {name: levels_of(frame[name], True) for name in OPTIONS.sensitive}
    groups = {"segment": segments, "sensitive": sensitive}
    home = Home(folder)
    stored = timed("evidence written", lambda: store_evidence(home, evidence_rows(frame, p, 0.9 * p, ZONE, p, groups)))
    evidence = timed("evidence read", lambda: as_evidence(load_evidence(home, stored)))
    gate = load_params(ROOT / "params.yaml").gate.model_copy(update={"floor": {}})
    end = BEGIN + timedelta(days=days)
    known = facts(
        as_of=end, window_end=end, candidate_cutoff=BEGIN - timedelta(days=1), last_promotion=None,
        champion_cutoff=BEGIN - timedelta(days=1), model_sha256="cc",
    )  # fmt: skip
    verdict = timed("verdict", lambda: decide(evidence, gate, known))
    assert any(rule.rule == "segments" for rule in verdict.rules), verdict.reason
    spent.append(("all", sum(wall for _, wall, _ in spent), sum(cpu for *_, cpu in spent)))
    yield from spent


def chance(gate: Gate, looks: int, times: int) -> Iterator[str]:
    """Lines of the table of false promotions."""
    yield f"One look, the whole gate, {looks:,} pairs of equally good models: {one_look(gate, looks)}"
    yield f"\nA quarter of {NIGHTS} nights, {times:,} of them; the champion fixed, no other rule than `better`:\n"
    yield "| alike | persist | looks | a night passes | promotions a quarter | quarters with one or more |"
    yield "| --: | --: | --- | --: | --: | --: |"
    for alike, persist in ((0.98, 0.0), (0.98, 0.5), (0.9, 0.0)):
        passes = quarters(gate, times, alike, persist)
        for name, every, step in (("nightly", 1, 1), ("nightly, every: 7 days", 7, 1), ("weekly", 1, 7)):
            made = [promotions(one, every, step) for one in passes]
            some, night = Share(sum(count > 0 for count in made), times), f"{passes[:, ::step].mean():.1%}"
            yield f"| {alike:g} | {persist:g} | {name} | {night} | {sum(made) / times:.2f} | {some} |"


def lines(given: argparse.Namespace, folder: Path) -> Iterator[str]:
    """The whole report."""
    gate = Gate()
    yield f"{given.rows:,} rows of {given.days} days, {gate.resamples:,} resamples; load {os.getloadavg()[0]:.1f}:\n"
    yield "| part | seconds | of CPU |\n| --- | --: | --: |"
    for name, wall, cpu in cost(given.rows, given.days, folder):
        yield f"| {name} | {wall:.2f} | {cpu:.2f} |"
    yield ""
    yield from chance(gate, given.looks, given.quarters)
    yield "\n| planted candidate | verdict | by |\n| --- | --- | --- |"
    for name, verdict in verdicts(gate):
        yield f"| {name} | {verdict.verdict} | {against(verdict)} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=28)
    parser.add_argument("--looks", type=int, default=1000)
    parser.add_argument("--quarters", type=int, default=300)
    parser.add_argument("--to", type=Path, default=None)
    given = parser.parse_args()
    told = []
    with one_thread(), tempfile.TemporaryDirectory(prefix="evergreen-gate-") as scratch:
        for line in lines(given, Path(scratch)):
            print(line, flush=True)
            told.append(line)
    if given.to:
        given.to.write_text("\n".join(told) + "\n")


if __name__ == "__main__":
    main()
