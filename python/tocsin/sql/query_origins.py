"""Which columns of a query's result are columns of its tables, passed on unchanged.

DuckDB has fewer types than Arrow (one kind of text, one zone of time for a whole session, intervals for durations),
so a column that only passes through it would come back changed. Here sqlglot reads the query, once its tables'
columns are known, and each column of the result is followed down through sub-queries, WITH, joins and set operations
to where it comes from. What chooses one of a column's values (MIN, MAX, ANY_VALUE, FIRST, LAG, …; COALESCE, which is
a join's USING) keeps its type too. Where anything else stands, or sqlglot does not know the syntax, the origin is
unknown, and the column keeps the type that DuckDB gave it.

Cost: about a millisecond per query, and sqlglot's import.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

T = TypeVar("T")
STEPS_MAX = 100_000  # a recursive query leads in a circle


def origins(text: str, tables: Mapping[str, Mapping[str, T]]) -> list[tuple[str, T | None]]:
    """(name, what `tables` has for the column it comes from) of each column of the result of `text`.

    Names of `tables` and of their columns are in lower case. The list is empty if the query cannot be followed.

    >>> tables = {"trades": {"ts": 1, "price": 2}}
    >>> origins("WITH w AS (SELECT * FROM trades) SELECT ts AS t, max(price), price + 1 FROM w GROUP BY ALL", tables)
    [('t', 1), ('_col_1', 2), ('_col_2', None)]
    """
    import sqlglot
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.optimizer.scope import build_scope

    schema = {table: dict.fromkeys(columns, "VARCHAR") for table, columns in tables.items()}
    try:
        tree = sqlglot.parse_one(text, dialect="duckdb")
        tree = qualify(
            tree, schema=schema, dialect="duckdb", quote_identifiers=False, validate_qualify_columns=False
        )
        scope = build_scope(tree)
        if scope is None:
            return []
        follow = _Follow(tables)
        names = scope.expression.named_selects
        return [(name, follow.column(scope, place)) for place, name in enumerate(names)]
    except Exception:
        # Not only sqlglot's own errors: on syntax that it half knows its optimizer fails in many ways. Nothing is
        # lost by it but the types that DuckDB does not have.
        return []


class _Follow(Generic[T]):
    def __init__(self, tables: Mapping[str, Mapping[str, T]]) -> None:
        self.tables = tables
        self.steps = STEPS_MAX

    def column(self, scope: Any, place: int) -> T | None:
        """The origin of column `place` of what `scope` selects."""
        from sqlglot import exp

        self.steps -= 1
        if self.steps < 0:
            raise RecursionError
        tree = scope.expression
        if isinstance(tree, exp.SetOperation):
            sides = [self.column(side, place) for side in scope.set_operation_scopes]
            return sides[0] if all(side == sides[0] for side in sides) else None
        if not isinstance(tree, exp.Select):
            return None
        return self.value(scope, tree.selects[place].unalias())

    def value(self, scope: Any, node: Any) -> T | None:
        """The origin of an expression."""
        from sqlglot import exp

        # What gives one of the values of its first argument.
        choosing = (
            *(exp.Min, exp.Max, exp.ArgMin, exp.ArgMax, exp.AnyValue),
            *(exp.First, exp.Last, exp.FirstValue, exp.LastValue, exp.Lag, exp.Lead),
        )
        while isinstance(
            node, (exp.Window, exp.IgnoreNulls, exp.RespectNulls, exp.Filter, exp.Order, exp.Paren)
        ):
            node = node.this
        if isinstance(node, (exp.Lag, exp.Lead)) and node.args.get("default") is not None:
            return None
        if isinstance(node, choosing):
            return self.value(scope, node.this)
        if isinstance(node, exp.Coalesce):
            found = [self.value(scope, one) for one in (node.this, *node.expressions)]
            return found[0] if all(one == found[0] for one in found) else None
        if not isinstance(node, exp.Column):
            return None
        source = scope.sources.get(node.table)
        if isinstance(source, exp.Table):
            if source.db:
                return None
            return self.table(source, node.name)
        if source is None:
            return None
        names = [name.lower() for name in source.expression.named_selects]
        if names.count(node.name.lower()) != 1:
            return None  # which of two columns of one name is meant is DuckDB's to say
        return self.column(source, names.index(node.name.lower()))

    def table(self, source: Any, name: str) -> T | None:
        """The origin of a column of a table, which may have been given other names where it stands."""
        columns = self.tables.get(source.name.lower(), {})
        given = (
            [column.name.lower() for column in source.args["alias"].columns]
            if source.args.get("alias")
            else []
        )
        names = [*given, *list(columns)[len(given) :]]
        if names.count(name.lower()) != 1:
            return None
        return columns[list(columns)[names.index(name.lower())]]
