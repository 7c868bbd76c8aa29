"""Dispatch: what the lanes of one engine share: who may wait for whom, and the engine's own event loop.

    dispatcher ──▶ Outlet ──▶ handlers without concurrency=, called at once
                         ├──▶ ThreadLane (outbox, n threads)       thread_lane.py
                         ├──▶ LoopLane (outbox, n tasks of a loop)  loop_lane.py
                         └──▶ MatchBuffer (of trigger.matches())    matches.py

A lane and a buffer are bounded. When one is full the dispatcher waits (`wait_for_room`), hence the worker, hence the
pushes: that is back-pressure, and nothing is lost. With workers=0 it is the pushing thread that waits.

Nobody waits in a circle. A handler that pushes may have to wait for room in the ring or for a lock of the engine
(`handler_waits`), and what it waits for may wait for the lane of that very handler, or of one that waits for it in
turn. So while any handler waits, nobody waits for room in a lane: batches go in beyond the bound. A handler's own
thread never waits for room at all. A handler that always pushes more than it is given makes its outbox grow; that
is a loop of the user's.

The event loop of a coroutine function must not be blocked by what only that loop can end: flush, close and
`Ticket.results` are refused on its thread, and a push raises BackpressureError where it would wait.

Who is in a handler is known by a context variable, so it holds for its thread, its task, and the tasks and threads
(`asyncio.to_thread`) that a task starts.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import time
from asyncio import AbstractEventLoop, _get_running_loop
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from typing import Protocol

logger = logging.getLogger("tocsin")

HANDLING: ContextVar[object] = ContextVar("tocsin_handling", default=None)
ROOM_SECONDS = 0.1  # who waits for room looks again so often, whether a loop still runs


class Lane(Protocol):
    """A handler's own threads or tasks, and the batches that wait for them."""

    loop: AbstractEventLoop | None

    def full(self) -> str | None:
        """Why nothing should go in, or None."""

    def mark(self, done: Callable[[], None]) -> None:
        """Calls `done` when all that was put in before has been handled."""

    def poll(self) -> None:
        """Looks whether who has to handle still lives."""

    def end(self) -> None:
        """Nothing more is put in; what there is will be handled."""

    def join(self) -> None:
        """Waits for its threads, after its last batch."""


class Room(Protocol):
    """What can be too full for a push with workers=0."""

    def full(self) -> str | None:
        """Why nothing can go in, or None."""


