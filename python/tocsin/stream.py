"""Stream: the face of one stream; where data goes in.

A push goes through these steps, and nothing has changed while the first two can fail:

    1  data -> batches of the core, the schema checked (Intake.adopt; ingest.py for dicts)
    2  room in the ring is claimed (BackpressureError here with overflow="raise", or after overflow_timeout)
    3  Store.append, with a store: the sequence of the first event comes back
    4  the slot is filled and published: triggers see the batch

Small pushes (a few events as dicts, tiny batches) may join a batch that lies in the ring already, and then skip 2 and 4
(open_batch.hpp). With a store, or with lateness, each push is a batch of its own.

Late and out-of-order events (streams with a time column) take the side road through reorder.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from threading import get_ident
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import RecordBatch

from tocsin_core.batch import Batch
from tocsin_core.intake import IN_ORDER, SIDE_ROAD, SMALL_ROWS, WANTS_SLOT, Intake, IntakeLock, release_slot
from tocsin_core.schema import Schema
from tocsin_core.status import SchemaError, TocsinError

from .inflow import Inflow
from .ingest import columns_batch, in_layout, is_columns, rows_batch
from .reorder import Reorder
from .stats import StreamStats, stream_stats
from .ticket import OPEN, Ticket, TicketBook

if TYPE_CHECKING:
    from .engine import Engine
    from .recovery import Recovery
    from .runtime import Runtime

LATE_LIMIT = 1_000_000
FAULT_OF_THIS_PUSH = "raised by push(); its events were accepted, the trigger goes on with the next"


class Stream:
    """An ordered sequence of events with one Arrow schema; made by `Engine.stream`.

    Attributes:
        name: its name in the engine and the store.
        schema: pyarrow.Schema.
        time: name of the event time column, or None.

    >>> import pyarrow as pa, tocsin as tc
    >>> with tc.Engine(workers=0) as engine:
    ...     trades = engine.stream("trades", pa.schema([("price", pa.float64())]))
    ...     _ = trades.push({"price": 2.5})
    ...     _ = trades.push({"price": [3.0, 4.0]})
    ...     trades.sequence
    3
    """

    def __init__(
        self, engine: Engine, runtime: Runtime, name: str, schema: pa.Schema, time: str | None, lateness: int, log: Any,
        late_limit: int, open_marks: Callable[[bool], Any] | None = None, recovery: Recovery | None = None,
    ) -> None:  # fmt: skip
        self._engine = engine  # a stream in use keeps its engine
        self._runtime = runtime
        self._dispatch = runtime.dispatch
        self.name = name
        self.schema = schema
        self.time = time
        core = Schema.from_arrow(schema)
        column = -1 if time is None else core.names.index(time)
        self._id = runtime.new_source()
        self._intake = Intake(
            runtime.inbox, self._id, core, time_column=column, lateness=lateness, quick_type=pa.RecordBatch,
            gather_rows=0 if log is not None or lateness else runtime.gather_rows,
        )  # fmt: skip
        self._intake.next = 0 if log is None else log.next_sequence
        self._rows = self._intake.rows
        self._gathers = log is None and not lateness and self._rows.supports
        self._ways: dict[type, Callable[[Any], int]] = {}
        if log is None and not lateness:
            self._ways[RecordBatch] = self._intake.batch
        if self._gathers:
            self._ways[dict] = self._intake.event
        self._reorder = None if time is None else Reorder(name, schema, time, lateness, late_limit)
        self._log = log
        self._book = TicketBook()
        # Inline one lock does for all, and handlers push in the thread that holds it: see runtime.py.
        self._lock: Any = runtime.lock if runtime.inline else IntakeLock(self._intake)
        if not runtime.inline:
            runtime.stream_locks.append(self._lock)
        # It holds no reference to this stream, which keeps the engine: the runtime must not.
        self._inflow = Inflow(runtime, name, schema, self._intake, self._reorder, self._lock, log, open_marks)
        self._inflow.live = recovery is None
        self._recovery = recovery
        runtime.inflows.append(self._inflow)

    # ------------------------------------------------------------------ push

    def push(self, data: Any) -> Ticket:
        """Accept events: when it returns they are in the store (if there is one) and on their way to the triggers.

        Args:
            data: a record batch, or anything with ``__arrow_c_array__``; a table, a data frame or a reader, or anything
                with ``__arrow_c_stream__`` (each of its batches is accepted on its own); a dict of numpy arrays or
                lists, all of one length; one event as a dict; a list of such dicts. Columns have the stream's types;
                text may come in any Arrow layout. Arrow buffers are not copied and must not be changed afterwards.

        May be called from several threads. With workers=0 the events are matched and handled before it returns (on
        threads or loops of handlers' own: after it).

        Returns:
            A Ticket: `ticket.results()` waits until all of this push has been matched and handled, and gives what
            handlers registered with results=True returned. It costs nothing when it is not kept.

        Raises:
            SchemaError: the data does not fit the stream: the message names column, given and expected type.
            OrderError: an event has no time, in a stream with a time column.
            BackpressureError: the ring is full and the engine has overflow="raise", or overflow="block" and the
                overflow_timeout is over, or a push that waits would stop the event loop of a handler; workers=0: an
                iterator of `Trigger.matches` is full.
            ClosedError: the engine is closed.
            Nothing was accepted then.
            EvaluationError and other faults of triggers: workers=0: of this push, whose events *are* accepted;
            workers=1: of an earlier push, and nothing of this one was accepted. A note on the exception says which.

        >>> import pyarrow as pa, tocsin as tc
        >>> with tc.Engine(workers=0) as engine:
        ...     trades = engine.stream("trades", pa.schema([("price", pa.float64())]))
        ...     trades.push(pa.table({"price": [1.0, 2.0]}))
        Ticket(events 0 to 1 of 'trades')
        """
        runtime, intake, dispatch = self._runtime, self._intake, self._dispatch
        try:
            # PERF: one event or a record batch, when nothing else has to be looked at: one call, no lock but inline.
            take = self._ways.get(type(data))
            if take is not None and dispatch.bare and not runtime._faults and runtime.state == "open":
                if runtime.inline:
                    with self._lock:
                        first = take(data)
                        if first >= 0:
                            last = intake.next - 1
                            runtime.pump()
                            if runtime._faults and not runtime._pumping:
                                runtime.raise_faults(FAULT_OF_THIS_PUSH)
                            return Ticket(self, first, last)
                elif runtime.dispatcher != get_ident():
                    first = take(data)
                    if first >= 0:
                        return Ticket(self, first, first if type(data) is dict else first + data.num_rows - 1)
            runtime.check()
            if dispatch.lanes and dispatch.in_lane():  # flush waits for what handlers push
                dispatch.count_push()
            return self._push(runtime, intake, data)
        except BaseException:
            runtime.inbox.settle()  # Ctrl-C may have come when a slot had been claimed
            raise

    def _push(self, runtime: Runtime, intake: Intake, data: Any) -> Ticket:
        """The long way: whatever was pushed, and whatever else is to be looked at."""
        if not self._inflow.live:
            self._go_live()
        if not runtime.inline and runtime._faults and not runtime.in_handler():
            runtime.raise_faults(
                "raised by push() for an earlier one; nothing of this push was accepted: push it again"
            )
        with runtime.holding(self._lock):
            runtime.check()
            if not runtime.inline:
                if runtime.in_dispatcher():  # flush waits for what handlers push
                    runtime.handler_pushes += 1
                return self._accept_kept(data)
            if not self._dispatch.plain:
                runtime.check_room()
            try:
                ticket = self._accept_kept(data)
            finally:
                runtime.inbox.settle()
                runtime.pump()  # of a table cut short by an error, too: what was accepted is matched
            if runtime._faults and not runtime._pumping:
                runtime.raise_faults(FAULT_OF_THIS_PUSH)
            return ticket

    def _go_live(self) -> None:
        if self._recovery is not None:
            self._recovery.stream_live(self._inflow)

    def _accept_kept(self, data: Any) -> Ticket:
        """Accepts a push while handlers keep results: their tickets are known before a result can come back."""
        intake = self._intake
        if not self._dispatch.keeping:
            first = intake.next
            self._accept(data)
            return Ticket(self, first, intake.next - 1)
        ticket = Ticket(self, intake.next, OPEN)
        self._book.open(ticket)
        try:
            self._accept(data)
        finally:
            self._book.close(ticket, intake.next - 1)
        return ticket

    def _accept(self, data: Any) -> None:
        # PERF: a plain dict is settled by its type; asking it for an attribute that it has not costs 0.3 µs.
        if type(data) is not dict and hasattr(data, "__arrow_c_array__"):
            self._accept_batch(self._intake.adopt(data), data)
        elif type(data) is dict or isinstance(data, Mapping):
            if is_columns(data):
                batch = columns_batch(data, self.schema)
                self._accept_batch(self._intake.adopt(batch), batch)
            else:
                self._accept_events((data,))
        elif isinstance(data, (list, tuple)):
            if data:
                self._accept_events(data)
        elif hasattr(data, "__arrow_c_stream__"):
            self._accept_stream(data)
        else:
            raise SchemaError(
                f"stream {self.name!r} cannot take {type(data).__name__}: push Arrow data (a record batch, a table, a "
                "data frame), a dict of arrays, one event as a dict, or a list of them"
            )

    def _accept_events(self, events: Any) -> None:
        intake, runtime = self._intake, self._runtime
        # While results are kept, each push stays a batch of its own, so that it is known whose they are.
        if not self._gathers or self._dispatch.keeping or len(events) > SMALL_ROWS:
            intake.forget_offered()
            batch = rows_batch(events, self._rows, self.schema)
            self._accept_batch(intake.adopt(batch), batch)
            return
        found = intake.offer(events)
        if found == WANTS_SLOT:
            try:
                slot = runtime.claim(1, f"stream {self.name!r}")
            except BaseException:
                intake.forget_offered()
                raise
            intake.put_offered(slot)
            if runtime.drops:
                runtime.tell_drops(self.name)
        elif found == SIDE_ROAD:
            batch = intake.take_offered()
            self._accept_batch(intake.adopt(batch), batch)

    def _accept_stream(self, data: Any) -> None:
        stream = Batch.import_stream(data, self._intake.schema)
        self._intake.check(stream.schema)
        batches: Iterable[Batch] = stream
        slots: list[int | None] = []
        if not hasattr(data, "read_next_batch"):
            # All there already (a reader's batches may be more than memory holds): all or nothing.
            batches = [batch for batch in stream if len(batch)]
            for batch in batches:
                self._intake.scan(batch)
            if self._runtime.refuses and batches:
                first = self._runtime.claim(len(batches), f"stream {self.name!r}")
                slots = list(range(first, first + len(batches)))
        done = 0
        try:
            for done, batch in enumerate(batches):
                adopted = self._intake.adopt(batch)
                slot, slots[done : done + 1] = (slots[done], [None]) if slots else (None, [])
                self._accept_batch(adopted, batch, slot)
        except Exception as failure:
            if done:
                failure.add_note(f"the first {done} batches of this push had been accepted before")
            raise
        finally:
            for slot in slots:
                if slot is not None:
                    release_slot(self._runtime.inbox, slot)

    def _accept_batch(self, batch: Batch, data: Any, slot: int | None = None) -> None:
        """`data`: the same events, for the store; slot: claimed already."""
        intake, runtime = self._intake, self._runtime
        if not len(batch):
            if slot is not None:
                release_slot(runtime.inbox, slot)
            return
        order = intake.scan(batch)
        if (
            self._gathers
            and not self._dispatch.keeping
            and order == IN_ORDER
            and slot is None
            and intake.gather(batch)
        ):
            return
        if slot is None:
            slot = runtime.claim(1, f"stream {self.name!r}")
        base = None
        try:
            if self._log is not None:
                base = self._log.append(self._stored_form(data))
            slot = self._inflow.put(slot, batch, base, order)
        finally:
            if slot is not None:
                release_slot(runtime.inbox, slot)
        if runtime.drops:
            runtime.tell_drops(self.name)

    def _stored_form(self, data: Any) -> pa.RecordBatch:
        return in_layout(data if isinstance(data, pa.RecordBatch) else pa.record_batch(data), self.schema)

    # ------------------------------------------------------------------ event time

    def _advance(self, time: int) -> None:
        """The watermark is at least `time` (the column's unit)."""
        runtime = self._runtime
        intake = self._intake
        if not self._inflow.live:
            self._go_live()
        with runtime.holding(self._lock):
            try:
                runtime.check()
                mark = intake.watermark
                if mark is not None and time <= mark and not intake.owes:
                    return
                self._inflow.note_advance(time)
                if intake.lateness:
                    self._inflow.release(time)
                slot, keeping = runtime.claim_always(), runtime.dispatch.keeping
                if keeping:
                    self._book.advancing(intake.next)
                intake.advance(slot, time)
                if keeping:
                    runtime.note(self._book.advanced)
                if runtime.inline:
                    runtime.pump()
            except BaseException:
                runtime.inbox.settle()
                raise

    def late(self) -> pa.Table:
        """The events that came behind the watermark since the last call, as a pyarrow.Table; they are taken out.

        They reached no trigger; with a store they are in it like all others. `late_count` counts all of them. At most
        `late_limit` (of `Engine.stream`) are kept, the newest; `stats().late_forgotten` counts those that are not.

        Returns:
            A pyarrow.Table of the stream's schema, in the order in which they came.

        Raises:
            TocsinError: the stream has no time column.

        >>> import pyarrow as pa, tocsin as tc
        >>> with tc.Engine(workers=0) as engine:
        ...     readings = engine.stream("readings", pa.schema([("t", pa.int64())]), time="t", lateness=10)
        ...     _ = readings.push({"t": [100, 95, 89, 101]})  # 89 < 100 - 10
        ...     readings.late().to_pydict(), readings.late_count
        ({'t': [89]}, 1)
        """
        if self._reorder is None:
            raise TocsinError(
                f"stream {self.name!r} has no time column: no event can be late; declare it with time="
            )
        with self._runtime.holding(self._lock):
            return self._reorder.take_late()

    def stats(self) -> StreamStats:
        """The figures of this stream, as in `Engine.stats`.

        Returns:
            StreamStats: events accepted, late, waiting and dropped, newest time, watermark and its lag.

        >>> import pyarrow as pa, tocsin as tc
        >>> with tc.Engine(workers=0) as engine:
        ...     readings = engine.stream("readings", pa.schema([("t", pa.timestamp("ms"))]), time="t", lateness="2s")
        ...     _ = readings.push({"t": [10_000, 9_000, 12_500]})
        ...     figures = readings.stats()
        >>> figures, figures.watermark, figures.watermark_lag_seconds
        (StreamStats('readings': 3 events in 1 batches, 1 waiting), 10500, 2.0)
        """
        return stream_stats(self)

    @property
    def late_count(self) -> int:
        """How many events came behind the watermark so far (int); taking them by `late` does not lower it."""
        return 0 if self._reorder is None else self._reorder.late_count

    @property
    def dropped(self) -> int:
        """How many accepted events (int) were dropped for newer ones, as overflow="drop_oldest" has it; else 0.

        Triggers did not see them; their sequences are not used again, and with a store they are in it.

        >>> import pyarrow as pa, tocsin as tc
        >>> with tc.Engine(overflow="drop_oldest") as engine:
        ...     trades = engine.stream("trades", pa.schema([("price", pa.float64())]))
        ...     _ = trades.push({"price": 2.5})
        ...     trades.dropped
        0
        """
        return self._intake.dropped[1]

    @property
    def dropped_batches(self) -> int:
        """How many batches (int) the events of `dropped` were; events pushed one by one may share a batch."""
        return self._intake.dropped[0]

    @property
    def waiting(self) -> int:
        """How many accepted events wait for the watermark (int; 0 for a stream without lateness)."""
        return 0 if self._reorder is None else self._reorder.waiting

    @property
    def watermark(self) -> int | None:
        """No event with an earlier time is expected: int in the time column's unit; None before the first event."""
        mark: int | None = self._intake.watermark
        return mark

    @property
    def sequence(self) -> int:
        """The sequence (int, from 0) of the next event that goes to the triggers: how many went before."""
        return int(self._intake.next)

    def __repr__(self) -> str:
        return f"Stream({self.name!r}, {len(self.schema)} columns, time={self.time!r})"
