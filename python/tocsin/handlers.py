"""Handlers: the user's functions that receive matches, and where matches go when a handler fails.

    shard ──▶ dispatcher ──▶ Outlet of the trigger ──▶ match log (with a store)
                                                  ├──▶ each Handler: call, retry, else dead letter
                                                  └──▶ each MatchIterator (trigger.matches())

An Outlet belongs to one trigger and is used by one thread at a time: the dispatcher's, or (workers=0) that of
whoever pushes. A handler's fault is its own: it is called again `retries` times with a growing pause, then its matches
become a dead letter, a warning is logged, and everything else goes on. Each handler is retried by itself, so none
sees a batch twice because another failed.

A dead letter is kept in memory, and with a store in the durable stream ``dead_letters/<trigger>``, whose rows hold the
refused events or matches as an Arrow IPC stream: so one schema serves every trigger and both kinds.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import queue
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tocsin_core.shard import export_array

from .stats import TriggerCounters

logger = logging.getLogger("tocsin")

ARROW_ARRAY_BYTES = 80  # struct ArrowArray: five int64 and five pointers (at most 8 bytes each)

DEAD_LETTER_SCHEMA = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("handler", pa.string()),
        pa.field("error", pa.string(), nullable=False),
        pa.field("first_sequence", pa.int64(), nullable=False),
        pa.field("last_sequence", pa.int64(), nullable=False),
        pa.field("rows", pa.binary()),
    ]
)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What could not be handled.

    Attributes:
        trigger: its name.
        kind: "handler" (a handler failed; `rows` are matches), "fault" (the trigger could not evaluate; `rows` are
            the events of the batch it refused, None at a watermark or at the end of input) or "store" (the match log
            could not be written; `rows` are matches).
        handler: the handler's name, or None.
        error: type and text of the exception.
        first_sequence, last_sequence: of the rows of the trigger's source that led to it; -1 at the end of input.
        rows: a pyarrow.RecordBatch or None.
    """

    trigger: str
    kind: str
    handler: str | None
    error: str
    first_sequence: int
    last_sequence: int
    rows: pa.RecordBatch | None


class DeadLetters:
    """The dead letters of one trigger; `log` is its stream in the store, or None."""

    def __init__(self, trigger: str, open_log: Callable[[], Any] | None) -> None:
        self.trigger = trigger
        self._open_log = open_log
        self._kept: list[DeadLetter] = []

    def add(self, letter: DeadLetter) -> None:
        """Keeps `letter`, in the store when there is one and it can be written; else in memory."""
        if self._open_log is not None:
            try:
                self._open_log().append(pa.RecordBatch.from_pylist([_row(letter)], schema=DEAD_LETTER_SCHEMA))
                return
            except Exception:
                logger.exception(
                    "trigger %r: a dead letter cannot be stored; it is kept in memory", self.trigger
                )
        self._kept.append(letter)

    def list(self, stored: pa.RecordBatchReader | None) -> list[DeadLetter]:
        """All of them, oldest first; `stored` reads the stream of the store."""
        found = []
        if stored is not None:
            for batch in stored:
                found += [_letter(self.trigger, row) for row in batch.to_pylist()]
        return found + self._kept


def _row(letter: DeadLetter) -> dict[str, Any]:
    rows = None
    if letter.rows is not None:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, letter.rows.schema) as writer:
            writer.write_batch(letter.rows)
        rows = sink.getvalue().to_pybytes()
    return {
        "kind": letter.kind, "handler": letter.handler, "error": letter.error,
        "first_sequence": letter.first_sequence, "last_sequence": letter.last_sequence, "rows": rows,
    }  # fmt: skip


def _letter(trigger: str, row: dict[str, Any]) -> DeadLetter:
    rows = row.pop("rows")
    batch = None if rows is None else pa.ipc.open_stream(rows).read_next_batch()
    return DeadLetter(trigger=trigger, rows=batch, **row)


class Handler:
    """One function of a trigger and how it is called.

    per_match: called with a dict for each match instead of a record batch for all.  results: what it returns is
    kept for `Trigger.results()`.
    """

    counters: TriggerCounters  # the outlet's, from Outlet.add on

    def __init__(
        self, function: Callable[[Any], Any], *, per_match: bool, results: bool, retries: int, backoff: float
    ) -> None:
        if not callable(function):
            raise TypeError(f"a handler must be callable; {function!r} is not")
        self.function = function
        self.name = getattr(function, "__qualname__", None) or repr(function)
        self.per_match = per_match
        self.retries = retries
        self.backoff = backoff
        self.results: list[Any] | None = [] if results else None

    def handle(self, matches: pa.RecordBatch) -> Iterator[tuple[pa.RecordBatch, BaseException]]:
        """Calls the function; yields the matches it could not handle, with the last exception."""
        if not self.per_match:
            failure = self._call(matches)
            if failure is not None:
                yield matches, failure
            return
        for place, match in enumerate(matches.to_pylist()):
            failure = self._call(match)
            if failure is not None:
                yield matches.slice(place, 1), failure

    def _call(self, argument: Any) -> BaseException | None:
        counters = self.counters
        for attempt in range(self.retries + 1):
            counters.calls.add()
            if attempt:
                counters.retries.add()
            try:
                returned = self.function(argument)
            except Exception as failure:
                counters.failures.add()
                if attempt == self.retries:
                    return failure
                time.sleep(self.backoff * 2**attempt)
            except BaseException as failure:  # Ctrl-C, sys.exit(): not tried again
                counters.failures.add()
                return failure
            else:
                if self.results is not None:
                    self.results.append(returned)
                return None
        return None


