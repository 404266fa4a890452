"""Pages for people that are old: the monitor's, Evidently's, and those of validations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from evergreen.gc.kinds import Item, free_paths, paths
from evergreen.gc.scene import Scene
from evergreen.lake.manifests import read_manifests
from evergreen.quality.records import read_validations
from evergreen.store.base import store_of


class MonitorReports:
    """A window's folder: Evidently's page (5 MB), its numbers, the summary."""

    name = "monitor reports"
    why = "older than retention.reports; the window's record stays, and `evergreen monitor` draws them again"

    def find(self, scene: Scene) -> list[Item]:
        """The folders by their window's end; what an open request points at stays."""
        reports = scene.home.reports(scene.name)
        store_of(reports).refresh(reports)
        asked = {Path(str(one.evidence.get("report"))).parent.name for one in scene.ledger.open_requests(scene.name)}
        found = []
        for folder in reports.glob("*"):
            end = _window_end(folder.name)
            if end is not None and folder.name not in asked and scene.older(end, scene.retention.reports):
                found.append(folder)
        return paths(found)

    def free(self, scene: Scene, items: Sequence[Item]) -> Iterator[Item]:
        """Delete them, where no monitor runs."""
        yield from free_paths(scene, self, items, f"{scene.name}/monitor")


class ValidationReports:
    """The page of a validation and its results as JSON."""

    name = "validation reports"
    why = "older than retention.reports, and no refused file is shown there; the records stay"

    def find(self, scene: Scene) -> list[Item]:
        """Those whose newest file was ingested long ago, by the `as_of` of its manifest."""
        found = []
        scene.project.refresh()
        for folder in sorted((scene.project.lake / "validation").glob("*/reports")):
            table = folder.parent.name
            refused = {
                (record.raw, record.contract)
                for record in read_validations(scene.project.lake, table).values()
                if record.critical is not None
            }
            manifests = read_manifests(scene.project.lake / "raw" / table)
            came = {file.path: manifest.as_of for manifest in manifests for file in manifest.files}
            for page in sorted(folder.glob("*.json")):
                shown = {(file["raw"], file["contract"]) for file in json.loads(page.read_bytes())["files"]}
                newest = max((came[raw] for raw, _ in shown if raw in came), default=_changed(page))
                if not shown & refused and scene.older(newest, scene.retention.reports) and scene.untouched(page):
                    found += [path for path in (page.with_suffix(".html"), page) if path.exists()]
        return paths(found)

    def free(self, scene: Scene, items: Sequence[Item]) -> Iterator[Item]:
        """Delete them table by table, where no validation runs; the page before its JSON, by which it is found."""
        by_table: dict[str, list[Item]] = {}
        for item in items:
            by_table.setdefault(Path(item.id).parent.parent.name, []).append(item)
        for table, mine in by_table.items():
            yield from free_paths(scene, self, mine, f"{scene.name}/validate/{table}")


def _window_end(folder: str) -> datetime | None:
    """The moment in `20130401T040000-<build>`; None for another name."""
    try:
        return datetime.strptime(folder.partition("-")[0], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def _changed(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