class Dispatch:
    """See the module. fault: takes what the next push or flush has to raise."""

    def __init__(self, fault: Callable[[BaseException], None]) -> None:
        self.fault = fault
        self.keeping = False  # a handler keeps results: tickets are to be known
        self.plain = True  # PERF: none of keeping, overfull, loops: a push looks at one attribute
        self.bare = True  # plain, and no lanes
        self.closing = False  # the engine takes no more pushes: back-pressure has nobody to press
        self.numbers = itertools.count()  # of deliveries
        self.pushes = 0  # of handlers on lanes
        # Replaced, never changed, so that they can be gone through without a lock.
        self.lanes: tuple[Lane, ...] = ()
        self.loops: frozenset[AbstractEventLoop] = frozenset()
        self.overfull: frozenset[Room] = frozenset()  # workers=0
        self._room = threading.Condition()
        self._wanted = 0
        self._handlers_waiting = 0
        self._lock = threading.RLock()
        self._token = object()
        self._own_loop: LoopThread | None = None

    # ------------------------------------------------------------------ who is calling

    def enter(self) -> None:
        """This thread, or this context, is a handler's."""
        HANDLING.set(self._token)

    def handler_context(self) -> Context:
        """A new context that is a handler's, for a task."""
        context = Context()
        context.run(self.enter)
        return context

    def in_lane(self) -> bool:
        """Whether a handler on a thread or loop of its own is calling."""
        return HANDLING.get() is self._token

    def on_handler_loop(self) -> bool:
        """Whether this is the thread of a running event loop that has to run handlers."""
        return bool(self.loops) and _get_running_loop() in self.loops

    # ------------------------------------------------------------------ who waits for whom

    @contextmanager
    def handler_waits(self) -> Iterator[None]:
        """A handler waits for something of the engine's: meanwhile nobody waits for room in a lane."""
        with self._room:
            self._handlers_waiting += 1
            self._room.notify_all()
        try:
            yield
        finally:
            with self._room:
                self._handlers_waiting -= 1

    def wait_for_room(self, full: Callable[[], object], slow: Callable[[], None] | None = None) -> None:
        """Waits while `full()` holds, unless that could be a circle; calls `slow` after ten looks."""
        if self.in_lane() or self.on_handler_loop():
            return
        looks = 0
        while full() and not self._handlers_waiting:
            with self._room:
                # made_room reads _wanted after room was made, and this reads full() after _wanted: one sees the other.
                self._wanted += 1
                try:
                    if full() and not self._handlers_waiting:
                        self._room.wait(ROOM_SECONDS)
                finally:
                    self._wanted -= 1
            self.poll()
            looks += 1
            if looks == 10 and slow is not None:
                slow()

    def made_room(self) -> None:
        """There may be room now, where somebody waits for it."""
        if self._wanted:
            with self._room:
                self._room.notify_all()

    def in_child(self) -> None:
        """In a forked process: the locks may be held by threads that are not here."""
        self._room = threading.Condition()
        self._lock = threading.RLock()
        self.closing = True

    def count_push(self) -> None:
        """A handler on a lane pushes: flush has to look again."""
        with self._lock:
            self.pushes += 1

    def overflows(self, room: Room, so: bool) -> None:
        """`room` is too full, or (so=False) no longer."""
        with self._lock:
            self.overfull = self.overfull | {room} if so else self.overfull - {room}
            self._look()

    def keep_results(self) -> None:
        """A handler keeps results, from the next push on."""
        with self._lock:
            self.keeping = True
            self._look()

    def _look(self) -> None:
        self.plain = not (self.keeping or self.overfull or self.loops)
        self.bare = self.plain and not self.lanes

    # ------------------------------------------------------------------ lanes

    def add(self, lane: Lane) -> None:
        """A lane that begins."""
        with self._lock:
            self.lanes += (lane,)
            if lane.loop is not None:
                self.loops |= {lane.loop}
            self._look()

    def drop(self, lane: Lane) -> None:
        """A lane that has handled its last."""
        with self._lock:
            self.lanes = tuple(other for other in self.lanes if other is not lane)
            loops = Counter(other.loop for other in self.lanes if other.loop is not None)
            self.loops = frozenset(loops)
            self._look()

    def own_loop(self) -> AbstractEventLoop:
        """The engine's own event loop; started when it is first asked for."""
        with self._lock:
            if self._own_loop is None:
                self._own_loop = LoopThread(self.fault)
            return self._own_loop.loop

    def when_handled(self, done: Callable[[], None]) -> None:
        """Calls `done` when the lanes have handled all that they were given before; at once if that is now."""
        lanes = self.lanes
        if not lanes:
            done()
            return
        countdown = _Countdown(len(lanes), done)
        for lane in lanes:
            lane.mark(countdown)

    def poll(self) -> None:
        """Looks whether the loops still run: what waits for one that does not becomes dead letters."""
        if self.loops:
            for lane in self.lanes:
                lane.poll()

    def end(self, lanes: tuple[Lane, ...], until: float | None = None) -> None:
        """Waits until `lanes`, which were told to end, have; then ends the engine's own loop. Not beyond `until`."""
        handled = threading.Event()
        countdown = _Countdown(len(lanes) + 1, handled.set)
        countdown()
        for lane in lanes:
            lane.mark(countdown)
        while not handled.wait(ROOM_SECONDS if self.loops or until is not None else None):
            self.poll()
            if until is not None and time.monotonic() > until:
                logger.error("tocsin: handlers on threads or loops of their own did not end")
                return
        for lane in lanes:
            lane.join()
        if self._own_loop is not None:
            self._own_loop.end()


class _Countdown:
    """Calls `done` when it has been called `count` times."""

    def __init__(self, count: int, done: Callable[[], None]) -> None:
        self._left = count
        self._done = done
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left:
                return
        self._done()


class LoopThread:
    """An event loop on a daemon thread."""

    def __init__(self, fault: Callable[[BaseException], None]) -> None:
        self.loop = asyncio.new_event_loop()
        self._fault = fault
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="tocsin-loop", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        loop = self.loop
        asyncio.set_event_loop(loop)
        while not self._ended:  # a handler may stop it, or leave it by sys.exit() in a task of its own
            try:
                loop.run_forever()
            except BaseException as failure:
                logger.exception("tocsin: the event loop goes on after an error")
                self._fault(failure)
        try:
            left = asyncio.all_tasks(loop)  # that handlers have started and not awaited
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    def end(self) -> None:
        """Cancels what handlers have left, closes the loop, and waits for the thread."""
        self._ended = True
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
