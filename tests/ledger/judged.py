"""Gate decisions of a use case over time, judged on planted evidence as the stage judges and records them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from evergreen.ledger import Decision, Ledger
from evergreen.params.gate import Gate
from evergreen.paths import Home
from evergreen.registry.evidence import as_evidence, evidence_schema, load_evidence, store_evidence
from evergreen.registry.gate import Facts, decide

START = datetime(2013, 1, 29, 5, tzinfo=UTC)
WINDOW = timedelta(days=28)
SHIFTS = (-0.6, -0.03, 0.0, 0.03, 0.6)  # the candidate is worse, hardly differs, or is better


def judge(home: Home, name: str, count: int, rows: int = 2000) -> Iterator[Decision]:
    """Record `count` decisions, a day apart, of candidates against a champion, the first of them without one."""
    ledger, gate = Ledger.open(home), Gate.model_validate({"floor": {"roc_auc": 0.5}})
    for number in range(count):
        as_of = START + timedelta(days=number)
        sha256 = store_evidence(home, planted(number, as_of, rows))
        facts = _facts(number, as_of)
        verdict = decide(as_evidence(load_evidence(home, sha256)), gate, facts)
        inputs = {
            "gate": gate.model_dump(mode="json"),
            "facts": facts.model_dump(mode="json"),
            "rules": [rule.model_dump(mode="json") for rule in verdict.rules],
            "metrics": verdict.metrics,
            "candidate": {"build": facts.build, "bundle": f"bundle of {facts.build}"},
            "champion": facts.champion_build and {"build": facts.champion_build, "bundle": "bundle of b0"},
        }
        yield ledger.record_decision(
            Decision(
                id=f"gate-{name}-{facts.build}", name=name, kind="gate", build=facts.build, as_of=as_of,
                verdict=verdict.verdict, reason=verdict.reason, inputs=inputs, evidence=sha256, actor="test",
            )
        )  # fmt: skip


def planted(number: int, as_of: datetime, rows: int) -> pa.Table:
    """A window's rows; every tenth has a missing prediction, so that it cannot be judged."""
    random = np.random.default_rng(number)
    log_odds = random.normal(-1, 1.2, rows)
    label = (random.random(rows) < 1 / (1 + np.exp(-log_odds))).astype(float)
    champion, candidate = log_odds * 0.7, log_odds * (0.7 + SHIFTS[number % len(SHIFTS)])
    p = [1 / (1 + np.exp(-odds)) for odds in (candidate, champion)]
    if number % 10 == 9:
        p[0][0] = np.nan
    times = as_of.replace(tzinfo=None) - np.sort(random.random(rows))[::-1] * (WINDOW - timedelta(days=2))
    columns = {
        "_key": [f"{place:06d}" for place in range(rows)],
        "_time": [time - timedelta(days=1) for time in times],
        "_label_known_at": list(times),
        "_label_first_known_at": list(times),
        "_label": label,
        "p_candidate": p[0],
        "p_champion": p[1] if number else [None] * rows,
        "day": [(time - datetime(1970, 1, 1)).days for time in times],
    }
    schema = evidence_schema()
    return pa.Table.from_arrays([pa.array(columns[f.name], f.type, from_pandas=False) for f in schema], schema=schema)


def _facts(number: int, as_of: datetime) -> Facts:
    champion = {
        "champion_build": "b0", "champion_model": "model", "champion_sha256": "0" * 64,
        "champion_cutoff": as_of - WINDOW, "last_promotion": START,
    } if number else {}  # fmt: skip
    return Facts(
        as_of=as_of, time_zone="America/New_York", build=f"b{number}", candidate_sha256=f"{number + 1:064x}",
        candidate_cutoff=as_of - WINDOW, window_end=as_of, threshold=0.3, **champion,
    )  # fmt: skip
