"""sql: a whole query, with MATCH_RECOGNIZE anywhere a table may stand.

    SELECT … FROM (SELECT … FROM trades) MATCH_RECOGNIZE ( … ) AS m JOIN … WHERE …
                  `----- DuckDB -----'   `---- tocsin ----'
    SELECT … FROM            tocsin_match_1               AS m JOIN … WHERE …        DuckDB

Each MATCH_RECOGNIZE, inner ones first (`sql/query_parts.py: find`): its input is computed by DuckDB, with the WITH
queries that it can see (a bare table goes in as it is), `match_recognize` runs the clause, and the result stands in
its place under a fresh name. What then is left is DuckDB's. The user's text is not rendered anew, so DuckDB reads
what was written.

The connection is one of its own, in memory, for one call: it has the tables that were given and no others, reads no
Python variable and no file, and loads no extension. Its time zone is that of the tables' timestamps if they agree,
else UTC. A WITH query that an input and the rest both read is computed for each of them.

Cost: about 50 ms for the connection; then DuckDB's and the matcher's work. Tables are handed over without a copy.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from tocsin.errors import QueryError
from tocsin.language.source import listed
from tocsin.query_types import check_units, for_clause, for_duckdb, give_back
from tocsin.recognize import match_recognize
from tocsin.sql.clause import parse_clause
from tocsin.sql.query_draft import Draft, Piece, PlacedSource
from tocsin.sql.query_origins import origins
from tocsin.sql.query_parts import Inner, Recognition, With, bare_rows, find
from tocsin.sql.query_tokens import Tokens, query_error
from tocsin.tables import as_table

_STATEMENTS = ("SELECT", "EXPLAIN", "MULTI")  # MULTI: a PIVOT whose columns come from the data
_SETTINGS = {
    "enable_external_access": False,
    "python_enable_replacements": False,
    "autoinstall_known_extensions": False,
}


def sql(query: str, /, **tables: Any) -> pa.Table:
    """The result of a query in which MATCH_RECOGNIZE may stand wherever a table may; DuckDB runs the SQL around it.

    Needs duckdb and sqlglot: pip install tocsin[sql].

    Args:
        query: one SELECT (or VALUES, FROM …, PIVOT, EXPLAIN) in DuckDB's SQL. The input of a MATCH_RECOGNIZE is a
            table, a sub-query in parentheses, VALUES or a table function, with or without an alias before it.
        tables: the tables of the query by their names, in any case: anything that speaks the Arrow PyCapsule
            interface, or a dict of numpy arrays. The query can read nothing else.

    Returns:
        A pyarrow.Table. Columns that pass unchanged keep their Arrow type; others have what DuckDB makes of them.

    Raises:
        QueryError: the query around the clauses is wrong or fails, with DuckDB's message and the place.
        PatternError: a clause is wrong or not supported; the message shows the place in the query.
        SchemaError: what was given is no table, or holds times that DuckDB would cut.
        EvaluationError: a clause meets a number or an interval that it cannot compute with.
        ImportError: duckdb or sqlglot is not installed.

    Example:
        >>> import tocsin as tc
        >>> prices = {"t": [1, 2, 3, 4, 5], "price": [9, 7, 8, 9, 4]}
        >>> tc.sql("SELECT m.top - m.bottom AS rise FROM prices MATCH_RECOGNIZE ("
        ...        "  ORDER BY t MEASURES FIRST(up.price) AS bottom, LAST(up.price) AS top"
        ...        "  PATTERN (down up+) DEFINE down AS price < PREV(price), up AS price > PREV(price)"
        ...        ") AS m WHERE m.top > 5", prices=prices).to_pylist()
        [{'rise': 1}]
    """
    if not isinstance(query, str):
        raise TypeError(f"a query is text, not a {type(query).__name__}")
    duckdb = _duckdb()
    given: dict[str, tuple[str, pa.Table]] = {}
    for name, data in tables.items():
        if name.lower() in given:
            raise QueryError(
                f"two tables are called {name} and {given[name.lower()][0]}: SQL takes them for one"
            )
        given[name.lower()] = (name, as_table(data))
    with duckdb.connect(":memory:", config=_SETTINGS) as connection:
        return _Run(duckdb, connection, query, given).result()


def _duckdb() -> Any:
    try:
        import duckdb
        import sqlglot  # noqa: F401  (needed later, in the middle of a query)
    except ImportError as cause:
        raise ImportError(f"tc.sql needs {cause.name}: pip install tocsin[sql]", name=cause.name) from cause
    return duckdb


class _Run:
    """One query on its way to its result."""

    def __init__(
        self, duckdb: Any, connection: Any, query: str, tables: dict[str, tuple[str, pa.Table]]
    ) -> None:
        self.duckdb = duckdb
        self.connection = connection
        self.query = query
        self.tables = tables
        self.images: dict[str, dict[str, tuple[pa.DataType, pa.DataType]]] = {}  # own and DuckDB's, by column
        self.tokens = Tokens(query)
        self.draft = Draft(query)
        self.prefix = "tocsin_match_"
        while self.prefix in query.lower() or any(name.startswith(self.prefix) for name in tables):
            self.prefix += "_"
        self._settle()

    def _settle(self) -> None:
        """The session's zone; after this the query can change no setting."""
        zones = {
            field.type.tz
            for _, table in self.tables.values()
            for field in table.schema
            if pa.types.is_timestamp(field.type) and field.type.tz is not None
        }
        for zone in (*(zones if len(zones) == 1 else ()), "UTC"):
            try:
                self.connection.execute(f"SET TimeZone = {_text(zone)}")
                break
            except self.duckdb.Error:
                continue  # an offset: DuckDB knows zones by name only
        self.connection.execute(
            "SET errors_as_json = true"
        )  # for their places; some versions take it only here
        self.connection.execute("SET lock_configuration = true")

    def result(self) -> pa.Table:
        self._one_query()
        for start, end in bare_rows(self.tokens):
            self.draft.replace(start, start, "(")
            self.draft.replace(end, end, ")")
        for number, part in enumerate(find(self.tokens), 1):
            name = f"{self.prefix}{number}"
            self.tables[name] = (name, self._recognize(part))
            self.draft.replace(*part.span, f" {name} ")
        return self._evaluate(self.draft.piece(0, self.end), statement=True)

    def _one_query(self) -> None:
        """One statement, and it is a query; `end` is where it ends."""
        outside = self.tokens.level(-1)
        self.end = len(self.query)
        for place, index in enumerate(outside):
            token = self.tokens[index]
            if token.is_op(";"):
                self.end = min(self.end, token.start)
            elif self.end < len(self.query):
                message = "one query is expected, and another begins here"
                raise query_error(self.query, message, (token.start, token.end))
            elif token.is_op(")") and self.tokens.partner[index] is None:
                raise query_error(self.query, "no parenthesis is open here", (token.start, token.end))
            if place == 0 and token.is_op(";"):
                break
        if not outside or self.end == self.tokens[0].start:
            raise QueryError("a query is expected, and the text is empty")

    def _recognize(self, part: Recognition) -> pa.Table:
        """The matches of one MATCH_RECOGNIZE."""
        for inner in part.inner:
            self.draft.replace(*inner.span, self._inner_value(part, inner))
        piece = self.draft.piece(*part.clause)
        clause = parse_clause(PlacedSource(piece.text, piece, self.query))
        return match_recognize(for_clause(self._input(part), part.names), clause)

    def _input(self, part: Recognition) -> pa.Table:
        bare = part.table
        if bare is not None and bare.key in self.tables and not any(bare.key in w.names for w in part.withs):
            table = self.tables[bare.key][1]
            if len(bare.columns) <= table.num_columns:  # else DuckDB says it
                return table.rename_columns([*bare.columns, *table.column_names[len(bare.columns) :]])
        return self._evaluate(
            self._scoped(part.withs, lambda head: head + "SELECT * FROM " + self.draft.piece(*part.input))
        )

    def _scoped(self, withs: tuple[With, ...], body: Callable[[Piece], Piece]) -> Piece:
        """A query with `withs` around it, each inside of the one before."""
        head = Piece(())
        for number, seen in enumerate(withs):
            head = (
                (head + "SELECT * FROM (" if number else head) + self.draft.piece(seen.start, seen.end) + " "
            )
        return body(head) + ")" * (len(withs) - 1)

    def _inner_value(self, part: Recognition, inner: Inner) -> str:
        """What a sub-query in a clause gives, as text for it: no row of the input is read, so it is a constant."""
        body = self.draft.piece(*inner.body)
        if inner.kind == "in":
            query = self._scoped(part.withs, lambda head: head + "SELECT DISTINCT * FROM (" + body + ")")
        else:
            exists = "EXISTS" if inner.kind == "exists" else ""
            query = self._scoped(part.withs, lambda head: head + f"SELECT {exists}(" + body + ") AS value")
        found = self._evaluate(query)
        if found.num_columns != 1:
            message = f"a sub-query in a clause gives one column, not {found.num_columns}"
            raise query_error(self.query, message, inner.span)
        values = found.column(0).to_pylist()
        if inner.kind == "in" and not values:
            message = (
                "this sub-query gives no row, and a clause has no IN without values: leave the condition out"
            )
            raise query_error(self.query, message, inner.span)
        texts = [_literal(value) for value in values]
        if None in texts:
            message = f"a sub-query in a clause cannot give a {found.column(0).type}: cast it"
            raise query_error(self.query, message, inner.span)
        listed = ", ".join(text for text in texts if text is not None)
        return f" {listed} " if inner.kind == "exists" else f" ({listed}) "

    def _evaluate(self, piece: Piece, statement: bool = False) -> pa.Table:
        """DuckDB's answer to a query."""
        text = piece.text
        used = [name for name in Tokens(text).names() if name in self.tables]
        try:
            for name in used:
                self._register(name)
            if statement:
                self._check_statement(text)
            found = self.connection.sql(text).to_arrow_table()
        except self.duckdb.Error as cause:
            raise self._query_error(piece, cause) from None
        return self._own_types(text, found, used)

    def _check_statement(self, text: str) -> None:
        kind = self.connection.extract_statements(text)[
            -1
        ].type.name  # a PIVOT may have a CREATE TYPE before it
        if kind not in _STATEMENTS:
            raise QueryError(f"a query is expected, not {kind}: tc.sql only reads")

    def _register(self, key: str) -> None:
        if key in self.images:
            return
        name, table = self.tables[key]
        self.connection.register(name, for_duckdb(name, table))
        quoted = name.replace('"', '""')
        image = self.connection.sql(f'SELECT * FROM "{quoted}" LIMIT 0').to_arrow_table().schema
        check_units(name, table, image)
        self.images[key] = {
            seen.name.lower(): (own.type, seen.type) for own, seen in zip(table.schema, image, strict=True)
        }

    def _own_types(self, text: str, found: pa.Table, used: list[str]) -> pa.Table:
        """`found` with the types that its columns had before DuckDB, where they came through unchanged."""
        images = {name: self.images[name] for name in used}
        if all(own == seen for columns in images.values() for own, seen in columns.values()):
            return found
        traced = origins(text, images)
        names = [name.lower() for name in found.column_names]
        if len(traced) != len(names) or any(
            name.lower() != own and not name.startswith("_col_")
            for own, (name, _) in zip(names, traced, strict=True)
        ):
            return found  # it was read in another way than DuckDB did
        for place, (field, (_, types)) in enumerate(zip(found.schema, traced, strict=True)):
            if types is not None and types[0] != types[1] == field.type:
                column = give_back(found.column(place), types[0])
                found = found.set_column(place, field.with_type(column.type), column)
        return found

    def _query_error(self, piece: Piece, cause: Exception) -> QueryError:
        """DuckDB's error as ours, with its place in the user's text if it can be had."""
        message, position = _told(cause)
        if "Table with name" in message:  # DuckDB would propose one of its own
            given = [name for name, _ in self.tables.values() if not name.startswith(self.prefix)]
            message = f"{message.splitlines()[0]} The tables given are {listed(given)}"
        if position is None:
            # Some errors get their place only when a statement is prepared; the connection is done with in any case.
            try:
                self.connection.execute("EXPLAIN " + piece.text)
            except self.duckdb.Error as again:
                _, position = _told(again)
                position = None if position is None else position - len("EXPLAIN ")
        if position is None or position < 0:
            return QueryError(message)
        offset = len(piece.text.encode()[:position].decode(errors="ignore"))
        start = piece.origin(offset)
        token = self.tokens.at(start)
        return query_error(self.query, message, (start, max(start + 1, token.end if token else 0)))


