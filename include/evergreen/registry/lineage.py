"""From a version of the registry back to its build, and whether the registry says the same as the build does."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from evergreen.errors import RegistryError
from evergreen.ledger import Ledger
from evergreen.paths import build_tag
from evergreen.project import Project
from evergreen.registry.models import aliases, find_version
from evergreen.registry.server import connected, tracking_uri
from evergreen.registry.tracking import BUILD

TOLERANCE = 1e-12  # MLflow keeps doubles; some of its stores round the last bit


def find_build(project: Project, which: str) -> tuple[str, int | None]:
    """The build that `which` names, and its version: a version's number, an alias, a build's id or its tag.

    Without MLflow the ledger knows the versions that were promoted, and a build's id needs neither. Raises
    RegistryError where nothing knows it.
    """
    given = which.removeprefix(build_tag(project.name, ""))
    if given != which or not (given.isdigit() or given.isalpha()):
        return given, None
    if tracking_uri() is None:
        return _promoted(project, given)
    version = given if given.isdigit() else str(_aliased(project, given))
    with connected(f"run it again, or give the build's id: git tag --list {build_tag(project.name, '*')}") as client:
        found = client.search_model_versions(f"name = '{project.name}'")
        told = {str(entry.version): entry.tags.get(BUILD, "") for entry in found}
    if version not in told or not told[version]:
        known = ", ".join(sorted(told, key=int)) or "none"
        raise RegistryError(f"`{project.name}` has no version {version} that Evergreen registered; there are: {known}")
    return told[version].removeprefix(f"{project.name}/"), int(version)


def disagreements(project: Project, build: str, lock: str, outputs: Path | None, snapshot: str) -> list[str]:
    """Where MLflow says of the build other than its tag does; empty without MLflow, or where it does not know it.

    `outputs` is the folder of the recorded outputs, `snapshot` the id in its snapshot.json.
    """
    if tracking_uri() is None:
        return []
    with connected() as client:
        version = find_version(client, project.name, build)
        if version is None or not version.run_id:
            return [f"MLflow has no version of the build {build}"]
        run = client.get_run(version.run_id)
    told = {
        "dvc.lock.sha256": hashlib.sha256(lock.encode()).hexdigest(),
        "evergreen.snapshot": snapshot,
        "evergreen.tag": build_tag(project.name, build),
    }
    found = [
        f"MLflow's run says {key} {run.data.tags.get(key)}, the tag {value}"
        for key, value in told.items()
        if run.data.tags.get(key) != value
    ]
    if outputs is not None:
        recorded = json.loads((outputs / "metrics.json").read_text())
        for key, value in run.data.metrics.items():
            if isinstance(recorded.get(key), float) and abs(recorded[key] - value) > TOLERANCE:
                found.append(f"MLflow's run says {key} {value}, the build's metrics.json {recorded[key]}")
    return found


def _promoted(project: Project, which: str) -> tuple[str, int | None]:
    """By the ledger alone."""
    ledger = Ledger.open(project.home)
    champion = ledger.champion(project.name)
    if which == "champion" and champion is not None:
        return champion.build, champion.version
    for promotion in ledger.promotions(project.name):
        if str(promotion.version) == which:
            return promotion.build, promotion.version
    raise RegistryError(
        f"the ledger knows no promotion of `{which}`, and MLFLOW_TRACKING_URI is not set: set it, or give the build's "
        f"id: git tag --list '{build_tag(project.name, '*')}'"
    )


def _aliased(project: Project, alias: str) -> int:
    known = aliases(project.name)
    if alias not in known:
        raise RegistryError(f"`{project.name}` has no alias `{alias}`; there are: {', '.join(known) or 'none'}")
    return known[alias]
