"""What people hand over -> an Arrow schema and batches of the core, without a copy of Arrow buffers.

Anything that speaks the Arrow PyCapsule interface is read through it (pyarrow, Polars, pandas, DuckDB, nanoarrow, ...);
a dict of numpy arrays, lists or Arrow arrays becomes one record batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from tocsin_core.batch import Batch
from tocsin_core.schema import Schema
from tocsin_core.status import SchemaError


def as_table(data: Any) -> pa.Table:
    """A pyarrow.Table over `data`.

    Args:
        data: anything with __arrow_c_stream__ or __arrow_c_array__, or a dict of equally long columns.

    Raises:
        SchemaError: `data` is none of these, or its columns differ in length, or it was released or consumed.

    Example:
        >>> as_table({"price": [1.0, 2.0]}).num_rows
        2
    """
    if isinstance(data, pa.Table):
        return data
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    if isinstance(data, Mapping):
        return _columns_table(data)
    try:
        if hasattr(data, "__arrow_c_stream__"):
            return pa.table(data)
        if hasattr(data, "__arrow_c_array__"):
            return pa.Table.from_batches([pa.record_batch(data)])
    except (pa.ArrowException, TypeError, ValueError) as cause:
        raise SchemaError(
            f"this {type(data).__name__} cannot be read: {cause}; a capsule or a reader can be read only once"
        ) from cause
    raise SchemaError(
        f"a table is expected, not a {type(data).__name__}: pass anything with the Arrow PyCapsule interface "
        "(pyarrow, Polars, pandas, DuckDB, ...) or a dict of numpy arrays"
    )


def _columns_table(data: Mapping[str, Any]) -> pa.Table:
    arrays: list[Any] = []
    for name, values in data.items():
        try:
            arrays.append(values if isinstance(values, (pa.Array, pa.ChunkedArray)) else pa.array(values))
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as cause:
            raise SchemaError(f"column {name!r} cannot be read as one type: {cause}") from cause
        if len(arrays[-1]) != len(arrays[0]):
            first = next(iter(data))
            raise SchemaError(
                f"column {name!r} has {len(arrays[-1])} rows, but {first!r} has {len(arrays[0])}"
            )
    return pa.table(arrays, names=[str(name) for name in data])


def core_batches(data: Any, expected: Schema) -> Iterator[Batch]:
    """The batches of `data` for an operator whose input is `expected`.

    Raises:
        SchemaError: `data` has other columns or types; it names the first that differs. Raised before the
            first batch is given.
    """
    if isinstance(data, Mapping):
        data = as_table(data)
    if hasattr(data, "__arrow_c_array__"):
        batch = Batch.from_arrow(data, expected)
        _check(batch.schema, expected)
        yield batch
    elif hasattr(data, "__arrow_c_stream__"):
        stream = Batch.import_stream(data, expected)
        _check(stream.schema, expected)
        yield from stream
    else:
        yield from core_batches(as_table(data), expected)


def _check(given: Schema, expected: Schema) -> None:
    if not expected.accepts(given):
        raise SchemaError(expected.mismatch(given))
