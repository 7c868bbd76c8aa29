"""Execution: which way a plan runs, and why not a quicker one.

(a) row-local         every definition reads its row and PREV at fixed distances: one deterministic automaton, whose
                      states are built as they are met; a match needs no more than its first and its last row
(b) labelled rows     the same, and the measures need to know which row was matched to what, so rows are kept
(c) registers         a definition reads the match so far, or the clause asks for what only single attempts can tell
                      (ALL ROWS, SKIP TO a variable, anchors, NEXT, …): attempts step one by one, each with the
                      values that definitions read (registers); attempts that are equal in all of them are one
(d) search            what a definition reads cannot be held in registers, so attempts are never one, and their number
                      is bounded by max_steps only
"""

from __future__ import annotations

from typing import Literal as Choice

from tocsin.compile.automata import MATCH_AT_END
from tocsin.compile.ir import CLASSIFIER, Leaf, Node, kernel_kind
from tocsin.compile.plan import Plan
from tocsin.compile.sites import Sites

ExecutionClass = Choice["a", "b", "c", "d"]

# What the row-local matcher computes of a finished match.
LONG = 64  # positions: what all attempts together would occupy at each row, at 0.5 us each
_SIMPLE = frozenset(
    ("first", "last", "count", "count_rows", "sum", "min", "max", "classifier", "match_number")
)


def execution_class(plan: Plan) -> ExecutionClass:
    """The way in which `plan` runs: "a", "b", "c" or "d" (see the top of the file).

    >>> import pyarrow as pa
    >>> from tocsin.compile.clauses import compile_clause
    >>> schema = pa.schema({"x": pa.int64()})
    >>> execution_class(compile_clause("PATTERN (A B) DEFINE B AS x > PREV(x)", schema))
    'a'
    >>> execution_class(compile_clause("PATTERN (A B) DEFINE B AS x > A.x", schema))
    'c'
    """
    if unheld(plan):
        return "d"
    if reasons(plan):
        return "c"
    return "b" if labelled(plan) else "a"


def unheld(plan: Plan) -> list[Leaf]:
    """What definitions read and no register can hold."""
    return [
        leaf
        for leaf in plan.define_leaves
        if leaf.kind == "array_agg"
        or (leaf.column == CLASSIFIER and leaf.physical)
        or (leaf.kind != "count" and any(map(is_computed_text, leaf.arguments)))
    ]


def is_computed_text(argument: Node | None) -> bool:
    """Whether an aggregate's argument is a text that is in no column, so that a row's number cannot stand for it."""
    return argument is not None and argument.op != "column" and kernel_kind(argument.type) == "str"


def reasons(plan: Plan) -> list[str]:
    """Why `plan` is not row-local, in words; empty if it is."""
    found: list[str] = []
    if plan.define_leaves:
        names = [plan.rest_names[r] for r in sorted(set(plan.rest_of) - {-1})]
        found.append(f"{', '.join(names)} read{'s' * (len(names) == 1)} the match so far")
    elif plan.rests:
        found.append(
            f"{', '.join(plan.rest_names)} read{'s' * (len(plan.rest_names) == 1)} rows to come (NEXT)"
        )
    if plan.rows == "all":
        found.append("ALL ROWS PER MATCH shows each row with what it was matched to")
    if plan.skip in ("first", "last"):
        found.append("AFTER MATCH SKIP TO a variable needs the rows of that variable")
    if plan.first_at_start != plan.first:
        found.append("the pattern asks for the start of its partition (^)")
    if any(MATCH_AT_END in after for after in plan.follow):
        found.append("the pattern asks for the end of its partition ($)")
    if len(plan.positions) > LONG and plan.skip != "next" and _is_bounded(plan):
        found.append(
            f"it is a long chain ({len(plan.positions)} positions, no loop): one attempt after the other costs "
            "less than all of them at once"
        )
    if any(not _is_simple(leaf) for leaf in plan.leaves):
        found.append("a measure reads more of the match than the row-local matcher computes")
    return found


def labelled(plan: Plan) -> bool:
    """Whether the measures of a row-local pattern need to know which row was matched to what."""
    sites = Sites.of(plan)
    return any(
        leaf.kind != "match_number" and sites.place(leaf, len(plan.variables)) == "rows"
        for leaf in plan.leaves
    )


def _is_bounded(plan: Plan) -> bool:
    """Whether no match is longer than the pattern: then an attempt that fails has cost no more than that."""
    return all(q > p for p, after in enumerate(plan.follow) for q in after if q >= 0)


def _is_simple(leaf: Leaf) -> bool:
    return (
        leaf.kind in _SIMPLE
        and leaf.column >= -1
        and leaf.physical == 0
        and leaf.final
        and not leaf.arguments
        and kernel_kind(leaf.type) is not None
    )
