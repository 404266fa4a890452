"""Evergreen under Airflow's Helm chart: the values say what docker-compose.yaml says, and name only what is made.

The last tests render the chart; they run where helm is, and HELM_CHART names the chart's folder or archive.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
HELM = ROOT / "deploy/helm"
# What the chart says by a value of its own, what is another place there, and what only the demo has.
BY_THE_CHART = {"AIRFLOW__CORE__EXECUTOR"}
PLACES = {
    "EVERGREEN_AIRFLOW_URL", "EVERGREEN_MLFLOW_URL",
    "AIRFLOW__API__BASE_URL", "AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "OPENBLAS_CORETYPE",
}  # fmt: skip
BUCKETS = {"EVERGREEN_LAKE_URL", "EVERGREEN_DVC_REMOTE"}
DEMO = re.compile("AIRFLOW_CONN_EVERGREEN_.*|STORAGE_EMULATOR_HOST|GCSFS_.*")


def test_the_pods_have_the_settings_of_the_server() -> None:
    server = {name: default(value) for name, value in compose()["x-environment"].items() if not DEMO.fullmatch(name)}
    pods = {entry["name"]: entry["value"] for entry in values()["env"]}
    assert pods.keys() == server.keys() - BY_THE_CHART - BUCKETS
    assert {name: pods[name] for name in pods.keys() - PLACES} == {name: server[name] for name in pods.keys() - PLACES}
    assert values()["executor"] == server["AIRFLOW__CORE__EXECUTOR"]
    in_a_bucket = {entry["name"] for entry in yaml.safe_load(values("values-gs.yaml")["extraEnv"])}
    assert in_a_bucket == BUCKETS


def test_each_pod_has_the_secrets_of_its_service_and_no_more(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "deploy/make_secrets.py", tmp_path / ".env"], check=True, timeout=60)
    made = secrets(tmp_path / ".env")
    services = {name: set(service.get("secrets", [])) for name, service in compose()["services"].items()}
    loop, jwt = made["evergreen"], {"AIRFLOW__API_AUTH__JWT_SECRET"}
    assert loop.keys() | jwt == services["scheduler"]
    assert services["init"] <= loop.keys() | jwt | made["evergreen-init"].keys()
    assert made["evergreen-init"].keys() <= services["init"]
    assert not loop.keys() & made["evergreen-init"].keys()
    assert made["evergreen-mlflow"].keys() == services["mlflow"]
    assert made["evergreen-jwt"].keys() == {"jwt-secret"}


def test_secrets_that_are_missing_are_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("EVERGREEN_LEDGER_URL='postgresql://a@b/c'\n")
    run = subprocess.run(secrets_command(tmp_path / ".env"), capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 1
    assert "AIRFLOW__CORE__FERNET_KEY" in run.stderr
    assert "EVERGREEN_LEDGER_URL" not in run.stderr
    assert "EVERGREEN_POSTGRES_ADMIN_URL" not in run.stderr


def test_quotes_in_the_env_file_are_no_part_of_a_secret(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    subprocess.run([sys.executable, ROOT / "deploy/make_secrets.py", path], check=True, timeout=60)
    path.write_text(path.read_text() + 'AIRFLOW_CONN_OURS=\'{"conn_type": "http"}\'\n')
    assert secrets(path)["evergreen"]["AIRFLOW_CONN_OURS"] == '{"conn_type": "http"}'


def test_what_the_values_name_is_made(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "deploy/make_secrets.py", tmp_path / ".env"], check=True, timeout=60)
    made = secrets(tmp_path / ".env")
    for name, key in named_secrets(values()):
        assert key is None or key in made[name], f"{name} has no {key}"
    claims = {volume["persistentVolumeClaim"]["claimName"] for volume in values()["volumes"]}
    assert claims <= {document["metadata"]["name"] for document in documents("volumes.yaml")}


def test_mlflow_is_found_where_the_values_look_for_it() -> None:
    by_kind = {document["kind"]: document for document in documents("mlflow.yaml")}
    service, pod = by_kind["Service"], by_kind["Deployment"]["spec"]["template"]
    url = next(entry["value"] for entry in values()["env"] if entry["name"] == "MLFLOW_TRACKING_URI")
    assert url == f"http://{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    container = pod["spec"]["containers"][0]
    assert container["image"] == ":".join(values()["images"]["airflow"][part] for part in ("repository", "tag"))
    allowed = next(entry["value"] for entry in container["env"] if entry["name"] == "MLFLOW_ALLOWED_HOSTS").split(",")
    assert {"mlflow:5000", "mlflow.example.org"} <= set(allowed)
    assert next(entry for entry in values()["env"] if entry["name"] == "EVERGREEN_MLFLOW_URL") in container["env"]


needs_the_chart = pytest.mark.skipif(
    not (shutil.which("helm") and os.environ.get("HELM_CHART")),
    reason="needs helm, and Airflow's chart at HELM_CHART: neither is a Python package",
)


@needs_the_chart
def test_the_chart_takes_the_values_and_every_pod_is_ours() -> None:
    pods = rendered("values.yaml")
    components = {"api-server", "scheduler", "dag-processor", "triggerer", "worker", "run-airflow-migrations"}
    assert pods.keys() == components
    for component, pod in pods.items():
        assert pod["enableServiceLinks"] is False
        assert {"name": "evergreen", "persistentVolumeClaim": {"claimName": "evergreen"}} in pod["volumes"]
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            assert container["image"] == "registry.example.org/evergreen:latest"
            assert any(mount["mountPath"] == "/evergreen" for mount in container["volumeMounts"])
            # Programs and a file of the public image, which this one has not, or has its own of.
            assert "/entrypoint" not in json.dumps(container)
            assert "clean-logs" not in json.dumps(container)
            assert "airflow_local_settings" not in json.dumps(container)
        assert len(pod["containers"]) == 1, f"{component} has a companion"
    assert pods["run-airflow-migrations"]["containers"][0]["args"] == ["init"]
    assert pods["worker"]["terminationGracePeriodSeconds"] == 600


@needs_the_chart
def test_only_those_that_sign_tokens_have_the_key() -> None:
    holders = {name for name, pod in rendered("values.yaml").items() if "evergreen-jwt" in json.dumps(pod)}
    assert holders == {"api-server", "scheduler"}


@needs_the_chart
def test_with_a_bucket_every_pod_knows_it() -> None:
    for pod in rendered("values.yaml", "values-gs.yaml").values():
        names = [entry["name"] for entry in pod["containers"][0]["env"]]
        assert set(names) >= BUCKETS
        assert len(names) == len(set(names))


def rendered(*files: str) -> dict[str, Any]:
    """Component to the pod that the chart makes of the values."""
    chosen = [argument for name in files for argument in ("--values", str(HELM / name))]
    command = ["helm", "template", "evergreen", os.environ["HELM_CHART"], "--namespace", "evergreen", *chosen]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    templates = [document["spec"]["template"] for document in yaml.safe_load_all(run.stdout) if is_a_workload(document)]
    return {template["metadata"]["labels"]["component"]: template["spec"] for template in templates}


def is_a_workload(document: dict[str, Any] | None) -> bool:
    return document is not None and document["kind"] in {"Deployment", "StatefulSet", "Job", "CronJob"}


def values(name: str = "values.yaml") -> dict[str, Any]:
    return yaml.safe_load((HELM / name).read_text())


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((HELM / name).read_text()))


def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yaml").read_text())


def default(text: str | None) -> str | None:
    """A value of docker-compose.yaml where .env says nothing; None where it is .env's alone."""
    return text and re.sub(r"\$\{\w+:-([^{}]*)\}", r"\1", text)


def secrets_command(env: Path) -> list[str]:
    return [sys.executable, str(ROOT / "deploy" / "kubernetes_secrets.py"), str(env)]


def secrets(env: Path) -> dict[str, dict[str, str]]:
    run = subprocess.run(secrets_command(env), capture_output=True, text=True, check=True, timeout=60)
    return {item["metadata"]["name"]: item["stringData"] for item in json.loads(run.stdout)["items"]}


def named_secrets(node: Any) -> list[tuple[str, str | None]]:
    """Every Secret that the values name, with the key where one is named."""
    if isinstance(node, str):
        return [(name, None) for name in re.findall(r"secretRef: \{name: ([\w-]+)\}", node)]
    if isinstance(node, list):
        return [found for part in node for found in named_secrets(part)]
    if not isinstance(node, dict):
        return []
    here = [(value, None) for key, value in node.items() if key.endswith("SecretName") or key == "jwtSecretName"]
    if reference := node.get("secretKeyRef"):
        here.append((reference["name"], reference["key"]))
    return here + [found for part in node.values() for found in named_secrets(part)]
