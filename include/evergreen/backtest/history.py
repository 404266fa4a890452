"""The history that is replayed: one feature table, made by the stages `snapshot` and `features` as of the end.

A feature at time t uses only what was known at t, so one table serves every moment and every policy. What was not
known at a moment yet is hidden by `known_at`: labels that became what they are only later count as missing there.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import evergreen
from evergreen.clock import naive
from evergreen.project import Project

if TYPE_CHECKING:
    import pandas as pd

# What makes features and fits; a cache made by other code is not used.
CODE = ("features", "training", "lake", "params", "stages", "sql.py", "clock.py")
TIMES = ("_label_known_at", "_label_first_known_at")


@dataclass(frozen=True)
class History:
    """The feature table at `features`, and its META columns in the order of its rows."""

    features: Path
    key: str  # SHA-256 over snapshot, params, code and packages: an equal key is an equal table
    snapshot: str
    meta: pd.DataFrame

    def known_at(self, as_of: datetime) -> pd.DataFrame:
        """`meta` with the labels that became what they are by `as_of`.

        The table holds the newest value alone: a label that was corrected after `as_of` counts as missing there.
        """
        late = (self.meta["_label_known_at"] > naive(as_of)).to_numpy()
        return self.meta.assign(**{name: self.meta[name].mask(late) for name in ("_label", *TIMES)})

    def labelled(self) -> Any:
        """Which rows have a label at the end, shape (rows,)."""
        return self.meta["_label"].notna().to_numpy()

    def corrected(self) -> int:
        """How many rows have a label that was another one when it was first known."""
        return int((self.meta["_label_known_at"] > self.meta["_label_first_known_at"]).sum())

    def columns(self, names: tuple[str, ...]) -> pd.DataFrame:
        """Further columns of the table, rows in its order."""
        return _columns(self.features, names)

    def days(self, time_zone: str) -> Any:
        """The local day of each row's moment, counted from 1970-01-01."""
        local = self.meta["_time"].dt.tz_localize("UTC").dt.tz_convert(time_zone).dt.tz_localize(None)
        return local.astype("datetime64[s]").astype("int64").to_numpy() // 86_400


@lru_cache(maxsize=2)
def _columns(features: Path, names: tuple[str, ...]) -> pd.DataFrame:
    from evergreen.training.frame import read_frame

    return read_frame(features, names)


def read_history(project: Project, as_of: datetime, cache: Path, committed: bool = False) -> History:
    """The history known at `as_of`, from the lake; from data/ and snapshot.json where there is no lake, or `committed`.

    The table is kept in `cache`, and made again where rows, params, code or packages have changed; the fits of the one
    before go then. Raises LakeError where there is neither, and what `snapshot` and `features` raise.
    """
    from evergreen.stages.features import features
    from evergreen.stages.snapshot import snapshot
    from evergreen.training.frame import META, read_frame

    place = dataclasses.replace(project, root=cache / "history")
    place.root.mkdir(parents=True, exist_ok=True)
    if not committed:
        project.refresh()
    if committed or not (project.lake / "raw").exists():
        found = _committed(project, place)
    else:
        _own_data(place.data)
        found = snapshot(place, as_of).id
    key = _key(project, found)
    path = cache / f"features-{key[:16]}.parquet"
    if not path.exists():
        features(place)
        shutil.rmtree(cache / "fits", ignore_errors=True)  # of another table, so that nothing asks for them
        for old in cache.glob("features-*.parquet"):
            old.unlink()
        os.replace(place.build / "features.parquet", path)
    return History(path, key, found, read_frame(path, META))


def _committed(project: Project, place: Project) -> str:
    """The id of the project's own snapshot, which `place` is made to show."""
    from evergreen.lake.snapshots import read_snapshot

    found = read_snapshot(project).id
    if place.data.is_symlink() or not place.data.exists():
        place.data.unlink(missing_ok=True)
    else:
        shutil.rmtree(place.data)
    place.data.symlink_to(project.data)
    shutil.copy(project.snapshot, place.snapshot)
    return found


def _own_data(data: Path) -> None:
    """A snapshot is about to be written: not through the link to the project's own one."""
    if data.is_symlink():
        data.unlink()


def _key(project: Project, snapshot: str) -> str:
    from evergreen.training.environment import environment
    from evergreen.training.estimators import find

    packages = [one for one in find(project.params.training.estimator).packages if find_spec(one)]  # else the fit says
    sections = {"time_zone", "tables", "prediction", "features"}
    content = {
        "snapshot": snapshot,
        "params": project.params.model_dump(mode="json", by_alias=True, include=sections),
        "code": _code(),
        "environment": environment(packages),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _code() -> str:
    root = Path(evergreen.__file__).parent
    paths = [path for part in CODE for path in ([root / part] if part.endswith(".py") else (root / part).rglob("*.py"))]
    lines = [f"{path.relative_to(root)} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in sorted(paths)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
