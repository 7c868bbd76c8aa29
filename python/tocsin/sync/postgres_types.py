"""Arrow types as PostgreSQL's: what a column is made as, what is taken when it is there, what cannot go.

    int8, uint8, int16 smallint    float16, float32   real               date32, date64   date
    int32, uint16      integer     float64            double precision   time             time without time zone
    int64, uint32      bigint      text               text               timestamp        timestamp with(out) time zone
    uint64             numeric     bytes              bytea              duration         interval
    decimal            numeric     bool               boolean            list of these    an array

COPY writes PostgreSQL's binary format, which says nothing about types: a column of another type would be read as
something else, or refused at the first row. So the types of a table that is there are compared before.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from .errors import SyncError
from .fit import is_leaf
from .target import Piece

NAME_BYTES = 63  # what is longer, PostgreSQL cuts off
# In microseconds and days since 1970: 4714-11-24 BC, and (for dates alone) the last day there is.
_FIRST_MICROSECOND = -210_866_803_200_000_000
_FIRST_DAY, _LAST_DAY = -2_440_588, 2_145_042_905
_SAME: dict[pa.DataType, pa.DataType] = {
    pa.bool_(): pa.bool_(),
    pa.int8(): pa.int16(),
    pa.uint8(): pa.int16(),
    pa.int16(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.int32(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.int64(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
    pa.float16(): pa.float32(),
    pa.float32(): pa.float32(),
    pa.float64(): pa.float64(),
    pa.date32(): pa.date32(),
    pa.date64(): pa.date32(),
    pa.null(): pa.string(),
}
_SQL: dict[pa.DataType, str] = {
    pa.bool_(): "boolean",
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.float32(): "real",
    pa.float64(): "double precision",
    pa.date32(): "date",
    pa.string(): "text",
    pa.large_string(): "text",
    pa.binary(): "bytea",
    pa.large_binary(): "bytea",
    pa.time64("us"): "time without time zone",
    pa.timestamp("us"): "timestamp without time zone",
    pa.duration("us"): "interval",
}


def rule(kind: pa.DataType) -> pa.DataType | None:
    """The type in which COPY is given a column (fit.Rule).

    >>> rule(pa.uint32()), rule(pa.timestamp("s")), rule(pa.struct([("a", pa.int64())]))
    (DataType(int64), TimestampType(timestamp[us]), None)
    """
    if kind in _SAME:
        return _SAME[kind]
    if pat.is_string(kind) or pat.is_large_string(kind) or kind == pa.string_view():
        return pa.string() if pat.is_string(kind) else pa.large_string()
    if pat.is_fixed_size_binary(kind) or kind == pa.binary_view() or pat.is_large_binary(kind):
        return pa.large_binary()
    if pat.is_binary(kind):
        return pa.binary()
    if pat.is_timestamp(kind):
        return pa.timestamp("us", kind.tz and "UTC")
    if pat.is_time(kind):
        return pa.time64("us")
    if pat.is_duration(kind):
        return pa.duration("us")
    if pat.is_decimal(kind):
        if kind.scale < 0:
            return (
                pa.decimal256(kind.precision - kind.scale, 0) if kind.precision - kind.scale <= 76 else None
            )
        return kind if kind.bit_width >= 128 else pa.decimal128(kind.precision, kind.scale)
    if pat.is_list(kind) or pat.is_large_list(kind) or pat.is_fixed_size_list(kind):
        return kind if is_leaf(kind.value_type) else None
    return None


def sql_type(kind: pa.DataType) -> str:
    """What a column of a type that `rule` gave is in PostgreSQL.

    >>> sql_type(pa.decimal128(10, 2)), sql_type(pa.list_(pa.int64())), sql_type(pa.timestamp("us", "UTC"))
    ('numeric(10,2)', 'bigint[]', 'timestamp with time zone')
    """
    if pat.is_decimal(kind):
        return f"numeric({kind.precision},{kind.scale})"
    if pat.is_timestamp(kind) and kind.tz:
        return "timestamp with time zone"
    if pat.is_nested(kind):
        return sql_type(kind.value_type) + "[]"
    return _SQL[kind]


def takes(found: str, kind: pa.DataType) -> bool:
    """Whether a column that is there, of the type `found` (as format_type words it), keeps these values."""
    wanted = sql_type(kind)
    if found == wanted:
        return True
    if pat.is_decimal(kind):
        if found == "numeric":
            return True
        inside = found.removeprefix("numeric(").removesuffix(")").split(",")
        if len(inside) == 2 and all(number.strip().lstrip("-").isdigit() for number in inside):
            precision, scale = map(int, inside)
            return scale >= kind.scale and precision - scale >= kind.precision - kind.scale
    return wanted == "text" and found == "character varying"


def check_names(schema: pa.Schema, target: str) -> None:
    """Refuses names that PostgreSQL would cut off."""
    for name in schema.names:
        if not name or "\0" in name or len(name.encode()) > NAME_BYTES:
            raise SyncError(
                f"{target}: {name!r} cannot be a column's name in PostgreSQL (1 to {NAME_BYTES} bytes)"
            )


def check_values(table: pa.Table, piece: Piece, target: str) -> None:
    """Refuses times that lie outside of PostgreSQL's; ADBC would write others instead."""
    for column, field in zip(table.columns, table.schema, strict=True):
        if pat.is_timestamp(field.type):
            first, last = _FIRST_MICROSECOND, 2**63 - 1
            numbers = column.cast(pa.int64())
        elif pat.is_date32(field.type):
            first, last = _FIRST_DAY, _LAST_DAY
            numbers = column.cast(pa.int32())
        else:
            continue
        found = pc.min_max(numbers).as_py()
        for value in found.values():
            if value is not None and not first <= value <= last:
                unit = "days" if pat.is_date32(field.type) else "microseconds"
                raise SyncError(
                    f"{target}: column {field.name!r} has the value {value} ({unit} since 1970) among events "
                    f"{piece.first} to {piece.after - 1}, which lies outside of what PostgreSQL can keep"
                )
