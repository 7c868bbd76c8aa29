"""One file of a log: an Arrow IPC stream, named by the sequence of its first event.

    00000000000000012288.arrow    schema message, frame, frame, frame ... [end-of-stream]
    00000000000000012288.index    its batches (index.py), once it is sealed

IPC stream, not IPC file: a stream is only ever appended to, and what was appended stays readable after kill
-9; a file's footer would have to be written last. Readers in other processes (pyarrow.ipc.open_stream,
polars.read_ipc_stream, ...) take a sealed segment as it is, and most of them a growing one too.

`walk` goes from frame to frame by their heads. Where a head is damaged it looks for the next whole head
further on, so that one bad page costs the batches on it and no others; what lies behind the last whole frame
is the torn tail. `SegmentReader` fetches frames: from a memory map when the segment is sealed, by plain reads
while it grows (a growing file may be cut back after a failed write, and touching a map behind the end of its
file kills the process).

Cost of a walk: one small read per frame; with `verify` it reads everything, at the speed of the checksum.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from .checksum import body_checksum
from .files import close_file, open_read, read_at
from .frame import (
    BATCH,
    END_OF_STREAM,
    MAGIC,
    PREFIX_BYTES,
    RECORD_BYTES,
    SCHEMA,
    Head,
    metadata_size,
    parse_head,
)
from .index import LENGTH, OFFSET, ROWS, SEQUENCE, BatchIndex, Entry
from .lookup import Lookup

# One read fetches the head of most messages; a wider schema takes a second read.
_PROBE_BYTES = 4096
_SEARCH_BYTES = 1 << 20
SUFFIX = ".arrow"


@dataclass(slots=True)
class Segment:
    """What a log knows of one of its files."""

    path: Path
    first_sequence: int
    index: BatchIndex = field(default_factory=BatchIndex)
    end: int = 0  # bytes up to the end of the last whole frame
    sealed: bool = False
    vouched: int = 0  # so many index rows were read from an intact index file: nobody takes those back
    lookup: Lookup | None = None  # of a growing segment with look-up columns

    @property
    def next_sequence(self) -> int:
        """The sequence behind the last event."""
        if not self.index.count:
            return self.first_sequence
        last = self.index.view()[-1]
        return int(last[SEQUENCE] + last[ROWS])


@dataclass(slots=True)
class Walk:
    """What a walk found from its start to the end of the file."""

    entries: list[Entry]
    end: int  # behind the last whole frame
    sealed: bool  # the end-of-stream mark stands there
    torn_rows: int  # announced by whole heads behind `end`


def segment_path(folder: Path, first_sequence: int) -> Path:
    """The file whose first event has this sequence."""
    return folder / f"{first_sequence:020d}{SUFFIX}"


def list_segments(folder: Path) -> list[tuple[int, Path]]:
    """(first sequence, path) of all segment files, in order."""
    found = []
    for entry in os.scandir(folder):
        stem, suffix = os.path.splitext(entry.name)
        if suffix == SUFFIX and len(stem) == 20 and stem.isascii() and stem.isdigit():
            found.append((int(stem), folder / entry.name))
    return sorted(found)


def walk(fd: int, start: int, sequence: int, *, verify: bool) -> Walk:
    """List the frames from `start` on, which must not begin before `sequence`.

    With `verify` bodies are checked too, and bad ones at the very end belong to the torn tail: after a power
    failure a file can have its full length and pages that were never written. Bad ones that a good one
    follows are listed, and reported when they are read.
    """
    size = os.fstat(fd).st_size
    entries: list[Entry] = []
    whole: list[bool] = []
    torn_rows = 0
    position = frame = start
    good = True
    sealed = False
    while position < size:
        head = _head_at(fd, position, size)
        if head is None or head.sequence < sequence or (head.kind == SCHEMA and position):
            if size - position == len(END_OF_STREAM) and read_at(fd, position, 8) == END_OF_STREAM:
                sealed = True
                break
            found = _next_head(fd, position + 1, size, sequence)
            if found is None:
                break
            position = frame = found
            good = True
            continue
        if position + head.size > size:
            torn_rows += head.rows
            break
        if verify:
            body = memoryview(read_at(fd, position + head.body_offset, head.body))
            good = good and body_checksum(body) == head.body_sum
        position += head.size
        if head.kind == SCHEMA:
            start = frame = position
        elif head.kind == BATCH:
            entries.append((frame, position - frame, head.sequence, head.rows, head.time_min, head.time_max))
            whole.append(good)
            sequence = head.sequence + head.rows
            frame = position
            good = True
    while whole and not sealed and not whole[-1]:
        torn_rows += entries.pop()[ROWS]
        whole.pop()
    end = entries[-1][OFFSET] + entries[-1][LENGTH] if entries else start
    return Walk(entries, end, sealed, torn_rows)


class SegmentReader:
    """Reads frames of one segment during one scan; close it (or leave it) when done."""

    def __init__(self, path: Path, sealed: bool) -> None:
        self._fd = -1
        self._whole: pa.Buffer | None = None
        if sealed:
            with pa.memory_map(str(path), "r") as mapped:
                self._whole = mapped.read_buffer()  # keeps the map for as long as a batch from it lives
        else:
            self._fd = open_read(path)

    def frame(self, offset: int, length: int) -> pa.Buffer:
        """The bytes of a frame; fewer where the file ends early."""
        if self._whole is None:
            return pa.py_buffer(read_at(self._fd, offset, length))
        offset = min(offset, self._whole.size)
        return self._whole.slice(offset, min(length, self._whole.size - offset))

    def close(self) -> None:
        """Let the file go; batches that were read live on."""
        self._whole = None
        if self._fd >= 0:
            close_file(self._fd)
            self._fd = -1


def _head_at(fd: int, position: int, size: int) -> Head | None:
    block = read_at(fd, position, min(_PROBE_BYTES, size - position))
    needed = int.from_bytes(block[4:8], "little") + PREFIX_BYTES
    if _PROBE_BYTES < needed <= size - position:
        block = read_at(fd, position, needed)
    return parse_head(block)


def _next_head(fd: int, position: int, size: int, sequence: int) -> int | None:
    """Where the next whole dictionary or batch of this stream begins, at or behind the position."""
    while position < size:
        block = read_at(fd, position, _SEARCH_BYTES + RECORD_BYTES)
        at = block.find(MAGIC)
        while 0 <= at <= len(block) - RECORD_BYTES:
            metadata = metadata_size(block[at : at + RECORD_BYTES])
            if metadata is not None:
                start = position + at - metadata - PREFIX_BYTES
                head = _head_at(fd, start, size) if start >= 0 else None
                if head is not None and head.kind != SCHEMA and head.sequence >= sequence:
                    return start
            at = block.find(MAGIC, at + 1)
        position += _SEARCH_BYTES
    return None
