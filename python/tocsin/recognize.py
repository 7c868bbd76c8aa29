"""match_recognize: a row pattern over a finished table, in one call."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tocsin.compile.assemble import Assembled, assemble
from tocsin.compile.clauses import compile_clause
from tocsin.compile.execution import ExecutionClass
from tocsin.compile.plan import Plan
from tocsin.compile.with_library import DerivedColumns
from tocsin.errors import OrderError
from tocsin.sql.clause import Clause
from tocsin.tables import as_table, core_batches


def match_recognize(
    data: Any, clause: str | Clause, *, execution: ExecutionClass | None = None, max_steps: int | None = None
) -> pa.Table:
    """The matches of a MATCH_RECOGNIZE clause over a whole table.

    The table is sorted by ORDER BY if it is not in that order already (stable: rows of equal keys stay as they come).

    Args:
        data: anything that speaks the Arrow PyCapsule interface, or a dict of numpy arrays.
        clause: the clause's text, with or without MATCH_RECOGNIZE ( ... ) around it.
        execution: run in a lower execution class than the pattern's own ("a" to "d", see `explain`), to compare
            them; the matches are the same.
        max_steps: how many steps one attempt may take; LimitError beyond. None: no limit in class (c), ten million in
            (d). Classes (a) and (b) take a bounded number for each row, and have no use for it.

    Returns:
        A pyarrow.Table: the partition columns, then the measures, one row per match, in the order in which
        the matches became certain. With ALL ROWS PER MATCH a row for each row of a match, and the other columns of the
        input behind the measures.

    Raises:
        PatternError: the clause is wrong or not supported; the message shows the place.
        SchemaError: `data` is no table. EvaluationError: integer overflow or division by zero in a condition or
        measure, or AFTER MATCH SKIP TO a variable that a match does not have. OrderError: WITHIN, and a row has no
        time. LimitError: `max_steps`.

    Example:
        >>> import tocsin as tc
        >>> prices = {"t": [1, 2, 3, 4], "price": [9, 7, 8, 9]}
        >>> tc.match_recognize(prices, "ORDER BY t MEASURES LAST(up.t) AS top PATTERN (down up+) "
        ...                    "DEFINE down AS price < PREV(price), up AS price > PREV(price)").to_pylist()
        [{'top': 4}]
    """
    table = as_table(data)
    plan = compile_clause(clause, table.schema)
    _check_times(table, plan)
    assembled = assemble(plan, execution=execution, max_steps=max_steps)
    try:
        batches = _run(assembled, table)
    except OrderError:
        # Most tables come in order; the matcher has looked, so sorting is done only for one that is not. What it
        # had taken of the table so far goes with it.
        assembled = assemble(plan, execution=execution, max_steps=max_steps)
        batches = _run(assembled, sort(table, plan))
    return pa.Table.from_batches(batches, schema=assembled.output_schema)


def _run(assembled: Assembled, table: pa.Table) -> list[pa.RecordBatch]:
    found = []
    sequence = 0
    for batch in core_batches(table, assembled.operator.input):
        found.append(assembled.operator.run(batch, sequence))
        sequence += batch.num_rows
    found.append(assembled.operator.run_finish())
    return [pa.record_batch(matches) for matches in found if matches is not None]


def _check_times(table: pa.Table, plan: Plan) -> None:
    """A row without a time has no place in the order: refused by its number in the caller's table."""
    if plan.time is None or plan.within is None or plan.time >= table.num_columns:
        return
    times = table.column(plan.time)
    if times.null_count:
        row = pc.index(pc.is_null(times), True).as_py()
        name = table.schema.field(plan.time).name
        raise OrderError(
            f"ORDER BY {name}: the time is null at row {row} of the table; fill or drop such rows"
        )


def sort(table: pa.Table, plan: Plan) -> pa.Table:
    """`table` in the order of the plan's ORDER BY; stable.

    Keys may place their nulls differently, so each key is a stable pass of its own, the last key first.
    """
    rows: pa.Array | None = None
    n_columns = table.num_columns
    derived: dict[int, pa.ChunkedArray] = {}
    if any(column >= n_columns for column, _, _ in plan.order):
        batches = [*map(DerivedColumns(plan.derived), table.to_batches())]
        computed = pa.Table.from_batches(batches) if batches else None
        derived = {n_columns + i: computed.column(i) for i in range(len(plan.derived))} if computed else {}
        if computed is None:
            return table
    for column, descending, nulls_first in reversed(plan.order):
        values = derived[column] if column >= n_columns else table.column(column)
        if pa.types.is_dictionary(values.type):  # Arrow would sort a dictionary by its codes
            values = values.cast(values.type.value_type)
        values = values.combine_chunks() if rows is None else values.take(rows).combine_chunks()
        indices = pc.array_sort_indices(
            values,
            order="descending" if descending else "ascending",
            null_placement="at_start" if nulls_first else "at_end",
        )
        rows = indices if rows is None else rows.take(indices)
    return table.take(rows)
