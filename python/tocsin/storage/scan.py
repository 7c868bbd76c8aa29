"""From a question to record batches: choose frames by the index, read, check, cut to the bounds.

1. The index rows (index.py) of all batches the log held when the scan began; later appends are not seen.
2. Those whose sequence and time ranges meet the bounds; the others' pages are never touched.
3. Frame by frame, as the consumer asks: fetch, verify the sums, decode without a copy where mapped, cut
exactly
   at the bounds (a slice where the rows wanted are consecutive, else a filter), then `where`, then `columns`.

Damage is raised when the scan reaches it, with its place, after all before it was handed out; the message
says how to read on behind it. Events that no index row covers (a lost head, a lost file) count as damage of
every scan that their sequences could belong to: their times are unknown.
Cost: per batch one checksum over its bytes (about 15 GB/s), a few microseconds of Python; nothing per row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import acero

from tocsin.errors import SchemaError, StoreError

from .files import Piece, store_error
from .frame import decode_frame
from .index import LENGTH, OFFSET, ROWS, SEQUENCE, TIME_MAX, TIME_MIN, Matrix
from .keys import Hashes, may_hold
from .lookup import Lookup
from .prune import Pruner
from .ranges import Table
from .segment import SegmentReader
from .times import time_values

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class View:
    """One segment as a scan sees it: its place, and the index rows of the batches it may read."""

    path: Path
    sealed: bool
    first_sequence: int
    rows: Matrix
    lookup: Lookup | None = None  # of the growing segment; the others' lies beside them


@dataclass(frozen=True, slots=True)
class Query:
    """What a scan asks for; bounds are half-open, times in the column's own integers."""

    stream: str
    schema: pa.Schema
    time_column: int | None = None  # set when there are time bounds
    start: int = _INT64_MIN
    stop: int | None = None
    first_sequence: int = 0
    stop_sequence: int = _INT64_MAX
    where: pc.Expression | None = None
    columns: list[str] | None = None
    sequence_name: str | None = None
    verify: bool = True
    # For each look-up column that is asked for: its number among them, the hashes of the values wanted.
    keys: tuple[tuple[int, Hashes], ...] = ()
    filters_of: Callable[[View], tuple[Matrix, Piece] | None] | None = None
    pruner: Pruner | None = None
    ranges_of: Callable[[View], Table | None] | None = None

    def output_schema(self) -> pa.Schema:
        """The schema of the batches; SchemaError names a column or expression that does not fit."""
        schema = self.schema
        for name in self.columns or ():
            if schema.get_field_index(name) < 0:
                raise SchemaError(f"stream {self.stream!r} has no column {name!r}; there are {schema.names}")
        if self.where is not None:
            kind = _evaluate(self.where, schema.empty_table().combine_chunks(), self.stream).type
            if kind != pa.bool_():
                raise SchemaError(
                    f"stream {self.stream!r}: where= must give booleans, {self.where} gives {kind}"
                )
        if self.columns is not None:
            schema = pa.schema([schema.field(name) for name in self.columns], metadata=schema.metadata)
        if self.sequence_name is not None:
            if schema.get_field_index(self.sequence_name) >= 0:
                raise SchemaError(
                    f"stream {self.stream!r} has a column {self.sequence_name!r}; "
                    "choose another name for the sequence"
                )
            schema = schema.append(pa.field(self.sequence_name, pa.int64(), nullable=False))
        return schema


def scan_batches(views: list[View], query: Query) -> Iterator[pa.RecordBatch]:
    """The batches a query selects, in order of sequence; none of them is empty."""
    expected: int | None = None
    for view in views:
        starts, ends = view.rows[:, SEQUENCE], view.rows[:, SEQUENCE] + view.rows[:, ROWS]
        if expected is not None and expected < view.first_sequence:
            _raise_if_wanted(query, view.path.parent, expected, view.first_sequence)
        before = np.concatenate(([view.first_sequence], ends[:-1]))
        holes = np.flatnonzero(starts > before)
        limit = len(view.rows)
        hole: tuple[int, int] | None = None
        for at in holes:
            if before[at] < query.stop_sequence and starts[at] > query.first_sequence:
                limit, hole = int(at), (int(before[at]), int(starts[at]))
                break
        yield from _scan_view(view, query, view.rows[:limit])
        if hole:
            _raise_if_wanted(query, view.path, *hole)
        expected = int(ends[-1]) if len(ends) else view.first_sequence


def _scan_view(view: View, query: Query, rows: Matrix) -> Iterator[pa.RecordBatch]:
    chosen = rows[_chosen(rows, query)]
    if query.pruner is not None and len(chosen):
        chosen = chosen[query.pruner.choose(chosen, _ranges(view, query, query.pruner))]
    if query.keys and len(chosen):
        chosen = _holding(view, query, chosen)
    if not len(chosen):
        return
    try:
        reader = SegmentReader(view.path, view.sealed)
    except (OSError, pa.ArrowException) as cause:
        raise StoreError(f"stream {query.stream!r}: cannot read {str(view.path)!r}: {cause}") from cause
    try:
        for row in chosen.tolist():
            batch = _read(reader, view.path, query, row)
            batch = _cut(batch, query, row)
            if batch.num_rows:
                yield batch
    finally:
        reader.close()


def _chosen(rows: Matrix, query: Query) -> npt.NDArray[np.bool_]:
    mask = (rows[:, SEQUENCE] < query.stop_sequence) & (
        rows[:, SEQUENCE] + rows[:, ROWS] > query.first_sequence
    )
    if query.time_column is not None:
        low, high = rows[:, TIME_MIN], rows[:, TIME_MAX]
        mask &= (low <= high) & _within(high, query.start, None) & _within(low, _INT64_MIN, query.stop)
    return mask


