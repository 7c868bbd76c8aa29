"""The events of one Parquet file that a query asks for, in order of sequence.

Row groups are chosen as batches are, by the times, ranges and filters that the log keeps of them (part.py): if none
may have a row, the file is not opened. The rows of a file lie sorted by key, so those that are wanted of all row
groups chosen are put together and sorted by sequence before the first is given: a part is as large as a segment, and
fits in memory.

A file that is missing, or of which a block is not what was written, is damage as in a segment: raised with its
place, after all before it was handed out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tocsin.errors import StoreError

from .index import TIME_MAX, TIME_MIN
from .keys import may_hold
from .parquet import BlockError, BlockFile, decode, dress, one
from .part import Part
from .predicate import nodes_of
from .query import INT64_MIN, Query, cut, evaluate, raise_if_wanted, within
from .times import time_values

BATCH_ROWS = 65_536


def scan_part(part: Part, query: Query) -> Iterator[pa.RecordBatch]:
    """The batches that a query selects of a part; none of them is empty."""
    if part.damaged:
        raise_if_wanted(query, part.note, part.first, part.after)
        return
    groups = _chosen(part, query)
    if not groups:
        return
    names = _columns(query) or query.schema.names[:1]  # rows without a column would not be counted
    table = _read(part, query, names, groups)
    numbers = table.column(table.num_columns - 1).to_numpy()
    table = table.select(names).combine_chunks()  # `take` would do so each time
    wanted = np.flatnonzero(_within_bounds(table, numbers, query))
    if query.where is not None:
        wanted = wanted[_passing(table, wanted, query, query.where)]
    order = wanted[np.argsort(numbers[wanted])]  # few, mostly: what is not wanted is not sorted
    numbers = numbers[order]
    names = names if query.columns is None else list(dict.fromkeys(query.columns)) or names[:1]
    table, query = table.select(names), replace(query, where=None, time_column=None)
    for begin in range(0, len(order), BATCH_ROWS):
        at = begin
        for chunk in dress(table.take(pa.array(order[begin : begin + BATCH_ROWS])), query.schema):
            yield cut(chunk, query, 0, chunk.num_rows, partial(_slice, numbers, at, chunk.num_rows))
            at += chunk.num_rows


def _passing(
    table: pa.Table, rows: npt.NDArray[np.intp], query: Query, where: pc.Expression
) -> npt.NDArray[np.bool_]:
    """For each of the rows whether the condition is true."""
    nodes = nodes_of(where)
    read = {node.value for node in nodes if node.kind == "field_ref"}
    names = [name for name in table.schema.names if name in read or not nodes]
    table = table.select(names or table.schema.names[:1])
    found = [np.empty(0, np.bool_)]
    for begin in range(0, len(rows), BATCH_ROWS):
        some = rows[begin : begin + BATCH_ROWS]
        part = table if len(some) == table.num_rows else table.take(pa.array(some))
        passed = [evaluate(where, batch, query.stream) for batch in dress(part, query.schema)]
        found += [flags.fill_null(False).to_numpy(zero_copy_only=False) for flags in passed]
    return np.concatenate(found)


def _within_bounds(table: pa.Table, numbers: npt.NDArray[np.int64], query: Query) -> npt.NDArray[np.bool_]:
    mask = (numbers >= query.first_sequence) & (numbers < query.stop_sequence)
    if query.time_column is not None:
        values, valid = time_values(one(table.column(query.schema.field(query.time_column).name)))
        mask &= within(values, query.start, query.stop)
        if valid is not None:
            mask &= valid
    return mask


def _slice(numbers: npt.NDArray[np.int64], first: int, count: int) -> npt.NDArray[np.int64]:
    return numbers[first : first + count]


def _chosen(part: Part, query: Query) -> list[int]:
    """The row groups that may have a row."""
    rows = part.index_rows()
    span = part.sequence_ranges
    mask = (span[:, 0] < query.stop_sequence) & (span[:, 1] > query.first_sequence)
    if query.time_column is not None:
        low, high = rows[:, TIME_MIN], rows[:, TIME_MAX]
        mask &= (low <= high) & within(high, query.start, None) & within(low, INT64_MIN, query.stop)
    if query.pruner is not None and mask.any():
        mask &= query.pruner.choose(rows, part.ranges)
    if query.keys and mask.any():
        known = None if query.part_filters_of is None else query.part_filters_of(part)
        if known is not None:
            for column, hashes in query.keys:
                mask &= may_hold(*known, rows, column, hashes)
    return np.flatnonzero(mask).tolist()


def _columns(query: Query) -> list[str]:
    """All that the query reads."""
    if query.columns is None:
        return query.schema.names
    names = set(query.columns)
    if query.time_column is not None:
        names.add(query.schema.field(query.time_column).name)
    if query.where is not None:
        nodes = nodes_of(query.where)
        if not nodes:  # nobody knows what it reads
            return query.schema.names
        names |= {node.value for node in nodes if node.kind == "field_ref"}
    return [name for name in query.schema.names if name in names]


def _read(part: Part, query: Query, names: list[str], groups: list[int]) -> pa.Table:
    file: BlockFile | None = None
    try:
        if query.places is None:
            raise StoreError("nobody said where parts lie")
        place = query.places.open(part.place)
        file = BlockFile(
            place.filesystem.open_input_file(place.at(part.path)),
            part.size,
            part.sums if query.verify else None,
        )
        return decode(file, query.schema, names, groups)
    except (OSError, BlockError, pa.ArrowException) as cause:
        why = cause if file is None or file.fault is None else file.fault
        raise StoreError(
            f"stream {query.stream!r}: events {part.first} to {part.after - 1} cannot be read: {part.path!r} in "
            f"{part.place!r}: {why}; read on with sequence=({part.after}, None)"
        ) from cause
    finally:
        if file is not None:
            file.close()