def _told(error: Exception) -> tuple[str, int | None]:
    """DuckDB's message, and the byte of the statement at which it points."""
    text = str(error)
    kind, brace, rest = text.partition("{")
    if brace:
        try:
            told = json.loads(brace + rest)
            position = told.get("position")
            return f"{kind}{told['exception_message']}", None if position is None else int(position)
        except (ValueError, KeyError, AttributeError):
            pass  # a brace in an ordinary message
    return text, None


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _literal(value: Any) -> str | None:
    """A Python value as SQL; None if the language of clauses cannot write it."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else None
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dt.datetime) and getattr(value, "nanosecond", 0) == 0:
        if value.tzinfo is not None:
            return f"TIMESTAMP '{value.astimezone(dt.UTC).replace(tzinfo=None).isoformat(' ')} UTC'"
        return f"TIMESTAMP '{value.isoformat(' ')}'"
    if isinstance(value, dt.date):
        return f"DATE '{value.isoformat()}'"
    if isinstance(value, dt.time):
        return f"TIME '{value.isoformat()}'"
    if isinstance(value, pa.MonthDayNano) and value.months == 0:
        seconds = decimal.Decimal(value.days * 86_400) + decimal.Decimal(value.nanoseconds) / 1_000_000_000
        return f"INTERVAL '{seconds:f}' SECOND"
    return None
