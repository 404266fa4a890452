"""The jars of the Kafka broker: `python -m evergreen.local.kafka_jars` brings them, `make setup` calls it.

kafka-jars.txt lists each one with its SHA-256. jgo resolves and downloads them from Maven into the user's cache, once
for all clones; what the list names is copied beside the environment's packages. Nothing is run that the list does not
name or that has another hash.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from evergreen.errors import ServerError
from evergreen.files import write_atomic
from evergreen.paths import file_sha256

ENDPOINTS = ("org.apache.kafka:kafka_2.13", "org.slf4j:slf4j-simple")  # the broker, and its log to stderr
LIST = Path(__file__).with_name("kafka-jars.txt")
SECONDS = 600


def folder() -> Path:
    """Where the environment keeps the jars."""
    return Path(sys.prefix) / "kafka"


def listed() -> dict[str, str]:
    """`group:artifact:version` to SHA-256."""
    lines = [line for line in LIST.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split() for line in lines)


def classpath() -> str:
    """The jars for `java -cp`."""
    return os.pathsep.join(str(folder() / f"{_stem(coordinates)}.jar") for coordinates in listed())


def require(place: Path | None = None) -> None:
    """Hold each jar against the list. Raises ServerError where one is missing or another."""
    place = place or folder()
    if wrong := _wrong({place / f"{_stem(coordinates)}.jar": sha256 for coordinates, sha256 in listed().items()}):
        raise ServerError(
            f"{len(wrong)} of the Kafka broker's jars are missing or are not what kafka-jars.txt lists, such as "
            f"{wrong[0]}: `make setup` brings them, or `{sys.executable} -m {__name__}`"
        )


def bring(place: Path | None = None, cache: Path | None = None) -> int:
    """Copy what is missing from the cache, after filling that where needed; how many jars were copied.

    Raises ServerError where they cannot be downloaded, or one has another hash than the list says.
    """
    place, cache = place or folder(), cache or _cache()
    wanted = {cache / _place(coordinates): sha256 for coordinates, sha256 in listed().items()}
    targets = {path: place / path.name for path in wanted}
    missing = _wrong({targets[path]: sha256 for path, sha256 in wanted.items()})
    if missing and _wrong(wanted):
        _download(cache)
        if wrong := _wrong(wanted):
            raise ServerError(
                f"{wrong[0]} is missing or has another SHA-256 than kafka-jars.txt lists; nothing of it is used. "
                f"Remove {cache} and try again; if that does not help, the registry serves another file"
            )
    place.mkdir(parents=True, exist_ok=True)
    for path, target in targets.items():
        if target in missing:
            partial = target.with_name(f".{target.name}.{os.getpid()}")
            shutil.copyfile(path, partial)
            partial.replace(target)
    write_atomic(place / "ready", hashlib.sha256(LIST.read_bytes()).hexdigest() + "\n")
    return len(missing)


def _download(cache: Path) -> None:
    wanted = [name for name in listed() if name.rpartition(":")[0] in ENDPOINTS]
    command = [
        str(Path(sys.executable).with_name("jgo")), "--cache-dir", str(cache / "jgo"), "--repo-cache", str(cache),
        "--timeout", "60", "info", "jars", "+".join(wanted),
    ]  # fmt: skip
    cache.mkdir(parents=True, exist_ok=True)
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ServerError(f"the Kafka broker's jars did not come within {SECONDS} s: is Maven in reach?") from None
    if run.returncode != 0:
        said = "\n".join((run.stderr or run.stdout).strip().splitlines()[-5:])
        raise ServerError(
            f"jgo could not bring the Kafka broker's jars from Maven (a mirror belongs into jgo's or Maven's own "
            f"settings):\n{said}"
        )


def _wrong(files: dict[Path, str]) -> list[Path]:
    return [path for path, sha256 in files.items() if not path.exists() or file_sha256(path) != sha256]


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "").strip()
    return (Path(base) if base else Path.home() / ".cache") / "evergreen" / "maven"


def _stem(coordinates: str) -> str:
    _, artifact, version = coordinates.split(":")
    return f"{artifact}-{version}"


def _place(coordinates: str) -> str:
    group, artifact, version = coordinates.split(":")
    return f"{group.replace('.', '/')}/{artifact}/{version}/{_stem(coordinates)}.jar"


if __name__ == "__main__":
    print(f"Kafka: {bring()} jars copied, all {len(listed())} are as listed")
