"""Every view against plain Python, on random histories with corrections, ties, nulls and views' own times."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace
from datetime import UTC

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from evergreen.features.engine import connect
from evergreen.features.table import feature_table
from evergreen.params.features import AGGREGATES
from tests.features import reference
from tests.features.reference import Event
from tests.features.worlds import asks, params, world

OVER = {"short": 3, "long": 9}
FEATURES = "  latest:\n"
for own in ("", "own"):
    known = ", known_at: own" if own else ""
    FEATURES += f"    any{own}: {{table: events, by: [who], columns: {{latest{own}: value}}{known}}}\n"
    FEATURES += (
        f"    aged{own}: {{table: events, by: [who], columns: {{aged{own}: value}}, max_age: 3 minutes{known}}}\n"
    )
FEATURES += "  trailing:\n"
for name, over in OVER.items():
    for how in AGGREGATES:
        FEATURES += f"    {how}_{name}: {{table: events, by: [who], {how}: value, over: {over} minutes}}\n"
for how in AGGREGATES:
    FEATURES += f"    {how}_own: {{table: events, by: [who], {how}: value, over: 9 minutes, known_at: own}}\n"
PARAMS = params(FEATURES)

# Quarters are exact in binary and in nine decimals, so the answers must be equal to the last bit.
VALUES = st.one_of(st.none(), st.integers(-8, 8).map(lambda quarters: quarters / 4))
ENTITIES = st.sampled_from(["a", "b", None])


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Six keys of up to four versions; several may be known at one instant, and entities may change."""
    events = []
    for id_ in range(6):
        entity = draw(ENTITIES)
        for version, at in enumerate(sorted(draw(st.lists(st.integers(0, 20), max_size=4))), 1):
            entity = draw(ENTITIES) if draw(st.integers(0, 4)) == 0 else entity
            own = draw(st.one_of(st.none(), st.integers(0, 25)))
            events.append(Event(id_, version, at, entity, draw(VALUES), own))
    return events


# Most of an example's time is fixed, so each asks about many histories, kept apart by key and entity.
@st.composite
def many(draw: st.DrawFn) -> list[Event]:
    made = []
    for number, events in enumerate(draw(st.lists(histories(), min_size=25, max_size=25))):
        for event in events:
            entity = event.entity and f"{event.entity}{number}"
            made.append(replace(event, id=event.id + 10 * number, entity=entity))
    random.Random(0).shuffle(made)
    return made


def expected(events: list[Event], at: int, who: str | None) -> dict[str, float | None]:
    answers = {}
    for own in ("", "own"):
        answers[f"latest{own}"] = reference.latest(events, who, at, None, bool(own))
        answers[f"aged{own}"] = reference.latest(events, who, at, 3, bool(own))
    for how in AGGREGATES:
        for name, over in OVER.items():
            answers[f"{how}_{name}"] = reference.trailing(events, how, who, at, over)
        answers[f"{how}_own"] = reference.trailing(events, how, who, at, 9, own=True)
    return answers


WHO = [None, *(f"{entity}{number}" for number in range(25) for entity in "ab")]
QUESTIONS = [(at, who) for at in range(0, 33) for who in WHO]


# No shrinking: an example takes seconds, and the assertion names the moment and the history.
FEW = {
    "deadline": None,
    "phases": [Phase.explicit, Phase.generate],
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
}


@settings(max_examples=2, **FEW)
@given(many())
def test_every_feature_is_what_plain_python_says(events: list[Event]) -> None:
    of = defaultdict(list)
    for event in events:
        of[event.id // 10].append(event)
    for row in feature_table(world(asks(QUESTIONS), events), PARAMS).to_pyarrow().to_pylist():
        at, who = QUESTIONS[int(row["_key"])]
        history = of[int(who[1:])] if who else []
        found = {name: row[name] for name in PARAMS.features.names()}
        assert found == expected(history, at, who), (at, who, history)


@settings(max_examples=1, **FEW)
@given(many(), st.integers(0, 15), st.integers(16, 32))
def test_a_span_of_rows_has_the_values_of_the_whole(events: list[Event], one: int, other: int) -> None:
    after, until = (reference.minute(at) for at in (one, other))
    con = connect()
    tables = world(asks(QUESTIONS), events, con)
    whole = feature_table(tables, PARAMS).to_pyarrow()
    part = feature_table(tables, PARAMS, after=after.replace(tzinfo=UTC), until=until.replace(tzinfo=UTC)).to_pyarrow()
    wanted = [after < moment <= until for moment in whole["_time"].to_pylist()]
    assert part.num_rows == (other - one) * len(WHO)
    assert part.equals(whole.filter(pa.array(wanted, pa.bool_())))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e12])
def test_sums_do_not_depend_on_what_else_was_summed(scale: float) -> None:
    """Floating point would leave a rest of the huge value that came and went before."""
    values = [scale / 10] * 3
    events = [Event(0, 1, 1, "a", 1e20)] + [Event(i, 1, 10 + i, "a", value) for i, value in enumerate(values, 1)]
    features = params("  trailing: {x: {table: events, by: [who], sum: value, over: 5 minutes}}\n")
    row = feature_table(world(asks([(14, "a")]), events), features).to_pyarrow().to_pylist()[0]
    alone = feature_table(world(asks([(14, "a")]), events[1:]), features).to_pyarrow().to_pylist()[0]
    assert row["x"] == alone["x"] == pytest.approx(scale * 0.3, rel=1e-9)
