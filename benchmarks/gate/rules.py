"""How often the gate's rules on calibration and segments hold something against a candidate without reason.

    .venv/bin/python -m benchmarks.gate.rules [--runs 200] [--features build/features.parquet]

Simulated: two equally good models whose errors move by day (and by segment and day), judged over and over. With the
feature table of a build of the flights, known on 29 April 2013 or later: models of random halves of the days before
March and before April, judged on the four weeks after; then planted ones. docs/gate.md quotes both.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.gate.world import logistic
from evergreen.params import load_params
from evergreen.params.gate import Gate
from evergreen.registry.gate import Evidence, Facts, Verdict, decide
from evergreen.registry.groups import segments_of
from evergreen.training.evaluation.days import local_days
from evergreen.training.evaluation.levels import Levels

DAYS = 28
END = datetime(2013, 4, 29, 4, tzinfo=UTC)


def judge(rows: dict[str, Any], gate: Gate, start: datetime) -> Verdict:
    """The verdict on `rows`, columns of Evidence, all of a window from `start`."""
    facts = Facts(
        as_of=start + timedelta(days=DAYS), window_end=start + timedelta(days=DAYS), candidate_cutoff=start,
        time_zone="America/New_York", build="new", candidate_sha256="a", threshold=0.2, champion_build="old",
        champion_model="model", champion_sha256="b", champion_cutoff=start,
    )  # fmt: skip
    return decide(Evidence(**rows), gate, facts)


def failed(verdict: Verdict, name: str) -> bool:
    """Whether a rule holds something against the candidate."""
    return any(rule.rule == name and rule.passed is False for rule in verdict.rules)


def simulate(runs: int) -> None:
    """Print the shares of equally good candidates that the rules reject."""
    start = END - timedelta(days=DAYS)
    for per_day in (20, 40, 200):
        for margin in (0.0, 0.01, 0.02):
            counts = dict.fromkeys(("calibration", "segments"), 0)
            for seed in range(runs):
                gate = Gate(resamples=300, calibration={"margin": margin}, segments={"margin": margin}, min_days=7)
                verdict = judge(_equals(seed, per_day, start), gate, start)
                for name in counts:
                    counts[name] += failed(verdict, name)
            shares = ", ".join(f"{name} {count / runs:.1%}" for name, count in counts.items())
            print(f"{per_day * DAYS} rows, margin {margin:g}: rejected by {shares}", flush=True)


def _equals(seed: int, per_day: int, start: datetime) -> dict[str, Any]:
    random, rows = np.random.default_rng(seed), DAYS * per_day
    day, score = np.repeat(np.arange(DAYS), per_day), random.normal(-1, 1.5, rows)
    part = random.choice(30, rows, p=random.dirichlet(np.ones(30)))

    def model() -> np.ndarray:
        own = random.normal(0, 0.3, (DAYS, 30))[day, part] + random.normal(0, 0.3, DAYS)[day]
        return logistic(score + own)

    known = np.datetime64(start.replace(tzinfo=None), "us") + np.timedelta64(1, "h")
    known = known + (day * 86_400_000_000).astype("timedelta64[us]")
    return {
        "label": (random.random(rows) < logistic(score)).astype(float), "candidate": model(), "champion": model(),
        "day": day, "known_at": known, "first_known_at": known,
        "segments": {"part": Levels(part, tuple(f"{place:02d}" for place in range(30)))},
    }  # fmt: skip


def flights(path: Path) -> None:
    """Print the verdicts on models of halves of the days, and on planted ones."""
    params = load_params(Path("params.yaml"))
    frame = pd.read_parquet(path)
    frame = frame[frame["_label"].notna()].reset_index(drop=True)
    x = frame[params.features.names()].astype(dict.fromkeys(params.features.categorical, "category"))
    day, random = local_days(frame["_time"], params.time_zone), np.random.default_rng(0)
    for start in (datetime(2013, 3, 1, 5, tzinfo=UTC), datetime(2013, 4, 1, 4, tzinfo=UTC)):
        begin, known = start.replace(tzinfo=None), frame["_label_known_at"]
        window = ((frame["_label_first_known_at"] > begin) & (known <= begin + timedelta(days=DAYS))).to_numpy()
        before, judged = (known <= begin).to_numpy(), frame[window]
        rows = {
            "label": judged["_label"].to_numpy("float64"), "day": day[window], "segments": segments_of(params, judged),
            "known_at": judged["_label_known_at"].to_numpy().astype("datetime64[us]"),
            "first_known_at": judged["_label_first_known_at"].to_numpy().astype("datetime64[us]"),
        }  # fmt: skip
        for number in range(8):
            days = np.unique(day[before])
            half = np.isin(day, random.choice(days, len(days) // 2, replace=False))
            p = [_fit(x, frame["_label"], before & part).predict_proba(x[window])[:, 1] for part in (half, ~half)]
            _say(f"{start:%B}, halves {number}", rows, start, *p)
        old = _fit(x, frame["_label"], (known <= begin - timedelta(days=DAYS)).to_numpy()).predict_proba(x[window])
        new = _fit(x, frame["_label"], before).predict_proba(x[window])[:, 1]
        score, carrier = np.log(new / (1 - new)), judged["carrier"].to_numpy()
        _say(f"{start:%B}, newer", rows, start, new, old[:, 1])
        _say(f"{start:%B}, logit times 1.6", rows, start, logistic(1.6 * score), old[:, 1])
        for name in ("UA", "MQ", "FL"):
            _say(f"{start:%B}, ruinous for {name}", rows, start, np.where(carrier == name, 1 - new, new), old[:, 1])


def _fit(x: pd.DataFrame, label: pd.Series[float], rows: np.ndarray) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        early_stopping=False, random_state=0, categorical_features="from_dtype", max_iter=60
    )
    return model.fit(x[rows], label[rows])


def _say(name: str, rows: dict[str, Any], start: datetime, candidate: np.ndarray, champion: np.ndarray) -> None:
    verdict = judge({**rows, "candidate": candidate, "champion": champion}, Gate(), start)
    found = {rule.rule: rule for rule in verdict.rules}
    calibration, better = found["calibration"].numbers, found["better"].numbers
    print(
        f"{name}: {verdict.verdict}; log-loss {better['difference']:+.4f}, calibration error "
        f"{calibration['candidate']:.3f} against {calibration['champion']:.3f} ({calibration['worse']:.0%} beyond), "
        f"worse in {found['segments'].numbers['worse'] or 'no segment'}",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--features", type=Path)
    given = parser.parse_args()
    simulate(given.runs)
    if given.features:
        flights(given.features)
