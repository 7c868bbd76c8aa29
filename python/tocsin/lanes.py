"""Lanes: a handler's outbox, and the threads of its own that empty it.

    put(delivery) ──▶ outbox: at most `handler.outbox` batches ──▶ take() ──▶ n threads: call, retry, settle

One *job* is one batch of matches for one handler. It is one call, or with per_match one call for each match, and these
are taken one by one by whoever is free; so `concurrency` bounds calls, not batches. With one thread they come in order.

Invariants: a job is in `_unfinished` from `put` until its last call has been settled (returned, or became a dead
letter). Jobs are numbered in the order of `put`, so the first key of `_unfinished` says up to where all is handled:
that is what marks (flush, tickets, close) wait for. `put` is called by one thread at a time.

Cost: a batch through a lane of one thread costs two switches of threads, 20 us or so, and one allocation.
"""

from __future__ import annotations

import logging
import threading
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from typing import Protocol

import pyarrow as pa

from .dispatch import Dispatch
from .handlers import Delivery, Handler

logger = logging.getLogger("tocsin")


class Settles(Protocol):
    """What a lane needs of its outlet."""

    def settle(
        self, handler: Handler, delivery: Delivery, unit: int, returned: object, failure: BaseException | None
    ) -> None:
        """A call has ended: its result is kept, or its matches become a dead letter."""

    def give_up(
        self, handler: Handler, delivery: Delivery, rows: pa.RecordBatch, failure: BaseException
    ) -> None:
        """`rows` could not be handled."""


class Job:
    """A delivery for one handler. units: how many calls it takes.  taken, left: how many have begun, not yet ended."""

    __slots__ = ("delivery", "left", "number", "taken", "units")

    def __init__(self, delivery: Delivery, units: int, number: int) -> None:
        self.delivery = delivery
        self.units = self.left = units
        self.number = number
        self.taken = 0


class Outbox:
    """The jobs of one handler, and who waits for them to be done."""

    loop: AbstractEventLoop | None = None

    def __init__(self, handler: Handler, outlet: Settles, dispatch: Dispatch) -> None:
        self.handler = handler
        self._outlet = outlet
        self._dispatch = dispatch
        self._queue: deque[Job] = deque()
        self._unfinished: dict[int, Job] = {}
        self._marks: deque[tuple[int, Callable[[], None]]] = deque()
        self._last = -1  # number of the newest job
        self._ended = False
        self._ready = threading.Condition()

    def full(self) -> str | None:
        """Why nothing should go in, or None."""
        if len(self._queue) < self.handler.outbox:
            return None
        return f"{len(self._queue)} batches wait for the handler {self.handler.name}"

    def put(self, delivery: Delivery) -> Job:
        """Adds a job; waits for room (dispatch.py: when that is given up)."""
        if self.full():
            self._dispatch.wait_for_room(self.full)
        units = delivery.matches.num_rows if self.handler.per_match else 1
        with self._ready:
            self._last += 1
            job = Job(delivery, units, self._last)
            self._unfinished[job.number] = job
            self._queue.append(job)
            self._ready.notify(min(units, self.handler.concurrency or 1))
        return job

    def mark(self, done: Callable[[], None]) -> None:
        """Calls `done` when all that was put in before has been handled."""
        with self._ready:
            if self._unfinished:
                self._marks.append((self._last, done))
                return
        done()

    def _begin(self) -> tuple[Job, int]:
        """The next call; the lock is held and there is a job."""
        job = self._queue[0]
        unit = job.taken
        job.taken += 1
        if job.taken == job.units:
            self._queue.popleft()
        return job, unit

    def _done(self, job: Job, units: int = 1) -> None:
        """So many calls of `job` have been settled."""
        with self._ready:
            job.left -= units
            if job.left:
                return
            job.delivery.leave(self.handler.counters)
            del self._unfinished[job.number]
            reached = []
            oldest = next(iter(self._unfinished), self._last + 1)
            while self._marks and self._marks[0][0] < oldest:
                reached.append(self._marks.popleft()[1])
        for done in reached:
            done()

    def poll(self) -> None:
        """Looks whether who has to handle still lives: threads of our own do."""

    def end(self) -> None:
        """Nothing more is put in; what there is will be handled."""
        with self._ready:
            self._ended = True
            self._ready.notify_all()
        self.mark(self._leave)

    def _leave(self) -> None:
        self._dispatch.drop(self)

    def join(self) -> None:
        """Waits for its threads, after its last batch."""


class ThreadLane(Outbox):
    """The lane of a handler with `concurrency` threads."""

    def __init__(self, handler: Handler, outlet: Settles, dispatch: Dispatch) -> None:
        super().__init__(handler, outlet, dispatch)
        self._threads: list[threading.Thread] = []
        try:
            for number in range(handler.concurrency or 1):
                # Daemons, like the engine's other threads: the end of the interpreter closes engines first.
                thread = threading.Thread(
                    target=self._run, name=f"tocsin-handler-{handler.name}-{number}", daemon=True
                )
                thread.start()
                self._threads.append(thread)
        except BaseException:
            self.end()
            raise

    def _run(self) -> None:
        self._dispatch.enter()
        while self._one():
            pass

    def _one(self) -> bool:
        """Waits for one call and does it; False at the end. A frame of its own: who waits holds no batch."""
        with self._ready:
            while not self._queue:
                if self._ended:
                    return False
                self._ready.wait()
            job, unit = self._begin()
        self._dispatch.made_room()
        delivery = job.delivery
        try:
            returned, failure = self.handler.call(delivery.argument(self.handler, unit))
            self._outlet.settle(self.handler, delivery, unit, returned, failure)
        except BaseException as broken:  # of our own
            logger.exception("tocsin: the thread of a handler goes on after an error")
            self._dispatch.fault(broken)
        else:
            if failure is not None and not isinstance(failure, Exception):
                self._dispatch.fault(failure)  # sys.exit() in a handler is raised by the next push or flush
        finally:
            self._done(job)
        return True

    def join(self) -> None:
        """Waits for its threads, after its last batch."""
        for thread in self._threads:
            thread.join()
