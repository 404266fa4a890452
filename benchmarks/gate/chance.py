"""How often two equally good models are told apart: at one look, and over a quarter of nightly looks.

The model of dependence. On each day a model errs by a shift of its own in log-odds, of mean zero and the same spread
for champion and candidate, so neither is better. A day's shift has a correlation of `persist` with the day before. The
champion is fixed. Of two nights the candidates' shifts for one and the same day have a correlation of `alike` to the
power of the nights between, since they learned from nearly the same rows. Windows are of 28 days and overlap, and a
night's 28 days are judged with that night's candidate throughout, as a retrain run does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.gate.world import Window, facts, logistic
from evergreen.params.gate import Gate
from evergreen.registry.bootstrap import compare_by_day, row_losses, swapped_by_day
from evergreen.registry.gate import decide

WINDOW, NIGHTS, PER_DAY, SPREAD = 28, 91, 100, 0.3


@dataclass(frozen=True)
class Share:
    """So many of so many, with a Wilson interval of 95 %."""

    hits: int
    of: int

    @property
    def interval(self) -> tuple[float, float]:
        """Low and high."""
        z, n, p = 1.959964, self.of, self.hits / self.of
        middle, half = p + z * z / (2 * n), z * ((p * (1 - p) + z * z / (4 * n)) / n) ** 0.5
        return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.hits / self.of:.1%} [{low:.1%}, {high:.1%}]"


def one_look(gate: Gate, times: int) -> Share:
    """How often the whole gate promotes one of two equally good models, with independent days."""
    hits = 0
    for seed in range(times):
        window = Window(seed, WINDOW, PER_DAY)
        rows = window.evidence(window.off_by_day(SPREAD), window.off_by_day(SPREAD))
        hits += decide(rows, gate, facts()).verdict == "promote"
    return Share(hits, times)


def quarters(gate: Gate, times: int, alike: float, persist: float) -> np.ndarray:
    """Whether the rule `better` passes, (times, nights); the other rules could only make that rarer."""
    return np.array([list(_quarter(gate, np.random.default_rng(seed), alike, persist)) for seed in range(times)])


def promotions(passes: Sequence[bool], every: int, step: int = 1) -> int:
    """Promotions of a quarter whose nights would pass or not: after one, none for `every` nights; a look a `step`."""
    count, free = 0, 0
    for night in range(0, len(passes), step):
        if night >= free and passes[night]:
            count, free = count + 1, night + every
    return count


def _quarter(gate: Gate, random: np.random.Generator, alike: float, persist: float) -> Iterator[bool]:
    days = WINDOW + NIGHTS - 1
    score = random.normal(-1, 1.5, (days, PER_DAY))
    label = (random.random(score.shape) < logistic(score)).astype(float)
    champion = _loss(label, score, _correlated(random.normal(size=(1, days)), persist)[0])
    shifts = _correlated(_correlated(random.normal(size=(NIGHTS, days)), persist).T, alike).T
    for night in range(NIGHTS):
        own = slice(night, night + WINDOW)
        difference = _loss(label[own], score[own], shifts[night, own]) - champion[own]
        found = compare_by_day(
            difference, np.arange(WINDOW), confidence=gate.confidence, resamples=gate.resamples, seed=gate.seed
        )
        swapped = swapped_by_day(difference, np.arange(WINDOW), resamples=gate.resamples, seed=gate.seed)
        yield found.better >= found.needed and swapped <= 1 - gate.confidence


def _loss(label: np.ndarray, score: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The mean loss of each day; every day has as many rows, so a day's mean can stand for them."""
    p = logistic(score + SPREAD * shift[:, None])
    return row_losses("log_loss", label.ravel(), p.ravel()).reshape(label.shape).mean(axis=1)


def _correlated(noise: np.ndarray, by: float) -> np.ndarray:
    """White noise of variance one, made to have the correlation `by` from one column to the next."""
    found = noise.copy()
    for place in range(1, noise.shape[1]):
        found[:, place] = by * found[:, place - 1] + (1 - by * by) ** 0.5 * noise[:, place]
    return found
