"""What DuckDB makes of Arrow's types, and how a column that only passed through it gets its own back.

    Arrow                                              in DuckDB             comes out as
    large_string, string_view, dictionary of text      VARCHAR               string
    large_binary, binary_view, fixed_size_binary       BLOB                  binary
    timestamp with zone                                TIMESTAMPTZ           microseconds, in the session's zone
    duration                                           INTERVAL              month_day_nano_interval
    time32; date64; decimal32, 64; large_list          TIME; DATE; …         time64; date32; decimal128; list

`origins` (tocsin.sql) tells which columns of a result are columns of a table; those are cast back here. A value that
DuckDB would cut (a duration finer than a microsecond, say) is refused before it goes in, and never cut in silence.

A clause reads numbers as 64 bits and times as Arrow has them. So the columns that it names and DuckDB computed are
made such: DECIMAL becomes double (int64 without places: a SUM of whole numbers is one), INTERVAL a duration.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tocsin.errors import EvaluationError, SchemaError

_INTERVAL = pa.month_day_nano_interval()
_UNIT_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_DAY_NS = 86_400_000_000_000
_PARTS = np.dtype([("months", "<i4"), ("days", "<i4"), ("nanoseconds", "<i8")])


def for_duckdb(name: str, table: pa.Table) -> pa.Table:
    """`table` with types that DuckDB reads. Raises SchemaError for a column with values that it would cut.

    >>> for_duckdb("t", pa.table({"x": pa.array([1.5], pa.float16())})).schema.field("x").type
    DataType(float)
    """
    for place, field in enumerate(table.schema):
        column = table.column(place)
        made: pa.DataType | None = None
        if pa.types.is_float16(field.type):
            made = pa.float32()
        elif pa.types.is_decimal256(field.type) and field.type.precision <= 38:
            made = pa.decimal128(field.type.precision, field.type.scale)
        elif pa.types.is_duration(field.type) and field.type.unit == "ns":
            _refuse_finer(name, field.name, column, "INTERVAL")
        if made is not None:
            table = table.set_column(place, field.with_type(made), column.cast(made))
    return table


def check_units(name: str, table: pa.Table, image: pa.Schema) -> None:
    """Raises SchemaError if a time in `table` is finer than what DuckDB has for its column: `image`."""
    for place, field in enumerate(table.schema):
        unit = getattr(field.type, "unit", None)
        if unit == "ns" and getattr(image.field(place).type, "unit", "ns") != "ns":
            _refuse_finer(name, field.name, table.column(place), str(image.field(place).type))


def _refuse_finer(table: str, name: str, column: pa.ChunkedArray, there: str) -> None:
    values = column.cast(pa.int64())
    finer = pc.not_equal(pc.multiply(pc.divide(values, 1000), 1000), values)
    row = pc.index(finer, True).as_py()
    if row >= 0:
        raise SchemaError(
            f"table {table}: {name} at row {row} is {values[row]} ns, finer than the microseconds that DuckDB's "
            f"{there} has: cast the column to {str(column.type).replace('ns', 'us', 1)} or int64"
        )


def give_back(column: pa.ChunkedArray, own: pa.DataType) -> pa.ChunkedArray:
    """`column` as it came out of DuckDB, in the type `own` that it had; unchanged if that cannot hold its values."""
    try:
        if column.type == _INTERVAL and pa.types.is_duration(own):
            return _durations(column, own)
        if pa.types.is_dictionary(own):
            values = column.cast(own.value_type)
            codes = pc.dictionary_encode(values)
            return codes.cast(own) if codes.type != own else codes
        return column.cast(own)
    except (pa.ArrowException, OverflowError):
        return column


def for_clause(table: pa.Table, names: frozenset[str]) -> pa.Table:
    """`table` with the columns that a clause names (in lower case) in types that it can read.

    Raises EvaluationError for a value that has none.
    """
    for place, field in enumerate(table.schema):
        if field.name.lower() not in names:
            continue
        column = table.column(place)
        kind = field.type
        try:
            if pa.types.is_decimal(kind):
                made = pa.int64() if kind.scale <= 0 else pa.float64()
                column = column.cast(made)
            elif kind == _INTERVAL:
                column = _durations(column, pa.duration("us"))
            else:
                continue
        except pa.ArrowException as cause:
            reason = "months have no length" if kind == _INTERVAL else "it holds a number beyond 64 bits"
            raise EvaluationError(
                f"the column {field.name} of type {kind} cannot be read in the clause, as {reason}: cast it before"
            ) from cause
        table = table.set_column(place, field.with_type(column.type), column)
    return table


def _durations(column: pa.ChunkedArray, own: pa.DataType) -> pa.ChunkedArray:
    """Intervals without months as durations, a day being 24 hours. Raises ArrowInvalid for any other."""
    chunks = [_durations_chunk(chunk, own) for chunk in column.chunks]
    return pa.chunked_array(chunks, own)


def _durations_chunk(chunk: pa.Array, own: pa.DataType) -> pa.Array:
    if len(chunk) == 0:
        return pa.array([], own)
    parts = np.frombuffer(chunk.buffers()[1], _PARTS, len(chunk), chunk.offset * _PARTS.itemsize)
    null = np.asarray(chunk.is_null())
    days = np.where(null, 0, parts["days"]).astype(np.int64)
    rest = np.where(null, 0, parts["nanoseconds"])
    unit = _UNIT_NS[own.unit]
    whole = days * (_DAY_NS // unit)  # 2^31 days fit in any unit but nanoseconds
    fits = own.unit != "ns" or np.all(np.abs(days) < 2**63 // _DAY_NS - 1)
    if np.any(parts["months"][~null]) or np.any(rest % unit) or not fits:
        raise pa.ArrowInvalid(f"an interval is no {own}")
    return pa.array(whole + rest // unit, own, mask=null)
