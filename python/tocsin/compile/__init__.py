"""Compile: trees and a schema -> checked, typed plans -> operators of the core.

`scope` finds columns and variables, `operations` and `functions` know what can be computed with what, `navigation`
which row is read, `aggregates` of many rows; `typecheck` walks the trees with them, and `derive` makes columns of what
only a library can compute. `automata` turns the row pattern into positions and successors. `planner` puts it all
together in a `plan` (`clauses` is the door to that), and `execution` says which way it runs; `ir` is the language in
which the result is said (`trees` walks it). `program` flattens trees for the expression kernel, and `assemble` makes
the operator.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import pyarrow as pa

from tocsin.compile.assemble import FIRST_SEQUENCE, LAST_SEQUENCE, Assembled, assemble, build
from tocsin.compile.clauses import compile_clause, compile_condition
from tocsin.compile.ir import Leaf, Node
from tocsin.compile.plan import Measure, Plan
from tocsin.language.expression import Expression
from tocsin.sql.clause import Clause
from tocsin_core.operator import BATCHES, Operator


class Built(NamedTuple):
    """What a trigger runs on: its operators, the schema of its matches, and a mark of what it is.

    Two definitions with one mark find the same matches in the same events.
    """

    operators: list[Operator]
    schema: pa.Schema
    mark: str


def build_operators(
    definition: str | Clause | Expression,
    schema: pa.Schema,
    *,
    workers: int = 1,
    max_steps: int | None = None,
    placed: bool = False,
) -> Built:
    """The operators of a trigger's definition over events of `schema`.

    One for each worker where each can take its own partitions, or whole batches (tocsin_core/operator.pxd), else one.
    placed: whether they say of each match where it lies (tocsin_core/batch.pxd, `places`); the schema is without that.
    Raises PatternError with the place for what is wrong in it or not supported; TypeError for no definition.

    >>> build_operators("price > 3", pa.schema({"price": pa.float64()})).schema.names
    ['price']
    """
    assembled = build(definition, schema, max_steps=max_steps, ranked=workers > 1, positions=placed)
    operators = [assembled.operator]
    spread = assembled.operator.ranked or assembled.operator.spread == BATCHES
    while spread and len(operators) < workers:
        again = build(definition, schema, max_steps=max_steps, ranked=True, positions=placed)
        operators.append(again.operator)
    public = assembled.output_schema
    if placed and assembled.plan is not None:
        public = pa.schema(list(public)[:-2], metadata=public.metadata)
    what = (assembled.plan, assembled.condition, schema.remove_metadata().to_string(), max_steps)
    mark = hashlib.blake2b(repr(what).encode(), digest_size=16).hexdigest()
    return Built(operators, public, mark)


__all__ = [
    "FIRST_SEQUENCE",
    "LAST_SEQUENCE",
    "Assembled",
    "Built",
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
