"""explain: in words, how a pattern or condition runs, what an event costs, and what is kept."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from tocsin.compile.assemble import MATCH, Assembled, Sites, build
from tocsin.compile.ir import Node
from tocsin.compile.plan import Plan
from tocsin_core.matcher import PatternMatcher


def explain(definition: Any, schema: pa.Schema) -> str:
    """How a clause or condition would run over events of `schema`.

    Args:
        definition: text of a MATCH_RECOGNIZE clause or of a condition, or an expression made with col.
        schema: pyarrow.Schema of the events.

    Returns:
        Some lines of text: the execution class and why, the automaton's size, the cost of an event, what is kept
        per open attempt and partition.

    Raises:
        PatternError: the definition is wrong or not supported.

    Example:
        >>> import pyarrow as pa
        >>> print(explain("PATTERN (a b) DEFINE b AS x > 3", pa.schema({"x": pa.int64()})).splitlines()[0])
        row pattern over 2 variables, class: row-local (lazy deterministic automaton)
    """
    return explain_assembled(build(definition, schema))


def explain_assembled(assembled: Assembled) -> str:
    """The same for an operator that is there already."""
    if assembled.plan is None:
        assert assembled.condition is not None
        return "\n".join(
            [
                "condition over single rows",
                f"  reads      {_columns([assembled.condition], assembled.schema)}",
                "  runs       column by column over each batch; passing rows are copied, all columns",
                "  state      none",
            ]
        )
    return "\n".join(_pattern(assembled, assembled.plan))


def _pattern(assembled: Assembled, plan: Plan) -> list[str]:
    operator = assembled.operator
    assert isinstance(operator, PatternMatcher)
    names = plan.variables
    free = [names[v] for v, condition in enumerate(plan.condition_of) if condition < 0]
    lagged = sorted({lag for node in plan.conditions for _, lag in _reads(node) if lag})
    sites = Sites.of(plan)
    places = [sites.place(leaf, len(names)) for leaf in plan.leaves if leaf.kind != "match_number"]
    lines = [
        f"row pattern over {len(names)} variables, class: row-local (lazy deterministic automaton)",
        "  because    every condition reads only its own row"
        + (" and PREV at fixed distances" if lagged else ""),
        f"  partition  {_listed([plan.schema.field(i).name for i in plan.partition]) or 'none: one sequence'}",
        f"  order      {_order(plan)}",
        f"  conditions {len(plan.conditions)}, over {_columns(plan.conditions, plan.schema)}; for whole batches",
    ]
    if lagged:
        lines.append(f"  PREV       remembers the last {lagged[-1]} value(s) per partition and column")
    if free:
        lines.append(f"  always     {_listed(free)}: no condition, so true for every row")
    lines += [
        f"  automaton  {len(plan.positions)} positions; states are built as they are met, {operator.states} so far",
        "  per event  one look-up per occupied state: linear in the events, whatever the data",
    ]
    if operator.skips:
        lines.append(
            "  skips      rows that can change nothing are dropped before their partition is looked up"
        )
    if plan.within is not None:
        field = plan.schema.field(plan.order[0][0])
        lines.append(
            f"  WITHIN     {plan.within} units of {field.name} ({field.type}); expired attempts leave"
        )
    if "rows" in places:
        lines.append(
            "  keeps      the values that measures read, of each row from the oldest open attempt on"
        )
    else:
        lines.append("  keeps      per open attempt its first row's values; no other rows")
    if plan.skip == "next":
        bound = "every attempt, while it is open (SKIP TO NEXT ROW reports each)"
    elif plan.within is not None:
        bound = "the attempts that began within the interval"
    else:
        bound = (
            "one attempt per automaton state, and those that already have a match but wait for an older one"
        )
    lines.append(f"  bound      per partition: {bound}")
    if MATCH in plan.first:
        lines.append(
            "  note       the pattern matches the empty sequence, so rows outside a match give empty matches"
        )
    return lines


def _reads(node: Node) -> set[tuple[int, int]]:
    found, stack = set(), [node]
    while stack:
        current = stack.pop()
        if current.op == "column":
            found.add(current.attr)
        stack.extend(current.args)
    return found  # type: ignore[return-value]


def _columns(nodes: Any, schema: pa.Schema) -> str:
    columns = sorted({column for node in nodes for column, _ in _reads(node)})
    return _listed([schema.field(c).name for c in columns]) or "no column"


def _listed(names: list[str]) -> str:
    return ", ".join(names)


def _order(plan: Plan) -> str:
    if not plan.order:
        return "as the events come"
    return (
        ", ".join(
            plan.schema.field(c).name + (" DESC" if down else "") + (" NULLS FIRST" if first else "")
            for c, down, first in plan.order
        )
        + "; checked"
    )
