"""Outlet: where the matches of one trigger go.

    shard ──▶ dispatcher ──▶ Outlet of the trigger ──▶ match log (with a store)
                                                  ├──▶ lanes: handlers on threads or event loops of their own
                                                  ├──▶ each other Handler: call, retry, else dead letter
                                                  └──▶ each MatchBuffer (trigger.matches())

`deliver` is called by one thread at a time: the dispatcher's, or (workers=0) that of whoever pushes. `settle` and
`give_up` are called by lanes, on any thread. A handler's fault is its own: it is called again by itself, so none sees
a batch twice because another failed; then its matches become a dead letter, a warning is logged, and everything else
goes on. Lanes come first: they only take the batch, and so do not wait for the handlers on this thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import pyarrow as pa

from tocsin_core.row_reader import RowReader
from tocsin_core.schema import Schema
from tocsin_core.shard import export_array, export_placed

from .dead_letters import DeadLetter, DeadLetters
from .dispatch import Dispatch
from .errors import ClosedError, SchemaError, TocsinError
from .handlers import Delivery, Handler
from .ingest import in_layout
from .lanes import Outbox, ThreadLane
from .loop_lane import LoopLane
from .match_log import MatchLog
from .matches import UNLOGGED, History, MatchBuffer, MatchIterator
from .stats import TriggerCounters
from .ticket import TicketBook

logger = logging.getLogger("tocsin")

ARROW_ARRAY_BYTES = 80  # struct ArrowArray: five int64 and five pointers (at most 8 bytes each)
ORIGINS = 1024  # of deliveries remembered for the triggers upon this one: theirs come out right behind


class Upstream(Protocol):
    """The source of a trigger: the book of a stream, or the outlet of another trigger."""

    def origin(self, first: int, last: int) -> tuple[int, int] | None:
        """From which events of the stream below the rows `first` to `last` of this source came."""


class Outlet:
    """Where the matches of one trigger go.

    upstream: of its source.  book: the tickets of the stream below.  fault: takes what must be raised at the next push
    or flush.  inline: workers=0.
    """

    def __init__(
        self, trigger: str, source: str, schema: pa.Schema, log: MatchLog | None, dead: DeadLetters,
        dispatch: Dispatch, *, upstream: Upstream, book: TicketBook, inline: bool,
    ) -> None:  # fmt: skip
        self.trigger = trigger
        self.source = source
        self.schema = schema
        self.matched = 0
        self.counters = TriggerCounters()
        self.dead = dead
        self.book = book
        self._array = ctypes.create_string_buffer(ARROW_ARRAY_BYTES)
        self._array_address = ctypes.addressof(self._array)
        self.log = log
        self.known_faults: frozenset[tuple[int, int]] = (
            frozenset()
        )  # while events are seen again: those in the dead letters
        self._layout = Schema.from_arrow(schema).layout
        self._reader: RowReader | None = None
        self._dispatch = dispatch
        self._fault: Callable[[BaseException], None] = dispatch.fault
        self._upstream = upstream
        self._inline = inline
        self.heard = threading.Event()  # somebody takes matches, or took some
        self._first_heard: Callable[[], None] | None = None
        self._gate = threading.Lock()
        self._waiting: deque[tuple[Any, int, int, int, int]] | None = (
            None  # what is to be delivered once history has been
        )
        self._origins: deque[tuple[int, int, tuple[int, int] | None]] = deque(maxlen=ORIGINS)
        # Replaced under the lock, never changed, so that the dispatcher can go through them without it; `_takers` is
        # what it looks at: whether any of them wants Arrow, lanes, direct, buffers.
        self._lock = threading.RLock()
        self._handlers: tuple[Handler, ...] = ()
        self._direct: tuple[Handler, ...] = ()
        self._lanes: tuple[Outbox, ...] = ()
        self._buffers: tuple[MatchBuffer, ...] = ()
        self._look()
        self._ended = False

    def add(self, handler: Handler) -> None:
        """`handler` gets the matches from the next batch on."""
        self._check_ids(handler.ids)
        with self._lock:
            if self._ended:
                raise ClosedError(
                    f"trigger {self.trigger!r} has ended: it will have no more matches to handle"
                )
            handler.place = len(self._handlers)
            handler.counters = self.counters
            lane: Outbox | None = None
            if handler.asynchronous:
                loop = self._dispatch.own_loop() if handler.loop is None else handler.loop
                lane = LoopLane(handler, self, self._dispatch, loop)
            elif handler.concurrency is not None:
                lane = ThreadLane(handler, self, self._dispatch)
            if handler.keeps_results:
                self._dispatch.keep_results()
            if lane is not None:
                self._dispatch.add(lane)
                self._lanes += (lane,)
            else:
                self._direct += (handler,)
            self._handlers += (handler,)
            self._look()
        self._hear()

    def when_heard(self, called: Callable[[], None]) -> None:
        """`called` is called when there is a handler: once, or now."""
        with self._lock:
            self._first_heard = called
        if self._handlers:
            self._hear()

    def _hear(self) -> None:
        with self._lock:
            called, self._first_heard = self._first_heard, None
        self.heard.set()
        if called is not None:
            called()

    def _check_ids(self, ids: bool) -> None:
        if ids and self.log is None:
            raise TocsinError(
                f"trigger {self.trigger!r}: ids=True names matches by their place in the match log, and this engine "
                "has no store; make it with one: Engine(path)"
            )

    def iterate(self, limit: int | None, start: int | None = None, ids: bool = False) -> MatchIterator:
        """An iterator over at most `limit` batches at a time; start: first those of the match log from there."""
        self._check_ids(ids)
        if start is not None and self.log is None:
            raise TocsinError(
                f"trigger {self.trigger!r}: matches(start={start}) reads the match log, and this engine has no store"
            )
        buffer = MatchBuffer(self.trigger, limit, self._dispatch, self._inline, self._drop, ids)
        with self._lock:
            if self._ended:
                buffer.finish()
            else:
                self._buffers += (buffer,)
                self._look()
        if start is None:
            return MatchIterator(buffer)
        assert self.log is not None
        try:
            buffer.after, batches = self.log.history(start, ids)
        except BaseException:
            buffer.close()
            raise
        return MatchIterator(buffer, History(batches))

    def _drop(self, buffer: MatchBuffer) -> None:
        with self._lock:
            self._buffers = tuple(other for other in self._buffers if other is not buffer)
            self._look()

    def _look(self) -> None:
        others = self._lanes or self._buffers
        as_arrow = bool(others) or not all(handler.each for handler in self._direct)
        self._ids = any(handler.ids for handler in self._handlers) or any(
            buffer.ids for buffer in self._buffers
        )
        self._takers = (as_arrow, self._lanes, self._direct, self._buffers)

    @property
    def handlers(self) -> tuple[Handler, ...]:
        """Those there are."""
        return self._handlers

    def results(self) -> list[Any]:
        """What the handlers that keep results have returned since the last call."""
        return [returned for handler in self._handlers for returned in handler.take_results()]

    @property
    def results_dropped(self) -> int:
        """How many values were let go, because more came than are kept."""
        return sum(handler.results_dropped for handler in self._handlers)

    def deliver(self, batch: Any, first: int, last: int, number: int, stamp: int) -> None:
        """`batch` (of the core) are matches from the source's rows `first` to `last`; `number` is that of the first.

        stamp: when the push that led to them was accepted, for the figures; 0: it was no push.
        """
        if self._waiting is not None:
            with self._gate:
                if self._waiting is not None:
                    self._waiting.append((batch, first, last, number, stamp))
                    return
        self.deliver_now(batch, first, last, number, stamp)

    def deliver_now(self, batch: Any, first: int, last: int, number: int, stamp: int) -> None:
        """`deliver`, even while history goes on."""
        dispatch = self._dispatch
        origin = None
        if dispatch.keeping:
            origin = self._upstream.origin(first, last)
            self._origins.append((number, number + len(batch) - 1, origin))
        if self.log is None:
            self._hand_on(batch, None, None, UNLOGGED, first, last, origin, stamp)
            return
        known = self.log.fresh(number, len(batch))
        matches: pa.RecordBatch | None = None
        if known:  # events are seen again after a crash
            if known == len(batch):
                return
            number += known
        if known or batch.places is None or batch.schema.layout != self._layout:
            places = None if batch.places is None else pa.record_batch(batch.places).slice(known)
            matches = self._as_arrow(batch).slice(known)
            stored = self.log.stored_form(matches, places)
            batch = None if known else batch
        else:
            # PERF: one door for all columns: 4 us, by way of pyarrow's arrays 12.
            export_placed(batch, self.log.version, self._array_address)
            stored = pa.RecordBatch._import_from_c(self._array_address, self.log.stored)
        try:
            self.log.write(stored)
        except Exception as failure:
            failure.add_note(
                f"trigger {self.trigger!r}: the match log could not be written; handlers got the matches, which go to "
                "the log with the next ones"
            )
            self._fault(failure)
        wide = self.log.with_ids(stored, number) if self._ids else None
        self._hand_on(batch, matches, wide, number, first, last, origin, stamp)

    def wait(self) -> None:
        """What the engine delivers from now on waits for `go_on`: history still goes to handlers (catchup.py)."""
        with self._gate:
            self._waiting = deque()

    def go_on(self) -> None:
        """All of history has been handled: what waits is delivered."""
        while True:
            with self._gate:
                if not self._waiting:
                    self._waiting = None
                    return
                item = self._waiting.popleft()
            self.deliver_now(*item)

    def redeliver(self) -> None:
        """What the match log has and no handler had finished with goes to the handlers again; by whoever delivers."""
        assert self.log is not None
        try:
            for number, matches, wide in self.log.unhandled():
                self._hand_on(None, matches, wide, number, -1, -1, None, 0, again=True)
        except Exception as failure:  # of the disk
            failure.add_note(
                f"trigger {self.trigger!r}: matches of an earlier run could not be handed over again"
            )
            self._fault(failure)

    def _hand_on(
        self, batch: Any, matches: pa.RecordBatch | None, wide: pa.RecordBatch | None, number: int, first: int,
        last: int, origin: tuple[int, int] | None, stamp: int, *, again: bool = False,
    ) -> None:  # fmt: skip
        """Matches go to everybody who takes them. batch: of the core, if it is all of these.  again: those of an
        earlier run go to handlers only: iterators read them in the log."""
        count = len(batch) if matches is None else matches.num_rows
        self.matched += count
        self.counters.batches.add()
        dispatch = self._dispatch
        as_arrow, lanes, direct, buffers = self._takers  # after the log: see matches.py
        if as_arrow and matches is None:
            # Only when somebody wants it so: per_match handlers get their dicts straight from the core.
            matches = self._as_arrow(batch)
        done = None if self.log is None else partial(self.log.done, number, count)
        leaving: BaseException | None = None
        delivery: Delivery | None = None
        if lanes:
            delivery = Delivery(
                matches, first, last, next(dispatch.numbers), origin, stamp, len(lanes) + 1, wide, done
            )
            for lane in lanes:
                lane.put(delivery)
        laned = delivery
        for handler in direct:
            if handler.plain:
                fault = handler.call(wide if handler.ids else matches)[1]
                if fault is not None:
                    self._letter("handler", handler.name, fault, first, last, matches)
                    leaving = leaving if isinstance(fault, Exception) else fault
            elif handler.each:
                leaving = self._call_each(handler, batch, matches, wide, first, last) or leaving
            else:
                delivery = delivery or Delivery(
                    matches, first, last, next(dispatch.numbers), origin, wide=wide
                )
                leaving = self._handle(handler, delivery) or leaving
        for buffer in () if again else buffers:
            buffer.put(wide if buffer.ids else matches, number)
        if laned is not None:
            laned.leave(self.counters)
        else:
            self.counters.done(stamp)
            if done is not None:
                done()
        if leaving is not None:
            raise leaving

    def _as_arrow(self, batch: Any) -> pa.RecordBatch:
        if batch.schema.layout != self._layout:
            # Rows that passed a condition come in the layout that they were pushed in: text as string_view, say.
            rows = pa.record_batch(batch)
            try:
                return in_layout(rows, self.schema)
            except SchemaError:  # more values than the declared dictionary can number
                return rows  # better as they are than not at all
        # PERF: pyarrow's door for an array whose schema is known: 2.2 us for 3 columns, 4.2 us by capsules.
        export_array(batch, self._array_address)
        return pa.RecordBatch._import_from_c(self._array_address, self.schema)

    def _call_each(
        self, handler: Handler, batch: Any, matches: pa.RecordBatch | None, wide: pa.RecordBatch | None, first: int,
        last: int,
    ) -> BaseException | None:  # fmt: skip
        """Calls a per_match handler that keeps no results; returns Ctrl-C or the like."""
        leaving: BaseException | None = None
        if handler.ids or batch is None:
            rows = (wide if handler.ids else matches).to_pylist()  # type: ignore[union-attr]
            for unit, row in enumerate(rows):
                leaving = self._call_one(handler, row, unit, batch, matches, first, last) or leaving
            return leaving
        if self._reader is None or self._reader.schema is not batch.schema:
            self._reader = RowReader(batch.schema)
        try:
            read = self._reader.supports
            rows = self._reader.read(batch) if read else self._as_arrow(batch).to_pylist()
        except Exception as failure:  # a value that has no Python object: a date beyond the year 9999
            matches = self._as_arrow(batch) if matches is None else matches
            self._letter("handler", handler.name, failure, first, last, matches)
            return None
        for unit, row in enumerate(rows):
            leaving = self._call_one(handler, row, unit, batch, matches, first, last) or leaving
        return leaving

    def _call_one(
        self,
        handler: Handler,
        row: Any,
        unit: int,
        batch: Any,
        matches: pa.RecordBatch | None,
        first: int,
        last: int,
    ) -> BaseException | None:
        fault = handler.call(row)[1]
        if fault is None:
            return None
        matches = self._as_arrow(batch) if matches is None else matches
        self._letter("handler", handler.name, fault, first, last, matches.slice(unit, 1))
        return None if isinstance(fault, Exception) else fault

    def _handle(self, handler: Handler, delivery: Delivery) -> BaseException | None:
        """Calls a handler that is not plain on this thread; returns Ctrl-C or the like."""
        leaving: BaseException | None = None
        matches = delivery.seen_by(handler)
        arguments = matches.to_pylist() if handler.per_match else (matches,)
        for unit, argument in enumerate(arguments):
            returned, failure = handler.call(argument)
            self.settle(handler, delivery, unit, returned, failure)
            if failure is not None and not isinstance(failure, Exception):
                leaving = failure
        return leaving

    def origin(self, first: int, last: int) -> tuple[int, int] | None:
        """From which events of the stream below the matches `first` to `last` of this trigger came."""
        if first < 0:
            return None
        # The newest that holds it: a trigger upon this one is handed its matches right after this one was.
        for begin, end, origin in reversed(self._origins):
            if begin <= first and last <= end:
                return origin
        return None

    # ------------------------------------------------------------------ how a call ended

    def settle(
        self, handler: Handler, delivery: Delivery, unit: int, returned: Any, failure: BaseException | None
    ) -> None:
        """Call `unit` of a handler has ended: its result is kept, or its matches become a dead letter."""
        if failure is not None:
            self.give_up(handler, delivery, delivery.part(handler, unit), failure)
        elif handler.keeps_results:
            if delivery.origin is not None:
                self.book.give(delivery.origin, (delivery.number, handler.place, unit), returned)
            if handler.keep(returned):
                logger.warning(
                    "trigger %r: handler %s has returned more values than are kept for results(): the oldest leave; "
                    "ask more often, or register it with results= a larger number",
                    self.trigger, handler.name,
                )  # fmt: skip

    def give_up(
        self, handler: Handler, delivery: Delivery, rows: pa.RecordBatch, failure: BaseException
    ) -> None:
        """`rows` could not be handled."""
        self._letter("handler", handler.name, failure, delivery.first, delivery.last, rows)

    def refuse(self, batch: Any, first: int, last: int, row: int, failure: Exception) -> None:
        """The trigger could not take `batch` (or None); `failure` says why, `row` where (or -1)."""
        if (first, last) in self.known_faults:
            return  # told by the run that saw these events first
        where = (
            f"event {first + row}"
            if row >= 0
            else f"events {first} to {last}"
            if first >= 0
            else "end of input"
        )
        self.counters.faults.add()
        error = type(failure)(f"trigger {self.trigger!r}, stream {self.source!r}, {where}: {failure}")
        rows = None if batch is None else pa.record_batch(batch)
        self._letter("fault", None, error, first, last, rows)
        self._fault(error)

    def end(self) -> None:
        """No more matches: iterators and lanes end when they have handled what there is."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
        for buffer in self._buffers:
            buffer.finish()
        for lane in self._lanes:
            lane.end()

    def in_child(self) -> None:
        """In a forked process: the locks may be held by threads that are not here, and nothing comes any more."""
        self._lock = threading.RLock()
        self._ended = True
        for buffer in self._buffers:
            buffer.in_child()

    def _letter(
        self,
        kind: str,
        handler: str | None,
        failure: BaseException,
        first: int,
        last: int,
        rows: pa.RecordBatch | None,
    ) -> None:
        error = f"{type(failure).__name__}: {failure}"
        count = 0 if rows is None else rows.num_rows
        with contextlib.suppress(Exception):  # a log handler of the user's must not stop the engine
            logger.warning(
                "trigger %r: %s%s; %d rows are in its dead letters (%s)",
                self.trigger, f"handler {handler} failed: " if handler else "", error, count, kind,
                exc_info=failure if handler else None,
            )  # fmt: skip
        self.counters.dead_letters.add()
        self.dead.add(DeadLetter(self.trigger, kind, handler, error, first, last, rows))
