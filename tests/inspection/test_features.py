"""Features that would be empty, seen before a row is ingested."""

from __future__ import annotations

from tests.inspection.planted import about, look, only, planted, small


def test_a_view_whose_entity_meets_no_row_shows_both_sides() -> None:
    tables = planted()
    tables["outcomes"]["team"] = tables["outcomes"]["team"].str.upper()
    found = only(look(tables), "outcomes", None)
    assert found.severity == "warning"
    assert "`features.trailing.team_late_3d` would be empty" in found.seen
    assert "`outcomes` has team such as " in found.seen
    assert "RED" in found.seen
    assert "`jobs` has team such as " in found.seen


def test_expressions_without_a_value_in_any_row() -> None:
    derived = (
        "known_at: due - interval 2 days",
        "known_at: due - interval 2 days\n    derived: {at: \"try_strptime(team, '%d')\", size_of: size}",
    )
    row = ("row: {team: team,", "row: {team: team, none: log(-1 - size), at_hour: hour(at),")
    found = look(planted(), small(derived, row))
    assert only(found, "jobs", "at").seen == "`at` has no value in any of 1,200 rows."
    assert "try_strptime(team" in only(found, "jobs", "at").todo
    told = [one.seen.split(" ")[0] for one in about(found, "jobs", None)]
    assert told == ["`features.row.none`", "`features.row.at_hour`"]
