"""The loop on the compose stack: who may log in, what is published, and that two workers are one loop."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import httpx
from ruamel.yaml import YAML

from tests.compose.server import CLONE, ROOT, Server, weeks

Record = Callable[[str, object], None]
SEARCH = """
import os, subprocess
os.chdir('/evergreen/project')
from ruamel.yaml import YAML
yaml = YAML()
tree = yaml.load(open('params.yaml'))
tree['search'] = {'method': 'random', 'trials': 8, 'parallel': 2, 'space': {'learning_rate': {'float': [0.02, 0.3]}}}
yaml.dump(tree, open('params.yaml', 'w'))
who = ['-c', 'user.name=drill', '-c', 'user.email=drill@localhost']
subprocess.run(['git', *who, 'commit', '--quiet', '--all', '-m', 'search'], check=True)
"""


def test_nobody_gets_in_without_a_login(server: Server) -> None:
    settings = server.settings()
    airflow, mlflow = (f"http://127.0.0.1:{settings[name]}" for name in ("AIRFLOW_PORT", "MLFLOW_PORT"))
    pages = (
        f"{airflow}/api/v2/dags", f"{airflow}/evergreen/flights_monitor/pages/x.html",
        f"{mlflow}/api/2.0/mlflow/experiments/search?max_results=1",
    )  # fmt: skip
    assert [httpx.get(page).status_code for page in pages] == [401, 401, 401]
    wrong = httpx.post(f"{airflow}/auth/token", json={"username": "admin", "password": "admin"})
    assert wrong.status_code == 401
    mine = ("admin", settings["MLFLOW_TRACKING_PASSWORD"])
    assert httpx.get(pages[2], auth=mine).status_code == 200
    stranger = httpx.get(pages[2], auth=mine, headers={"Host": "evil.example"})
    assert stranger.status_code == 403


def test_only_two_ports_are_published_on_loopback(server: Server) -> None:
    rows = [json.loads(line) for line in server.compose("ps", "--format", "json").splitlines()]
    published = {
        (row["Service"], port["URL"]) for row in rows for port in row["Publishers"] or () if port["PublishedPort"]
    }
    assert published == {("api-server", "127.0.0.1"), ("mlflow", "127.0.0.1")}


def test_no_secret_is_in_a_container_s_settings_or_in_a_log(server: Server) -> None:
    given = [value for name, value in server.settings().items() if len(value) >= 16 and "gs://" not in value]
    hidden = {*given, *(found[1] for value in given if (found := re.search(r":([^:@/]+)@", value)))}
    ids = server.compose("ps", "--all", "--quiet").split()
    shown = server.engine("inspect", *ids) + server.compose("logs", "--no-color")
    shown += server.inside("scheduler", "sh", "-c", "find /opt/airflow/logs -name '*.log' -exec cat {} +")
    assert [value[:4] for value in hidden if value in shown] == []


def test_every_process_is_an_ordinary_user_without_a_compiler(server: Server) -> None:
    for service in ("worker", "mlflow", "api-server"):
        assert server.compose("exec", "-T", service, "id", "-u").strip() == "50000"
    found = server.compose("exec", "-T", "worker", "sh", "-c", "command -v gcc cc make uv pip || true")
    assert found.strip() == ""


def test_the_image_has_bytecode_for_all_of_our_code(server: Server) -> None:
    said = server.compose("exec", "-T", "worker", "sh", "-c",
        "find /opt/evergreen/include /opt/evergreen/dags -name '*.py' | wc -l; "
        "find /opt/evergreen/include /opt/evergreen/dags -name '*.pyc' | wc -l")  # fmt: skip
    sources, compiled = said.split()
    assert sources == compiled


def test_the_image_is_no_bigger_than_stated(server: Server, record_property: Record) -> None:
    image = server.engine("inspect", "--format", "{{.Image}}", server.containers("scheduler")[0])
    size = int(server.engine("image", "inspect", "--format", "{{.Size}}", image)) / 1e9
    record_property("drill", "the image")
    record_property("outcome", f"{size:.2f} GB")
    assert 0 < size < 1.8


def test_the_first_build_has_the_committed_hashes(server: Server) -> None:
    build = server.build_of(weeks(0))
    wanted = json.loads((ROOT / "snapshot.json").read_text())
    assert json.loads(shown(server, weeks(0), "snapshot.json"))["id"] == wanted["id"]
    here, there = outputs(shown(server, weeks(0), "dvc.lock")), outputs((ROOT / "dvc.lock").read_text())
    assert here["build/features.parquet"] == there["build/features.parquet"]
    kernels = json.loads(server.inside("worker", "cat", f"/evergreen/home/builds/flights/{build}/build/training.json"))
    recorded = json.loads((ROOT / "examples" / "flights" / "recorded.json").read_text())["environment"]
    if kernels["environment"]["blas"] == recorded["blas"]:  # else a model's last bits differ, as `make reproduce` says
        for name in ("model.pkl", "twin.pkl", "metrics.json"):
            assert here[f"build/{name}"] == there[f"build/{name}"], name


def test_two_that_initialize_at_the_same_time_take_turns(server: Server) -> None:
    """On databases that are not there yet: all is made once, and both end well."""
    for name in ("airflow2", "mlflow2", "evergreen2"):
        server.sql("postgres", f'DROP DATABASE IF EXISTS "{name}"')
    settings = server.settings()
    names = (
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "MLFLOW_BACKEND_STORE_URI", "EVERGREEN_LEDGER_OWNER_URL",
        "EVERGREEN_LEDGER_URL",
    )  # fmt: skip
    other = [f"--env={name}={settings[name]}2" for name in names]
    other += ["--env=EVERGREEN_PROJECT=/evergreen/second", "--env=EVERGREEN_HOME=/evergreen/second-home"]
    command = ("run", "--rm", "-T", "--no-deps", *other, "init")
    with ThreadPoolExecutor(2) as threads:
        said = list(threads.map(lambda _: server.compose(*command, timeout=600), range(2)))
    assert ["init: ready" in text for text in said] == [True, True]
    assert sum(text.count("made the database airflow2") for text in said) == 1
    assert server.sql("airflow2", "select count(*) from ab_user where username = 'admin'") == [["1"]]
    assert server.sql("evergreen2", "select count(*) from ledger_version") == [["1"]]
    server.inside("scheduler", "rm", "-rf", "/evergreen/second", "/evergreen/second-home")


def test_lake_and_remote_are_where_the_settings_say(server: Server) -> None:
    said = server.inside("scheduler", "evergreen", "lake", "where")
    there = server.settings().get("EVERGREEN_LAKE_URL", "/evergreen/home/lake")
    assert there in said
    build = server.build_of(weeks(0))
    remote = server.inside("scheduler", "sh", "-c", f"cd /evergreen/home/builds/flights/{build} && dvc remote list")
    assert server.settings().get("EVERGREEN_DVC_REMOTE", "/evergreen/home/dvc/remote") in remote


def test_two_workers_run_one_train_dag_together(server: Server) -> None:
    """Where chance gave all of a run to one of them, the next run will do."""
    asked = "select count(distinct hostname) from task_instance where hostname <> '' and run_id = "

    def shared() -> bool:
        run = server.trigger("retrain", server.moment(), force=True)
        server.ended(run)
        return server.sql("airflow", f"{asked}'{run.id}'") == [["2"]]

    assert any(shared() for _ in range(4))


def test_a_worktree_that_is_gone_is_made_again_from_tag_and_remote(server: Server) -> None:
    """On another machine there would be neither worktree nor cache: only the tag and the DVC remote."""
    build = server.build_of(weeks(0))
    before = server.inside("scheduler", "git", "-C", CLONE, "rev-parse", f"build/flights/{build}")
    server.inside("worker", "rm", "-rf", f"/evergreen/home/builds/flights/{build}", "/evergreen/home/dvc/cache")
    code = "from evergreen.builds.worktree import ensure_build; from evergreen.project import Project\n"
    code += f"made = ensure_build(Project.load('/evergreen/project'), '{build}')\n"
    code += "print(json.dumps(sorted(path.name for path in made.project.build.iterdir())))"
    assert "model.pkl" in server.python(code)
    assert server.inside("scheduler", "git", "-C", CLONE, "rev-parse", f"build/flights/{build}") == before
    assert "byte-identical" in server.inside("scheduler", "evergreen", "reproduce", build)


def test_trials_of_a_search_land_on_both_workers(server: Server, record_property: Record) -> None:
    head = server.inside("scheduler", "git", "-C", CLONE, "rev-parse", "HEAD").strip()
    server.python(SEARCH)
    moment = server.moment()
    try:
        run = server.trigger("retrain", moment, force=True, search=True)
        server.ended(run)
    finally:
        server.inside("scheduler", "git", "-C", CLONE, "reset", "--quiet", "--hard", head)
    hosts = {task: host for task, (_, host) in server.tries(run).items() if task.startswith("search.trial")}
    assert len(set(hosts.values())) == 2, hosts
    found = json.loads(shown(server, moment, "search.json"))
    assert (found["planned"], len(found["trials"])) == (8, 9)  # and number 0, the options as they are
    record_property("drill", "a search of eight trials")
    record_property("outcome", "trials on both workers")


def test_the_memory_of_each_service_is_told(server: Server, record_property: Record) -> None:
    server.quiet()
    idle = most = server.memory()
    run = server.trigger("retrain", server.moment(), force=True)
    while server.sql("airflow", f"select 1 from dag_run where run_id = '{run.id}' and end_date is null"):
        most = {name: max(size, most[name]) for name, size in server.memory().items()}
    server.ended(run)
    each = ", ".join(f"{name} {size:.0f}/{most[name]:.0f}" for name, size in sorted(idle.items()))
    record_property("drill", "memory by service, idle and the most in a retrain, MB (PSS)")
    record_property("outcome", f"{each}; together {sum(idle.values()):.0f} idle")
    if server.started is not None:
        record_property("disturbed", f"started in {server.started:.0f}")
    assert all(size > 0 for size in idle.values()), idle
    assert sum(most.values()) > sum(idle.values())


def shown(server: Server, moment: datetime, name: str) -> str:
    """A file as the build of a moment has committed it."""
    tag = f"build/flights/{server.build_of(moment)}"
    return server.inside("scheduler", "git", "-C", CLONE, "show", f"{tag}:{name}")


def outputs(lock: str) -> dict[str, str]:
    """Path to hash of a dvc.lock."""
    stages = YAML(typ="safe").load(lock)["stages"].values()
    return {out["path"]: out["md5"] for stage in stages for out in stage["outs"]}
