"""`make backup` and `make restore`: all that a stack of docker-compose.yaml knows, while it runs, and back.

    python deploy/backup.py create [--to backups]         a new folder in there, whole or not at all
    python deploy/backup.py restore backups/20130401T0400 [--force]

A backup has every database, the files of the volumes `evergreen` and `mlflow`, and manifest.json with the SHA-256 of
each. What names something is taken before what it names: Airflow's database, then the ledger's, then MLflow's, then
the files, which only grow (deploy/archive.py). Not in it: .env with its keys, queues, logs, and what lies in a bucket.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from containers import (
    ARCHIVE,
    COMPOSE,
    exec_,
    feed,
    finished,
    held_files,
    keep,
    once,
    quoted,
    rows,
    run,
    say,
    services,
    start,
)

FORMAT = 1
# Volume to the service that mounts it and may be run once more beside itself.
VOLUMES = {"evergreen": "init", "mlflow": "mlflow"}
# What holds no state of the loop, or is needed to bring it back.
SERVERS = {"postgres", "redis", "kafka", "gcs", "proxy"}
ORDER = ("airflow", "evergreen", "demo", "mlflow")


def main() -> None:
    """Make one or bring one back."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="what", required=True)
    create_parser = commands.add_parser("create")
    create_parser.add_argument("--to", type=Path, default=Path("backups"))
    restore_parser = commands.add_parser("restore")
    restore_parser.add_argument("backup", type=Path)
    restore_parser.add_argument("--force", action="store_true", help="take away what the stack has")
    arguments = parser.parse_args()
    if arguments.what == "create":
        create(arguments.to)
    else:
        restore(arguments.backup, force=arguments.force)


def create(into: Path) -> None:
    """Write a backup beside its place and rename it when it is whole and on disk."""
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    part, place = into / f".{stamp}.part", into / stamp
    if "postgres" not in services():
        raise SystemExit(
            "backup: this stack does not run: `docker compose up --detach --wait`; another one is named by "
            "COMPOSE_PROJECT_NAME and COMPOSE_FILE"
        )
    part.mkdir(parents=True, mode=0o700)
    try:
        with held_files() as files:
            facts = json.loads(files.stdout.readline() or "{}")
            if not facts:
                raise SystemExit("backup: the container that reads the files did not start; see the lines above")
            databases = {row[0]: row[1] for row in rows(DATABASES)}
            for name in sorted(databases, key=lambda name: (ORDER.index(name) if name in ORDER else 2, name)):
                dump = ("pg_dump", "--username=postgres", "--format=custom", "--lock-wait-timeout=60000")
                # Who holds a lock now, this backup among them, holds none after a restore.
                without = ("--exclude-table-data=locks",) if name == "evergreen" else ()
                keep(exec_(*dump, *without, name), part / f"{name}.dump")
            files.stdin.write(b"go\n")
            files.stdin.close()
            keep(files, part / "evergreen.tar")
        keep(once("mlflow", *ARCHIVE, "write", "/mlflow"), part / "mlflow.tar")
        manifest = {
            "format": FORMAT, "made": stamp, **facts, "postgresql": rows("SHOW server_version")[0][0],
            "databases": databases, "roles": [row[0] for row in rows(ROLES)],
            "parts": {path.name: {"sha256": sha256(path), "bytes": path.stat().st_size}
                      for path in sorted(part.iterdir())},
        }  # fmt: skip
        write_synced(part / "manifest.json", json.dumps(manifest, indent=1).encode())
        part.rename(place)
        sync_folder(into)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    size = sum(part["bytes"] for part in manifest["parts"].values())
    say(f"{place}: {', '.join(databases)} and the files, {size / 1e6:.0f} MB. Keep .env as well")


def restore(backup: Path, force: bool) -> None:
    """Check the backup, then fill an empty stack from it, start that, and decide all again."""
    manifest = checked(backup)
    run("up", "--detach", "--wait", "--no-deps", "postgres")
    if (found := content()) and not force:
        raise SystemExit(
            f"restore: the stack has {', '.join(found)}, and nothing was changed: restore into an empty one, which "
            "`docker compose down --volumes` makes of this one, or say --force (FORCE=1) to take it away"
        )
    run("stop", *sorted(set(services()) - SERVERS) or ["worker"])
    clear()
    for role in manifest["roles"]:
        statement = f"DO $$ BEGIN CREATE ROLE {quoted(role)}; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        rows(statement)
    for name, owner in manifest["databases"].items():
        rows(f"CREATE DATABASE {quoted(name)} OWNER {quoted(owner)} TEMPLATE template0")
        load = ("pg_restore", "--username=postgres", "--exit-on-error", "--single-transaction", f"--dbname={name}")
        feed(exec_(*load, stdin=subprocess.PIPE), backup / f"{name}.dump")
    for volume, service in VOLUMES.items():
        feed(once(service, *ARCHIVE, "read", f"/{volume}", stdin=subprocess.PIPE), backup / f"{volume}.tar")
    say("the databases and the files are back; the stack starts")
    run("up", "--detach", "--wait")
    warn_of_another_key(manifest)
    warn_of_another_password()
    again = subprocess.run([*COMPOSE, "exec", "-T", "scheduler", "evergreen", "decisions", "replay"], check=False)
    if again.returncode:
        raise SystemExit("restore: not every decision would be made again from what was restored; see the lines above")


