"""Sealed segments become one Parquet file, so that a crash at any moment loses nothing and doubles nothing.

    1. `tiering.json` in the log's folder says which file is about to be made; a file that is there already is somebody
       else's, and is not touched
    2. the events are read, checked, sorted, written aside, and renamed
    3. the file is read again: every byte is what was written, every value what the segments have (parquet.py)
    4. the .tier file is put in its place (part.py): from now on the events are there
    5. `tiering.json` goes, then the segments

A crash before 4 leaves a Parquet file that `tiering.json` names and no .tier does: it is removed by the next opening
if it is on the local disk, else by the next `tier`. A crash behind 4 leaves segments that a part has too: nobody
reads them, and the next opening removes them.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from tocsin.errors import StoreError

from .files import remove_file, replace_file, store_error
from .keys import save_keys
from .parquet import block_sums, encode
from .part import Part, describe, filters_base, note_files, part_path, save_part
from .places import Place, Places, local_path

INTENT = "tiering.json"


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why the oldest files of a log leave it: each by itself is enough."""

    before: int | None = None  # all times are smaller; in the time column's unit
    sequence: int | None = None  # all sequences are smaller
    max_bytes: int | None = None  # all files together are larger
    written_before: int | None = None  # it was last written before; nanoseconds since 1970

    def hold(self, times: tuple[int, int] | None, after: int, total: int, written: int) -> bool:
        """For a file with these times whose last event is the one before `after`, last written then; all files have
        `total` bytes."""
        is_old = self.before is not None and times is not None and times[1] < self.before
        is_behind = self.sequence is not None and after <= self.sequence
        is_stale = self.written_before is not None and written < self.written_before
        return is_old or is_behind or is_stale or (self.max_bytes is not None and total > self.max_bytes)


def write_part(
    log: Path,
    name: str,
    events: pa.Table,
    first: int,
    time: str | None,
    lookup: tuple[str, ...],
    places: Places,
    to: str,
    written: int,
) -> Part:
    """Steps 1 to 4 and the end of `tiering.json`. Raises StoreError: the events are where they were."""
    after = first + events.num_rows
    path = f"{log.parent.name}/{log.name}/{first:020d}-{after - 1:020d}.parquet"
    place = places.open(to)
    try:
        metadata = {"tocsin.stream": name, "tocsin.first": str(first), "tocsin.after": str(after)}
        metadata |= {} if time is None else {"tocsin.time": time}
        sort_by = list(dict.fromkeys([*lookup, *([] if time is None else [time])]))
        data, ordered = encode(events, np.arange(first, after), sort_by, metadata)
        if place.exists(path):
            raise StoreError(f"there is a file {path!r} already, and it is not this store's")
        replace_file(log / INTENT, [json.dumps({"place": to, "path": path}).encode()])
        try:
            place.write(path, data)
            part, filters = describe(
                ordered, events.schema, data, first, time, lookup, part_path(log, first), to, path, written
            )
            _check(place, path, part)
            if lookup:
                save_keys(filters_base(part.note), filters)
            save_part(part)
        except BaseException:
            for file in note_files(
                part_path(log, first)
            ):  # before the Parquet file that they may name already
                remove_file(file)
            with contextlib.suppress(OSError, StoreError):  # the next opening or `tier` does it
                clean_up(log, places, [])
            raise
        remove_file(log / INTENT)
        return part
    except (OSError, pa.ArrowException) as cause:
        raise StoreError(
            f"stream {name!r}: events {first} to {after - 1} stay where they are, they cannot go to {to!r}: {cause}"
        ) from cause


def clean_up(log: Path, places: Places, parts: Sequence[Part], *, only_local: bool = False) -> str | None:
    """Remove what a broken `write_part` has left; returns the file that is gone, if there was one."""
    try:
        known = json.loads((log / INTENT).read_bytes())
    except FileNotFoundError:
        return None
    place, path = places.open(known["place"]), known["path"]
    gone = None
    if not any((part.place, part.path) == (known["place"], path) for part in parts):
        if only_local and local_path(place.filesystem, place.at(path)) is None:
            return None
        gone = place.at(path)
        place.remove(path)
    remove_file(log / INTENT)
    return gone


def _check(place: Place, path: str, part: Part) -> None:
    """Every byte is there as it was written."""
    with place.filesystem.open_input_file(place.at(path)) as file:
        data = file.read_buffer()
    if data.size != part.size or not np.array_equal(block_sums(data), part.sums):
        raise store_error("what was written does not come back from", place.at(path))
