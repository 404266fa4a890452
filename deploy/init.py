"""What must be there before the servers start; run once at each start, and again whenever: it adds what is missing.

Makes roles and databases (where EVERGREEN_POSTGRES_ADMIN_URL names who may), brings Airflow's, MLflow's and the
ledger's tables to this image's versions, makes Airflow's first user, the bucket of a stand-in for Google's, and the
git clone that builds are made in, at this image's commit. Two that start at the same time take turns.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import URL, make_url

IMAGE = Path("/opt/evergreen")
PATIENCE = 90.0
_ADVISORY = 6_872_413_590_022
LEDGER_RIGHTS = (
    "ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT ON TABLES TO {role}",
    "ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO {role}",
)


def main() -> None:
    """All of it, in order."""
    urls = {name: make_url(os.environ[name]) for name in (
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "MLFLOW_BACKEND_STORE_URI", "EVERGREEN_LEDGER_URL",
    )}  # fmt: skip
    airflow = urls["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    if os.environ.get("EVERGREEN_LAKE_URL") or os.environ.get("EVERGREEN_DVC_REMOTE"):
        step("where the lake and the DVC remote are", "python", "-P", "-c", _CHECK_PLACES)
    admin = os.environ.get("EVERGREEN_POSTGRES_ADMIN_URL")
    with alone(make_url(admin) if admin else airflow):
        if admin:
            owner = make_url(os.environ["EVERGREEN_LEDGER_OWNER_URL"])
            make_databases(make_url(admin), [*urls.values(), owner], owners={owner.database: owner})
            make_demo_source(make_url(admin))
        step("Airflow's tables", "airflow", "db", "migrate")
        make_user(airflow)
        step("MLflow's tables", "python", "-P", "-c", _UPGRADE_MLFLOW)
        make_ledger(urls["EVERGREEN_LEDGER_URL"])
        make_bucket()
        make_clone(Path(os.environ["EVERGREEN_PROJECT"]))
    say("ready")


def say(text: str) -> None:
    """A line for `docker compose logs init`."""
    print(f"init: {text}", flush=True)


# What is given to a command by name is in its environment and not among its arguments, which every user's `ps` shows.
_UPGRADE_MLFLOW = """
import os
from mlflow.cli import cli
cli(["db", "upgrade", os.environ["MLFLOW_BACKEND_STORE_URI"]])
"""
_MAKE_USER = """
import os, sys
from airflow.__main__ import main
sys.argv[:1] = ["airflow", "users", "create", "--password=" + os.environ["AIRFLOW_ADMIN_PASSWORD"]]
main()
"""
_CHECK_PLACES = """
import os, sys
from evergreen.builds.remote import remote_options
from evergreen.errors import EvergreenError
from evergreen.store.bucket import Bucket
try:
    if url := os.environ.get("EVERGREEN_LAKE_URL"):
        Bucket(url)
    remote_options()
except EvergreenError as error:
    sys.exit(str(error))
"""
_OPEN_LEDGER = """
from evergreen.ledger import Ledger
from evergreen.project import find_home
Ledger.open(find_home("/"))
"""


def step(what: str, *command: str, **settings: str) -> None:
    """Run a command; its lines are shown only where it fails."""
    began = time.monotonic()
    run = subprocess.run(
        command, env=os.environ | settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if run.returncode:
        print(run.stdout, file=sys.stderr)
        sys.exit(f"init: {what}: failed with status {run.returncode}; see the lines above")
    say(f"{what} ({time.monotonic() - began:.0f} s)")


def connect(url: URL) -> psycopg.Connection:
    """A connection that commits each statement, once the server takes any."""
    given = {"connect_timeout": 5, **url.translate_connect_args(username="user", database="dbname"), **url.query}
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return psycopg.connect(autocommit=True, **given)
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline or "authentication" in str(error) or "does not exist" in str(error):
                sys.exit(f"init: PostgreSQL at {url.host}: {error}")
            time.sleep(0.5)


@contextmanager
def alone(url: URL) -> Iterator[None]:
    """Hold the lock of whoever initializes; the server frees it when this process is gone."""
    with connect(url) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_ADVISORY,))
        yield


def make_databases(admin: URL, urls: list[URL], owners: dict[str | None, URL]) -> None:
    """Each URL's role with its password, and its database; a role that is there gets the password, a database stays."""
    with connect(admin) as connection:
        for url in urls:
            role = sql.Identifier(str(url.username))
            known = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (url.username,)).fetchone()
            verb = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}" if known is None else "ALTER ROLE {} LOGIN PASSWORD {}")
            # Hashed here: a server's log may have the statement, and has it where it fails.
            name, password = str(url.username).encode(), str(url.password or "").encode()
            hashed = connection.pgconn.encrypt_password(password, name).decode()
            connection.execute(verb.format(role, sql.Literal(hashed)))
        for url in urls:
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", (url.database,)).fetchone() is None:
                owner = owners.get(url.database, url)
                let_me_act_for(connection, owner)
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(
                    sql.Identifier(str(url.database)), sql.Identifier(str(owner.username)),
                ))  # fmt: skip
                say(f"made the database {url.database}")
    for url in urls:
        owner = owners.get(url.database, url)
        if owner is not url and owner.username != url.username:
            with connect(owner) as connection:
                for right in LEDGER_RIGHTS:
                    connection.execute(sql.SQL(right).format(role=sql.Identifier(str(url.username))))


