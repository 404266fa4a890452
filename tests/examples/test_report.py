"""The lines that end the demo, which a person reads and pastes."""

from __future__ import annotations

from evergreen.local.stack import Stack
from report import closing_lines

RUNNING = Stack(
    "http://127.0.0.1:9000", "http://127.0.0.1:9001", "admin", "s3cret",
    {"PostgreSQL": "127.0.0.1:9002", "web": "127.0.0.1:9010"}, started=True, seconds=1,
)  # fmt: skip


def test_the_demo_ends_with_every_address_and_one_command_a_line() -> None:
    lines = closing_lines(RUNNING)
    places, commands = lines[: lines.index("")], lines[lines.index("Next:") + 1 :]
    assert [line.split()[:2] for line in places] == [
        ["Airflow", "http://127.0.0.1:9000"], ["MLflow", "http://127.0.0.1:9001"],
        ["PostgreSQL", "127.0.0.1:9002"], ["web", "127.0.0.1:9010"],
    ]  # fmt: skip
    assert [line.strip() for line in commands] == [
        ".venv/bin/evergreen status", ".venv/bin/evergreen decisions list", "make down",
    ]  # fmt: skip
    assert [line for line in lines if "s3cret" in line] == places[:1], "the password of Airflow's login, and no other"
