"""`make drill-kill KILLS=1000`: kill each source's ingest while its data changes, and compare the lake with the source.

`SOURCES=kafka,csv` kills those alone. `SEED=7` writes the same rows and draws the same points, and the same moments as
shares of a run's length; what meets what is up to the machine.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.kills.drill import ROUND, Killer, Tally
from tests.kills.sources import WORLDS, Servers
from tests.kills.table import is_wrong, spared, table
from tests.kills.worlds import Failed

SHOWN_EVERY = 10.0  # seconds


class Progress:
    """Tells how far the drill is, and how long it will take."""

    def __init__(self, goal: int) -> None:
        self._goal, self._begun, self._shown = goal, time.monotonic(), 0.0

    def show(self, tallies: list[Tally], last: bool = False) -> None:
        now, done = time.monotonic(), sum(tally.kills for tally in tallies)
        if not done or (now - self._shown < SHOWN_EVERY and not last):
            return
        self._shown, rate = now, done / (now - self._begun)
        left = (self._goal - done) / rate
        here = f"{tallies[-1].name}: {tallies[-1].kills}"
        print(f"{done:5} of {self._goal} kills, {rate:.1f} a second, {left / 60:.0f} min left ({here})", flush=True)


def main() -> int:
    kinds = (os.environ.get("SOURCES") or "").replace(",", " ").split()
    known = sorted({world.kind for world in WORLDS})
    if unknown := set(kinds) - set(known):
        print(f"SOURCES: `{min(unknown)}` is not a source; known: {', '.join(known)}", file=sys.stderr)
        return 2
    worlds = [world for world in WORLDS if not kinds or world.kind in kinds]
    kills, seed = int(os.environ.get("KILLS") or 1000), int(os.environ.get("SEED") or random.randrange(10_000))
    print(f"{kills} kills, SEED={seed}", flush=True)
    progress, tallies, failures = Progress(kills), list[Tally](), list[str]()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="drill-kill-")))
        servers = Servers(folder, stack)
        for number, world in enumerate(worlds):
            killer = Killer(world.name, servers.maker(world), folder, seed)
            tallies.append(killer.tally)
            goal = kills * (number + 1) // len(worlds) - kills * number // len(worlds)
            since = time.monotonic()
            try:
                killer.learn()
                while (left := goal - killer.tally.kills) > 0:
                    killer.round(min(left, ROUND), lambda: progress.show(tallies))
            except Failed as failed:
                failures.append(f"{world.name}: {failed}")
            killer.tally.seconds = time.monotonic() - since
    progress.show(tallies, last=True)
    print("\n".join(["", *table(tallies), "", *failures, *([] if kinds else spared(tallies))]))
    return int(bool(failures) or any(map(is_wrong, tallies)))


if __name__ == "__main__":
    sys.exit(main())
