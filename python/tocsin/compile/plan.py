"""Plan: a whole clause after the type check, ready for the kernel.

The plan is immutable and holds no expression of the text: names have become column indices and variable
numbers, types are Arrow's. Variables are numbered in the order in which PATTERN first names them; a set of
variables is a bit mask over these numbers, and all bits that have a variable mean any row of the match.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal as Choice

import pyarrow as pa

from tocsin.compile.ir import Leaf, Node


@dataclass(frozen=True, slots=True)
class Measure:
    """One output column: its name and what computes it from the leaves."""

    name: str
    node: Node


@dataclass(frozen=True, slots=True)
class Derived:
    """A column that a library computes of each batch before the match: `node` is a tree over "column" nodes of lag 0.

    `name` is for messages; where a key of PARTITION BY is computed it is its text, and the name of its output column.
    """

    name: str
    node: Node


@dataclass(frozen=True, slots=True)
class Plan:
    """Shapes: `condition_of` and `rest_of` have one entry per variable (-1: none), `positions`, `follow` and
    `excluded` one per position of the automaton, `condition_names` and `rest_names` one per condition (for
    messages: "DEFINE PROBE").

    `schema` is that of the events and then of the columns of `derived`; all column numbers are of it.

    A variable's definition is the AND of two parts, either of which may be missing: its *condition* reads its row
    and rows before it at fixed distances (PREV) and is computed for whole batches; its *rest* reads the match
    so far (`define_leaves`) or rows that come after it (NEXT). Only a pattern without rests is row-local.

    `first` are the positions that a match can begin with, `first_at_start` those at the first row of a partition (^).
    In a list MATCH (-1) means that the match may end here, MATCH_AT_END (-2) that it may if the partition ends here
    too ($); the latter not in `first`. `excluded`: inside {- -}.

    `order` is (column, descending, nulls first); `time` the first ORDER BY column if it ascends and is a
    whole number, date, time, timestamp or duration; `within` is in the unit of that column: a row belongs to
    a match while its time - the first row's time < `within`. `skip_variables` (a mask): of SKIP TO FIRST, TO LAST.
    `output_schema`: the partition columns, then the measures; with `rows` "all" the partition columns, the ORDER BY
    columns, the measures, and all other columns of the input (never a derived one that is no partition column).
    """

    schema: pa.Schema
    partition: tuple[int, ...]
    order: tuple[tuple[int, bool, bool], ...]
    variables: tuple[str, ...]
    conditions: tuple[Node, ...]
    condition_of: tuple[int, ...]
    condition_names: tuple[str, ...]
    positions: tuple[int, ...]
    first: tuple[int, ...]
    follow: tuple[tuple[int, ...], ...]
    within: int | None
    time: int | None
    skip: Choice["past_last", "next", "first", "last"]
    leaves: tuple[Leaf, ...]
    measures: tuple[Measure, ...]
    output_schema: pa.Schema
    first_at_start: tuple[int, ...] = ()
    excluded: tuple[bool, ...] = ()
    rests: tuple[Node, ...] = ()
    rest_of: tuple[int, ...] = ()
    rest_names: tuple[str, ...] = ()
    define_leaves: tuple[Leaf, ...] = ()
    skip_variables: int = 0
    rows: Choice["one", "all"] = "one"
    empty: Choice["show", "omit", "unmatched"] = "show"
    derived: tuple[Derived, ...] = ()
