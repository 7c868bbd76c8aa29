"""Which batches may hold a key: a small Bloom filter for each batch and each look-up column.

A stream declared with `lookup=("account",)` gets, for every batch, one filter over the values of that column. A scan
that asks for some accounts reads only the batches whose filter has one of them, and what it reads it compares exactly;
so a filter decides about time, never about rows.

    hash         64 bits of a value, whatever its column's layout (tocsin_core.owner); NULL has one too
    filter       2^k bits, about BITS for each row and at most 2^MOST; a value sets PROBES of them (A. Kirsch and
                 M. Mitzenmacher, "Less hashing, same performance", 2006: two hashes make them all)

In memory the filters of the growing segment are kept beside its index. `<segment>.keys`, written when a segment is
sealed or its store closed, has them for later; like the index it vouches only for what was synced:

      0  magic     8 bytes  "tocsin" 03 0A
      8  count     uint64   batches described, from the first on
     16  columns   uint64   look-up columns
     24  size      uint64   bytes of all filters
     32  sum       uint32   CRC-32 of the 32 bytes before and of all that follows; 4 bytes of zero
     40  table     count x (1 + 2 columns) x int64: the batch's sequence; then for each column where its filter begins
                   among the filters, and k (-1: there is none, the batch may hold anything)
         filters   size bytes

A missing, damaged or older file says nothing: the batches that it does not describe are read.
Cost: 2 ns a row and column to hash, 10 ns to set the bits; 1.2 bytes a row on disk.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tocsin_core.batch import Batch
from tocsin_core.owner import value_hashes

from .files import Piece, replace_file
from .index import SEQUENCE, Matrix

PROBES = 4
BITS = 8
LEAST, MOST = 6, 20  # log2 of a filter's bits
UNKNOWN = -1

Hashes = npt.NDArray[np.uint64]
Filter = tuple[int, bytes]  # k, 2^k bits

_MAGIC = b"tocsin\x03\n"
_HEADER = struct.Struct("<8sQQQ")
_HEADER_BYTES = 40
_STRIDE = np.uint64(32)


def hashes_of(column: pa.Array) -> Hashes:
    """The hash of each value."""
    return np.frombuffer(
        value_hashes(Batch.from_arrow(pa.record_batch([column], names=["key"])), 0), np.uint64
    )


def make_filter(hashes: Hashes) -> Filter:
    """The filter of one batch's column."""
    hashes = np.unique(hashes) if len(hashes) < 65_536 else hashes
    k = min(max(int(BITS * len(hashes) - 1).bit_length(), LEAST), MOST)
    bits = np.zeros(1 << k, np.bool_)
    for probe in range(PROBES):
        bits[_places(hashes, probe) & np.uint64((1 << k) - 1)] = True
    return k, np.packbits(bits, bitorder="little").tobytes()


def _places(hashes: Hashes, probe: int) -> Hashes:
    """Where a value's `probe`-th bit is, before it is cut to the filter's size."""
    return hashes + np.uint64(probe) * ((hashes >> _STRIDE) | np.uint64(1))


class KeyFilters:
    """The filters of one segment's batches, in order. Not locked: the log that owns it is."""

    def __init__(self, columns: int, table: Matrix | None = None, blob: Piece = b"") -> None:
        self.columns = columns
        self._rows: list[list[int]] = [] if table is None else table.tolist()
        self._pieces: list[bytes] = [bytes(blob)]
        self._size = len(blob)

    @property
    def count(self) -> int:
        """How many batches there are entries for."""
        return len(self._rows)

    def append(self, sequence: int, filters: Sequence[Filter]) -> None:
        """The next batch."""
        row = [sequence]
        for k, bits in filters:
            row += [self._size, k]
            self._pieces.append(bits)
            self._size += len(bits)
        self._rows.append(row)

    def skip_to(self, rows: Matrix) -> None:
        """The batches of these index rows that there are no entries for may hold anything."""
        for sequence in rows[self.count :, SEQUENCE].tolist():
            self._rows.append([sequence, *([0, UNKNOWN] * self.columns)])

    def drop_from(self, count: int) -> None:
        """Keep the entries of the first `count` batches; what they point at stays."""
        del self._rows[count:]

    def snapshot(self) -> tuple[Matrix, bytes]:
        """The table and the filters, as they are now."""
        if len(self._pieces) > 1:
            self._pieces = [b"".join(self._pieces)]
        table = np.array(self._rows, np.int64).reshape(len(self._rows), 1 + 2 * self.columns)
        return table, self._pieces[0]


