"""The pull side of a trigger: an iterator over batches of matches, for threads (`for`) and event loops (`async for`).

    outlet ──▶ MatchBuffer (bounded) ──▶ MatchIterator (whom the user holds)
    match log ──▶ History ─────────────────▲  before the others, with start=

The outlet knows the buffer only, and the buffer's iterator weakly: an iterator that nobody holds any more is not
waited for. A batch is handed over inside __next__ and __anext__, under the buffer's lock, never by the wake-up
itself: so a task that is cancelled while it waits, or just after it was woken, takes no batch with it. All tasks that
wait are woken, and those that find nothing wait again.

From history to live without a gap or a double: the buffer is known to the outlet first, then the history is cut where
the match log ends at that moment (`after`), and the outlet writes a batch to the log before it looks who takes it. So
a batch below the cut is in the history, and one above it comes into the buffer; those below it that came there too are
passed over.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator

import pyarrow as pa

from .dispatch import Dispatch

logger = logging.getLogger("tocsin")

MATCHES_MAX = 1024  # batches
UNLOGGED = -1  # the place of a batch that is in no match log


class MatchIterator:
    """The pull side of a trigger: yields a pyarrow.RecordBatch for each batch of matches; ends when the engine closes.

    Waits for the next batch; matches from before it was made are not seen. Several threads and tasks may share it: each
    batch goes to one of them. `close()` ends it early.
    """

    def __init__(self, buffer: MatchBuffer, history: History | None = None) -> None:
        self._buffer = buffer
        self._history = history
        weakref.finalize(self, buffer.close).atexit = False

    def __iter__(self) -> MatchIterator:
        return self

    def __next__(self) -> pa.RecordBatch:
        if self._history is not None:
            matches = self._history.next()
            if matches is not None:
                return matches
            self._history = None
        matches = self._buffer.take()
        if matches is None:
            raise StopIteration
        return matches

    def __aiter__(self) -> MatchIterator:
        return self

    async def __anext__(self) -> pa.RecordBatch:
        if self._history is not None:
            matches = await asyncio.to_thread(self._history.next)
            if matches is not None:
                return matches
            self._history = None
        matches = await self._buffer.take_async()
        if matches is None:
            raise StopAsyncIteration
        return matches

    def close(self) -> None:
        """Ends the iteration; what was not taken is let go."""
        self._history = None
        self._buffer.close()


class History:
    """The batches of a reader, for several threads; each goes to one of them."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self._lock = threading.Lock()

    def next(self) -> pa.RecordBatch | None:
        """The next batch, or None at the end. Raises StoreError where it is damaged."""
        with self._lock:
            return next(self._batches, None)


class MatchBuffer:
    """What waits for one MatchIterator, at most `limit` batches (None: any number). drop: called once it is closed.

    ids: it wants the columns that name matches.
    """

    def __init__(
        self, trigger: str, limit: int | None, dispatch: Dispatch, inline: bool, drop: Callable[[MatchBuffer], None],
        ids: bool = False,
    ) -> None:  # fmt: skip
        self.ids = ids
        self._trigger = trigger
        self._limit = limit
        self._dispatch = dispatch
        self._inline = inline
        self._drop = drop
        self._batches: deque[tuple[int, pa.RecordBatch]] = deque()  # with the place of each in the match log
        self.after = UNLOGGED  # those before it are the history's
        self._ended = False
        self._closed = False
        # Its lock is re-entrant: a collected iterator closes its buffer wherever the collector happens to run.
        self._changed = threading.Condition()
        self._sleepers: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()

    # ------------------------------------------------------------------ for the outlet

    def full(self) -> str | None:
        """Why nothing should go in, or None."""
        if self._limit is None or len(self._batches) < self._limit or self._closed or self._dispatch.closing:
            return None
        return (
            f"trigger {self._trigger!r}: {len(self._batches)} batches wait for who iterates over its matches(); take "
            "them, close the iterator, or give matches(limit=) a larger number"
        )

    def put(self, matches: pa.RecordBatch, place: int) -> None:
        """The next batch, whose first row is `place` in the match log; waits for room.

        workers=0: it goes in, and the next push is refused while it is full.
        """
        if self.full():
            if self._inline:
                self._dispatch.overflows(self, True)
            else:
                self._dispatch.wait_for_room(self.full, self._slow)
        with self._changed:
            if not self._closed:
                self._batches.append((place, matches))
                self._changed.notify()
        self._wake()

    def finish(self) -> None:
        """No more will come; what there is can still be taken."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._wake()

    def in_child(self) -> None:
        """In a forked process: the lock may be held by a thread that is not here, and nothing comes any more."""
        self._changed = threading.Condition()
        self._sleepers.clear()
        self._ended = True

    def _slow(self) -> None:
        logger.warning("tocsin: the engine waits; %s", self.full())

    # ------------------------------------------------------------------ for the iterator

    def take(self) -> pa.RecordBatch | None:
        """The next batch, which is waited for; None at the end."""
        while True:
            with self._changed:
                while not self._batches:
                    if self._ended:
                        return None
                    self._changed.wait()
                place, matches = self._batches.popleft()
            self._taken()
            if place >= self.after:
                return matches

    async def take_async(self) -> pa.RecordBatch | None:
        """The same without blocking the event loop."""
        loop = asyncio.get_running_loop()
        while True:
            sleeper = (loop, loop.create_future())
            place = UNLOGGED
            matches: pa.RecordBatch | None = None
            with self._changed:
                if self._batches:
                    place, matches = self._batches.popleft()
                elif self._ended:
                    return None
                else:
                    self._sleepers.append(sleeper)
            if matches is not None:
                self._taken()
                if place >= self.after:
                    return matches
                continue
            try:
                await sleeper[1]
            finally:
                with self._changed:
                    if sleeper in self._sleepers:
                        self._sleepers.remove(sleeper)

    def close(self) -> None:
        """Ends the iteration; what was not taken is let go."""
        with self._changed:
            self._closed = self._ended = True
            self._batches.clear()
            self._changed.notify_all()
        self._wake()
        self._taken()
        self._drop(self)

    def _taken(self) -> None:
        if self in self._dispatch.overfull:
            self._dispatch.overflows(self, self.full() is not None)
        self._dispatch.made_room()

    def _wake(self) -> None:
        """Wakes all tasks that wait: they are few, and one may have been cancelled, or its loop may have stopped."""
        while self._sleepers:
            try:
                loop, future = self._sleepers.popleft()
            except IndexError:
                return
            try:
                loop.call_soon_threadsafe(_set, future)
            except RuntimeError:  # that loop is closed
                continue


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