class MatchIterator:
    """The pull side of a trigger: yields a pyarrow.RecordBatch for each batch of matches; ends when the engine closes.

    Waits for the next batch; matches from before it was made are not seen. `close()` ends it early.
    """

    def __init__(self, outlet: Outlet) -> None:
        self._queue: queue.SimpleQueue[pa.RecordBatch | None] = queue.SimpleQueue()
        self._outlet = outlet
        self._ended = False

    def __iter__(self) -> MatchIterator:
        return self

    def __next__(self) -> pa.RecordBatch:
        if self._ended:
            raise StopIteration
        matches = self._queue.get()
        if matches is None:
            self._ended = True
            raise StopIteration
        return matches

    def put(self, matches: pa.RecordBatch | None) -> None:
        """For the outlet: the next batch, or None for the end."""
        self._queue.put(matches)

    def close(self) -> None:
        """Ends the iteration; what was not taken is let go."""
        self._outlet.drop(self)
        self._ended = True
        self._queue.put(None)


class Outlet:
    """Where the matches of one trigger go. `fault` takes what must be raised at the next push or flush."""

    def __init__(
        self, trigger: str, source: str, schema: pa.Schema, log: Any, dead: DeadLetters,
        fault: Callable[[BaseException], None],
    ) -> None:  # fmt: skip
        self.trigger = trigger
        self.source = source
        self.schema = schema
        self.matched = 0
        self.counters = TriggerCounters()
        self.dead = dead
        self._array = ctypes.create_string_buffer(ARROW_ARRAY_BYTES)
        self._array_address = ctypes.addressof(self._array)
        self._log = log
        self._fault = fault
        # Replaced, never changed, so that the dispatcher can go through them without a lock.
        self._handlers: tuple[Handler, ...] = ()
        self._iterators: tuple[MatchIterator, ...] = ()
        self._ended = False

    def add(self, handler: Handler) -> None:
        """`handler` gets the matches from the next batch on."""
        handler.counters = self.counters
        self._handlers += (handler,)

    def iterate(self) -> MatchIterator:
        """A new MatchIterator."""
        iterator = MatchIterator(self)
        self._iterators += (iterator,)
        if self._ended:
            iterator.put(None)
        return iterator

    def drop(self, iterator: MatchIterator) -> None:
        """`iterator` gets no more."""
        self._iterators = tuple(other for other in self._iterators if other is not iterator)

    def results(self) -> list[Any]:
        """What the handlers that keep results have returned since the last call."""
        found: list[Any] = []
        for handler in self._handlers:
            if handler.results is not None:
                returned, handler.results = handler.results, []
                found += returned
        return found

    def deliver(self, batch: Any, first: int, last: int) -> None:
        """`batch` (of the core) are matches from the source's rows `first` to `last`."""
        self.matched += len(batch)
        self.counters.batches.add()
        if self._log is None and not self._handlers and not self._iterators:
            return
        # PERF: pyarrow's door for an array whose schema is known: 2.2 us for 3 columns, 4.2 us by capsules.
        export_array(batch, self._array_address)
        matches = pa.RecordBatch._import_from_c(self._array_address, self.schema)
        if self._log is not None:
            try:
                self._log.append(matches)
            except Exception as failure:
                self._letter("store", None, failure, first, last, matches)
                failure.add_note(
                    f"trigger {self.trigger!r}: the match log could not be written; handlers got the matches"
                )
                self._fault(failure)
        leaving: BaseException | None = None
        for handler in self._handlers:
            for refused, fault in handler.handle(matches):
                self._letter("handler", handler.name, fault, first, last, refused)
                if not isinstance(fault, Exception):
                    leaving = fault
        for iterator in self._iterators:
            iterator.put(matches)
        if leaving is not None:
            raise leaving

    def refuse(self, batch: Any, first: int, last: int, row: int, failure: Exception) -> None:
        """The trigger could not take `batch` (or None); `failure` says why, `row` where (or -1)."""
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
        """No more matches: iterators end."""
        self._ended = True
        for iterator in self._iterators:
            iterator.put(None)

    def _letter(
        self,
        kind: str,
        handler: str | None,
        failure: BaseException,
        first: int,
        last: int,
        rows: pa.RecordBatch | None,
    ) -> None:
        self.counters.dead_letters.add()
        error = f"{type(failure).__name__}: {failure}"
        count = 0 if rows is None else rows.num_rows
        with contextlib.suppress(Exception):  # a log handler of the user's must not stop the engine
            logger.warning(
                "trigger %r: %s%s; %d rows are in its dead letters (%s)",
                self.trigger, f"handler {handler} failed: " if handler else "", error, count, kind,
                exc_info=failure if handler else None,
            )  # fmt: skip
        self.dead.add(DeadLetter(self.trigger, kind, handler, error, first, last, rows))
