"""What the values of a batch lie between: smallest and largest of each look-up column.

A filter (keys.py) answers for single values; a range answers for comparisons too: `amount > 1000`, `name >= "m"`.
Like a filter it decides about time, never about rows: a scan leaves out only batches that can have no row it asks for.

    flags   KNOWN   there is an entry; without it the batch may hold anything
            NULLS   some value is NULL
            NANS    some value is NaN; low and high are those of the others
            VALUES  low and high are there: some value is neither NULL nor NaN
            OPEN    nothing is known of the largest value
    low, high       16 bytes each: a number (int64, uint64 or float64, whatever fits the column's type; 8 bytes, then
                    zero), or the first 16 bytes of a text, then zero. A text's low is cut short, its high is rounded
                    up, so all values lie between them, both included.

Columns of integers, floats, dates, times, timestamps, durations, text and bytes have ranges, plain or as a
dictionary; all others are not KNOWN. `<segment>.ranges` is written when a segment is sealed or its store closed, and
vouches only for what was synced:

      0  magic     8 bytes  "tocsin" 04 0A
      8  count     uint64   batches described, from the first on
     16  columns   uint64   look-up columns
     24  sum       uint32   CRC-32 of the 24 bytes before and of all that follows; 4 bytes of zero
     32  table     count x (sequence int64, then for each column: flags uint64, low and high 16 bytes)

A missing, damaged or older file says nothing. Cost: about 5 us for a batch and a column of numbers, 40 us for 4 096
texts; 40 bytes on disk.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from .files import replace_file
from .index import SEQUENCE, Matrix

KNOWN, NULLS, NANS, VALUES, OPEN = 1, 2, 4, 8, 16
WIDTH = 16
Range = tuple[int, bytes, bytes]
Table = npt.NDArray[Any]  # of records, as `_dtype` has them
UNKNOWN: Range = (0, b"", b"")

_MAGIC = b"tocsin\x04\n"
_HEADER = struct.Struct("<8sQQ")
_HEADER_BYTES = 32
_PACK = {"i": struct.Struct("<q"), "u": struct.Struct("<Q"), "f": struct.Struct("<d")}
_NUMBERS = {  # by the id of the type: how its values lie in memory
    kind.id: np.dtype(dtype)
    for kind, dtype in [
        *[(pa.type_for_alias(f"int{bits}"), f"<i{bits // 8}") for bits in (8, 16, 32, 64)],
        *[(pa.type_for_alias(f"uint{bits}"), f"<u{bits // 8}") for bits in (8, 16, 32, 64)],
        (pa.float32(), "<f4"),
        (pa.float64(), "<f8"),
        (pa.date32(), "<i4"),
        (pa.date64(), "<i8"),
        (pa.time32("s"), "<i4"),
        (pa.time64("us"), "<i8"),
        (pa.timestamp("s"), "<i8"),
        (pa.duration("s"), "<i8"),
    ]
}


class Bounds(NamedTuple):
    """One column's ranges as columns of its type, a row for each batch; low and high are null where there is none."""

    known: npt.NDArray[np.bool_]
    nulls: npt.NDArray[np.bool_]
    nans: npt.NDArray[np.bool_]
    open: npt.NDArray[np.bool_]
    low: pa.Array
    high: pa.Array


def value_type(kind: pa.DataType) -> pa.DataType:
    """The type of the values themselves, without the dictionary around them."""
    return kind.value_type if pat.is_dictionary(kind) else kind


def has_ranges(kind: pa.DataType) -> bool:
    """Whether columns of this type have ranges."""
    return value_type(kind).id in _NUMBERS or _is_text(value_type(kind)) or _is_bytes(value_type(kind))


