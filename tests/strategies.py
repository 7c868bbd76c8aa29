"""Hypothesis strategies: random patterns, conditions, tables and cuts, and whole cases made of them.

Everything stays small (4 variables, 12 rows, numbers from -1 to 3), since what breaks a matcher is structure,
not size; and since small numbers collide, which is what conditions, ties and windows are about.
`Case.oracle()` gives the right answer, `Case.clause()` and `Case.table` the question. Patterns with great
bounds under other bounds are left out: the oracle writes bounds out. `cases` are of the clause that reads rows one by
one. Those of the whole clause come from `whole_cases.py`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

import oracle
from oracle_pattern import compile_pattern
from spec_cases import clause_text, identifying_measures, pattern_variables

QUANTIFIERS = ["?", "*", "+", "{1}", "{2}", "{0,1}", "{1,2}", "{,2}", "{2,3}", "{1,}", "{2,}", "{0,}", "{,1}"]
MEASURES = {
    "kind": "CLASSIFIER()",
    "number": "MATCH_NUMBER()",
    "x_last": "x",
    "x_first": "FIRST(x)",
    "x_second": "FIRST(x, 1)",
    "x_before": "LAST(x, 1)",
    "a_x": "A.x",
    "a_first": "FIRST(A.x)",
    "a_second": "FIRST(A.y, 1)",
    "a_before": "LAST(A.x, 1)",
    "a_count": "COUNT(A.*)",
    "a_known": "COUNT(A.x)",
    "a_sum": "SUM(A.x)",
    "a_mean": "AVG(A.x)",
    "low": "MIN(x)",
    "high": "MAX(y)",
    "spread": "MAX(x) - MIN(x)",
    "grown": "LAST(x) - FIRST(x)",
}


@functools.cache
def patterns(names: str = "ABCD", leaves: int = 6) -> st.SearchStrategy[str]:
    """Pattern text over the variables of `names`, of every operator of the subset."""
    quantifier = st.tuples(st.sampled_from(QUANTIFIERS), st.sampled_from(["", "", "?"])).map("".join)
    atoms = st.sampled_from([*names * 4, "()"])

    def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.one_of(
            st.lists(inner, min_size=2, max_size=3).map(" ".join),
            st.lists(inner, min_size=2, max_size=3).map(" | ".join).map("({})".format),
            st.tuples(inner.map("({})".format), quantifier).map("".join),
            st.tuples(st.sampled_from(names), quantifier).map("".join),
        )

    tree = st.recursive(atoms, grow, max_leaves=leaves)
    return tree.filter(lambda p: bool(pattern_variables(p)) and len(compile_pattern(p)) <= 60)


_numbers = st.integers(-1, 3).map(str)
_operands = st.one_of(
    st.sampled_from(
        ["x", "y", "x", "PREV(x)", "PREV(y)", "PREV(x, 2)", "x + y", "x - PREV(x)", "-y", "2 * x", "NULL"]
    ),
    _numbers,
)
_comparisons = st.tuples(_operands, st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), _operands).map(
    " ".join
)
_predicates = st.one_of(
    _comparisons,
    _comparisons,
    st.builds("{} > {}".format, st.sampled_from(["x", "y"]), _numbers),
    st.builds("{} IS {}NULL".format, st.sampled_from(["x", "y", "PREV(x)"]), st.sampled_from(["", "NOT "])),
    st.builds("x {}BETWEEN {} AND {}".format, st.sampled_from(["", "NOT "]), _numbers, _operands),
    st.builds(
        "y {}IN ({}, {})".format,
        st.sampled_from(["", "NOT "]),
        _numbers,
        st.one_of(_numbers, st.just("NULL")),
    ),
    st.sampled_from(["x = 1", "x = 2", "x > 0", "TRUE", "x < PREV(x)", "x > PREV(x)"]),
)
_withins: st.SearchStrategy[int | None] = st.sampled_from([None, None, 1, 2, 3, 6])
_skips = st.sampled_from(["past_last", "next"])
conditions: st.SearchStrategy[str] = st.recursive(
    _predicates,
    lambda inner: st.one_of(
        st.builds("({} AND {})".format, inner, inner),
        st.builds("({} OR {})".format, inner, inner),
        st.builds("NOT ({})".format, inner),
    ),
    max_leaves=3,
)


@dataclass(frozen=True)
class Case:
    pattern: str
    define: dict[str, str]
    measures: dict[str, str]
    partition_by: tuple[str, ...]
    skip: str
    within: int | None  # seconds; `t` counts them
    table: pa.Table  # of `tables()`
    subsets: dict[str, list[str]] = field(default_factory=dict)
    all_rows: str | None = None

    def all_measures(self) -> dict[str, str]:
        if self.all_rows:
            return self.measures
        return {**self.measures, **identifying_measures(pattern_variables(self.pattern))}

    def clause(self) -> str:
        return clause_text(
            self.pattern,
            self.define,
            self.all_measures(),
            partition_by=self.partition_by,
            order_by=("t",),
            skip=self.skip,
            within=None if self.within is None else f"INTERVAL '{self.within}' SECOND",
            subsets=self.subsets,
            all_rows=self.all_rows,
        )

    def columns_out(self) -> list[str]:
        if not self.all_rows:
            return [*self.partition_by, *self.all_measures()]
        return list(dict.fromkeys([*self.partition_by, "t", *self.measures, *self.table.column_names]))

    def oracle(self) -> list[dict[str, Any]]:
        return oracle.run(
            self.table,
            pattern=self.pattern,
            define=self.define,
            measures=self.all_measures(),
            partition_by=self.partition_by,
            order_by=("t",),
            skip=self.skip,
            within=self.within,
            subsets=self.subsets,
            all_rows=self.all_rows,
        )


@st.composite
def tables(draw: st.DrawFn, max_rows: int = 12) -> pa.Table:
    """k string, t timestamp[s] that never falls, x int64, y int16, and `n` and `bit` as in the spec cases."""
    n = draw(st.integers(0, max_rows))

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=n, max_size=n))

    number = st.one_of(st.integers(-1, 3), st.integers(-1, 3), st.integers(-1, 3), st.none())
    steps = column(st.sampled_from([0, 0, 1, 1, 2, 5]))
    keys = draw(st.sampled_from([["a"], ["a", "b"], ["a", "b", None]]))
    return pa.table(
        {
            "k": pa.array(column(st.sampled_from(keys)), pa.string()),
            "t": pa.array([sum(steps[: i + 1]) for i in range(n)], pa.int64()).cast(pa.timestamp("s")),
            "x": pa.array(column(number), pa.int64()),
            "y": pa.array(column(number), pa.int16()),
            "n": pa.array(range(n), pa.int64()),
            "bit": pa.array([1 << i for i in range(n)], pa.int64()),
        }
    )


@st.composite
def cases(
    draw: st.DrawFn,
    *,
    within: st.SearchStrategy[int | None] = _withins,
    skip: st.SearchStrategy[str] = _skips,
) -> Case:
    pattern = draw(patterns())
    names = pattern_variables(pattern)
    defined = draw(st.lists(st.sampled_from(names), unique=True, min_size=max(1, len(names) - 1)))
    usable = [m for m in MEASURES if m[:2] != "a_" or "A" in names]
    measures = draw(st.lists(st.sampled_from(usable), unique=True))
    return Case(
        pattern=pattern,
        define={v: draw(conditions) for v in names if v in defined},
        measures={m: MEASURES[m] for m in measures},
        partition_by=draw(st.sampled_from([(), ("k",)])),
        skip=draw(skip),
        within=draw(within),
        table=draw(tables()),
    )


def cuts(n_rows: int) -> st.SearchStrategy[list[int]]:
    """Lengths of consecutive batches that make up `n_rows`; some may be empty."""
    points = st.lists(st.integers(0, n_rows), max_size=6).map(sorted)
    return points.map(lambda p: [b - a for a, b in zip([0, *p], [*p, n_rows], strict=True)])
