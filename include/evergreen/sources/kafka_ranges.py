"""Which offsets of a topic are read, and what was lost of those that should have been; pure.

A position is `{"<topic>": {"id": "<topic id>", "next": {"<partition>": <offset>}}}`. The id tells a topic that was
deleted and made again from the one that the offsets belong to. `resumed` beside them holds each `resume_at` that the
lake is past: left in params.yaml, it says nothing more, whatever becomes of the topic.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evergreen.errors import SourceError


@dataclass(frozen=True)
class Extent:
    """What a partition holds: offsets from `first` up to, but without, `end`."""

    first: int
    end: int


@dataclass(frozen=True)
class Range:
    """The offsets of one partition from `first` up to, but without, `end`; some may hold no message."""

    partition: int
    first: int
    end: int


@dataclass(frozen=True)
class Topic:
    """A topic as the broker describes it."""

    name: str
    id: str
    extents: Mapping[int, Extent]


def begin(
    topic: Topic, position: Mapping[str, Any], first: str, resume_at: Mapping[int, int], accepted: str | None
) -> dict[int, int]:
    """Where to read each partition from.

    Raises SourceError where what should be read next is not there any more, naming what is lost and the way out.
    """
    known = position.get(topic.name)
    spent = _spent(topic, position, resume_at)
    if known and known["id"] != topic.id:
        if accepted != topic.id:
            raise SourceError(_made_again(topic, known))
        known = None
    if not known:
        start = {number: extent.end if first == "latest" else extent.first for number, extent in topic.extents.items()}
    else:  # a partition that is new since then is read from its very beginning
        start = {number: int(known["next"].get(str(number), 0)) for number in topic.extents}
    for number in resume_at.keys() & topic.extents.keys():
        start[number] = _resumed(start[number], resume_at[number], number in spent, topic.extents[number])
    lost = [text for number, extent in topic.extents.items() if (text := _loss(number, start[number], extent))]
    if lost:
        raise SourceError(
            f"{topic.name}: messages that were not read yet are gone:\n" + "\n".join(f"  {text}" for text in lost)
        )
    return start


def plan(topic: Topic, start: Mapping[int, int], most: int) -> Iterator[tuple[Range, ...]]:
    """What is between `start` and the end, in pieces of at most `most` offsets, one partition after the other."""
    piece: list[Range] = []
    room = most
    for number in sorted(topic.extents):
        at, end = start[number], topic.extents[number].end
        while at < end:
            upto = min(end, at + room)
            piece.append(Range(number, at, upto))
            room -= upto - at
            at = upto
            if room == 0:
                yield tuple(piece)
                piece, room = [], most
    if piece:
        yield tuple(piece)


def digest(topic: Topic, ranges: tuple[Range, ...]) -> str:
    """The SHA-256 that names a piece of a topic for ever."""
    named = [topic.name, topic.id, *([one.partition, one.first, one.end] for one in ranges)]
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()


def name(topic: Topic, ranges: tuple[Range, ...]) -> str:
    """How people know a piece: `arrivals[0]@100-2000,[1]@5-80`."""
    shown = [f"[{one.partition}]@{one.first}-{one.end}" for one in ranges]
    if len(shown) > 4:
        shown = [*shown[:3], f"and {len(shown) - 3} more, {digest(topic, ranges)[:8]}"]
    return topic.name + ",".join(shown)


def after(
    topic: Topic, position: Mapping[str, Any], reached: Mapping[int, int], resume_at: Mapping[int, int]
) -> dict[str, Any]:
    """The position with this topic's next offsets; other topics that the table was read from keep theirs."""
    own: dict[str, Any] = {"id": topic.id, "next": {str(n): reached[n] for n in sorted(reached)}}
    spent = _spent(topic, position, resume_at) | {n for n in reached if n in resume_at and resume_at[n] <= reached[n]}
    if spent:
        own["resumed"] = {str(n): resume_at[n] for n in sorted(spent)}
    return {**position, topic.name: own}


def behind(topic: Topic, position: Mapping[str, Any]) -> int:
    """How many offsets the topic holds beyond a position of it; some may hold no message."""
    reached = position[topic.name]["next"]
    return sum(max(0, extent.end - reached.get(str(number), 0)) for number, extent in topic.extents.items())


def _spent(topic: Topic, position: Mapping[str, Any], resume_at: Mapping[int, int]) -> set[int]:
    """The partitions whose `resume_at` the lake was past before this run, be it with the topic of that name before."""
    known = position.get(topic.name, {})
    spent = {n for n, offset in resume_at.items() if known.get("resumed", {}).get(str(n)) == offset}
    if known and known["id"] != topic.id:
        spent |= {n for n, offset in resume_at.items() if offset <= known["next"].get(str(n), -1)}
    return spent


def _resumed(at: int, wanted: int, spent: bool, extent: Extent) -> int:
    """Where to go on instead of `at`: a spent offset counts only where it is the way out of a new loss."""
    way_out = max(extent.first, min(at, extent.end))
    if spent and (way_out == at or wanted != way_out):
        return at
    return wanted if at < wanted <= extent.end or wanted <= extent.end < at else at


def _loss(number: int, wanted: int, extent: Extent) -> str | None:
    if wanted < extent.first:
        what, way = f"now begins at {extent.first}: {extent.first - wanted} offsets are lost", extent.first
        why = "retention or somebody removed them"
    elif wanted > extent.end:
        what, way = (
            f"now ends at {extent.end}: it was cut, {wanted - extent.end} offsets that were read are gone",
            extent.end,
        )
        why = "what follows is written under their numbers again"
    else:
        return None
    return (
        f"partition {number} was to be read from offset {wanted} and {what} ({why}). To go on without them, add "
        f"`resume_at: {{{number}: {way}}}` to the table's source"
    )


def _made_again(topic: Topic, known: Mapping[str, Any]) -> str:
    reached = ", ".join(f"{number}: {offset}" for number, offset in known["next"].items())
    return (
        f"{topic.name} was deleted and made again: its id was {known['id']} and is {topic.id}. The lake has "
        f"the old one up to (partition: offset) {reached}; what that held beyond is lost. To read the new one too, "
        f"set `accept_topic: {topic.id}` in the table's source"
    )
