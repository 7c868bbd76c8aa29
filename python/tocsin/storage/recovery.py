"""Opening a log: what is there, what of it counts, what is cut.

A writer (`recover_segments`), holding the store's lock, looks at every segment:
- An intact index says where the batches are up to the byte it covers; what lies behind is walked
  (segment.py), frame
  by frame, with verification of the bodies in the last segment, the only one that can have a torn tail.
- The torn tail, everything behind the last whole frame that no index vouches for, is cut off and reported.
  What was torn was never acknowledged with durability "commit"; else it is what a power failure took.
- A damaged batch with whole ones behind it is no torn tail. It stays, its sequences stay taken, and the scan
  that meets it raises.
- A last segment of which not even the schema message is whole holds no event; it keeps its name, and with it
  the next sequence, and the first append writes it anew.

A reader beside a living writer (`Refresher`) changes nothing: it looks again before each scan, at new files
and at what was added to the last one, and takes whole frames only.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .files import close_file, open_append, open_read, store_error, sync_file
from .frame import END_OF_STREAM
from .index import LENGTH, OFFSET, ROWS, SEQUENCE, BatchIndex, load_index, save_index
from .segment import Segment, list_segments, walk


@dataclass(frozen=True, slots=True)
class Recovered:
    """Something that opening a store put right.

    Attributes:
        stream: the stream's name.
        file: the file it was found in.
        what: in words.
        bytes: how many bytes were cut off; 0 if none.
        rows: how many events they held, as far as heads that were whole told it.
    """

    stream: str
    file: str
    what: str
    bytes: int = 0
    rows: int = 0


def recover_segments(folder: Path, stream: str) -> tuple[list[Segment], list[Recovered]]:
    """All segments of a log, the last one ready to be appended to; and what was done to them."""
    try:
        found = list_segments(folder)
    except OSError as cause:
        raise store_error(f"stream {stream!r}: cannot read", folder, cause) from cause
    segments: list[Segment] = []
    recovered: list[Recovered] = []
    for number, (first, path) in enumerate(found):
        try:
            segments.append(_recover(first, path, stream, number == len(found) - 1, recovered))
        except OSError as cause:
            raise store_error(f"stream {stream!r}: cannot open segment", path, cause) from cause
    return segments, recovered


def _recover(first: int, path: Path, stream: str, last: bool, recovered: list[Recovered]) -> Segment:
    segment = Segment(path, first)
    known = load_index(path)
    if known is not None:
        segment.index, segment.end = known
    elif path.with_suffix(".index").exists():
        recovered.append(Recovered(stream, str(path.with_suffix(".index")), "a damaged index was made anew"))
    fd = open_read(path)
    try:
        size = os.fstat(fd).st_size
        if size < segment.end:
            # The index vouches for more than is there: no torn tail. Nothing may be written behind it.
            segment.sealed = True
            recovered.append(
                Recovered(stream, str(path), f"{segment.end - size} bytes are missing at the end")
            )
            return segment
        walked = walk(fd, segment.end, segment.next_sequence, verify=last)
    finally:
        close_file(fd)
    for entry in walked.entries:
        segment.index.append(entry)
    segment.end = max(segment.end, walked.end)
    segment.sealed = walked.sealed or not last
    torn = size - segment.end - (len(END_OF_STREAM) if walked.sealed else 0)
    if last and torn:
        os.truncate(path, segment.end)
        recovered.append(Recovered(stream, str(path), "a torn tail was cut off", torn, walked.torn_rows))
    if last and (torn or walked.entries):
        _sync(path)  # what is shown from now on as stored must not depend on a dead writer's page cache
    if segment.sealed and (known is None or walked.entries):
        save_index(path, segment.index, segment.end)
    return segment


def _sync(path: Path) -> None:
    fd = open_append(path)
    try:
        sync_file(fd)
    finally:
        close_file(fd)


class Refresher:
    """The segments of a log that another process may be writing, as far as they are whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.segments: list[Segment] = []
        self.refresh()

    def refresh(self) -> None:
        """Look again. What earlier scans were given stays as it was."""
        known = {segment.first_sequence: segment for segment in self.segments}
        try:
            found = list_segments(self._folder)
            segments = []
            for first, path in found:
                segment = known.get(first) or _open_known(first, path)
                if not segment.sealed:
                    segment = _extend(segment, sealed_by_next=first != found[-1][0])
                segments.append(segment)
        except OSError as cause:
            raise store_error("cannot read the log", self._folder, cause) from cause
        self.segments = segments


def _open_known(first: int, path: Path) -> Segment:
    known = load_index(path)
    if known is None:
        return Segment(path, first)
    index, covered = known
    return Segment(path, first, index, covered, vouched=index.count)


def _extend(segment: Segment, *, sealed_by_next: bool) -> Segment:
    """The segment with what was added to it since; the one given is left as it is."""
    rows = segment.index.view()
    fd = open_read(segment.path)
    try:
        kept = _still_there(fd, segment)
        start = int(rows[kept - 1, OFFSET] + rows[kept - 1, LENGTH]) if kept else 0
        sequence = int(rows[kept - 1, SEQUENCE] + rows[kept - 1, ROWS]) if kept else segment.first_sequence
        walked = walk(fd, start, sequence, verify=False)
    finally:
        close_file(fd)
    index = BatchIndex(rows[:kept].copy())
    for entry in walked.entries:
        index.append(entry)
    sealed = walked.sealed or sealed_by_next
    return Segment(segment.path, segment.first_sequence, index, walked.end, sealed, segment.vouched)


def _still_there(fd: int, segment: Segment) -> int:
    """How many known rows hold: a writer takes batches back whose fsync failed, and puts others there."""
    count = segment.index.count
    if count == segment.vouched:
        return count
    last = segment.index.view()[-1]
    again = walk(fd, int(last[OFFSET]), int(last[SEQUENCE]), verify=False)
    return count if again.entries and again.entries[0] == tuple(last.tolist()) else segment.vouched
