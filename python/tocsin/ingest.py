"""What people push -> Arrow: a dict of columns, one event as a dict, a list of events.

What speaks the Arrow PyCapsule interface goes to the core as it is (stream.py); this file is for the rest. A dict is
columns when its values are arrays or lists, and one event when they are scalars.

    {"ts": np.array(...), "price": [...]}     columns    -> one record batch, numpy buffers without a copy
    {"ts": 1, "price": 2.5}                   one event  -> RowBuilder of the core
    [{"ts": 1, "price": 2.5}, ...]            events     -> RowBuilder

Column types that the RowBuilder does not build (decimal, dictionary, nested, ...) go through pyarrow's from_pylist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import pyarrow as pa

from tocsin_core.row_builder import RowBuilder
from tocsin_core.status import SchemaError

SCALARS = (str, bytes, bytearray, int, float, bool, type(None), np.generic)

PLAIN = frozenset((str, bytes, int, float, bool, type(None)))


def is_columns(data: Mapping[str, Any]) -> bool:
    """Whether a dict holds columns (arrays, lists) rather than one event.

    >>> is_columns({"a": [1, 2]}), is_columns({"a": 1})
    (True, False)
    """
    if PLAIN.issuperset(map(type, data.values())):  # PERF: the usual event, without a look at each value
        return False
    for value in data.values():
        if isinstance(value, SCALARS):
            continue
        if isinstance(value, (list, tuple, np.ndarray, range)) or hasattr(value, "__arrow_c_array__"):
            return not (isinstance(value, np.ndarray) and value.ndim == 0)
        if hasattr(value, "__arrow_c_stream__") or hasattr(value, "__array__"):
            return True
    return False


def in_layout(rows: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """`rows`, whose columns have the logical types of `schema`, in the very types of `schema` (text as string, say).

    >>> rows = pa.record_batch({"k": pa.array(["a"], pa.large_string())})
    >>> in_layout(rows, pa.schema([("k", pa.string())])).schema.field("k").type
    DataType(string)

    Raises SchemaError where a dictionary's index type cannot number all values.
    """
    if rows.schema.equals(schema):
        return rows
    columns = []
    for field, column in zip(schema, rows.columns, strict=True):
        try:
            columns.append(_in_type(column, field.type))
        except pa.ArrowInvalid as wrong:
            raise SchemaError(
                f"column {field.name!r}: its values do not go into Arrow type {field.type}: {wrong}"
            ) from None
    return pa.record_batch(columns, schema=schema)


def _in_type(column: pa.Array, type: pa.DataType) -> pa.Array:
    if column.type.equals(type):
        return column
    # By way of the plain values: pyarrow casts no dictionary to a view, nor the other way round.
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_dictionary(type):
        return column.cast(type.value_type).dictionary_encode().cast(type)
    return column.cast(type)


def columns_batch(data: Mapping[str, Any], schema: pa.Schema) -> pa.RecordBatch:
    """A record batch of `schema` from a dict of numpy arrays, lists or Arrow arrays.

    Raises SchemaError for a missing or unknown column, columns of unequal length, or values that do not fit.
    """
    unknown = [name for name in data if name not in schema.names]
    if unknown:
        near = get_close_matches(str(unknown[0]), schema.names, 1)
        hint = (
            f"did you mean {near[0]!r}?" if near else f"the columns are {', '.join(map(repr, schema.names))}"
        )
        raise SchemaError(f"the stream has no column {unknown[0]!r}; {hint}")
    arrays: list[pa.Array] = []
    for field in schema:
        if field.name not in data:
            raise SchemaError(f"column {field.name!r} is missing; every column of the stream must be there")
        arrays.append(_column(field, data[field.name]))
        if len(arrays[-1]) != len(arrays[0]):
            raise SchemaError(
                f"column {field.name!r} has {len(arrays[-1])} rows, but {schema.names[0]!r} has {len(arrays[0])}"
            )
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _column(field: pa.Field, values: Any) -> pa.Array:
    if isinstance(values, SCALARS) or (isinstance(values, np.ndarray) and values.ndim != 1):
        what = "a scalar" if isinstance(values, SCALARS) else f"an array of {values.ndim} dimensions"
        raise SchemaError(
            f"column {field.name!r} is {what}, but other columns are lists or arrays of one dimension"
        )
    try:
        if isinstance(values, (pa.Array, pa.ChunkedArray)):
            array = values if values.type.equals(field.type) else values.cast(field.type)
        else:
            array = pa.array(values, type=field.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as cause:
        given = getattr(values, "dtype", None) or getattr(values, "type", None) or type(values).__name__
        raise SchemaError(
            f"column {field.name!r} has type {given}, expected {field.type}: {cause}"
        ) from cause
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def rows_batch(rows: Sequence[Mapping[str, Any]], builder: RowBuilder, schema: pa.Schema) -> Any:
    """A batch (of the core, or of pyarrow) of some events given as dicts; SchemaError names row, column and value."""
    if builder.supports:
        return builder.build(rows)
    for row, event in enumerate(rows):
        if not isinstance(event, Mapping):
            raise SchemaError(f"row {row} is {type(event).__name__}, not a dict of column names and values")
        for name in schema.names:
            if name not in event:
                raise SchemaError(f"row {row} has no column {name!r} (give None for a null)")
        for name in event:
            if name not in schema.names:
                raise SchemaError(f"row {row} has a column {name!r} that the stream has not")
    try:
        return pa.RecordBatch.from_pylist([dict(event) for event in rows], schema=schema)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as cause:
        raise SchemaError(f"{_faulty(rows, schema)}: {cause}") from cause


def _faulty(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> str:
    for row, event in enumerate(rows):  # found again only to name it
        for field in schema:
            try:
                pa.array([event[field.name]], type=field.type)
            except (pa.ArrowException, TypeError, ValueError, OverflowError):
                return f"column {field.name!r}, row {row}: {event[field.name]!r} does not fit {field.type}"
    return "the events do not fit the stream"
