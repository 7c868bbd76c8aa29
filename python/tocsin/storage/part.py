"""What the log remembers of events that went to Parquet: one small file for each Parquet file.

`00000000000000000000.tier`, beside the segments and named like one, says where the events from there on are, and
what is needed to leave the Parquet file shut: sequences, times, ranges of the look-up columns, for each row group.
It is written aside and renamed when the Parquet file is whole and was read again; that is the moment from which the
events are there, and the segments that had them are leftovers.

      0  magic     8 bytes  "tocsin" 05 0A
      8  text      uint64   bytes of the text, a multiple of 8
     16  groups    uint64   row groups
     24  sums      uint64   blocks of the Parquet file, of 262 144 bytes
     32  sum       uint32   CRC-32 of the 32 bytes before and of all that follows; 4 bytes of zero
     40  text      JSON, blanks behind: first, after (sequences, half-open), rows, place (places.py), path below it,
                   size, written (the last of its segments)
         groups    groups x 5 x int64: rows; time_min, time_max; smallest and largest sequence
         sums      sums x uint32: CRC-32 of each block, zero behind up to a multiple of 8
         ranges    as a `.ranges` file (ranges.py), the number of the row group for the sequence; only with look-up
         columns

Filters (keys.py) of the row groups lie in `00000000000000000000-tier.keys`. `tiering.json` is there while a Parquet
file is being made (tiering.py). A damaged .tier is reported by the scan that needs it.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from .files import replace_file
from .index import ROWS, SEQUENCE, TIME_MAX, TIME_MIN, Matrix
from .keys import KeyFilters, hashes_of, keys_path, make_filter
from .parquet import BLOCK_BYTES, GROUP_ROWS, Sums, block_sums, one, wear
from .ranges import BatchRanges, Table, make_range, pack_ranges, unpack_ranges, value_type
from .times import time_range

SUFFIX = ".tier"
_MAGIC = b"tocsin\x05\n"
_HEADER = struct.Struct("<8sQQQ")
_HEADER_BYTES = 40
_GROUP_ROWS, _GROUP_TIME_MIN, _GROUP_TIME_MAX, _GROUP_FIRST, _GROUP_LAST = range(5)


@dataclass(frozen=True, slots=True)
class Part:
    """One Parquet file of a log. A damaged one knows its first sequence only, and `after` as its neighbour tells
    it."""

    note: Path  # the .tier file
    first: int
    after: int
    place: str = ""
    path: str = ""
    size: int = 0
    groups: Matrix = field(default_factory=lambda: np.empty((0, 5), np.int64))
    sums: Sums = field(default_factory=lambda: np.empty(0, np.uint32))
    ranges: Table | None = None
    written: int = 0  # when the last of its segments was, nanoseconds since 1970
    damaged: bool = False

    def until(self, after: int) -> Part:
        """The same with another end."""
        return replace(self, after=after)

    @property
    def rows(self) -> int:
        """How many events are in it."""
        return int(self.groups[:, _GROUP_ROWS].sum())

    @property
    def times(self) -> tuple[int, int] | None:
        """Smallest and largest time, or None."""
        timed = self.groups[self.groups[:, _GROUP_TIME_MIN] <= self.groups[:, _GROUP_TIME_MAX]]
        if not len(timed):
            return None
        return int(timed[:, _GROUP_TIME_MIN].min()), int(timed[:, _GROUP_TIME_MAX].max())

    @property
    def sequence_ranges(self) -> Matrix:
        """For each row group its smallest sequence, and the one behind its largest."""
        return self.groups[:, [_GROUP_FIRST, _GROUP_LAST]] + np.array([0, 1])

    def index_rows(self) -> Matrix:
        """The row groups as rows of an index (index.py), numbered for sequences, for those who choose among
        batches."""
        rows = np.zeros((len(self.groups), 6), np.int64)
        rows[:, SEQUENCE] = np.arange(len(rows))
        rows[:, ROWS] = self.groups[:, _GROUP_ROWS]
        rows[:, [TIME_MIN, TIME_MAX]] = self.groups[:, [_GROUP_TIME_MIN, _GROUP_TIME_MAX]]
        return rows


def part_path(folder: Path, first: int) -> Path:
    """The .tier file of the part whose first event has this sequence."""
    return folder / f"{first:020d}{SUFFIX}"


def filters_base(note: Path) -> Path:
    """What `keys_path` makes the place of its filters of."""
    return note.with_name(note.stem + "-tier.arrow")


def describe(
    ordered: pa.Table,
    schema: pa.Schema,
    data: pa.Buffer,
    first: int,
    time: str | None,
    lookup: tuple[str, ...],
    note: Path,
    place: str,
    path: str,
    written: int,
) -> tuple[Part, KeyFilters]:
    """The part for a Parquet file (parquet.py) with these rows in this order; and the filters of its row groups."""
    groups, ranges, filters = [], BatchRanges(len(lookup)), KeyFilters(len(lookup))
    for number, at in enumerate(range(0, ordered.num_rows, GROUP_ROWS)):
        group = ordered.slice(at, GROUP_ROWS).combine_chunks()
        times = (1, 0) if time is None else time_range(one(group.column(time)))
        numbers = group.column(-1).to_numpy()
        groups.append((group.num_rows, *times, numbers.min(), numbers.max()))
        columns = [wear(one(group.column(name)), value_type(schema.field(name).type)) for name in lookup]
        ranges.append(number, [make_range(column) for column in columns])
        filters.append(number, [make_filter(hashes_of(column)) for column in columns])
    part = Part(
        note,
        first,
        first + ordered.num_rows,
        place,
        path,
        data.size,
        np.array(groups, np.int64).reshape(len(groups), 5),
        block_sums(data),
        ranges.table() if lookup else None,
        written,
    )
    return part, filters


def save_part(part: Part) -> None:
    """Put the note in its place, or leave everything as it was."""
    known = {
        "first": part.first,
        "after": part.after,
        "rows": part.rows,
        "place": part.place,
        "path": part.path,
    }
    text = json.dumps({**known, "size": part.size, "written": part.written}).encode()
    text += b" " * (-len(text) % 8)
    sums = part.sums.astype("<u4", copy=False).tobytes()
    body = text + part.groups.astype("<i8", copy=False).tobytes() + sums + bytes(-len(sums) % 8)
    if part.ranges is not None:
        body += pack_ranges(part.ranges)
    header = _HEADER.pack(_MAGIC, len(text), len(part.groups), len(part.sums))
    replace_file(part.note, [header, struct.pack("<II", zlib.crc32(body, zlib.crc32(header)), 0), body])


def load_part(note: Path, columns: int) -> Part:
    """What the note says, for a log with so many look-up columns."""
    first = int(note.stem)
    whole = note.read_bytes()
    damaged = Part(note, first, first, damaged=True)
    if len(whole) < _HEADER_BYTES:
        return damaged
    magic, text_bytes, count, blocks = _HEADER.unpack_from(whole)
    total, zero = struct.unpack_from("<II", whole, _HEADER.size)
    if (
        magic != _MAGIC
        or zero
        or zlib.crc32(whole[_HEADER_BYTES:], zlib.crc32(whole[: _HEADER.size])) != total
    ):
        return damaged
    said = json.loads(whole[_HEADER_BYTES : _HEADER_BYTES + text_bytes])
    at = _HEADER_BYTES + text_bytes
    groups = np.frombuffer(whole, "<i8", 5 * count, at).reshape(count, 5).astype(np.int64)
    at += 40 * count
    sums = np.frombuffer(whole, "<u4", blocks, at)
    at += -(-4 * blocks // 8) * 8
    ranges = unpack_ranges(whole[at:], columns) if columns else None
    if said["first"] != first or blocks != -(-said["size"] // BLOCK_BYTES):
        return damaged
    return Part(
        note,
        first,
        said["after"],
        said["place"],
        said["path"],
        said["size"],
        groups,
        sums,
        ranges,
        said["written"],
    )


Known = dict[tuple[Path, int], Part]  # by the note and the time it was written


def load_parts(folder: Path, columns: int, known: Known) -> tuple[list[Part], Known]:
    """All parts of a log, in order of sequence, and what to give as `known` the next time: those need not be read
    again."""
    found: Known = {}
    for entry in os.scandir(folder):
        stem, suffix = os.path.splitext(entry.name)
        if suffix == SUFFIX and len(stem) == 20 and stem.isascii() and stem.isdigit():
            note = folder / entry.name
            try:
                key = note, note.stat().st_mtime_ns
                found[key] = known.get(key) or load_part(note, columns)
            except FileNotFoundError:
                continue  # trimmed meanwhile
    return [found[key] for key in sorted(found)], found


def note_files(note: Path) -> list[Path]:
    """All local files of a part, the note first: with it the part goes."""
    return [note, keys_path(filters_base(note))]
