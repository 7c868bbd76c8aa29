"""Compile: trees and a schema -> checked, typed plans -> operators of the core.

`scope` finds columns and variables, `operations` and `functions` know what can be computed with what, `navigation`
which row is read, `aggregates` of many rows; `typecheck` walks the trees with them, and `derive` makes columns of what
only a library can compute. `automata` turns the row pattern into positions and successors. `planner` puts it all
together in a `plan` (`clauses` is the door to that), and `execution` says which way it runs; `ir` is the language in
which the result is said (`trees` walks it). `program` flattens trees for the expression kernel, and `assemble` makes
the operator.
"""

from __future__ import annotations

import pyarrow as pa

from tocsin.compile.assemble import FIRST_SEQUENCE, LAST_SEQUENCE, Assembled, assemble, build
from tocsin.compile.clauses import compile_clause, compile_condition
from tocsin.compile.ir import Leaf, Node
from tocsin.compile.plan import Measure, Plan
from tocsin.language.expression import Expression
from tocsin.sql.clause import Clause
from tocsin_core.operator import Operator


def build_operators(
    definition: str | Clause | Expression,
    schema: pa.Schema,
    *,
    workers: int = 1,
    max_steps: int | None = None,
) -> tuple[list[Operator], pa.Schema]:
    """The operators of a trigger's definition over events of `schema`, and the schema of its matches.

    One for each worker where each can take its own partitions (tocsin_core/operator.pxd), else one.
    Raises PatternError with the place for what is wrong in it or not supported; TypeError for no definition.

    >>> build_operators("price > 3", pa.schema({"price": pa.float64()}))[1].names
    ['price']
    """
    assembled = build(definition, schema, max_steps=max_steps, ranked=workers > 1)
    operators = [assembled.operator]
    while assembled.operator.ranked and len(operators) < workers:
        operators.append(build(definition, schema, max_steps=max_steps, ranked=True).operator)
    return operators, assembled.output_schema


__all__ = [
    "FIRST_SEQUENCE",
    "LAST_SEQUENCE",
    "Assembled",
    "Leaf",
    "Measure",
    "Node",
    "Plan",
    "assemble",
    "build",
    "build_operators",
    "compile_clause",
    "compile_condition",
]
