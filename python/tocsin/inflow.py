"""Inflow: how the accepted events of one stream go into the ring, in order of event time: live, and from the store.

    push, accepted and stored ──▶ put ──┬── in order ───────────────────────▶ ring
    log of the stream ──▶ replay ──▶────┘── late: aside; out of order: reorder.py, until the watermark lets them go

`snapshot` says how far that is: everything on which it depends what the triggers see next, so that `resume` and then
`replay` of what was accepted since give them the same batches with the same sequences. What `advance` is told is part
of that, so with a store it is logged too ("watermarks/<stream>": position of the next event, time), before it counts.

It knows no Stream and no Engine: threads of the engine's hold it, and an engine that nobody holds must be collected.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from tocsin_core.batch import Batch
from tocsin_core.intake import IN_ORDER, Intake, release_slot

from .errors import StoreError
from .reorder import Reorder
from .runtime import Runtime
from .storage import is_damage

MARKS_SCHEMA = pa.schema([("position", pa.int64()), ("time", pa.int64())])


class Place(NamedTuple):
    """A place between two events, and between two words of `advance`: how many of each are in the store before it."""

    stored: int
    marks: int


class Inflow:
    """The way in of one stream.

    lock: of the stream; who calls anything here holds it.  log: of its events, and open_marks gives that of what
    `advance` was told; None: there is no store.
    """

    def __init__(
        self, runtime: Runtime, name: str, schema: pa.Schema, intake: Intake, reorder: Reorder | None, lock: Any,
        log: Any = None, open_marks: Callable[[bool], Any] | None = None,
    ) -> None:  # fmt: skip
        self.runtime = runtime
        self.name = name
        self.schema = schema
        self.intake = intake
        self.reorder = reorder
        self.lock = lock
        self.log = log
        self.live = True  # False until what is in the store has been taken up: recovery.py
        self.at: Place | None = None  # how far `replay` has come
        self.lost: list[str] = []  # events that it could not read
        self._open_marks = open_marks

    # ------------------------------------------------------------------ live

    def put(self, slot: int | None, batch: Batch, base: int | None, order: int) -> int | None:
        """An accepted batch goes on, into the claimed slot if there is something to go; returns it if it is free."""
        intake = self.intake
        if order == IN_ORDER and not intake.lateness:
            assert slot is not None
            intake.put(slot, batch, base)
            return None
        reorder = self.reorder
        assert reorder is not None
        rows = reorder.sort_out(pa.record_batch(batch), intake.newest_time, intake.told_time)
        intake.see(batch)
        if not intake.lateness:
            if rows is None:
                return slot
            assert slot is not None
            intake.put(slot, intake.adopt(rows), base, seen=True)
            return None
        if rows is not None:
            reorder.hold(rows)
        return self._put_released(slot, reorder.release(intake.watermark))

    def release(self, time: int | None) -> None:
        """What waited for the watermark and is not later than `time` (None: all of it) goes on."""
        if self.reorder is not None:
            self._put_released(None, self.reorder.release(time))

    def note_advance(self, time: int) -> None:
        """Stores that the watermark is `time` from here on."""
        if self._open_marks is not None:
            position = self.log.next_sequence
            row = pa.RecordBatch.from_arrays(
                [pa.array([position], pa.int64()), pa.array([time], pa.int64())], schema=MARKS_SCHEMA
            )
            self._open_marks(True).append(row)

    def _put_released(self, slot: int | None, ready: list[pa.RecordBatch]) -> int | None:
        """Puts batches that waited into the ring, the first into `slot`; returns the slot if it is still free."""
        for rows in ready:
            if slot is None:
                slot = (
                    self.runtime.claim_accepted()
                )  # it is accepted already: it goes in, whatever `overflow` says
            self.intake.put(slot, self.intake.adopt(rows), seen=True)
            slot = None
        return slot

    # ------------------------------------------------------------------ again

    @property
    def passed(self) -> Place:
        """`at`, once there has been a `resume`."""
        assert self.at is not None
        return self.at

    def place(self) -> Place:
        """Where the store ends."""
        marks = None if self._open_marks is None else self._open_marks(False)
        return Place(self.log.next_sequence, 0 if marks is None else marks.next_sequence)

    def has_from(self, sequence: int) -> bool:
        """Whether the store still has all events from this sequence on."""
        return bool(self.log.first_sequence <= sequence <= self.log.next_sequence)

    def snapshot(self) -> tuple[dict[str, Any], bytes]:
        """How far the stream is: numbers, and the events that wait for the watermark."""
        intake, reorder = self.intake, self.reorder
        place = self.place()
        info = {
            "stored": place.stored, "marks": place.marks, "next": intake.next,
            "newest": intake.newest_time, "told": intake.told_time,
            "late": 0 if reorder is None else reorder.late_count,
        }  # fmt: skip
        return info, b"" if reorder is None else reorder.held_bytes()

    def resume(self, info: dict[str, Any], held: pa.Buffer | bytes) -> None:
        """The stream is as it was when `snapshot` gave this."""
        self.intake.resume(info["next"], info["newest"], info["told"])
        if self.reorder is not None:
            self.reorder.late_count = info["late"]
            self.reorder.hold_bytes(held)
        self.at = Place(info["stored"], info["marks"])

    def twin(self, runtime: Runtime) -> Inflow:
        """A second way in, to the ring of another runtime, with the same rules of time; late events are not kept."""
        mine = self.intake
        intake = Intake(
            runtime.inbox, runtime.new_source(), mine.schema, time_column=mine.time_column, lateness=mine.lateness,
            quick_type=pa.RecordBatch,
        )  # fmt: skip
        reorder = None
        if self.reorder is not None:
            reorder = Reorder(self.name, self.schema, self.reorder.time, mine.lateness, None)
        return Inflow(
            runtime, self.name, self.schema, intake, reorder, runtime.lock, self.log, self._open_marks
        )

    def batches(self, start: Place, stop: Place) -> int:
        """How many slots of a ring `replay` takes between two places, about."""
        return self.log.batches(start.stored, stop.stored) + stop.marks - start.marks

    def beginning(self, start: Any) -> dict[str, Any]:
        """As `snapshot`, of a stream that knows nothing before its first event of time `start` (True: any) or later."""
        first = self.log.first_sequence if start is True else self.log.first_at(start)
        marks = 0
        if self._open_marks is not None and (log := self._open_marks(False)) is not None:
            marks = sum(
                int(np.count_nonzero(np.asarray(batch.column(0)) < first))
                for batch in log.read(log.first_sequence, log.next_sequence)
            )
        return {"stored": first, "marks": marks, "next": first, "newest": None, "told": None, "late": 0}

    def replay(self, stop: Place, progress: Callable[[int], None]) -> None:
        """What was accepted between `at` and this place goes into the ring again, as it did then.

        It may be called again after an exception. Events that are damaged are gone, as scans say, and `lost` knows of
        them. Raises StoreError where the log cannot be read for another reason.
        """
        assert self.at is not None
        marks: list[tuple[int, int | None]] = [*self.marks(self.at.marks, stop.marks), (stop.stored, None)]
        for position, time in marks:
            while self.at.stored < position:
                try:
                    self._replay_events(position, progress)
                    break
                except StoreError as damage:
                    if not is_damage(damage):
                        raise
                    behind = min(self.log.behind(self.at.stored), position)
                    self.lost.append(f"events {self.at.stored} to {behind - 1}: {damage}")
                    self.at = Place(behind, self.at.marks)
            if time is not None:
                self._advance_again(time)
                self.at = Place(self.at.stored, self.at.marks + 1)

    def _replay_events(self, stop: int, progress: Callable[[int], None]) -> None:
        at = self.passed
        for batch in self.log.read(at.stored, stop):
            self._feed(batch, at.stored)
            self.at = at = Place(at.stored + batch.num_rows, at.marks)
            progress(batch.num_rows)

    def marks(self, first: int, stop: int) -> list[tuple[int, int]]:
        """(position of the event behind it, time) of what `advance` was told, numbers first to stop - 1."""
        if self._open_marks is None or first >= stop:
            return []
        found: list[tuple[int, int]] = []
        for batch in self._open_marks(False).read(first, stop):
            found += zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True)
        return found

    def _feed(self, rows: pa.RecordBatch, base: int) -> None:
        batch = self.intake.adopt(rows)
        order = self.intake.scan(batch)
        slot: int | None = self.runtime.claim_always()
        try:
            slot = self.put(slot, batch, base, order)
        finally:
            if slot is not None:
                release_slot(self.runtime.inbox, slot)

    def _advance_again(self, time: int) -> None:
        if self.intake.lateness:
            self.release(time)
        self.intake.advance(self.runtime.claim_always(), time)
