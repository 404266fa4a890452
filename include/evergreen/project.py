"""A use case on this machine: its folder, its params and the state folder that its git clone shares."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from evergreen.errors import EvergreenError
from evergreen.formats import require_format
from evergreen.params import Params, load_params
from evergreen.paths import Home
from evergreen.store.base import require_store, store_of


@dataclass(frozen=True)
class Project:
    """`root` holds params.yaml, dvc.yaml, data/ and snapshot.json; `home` is the state folder."""

    root: Path
    params: Params
    home: Home

    @classmethod
    def load(cls, root: Path | str | None = None, home: Path | str | None = None) -> Project:
        """Read the project at `root` (default: EVERGREEN_PROJECT, else the working folder).

        `home` defaults to EVERGREEN_HOME, else `.evergreen` in the main checkout, so that a build's worktree
        shares its clone's state. Raises ParamsError for a bad params.yaml, EvergreenError for a home that newer code
        has written, or whose lake is in a bucket that nobody names.
        """
        folder = find_root(root)
        found = find_home(folder, home)
        require_format(found)
        require_store(found)
        return cls(folder, load_params(folder / "params.yaml"), found)

    @property
    def name(self) -> str:
        """The use case's name, which prefixes what others see."""
        return self.params.name

    def require_tables(self, given: list[str] | None) -> list[str]:
        """The tables asked for, all without any; EvergreenError, with the known ones, for one that there is not."""
        known = list(self.params.tables)
        for table in given or []:
            if table not in known:
                raise EvergreenError(
                    f"`{table}` is not a table of {self.root / 'params.yaml'}; known: {', '.join(known)}"
                )
        return given or known

    @property
    def lake(self) -> Path:
        """The use case's lake."""
        return self.home.lake(self.name)

    def refresh(self) -> None:
        """Have the lake here as it is now, where it is in a bucket; who writes it does so under the lock of that."""
        store_of(self.lake).refresh(self.lake)

    @property
    def data(self) -> Path:
        """The snapshot's folder, tracked by DVC."""
        return self.root / "data"

    @property
    def build(self) -> Path:
        """The outputs of the DVC stages."""
        return self.root / "build"

    @property
    def snapshot(self) -> Path:
        """The snapshot's committed description."""
        return self.root / "snapshot.json"

    @property
    def search(self) -> Path:
        """What the last search chose, committed."""
        return self.root / "search.json"


def find_root(root: Path | str | None = None) -> Path:
    """The project's folder: `root`, else EVERGREEN_PROJECT, else the working folder."""
    return Path(root or os.environ.get("EVERGREEN_PROJECT") or Path.cwd()).resolve()


def find_home(root: Path | str | None = None, home: Path | str | None = None) -> Home:
    """The state folder of the project at `root`, which needs no valid params.yaml to be found."""
    place = home or os.environ.get("EVERGREEN_HOME")
    return Home(Path(place).resolve() if place else main_checkout(find_root(root)) / ".evergreen")


def main_checkout(folder: Path) -> Path:
    """The top of the clone that `folder` belongs to, also from a linked worktree; raise outside of git."""
    run = subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "--path-format=absolute", "--git-common-dir"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if run.returncode != 0:
        raise EvergreenError(f"{folder} is not in a git clone, which builds need: {run.stderr.strip()}")
    return Path(run.stdout.strip()).parent