def _holding(view: View, query: Query, rows: Matrix) -> Matrix:
    """The rows of the batches that may hold the keys asked for."""
    try:
        known = None if query.filters_of is None else query.filters_of(view)
    except OSError:
        known = None  # it only spares reading
    if known is None:
        return rows
    table, blob = known
    for column, hashes in query.keys:
        rows = rows[may_hold(table, blob, rows, column, hashes)]
    return rows


def _ranges(view: View, query: Query, pruner: Pruner) -> Table | None:
    if query.ranges_of is None or not pruner.needs_ranges:
        return None
    try:
        return query.ranges_of(view)
    except OSError:
        return None  # it only spares reading


def _within(values: npt.NDArray[np.int64], start: int, stop: int | None) -> npt.NDArray[np.bool_]:
    """start <= values < stop; bounds may lie outside int64, no stop means no upper bound."""
    mask = np.full(len(values), start <= _INT64_MAX and (stop is None or stop > _INT64_MIN))
    if _INT64_MIN < start <= _INT64_MAX:
        mask &= values >= start
    if stop is not None and _INT64_MIN < stop <= _INT64_MAX:
        mask &= values < stop
    return mask


def _read(reader: SegmentReader, path: Path, query: Query, row: list[int]) -> pa.RecordBatch:
    sequence, count = row[SEQUENCE], row[ROWS]
    try:
        frame = reader.frame(row[OFFSET], row[LENGTH])
        batch = decode_frame(frame, query.schema, sequence, count, query.verify)
    except OSError as cause:
        raise store_error(f"stream {query.stream!r}: cannot read", path, cause) from cause
    if batch is None:
        after = sequence + count
        raise store_error(
            f"stream {query.stream!r}: events {sequence} to {after - 1} are damaged "
            f"(byte {row[OFFSET]}, {row[LENGTH]} bytes); read on with sequence=({after}, None); file",
            path,
        )
    return batch


def _raise_if_wanted(query: Query, path: Path, first: int, after: int) -> None:
    if first < query.stop_sequence and after > query.first_sequence:
        raise store_error(
            f"stream {query.stream!r}: events {first} to {after - 1} are lost (their file is missing "
            f"or the heads of "
            f"their batches are damaged); read on with sequence=({after}, None); in",
            path,
        )


def _cut(batch: pa.RecordBatch, query: Query, row: list[int]) -> pa.RecordBatch:
    first = max(query.first_sequence - row[SEQUENCE], 0)
    stop = min(query.stop_sequence - row[SEQUENCE], row[ROWS])
    mask: npt.NDArray[np.bool_] | None = None
    if query.time_column is not None:
        values, valid = time_values(batch.column(query.time_column))
        mask = _within(values, query.start, query.stop)
        if valid is not None:
            mask &= valid
        mask[:first] = False
        mask[stop:] = False
    if query.where is not None:
        passed = _evaluate(query.where, batch, query.stream).fill_null(False)
        flags = passed.to_numpy(zero_copy_only=False)
        if mask is None:
            mask = np.zeros(len(flags), np.bool_)
            mask[first:stop] = flags[first:stop]
        else:
            mask &= flags
    if query.columns is not None:
        batch = batch.select(query.columns)
    if query.sequence_name is not None:
        numbers = pa.array(np.arange(row[SEQUENCE], row[SEQUENCE] + row[ROWS], dtype=np.int64))
        field = pa.field(query.sequence_name, pa.int64(), nullable=False)
        arrays = [*batch.columns, numbers]
        batch = pa.RecordBatch.from_arrays(arrays, schema=batch.schema.append(field))
    if mask is None:
        return batch.slice(first, stop - first)
    hits = np.flatnonzero(mask)
    if not len(hits):
        return batch.slice(0, 0)
    if hits[-1] - hits[0] + 1 == len(hits):
        return batch.slice(int(hits[0]), len(hits))
    return pa.RecordBatch.from_arrays(
        [_filter(column, mask, hits) for column in batch.columns], schema=batch.schema
    )


def _filter(column: pa.Array, mask: npt.NDArray[np.bool_], hits: npt.NDArray[np.intp]) -> pa.Array:
    try:
        return column.filter(pa.array(mask))
    except pa.ArrowNotImplementedError:  # views, in pyarrow up to 26 at least: put runs of rows together
        breaks = np.flatnonzero(np.diff(hits) > 1) + 1
        runs = zip(hits[np.r_[0, breaks]].tolist(), hits[np.r_[breaks - 1, -1]].tolist(), strict=True)
        return pa.concat_arrays([column.slice(first, last - first + 1) for first, last in runs])


def _evaluate(where: pc.Expression, data: pa.RecordBatch | pa.Table, stream: str) -> pa.Array:
    """The expression over one batch, in its order (one thread: the parallel form may reorder)."""
    table = pa.table(data) if isinstance(data, pa.RecordBatch) else data
    plan = acero.Declaration.from_sequence(
        [
            acero.Declaration("table_source", acero.TableSourceNodeOptions(table)),
            acero.Declaration("project", acero.ProjectNodeOptions([where], ["passed"])),
        ]
    )
    try:
        return plan.to_table(use_threads=False).column(0).combine_chunks()
    except pa.ArrowException as cause:
        raise SchemaError(f"stream {stream!r}: where={where} cannot be evaluated: {cause}") from cause
