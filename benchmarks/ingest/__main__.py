"""Each source's ingest beside its limit, in one run: `make bench-ingest [ROWS=3400000] [RUNS=5] [PATHS="csv kafka"]`.

Limit and ingest take turns, each in a process of its own, and what ingest wrote is checked: rows, sums, missing values.
The ratio is the median of the pairs'. Once, at the first size, it also runs what a user would write. With several ROWS,
such as "3400000 10000000", the growth of the peak memory is that beyond the first. Kafka has KAFKA_ROWS, 1,000,000.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.ingest.data import Flights
from benchmarks.ingest.paths import WAYS, Run, opened

GROWTH = 1.1  # of the peak memory, at most
HEAD = (
    "path", "rows", "limit beside it", "limit, s", "ingest, s", "ratio", "CPU-s, limit and ingest", "peak memory, MB",
    "what a user would write",
)  # fmt: skip


@dataclass
class Figures:
    """What was measured of one path at one size."""

    name: str
    rows: int
    pairs: list[tuple[Run, Run]] = field(default_factory=list)  # limit and ingest
    user: Run | None = None

    @property
    def ratio(self) -> float:
        return median(ingest.seconds / limit.seconds for limit, ingest in self.pairs)

    @property
    def memory(self) -> float:
        return max(ingest.memory for _, ingest in self.pairs)

    def row(self, first: Figures) -> str:
        """The line of the table; `first` is the same path at the first size."""
        way = WAYS[self.name]
        limits, ingests = zip(*self.pairs, strict=True)
        memory = judged(f"{self.memory:.0f}", self.memory, way.memory)
        if first is not self:
            memory += ", " + judged(f"{self.memory / first.memory:.2f}x", self.memory / first.memory, GROWTH)
        user = f"{way.user}: {self.user.seconds:.1f} s, {self.user.memory:,.0f} MB" if self.user else ""
        if self.user and self.user.rows != self.rows:
            user += f" for {self.user.rows:,} rows"
        cells = (
            self.name, f"{self.rows:,}", way.limit, f"{median(one.seconds for one in limits):.2f}",
            f"{median(one.seconds for one in ingests):.2f}", judged(f"{self.ratio:.2f}", self.ratio, way.ratio),
            f"{median(one.cpu for one in limits):.1f}, {median(one.cpu for one in ingests):.1f}", memory, user,
        )  # fmt: skip
        return line(cells)


def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[3_400_000])
    parser.add_argument("--kafka-rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--paths", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--to", type=Path, help="also write the table into this file")
    given = parser.parse_args()
    began = time.monotonic()
    lines = [line(HEAD), line("---" for _ in HEAD)]
    notes: list[str] = []
    for name in given.paths:
        done: list[Figures] = []
        for rows in given.kafka_rows if name == "kafka" else given.rows:
            figures, note = measure(name, rows, given.runs, user=not done)
            done.append(figures)
            lines.append(figures.row(done[0]))
            notes += [note] if note else []
    text = "\n".join([*lines, *("" if not notes else ("", *notes)), ""])
    print(f"\n{text}\nIn all {time.monotonic() - began:.0f} s.")
    if given.to:
        given.to.write_text(text)


def measure(name: str, rows: int, runs: int, user: bool) -> tuple[Figures, str]:
    """Limit and ingest by turns, then the rest."""
    flights = Flights(rows)
    figures = Figures(name, flights.rows)
    say(f"{name}: {flights.rows:,} rows are put where they are read from")
    place = Path(tempfile.mkdtemp(prefix="evergreen-ingest-"))
    try:
        with opened(WAYS[name], place / name, flights) as bench:
            for number in range(1, runs + 1):
                limit, ingest = bench.limit(), bench.ingest()
                assert limit.rows == ingest.rows == flights.rows, (limit, ingest, flights.rows)
                figures.pairs.append((limit, ingest))
                say(
                    f"{name}, {number} of {runs}: limit {limit.seconds:.2f} s, ingest {ingest.seconds:.2f} s, ratio "
                    f"{ingest.seconds / limit.seconds:.2f}, peak memory {ingest.memory:.0f} MB"
                )
            if user:
                say(f"{name}: what a user would write")
                figures.user = bench.user()
            return figures, bench.last()
    finally:
        shutil.rmtree(place)


def judged(shown: str, value: float, most: float) -> str:
    """A figure with its bar."""
    return f"{shown} ({'' if value <= most else 'NOT '}<= {most})"


def line(cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


if __name__ == "__main__":
    main()
