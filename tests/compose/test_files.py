"""What docker-compose.yaml, the Dockerfile and .env promise, read from the files; no engine is needed."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
OURS = ("init", "mlflow", "api-server", "scheduler", "dag-processor", "triggerer", "worker", "web", "feeder")
ONCE = {"init", "feeder"}  # they end


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(YAML(typ="safe").load((ROOT / "docker-compose.yaml").read_text()))


@pytest.fixture
def env(tmp_path: Path) -> Path:
    path = tmp_path / ".env"
    make_secrets(path)
    return path


def make_secrets(path: Path) -> str:
    command = [sys.executable, ROOT / "deploy" / "make_secrets.py", path]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def settings(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_secrets_are_random_and_only_the_owner_s(env: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    make_secrets(other)
    one, two = settings(env), settings(other)
    assert {name for name in one if one[name] == two[name]} == {"BIND", "AIRFLOW_PORT", "MLFLOW_PORT"}
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    assert all(len(value) >= 16 for name, value in one.items() if "PASSWORD" in name)


def test_what_is_in_the_file_stays_and_what_is_missing_is_added(env: Path) -> None:
    before = env.read_text()
    assert "nothing was changed" in make_secrets(env)
    assert env.read_text() == before
    kept = "\n".join(line for line in before.splitlines() if not line.startswith("REDIS_PASSWORD="))
    env.write_text(kept.replace("AIRFLOW_PORT=8080", "AIRFLOW_PORT=9000") + "\n# mine\n")
    assert "1 settings added" in make_secrets(env)
    assert env.read_text().startswith(kept.replace("AIRFLOW_PORT=8080", "AIRFLOW_PORT=9000") + "\n# mine")
    assert len(settings(env)["REDIS_PASSWORD"]) == 32


def test_urls_and_passwords_of_one_role_agree(env: Path) -> None:
    found = settings(env)
    assert found["POSTGRES_PASSWORD"] in found["EVERGREEN_POSTGRES_ADMIN_URL"]
    assert found["REDIS_PASSWORD"] in found["AIRFLOW__CELERY__BROKER_URL"]
    airflow = found["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert found["AIRFLOW__CELERY__RESULT_BACKEND"] == f"db+{airflow}"


def test_what_is_added_later_agrees_with_what_is_there(env: Path) -> None:
    """Else a server has one password and its clients another."""
    later = ("AIRFLOW__CELERY__", "EVERGREEN_POSTGRES_ADMIN_URL=", "POSTGRES_PASSWORD=", "REDIS_PASSWORD=")
    kept = [line for line in env.read_text().splitlines() if not line.startswith(later)]
    env.write_text("\n".join([*kept, "POSTGRES_PASSWORD='a$b#c@d'", "export REDIS_PASSWORD=mine"]) + "\n")
    env.chmod(0o644)
    assert "3 settings added" in make_secrets(env)
    found = settings(env)
    assert found["EVERGREEN_POSTGRES_ADMIN_URL"] == "postgresql://postgres:a%24b%23c%40d@postgres:5432/postgres"
    assert found["AIRFLOW__CELERY__BROKER_URL"] == "redis://:mine@redis:6379/0"
    assert found["AIRFLOW__CELERY__RESULT_BACKEND"] == f"db+{found['AIRFLOW__DATABASE__SQL_ALCHEMY_CONN']}"
    assert stat.S_IMODE(env.stat().st_mode) == 0o600


def test_the_file_is_never_committed() -> None:
    run = subprocess.run(["git", "-C", ROOT, "check-ignore", ".env", "backups/x"], capture_output=True, text=True)
    assert run.stdout.split() == [".env", "backups/x"]


def test_every_secret_has_a_value_and_each_is_asked_for(compose: dict[str, Any], env: Path) -> None:
    given = settings(env)
    for name, secret in compose["secrets"].items():
        assert secret == {"environment": name}
        assert name in given
    asked = {name for service in compose["services"].values() for name in service.get("secrets", ())}
    assert asked == set(compose["secrets"])


def test_no_secret_is_a_setting(compose: dict[str, Any]) -> None:
    """Whoever may ask the engine reads a container's settings: secrets come as files."""
    for name, service in compose["services"].items():
        text = repr(service.get("environment", {})) + repr(service.get("command", ""))
        for secret in compose["secrets"]:
            assert not re.search(rf"\$\{{{secret}\b", text), (name, secret)


