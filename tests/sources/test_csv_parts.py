from __future__ import annotations

import csv
import io
import random

import pytest

from evergreen.sources.csv_parts import by_pairs, by_values, cut, row_end

NAMES = ["id", "a,b", "text"]
CELLS = ["1", "", '"a\nb"', '"x""\r\ny"', '5" pipe', '"a,b"', "plain"]


@pytest.mark.parametrize(
    ("text", "end"),
    [
        (b"", 0),
        (b"a,b", 0),
        (b"a,b\n1", 4),
        (b"a,b\r1", 4),
        (b"a,b\n1\r", 4),
        (b'a,b\n1,"x\ny', 4),
        (b'a,b\n1,"x\ny"', 4),
        (b'a,b\n1,"x\ny"\n', 12),
        (b'a,b\n1,"x\ny"\n2,"', 12),
        (b'"a\nb"\n1\n', 8),
        (b'a\n5" pipe\n2', 10),
        (b'a\n5" pipe\n"x\n"', 10),
        (b'a;b\n1;"x\ny', 4),
    ],
)
def test_a_row_ends_where_no_quoted_value_goes_on(text: bytes, end: int) -> None:
    assert row_end(text, ";" if b";" in text else ",") == end


@pytest.mark.parametrize("seed", range(40))
def test_parts_hold_each_row_whole_and_once(seed: int) -> None:
    chosen = random.Random(seed)
    rows = [[chosen.choice(CELLS) for _ in NAMES] for _ in range(60)]
    text = ('id,"a,b",text\n' + "".join(",".join(row) + chosen.choice(["\n", "\r\n"]) for row in rows)).encode()
    stream = io.BytesIO(text)
    parts = list(cut(lambda: stream.read(chosen.randrange(1, 50)), NAMES, ",", 100))
    assert len(parts) > 3
    read = [list(csv.reader(io.StringIO(bytes(part).decode(), newline=""))) for part in parts]
    assert [part[0] for part in read] == [NAMES] * len(parts)
    assert [row for part in read for row in part[1:]] == list(csv.reader(io.StringIO(text.decode(), newline="")))[1:]


@pytest.mark.parametrize("seed", range(40))
def test_the_quick_way_knows_when_it_does_not_know(seed: int) -> None:
    chosen = random.Random(seed)
    for _ in range(200):
        text = b'"' + bytes(chosen.choices(b'"",\n\rxy', k=chosen.randrange(1, 20)))
        size = len(text) - text.endswith(b"\r")
        assert by_pairs(text, ",", size) in (None, by_values(text, ",", size)), text


def test_a_row_without_an_end_is_not_held_for_ever() -> None:
    stream = io.BytesIO(b'id\n"' + b"x\n" * 5000)
    parts = list(cut(lambda: stream.read(100), ["id"], ",", 1000))
    assert max(map(len, parts)) < 1200
