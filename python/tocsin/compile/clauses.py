"""A clause or condition and a schema -> its checked, typed plan."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache

import pyarrow as pa

from tocsin.compile.ir import Node
from tocsin.compile.plan import Plan
from tocsin.compile.planner import make_plan
from tocsin.compile.scope import Columns
from tocsin.compile.typecheck import TypeCheck
from tocsin.errors import PatternError
from tocsin.language.expression import Expression
from tocsin.language.render import render
from tocsin.language.source import Source
from tocsin.sql.clause import Clause, parse_clause, parse_condition


def compile_clause(clause: str | Clause, schema: pa.Schema) -> Plan:
    """The plan of a MATCH_RECOGNIZE clause over rows of `schema`.

    Raises PatternError, with the place in the text, for whatever is wrong in it or not supported, and TypeError
    for what is neither a clause nor a schema.

    >>> schema = pa.schema({"ts": pa.timestamp("us"), "price": pa.float64()})
    >>> plan = compile_clause("ORDER BY ts MEASURES LAST(B.price) AS bottom PATTERN (A B+) "
    ...                       "DEFINE B AS price < PREV(price)", schema)
    >>> plan.variables, plan.positions, plan.follow
    (('A', 'B'), (0, 1), ((1,), (1, -1)))
    >>> plan.output_schema.names
    ['bottom']
    """
    if not isinstance(clause, (str, Clause)):
        raise TypeError(
            f"a clause is text, PATTERN ( … ) and what goes with it, not a {type(clause).__name__}"
        )
    _check_schema(schema)
    if isinstance(clause, str):
        return _plan_of_text(clause, schema)
    return _plan(clause, schema)


# A plan is immutable, and the same few clauses are compiled again and again by whoever matches many small tables.
@lru_cache(maxsize=64)
def _plan_of_text(text: str, schema: pa.Schema) -> Plan:
    return _plan(parse_clause(text), schema)


def _plan(tree: Clause, schema: pa.Schema) -> Plan:
    try:
        return make_plan(tree, schema)
    except RecursionError:  # the caller's own stack was nearly used up
        raise PatternError("the clause is nested too deeply for the stack that is left") from None


def compile_condition(condition: str | Expression, schema: pa.Schema) -> Node:
    """The typed tree of a condition over single rows of `schema`.

    Raises PatternError with the place, for a Python expression in its text as SQL.

    >>> compile_condition("price > 3", pa.schema({"price": pa.float64()})).op
    'gt'
    """
    _check_schema(schema)
    try:
        if isinstance(condition, str):
            return _condition(condition, parse_condition(condition), schema)
        # PERF: only an error needs the text: 30 of 90 us, for each of what may be hundreds of triggers.
        with suppress(PatternError):
            return _condition("", condition, schema)
        return _condition(*render(condition), schema)
    except RecursionError:  # the caller's own stack was nearly used up
        raise PatternError("the condition is nested too deeply for the stack that is left") from None


def _condition(text: str, tree: Expression, schema: pa.Schema) -> Node:
    return TypeCheck(Columns(schema, Source(text))).condition(tree)


def _check_schema(schema: pa.Schema) -> None:
    if not isinstance(schema, pa.Schema):
        raise TypeError(
            f"a pyarrow.Schema is expected, not a {type(schema).__name__}: pa.schema({{name: type, …}})"
        )
