"""SQL's names of types, as CAST knows them, and the Arrow types that they stand for.

TIMESTAMP(p) and TIME(p) are kept in the unit that holds p digits: 0 seconds, 1 to 3 milliseconds, 4 to 6
microseconds, 7 to 9 nanoseconds. Without (p) a point in time keeps its unit, and a text is read in microseconds.
"""

from __future__ import annotations

import re

import pyarrow as pa

_PLAIN = {
    "boolean": pa.bool_(),
    "bool": pa.bool_(),
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "double": pa.float64(),
    "double precision": pa.float64(),
    "float": pa.float64(),
    "varchar": pa.string(),
    "char": pa.string(),
    "character": pa.string(),
    "text": pa.string(),
    "string": pa.string(),
    "character varying": pa.string(),
    "varbinary": pa.binary(),
    "blob": pa.binary(),
    "date": pa.date32(),
    "decimal": pa.decimal128(38, 0),
    "numeric": pa.decimal128(38, 0),
}
_FORM = re.compile(
    r"([a-z]+(?: [a-z]+)*?)(?: ?\( ?(\d{1,9}) ?(?:, ?(\d{1,3}) ?)?\))?((?: with| without) time zone)?"
)


def sql_type(text: str, source: pa.DataType) -> pa.DataType | None:
    """The Arrow type of `text` (lower case, single blanks) for a cast from `source`; None if there is none."""
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    name, first, second, zone = found.groups()
    if name in ("timestamp", "time") and second is None:
        return _temporal(name, first, zone == " with time zone", source)
    plain = _PLAIN.get(name)
    if plain is None or zone or (second is not None and not pa.types.is_decimal(plain)):
        return None
    if first is None:
        return plain
    if pa.types.is_string(plain):
        return plain
    digits, scale = int(first), int(second or 0)
    if not pa.types.is_decimal(plain) or not 1 <= digits <= 38 or scale > digits:
        return None
    return pa.decimal128(digits, scale)


def _temporal(name: str, digits: str | None, zoned: bool, source: pa.DataType) -> pa.DataType | None:
    t = pa.types
    if digits is not None:
        if int(digits) > 9:
            return None
        unit = ("s", "ms", "us", "ns")[-(-int(digits) // 3)]
    elif t.is_timestamp(source) or t.is_time(source):
        unit = source.unit
    else:
        unit = {True: "s", False: "us"}[t.is_date32(source)]
        unit = "ms" if t.is_date64(source) else unit
    if name == "time":
        return None if zoned else pa.time32(unit) if unit in ("s", "ms") else pa.time64(unit)
    zone = (source.tz if t.is_timestamp(source) else None) or "UTC"
    return pa.timestamp(unit, zone if zoned else None)


def integer_range(type: pa.DataType) -> tuple[int, int]:
    """The least and the greatest value of an integer type."""
    if pa.types.is_unsigned_integer(type):
        return 0, 2**type.bit_width - 1
    return -(2 ** (type.bit_width - 1)), 2 ** (type.bit_width - 1) - 1
