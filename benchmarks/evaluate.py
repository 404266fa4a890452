"""What an evaluation costs: 100,000 judged rows, with every interval, segment, pair, group and importance.

    .venv/bin/python -m benchmarks.evaluate [--rows 100000] [--days 60] [--runs 3]

The rows are made up: 16 x 3 x 7 segments, 24 features, days that are late together. Prints seconds and the size of
evaluation.json. The model's fit is not counted, its predictions of the importance are.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from evergreen.params import load_params
from evergreen.params.evaluation import Cost, Cut, Evaluation
from evergreen.training.artifacts import predict
from evergreen.training.curves import curves_of, write_curves
from evergreen.training.evaluation.assess import assess
from evergreen.training.evaluation.days import Days
from evergreen.training.evaluation.judged import Judged
from evergreen.training.evaluation.records import Threshold
from evergreen.training.evaluation.tables import tables_of
from evergreen.training.frame import inputs
from evergreen.training.pipeline import Recipe, fit
from evergreen.training.threads import one_thread

ROOT = Path(__file__).parents[1]
ZONE = "America/New_York"
CATEGORIES = {"team": 16, "place": 3, "route": 100}
NUMBERS = [f"number_{place}" for place in range(20)]
FEATURES = (*CATEGORIES, "minute", *NUMBERS)
OPTIONS = Evaluation(
    cost=Cost(false_negative=5, false_positive=1),
    segments={"team": Cut(), "place": Cut(), "minute": Cut(edges=(360, 540, 720, 900, 1080, 1260))},
    sensitive=("place",),
    rule=("team", "place"),
)


def world(rows: int, days: int, seed: int) -> pd.DataFrame:
    """Rows in order of time, whose outcomes share what kind of day it is."""
    random = np.random.default_rng(seed)
    seconds = np.sort(random.integers(0, days * 86400, rows))
    frame = pd.DataFrame({name: random.integers(0, levels, rows).astype("str") for name, levels in CATEGORIES.items()})
    for name in NUMBERS:
        frame[name] = random.normal(size=rows)
    frame["minute"] = (seconds // 60 % 1440).astype("float64")
    frame["_time"] = np.datetime64("2024-01-01T05", "us") + seconds.astype("timedelta64[s]")
    logit = frame[NUMBERS[:6]].sum(axis=1) / 3 + random.normal(scale=0.5, size=days)[seconds // 86400] - 1.3
    frame["_label"] = (random.random(rows) < 1 / (1 + np.exp(-logit))).astype("float64")
    return frame


def recipes() -> list[Recipe]:
    """The shipped estimator and the shipped baseline, on these features."""
    params = load_params(ROOT / "params.yaml")
    shipped = [Recipe.candidate(params), Recipe.baseline(params)]
    return [replace(recipe, names=FEATURES, categorical=tuple(CATEGORIES)) for recipe in shipped if recipe]


def learned(recipe: Recipe, rows: pd.DataFrame) -> object:
    """A fit on the rows."""
    return fit(recipe, inputs(rows, FEATURES, CATEGORIES), rows["_label"].to_numpy())


def measure(judged: Judged, trained: pd.DataFrame, twin: object, folder: Path) -> tuple[float, float]:
    """Wall and CPU seconds of one evaluation, written as the stage writes it."""
    wall, cpu = time.monotonic(), time.process_time()
    days = Days.of(judged.rows["_time"], ZONE, OPTIONS)
    threshold = Threshold(value=judged.threshold or 0.5, by="cost", rows=len(trained))
    said = assess(judged, days, OPTIONS, trained, partial(predict, twin), FEATURES, threshold, ZONE)
    said.write(folder / "evaluation.json")
    curves = curves_of(judged.y, judged.p, threshold.value) | tables_of(judged, days, said)
    write_curves(folder / "plots", curves)
    return time.monotonic() - wall, time.process_time() - cpu


def main() -> None:
    """Print each run's seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    trained, rows = world(given.rows, 90, seed=0), world(given.rows, given.days, seed=1)
    with one_thread(), tempfile.TemporaryDirectory(prefix="evergreen-evaluate-") as scratch:
        twin, baseline = (learned(recipe, trained) for recipe in recipes())
        p_baseline = predict(baseline, rows)
        y, p = rows["_label"].to_numpy(), predict(twin, rows)
        judged = Judged("binary", rows, y, p, p_baseline, tuple(CATEGORIES), 1 / 6, OPTIONS.cost)
        for run in range(given.runs):
            wall, cpu = measure(judged, trained, twin, Path(scratch))
            size = (Path(scratch) / "evaluation.json").stat().st_size
            print(f"{run + 1} of {given.runs}: {len(rows):,} rows, {given.days} days, {OPTIONS.resamples} resamples: "
                  f"{wall:.1f} s ({cpu:.1f} s CPU); evaluation.json {size / 1000:.0f} kB", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
