"""explain: in words, how a pattern or condition runs, what an event costs, and what is kept."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from tocsin.compile.assemble import Assembled, build
from tocsin.compile.automata import MATCH
from tocsin.compile.clauses import compile_clause
from tocsin.compile.execution import execution_class, labelled, reasons, unheld
from tocsin.compile.ir import CLASSIFIER, Leaf, Node
from tocsin.compile.plan import Plan
from tocsin.compile.results import late_measures
from tocsin.compile.thread_plan import waits
from tocsin.compile.trees import column_of, walk
from tocsin.sql.clause import Clause, is_clause

CLASSES = {
    "a": "row-local (lazy deterministic automaton)",
    "b": "row-local with labelled rows (lazy deterministic automaton)",
    "c": "conditions on the match so far (attempts with registers)",
    "d": "search (attempts without registers, the fallback)",
}
TABLE_CONDITIONS = 8  # of a row-local pattern: up to here all of its attempts step by one look-up


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
    if isinstance(definition, Clause) or (isinstance(definition, str) and is_clause(definition)):
        plan = compile_clause(definition, schema)
        if execution_class(plan) in ("c", "d"):  # whose operator knows nothing that the plan does not
            return "\n".join(_pattern(plan, None))
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
    return "\n".join(_pattern(assembled.plan, assembled.matcher))


def _pattern(plan: Plan, operator: Any) -> list[str]:
    kind = execution_class(plan)
    lines = [
        f"row pattern over {len(plan.variables)} variable{'s' * (len(plan.variables) != 1)}, class: {CLASSES[kind]}",
        f"  because    {_because(plan, kind)}",
        f"  partition  {_listed([plan.schema.field(i).name for i in plan.partition]) or 'none: one sequence'}",
        f"  order      {_order(plan)}",
    ]
    lines.append(f"  workers    {_workers(plan)}")
    if plan.derived:
        names = [d.name for d in plan.derived]
        lines.append(f"  derived    {_listed(names)}: computed by a library, as columns of each batch")
    lines.append(
        f"  conditions {len(plan.conditions)}, over {_columns(plan.conditions, plan.schema)}; for whole batches"
    )
    lags = [lag for node in (*plan.conditions, *plan.rests) for _, lag in _reads(node)]
    if max(lags, default=0) > 0:
        lines.append(f"  PREV       remembers the last {max(lags)} value(s) per partition and column")
    free = [
        name
        for name, condition, rest in zip(plan.variables, plan.condition_of, plan.rest_of, strict=True)
        if condition < 0 and rest < 0
    ]
    if free:
        lines.append(f"  always     {_listed(free)}: no condition, so true for every row")
    lines += _row_local(plan, operator) if kind in ("a", "b") else _stepped(plan, kind)
    if plan.within is not None:
        field = plan.schema.field(plan.order[0][0])
        lines.append(
            f"  WITHIN     {plan.within} units of {field.name} ({field.type}); expired attempts leave"
        )
    lines += _kept(plan, kind)
    if MATCH in plan.first_at_start:
        lines.append(
            "  note       the pattern matches the empty sequence, so rows outside a match give empty matches"
        )
    return lines


def _workers(plan: Plan) -> str:
    if not plan.partition:
        return "one, which has to see every row (no PARTITION BY)"
    if plan.derived or late_measures(plan):
        return "one, since a library has a part"
    return "each takes the rows of its own partitions"


def _because(plan: Plan, kind: str) -> str:
    if kind == "d":
        return "; ".join(
            f"no register holds {_leaf(leaf, plan)}, which a definition reads" for leaf in unheld(plan)
        )
    if kind == "c":
        return "; ".join(reasons(plan))
    lagged = any(lag for node in plan.conditions for _, lag in _reads(node))
    text = "every condition reads only its own row" + (" and PREV at fixed distances" if lagged else "")
    if kind == "b":
        text += "; measures ask which row was matched to what"
    return text


def _row_local(plan: Plan, operator: Any) -> list[str]:
    lines = [
        f"  automaton  {len(plan.positions)} positions; states are built as they are met, {operator.states} so far"
    ]
    why = []
    if len(plan.conditions) > TABLE_CONDITIONS:
        why.append(f"more than {TABLE_CONDITIONS} conditions")
    if MATCH in plan.first:
        why.append("empty matches")
    if plan.skip == "next":
        why.append("SKIP TO NEXT ROW")
    if why:
        lines.append(
            f"  steps      by groups of attempts in one state ({', '.join(why)}), not all of a partition at once"
        )
    lines.append("  per event  one look-up per occupied state: linear in the events, whatever the data")
    if operator.skips:
        lines.append(
            "  skips      rows that can change nothing are dropped before their partition is looked up"
        )
    return lines


def _stepped(plan: Plan, kind: str) -> list[str]:
    lines = [f"  automaton  {len(plan.positions)} positions; every attempt holds those it may be in"]
    if plan.rests:
        local = " after its condition" if plan.conditions else ""
        lines.append(
            f"  rests      {len(plan.rests)}, over {_columns(plan.rests, plan.schema, plan.define_leaves)}; per "
            f"attempt and row{local}"
        )
    if plan.define_leaves:
        word = "registers" if kind == "c" else "searches"
        lines.append(f"  {word:<10} {_listed([_leaf(leaf, plan) for leaf in plan.define_leaves])}")
    ahead = max((-lag for node in plan.rests for _, lag in _reads(node)), default=0)
    ahead = max([ahead, *(leaf.physical for leaf in plan.define_leaves)])
    if ahead > 0:
        lines.append(f"  NEXT       the verdict on a row waits for the {ahead} row(s) behind it")
    if kind == "c":
        for variable, found in waits(plan).items():
            lines.append(
                f"  waits      at {variable}: an attempt goes straight to the row with {' or '.join(found)}"
            )
    lines.append(
        "  per event  one step per open attempt and different content of its registers"
        if kind == "c"
        else "  per event  one step per way in which an open attempt can have matched its rows: exponential in the "
        "worst case; max_steps bounds it, and what goes beyond raises"
    )
    return lines


def _kept(plan: Plan, kind: str) -> list[str]:
    if kind in ("c", "d"):
        kept = "the values that measures and definitions read, of each row from the oldest open attempt on"
    elif labelled(plan):
        kept = "the values that measures read, of each row from the oldest open attempt on"
    else:
        kept = "per open attempt its first row's values; no other rows"
    if plan.within is not None:
        bound = "the attempts that began within the interval"
    elif plan.skip == "next" or kind in ("c", "d"):
        bound = "every attempt, while it is open"
        if plan.skip == "next":
            bound += " (SKIP TO NEXT ROW reports each)"
    else:
        bound = (
            "one attempt per automaton state, and those that already have a match but wait for an older one"
        )
    return [f"  keeps      {kept}", f"  bound      per partition: {bound}"]


def _leaf(leaf: Leaf, plan: Plan) -> str:
    """A leaf as SQL would say it, more or less."""
    names = [name for number, name in enumerate(plan.variables) if leaf.variables >> number & 1]
    rows = (
        ""
        if len(names) == len(plan.variables)
        else f"{names[0]}."
        if len(names) == 1
        else f"({_listed(names)})."
    )
    if leaf.kind == "match_number":
        return "MATCH_NUMBER()"
    if leaf.kind == "count_rows":
        return f"COUNT({rows}*)"
    if leaf.kind == "classifier" or leaf.column == CLASSIFIER:
        what = f"CLASSIFIER({rows[:-1]})"
        if leaf.kind == "classifier":
            return what
    elif leaf.column >= 0:
        what = rows + plan.schema.field(leaf.column).name
    else:
        what = f"{rows}{_columns(leaf.arguments, plan.schema)}"
    text = f"{leaf.kind.upper()}({what}{f', {leaf.offset}' if leaf.offset else ''})"
    if leaf.physical:
        text = f"{'PREV' if leaf.physical < 0 else 'NEXT'}({text}, {abs(leaf.physical)})"
    return text


def _reads(node: Node) -> set[tuple[int, int]]:
    return {column_of(part) for part in walk(node) if part.op == "column"}


def _columns(nodes: Any, schema: pa.Schema, leaves: tuple[Leaf, ...] = ()) -> str:
    columns = {column for node in nodes for column, _ in _reads(node)}
    for leaf in leaves:
        columns.add(leaf.column)
        columns.update(column for node in leaf.arguments for column, _ in _reads(node))
    return _listed([schema.field(c).name for c in sorted(columns) if c >= 0]) or "no column"


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
