from __future__ import annotations

from typing import Any

import pytest

from evergreen.errors import SourceError
from evergreen.sources import kafka_ranges as ranges
from evergreen.sources.kafka_ranges import Extent, Range, Topic


def topic(*extents: tuple[int, int], id: str = "A") -> Topic:
    return Topic("log", id, {number: Extent(*extent) for number, extent in enumerate(extents)})


def at(*offsets: int, id: str = "A") -> dict[str, Any]:
    return {"log": {"id": id, "next": {str(number): offset for number, offset in enumerate(offsets)}}}


def begin(
    of: Topic, position: dict[str, Any], resume_at: dict[int, int] | None = None, accepted: str | None = None,
    first: str = "earliest",
) -> dict[int, int]:  # fmt: skip
    return ranges.begin(of, position, first, resume_at or {}, accepted)


def test_the_first_read_begins_at_what_is_there_or_at_the_end() -> None:
    assert begin(topic((5, 9), (0, 3)), {}) == {0: 5, 1: 0}
    assert begin(topic((5, 9), (0, 3)), {}, first="latest") == {0: 9, 1: 3}
    assert begin(topic((5, 9)), {"other": {"id": "B", "next": {"0": 7}}}) == {0: 5}


def test_later_reads_go_on_and_a_new_partition_is_read_from_its_beginning() -> None:
    assert begin(topic((5, 9), (0, 3)), at(7), first="latest") == {0: 7, 1: 0}
    assert begin(topic((5, 9)), at(9)) == {0: 9}
    assert begin(topic((5, 9)), at(5)) == {0: 5}


@pytest.mark.parametrize(
    ("of", "position", "said"),
    [
        (topic((0, 9), (500, 700)), at(4, 100), ["partition 1", "offset 100", "at 500: 400 offsets", "{1: 500}"]),
        (topic((0, 50)), at(120), ["partition 0", "offset 120", "ends at 50", "70 offsets that were read", "{0: 50}"]),
        (topic((0, 9), (3, 7)), at(4), ["partition 1", "offset 0 and now begins at 3: 3 offsets are lost"]),
        (topic((8, 9), (3, 7)), at(4, 2), ["partition 0", "4 offsets", "partition 1", "1 offsets"]),
        (topic((0, 9), id="B"), at(4), ["made again", "was A and is B", "0: 4", "`accept_topic: B`"]),
    ],
)  # fmt: skip
def test_what_is_lost_is_an_error_that_names_it_and_the_way_out(
    of: Topic, position: dict[str, Any], said: list[str]
) -> None:
    with pytest.raises(SourceError) as error:
        begin(of, position)
    for part in said:
        assert part in str(error.value)


def test_resume_at_works_once() -> None:
    lost = topic((500, 700))
    assert begin(lost, at(100), {0: 500}) == {0: 500}
    assert begin(lost, at(100), {0: 600}) == {0: 600}
    assert begin(lost, at(650), {0: 600}) == {0: 650}
    with pytest.raises(SourceError, match="begins at 500"):
        begin(lost, at(100), {0: 499})
    cut = topic((0, 50))
    assert begin(cut, at(120), {0: 50}) == {0: 50}
    assert begin(topic((0, 70)), at(50), {0: 50}) == {0: 50}
    with pytest.raises(SourceError, match="ends at 50"):
        begin(cut, at(120), {1: 50})


def test_a_resume_at_that_is_left_says_nothing_of_what_comes_later() -> None:
    left = {0: 500}
    skipped = ranges.after(topic((500, 700)), at(100), {0: 700}, left)
    assert skipped["log"]["resumed"] == {"0": 500}

    new = topic((0, 1000), id="B")
    assert begin(new, skipped, left, "B") == {0: 0}
    assert begin(new, at(900), left, "B") == {0: 0}
    partly = ranges.after(new, skipped, {0: 300}, left)
    assert begin(new, partly, left, "B") == {0: 300}
    assert begin(topic((0, 500), id="B"), partly, left, "B") == {0: 300}
    assert begin(new, partly, {0: 400}, "B") == {0: 400}

    with pytest.raises(SourceError, match="ends at 600"):
        begin(topic((0, 600)), skipped, left)
    assert begin(topic((0, 600)), skipped, {0: 600}) == {0: 600}
    again = ranges.after(topic((0, 600)), skipped, {0: 900}, {0: 600})
    assert begin(topic((0, 600)), again, {0: 600}) == {0: 600}  # cut there once more


def test_a_resume_at_that_is_not_reached_yet_is_not_spent() -> None:
    of = topic((0, 10), (0, 10))
    assert "resumed" not in ranges.after(of, {}, {0: 5, 1: 5}, {0: 8})["log"]
    assert ranges.after(of, {}, {0: 8, 1: 5}, {0: 8})["log"]["resumed"] == {"0": 8}
    assert "resumed" not in ranges.after(of, ranges.after(of, {}, {0: 8}, {0: 8}), {0: 9}, {})["log"]


def test_an_accepted_topic_is_read_from_its_start_and_no_other_is() -> None:
    assert begin(topic((2, 9), id="B"), at(4), accepted="B") == {0: 2}
    with pytest.raises(SourceError, match="is C"):
        begin(topic((2, 9), id="C"), at(4), accepted="B")


def test_pieces_cover_everything_once() -> None:
    of = topic((0, 25), (5, 5), (0, 3), (7, 30))
    start = {0: 4, 1: 5, 2: 0, 3: 7}
    pieces = list(ranges.plan(of, start, 10))
    assert pieces[0] == (Range(0, 4, 14),)
    assert pieces[2] == (Range(0, 24, 25), Range(2, 0, 3), Range(3, 7, 13))
    covered = [(part.partition, offset) for piece in pieces for part in piece for offset in range(part.first, part.end)]
    assert covered == [(n, offset) for n, extent in of.extents.items() for offset in range(start[n], extent.end)]
    assert all(sum(part.end - part.first for part in piece) == 10 for piece in pieces[:-1])
    assert list(ranges.plan(of, {n: extent.end for n, extent in of.extents.items()}, 10)) == []


def test_how_far_behind_a_position_is_counts_new_partitions_too() -> None:
    assert ranges.behind(topic((0, 9), (5, 7)), at(4, 7)) == 5
    assert ranges.behind(topic((0, 9), (5, 7), (0, 3)), at(4, 7)) == 8
    assert ranges.behind(topic((0, 2)), at(4)) == 0  # it was cut


def test_names_and_digests_differ_where_the_pieces_do() -> None:
    of = topic((0, 9))
    parts = tuple(Range(number, 0, 9) for number in range(9))
    assert ranges.name(of, parts[:2]) == "log[0]@0-9,[1]@0-9"
    assert ranges.name(of, parts).startswith("log[0]@0-9,[1]@0-9,[2]@0-9,and 6 more, ")
    assert ranges.name(of, parts) != ranges.name(of, (*parts[:8], Range(8, 0, 8)))
    assert ranges.digest(of, parts[:1]) != ranges.digest(topic((0, 9), id="B"), parts[:1])