DATABASES = """SELECT datname, pg_get_userbyid(datdba) FROM pg_database
               WHERE NOT datistemplate AND datname <> 'postgres'"""
ROLES = r"SELECT rolname FROM pg_roles WHERE rolname NOT LIKE 'pg\_%' AND rolname <> 'postgres' ORDER BY 1"


def checked(backup: Path) -> dict[str, Any]:
    """The manifest of a backup whose every part is there and is what it was. Exits where not."""
    path = backup / "manifest.json"
    try:
        manifest: dict[str, Any] = json.loads(path.read_bytes())
        if (made_as := manifest["format"]) != FORMAT:
            raise SystemExit(f"restore: {backup} is of format {made_as}; this is for format {FORMAT}")
        whole = {f"{name}.dump" for name in manifest["databases"]} | {f"{volume}.tar" for volume in VOLUMES}
        missing = sorted(whole - {name for name, part in manifest["parts"].items() if part["sha256"]})
        if not manifest["databases"].keys() or set(manifest["databases"].values()) - {*manifest["roles"], "postgres"}:
            raise ValueError
        manifest["fernet_key"]
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise SystemExit(f"restore: {backup} has no manifest.json, so it is no backup, or not a whole one") from None
    except (ValueError, LookupError, TypeError, AttributeError):
        raise SystemExit(f"restore: {path} is not what it was; nothing was changed") from None
    if missing:
        raise SystemExit(f"restore: {backup} has no {', '.join(missing)}, so it is not whole; nothing was changed")
    for name, part in manifest["parts"].items():
        if not (backup / name).exists() or sha256(backup / name) != part["sha256"]:
            raise SystemExit(f"restore: {backup / name} is missing or is not what it was; nothing was changed")
    return manifest


def content() -> list[str]:
    """What the stack has, in words; nothing for an empty one."""
    found = [f"the database {row[0]}" for row in rows(DATABASES)]
    for volume, service in VOLUMES.items():
        if finished(once(service, "find", f"/{volume}", "-mindepth", "1", "-print", "-quit")).strip():
            found.append(f"files in the volume {volume}")
    return found


def clear() -> None:
    """Take away databases and files."""
    for name, _ in rows(DATABASES):
        rows(f"DROP DATABASE {quoted(name)} WITH (FORCE)")
    for volume, service in VOLUMES.items():
        finished(once(service, "find", f"/{volume}", "-mindepth", "1", "-delete"))


def warn_of_another_key(manifest: dict[str, Any]) -> None:
    """Say so where .env has another key than the one that Airflow's stored connections are encrypted with."""
    if json.loads(finished(once("init", *ARCHIVE, "facts")))["fernet_key"] != manifest["fernet_key"]:
        say("another AIRFLOW__CORE__FERNET_KEY in .env than in the backup: Airflow cannot read its stored connections")


_ASK_MLFLOW = """
import os, httpx
auth = os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]
url = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/experiments/search"
try:
    print(httpx.get(url, auth=auth, params={"max_results": 1}, timeout=30).status_code)
except (httpx.HTTPError, httpx.InvalidURL):
    print("away")
"""


def warn_of_another_password() -> None:
    """Say so where MLflow, whose users are restored, does not take .env's password: no build would be tracked."""
    asked = ("exec", "-T", "scheduler", "/opt/evergreen/deploy/entrypoint", "python", "-P", "-c", _ASK_MLFLOW)
    if finished(start(*asked, stdin=subprocess.DEVNULL)).strip() == "401":
        say(
            "another MLFLOW_TRACKING_PASSWORD in .env than MLflow's users had, who are back: put the old one there "
            "and say `docker compose up --detach --force-recreate`, else no build is tracked"
        )


def sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


if __name__ == "__main__":
    main()
