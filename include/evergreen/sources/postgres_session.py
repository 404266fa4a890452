"""A session with PostgreSQL through ADBC: its connection string, read-only transactions, streams, and its errors."""

from __future__ import annotations

import logging
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from evergreen.errors import SourceError
from evergreen.sources.connections import Connection, find_connection
from evergreen.sources.postgres_watch import Watch

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

BATCH = 2 << 20  # bytes; larger ones cost memory and save no time
# A host that is gone without a word is noticed after a minute. The connection's extra may say otherwise. One that is
# there and says nothing is for `postgres_watch`.
DEFAULTS = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
    "application_name": "evergreen",
    "client_encoding": "UTF8",
}
# What Airflow's own hook keeps in a connection's extra for itself; all else is libpq's, which refuses what it does
# not know: a misspelt `sslmode` must not mean a connection without TLS.
NOT_LIBPQ = {
    "iam", "redshift", "redshift-serverless", "cursor", "cluster-identifier", "workgroup-name", "aws_conn_id",
    "azure_conn_id", "sqlalchemy_scheme", "sqlalchemy_query", "long_conn_id", "enable_log_db_messages",
}  # fmt: skip
# The text of a value must not depend on the server's settings, nor the order of rows on what else runs there.
SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "iso_8601",
    "extra_float_digits": "1",
    "lc_monetary": "C",
    "synchronize_seqscans": "off",
    "max_parallel_workers_per_gather": "0",
    "lock_timeout": "5min",
}
# A limit that the role or the database has is for others: a scan for changes takes as long as the table is large. What
# the connection's own `options` say holds. Not every version has both.
_LIMITS = """
SELECT name FROM pg_settings
WHERE name IN ('statement_timeout', 'transaction_timeout') AND source <> 'client'"""
# What the driver puts around the server's words, its query among it.
_WRAPPING = re.compile(
    r"^\w+: (?=\[)|\[libpq\] |Execution error \[\w+\]: |Failed to (execute|prepare) query: |could not begin COPY: "
    r"|\s*Query was:.*?(?=\.? SQLSTATE: \w+\Z|\Z)|\.? SQLSTATE: \w+\Z",
    re.S,
)


def identifier(name: str) -> str:
    """A name quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text quoted for SQL."""
    escaped = text.replace("'", "''").replace("\\", "\\\\")
    return f"E'{escaped}'" if "\\" in text else f"'{escaped}'"


def connection_string(connection: Connection) -> str:
    """libpq's keywords and values: those of the connection, its extra passed through."""
    given = {
        "host": connection.host,
        "port": connection.port,
        "user": connection.login,
        "password": connection.secret(),
        "dbname": connection.schema_,
        **{key: value for key, value in connection.extra.items() if key not in NOT_LIBPQ},
    }
    if any(re.fullmatch(r"[a-z_]+", key) is None for key in given):  # part of a password that was not escaped?
        raise SourceError("the connection's extra has keys that libpq does not know; are all parts of its URI escaped?")
    words = {**DEFAULTS, **{key: str(value) for key, value in given.items() if value is not None}}
    return " ".join(f"{key}={_quoted(value)}" for key, value in words.items())


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


class Session:
    """One connection, made when it is first needed and made anew after it was lost.

    Every method raises SourceError, which names `what` and the server's own words, and no secret.
    """

    def __init__(self, name: str, what: str, timeout: timedelta) -> None:
        connection = find_connection(name, ("postgres",))
        self._text = connection_string(connection)
        self._secrets = [connection.secret(), str(connection.extra.get("sslpassword") or "")]
        self._what = f"{what} (connection `{name}`)"
        self._watch = Watch(timeout.total_seconds())
        self._database: Any = None
        self._connection: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection, whatever it was doing."""
        open_parts, self._connection, self._database = (self._connection, self._database), None, None
        for part in filter(None, open_parts):
            with suppress(RuntimeError):  # a stream that was abandoned half way
                part.close()
        self._watch.close()

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """The few rows of a query."""
        return [row for batch in self.stream(sql) for row in batch.to_pylist()]

    def run(self, sql: str) -> None:
        """A statement without rows."""
        with self._statement(sql) as statement, self._watch.waiting():
            statement.execute_update()

    @contextmanager
    def transaction(self, lock: str | None = None) -> Iterator[None]:
        """REPEATABLE READ and read-only. Its snapshot is taken after `lock`, a table's quoted name, was locked.

        So nobody rewrites or truncates the table between the snapshot and a read, which old snapshots do not see.
        """
        limits = {row["name"]: "0" for row in self.rows(_LIMITS)}
        self.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            for key, value in {**SETTINGS, **limits}.items():
                self.run(f"SET LOCAL {key} = {literal(value)}")
            if lock is not None:
                self.run(f"LOCK TABLE {lock} IN ACCESS SHARE MODE")
            yield
            self.run("COMMIT")
        except BaseException:
            with suppress(SourceError):
                self.close()  # a stream that was not read to its end would block it
            raise

    def stream(self, sql: str) -> Generator[pa.RecordBatch, None, None]:
        """The rows of a query as they come, in batches of bounded size."""
        import pyarrow as pa

        with self._statement(sql) as statement:
            with self._watch.waiting():
                found = statement.execute_query()[0]
            with pa.RecordBatchReader.from_stream(found) as reader:
                while (batch := self._next(reader)) is not None:
                    if batch.num_rows:
                        yield batch

    def _next(self, reader: pa.RecordBatchReader) -> pa.RecordBatch | None:
        with self._watch.waiting():
            return next(reader, None)

    @contextmanager
    def _statement(self, sql: str) -> Iterator[Any]:
        """A statement of the driver itself: its interface for Python's DB-API imports pandas, 40 MB and 0.3 s."""
        import adbc_driver_postgresql
        from adbc_driver_manager import AdbcConnection, AdbcStatement

        with self._explained():
            if self._connection is None:
                with self._watch.connecting():
                    self._database = adbc_driver_postgresql.connect(self._text)
                    self._connection = AdbcConnection(self._database)
            with AdbcStatement(self._connection) as statement:
                option = adbc_driver_postgresql.StatementOptions.BATCH_SIZE_HINT_BYTES.value
                statement.set_options(**{option: str(BATCH)})
                statement.set_sql_query(sql)
                yield statement

    @contextmanager
    def _explained(self) -> Iterator[None]:
        import adbc_driver_manager
        import pyarrow as pa

        try:
            yield
        except (adbc_driver_manager.Error, pa.ArrowException, OSError) as error:
            words = self._plain(str(error))
            if self._watch.expired:
                words = (
                    f"nothing came from the server for {self._watch.timeout:.0f} s. Look whether it hangs; where it is "
                    "only slow, give the source a longer `timeout`"
                )
            error.args = (words,)  # it stays reachable from the one that is raised
            raise SourceError(f"{self._what}: {words}") from None

    def _plain(self, text: str) -> str:
        """The server's words alone: no query, no driver's prefix, no secret."""
        text = " ".join(_WRAPPING.sub("", text).split())
        text = re.sub(r"(invalid \w+ value: ).*", r"\1it is not shown here", text)
        for secret in filter(None, self._secrets):
            text = text.replace(secret, "***")
        return text
