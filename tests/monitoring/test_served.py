from __future__ import annotations

from collections.abc import Callable

from evergreen.monitoring.served import as_served, feature_tables
from evergreen.params import load_params_text
from evergreen.project import Project
from evergreen.sql import expand
from tests.conftest import SMALL

LOOKUP = """
  teams:
    source: {kind: csv, path: drops/teams-*.csv}
    key: [team]
    known_at: since
    columns: {team: {type: category}, since: {type: timestamp}, members: {type: int64}}
    derived: {twice: members * 2}
"""
VIEW = "features:\n  latest: {teams: {by: [team], columns: [members]}}"


def test_features_and_label_are_the_champions_and_the_rest_is_todays(make_project: Callable[..., Project]) -> None:
    champion = load_params_text(
        SMALL.replace("prediction:", f"{LOOKUP.rstrip()}\nprediction:").replace("features:", VIEW)
    )
    today = SMALL.replace("late > 10}\nfeatures", "late > 99}\nfeatures").replace(
        "between: [0, 1000]", "between: [0, 5]"
    )
    project = make_project(today)
    served = as_served(project, champion)

    assert served.params.features == champion.features
    assert served.params.prediction.label.value == "late > 10"
    assert served.params.tables["jobs"].columns == project.params.tables["jobs"].columns
    assert served.params.tables["teams"] == champion.tables["teams"], "a table that only the champion still uses"
    assert served.params.monitoring == project.params.monitoring
    assert (served.home, served.root) == (project.home, project.root)
    assert project.params.prediction.label.value == "late > 99", "the project itself is as it was"


def test_a_change_of_time_zone_changes_no_feature_and_moves_no_clock(make_project: Callable[..., Project]) -> None:
    known = "known_at: due - interval 2 days"
    assert known in SMALL
    text = SMALL.replace(known, "known_at: local(due) - interval 2 days")
    champion = load_params_text(text)
    project = make_project(text.replace("America/New_York", "Europe/Berlin"))
    served = as_served(project, champion)

    assert served.params.time_zone == "America/New_York", "`hour(local(due))` is the hour that the model learned"
    assert "Europe/Berlin" in served.params.tables["jobs"].known_at
    assert expand(served.params.tables["jobs"].known_at, served.params.time_zone) == expand(
        project.params.tables["jobs"].known_at, project.params.time_zone
    )
    assert project.params.zone.key == "Europe/Berlin", "windows are cut in today's zone"


def test_only_the_tables_of_the_features_are_read(make_project: Callable[..., Project]) -> None:
    params = make_project(SMALL.replace("prediction:", f"{LOOKUP.rstrip()}\nprediction:")).params

    assert feature_tables(params) == ["jobs", "outcomes"]
