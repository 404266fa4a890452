"""What differs between a build's recorded outputs and those made again, said so that a person can go on from it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

SHOWN = 10  # of many differing values, these first


def outputs(lock: str) -> dict[str, str]:
    """Path to MD5 of every output in the text of a dvc.lock."""
    stages = YAML(typ="safe").load(lock)["stages"].values()
    return {out["path"]: out["md5"] for stage in stages for out in stage.get("outs", ())}


def differences(lock: str, lock_made: str, recorded: Path | None, made: Path) -> list[str]:
    """One text for each output that is not, byte for byte, what was recorded; empty where all are.

    `recorded` and `made` are the two folders of outputs (a build's `build/`); without the first only hashes are known.
    """
    was, now = outputs(lock), outputs(lock_made)
    found = []
    for path in sorted(was | now):
        if was.get(path) == now.get(path):
            continue
        if path not in was or path not in now:
            found.append(f"{path}: {'made, and not recorded' if path not in was else 'recorded, and not made'}")
        elif recorded is None:
            found.append(f"{path}: other bytes (MD5 {now[path]}, recorded {was[path]})")
        else:
            name = path.removeprefix("build/")
            found += [f"{path}: {text}" for text in _told(recorded / name, made / name)]
    return found


def changed(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """`key: recorded -> made` of the values that differ, nested keys joined by dots."""
    one, other = dict(flat(was)), dict(flat(now))
    keys = [key for key in dict.fromkeys([*one, *other]) if one.get(key) != other.get(key)]
    texts = [f"{key}: {one.get(key)} -> {other.get(key)}" for key in keys[:SHOWN]]
    return texts + ([f"and {len(keys) - SHOWN} more"] if len(keys) > SHOWN else [])


def _told(recorded: Path, made: Path) -> list[str]:
    if recorded.is_dir():
        names = {path.name for folder in (recorded, made) for path in folder.iterdir()}
        differing = sorted(name for name in names if _bytes(recorded / name) != _bytes(made / name))
        return [f"other bytes in {', '.join(differing)}"]
    if recorded.suffix == ".json":
        return changed(json.loads(recorded.read_text()), json.loads(made.read_text())) or ["other bytes, equal values"]
    if recorded.suffix == ".parquet":
        return _columns(recorded, made)
    return [f"other bytes ({made.stat().st_size:,}, recorded {recorded.stat().st_size:,})"]


def _columns(recorded: Path, made: Path) -> list[str]:
    """Which columns of two Parquet files differ, in how many rows, and where first."""
    import pyarrow.parquet as pq

    was, now = (_comparable(pq.read_table(path)).to_pandas() for path in (recorded, made))
    if list(was.columns) != list(now.columns):
        return [f"columns {', '.join(now.columns)}, recorded {', '.join(was.columns)}"]
    if len(was) != len(now):
        return [f"{len(now):,} rows, recorded {len(was):,}"]
    found = []
    for name in was.columns:
        differing = (was[name] != now[name]) & ~(was[name].isna() & now[name].isna())
        if differing.any():
            first = int(differing.to_numpy().argmax())
            key = was["_key"].iloc[first] if "_key" in was else first
            values = f"{was[name].iloc[first]} -> {now[name].iloc[first]}"
            found.append(f"column {name} differs in {int(differing.sum()):,} rows, first of {key}: {values}")
    return found or ["other bytes, equal values"]


def _comparable(table: Any) -> Any:
    """The table with lists, such as the probabilities of several classes, as the texts that they are shown as."""
    import pyarrow as pa

    for place, field in enumerate(table.schema):
        if pa.types.is_list(field.type):
            said = [None if value is None else str(value) for value in table[field.name].to_pylist()]
            table = table.set_column(place, field.name, pa.array(said, pa.string()))
    return table


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The tree's leaves, nested keys joined by dots."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
