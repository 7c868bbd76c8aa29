"""Late measures: those that a library computes of the leaves when a batch of matches has been made.

The batch that comes has the measures of the kernel in the plan's order, and behind them the leaves that only the
library reads; what goes out has all measures in the plan's order, and the leaves no more. A row of no match has no
measures, whatever they would say of no rows: it is not computed. A match of which a measure has no value is left out
with all its rows.
"""

from __future__ import annotations

import re
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

from tocsin.compile.ir import Node
from tocsin.compile.library import Computation, Measuring
from tocsin.errors import EvaluationError


class LateMeasures(Measuring):
    """What Derive calls after a matcher.

    Args:
        schema: of the result.
        shown: which column of the batch each of the result's is, -1 for one that is computed.
        nodes: of the computed ones, in their order.
        leaves: in which column of the batch the value of a leaf is.
        match: the column (int64) that tells matches apart, NULL for a row of none; -1: every row is a match.
    """

    __slots__ = ("_computations", "_leaves", "_match", "_shown", "schema")

    def __init__(
        self, schema: pa.Schema, shown: list[int], nodes: list[Node], leaves: dict[int, int], match: int
    ) -> None:
        super().__init__(self._final)
        self.schema = schema
        self._shown = shown
        self._computations = [Computation(node) for node in nodes]
        self._leaves = leaves
        self._match = match

    def _final(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        part, places = batch, None
        if self._match >= 0 and batch.column(self._match).null_count:
            matched = batch.column(self._match).is_valid()
            part = batch.filter(matched)
            places = pc.if_else(matched, pc.subtract(pc.cumulative_sum(matched.cast(pa.int64())), 1), None)

        def column(node: Node) -> pa.Array:
            return part.column(self._leaves[cast(int, node.attr)])

        arrays = []
        computations = iter(self._computations)
        for field, at in zip(self.schema, self._shown, strict=True):
            if at >= 0:
                arrays.append(batch.column(at))
                continue
            try:
                value = next(computations).run(column, part.num_rows)
            except EvaluationError as fault:
                # The row is one of the leaves' batch, which nobody outside has seen.
                reason = re.sub(r" at row \d+ of the batch", "", str(fault))
                raise EvaluationError(f"MEASURES {field.name} (its match is left out): {reason}") from None
            value = value if value.type == field.type else value.cast(field.type)
            arrays.append(value if places is None else value.take(places))
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _split(self, matches: pa.RecordBatch) -> None:
        """Computes `matches`, in halves around each match at fault."""
        stack = [matches]
        while stack:
            part = stack.pop()
            try:
                if part.num_rows:
                    self._kept.append(self._final(part))
            except EvaluationError as fault:
                cut = self._cut(part)
                if cut == 0:
                    self._faults.append(fault)
                else:
                    stack += [part.slice(cut), part.slice(0, cut)]

    def _cut(self, part: pa.RecordBatch) -> int:
        """A row near the middle at which a match begins; 0 if there is only one match."""
        half = part.num_rows // 2
        if self._match < 0:
            return half
        number = part.column(self._match)
        if not number[half].is_valid:
            return half
        same = pc.fill_null(pc.equal(number, number[half]), False)
        begin = int(pc.index(same, True).as_py())
        return begin or max(0, int(pc.index(same, False).as_py()))  # index gives -1 where there is none
