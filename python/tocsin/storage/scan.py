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

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tocsin.errors import StoreError

from .files import store_error
from .frame import decode_frame
from .index import LENGTH, OFFSET, ROWS, SEQUENCE, TIME_MAX, TIME_MIN, Matrix
from .keys import may_hold
from .part import Part
from .part_scan import scan_part
from .prune import Pruner
from .query import INT64_MIN, Query, View, cut, raise_if_wanted, within
from .ranges import Table
from .segment import SegmentReader


def scan_batches(views: list[Part | View], query: Query) -> Iterator[pa.RecordBatch]:
    """The batches a query selects, in order of sequence; none of them is empty."""
    expected: int | None = None
    for view in views:
        if isinstance(view, Part):
            if expected is not None and expected < view.first:
                raise_if_wanted(query, view.note.parent, expected, view.first)
            yield from scan_part(view, query)
            expected = view.after
            continue
        starts, ends = view.rows[:, SEQUENCE], view.rows[:, SEQUENCE] + view.rows[:, ROWS]
        if expected is not None and expected < view.first_sequence:
            raise_if_wanted(query, view.path.parent, expected, view.first_sequence)
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
            raise_if_wanted(query, view.path, *hole)
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
    except FileNotFoundError as cause:
        first, after = int(chosen[0, SEQUENCE]), int(chosen[-1, SEQUENCE] + chosen[-1, ROWS])
        parts = _moved_to(query, first, after)
        if not parts:
            raise StoreError(f"stream {query.stream!r}: cannot read {str(view.path)!r}: {cause}") from cause
        bounds = max(first, query.first_sequence), min(after, query.stop_sequence)
        part_query = replace(query, first_sequence=bounds[0], stop_sequence=bounds[1])
        for part in parts:
            yield from scan_part(part, part_query)
        return
    except (OSError, pa.ArrowException) as cause:
        raise StoreError(f"stream {query.stream!r}: cannot read {str(view.path)!r}: {cause}") from cause
    try:
        for row in chosen.tolist():
            batch = _read(reader, view.path, query, row)
            sequence, count = row[SEQUENCE], row[ROWS]
            first = max(query.first_sequence - sequence, 0)
            stop = min(query.stop_sequence - sequence, count)
            numbers = partial(np.arange, sequence, sequence + count, dtype=np.int64)
            batch = cut(batch, query, first, stop, numbers)
            if batch.num_rows:
                yield batch
    finally:
        reader.close()


def _moved_to(query: Query, first: int, after: int) -> list[Part]:
    """The parts that have these events now, all of them; none if there are not."""
    known = [] if query.parts_of is None else query.parts_of()
    parts = [part for part in known if part.first < after and part.after > first]
    whole = bool(parts) and parts[0].first <= first and parts[-1].after >= after
    return parts if whole and all(a.after == b.first for a, b in pairwise(parts)) else []


def _chosen(rows: Matrix, query: Query) -> npt.NDArray[np.bool_]:
    mask = (rows[:, SEQUENCE] < query.stop_sequence) & (
        rows[:, SEQUENCE] + rows[:, ROWS] > query.first_sequence
    )
    if query.time_column is not None:
        low, high = rows[:, TIME_MIN], rows[:, TIME_MAX]
        mask &= (low <= high) & within(high, query.start, None) & within(low, INT64_MIN, query.stop)
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


def is_damage(failure: StoreError) -> bool:
    """Whether what a scan raised says that events are gone; out of reach only, it has the error behind it."""
    return failure.__cause__ is None