def let_me_act_for(connection: psycopg.Connection, owner: URL) -> None:
    """A managed PostgreSQL's administrator is no superuser: a database for another role is made by its members only."""
    with_rights = "SELECT FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolname = %s)"
    if connection.execute(with_rights, (owner.username,)).fetchone() is None:
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(str(owner.username))))


def make_demo_source(admin: URL) -> None:
    """The demo's operational database, whose rows the source `evergreen_postgres` reads."""
    text = os.environ.get("AIRFLOW_CONN_EVERGREEN_POSTGRES", "")
    if text.startswith(("postgres://", "postgresql://")):  # Airflow takes JSON as well; then it is a team's own
        url = make_url(text.replace("postgres://", "postgresql://", 1))
        if url.host == admin.host:
            make_databases(admin, [url], owners={})


def make_user(airflow: URL) -> None:
    """Airflow's first user, whose password is the secret AIRFLOW_ADMIN_PASSWORD."""
    with connect(airflow) as connection:
        if connection.execute("SELECT FROM ab_user WHERE username = 'admin'").fetchone() is not None:
            return
    step(
        "Airflow's first user, admin", "python", "-P", "-c", _MAKE_USER, "--role", "Admin", "--username", "admin",
        "--firstname", "First", "--lastname", "Admin", "--email", "admin@localhost",
    )  # fmt: skip


def make_ledger(url: URL) -> None:
    """The ledger's tables, by the role that owns them where there is one."""
    owner = os.environ.get("EVERGREEN_LEDGER_OWNER_URL")
    settings = {"EVERGREEN_LEDGER_URL": owner} if owner else {}
    step("the ledger's tables", "python", "-P", "-c", _OPEN_LEDGER, **settings)


def make_bucket() -> None:
    """The buckets of EVERGREEN_LAKE_URL and EVERGREEN_DVC_REMOTE on a stand-in; a real one is made by its owner."""
    if not os.environ.get("STORAGE_EMULATOR_HOST"):
        return
    from google.api_core.exceptions import Conflict
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    client = storage.Client(project="evergreen", credentials=AnonymousCredentials())
    for name in ("EVERGREEN_LAKE_URL", "EVERGREEN_DVC_REMOTE"):
        if bucket := os.environ.get(name, "").removeprefix("gs://").partition("/")[0]:
            try:
                client.create_bucket(bucket)
                say(f"made the bucket {bucket}")
            except Conflict:
                continue


def make_clone(project: Path) -> None:
    """The clone that builds are made in, at the image's commit; its tags, which are the builds, stay."""
    if not (project / ".git").exists():
        project.parent.mkdir(parents=True, exist_ok=True)
        left = project.with_name(f".{project.name}.part")
        subprocess.run(["rm", "-rf", str(left)], check=True)
        git(project.parent, "clone", "--quiet", "--no-hardlinks", str(IMAGE), str(left))
        left.rename(project)
    head = git(IMAGE, "rev-parse", "HEAD")
    if git(project, "rev-parse", "HEAD") != head:
        # Of an `init` that was killed here, and in the way for good: nobody else changes this clone's own files.
        (project / ".git" / "index.lock").unlink(missing_ok=True)
        git(project, "fetch", "--quiet", "--update-shallow", str(IMAGE), "HEAD")
        git(project, "reset", "--quiet", "--hard", head)
    say(f"{project} is at {head[:10]}")


def git(folder: Path, *arguments: str) -> str:
    """What git says; its words where it fails."""
    run = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    if run.returncode:
        sys.exit(f"init: `git {' '.join(arguments)}` in {folder}: {run.stderr.strip()}")
    return run.stdout.strip()


if __name__ == "__main__":
    main()