def keys_path(segment: Path) -> Path:
    """The file with a segment's filters."""
    return segment.with_suffix(".keys")


def save_keys(segment: Path, filters: KeyFilters) -> None:
    """Put the filters beside their segment, all of whose batches must be durable already."""
    table, blob = filters.snapshot()
    header = _HEADER.pack(_MAGIC, len(table), filters.columns, len(blob))
    rows = table.astype("<i8", copy=False).tobytes()
    total = zlib.crc32(blob, zlib.crc32(rows, zlib.crc32(header)))
    replace_file(keys_path(segment), [header, struct.pack("<II", total, 0), rows, blob])


def load_keys(segment: Path, columns: int) -> tuple[Matrix, Piece] | None:
    """What save_keys has put there, mapped and looked through once; None where there is nothing, or it is damaged, or
    for other columns."""
    try:
        with pa.memory_map(str(keys_path(segment)), "r") as mapped:
            whole = memoryview(mapped.read_buffer()).cast("B")  # keeps the map for as long as it lives
    except (FileNotFoundError, pa.ArrowInvalid):  # Arrow maps no empty file
        return None
    if len(whole) < _HEADER_BYTES:
        return None
    magic, count, described, size = _HEADER.unpack_from(whole)
    (total, zero) = struct.unpack_from("<II", whole, _HEADER.size)
    width = 1 + 2 * columns
    if (
        magic != _MAGIC
        or described != columns
        or zero
        or len(whole) != _HEADER_BYTES + 8 * width * count + size
    ):
        return None
    if zlib.crc32(whole[_HEADER_BYTES:], zlib.crc32(whole[: _HEADER.size])) != total:
        return None
    table = np.frombuffer(whole, "<i8", width * count, _HEADER_BYTES).reshape(count, width).astype(np.int64)
    return table, whole[_HEADER_BYTES + 8 * width * count :]


def may_hold(table: Matrix, blob: Piece, rows: Matrix, column: int, hashes: Hashes) -> npt.NDArray[np.bool_]:
    """For each index row whether its batch may hold one of the values in look-up column `column`."""
    found = np.ones(len(rows), np.bool_)
    if not len(table):
        return found
    entry = np.minimum(np.searchsorted(table[:, 0], rows[:, SEQUENCE]), len(table) - 1)
    start, k = table[entry, 1 + 2 * column], table[entry, 2 + 2 * column]
    known = (table[entry, 0] == rows[:, SEQUENCE]) & (k >= LEAST) & (k <= MOST) & (start >= 0)
    size = np.left_shift(1, np.where(known, k, LEAST) - 3)
    sure = np.flatnonzero(known & (start + size <= len(blob)))
    bytes_ = np.frombuffer(blob, np.uint8)
    start, mask = start[sure], (8 * size[sure] - 1).astype(np.uint64)
    some = np.zeros(len(sure), np.bool_)
    for value in hashes:
        every = np.ones(len(sure), np.bool_)
        for probe in range(PROBES):
            place = _places(value[None], probe) & mask
            at = start + (place >> np.uint64(3)).astype(np.int64)
            every &= (bytes_[at] >> (place & np.uint64(7)).astype(np.uint8)) & 1 == 1
        some |= every
    found[sure] = some
    return found
