"""Random trees of the language: expressions, row patterns and clauses of every kind of node.

They are in the form that the parser gives (AND and OR flat, a minus before a number part of the number, quotes only
where a name needs them), so that a tree and what is read back from its text have to be the same.
"""

from __future__ import annotations

import datetime as dt

from hypothesis import strategies as st

from tocsin.language.expression import (
    Aggregate,
    Between,
    Binary,
    Call,
    Case,
    Cast,
    Classifier,
    Column,
    In,
    IsDistinct,
    IsNull,
    Like,
    Literal,
    MatchNumber,
    Navigate,
    Unary,
    lit,
    logical,
    negative,
)
from tocsin.language.pattern import (
    Alternation,
    Anchor,
    Empty,
    Exclusion,
    Permute,
    Quantified,
    Sequence,
    Variable,
)
from tocsin.language.render import name_text
from tocsin.sql.clause_tree import Clause, Definition, MeasureItem, SkipTo, SortKey, Subset

COLUMNS = [
    "a",
    "Price",
    "date",
    "first",
    "Two words",
    "null",
    'q"q',
    "case",
    "interval",
    "count",
    "both",
    "array",
]
VARIABLES = ["A", "B", "DOWN", "c d", "lower", "PERMUTE", "FIRST", "NEXT"]
TYPES = ["bigint", "decimal(10, 2)", "timestamp(3) with time zone", "array(row(a bigint, double))", "double"]


def columns(variables=None):
    names = st.sampled_from(COLUMNS)
    variable = st.none() if variables is None else st.one_of(st.none(), st.sampled_from(variables))
    return st.builds(lambda name, v: Column(name, v, name_text(name) != name), names, variable)


def literals():
    values = st.one_of(
        st.integers(-(2**63), 2**64 - 1),
        st.booleans(),
        st.none(),
        st.text(max_size=5),
        st.binary(max_size=3),
        st.floats(),
        st.dates(),
        st.times(),
        st.datetimes(),
        st.datetimes(timezones=st.just(dt.UTC)),
        st.timedeltas(dt.timedelta(-9), dt.timedelta(9)),
    )
    return st.one_of(values.map(lit), st.integers(1 - 2**31, 2**31 - 1).map(lambda n: Literal(n, "months")))


def _some(inner, least=1):
    return st.lists(inner, min_size=least, max_size=3).map(tuple)


def _case(operand, branches, default):
    return Case(operand, tuple(c for c, _ in branches), tuple(v for _, v in branches), default)


def _of_one_row(inner):
    """Nodes that a row by itself has."""
    maybe = st.one_of(st.none(), inner)
    arithmetic = st.sampled_from(["+", "-", "*", "/", "%", "=", "<>", "<", "<=", ">", ">="])
    return [
        st.builds(Binary, arithmetic, inner, inner),
        st.builds(logical, st.sampled_from(["and", "or"]), _some(inner, 2)),
        st.builds(negative, inner),
        st.builds(Unary, st.just("not"), inner),
        st.builds(IsNull, inner, st.booleans()),
        st.builds(IsDistinct, inner, inner, st.booleans()),
        st.builds(Between, inner, inner, inner, st.booleans()),
        st.builds(In, inner, _some(inner), st.booleans()),
        st.builds(Like, inner, inner, st.sampled_from([None, "!", "'", "\\"]), st.booleans()),
        st.builds(_case, maybe, st.lists(st.tuples(inner, inner), min_size=1, max_size=2), maybe),
        st.builds(Cast, inner, st.sampled_from(TYPES), st.booleans()),
        st.builds(Call, st.sampled_from(["coalesce", "array", "concat", "pi", "f_2"]), _some(inner, 0)),
        st.builds(Call, st.sampled_from(["substring", "trim", "concat"]), st.tuples(inner)),
        st.builds(Call, st.sampled_from(["subscript", "at_timezone", "nullif"]), st.tuples(inner, inner)),
        st.builds(
            lambda field, x: Call("extract", (Literal(field), x)),
            st.sampled_from(["year", "Day", "a b"]),
            inner,
        ),
    ]


def _of_the_match(inner):
    """Nodes that a match has besides."""
    semantics = st.sampled_from([None, "running", "final"])
    one = st.sampled_from(["count", "sum", "avg", "array_agg", "any_value", "stddev_pop", "bool_and"])
    offset = st.sampled_from([0, 1, 2, 2**31 - 1])
    return [
        st.builds(Navigate, st.sampled_from(["prev", "next"]), inner, offset),
        st.builds(Navigate, st.sampled_from(["first", "last"]), inner, offset, semantics),
        st.builds(lambda f, x, s: Aggregate(f, x, semantics=s), one, inner, semantics),
        st.builds(
            lambda f, x, y, s: Aggregate(f, x, None, (y,), s),
            st.sampled_from(["min_by", "max_by"]),
            inner,
            inner,
            semantics,
        ),
    ]


def expressions(variables=None, max_leaves=12):
    """Expressions; with `variables` also those that only a match has."""
    leaves = [columns(variables), literals()]
    if variables is not None:
        some = st.one_of(st.none(), st.sampled_from(variables))
        semantics = st.sampled_from([None, "running", "final"])
        leaves.append(st.builds(lambda v, s: Aggregate("count", None, v, (), s), some, semantics))
        leaves += [st.builds(Classifier, some), st.just(MatchNumber())]
    return st.recursive(
        st.one_of(leaves),
        lambda inner: st.one_of(_of_one_row(inner) + (_of_the_match(inner) if variables is not None else [])),
        max_leaves=max_leaves,
    )


def row_patterns():
    leaves = [Variable(name) for name in VARIABLES] + [Anchor("start"), Anchor("end"), Empty()]
    bounds = st.sampled_from([(0, None), (1, None), (0, 1), (3, 3), (2, None), (0, 4), (2, 3)])
    return st.recursive(
        st.sampled_from(leaves),
        lambda inner: st.one_of(
            st.builds(Sequence, _some(inner, 2)),
            st.builds(Alternation, _some(inner, 2)),
            st.builds(Permute, _some(inner)),
            st.builds(Exclusion, inner),
            st.builds(lambda item, b, greedy: Quantified(item, *b, greedy), inner, bounds, st.booleans()),
        ),
        max_leaves=8,
    )


def clauses():
    """Clauses of every form; not every one means something, which is for the compiler to say."""
    of_row, of_match = expressions(max_leaves=3), expressions(VARIABLES, max_leaves=5)
    variable = st.sampled_from(VARIABLES)
    names = st.sampled_from(COLUMNS).map(lambda name: (name, name_text(name) != name))
    skips = st.one_of(
        st.sampled_from([SkipTo(), SkipTo("next")]),
        st.builds(SkipTo, st.sampled_from(["first", "last"]), variable),
    )
    return st.builds(
        Clause,
        row_patterns(),
        partition=_some(of_row, 0),
        order=_some(st.builds(SortKey, of_row, st.booleans(), st.booleans()), 0),
        measures=_some(st.builds(lambda e, name: MeasureItem(e, *name), of_match, names), 0),
        rows=st.just("all"),
        empty=st.sampled_from(["show", "omit"]),
        skip=skips,
        within=st.one_of(st.none(), st.integers(1, 10**15).map(lambda ns: Literal(ns, "interval"))),
        subsets=_some(st.builds(Subset, variable, _some(variable)), 0),
        definitions=_some(st.builds(Definition, variable, of_match), 0),
    )
