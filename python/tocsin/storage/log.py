"""One stream on disk: a folder of segments, one of them growing; append, make durable, roll.

    streams/trades/schema.arrow                     schema, time column (schema.py)
                   00000000000000000000.arrow       sealed
                   00000000000000000000.index
                   00000000000000409600.arrow       growing: the last one

Append, step by step: (1) outside the lock make the batch fit, serialise it, sum it, find its time range; (2)
under the lock give it the next sequence and write its frame with one system call; (3) with durability
"commit" wait, outside the lock, until an fsync covers it. That fsync is shared: while one thread is in it,
others append, and the next thread's fsync covers all of theirs (group commit).

Invariants
- The file ends with the last whole frame that was accepted: any failure on the way cuts it back there, and
  the sequence is given out again. If even cutting fails, the log refuses appends until it succeeds.
- A scan sees batches below `_visible`: all accepted ones, with "commit" all durable ones.
- `_synced <= _next`; frames at or above `_synced` lie in the growing segment (sealing syncs).
- With "commit" a failed fsync takes back all that it should have covered, for every thread that waits for it:
  the kernel may have dropped those pages, a second fsync would prove nothing. In the other modes the events
  were already accepted: the failure is raised by the next append, sync or close, once. A segment is sealed while no
  fsync is under way (`_sync_lock` is held): the kernel tells a fault to one of two callers only.
- Parts, the events that went to Parquet (leaving.py, tiering.py), lie before all segments.
- A segment's name is the sequence the next event had when it was made, so sequences go on after reopening
  even if everything before was removed.

Lock order: `_leave_lock`, `_sync_lock`, then `_lock`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from time import monotonic as time_now
from time import time as wall_clock
from typing import Any

import numpy as np
import pyarrow as pa

from tocsin.errors import ClosedError, SchemaError, StoreError

from .files import (
    Piece,
    close_file,
    open_append,
    replace_file,
    store_error,
    sync_file,
    write_all,
)
from .frame import END_OF_STREAM, NO_TIMES, Frame, encode_batch, encode_schema
from .index import OFFSET, ROWS, SEQUENCE, Matrix, save_index
from .keys import load_keys
from .leaving import Leaving
from .lookup import Lookup, make_entry
from .options import LogOptions
from .part import Part, filters_base
from .places import Places
from .query import Query, View
from .ranges import Table, load_ranges
from .recovery import Recovered, Refresher, recover_segments
from .retention import Retention
from .scan import scan_batches
from .schema import Fitter, has_dictionaries, stored_schema
from .segment import Segment, segment_path
from .times import TimeValue, parse_bound, time_range


class Log(Leaving):
    """One stream's log. `Store` makes it; `append` may be called from several threads.

    Args:
        folder: the stream's folder; it exists and holds schema.arrow.
        options: how it is written.
        on_dirty: called (once per change from clean to dirty) when there is something to sync by and by.
        on_sealed: called when a segment was sealed and the stream has a retention.
        places: where its tiered events may lie.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        schema: pa.Schema,
        time: str | None,
        lookup: tuple[str, ...],
        *,
        options: LogOptions,
        read_only: bool,
        on_dirty: Callable[[Log], None],
        on_sealed: Callable[[Log], None],
        places: Places,
    ) -> None:
        self.folder, self.name, self.schema, self.time, self.lookup = folder, name, schema, time, lookup
        self._lookup = [schema.get_field_index(column) for column in lookup]
        self._time_index = -1 if time is None else schema.get_field_index(time)
        self._has_dictionaries = any(has_dictionaries(field.type) for field in schema)
        self._stored_schema = stored_schema(name, schema, time, lookup)
        self._fitter = Fitter(name, schema)
        self._options, self._durability, self._ipc = options, options.durability, options.ipc
        self._on_dirty, self._on_sealed = on_dirty, on_sealed
        self._floors: dict[str, int] = {}
        self.retention: Retention | None = None
        self.failure: StoreError | None = None
        self._places = places
        self._lock = threading.Lock()
        self._sync_lock = threading.Lock()
        self._leave_lock = threading.Lock()
        self._fd = -1
        self._dirty = self._uncut = self._closed = self._closing = False
        self._cuts: list[int] = []  # from which sequence on events were taken back; how many times: the epoch
        self._lost: StoreError | None = None  # why, the last time
        self._failure: StoreError | None = None  # of a background sync, not yet told
        self.recovered: list[Recovered] = []
        self._refresher: Refresher | None = None
        self._known_parts: dict[tuple[Path, int], Part] = {}
        if read_only:
            self._refresher = Refresher(folder)
            self._segments = self._refresher.segments
        else:
            self._segments, self.recovered = recover_segments(folder, name)
        self._load_parts()
        if not read_only:
            self._recover_parts()
        self._next = self._synced = self._end()
        self._keys: dict[Path, tuple[Matrix, Piece]] = {}  # of sealed segments
        self._ranges: dict[Path, Table] = {}
        self._started = 0.0  # when the growing segment was begun, or its store opened; of time.monotonic
        if self._segments and not read_only:
            # As old as its last write: nothing says when it was begun.
            last = self._segments[-1].path
            try:
                self._started = time_now() - max(0.0, wall_clock() - last.stat().st_mtime)
            except OSError as cause:
                raise store_error(f"stream {name!r}: cannot read", last, cause) from cause

    # -- writing ---------------------------------------------------------------------------------

    def append(self, data: Any) -> int:
        """Store the events; returns the sequence of the first one (of the next one, if there are none).

        Raises SchemaError (the data do not fit) or StoreError (disk); either way nothing was stored.
        """
        if self._refresher is not None:
            raise StoreError(f"stream {self.name!r}: the store was opened with read_only=True")
        frames = [self._encode(batch) for batch in self._fitter.batches(data) if batch.num_rows]
        size = sum(frame.size for frame in frames)
        may_seal = False
        while True:
            with self._sync_lock if may_seal else nullcontext(), self._lock:
                self._check_open()
                self._tell_failure()
                first = self._next
                if not frames:
                    return first
                if self._is_full(size) and not may_seal:
                    may_seal = True
                    continue
                self._make_room(size)
                self._write(frames)
                after, epoch = self._next, len(self._cuts)
                wake = not self._dirty and self._durability == "interval"
                self._dirty = True
            break
        if self._durability == "commit":
            self._sync_to(after, epoch)
        elif wake:
            self._on_dirty(self)
        return first

    def sync(self) -> None:
        """Return when everything appended so far is on the device."""
        with self._lock:
            self._check_open()
            self._tell_failure()
            after, epoch = self._next, len(self._cuts)
        self._sync_to(after, epoch)

    def sync_in_background(self) -> None:
        """`sync` for the flusher: a failure is kept for the next caller instead of raised."""
        with self._lock:
            if self._closed:
                return
            after, epoch = self._next, len(self._cuts)
        try:
            self._sync_to(after, epoch)
        except StoreError as failure:
            with self._lock:
                self._failure = failure

    def seal(self) -> None:
        """End the growing segment: any Arrow reader finds a complete stream. The next append starts one."""
        with self._sync_lock, self._lock:
            self._check_open()
            self._tell_failure()
            if self._segments and not self._segments[-1].sealed and self._segments[-1].index.count:
                self._seal()

    def close(self) -> None:
        """Sync, write the index, let the file go. A second call does nothing. What leaves waits for the next time."""
        self._closing = True
        with self._leave_lock:
            self._close()

    def _close(self) -> None:
        try:
            if self._refresher is None and not self._closed:
                self.sync()
                with self._lock:  # an index vouches for what it lists: only for what was synced
                    if self._uncut:
                        self._cut_back()
                    if self._fd >= 0 and not self._uncut and self._synced == self._next:
                        last = self._segments[-1]
                        save_index(last.path, last.index, last.end)
                        if last.lookup is not None:
                            last.lookup.save(last.path)
        except OSError as cause:
            if isinstance(cause, StoreError):
                raise
            raise store_error(f"stream {self.name!r}: cannot close", self.folder, cause) from cause
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let the file go as it is: after a failure, and in a forked child."""
        self._closed = True
        self._keys.clear()
        self._ranges.clear()
        if self._fd >= 0:
            close_file(self._fd)
            self._fd = -1

    def _encode(self, batch: pa.RecordBatch) -> Frame:
        times = NO_TIMES if self._time_index < 0 else time_range(batch.column(self._time_index))
        try:
            frame = encode_batch(batch, times, has_dictionaries=self._has_dictionaries, options=self._ipc)
            entries = tuple(make_entry(batch.column(at)) for at in self._lookup)
            return frame._replace(lookup=entries) if entries else frame
        except pa.ArrowException as cause:
            raise SchemaError(
                f"stream {self.name!r}: the batch cannot be written as Arrow IPC: {cause}"
            ) from cause

    def _write(self, frames: list[Frame]) -> None:
        """Write the frames behind the last one, or leave everything as it was. The lock is held."""
        live = self._segments[-1]
        before = (live.index.count, live.end, self._next)
        sequence, pieces = self._next, []
        for frame in frames:
            pieces += frame.pieces(sequence)
            sequence += frame.rows
        try:
            write_all(self._fd, pieces)
            for frame in frames:
                live.index.append((live.end, frame.size, self._next, frame.rows, *frame.time_range))
                if live.lookup is not None:
                    live.lookup.append(self._next, frame.lookup)
                live.end += frame.size
                self._next += frame.rows
        except BaseException as fault:  # an interrupt between the pieces must not leave half a batch either
            count, live.end, self._next = before
            live.index.drop_from(count)
            if live.lookup is not None:
                live.lookup.drop_from(count)
            self._cut_back()
            if isinstance(fault, OSError):
                raise store_error(
                    f"stream {self.name!r}: cannot append, nothing of the batch was stored; file",
                    live.path,
                    fault,
                ) from fault
            raise

    def _cut_back(self) -> None:
        """Cut the growing file to its last whole frame; remembered if that fails."""
        live = self._segments[-1]
        try:
            if self._fd < 0:
                self._fd = open_append(live.path)
            os.ftruncate(self._fd, live.end)
            self._uncut = False
        except OSError:
            self._uncut = True

    def _make_room(self, size: int) -> None:
        """Have a growing segment that can take this many bytes. The lock is held."""
        if self._uncut:
            self._cut_back()
            if self._uncut:
                raise store_error(
                    f"stream {self.name!r}: an append failed earlier and its bytes still cannot be cut off",
                    self._segments[-1].path,
                )
        live = self._segments[-1] if self._segments else None
        if live is None or live.sealed:
            self._start_segment()
        elif self._is_full(size):
            self._seal()
            self._start_segment()
        elif live.end == 0:  # recovery left nothing but its name
            self._segments.pop()
            self._start_segment()
        elif self._fd < 0:
            try:
                self._fd = open_append(live.path)
                if self._lookup and live.lookup is None:
                    live.lookup = Lookup.of_growing(live.path, len(self._lookup), live.index.view())
            except OSError as cause:
                raise store_error(f"stream {self.name!r}: cannot append to", live.path, cause) from cause

    def _is_full(self, size: int) -> bool:
        """Whether the growing segment is to be sealed before so many bytes more. The lock is held."""
        live = self._segments[-1] if self._segments else None
        if live is None or live.sealed or not live.index.count:
            return False
        return live.end + size > self._options.segment_bytes or self._is_old()

    def _is_old(self) -> bool:
        seconds = self._options.segment_seconds
        return seconds is not None and time_now() - self._started >= seconds

    def _start_segment(self) -> None:
        path = segment_path(self.folder, self._next)
        head = encode_schema(self._stored_schema, self._next)
        try:
            replace_file(path, [head])  # whole or not at all
            self._fd = open_append(path)
        except OSError as cause:
            raise store_error(f"stream {self.name!r}: cannot start segment", path, cause) from cause
        lookup = Lookup(len(self._lookup)) if self._lookup else None
        self._segments.append(Segment(path, self._next, end=len(head), lookup=lookup))
        self._started = time_now()

    def _seal(self) -> None:
        """Mark the growing segment's end and make it durable. Both locks are held; on failure it grows on."""
        live = self._segments[-1]
        try:
            if self._fd < 0:
                self._fd = open_append(live.path)
            write_all(self._fd, [END_OF_STREAM])
        except OSError as cause:
            self._cut_back()
            raise store_error(f"stream {self.name!r}: cannot seal segment", live.path, cause) from cause
        try:
            sync_file(self._fd)
        except OSError as cause:
            self._cut_back()
            raise self._sync_failed(self._next, cause) from cause
        close_file(self._fd)
        self._fd = -1
        live.sealed = True
        self._synced = self._next
        try:
            save_index(live.path, live.index, live.end)
            if live.lookup is not None:
                live.lookup.save(live.path)
                live.lookup = None  # from now on as a reader finds it
        except OSError:
            pass  # it only spares a walk, and recovery makes it anew
        if self.retention is not None:
            self._on_sealed(self)

    def _sync_to(self, sequence: int, epoch: int) -> None:
        """Return when everything before the sequence is durable; one fsync serves all who wait."""
        with self._sync_lock:
            with self._lock:
                if min(self._cuts[epoch:], default=sequence) < sequence:
                    raise StoreError(str(self._lost)) from self._lost
                if self._synced >= sequence or self._fd < 0:
                    return
                target = self._next
                self._dirty = False
                try:
                    fd = os.dup(self._fd)  # who appends may close its own meanwhile
                except OSError as cause:
                    raise self._sync_failed(target, cause) from cause
            try:
                sync_file(fd)
            except OSError as cause:
                with self._lock:
                    raise self._sync_failed(target, cause) from cause
            finally:
                close_file(fd)
            with self._lock:
                self._synced = max(self._synced, target)

    def _sync_failed(self, target: int, cause: OSError) -> StoreError:
        """What a failed fsync means for the events in [_synced, target). Both locks are held."""
        live = self._segments[-1]
        if self._durability != "commit":
            return store_error(
                f"stream {self.name!r}: events {self._synced} to {target - 1} were accepted "
                "but may not survive a power failure; cannot sync",
                live.path,
                cause,
            )
        kept = len(live.index.before(self._synced))
        if kept < live.index.count:
            live.end = int(live.index.view()[kept, OFFSET])
            live.index.drop_from(kept)
            if live.lookup is not None:
                live.lookup.drop_from(kept)
            self._next = self._synced
            self._cut_back()
        self._cuts.append(self._synced)
        what = "the batch was not stored"
        if self._uncut:
            what += ", its bytes cannot be cut off for now, and after a crash it may be there"
        self._lost = store_error(f"stream {self.name!r}: cannot sync, {what}; file", live.path, cause)
        return self._lost

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"stream {self.name!r}: the store is closed")

    def _tell_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    # -- reading ---------------------------------------------------------------------------------

    def snapshot(self) -> list[Part | View]:
        """What a scan that starts now may read."""
        with self._lock:
            self._check_open()
            if self._refresher is not None:
                self._refresher.refresh()
                self._segments = self._refresher.segments
                self._load_parts()  # after the segments: what has left those is among these
                self._next = self._end()
            visible = self._synced if self._durability == "commit" and self._refresher is None else self._next
            return [
                *self._parts,
                *(
                    View(s.path, s.sealed, s.first_sequence, s.index.before(visible), s.lookup)
                    for s in self._segments
                    if not self._is_covered(s)
                ),
            ]

    def filters_of(self, view: View) -> tuple[Matrix, Piece] | None:
        """The filters of its batches, or None. Those of a sealed segment are looked through once."""
        with self._lock:
            if view.lookup is not None:  # of the growing segment
                return view.lookup.filters.snapshot()
            known = self._keys.get(view.path)
        if known is None:
            known = load_keys(view.path, len(self._lookup))
            if known is not None:
                self._remember(self._keys, view.path, known)
        return known

    def read(self, first: int, stop: int, *, sequence_name: str | None = None) -> Iterator[pa.RecordBatch]:
        """The events first to stop - 1, in the batches in which they were appended, cut at the bounds.

        sequence_name: of a last column with their sequences; None: without it.
        """
        asked = self.query(first_sequence=first, stop_sequence=stop, sequence_name=sequence_name)
        return scan_batches(self.snapshot(), asked)

    def behind(self, sequence: int) -> int:
        """Where to read on if the event `sequence` cannot be read: at the next batch, or Parquet file."""
        for view in self.snapshot():
            spans = (
                [(view.first, view.after)]
                if isinstance(view, Part)
                else [(first, first + rows) for first, rows in view.rows[:, [SEQUENCE, ROWS]].tolist()]
            )
            for first, after in spans:
                if first > sequence:
                    return int(first)
                if after > sequence:
                    return int(after)
        return self._next

    def batches(self, first: int, stop: int) -> int:
        """How many batches `read` gives, about: events in Parquet come in batches of another size."""
        count = 0
        for view in self.snapshot():
            if isinstance(view, Part):
                count += view.first < stop and view.after > first
                continue
            starts = view.rows[:, SEQUENCE]
            count += int(np.count_nonzero((starts < stop) & (starts + view.rows[:, ROWS] > first)))
        return count

    def first_at(self, start: TimeValue) -> int:
        """The sequence of the first event whose time is `start` (as in `scan`) or later; the next one's, if none is.

        Raises SchemaError for a time that does not fit, or a stream without one.
        """
        if self.time is None:
            raise SchemaError(
                f"stream {self.name!r} has no time column, so it has no event of {start!r}; give True for all"
            )
        bound = parse_bound(start, self.schema.field(self.time).type, "start")
        query = self.query(time_column=self._time_index, start=bound, columns=[], sequence_name="sequence")
        for batch in scan_batches(self.snapshot(), query):
            return int(batch.column(0)[0].as_py())
        return self._next

    def part_filters_of(self, part: Part) -> tuple[Matrix, Piece] | None:
        """The filters of a part's row groups, or None. They are looked through once."""
        base = filters_base(part.note)
        with self._lock:
            known = self._keys.get(base)
        if known is None:
            try:
                known = load_keys(base, len(self.lookup))
            except OSError:
                return None  # it only spares reading
            if known is not None:
                with self._lock:
                    if any(other.note == part.note for other in self._parts):
                        self._keys[base] = known
        return known

    def ranges_of(self, view: View) -> Table | None:
        """The ranges of its batches, or None. Those of a sealed segment are looked through once."""
        with self._lock:
            if view.lookup is not None:
                return view.lookup.ranges.table()
            known = self._ranges.get(view.path)
        if known is None:
            known = load_ranges(view.path, len(self._lookup))
            if known is not None:
                self._remember(self._ranges, view.path, known)
        return known

    def _remember(self, known: dict[Path, Any], path: Path, found: Any) -> None:
        """For as long as the segment is there; that of a growing one may still be written anew."""
        with self._lock:
            if any(segment.path == path and segment.sealed for segment in self._segments):
                known[path] = found

    def read_until_now(self, first: int) -> tuple[int, Iterator[pa.RecordBatch]]:
        """What a scan would see now, from sequence `first` on; and the sequence behind it, where the next append begins
        (or further on)."""
        views = self.snapshot()
        last = views[-1] if views else None
        after = 0 if last is None else last.after if isinstance(last, Part) else last.first_sequence
        if isinstance(last, View) and len(last.rows):
            after = int(last.rows[-1, SEQUENCE] + last.rows[-1, ROWS])
        return after, scan_batches(views, self.query(first_sequence=first))

    def query(self, **asked: Any) -> Query:
        """A question to this log."""
        return Query(
            self.name,
            self.schema,
            filters_of=self.filters_of,
            ranges_of=self.ranges_of,
            part_filters_of=self.part_filters_of,
            places=self._places,
            parts_of=self.parts_now,
            **asked,
        )

    def parts_now(self) -> list[Part]:
        """The parts there are at this moment."""
        with self._lock:
            if self._refresher is not None:
                self._load_parts()
            return self._parts

    @property
    def first_sequence(self) -> int:
        """The sequence of the oldest event that was not taken away; the next one's, if there is none."""
        views = self.snapshot()
        if not views:
            return self._next
        return views[0].first if isinstance(views[0], Part) else views[0].first_sequence

    @property
    def next_sequence(self) -> int:
        """The sequence that the next event will get."""
        return self._next

    @property
    def durable_sequence(self) -> int:
        """Everything before this sequence is on the device; a reader's log cannot know."""
        return self._synced

    @property
    def read_only(self) -> bool:
        """Whether it is a reader's: its writer may be another process."""
        return self._refresher is not None

    @property
    def closed(self) -> bool:
        """Whether it was closed, with its store."""
        return self._closed
