"""Where each batch of a segment lies: one row of six int64 per batch, in memory and beside the sealed
segment.

    OFFSET  LENGTH   the frame's place in the segment file, bytes
    SEQUENCE  ROWS   of the batch
    TIME_MIN  TIME_MAX   of its time column (min > max: no time column, or only nulls)

In memory it is a numpy matrix that grows by doubling, so that scans choose batches by vector comparison. On
disk (`<segment>.index`, written aside and renamed when a segment is sealed, or its store closed) it is a copy
of what the heads in the segment say (frame.py), to open a store without visiting every frame:

      0  magic     8 bytes  "tocsin" 02 0A
      8  covered   uint64   the segment's bytes that the index describes; what lies behind is walked at
      opening
     16  count     uint64   rows that follow
     24  sum       uint32   CRC-32 of the 24 bytes before and of the rows; 4 bytes of zero
     32  rows      count x 6 x int64, little-endian

A missing or damaged index is made anew from the segment. What an intact index lists was whole and synced when
it was written: recovery never cuts it off as a torn tail, damage there is reported as damage.
Cost: 48 bytes per batch; about 1 us per append.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .files import replace_file

OFFSET, LENGTH, SEQUENCE, ROWS, TIME_MIN, TIME_MAX = range(6)
Entry = tuple[int, int, int, int, int, int]
Matrix = npt.NDArray[np.int64]

_MAGIC = b"tocsin\x02\n"
_HEADER = struct.Struct("<8sQQ")
_HEADER_BYTES = 32


class BatchIndex:
    """The rows of one segment, in order of sequence. Not locked: the log that owns it is.

    A view taken earlier stays as it was while rows are appended; rows that are dropped and written again lie
    behind what any view was given.
    """

    __slots__ = ("_matrix", "count")

    def __init__(self, rows: Matrix | None = None) -> None:
        self._matrix: Matrix = np.empty((16, 6), np.int64) if rows is None else rows
        self.count = 0 if rows is None else len(rows)

    def append(self, entry: Entry) -> None:
        """Add the next batch."""
        if self.count == len(self._matrix):
            grown = np.empty((max(16, 2 * self.count), 6), np.int64)
            grown[: self.count] = self._matrix
            self._matrix = grown
        self._matrix[self.count] = entry
        self.count += 1

    def drop_from(self, count: int) -> None:
        """Keep the first `count` rows."""
        self.count = count

    def view(self) -> Matrix:
        """All rows, not copied."""
        return self._matrix[: self.count]

    def before(self, sequence: int) -> Matrix:
        """The rows of all batches that begin before this sequence."""
        view = self.view()
        return view[: int(np.searchsorted(view[:, SEQUENCE], sequence))]


def index_path(segment: Path) -> Path:
    """The index file of a segment file."""
    return segment.with_suffix(".index")


def save_index(segment: Path, index: BatchIndex, covered: int) -> None:
    """Put the index beside its segment; `covered` bytes of that must be durable already."""
    rows = index.view().astype("<i8", copy=False).tobytes()
    header = _HEADER.pack(_MAGIC, covered, index.count)
    total = zlib.crc32(rows, zlib.crc32(header))
    replace_file(index_path(segment), [header, struct.pack("<II", total, 0), rows])


def load_index(segment: Path) -> tuple[BatchIndex, int] | None:
    """The index and the bytes it covers; None where there is none or it is damaged."""
    try:
        whole = index_path(segment).read_bytes()
    except FileNotFoundError:
        return None
    if len(whole) < _HEADER_BYTES:
        return None
    magic, covered, count = _HEADER.unpack_from(whole)
    rows = memoryview(whole)[_HEADER_BYTES:]
    (total,) = struct.unpack_from("<I", whole, _HEADER.size)
    if magic != _MAGIC or len(rows) != 48 * count or whole[28:32] != bytes(4):
        return None
    if zlib.crc32(rows, zlib.crc32(whole[: _HEADER.size])) != total:
        return None
    matrix = np.frombuffer(rows, "<i8").reshape(count, 6).astype(np.int64)
    return BatchIndex(matrix), covered
