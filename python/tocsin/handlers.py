"""Handlers: one function of the user's, how it is called and called again, and what it returned.

A call that raises is repeated `retries` times; before the first repetition there is a pause of `backoff` seconds, and
each further pause is twice as long. Then the matches are given up (the outlet makes a dead letter of them). What is no
Exception (Ctrl-C, sys.exit(), the cancellation of a task) is not tried again.

A handler knows neither thread nor loop: `call` is for the dispatcher and for threads (thread_lane.py), `call_async` for
tasks (loop_lane.py).
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections import deque
from collections.abc import Callable
from types import CoroutineType
from typing import Any

import pyarrow as pa

from .stats import TriggerCounters

CONCURRENCY_MAX = 4096
OUTBOX_BATCHES = 64  # batches of matches that may wait for one handler
RESULTS_MAX = 65_536  # values kept for Trigger.results()


class Handler:
    """One function of a trigger and how it is called.

    per_match: called with a dict for each match instead of a record batch for all.
    results: what it returns is kept for `Trigger.results()` and tickets; True, or how many values at most.
    concurrency: None: on the dispatcher's thread; else how many calls at most run at the same time.
    outbox: how many batches may wait for it, if it has its own threads or is a coroutine function; None: 64.
    loop: for a coroutine function: the event loop; None: the engine's own.
    ids: matches come with the columns that name them (match_log.py).

    >>> Handler(print, concurrency=2).outbox
    64
    """

    def __init__(
        self, function: Callable[[Any], Any], *, per_match: bool = False, results: bool | int = False, retries: int = 0,
        backoff: float = 0.0, concurrency: int | None = None, outbox: int | None = None,
        loop: asyncio.AbstractEventLoop | None = None, ids: bool = False,
    ) -> None:  # fmt: skip
        if not callable(function):
            raise TypeError(f"a handler must be callable; {function!r} is not")
        self.function = function
        self.name = getattr(function, "__qualname__", None) or repr(function)
        # The function itself, or an object with an async __call__.
        called = (function, type(function).__call__)
        self.asynchronous = any(map(inspect.iscoroutinefunction, called))
        _whole(self.name, "retries", retries, 0)
        _seconds(self.name, "backoff", backoff)
        if concurrency is not None:
            _whole(self.name, "concurrency", concurrency, 1, CONCURRENCY_MAX)
        own = self.asynchronous or concurrency is not None
        if outbox is not None:
            _whole(self.name, "outbox", outbox, 1)
            if not own:
                raise ValueError(
                    f"handler {self.name}: outbox={outbox} is for handlers on threads of their own (concurrency=) and "
                    "for coroutine functions; this one is called on the dispatcher's thread"
                )
        if loop is not None and not self.asynchronous:
            raise TypeError(f"handler {self.name}: loop= is for a coroutine function (async def)")
        if loop is not None and not isinstance(loop, asyncio.AbstractEventLoop):
            raise TypeError(
                f"handler {self.name}: loop={loop!r} is not an asyncio event loop; give asyncio.get_running_loop()"
            )
        if not isinstance(results, bool):
            _whole(self.name, "results", results, 1)
        self.per_match = per_match
        self.ids = ids
        self.retries = retries
        self.backoff = backoff
        self.concurrency = 1 if concurrency is None and self.asynchronous else concurrency
        self.outbox = OUTBOX_BATCHES if outbox is None else outbox
        self.loop = loop
        # PERF: the usual handlers, settled without a Delivery.
        self.plain = not per_match and not results
        self.each = per_match and not results
        self.place = 0  # among the handlers of its trigger
        self.results_dropped = 0
        self._results: deque[Any] | None = None
        if results:
            self._results = deque(maxlen=RESULTS_MAX if results is True else results)
        self._lock = threading.Lock()
        self.counters = TriggerCounters()  # those of its trigger, from Outlet.add on

    # ------------------------------------------------------------------ calls

    def call(self, argument: Any) -> tuple[Any, BaseException | None]:
        """What the function returned, or with None the last exception."""
        counters = self.counters
        attempt = 0
        while True:
            counters.calls.add()
            try:
                returned = self.function(argument)
                if type(returned) is not CoroutineType:
                    return returned, None
                returned.close()
                raise TypeError(  # a handler's fault like any other
                    f"handler {self.name} returned a coroutine that nobody would await; register an async def "
                    "function itself, not one that calls it"
                )
            except Exception as failure:
                counters.failures.add()
                if attempt == self.retries:
                    return None, failure
            except BaseException as failure:
                counters.failures.add()
                return None, failure
            time.sleep(self.backoff * 2**attempt)
            attempt += 1
            counters.retries.add()

    async def call_async(self, argument: Any) -> tuple[Any, BaseException | None]:
        """The same on an event loop."""
        counters = self.counters
        for attempt in range(self.retries + 1):
            counters.calls.add()
            if attempt:
                counters.retries.add()
            try:
                return await self.function(argument), None
            except Exception as failure:
                counters.failures.add()
                if attempt == self.retries:
                    return None, failure
                last = failure
            except BaseException as failure:
                counters.failures.add()
                return None, failure
            try:
                await asyncio.sleep(self.backoff * 2**attempt)
            except asyncio.CancelledError as cancelled:
                cancelled.__context__ = last
                return None, cancelled
        raise AssertionError("unreachable")

    # ------------------------------------------------------------------ results

    @property
    def keeps_results(self) -> bool:
        """Whether what it returns is kept."""
        return self._results is not None

    def keep(self, returned: Any) -> bool:
        """Keeps a value; True when it is the first that pushed another one out."""
        assert self._results is not None
        with self._lock:
            full = len(self._results) == self._results.maxlen
            self._results.append(returned)
            self.results_dropped += full
            return full and self.results_dropped == 1

    def take_results(self) -> list[Any]:
        """The values that are kept; they no longer are."""
        if self._results is None:
            return []
        with self._lock:
            found = list(self._results)
            self._results.clear()
        return found


class Delivery:
    """One batch of matches on its way to the handlers of its trigger.

    number: grows from delivery to delivery in the whole engine.  first, last: sequences of the rows of the trigger's
    source that led to it.  origin: the same in the stream from which it all came, None: no event's (the watermark
    moved, or the input ended), or nobody keeps results.  stamp: when the push that led to it was accepted.  wide: the
    matches with their ids, if some handler wants them.  done: called once all have handled it.
    """

    __slots__ = ("_hands", "_lock", "done", "first", "last", "matches", "number", "origin", "stamp", "wide")

    def __init__(
        self, matches: pa.RecordBatch, first: int, last: int, number: int, origin: tuple[int, int] | None,
        stamp: int = 0, hands: int = 1, wide: pa.RecordBatch | None = None, done: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self.wide = wide
        self.done = done
        self.stamp = stamp
        self._hands = hands  # lanes that have not handled it, and the dispatcher
        self._lock = threading.Lock()
        self.matches = matches
        self.first = first
        self.last = last
        self.number = number
        self.origin = origin

    def leave(self, counters: TriggerCounters) -> None:
        """One of those who handle it has done so; the last one's time counts."""
        with self._lock:
            self._hands -= 1
            last = self._hands == 0
        if last:
            counters.done(self.stamp)
            if self.done is not None:
                self.done()

    def seen_by(self, handler: Handler) -> pa.RecordBatch:
        """The matches as `handler` wants them."""
        return self.wide if handler.ids else self.matches

    def part(self, handler: Handler, unit: int, count: int = 1) -> pa.RecordBatch:
        """The matches of `count` calls of `handler`, from call `unit` on."""
        return self.matches.slice(unit, count) if handler.per_match else self.matches

    def argument(self, handler: Handler, unit: int) -> Any:
        """What call `unit` of `handler` gets."""
        matches = self.seen_by(handler)
        return matches.slice(unit, 1).to_pylist()[0] if handler.per_match else matches


def _whole(handler: str, option: str, value: Any, least: int, most: int | None = None) -> None:
    if type(value) is not int or value < least or (most is not None and value > most):
        between = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"handler {handler}: {option}={value!r} must be a whole number {between}")


def _seconds(handler: str, option: str, value: Any) -> None:
    if not isinstance(value, (int, float)) or not 0 <= value < 1e9:
        raise ValueError(f"handler {handler}: {option}={value!r} must be seconds, not below zero")
