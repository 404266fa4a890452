"""The bundle of a registered build: all that serving and watching it needs, in one folder that never changes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evergreen.errors import RegistryError
from evergreen.faults import point
from evergreen.files import sync_folder, write_atomic
from evergreen.locks import lock
from evergreen.params import Params, load_params
from evergreen.paths import Home, file_sha256
from evergreen.project import Project

if TYPE_CHECKING:
    from evergreen.training.record import TrainingRecord

_OUTPUTS = ("model.pkl", "twin.pkl", "reference.parquet", "sample.parquet", "training.json")
FILES = (*_OUTPUTS, "params.yaml")
_LIST = "bundle.json"


@dataclass(frozen=True)
class Bundle:
    """A stored build. `sha256` is that of its bundle.json, and by it that of every file."""

    name: str
    build: str
    folder: Path
    sha256: str
    hashes: dict[str, str]

    def path(self, file: str) -> Path:
        """A file of the bundle, checked. Raises RegistryError where it is missing or was changed."""
        if file not in self.hashes:
            raise RegistryError(f"the bundle of {self.build} has no `{file}`; it has: {', '.join(self.hashes)}")
        place = self.folder / file
        if not place.is_file() or file_sha256(place) != self.hashes[file]:
            raise RegistryError(
                f"{place} is missing or not what was stored with the build {self.build}: remove {self.folder} and run "
                f"`evergreen track {self.build}`, which stores it again from the build's tag"
            )
        return place

    def check(self) -> None:
        """Check every file. Raises RegistryError as `path` does."""
        for file in self.hashes:
            self.path(file)

    @property
    def params(self) -> Params:
        """The build's params.yaml."""
        return load_params(self.path("params.yaml"))

    @property
    def training(self) -> TrainingRecord:
        """The build's training.json."""
        from evergreen.training.record import TrainingRecord

        return TrainingRecord.read(self.path("training.json"))

    def model(self) -> Any:
        """The model that serves, a fitted scikit-learn Pipeline."""
        return self._load("model.pkl")

    def twin(self) -> Any:
        """The model's twin, trained up to the gate window only."""
        return self._load("twin.pkl")

    def _load(self, file: str) -> Any:
        from evergreen.training.artifacts import load_model

        return load_model(self.path(file), self.hashes[file])


def store_bundle(project: Project, build: str) -> Bundle:
    """Store the bundle of the build whose worktree holds `project`; where it is stored already, check it.

    Raises RegistryError where an output is missing, where training.json does not know the models, and where another
    content is stored under the same build.
    """
    sources = {name: project.build / name for name in _OUTPUTS} | {"params.yaml": project.root / "params.yaml"}
    for source in sources.values():
        if not source.is_file():
            raise RegistryError(f"{source} is missing: run the stages of the build {build} first")
    hashes = {name: file_sha256(sources[name]) for name in FILES}
    _check_models(project, hashes)
    text = json.dumps(hashes, indent=1, sort_keys=True) + "\n"
    folder = project.home.models(project.name) / build
    if not folder.exists():
        with lock(project.home, f"{project.name}/bundle/{build}"):
            for left in folder.parent.glob(f".{folder.name}.*"):  # by a run that was killed
                shutil.rmtree(left)
            _publish(sources, text, folder)
    bundle = load_bundle(project.home, project.name, build)
    if bundle.sha256 != hashlib.sha256(text.encode()).hexdigest():
        raise RegistryError(
            f"{folder} holds another content than the build {build} now gives. A stored bundle never changes: build "
            "at another as_of, or remove that folder if nothing was promoted from it"
        )
    bundle.check()
    return bundle


def load_bundle(home: Home, name: str, build: str, sha256: str | None = None) -> Bundle:
    """The stored bundle of a build; files are checked as they are asked for.

    `sha256` is what the ledger recorded; None trusts the folder's own list. Raises RegistryError where there is no
    such bundle, or it is not the recorded one.
    """
    folder = home.models(name) / build
    try:
        content = (folder / _LIST).read_bytes()
    except FileNotFoundError:
        raise RegistryError(
            f"there is no bundle of the build {build} in {folder}: `evergreen track {build}` stores it from the "
            "build's tag"
        ) from None
    found, again = hashlib.sha256(content).hexdigest(), f"remove {folder} and run `evergreen track {build}`"
    if sha256 is not None and found != sha256:
        raise RegistryError(
            f"{folder / _LIST} is not what was recorded at promotion (SHA-256 {found[:12]}, recorded {sha256[:12]}): "
            f"{again}"
        )
    try:
        return Bundle(name, build, folder, found, dict(json.loads(content)))
    except ValueError:
        raise RegistryError(f"{folder / _LIST} was altered or cut off: {again}") from None


def _check_models(project: Project, hashes: dict[str, str]) -> None:
    from evergreen.training.record import TrainingRecord

    record = TrainingRecord.read(project.build / "training.json")
    if (record.model_sha256, record.twin_sha256) != (hashes["model.pkl"], hashes["twin.pkl"]):
        raise RegistryError(
            f"build/training.json of {project.root} is not of the models beside it: run the stage `train` again"
        )


def _publish(sources: dict[str, Path], text: str, folder: Path) -> None:
    """Copy to a folder beside, then rename: a kill leaves a hidden folder, never half a bundle."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        scratch.chmod(0o755)
        for name, source in sources.items():
            write_atomic(scratch / name, source.read_bytes())
        write_atomic(scratch / _LIST, text)
        point("track.bundled")
        os.rename(scratch, folder)
        sync_folder(folder.parent)
    except OSError:
        # A rename onto a folder that is not empty fails: another writer was faster, and is checked like any other.
        if not folder.exists():
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
