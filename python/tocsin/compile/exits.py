"""Exits: where a thread waits, and what of a later row lets it out.

A position at which a thread may stay whatever the row (`X*` without a condition, whose rows nobody reads) is a waiting
position if each of its few ways out can be searched for: by a column that must be equal to a value of the match so
far (`B.account = A.target`), less or greater than one, or by the row's own condition. What is searched for is a
necessary part of the definition only; the step at the row that was found decides.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

from tocsin.compile.ir import Node, kernel_kind, unit_ns
from tocsin.compile.plan import Plan
from tocsin.compile.program import type_number
from tocsin.compile.trees import conjuncts, walk
from tocsin_core.thread_matcher import SEEKS

EXITS_MAX = 2
MASK_TREE = -1
_MIRRORED = {"eq": "eq", "lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}

Exit = tuple[int, int, int, int, int, int, int, int]
NOTHING = (-1, -1, 0, -1)  # no second comparison


@dataclass
class Exits:
    """`exits`: per waiting position (SEEKS number, condition or -1, chain or tree, key or -1, and for a second
    comparison that a row must meet: SEEKS number or -1, column, type, key or -1) each.

    `chains`, `trees`: (column of the plan's schema, register type); a tree of column -1 is over the rows' conditions.
    `keys`: the values that threads search for.
    """

    exits: dict[int, list[Exit]] = field(default_factory=dict)
    chains: list[tuple[int, int]] = field(default_factory=list)
    trees: list[tuple[int, int]] = field(default_factory=list)
    keys: list[Node] = field(default_factory=list)


def described(exits: Exits, plan: Plan) -> dict[str, list[str]]:
    """In words: per variable at which threads wait, what is searched for."""
    names = {number: name for name, number in SEEKS.items()}
    symbols = {"eq": "=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
    said: dict[str, list[str]] = {}
    for position, ways in exits.exits.items():
        found = []
        for kind, condition, index, *_ in ways:
            name = names[kind]
            column = -1 if name == "mask" else (exits.chains if name == "eq" else exits.trees)[index][0]
            found.append(
                plan.condition_names[condition]
                if column < 0
                else f"{plan.schema.field(column).name} {symbols[name]} a value of the match"
            )
        said[plan.variables[plan.positions[position]]] = found
    return said


def find_exits(plan: Plan, unread: Iterable[bool]) -> Exits:
    """The waiting positions of a plan.

    Args:
        plan: from make_plan.
        unread: per position, whether its rows are neither recorded nor captured by threads.
    """
    found = Exits()
    of_variable: dict[int, Exit | None] = {}
    for p, may_wait in enumerate(unread):
        v, after = plan.positions[p], plan.follow[p]
        if not may_wait or p not in after or plan.condition_of[v] >= 0 or plan.rest_of[v] >= 0 or -1 in after:
            continue
        variables = [plan.positions[q] for q in after if q >= 0 and q != p]
        if len(variables) > EXITS_MAX:
            continue
        exits = []
        for u in variables:
            if u not in of_variable:
                of_variable[u] = _exit(plan, u, found)
            exits.append(of_variable[u])
        if all(e is not None for e in exits):
            found.exits[p] = cast(list[Exit], exits)
    return found if found.exits else Exits()


def _exit(plan: Plan, variable: int, found: Exits) -> Exit | None:
    condition, rest = plan.condition_of[variable], plan.rest_of[variable]
    searched = (
        [] if rest < 0 else [s for c in conjuncts(plan.rests[rest]) if (s := _search(c, plan)) is not None]
    )
    for op, column, value in sorted(searched, key=lambda s: s[0] != "eq"):
        entry = (column, type_number(plan.schema.field(column).type))
        indexes = found.chains if op == "eq" else found.trees
        if op != "eq" and plan.partition:
            continue
        found.keys.append(value)
        key = len(found.keys) - 1
        also = NOTHING
        for second, other, bound in searched if op == "eq" else []:
            if second != "eq":
                found.keys.append(bound)
                number = type_number(plan.schema.field(other).type)
                also = (SEEKS[second], other, number, len(found.keys) - 1)
                break
        return SEEKS[op], condition, _number(indexes, entry), key, *also
    if condition < 0 or plan.partition:
        return None
    tree = _number(found.trees, (MASK_TREE, type_number(plan.conditions[condition].type)))
    return SEEKS["mask"], condition, tree, -1, *NOTHING


def _number(entries: list[tuple[int, int]], entry: tuple[int, int]) -> int:
    if entry not in entries:
        entries.append(entry)
    return entries.index(entry)


def _search(node: Node, plan: Plan) -> tuple[str, int, Node] | None:
    """(comparison, column of the row, value of the match so far) if a conjunct is one."""
    if node.op not in _MIRRORED:
        return None
    left, right = node.args
    for op, row, value in ((node.op, left, right), (_MIRRORED[node.op], right, left)):
        if not _is_value(value, plan):
            continue
        if row.op == "sub" and _is_value(row.args[1], plan):
            # column - e < f is column < f + e; only for whole numbers, where that is exact.
            e = row.args[1]
            row = row.args[0]
            if (
                kernel_kind(row.type) != "i64"
                or kernel_kind(value.type) != "i64"
                or unit_ns(e.type) != unit_ns(value.type)
            ):
                continue
            value = Node("add", row.type, (e, value))
        if row.op != "column" or kernel_kind(row.type) != kernel_kind(value.type):
            continue
        column, lag = cast(tuple[int, int], row.attr)
        kind = kernel_kind(row.type)
        if lag == 0 and kind is not None and (op == "eq" or kind in ("i64", "u64", "f64")):
            return op, column, value
    return None


def _is_value(node: Node, plan: Plan) -> bool:
    """Whether a tree is known before the row is: it reads leaves that neither count that row nor lie behind."""
    for part in walk(node):
        if part.op == "column":
            return False
        if part.op == "leaf":
            leaf = plan.define_leaves[cast(int, part.attr)]
            if leaf.current or leaf.physical > 0:
                return False
    return True
