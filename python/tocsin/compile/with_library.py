"""What a library computes around a matcher: columns before the match, measures after it.

A derived column is a row-local tree of the plan; it is computed once per batch and stands behind the batch's own
columns. A measure that the kernel cannot compute is computed from leaves that the matcher hands over as further
columns.
"""

from __future__ import annotations

from typing import Any, cast

import pyarrow as pa

from tocsin.compile.ir import Node
from tocsin.compile.library import Computation
from tocsin.compile.plan import Derived
from tocsin.compile.results import After
from tocsin_core.derive import Derive
from tocsin_core.operator import Operator
from tocsin_core.schema import Schema


class DerivedColumns:
    """Batches of events -> their derived columns, as batches of as many rows; the trees are compiled once."""

    def __init__(self, derived: tuple[Derived, ...]) -> None:
        self._names = [d.name for d in derived]
        self._computations = [Computation(d.node) for d in derived]

    def __call__(self, events: Any) -> pa.RecordBatch:
        """Raises EvaluationError where a row has no value, as in CAST('x' AS BIGINT)."""
        batch = pa.record_batch(events)

        def column(node: Node) -> pa.Array:
            return batch.column(cast(tuple[int, int], node.attr)[0])

        arrays = [computation.run(column, batch.num_rows) for computation in self._computations]
        return pa.RecordBatch.from_arrays(arrays, names=self._names)


def with_library(
    inner: Operator,
    schema: pa.Schema,
    output_schema: pa.Schema,
    derived: tuple[Derived, ...],
    after: After | None,
) -> tuple[Operator, pa.Schema]:
    """`inner` with the library around it, and the schema of its matches.

    Args:
        inner: takes events of `schema` and then the derived columns; gives matches of `output_schema`.
        after: makes the final batches of inner's, or None.
    """

    if after is not None:
        output_schema = after.schema
    operator = Derive(
        inner,
        Schema.from_arrow(schema),
        Schema.from_arrow(output_schema),
        DerivedColumns(derived) if derived else None,
        after,
    )
    return operator, output_schema


def filter_with_library(inner: Operator, schema: pa.Schema, derived: tuple[Derived, ...]) -> Operator:
    """A row filter whose condition reads derived columns, which the rows that pass leave behind."""
    input = Schema.from_arrow(schema)
    return Derive(inner, input, input, DerivedColumns(derived), None)
