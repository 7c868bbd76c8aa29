"""How the oldest events leave a log: removed (`trim`), or to Parquet and read from there (`tier`).

`hold` keeps what somebody still needs, such as a checkpoint: no call, and no retention (retention.py), takes events
at or behind the smallest sequence held. Retention runs on a thread of its own whenever a segment is sealed
(`retain`). Its failures take nothing away; they are logged once, and kept for `failure`, until it succeeds.

Whole files go, oldest first, as long as one of the reasons holds (tiering.py). Parts, the Parquet files, are older
than all segments. The last segment stays: its name keeps the next sequence. One call at a time (`_leave_lock`);
appends and scans wait for none of it, as the log's own lock is taken only to look and to change the lists.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from time import time_ns

import pyarrow as pa

from tocsin.errors import ClosedError, StoreError

from .files import Piece, remove_file, store_error, sync_folder
from .index import TIME_MAX, TIME_MIN, Matrix, index_path
from .lookup import remove_lookup
from .options import LogOptions
from .part import Part, filters_base, load_parts, note_files
from .places import Places
from .query import Query, View
from .ranges import Table
from .recovery import Recovered, Refresher
from .retention import Retention, is_whole
from .scan import scan_batches
from .segment import Segment
from .tiering import INTENT, Reasons, clean_up, write_part

_LOGGER = logging.getLogger("tocsin.storage")


class Leaving:
    """What `Log` has for this; its fields are set there."""

    folder: Path
    name: str
    schema: pa.Schema
    time: str | None
    lookup: tuple[str, ...]
    recovered: list[Recovered]
    _options: LogOptions
    _places: Places
    _lock: threading.Lock
    _leave_lock: threading.Lock
    _refresher: Refresher | None
    _segments: list[Segment]
    _parts: list[Part]
    _known_parts: dict[tuple[Path, int], Part]
    _keys: dict[Path, tuple[Matrix, Piece]]
    _ranges: dict[Path, Table]
    _floors: dict[str, int]
    retention: Retention | None
    failure: StoreError | None
    _closing: bool

    def _check_open(self) -> None:
        raise NotImplementedError

    def trim(self, reasons: Reasons, *, only_parts: bool = False) -> tuple[int, int]:
        """Removes the oldest parts and sealed segments. Returns (events, bytes) that are gone.

        A crash in the middle leaves a log that begins later, or a little too early, and perhaps a Parquet file that
        nobody knows of.
        """
        events = freed = 0
        with self._leave_lock:
            self._check_may_leave()
            while not self._closing and (part := self._take_part(reasons)) is not None:
                self._remove_part(part)
                events, freed = events + part.after - part.first, freed + part.size
            if self._parts or only_parts or self._closing:
                return events, freed
            try:
                while (leaving := self._take_segment(reasons)) is not None:
                    oldest, after, size = leaving
                    self._remove_segment(oldest)
                    events, freed = events + after - oldest.first_sequence, freed + size
            finally:
                if freed:
                    self._sync_folder()
        return events, freed

    def _sync_folder(self) -> None:
        try:
            sync_folder(self.folder)
        except OSError as cause:
            what = "files were removed, and a power failure may bring them back; cannot sync"
            raise store_error(f"stream {self.name!r}: {what}", self.folder, cause) from cause

    def tier(self, to: str, reasons: Reasons) -> tuple[int, int, int]:
        """Turns the oldest sealed segments to Parquet. Returns (events, bytes, files): what has left the log's
        folder, and how many Parquet files it is now."""
        events = freed = files = 0
        with self._leave_lock:
            self._check_may_leave()
            clean_up(self.folder, self._places, self._parts)
            while not self._closing and (group := self._group(reasons)):
                segments, after, size = group
                self._tier_group(to, segments, after)
                events, freed, files = events + after - segments[0].first_sequence, freed + size, files + 1
        return events, freed, files

    # -- by itself ---------------------------------------------------------------------------------

    def hold(self, name: str, sequence: int) -> int:
        """Keep the events from this sequence on in the log, until `release`, or `hold` with a later one under the
        same name.

        Returns the sequence of the oldest event that there is: if it is larger, some have gone before.
        """
        if not is_whole(sequence) or sequence < 0:
            raise StoreError(
                f"stream {self.name!r}: hold({name!r}, {sequence!r}): give a sequence, from 0 on"
            )
        with self._lock:
            self._check_open()
            self._floors[name] = int(sequence)
            if self._parts:
                return self._parts[0].first
            return self._segments[0].first_sequence if self._segments else self._end()

    def release(self, name: str) -> None:
        """What was held under this name may go; nothing held is none."""
        with self._lock:
            self._floors.pop(name, None)

    def stop_leaving(self) -> None:
        """Finish the file that is being moved, and none after it: the log is about to be closed."""
        self._closing = True

    @property
    def floors(self) -> dict[str, int]:
        """What is held, by name."""
        with self._lock:
            return dict(self._floors)

    def retain(self) -> None:
        """Let go what the stream's retention says. Raises StoreError as `tier` and `trim` do."""
        wanted = self.retention
        if wanted is None:
            return
        if wanted.tier_to is None:
            self.trim(self._older_than(wanted.keep, wanted.keep_bytes))
            return
        self.tier(wanted.tier_to, self._older_than(wanted.keep, wanted.keep_bytes))
        if wanted.tier_keep is not None:
            self.trim(self._older_than(wanted.tier_keep, None), only_parts=True)

    def retain_in_background(self) -> None:
        """`retain` for the thread that does it."""
        try:
            self.retain()
            self.failure = None
        except ClosedError:
            return
        except Exception as cause:  # whatever it is, the thread and the stream go on
            known = cause if isinstance(cause, StoreError) else StoreError(f"stream {self.name!r}: {cause!r}")
            if str(known) != str(self.failure):
                _LOGGER.warning("retention of %s: %s", self.name, known)
            self.failure = known

    def _older_than(self, age: int | None, max_bytes: int | None) -> Reasons:
        if age is None:
            return Reasons(max_bytes=max_bytes)
        if self.time is None:
            return Reasons(max_bytes=max_bytes, written_before=time_ns() - age)
        with self._lock:
            spans = [_times(segment) for segment in self._segments] + [part.times for part in self._parts]
        newest = max((span[1] for span in spans if span is not None), default=None)
        return Reasons(before=None if newest is None else newest - age, max_bytes=max_bytes)

    def _may_go(self, after: int) -> bool:
        """Whether nobody holds events before this sequence. The lock is held."""
        return after <= min(self._floors.values(), default=after)

    # -- what is there -----------------------------------------------------------------------------

    def _end(self) -> int:
        """The sequence behind the last event."""
        if self._segments:
            return self._segments[-1].next_sequence
        return self._parts[-1].after if self._parts else 0

    def _load_parts(self) -> None:
        """Look for parts; those that were read before are taken as they are."""
        try:
            parts, self._known_parts = load_parts(self.folder, len(self.lookup), self._known_parts)
        except OSError as cause:
            raise store_error(f"stream {self.name!r}: cannot read the log", self.folder, cause) from cause
        firsts = [part.first for part in parts] + [segment.first_sequence for segment in self._segments]
        self._parts = []
        for part in parts:
            if part.damaged:
                behind = [first for first in firsts if first > part.first]
                if part.first in firsts[len(parts) :]:
                    continue  # its segment is still there
                part = part.until(min(behind, default=part.first))
            self._parts.append(part)

    def _recover_parts(self) -> None:
        """Put right what a crash left of a move to Parquet."""
        try:
            gone = clean_up(self.folder, self._places, self._parts, only_local=True)
            if gone is not None:
                self.recovered.append(
                    Recovered(self.name, gone, "a Parquet file that was not finished was removed")
                )
        except (OSError, ValueError, pa.ArrowException) as cause:  # the next `tier` tries again, and raises
            note = f"a Parquet file that was not finished may still be there: {cause}"
            self.recovered.append(Recovered(self.name, str(self.folder / INTENT), note))
        try:
            leftovers = [segment for segment in self._segments[:-1] if self._is_covered(segment)]
            for segment in leftovers:
                self.recovered.append(
                    Recovered(
                        self.name, str(segment.path), "a segment that is in Parquet already was removed"
                    )
                )
                _remove_files(segment.path)
            self._segments = [segment for segment in self._segments if segment not in leftovers]
        except OSError as cause:
            raise StoreError(f"stream {self.name!r}: cannot finish a move to Parquet: {cause}") from cause

    def _is_covered(self, segment: Segment) -> bool:
        """Whether a part has its events."""
        first, after = segment.first_sequence, segment.next_sequence
        if not self._parts or first >= self._parts[-1].after:
            return False
        return any(not p.damaged and p.first <= first < after <= p.after for p in self._parts)

    # -- what goes ---------------------------------------------------------------------------------

    def _check_may_leave(self) -> None:
        with self._lock:
            self._check_open()
        if self._refresher is not None:
            raise StoreError(f"stream {self.name!r}: the store was opened with read_only=True")

    def _total(self, reasons: Reasons, *, with_parts: bool) -> int:
        """The bytes of all files, if it matters. The lock is held."""
        if reasons.max_bytes is None:
            return 0
        parts = sum(part.size for part in self._parts) if with_parts else 0
        return parts + sum(_size_and_age(segment)[0] for segment in self._segments)

    def _take_part(self, reasons: Reasons) -> Part | None:
        """The oldest part, if it goes; with that it is none of the log's any more."""
        with self._lock:
            self._check_open()
            if not self._parts:
                return None
            part, total = self._parts[0], self._total(reasons, with_parts=True)
            if not self._may_go(part.after) or not reasons.hold(part.times, part.after, total, part.written):
                return None
            if not part.damaged:
                self._places.open(part.place)  # or nothing goes
            self._parts = self._parts[1:]
            self._keys.pop(filters_base(part.note), None)
            return part

    def _remove_part(self, part: Part) -> None:
        try:
            for path in note_files(part.note):  # the note first: from then on nobody looks for the events
                remove_file(path)
            sync_folder(self.folder)
            if not part.damaged:
                self._places.open(part.place).remove(part.path)
        except (OSError, pa.ArrowException) as cause:
            if part.note.exists():
                with self._lock:
                    self._parts = [part, *self._parts]
            raise StoreError(
                f"stream {self.name!r}: cannot remove {part.path!r} in {part.place!r}: {cause}"
            ) from cause

    def _take_segment(self, reasons: Reasons) -> tuple[Segment, int, int] | None:
        """(segment, the sequence behind it, its bytes) of the oldest sealed one, if it goes; with that it is none of
        the log's any more: an interrupt may come between its files."""
        with self._lock:
            self._check_open()
            if len(self._segments) < 2 or not self._segments[0].sealed:
                return None
            oldest, after = self._segments[0], self._segments[1].first_sequence
            size, written = _size_and_age(oldest)
            total = self._total(reasons, with_parts=False)  # there are none any more
            if not self._may_go(after) or not reasons.hold(_times(oldest), after, total, written):
                return None
            self._keys.pop(oldest.path, None)
            self._ranges.pop(oldest.path, None)
            self._segments = self._segments[1:]
            return oldest, after, size

    def _remove_segment(self, oldest: Segment) -> None:
        try:
            _remove_files(oldest.path)
        except OSError as cause:
            if oldest.path.exists():
                with self._lock:
                    self._segments = [oldest, *self._segments]
            raise store_error(f"stream {self.name!r}: cannot remove", oldest.path, cause) from cause

    def _group(self, reasons: Reasons) -> tuple[list[Segment], int, int] | None:
        """The oldest sealed segments that go, together no more than one full one: ([segments], sequence behind,
        bytes)."""
        with self._lock:
            self._check_open()
            total, size = self._total(reasons, with_parts=False), 0
            group: list[Segment] = []
            for number, segment in enumerate(self._segments[:-1]):
                after = self._segments[number + 1].first_sequence
                own, written = _size_and_age(segment)
                if not segment.sealed or not self._may_go(after):
                    break
                if not reasons.hold(_times(segment), after, total - size, written):
                    break
                if group and size + own > self._options.segment_bytes:
                    break
                group.append(segment)
                size += own
            return (group, self._segments[len(group)].first_sequence, size) if group else None

    def _tier_group(self, to: str, segments: list[Segment], after: int) -> None:
        first = segments[0].first_sequence
        views: list[Part | View] = [View(s.path, True, s.first_sequence, s.index.view()) for s in segments]
        batches = list(scan_batches(views, Query(self.name, self.schema)))
        events = pa.Table.from_batches(batches, self.schema)
        if first + events.num_rows != after:
            raise StoreError(
                f"stream {self.name!r}: of events {first} to {after - 1} only {events.num_rows} are left; they stay"
            )
        written = max(_size_and_age(segment)[1] for segment in segments)
        part = write_part(
            self.folder, self.name, events, first, self.time, self.lookup, self._places, to, written
        )
        with self._lock:
            self._parts = [*self._parts, part]
            self._segments = self._segments[len(segments) :]
            for segment in segments:
                self._keys.pop(segment.path, None)
                self._ranges.pop(segment.path, None)
        try:
            for segment in segments:
                _remove_files(segment.path)
            sync_folder(self.folder)
        except OSError as cause:  # nobody reads them any more, and the next opening tries again
            raise store_error(f"stream {self.name!r}: cannot remove", self.folder, cause) from cause


def _times(segment: Segment) -> tuple[int, int] | None:
    rows = segment.index.view()
    timed = rows[rows[:, TIME_MIN] <= rows[:, TIME_MAX]]
    return (int(timed[:, TIME_MIN].min()), int(timed[:, TIME_MAX].max())) if len(timed) else None


def _size_and_age(segment: Segment) -> tuple[int, int]:
    """Its bytes, and when it was last written (nanoseconds since 1970); of a file that is lost 0."""
    try:
        found = segment.path.stat()
    except FileNotFoundError:
        return 0, 0
    except OSError as cause:
        raise store_error("cannot read", segment.path, cause) from cause
    return found.st_size, found.st_mtime_ns


def _remove_files(segment: Path) -> None:
    for path in (segment, index_path(segment)):
        remove_file(path)
    remove_lookup(segment)
