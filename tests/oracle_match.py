"""The oracle's matches: what an expression reads from a match, or from the part of one that is there so far.

A `View` is a match (or a beginning of one) in its partition: `labels[j]` is the variable of the partition's row
`start + j`. The expression stands at row `at` of the match: RUNNING sees its rows up to there, FINAL all of them.
In a DEFINE the row in question is the last of `labels`, provisionally of the variable that is defined.

    A.x       is RUNNING LAST(A.x, 0); x without a variable is of all rows of the match
    LAST(t, n), FIRST(t, n)   the n-th of the rows of t's variable, from the last back or from the first on
    PREV(t, n), NEXT(t, n)    from there n rows back or on in the partition, whatever they were matched to
Navigation moves the columns inside it, not the value around them: PREV(x + 1) is PREV(x) + 1, PREV(x IS NULL) is
TRUE before the first row. A column of a row outside the partition is NULL, a CLASSIFIER of one outside the match.
An aggregate evaluates its arguments at each row of their variable.

`read` remembers the last row of the partition that any column was taken from, infinity for one behind the end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from oracle_expression import OracleError, owners, walk
from oracle_value import PENDING, aggregate, evaluate


@dataclass
class View:
    data: Mapping[str, list]
    subsets: Mapping[str, Set[str]]
    rows: Sequence[int]  # of the partition, as numbers of `data`
    start: int
    labels: Sequence[str]
    at: int
    number: int
    known: int  # how many rows of the partition have come
    ended: bool = True
    read: float = field(default=-1)

    def value(self, tree: tuple) -> Any:
        return evaluate(tree, self.leaf)

    def leaf(self, node: tuple, logical: tuple = (None, "LAST", None, 0, None), moved: int = 0) -> Any:
        kind = node[0]
        if kind == "match_number":
            return self.number
        if kind == "nav":
            return evaluate(node[2], lambda inner: self.leaf(inner, node, moved))
        if kind == "phys":
            return evaluate(node[2], lambda inner: self.leaf(inner, logical, moved + node[1]))
        if kind == "count":
            return len(self.mapped(node[1], node[2]))
        if kind == "agg":
            return self.aggregate(node)
        _, side, _, n, semantics = logical
        # RUNNING tells LAST where to begin looking; FIRST looks from the match's first row on in any case (as Trino).
        found = self.mapped(node[1], "FINAL" if side == "FIRST" else semantics)
        if n >= len(found):
            return None
        return self.cell(node, (found[n] if side == "FIRST" else found[-1 - n]) + moved)

    def cell(self, node: tuple, j: int) -> Any:
        """A column or CLASSIFIER at the j-th row of the match, which may lie before or behind it."""
        if node[0] == "classifier":
            return self.labels[j] if 0 <= j < len(self.labels) else None
        row = self.start + j
        self.read = max(self.read, row if row < len(self.rows) else math.inf)
        if row >= self.known and not self.ended:
            return PENDING
        return self.data[node[2]][self.rows[row]] if 0 <= row < len(self.rows) else None

    def mapped(self, variable: str | None, semantics: str | None) -> list[int]:
        """Where in the match the rows of `variable` are, of those that can be seen."""
        names = {variable} if variable is None else self.subsets.get(variable, {variable})
        seen = len(self.labels) if semantics == "FINAL" else self.at + 1
        return [j for j in range(seen) if variable is None or self.labels[j] in names]

    def aggregate(self, node: tuple) -> Any:
        _, name, arguments, semantics = node
        of = owners(arguments)

        def at(x: tuple, j: int) -> Any:
            def leaf(inner: tuple) -> Any:
                return self.number if inner[0] == "match_number" else self.cell(inner, j)

            return evaluate(x, leaf)

        rows = self.mapped(of.pop() if of else None, semantics)
        return aggregate(name, [tuple(at(x, j) for x in arguments) for j in rows])


def check(tree: tuple, where: str, variables: Set[str], columns: Set[str], *, define: bool) -> None:
    """Raises OracleError for what the standard forbids in a measure, or in a definition."""

    def fail(what: str) -> None:
        raise OracleError(f"{where}: {what}")

    for node in walk(tree):
        kind, inside = node[0], [n[0] for n in walk(node[1:])]
        if kind in ("col", "classifier", "count") and node[1] is not None and node[1] not in variables:
            fail(f"no variable {node[1]}")
        if kind == "col" and node[2] not in columns:
            fail(f"no column {node[2]}")
        if kind in ("nav", "agg", "count") and node[-1] == "FINAL" and define:
            fail("FINAL in DEFINE")
        if kind in ("nav", "phys", "agg") and len(owners(node)) > 1:
            fail("several variables in one navigation or aggregate")
        if kind in ("nav", "phys") and not owners(node):
            fail("navigation of nothing")
        if (
            (kind == "nav" and {"nav", "phys", "agg", "count"} & set(inside))
            or (kind == "phys" and {"phys", "agg", "count"} & set(inside))
            or (kind == "agg" and {"nav", "phys", "agg", "count"} & set(inside))
        ):
            fail(f"{kind} around {inside}")


def is_local(tree: tuple, variable: str, subsets: Mapping[str, Set[str]]) -> bool:
    """Whether the DEFINE of `variable` depends on the row in question, its neighbours and the match's number only."""
    own = {None, variable, *(name for name, members in subsets.items() if variable in members)}
    inner = [n for node in walk(tree) if node[0] == "phys" for n in walk(node)]
    return (
        all(node[0] not in ("nav", "agg", "count") for node in walk(tree))
        and owners(tree) <= own
        and all(node[0] != "classifier" for node in inner)
    )