def make_range(column: pa.Array) -> Range:
    """The range of one batch's column."""
    nulls = NULLS if column.null_count else 0
    try:
        if pat.is_dictionary(column.type):
            used = column.indices.unique().drop_null()
            column = _without_views(column.dictionary).take(used)
            nulls |= NULLS if column.null_count else 0
        column = _without_views(column)
    except pa.ArrowNotImplementedError:  # views, in a pyarrow that cannot cast them
        return UNKNOWN
    if column.type.id in _NUMBERS:
        return _number_range(column, KNOWN | nulls)
    if _is_text(column.type) or _is_bytes(column.type):
        return _text_range(column, KNOWN | nulls)
    return UNKNOWN


def _number_range(column: pa.Array, flags: int) -> Range:
    dtype, buffer = _NUMBERS[column.type.id], column.buffers()[1]
    if buffer is None or not len(column):
        return flags, b"", b""
    values = np.frombuffer(buffer, dtype, len(column), column.offset * dtype.itemsize)
    if column.null_count:
        values = values[column.is_valid().to_numpy(zero_copy_only=False)]
    if dtype.kind == "f":
        numbers = values[~np.isnan(values)]
        flags, values = flags | (NANS if len(numbers) < len(values) else 0), numbers
    if not len(values):
        return flags, b"", b""
    pack = _PACK[dtype.kind].pack
    return flags | VALUES, pack(values.min().item()), pack(values.max().item())


def _text_range(column: pa.Array, flags: int) -> Range:
    ends = pc.min_max(column)
    if not ends["min"].is_valid:
        return flags, b"", b""
    low, high = (bytes(ends[end].as_buffer()) for end in ("min", "max"))
    if len(high) > WIDTH or high.endswith(b"\0"):
        above = _above(high[:WIDTH])
        if above is None:
            return flags | VALUES | OPEN, low[:WIDTH], b""
        high = above
    return flags | VALUES, low[:WIDTH], high


def _without_views(column: pa.Array) -> pa.Array:
    if column.type not in (pa.string_view(), pa.binary_view()):
        return column
    return column.cast(pa.large_string() if _is_text(column.type) else pa.large_binary())


def _above(prefix: bytes) -> bytes | None:
    """The smallest bytes, without zeros at their end, above all that begin with the prefix; None: there are none."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None


def bounds_of(table: Table, column: int, kind: pa.DataType) -> Bounds:
    """What the table says of a look-up column whose values have the type `kind`; text comes as string, bytes as
    binary."""
    part = table["column"][:, column]
    flags = part["flags"]
    missing = flags & VALUES == 0
    ends = []
    for end, absent in (("low", missing), ("high", missing | (flags & OPEN != 0))):
        raw = np.ascontiguousarray(part[end])
        if kind.id in _NUMBERS:
            dtype = _NUMBERS[kind.id]
            wide = np.dtype(f"<{dtype.kind}8")
            values = raw.view(wide)[::2].astype(dtype)
            ends.append(pa.array(values, mask=absent).view(kind))
        else:
            ends.append(_texts(raw, absent, pa.string() if _is_text(kind) else pa.binary()))
    return Bounds(
        flags & KNOWN != 0, flags & NULLS != 0, flags & NANS != 0, flags & OPEN != 0, ends[0], ends[1]
    )


def _texts(raw: npt.NDArray[np.bytes_], absent: npt.NDArray[np.bool_], kind: pa.DataType) -> pa.Array:
    """Each up to the zeros at its end; Arrow, given these, would stop at the first zero inside."""
    signs = raw.view(np.uint8).reshape(len(raw), WIDTH)
    lengths = ((signs != 0) * np.arange(1, WIDTH + 1)).max(axis=1, initial=0)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    kept = signs[np.arange(WIDTH) < lengths[:, None]]
    valid = np.packbits(~absent, bitorder="little")
    return pa.Array.from_buffers(kind, len(raw), [pa.py_buffer(part) for part in (valid, offsets, kept)])


def align(table: Table, rows: Matrix) -> Table:
    """The entries of these index rows, in their order; batches that the table does not describe get an empty one."""
    found = np.zeros(len(rows), table.dtype)
    if len(table) and len(rows):
        at = np.minimum(np.searchsorted(table["sequence"], rows[:, SEQUENCE]), len(table) - 1)
        same = table["sequence"][at] == rows[:, SEQUENCE]
        found[same] = table[at[same]]
    return found


class BatchRanges:
    """The ranges of one segment's batches, in order. Not locked: the log that owns it is.

    As with the index (index.py), a table taken earlier stays as it was while batches are added.
    """

    def __init__(self, columns: int, table: Table | None = None) -> None:
        self._table: Table = np.zeros(16, _dtype(columns)) if table is None else table
        self._unknown = [UNKNOWN] * columns
        self.count = 0 if table is None else len(table)

    def append(self, sequence: int, ranges: Sequence[Range]) -> None:
        """The next batch."""
        if self.count == len(self._table):
            grown = np.zeros(max(16, 2 * self.count), self._table.dtype)
            grown[: self.count] = self._table
            self._table = grown
        self._table[self.count] = (sequence, list(ranges))
        self.count += 1

    def skip_to(self, rows: Matrix) -> None:
        """The batches of these index rows that there are no entries for may hold anything."""
        for sequence in rows[self.count :, SEQUENCE].tolist():
            self.append(sequence, self._unknown)

    def drop_from(self, count: int) -> None:
        """Keep the entries of the first `count` batches."""
        self.count = count

    def table(self) -> Table:
        """The entries, not copied."""
        return self._table[: self.count]


def ranges_path(segment: Path) -> Path:
    """The file with a segment's ranges."""
    return segment.with_suffix(".ranges")


