"""What a scan asks for, and how one batch is cut to it: bounds, `where`, columns, sequences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import acero

from tocsin.errors import SchemaError

from .files import Piece, store_error
from .index import Matrix
from .keys import Hashes
from .lookup import Lookup
from .part import Part
from .places import Places
from .prune import Pruner
from .ranges import Table
from .times import time_values

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


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
    start: int = INT64_MIN
    stop: int | None = None
    first_sequence: int = 0
    stop_sequence: int = INT64_MAX
    where: pc.Expression | None = None
    columns: list[str] | None = None
    sequence_name: str | None = None
    verify: bool = True
    # For each look-up column that is asked for: its number among them, the hashes of the values wanted.
    keys: tuple[tuple[int, Hashes], ...] = ()
    filters_of: Callable[[View], tuple[Matrix, Piece] | None] | None = None
    pruner: Pruner | None = None
    ranges_of: Callable[[View], Table | None] | None = None
    part_filters_of: Callable[[Part], tuple[Matrix, Piece] | None] | None = None
    places: Places | None = None  # where parts lie
    parts_of: Callable[[], list[Part]] | None = None  # those there are by now: a segment may have gone there

    def output_schema(self) -> pa.Schema:
        """The schema of the batches; SchemaError names a column or expression that does not fit."""
        schema = self.schema
        for name in self.columns or ():
            if schema.get_field_index(name) < 0:
                raise SchemaError(f"stream {self.stream!r} has no column {name!r}; there are {schema.names}")
        if self.where is not None:
            kind = evaluate(self.where, schema.empty_table().combine_chunks(), self.stream).type
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


def within(values: npt.NDArray[np.int64], start: int, stop: int | None) -> npt.NDArray[np.bool_]:
    """start <= values < stop; bounds may lie outside int64, no stop means no upper bound."""
    mask = np.full(len(values), start <= INT64_MAX and (stop is None or stop > INT64_MIN))
    if INT64_MIN < start <= INT64_MAX:
        mask &= values >= start
    if stop is not None and INT64_MIN < stop <= INT64_MAX:
        mask &= values < stop
    return mask


def raise_if_wanted(query: Query, path: Path, first: int, after: int) -> None:
    """Events that are nowhere count as damage of every scan that their sequences could belong to."""
    if first < query.stop_sequence and after > query.first_sequence:
        raise store_error(
            f"stream {query.stream!r}: events {first} to {after - 1} are lost (their file is missing "
            f"or the heads of "
            f"their batches are damaged); read on with sequence=({after}, None); in",
            path,
        )


def cut(
    batch: pa.RecordBatch, query: Query, first: int, stop: int, sequences: Callable[[], npt.NDArray[np.int64]]
) -> pa.RecordBatch:
    """The rows from `first` to before `stop` that the query wants. The batch has all columns that it reads;
    `sequences` are asked for if those are wanted."""
    mask: npt.NDArray[np.bool_] | None = None
    if query.time_column is not None:
        values, valid = time_values(batch.column(query.schema.field(query.time_column).name))
        mask = within(values, query.start, query.stop)
        if valid is not None:
            mask &= valid
        mask[:first] = False
        mask[stop:] = False
    if query.where is not None:
        passed = evaluate(query.where, batch, query.stream).fill_null(False)
        flags = passed.to_numpy(zero_copy_only=False)
        if mask is None:
            mask = np.zeros(len(flags), np.bool_)
            mask[first:stop] = flags[first:stop]
        else:
            mask &= flags
    if query.columns is not None:
        batch = batch.select(query.columns)
    if query.sequence_name is not None:
        numbers = pa.array(sequences())
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


def evaluate(where: pc.Expression, data: pa.RecordBatch | pa.Table, stream: str) -> pa.Array:
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
