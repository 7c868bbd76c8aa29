"""What is known of the look-up columns of one growing segment: filters (keys.py) and ranges (ranges.py), a pair for
each batch.

Sealed segments have theirs in two files beside them; each is read by itself, when a scan can use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .files import remove_file
from .index import SEQUENCE, Matrix
from .keys import Filter, KeyFilters, hashes_of, keys_path, load_keys, make_filter, save_keys
from .ranges import BatchRanges, Range, load_ranges, make_range, ranges_path, save_ranges

Entry = tuple[Filter, Range]  # of one batch's column


def make_entry(column: pa.Array) -> Entry:
    """What a scan may later want to know of one batch's column."""
    return make_filter(hashes_of(column)), make_range(column)


class Lookup:
    """Filters and ranges of one segment's batches, in order. Not locked: the log that owns it is."""

    def __init__(self, columns: int) -> None:
        self.filters = KeyFilters(columns)
        self.ranges = BatchRanges(columns)

    @classmethod
    def of_growing(cls, segment: Path, columns: int, rows: Matrix) -> Lookup:
        """Those of a segment that was found growing, with these index rows; batches that nobody knows of may hold
        anything."""
        found = cls(columns)
        known = load_keys(segment, columns)
        if known is not None and _describes(known[0][:, 0], rows):
            found.filters = KeyFilters(columns, *known)
        ranges = load_ranges(segment, columns)
        if ranges is not None and _describes(ranges["sequence"], rows):
            found.ranges = BatchRanges(columns, ranges)
        found.filters.skip_to(rows)
        found.ranges.skip_to(rows)
        return found

    def append(self, sequence: int, entries: Sequence[Entry]) -> None:
        """The next batch."""
        self.filters.append(sequence, [entry[0] for entry in entries])
        self.ranges.append(sequence, [entry[1] for entry in entries])

    def drop_from(self, count: int) -> None:
        """Keep what is known of the first `count` batches."""
        self.filters.drop_from(count)
        self.ranges.drop_from(count)

    def save(self, segment: Path) -> None:
        """Put both beside their segment, all of whose batches must be durable already."""
        save_keys(segment, self.filters)
        save_ranges(segment, self.ranges)


def remove_lookup(segment: Path) -> None:
    """Takes both files away."""
    for path in (keys_path(segment), ranges_path(segment)):
        remove_file(path)


def _describes(sequences: npt.NDArray[np.int64], rows: Matrix) -> bool:
    return np.array_equal(sequences, rows[: len(sequences), SEQUENCE])