def save_ranges(segment: Path, ranges: BatchRanges) -> None:
    """Put the ranges beside their segment, all of whose batches must be durable already."""
    replace_file(ranges_path(segment), [pack_ranges(ranges.table())])


def load_ranges(segment: Path, columns: int) -> Table | None:
    """What save_ranges has put there; None where there is nothing, or it is damaged, or for other columns."""
    try:
        return unpack_ranges(ranges_path(segment).read_bytes(), columns)
    except FileNotFoundError:
        return None


def pack_ranges(table: Table) -> bytes:
    """The table as bytes, with its sum."""
    (columns,) = table.dtype["column"].shape
    header, rows = _HEADER.pack(_MAGIC, len(table), columns), table.tobytes()
    return header + struct.pack("<II", zlib.crc32(rows, zlib.crc32(header)), 0) + rows


def unpack_ranges(whole: bytes, columns: int) -> Table | None:
    """The table of `pack_ranges`; None where it is damaged, or for other columns."""
    if len(whole) < _HEADER_BYTES:
        return None
    magic, count, described = _HEADER.unpack_from(whole)
    total, zero = struct.unpack_from("<II", whole, _HEADER.size)
    rows, dtype = memoryview(whole)[_HEADER_BYTES:], _dtype(columns)
    if magic != _MAGIC or described != columns or zero or len(rows) != dtype.itemsize * count:
        return None
    if zlib.crc32(rows, zlib.crc32(whole[: _HEADER.size])) != total:
        return None
    return np.frombuffer(rows, dtype)


def _dtype(columns: int) -> np.dtype[Any]:
    one = np.dtype([("flags", "<u8"), ("low", f"S{WIDTH}"), ("high", f"S{WIDTH}")])
    return np.dtype([("sequence", "<i8"), ("column", one, (columns,))])


def _is_text(kind: pa.DataType) -> bool:
    return pat.is_string(kind) or pat.is_large_string(kind) or kind == pa.string_view()


def _is_bytes(kind: pa.DataType) -> bool:
    return (
        pat.is_binary(kind)
        or pat.is_large_binary(kind)
        or pat.is_fixed_size_binary(kind)
        or kind == pa.binary_view()
    )