def test_only_pages_are_published_and_on_loopback_unless_told_otherwise(compose: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert set(published) == {"api-server", "mlflow", "proxy"}
    for name, ports in published.items():
        bind = "HTTPS_BIND" if name == "proxy" else "BIND"  # the proxy alone may be for the network
        # Without a .env, in which it is 127.0.0.1, nothing starts.
        assert all(port.startswith((f"${{{bind}:-127.0.0.1}}:", f"${{{bind}:?")) for port in ports), name
    assert "outside" not in {
        net for name, one in compose["services"].items() if name not in published for net in one["networks"]
    }


def test_every_service_restarts_is_checked_and_limited(compose: dict[str, Any]) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "HEALTHCHECK" in dockerfile
    for name, service in compose["services"].items():
        assert service["mem_limit"], name
        assert service["cpus"], name
        if name in ONCE:
            continue
        assert service["restart"] == "unless-stopped", name
        if name in OURS:
            assert service["environment"]["EVERGREEN_ROLE"] == name
        else:
            assert service["healthcheck"]["test"], name


def test_order_of_start_waits_for_health(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name in ("postgres", "redis"):
        assert services["init"]["depends_on"][name] == {"condition": "service_healthy"}
    for name in set(OURS) - ONCE:
        assert services[name]["depends_on"] == {"init": {"condition": "service_completed_successfully"}}, name


def test_the_check_knows_every_role(compose: dict[str, Any]) -> None:
    script = (ROOT / "deploy" / "healthy").read_text()
    roles = {service["environment"]["EVERGREEN_ROLE"] for name, service in compose["services"].items()
             if "EVERGREEN_ROLE" in service.get("environment", {})}  # fmt: skip
    assert roles == set(re.findall(r"^    ([a-z-]+)\) ", script, re.MULTILINE))


def test_the_local_file_stands_in_for_every_public_image(compose: dict[str, Any]) -> None:
    text = (ROOT / "compose.local.yaml").read_text()
    local = YAML(typ="safe").load(text.replace("!reset ", ""))["services"]
    public = {name for name in compose["services"] if name not in OURS}
    for name in public:
        assert (ROOT / local[name]["build"]["dockerfile"]).is_file(), name
    assert {name for name, service in compose["services"].items() if "cpus" in service} == {
        name for name, service in local.items() if "cpus" in service
    }


def test_images_are_named_with_a_version_and_the_base_can_be_chosen() -> None:
    text = (ROOT / "docker-compose.yaml").read_text()
    assert "${EVERGREEN_IMAGE:-${COMPOSE_PROJECT_NAME}:latest}" in text  # another clone's stack has another image
    for name, image in re.findall(r"\$\{([A-Z]+_IMAGE):-([a-z][^}]+)\}", text):
        assert ":" in image, name
        assert not image.endswith(":latest"), name
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE) == ["${PYTHON_IMAGE}"] * 2
    assert dockerfile.rindex("USER 50000:0") > dockerfile.rindex("FROM")


def test_the_lock_of_the_image_agrees_with_the_laptop_s() -> None:
    laptop, server = (pinned(ROOT / name) for name in ("requirements.txt", "requirements-server.txt"))
    assert {name for name in laptop.keys() & server.keys() if laptop[name] != server[name]} == set()
    required = (ROOT / "requirements.in").read_text().split()
    runtime = {re.split(r"[=<\[]", line)[0].replace(".", "-") for line in required}
    assert runtime <= {name.replace(".", "-") for name in server}


def pinned(path: Path) -> dict[str, str]:
    """Package to version of a lock; one with two versions, by platform, is left out."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9._-]+)==(\S+)", path.read_text(), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return {name: versions.pop() for name, versions in found.items() if len(versions) == 1}
