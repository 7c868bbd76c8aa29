"""A PostgreSQL table: COPY by ADBC, and the position in the same transaction.

    BEGIN
    UPDATE tocsin_positions SET position = after ... WHERE target = table AND position = before RETURNING 1
    COPY table (columns) FROM STDIN (FORMAT binary)
    COMMIT

    tocsin_positions    in the table's schema: target (the table's name), source ("streams/trades"), position,
                        mark (mark.py), updated

The UPDATE takes the row's lock first and finds no row if somebody else has moved the position, so that two writers can
never both bring the same events. Beside this a session holds an advisory lock on its table for life: a second sync
waits for the first one to go, rather than to collide with it. (A pooler that hands sessions from one client to the
next, like PgBouncer in transaction mode, breaks such locks; the UPDATE holds there too.)

The connection is in autocommit between transactions: a session that is idle in a transaction is ended by many
servers. When a commit's answer is lost, nobody knows whether it was done; the next session asks.

ADBC hands over columns as they are, also those that PostgreSQL counts otherwise: what must not change is converted and
checked before (postgres_types.py, fit.py).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from . import postgres_types
from .errors import PositionMovedError, SyncError, TargetAwayError
from .fit import Fitting, Nanoseconds
from .target import Pace, Piece, Position, Shape

if TYPE_CHECKING:
    from adbc_driver_postgresql.dbapi import Connection

POSITIONS = "tocsin_positions"
# Classes of SQLSTATE that a later attempt may not meet: connection, transaction rolled back, resources, operator
# intervention, system error; and single ones: lock not available, in failed transaction.
_PASSING = ("08", "40", "53", "57", "58")
_PASSING_STATES = ("55P03", "25P02", "25P03", "25006")


class PostgresTarget:
    """A table in PostgreSQL, made if it is missing; rows and position are committed together.

    Args:
        uri: of the database, as libpq has it: "postgresql://user@host/database?connect_timeout=10".
        table: its name; None: that of the stream or trigger.
        schema: of the database; None: the first of the connection's search_path.
        nanoseconds: PostgreSQL counts microseconds: "exact" refuses a value that is not whole ones, "truncate" cuts
            them off, "bigint" keeps the column as a number of nanoseconds.

    Needs adbc-driver-postgresql: ``pip install tocsin[sync]``. The table has a column for each of the source's, and the
    event's sequence as its primary key. A table that is there must have these columns (others besides, if they take a
    NULL or have a default), and be empty or have been filled by a sync.

    >>> PostgresTarget("postgresql://ada:secret@db.example/trade", "trades")
    PostgresTarget('postgresql://ada:***@db.example/trade', 'trades')
    """

    pace = Pace(rows=65_536, bytes=16 << 20, interval=0.1)

    def __init__(
        self,
        uri: str,
        table: str | None = None,
        schema: str | None = None,
        *,
        nanoseconds: Nanoseconds = "exact",
    ) -> None:
        self._uri = uri
        self._table = table
        self._wanted_schema = schema
        self._nanoseconds: Nanoseconds = nanoseconds
        self._connection: Connection | None = None
        self._name = table or ""
        self._schema = schema or ""
        self._position: int | None = None
        self._fitting: Fitting | None = None

    def open(self, shape: Shape) -> Position | None:
        """See Target."""
        self.close()
        self._name = self._table or shape.name
        self._fitting = Fitting(shape.schema, postgres_types.rule, str(self), self._nanoseconds)
        postgres_types.check_names(self._fitting.schema, str(self))
        if len(self._name.encode()) > postgres_types.NAME_BYTES:
            raise SyncError(f"{self}: the table's name is longer than {postgres_types.NAME_BYTES} bytes")
        connect = _driver().connect
        try:
            with self._faults("cannot connect"):
                self._connection = connect(self._uri, autocommit=True)
                self._execute("SET application_name = 'tocsin sync'")
                self._schema = self._find_schema()
                self._take_lock()
                found = self._prepare(shape)
        except BaseException:
            self.close()
            raise
        self._position = None if found is None else found.next
        return found

    def write(self, piece: Piece) -> None:
        """See Target."""
        if self._fitting is None or self._connection is None:
            raise TargetAwayError(f"{self} is not open")
        rows = self._fitting.table(piece)
        postgres_types.check_values(rows, piece, str(self))
        events = f"cannot write events {piece.first} to {piece.after - 1}"
        with self._faults(events), self._transaction():
            moved = self._execute(
                f"UPDATE {self._quoted(POSITIONS)} SET position = $1, mark = $2, updated = now() "
                "WHERE target = $3 AND position = $4 RETURNING 1",
                piece.after, piece.mark, self._name, self._position or 0,
            )  # fmt: skip
            if not moved:
                raise PositionMovedError(f"{self}: the position is not {self._position or 0} any more")
            with self._connection.cursor() as cursor:
                cursor.adbc_ingest(self._name, rows, mode="append", db_schema_name=self._schema)
        self._position = piece.after

    def cancel(self) -> None:
        """From another thread: end what is being waited for."""
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.adbc_cancel()

    def close(self) -> None:
        """See Target."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):  # a connection that is gone cannot be closed either
                connection.close()

    def __str__(self) -> str:
        return f"PostgreSQL table {'.'.join(part for part in (self._schema, self._name) if part)!r}"

    def __repr__(self) -> str:
        return f"PostgresTarget({without_password(self._uri)!r}, {self._table!r})"

    # -- opening ---------------------------------------------------------------------------------

    def _find_schema(self) -> str:
        if self._wanted_schema is None:
            found = self._execute("SELECT current_schema()")[0][0]
            if found is None:
                raise SyncError(f"{self}: no schema of the search_path exists; give schema=")
            return str(found)
        if not self._execute("SELECT 1 FROM pg_namespace WHERE nspname = $1", self._wanted_schema):
            raise SyncError(f"{self}: the database has no schema {self._wanted_schema!r}; make it first")
        return self._wanted_schema

    def _take_lock(self) -> None:
        key = f"tocsin.sync/{self._schema}/{self._name}"
        if self._execute("SELECT pg_try_advisory_lock(hashtextextended($1, 0))", key)[0][0]:
            return
        holders = self._execute(
            "SELECT l.pid FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND "
            "(l.classid::bigint << 32 | l.objid::bigint) = hashtextextended($1, 0)",
            key,
        )
        who = ", ".join(str(pid) for (pid,) in holders) or "just gone"
        raise TargetAwayError(
            f"{self}: another sync writes to it (server process {who}); waiting for its end"
        )

    def _prepare(self, shape: Shape) -> Position | None:
        """Make or check both tables, and read the position; all in one transaction."""
        assert self._fitting is not None
        with self._transaction():
            # CREATE TABLE IF NOT EXISTS can still collide with another session's.
            self._execute(
                "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"{POSITIONS}/{self._schema}"
            )
            if not self._columns(POSITIONS):
                self._execute(
                    f"CREATE TABLE {self._quoted(POSITIONS)} (target text PRIMARY KEY, source text NOT NULL, "
                    "position bigint NOT NULL, mark bigint, updated timestamp with time zone NOT NULL DEFAULT now())"
                )
            kept = self._execute(
                f"SELECT source, position, mark FROM {self._quoted(POSITIONS)} WHERE target = $1 FOR UPDATE",
                self._name,
            )
            there = self._columns(self._name)
            if there:
                self._check_columns(there)
            forget = f"DELETE FROM {self._quoted(POSITIONS)} WHERE target = {_literal(self._name)}"
            if kept:
                source, position, mark = kept[0]
                if source != shape.label:
                    raise SyncError(f"{self} keeps {source!r}, not {shape.label!r}; give another table=")
                if not there:
                    raise SyncError(
                        f"{self} is gone, but its position {position} is not; to begin anew: {forget}"
                    )
                return Position(position, mark) if position or mark is not None else None
            if not there:
                self._create(shape)
            elif self._execute(f"SELECT 1 FROM {self._quoted(self._name)} LIMIT 1"):
                raise SyncError(
                    f"{self} has rows, and {POSITIONS} does not say which events they are; give another table=, or "
                    "empty it"
                )
            self._execute(
                f"INSERT INTO {self._quoted(POSITIONS)} (target, source, position) VALUES ($1, $2, 0)",
                self._name, shape.label,
            )  # fmt: skip
            return None

    def _create(self, shape: Shape) -> None:
        assert self._fitting is not None
        columns = [
            f"{_identifier(field.name)} {postgres_types.sql_type(field.type)}"
            + (
                " PRIMARY KEY"
                if field.name == shape.sequence_column
                else ""
                if field.nullable
                else " NOT NULL"
            )
            for field in self._fitting.schema
        ]
        self._execute(f"CREATE TABLE {self._quoted(self._name)} ({', '.join(columns)})")

    def _columns(self, table: str) -> dict[str, tuple[str, bool]]:
        """name -> (type, whether a row needs a value for it); empty: there is no such table."""
        found = self._execute(
            "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull AND NOT a.atthasdef AND "
            "a.attidentity = '' FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
            "JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            self._schema, table,
        )  # fmt: skip
        return {name: (kind, bool(needed)) for name, kind, needed in found}

    def _check_columns(self, there: dict[str, tuple[str, bool]]) -> None:
        assert self._fitting is not None
        faults = []
        for field in self._fitting.schema:
            wanted = postgres_types.sql_type(field.type)
            if field.name not in there:
                faults.append(f"column {field.name!r} ({wanted}) is missing")
            elif not postgres_types.takes(there[field.name][0], field.type):
                faults.append(f"column {field.name!r} is {there[field.name][0]} there, {wanted} is needed")
        faults += [
            f"column {name!r} ({kind}) is not in the source, takes no NULL and has no default"
            for name, (kind, needed) in there.items()
            if needed and name not in self._fitting.schema.names
        ]
        if faults:
            raise SyncError(f"{self} does not fit: {'; '.join(faults)}")

    # -- talking ---------------------------------------------------------------------------------

    def _execute(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        assert self._connection is not None
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            if cursor.description is None:
                return []
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        assert self._connection is not None
        low = self._connection.adbc_connection
        low.set_autocommit(False)
        try:
            yield
            low.commit()
        except BaseException:
            with contextlib.suppress(Exception):  # a session that is gone rolls back by itself
                low.rollback()
                low.set_autocommit(True)
            raise
        low.set_autocommit(True)

    @contextlib.contextmanager
    def _faults(self, what: str) -> Iterator[None]:
        """The driver's errors as ours."""
        driver = _driver()
        try:
            yield
        except driver.Error as cause:
            text = " ".join(str(cause).split())
            state = getattr(cause, "sqlstate", None) or ""
            if not state or state.startswith(_PASSING) or state in _PASSING_STATES:
                raise TargetAwayError(f"{self}: {what}: {text}") from cause
            raise SyncError(f"{self}: {what}: {text}") from cause
        except pa.ArrowException as cause:
            raise SyncError(f"{self}: {what}: {cause}") from cause

    def _quoted(self, table: str) -> str:
        return f"{_identifier(self._schema)}.{_identifier(table)}"


def without_password(uri: str) -> str:
    """A URI as it may stand in a message.

    >>> without_password("postgresql://ada:secret@host/db?password=secret&user=ada")
    'postgresql://ada:***@host/db?password=***&user=ada'
    """
    uri = re.sub(r"(password=)[^&]*", r"\1***", uri)
    scheme, mark, rest = uri.partition("://")
    access, at, place = rest.rpartition("@")
    if not mark or not at:
        return uri
    user, colon, _ = access.partition(":")
    return f"{scheme}://{user}{':***' if colon else ''}@{place}"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _driver() -> Any:
    try:
        import adbc_driver_postgresql.dbapi as driver
    except ImportError as cause:
        raise ImportError(
            "PostgresTarget needs adbc-driver-postgresql: pip install tocsin[sync]", name=cause.name
        ) from cause
    return driver
