"""LoopLane: the lane of a coroutine function: its calls run as tasks of an event loop.

    put(delivery) ──▶ outbox ──▶ call_soon_threadsafe(begin) ──▶ at most `concurrency` tasks: await, retry, settle

A task takes call after call until the outbox is empty, then it ends: an idle lane has no task, and a loop that stops
leaves none behind. `_tasks` counts those that run or are about to; it is lowered under the lock in which the outbox was
seen to be empty, so a `put` either finds a task that will look again, or starts one.

The loop is the engine's own, or the user's, and the user's may end at any time. Closed: the calls that wait and those
that have begun become dead letters, at once. Stopped (it may run again): the same, once somebody has waited for them
for LOOP_SECONDS (`poll`), and at once from then on until it runs. A call that was given up and comes back to life
later is not counted again: `_flying` has those that count. A task that is cancelled, as by the end of `asyncio.run`,
makes a dead letter of its call and ends.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from typing import Any

from .dispatch import Dispatch
from .errors import TocsinError
from .handlers import Delivery, Handler
from .lanes import Job, Outbox, Settles

logger = logging.getLogger("tocsin")

LOOP_SECONDS = 2.0  # so long may a loop stand still while somebody waits for it


class LoopLane(Outbox):
    """See the module."""

    loop: asyncio.AbstractEventLoop

    def __init__(
        self, handler: Handler, outlet: Settles, dispatch: Dispatch, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(handler, outlet, dispatch)
        self.loop = loop
        self._own = handler.loop is None
        self._flying: dict[tuple[int, int], Job] = {}
        self._tasks = 0
        self._running: set[asyncio.Task[None]] = set()  # an event loop holds its tasks only weakly
        self._still_since: float | None = None
        self._stopped = False

    def put(self, delivery: Delivery) -> Job:
        """Adds a job and sees to it that a task takes it."""
        job = super().put(delivery)
        if self._stopped and not self.loop.is_running():
            self._give_up("has stopped")
        else:
            self._stopped = False
            self._start(job.units)
        return job

    def _start(self, most: int) -> None:
        """Starts tasks, `most` of them, if so many may run."""
        with self._ready:
            count = min(most, (self.handler.concurrency or 1) - self._tasks)
            self._tasks += count
        if not count:
            return
        try:
            # All in one call: a task that begins alone may do all the work before the next one is asked for.
            self.loop.call_soon_threadsafe(self._begin_tasks, count)
        except RuntimeError:  # closed
            with self._ready:
                self._tasks -= count
            self._give_up("is closed")

    def _begin_tasks(self, count: int) -> None:
        for begun in range(count):
            run = self._run()
            try:
                task = self.loop.create_task(run, context=self._dispatch.handler_context())
            except BaseException:
                run.close()
                with self._ready:
                    self._tasks -= count - begun
                raise
            self._running.add(task)
            task.add_done_callback(self._end_task)

    def _end_task(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        # Cancelled, perhaps before it began; or sys.exit() on a loop of the user's, which has it already.
        if task.cancelled() or task.exception() is not None:
            with self._ready:
                self._tasks -= 1

    # ------------------------------------------------------------------ the task

    async def _run(self) -> None:
        while await self._one():
            pass

    async def _one(self) -> bool:
        """One call; False when there is none, and the task is no longer counted."""
        with self._ready:
            if not self._queue:
                self._tasks -= 1
                return False
            job, unit = self._begin()
            self._flying[job.number, unit] = job
        self._dispatch.made_room()
        delivery = job.delivery
        failure: BaseException | None
        returned: Any = None
        try:
            returned, failure = await self.handler.call_async(delivery.argument(self.handler, unit))
        except BaseException as unexpected:
            failure = unexpected
        with self._ready:
            counts = self._flying.pop((job.number, unit), None) is not None
        if counts:
            try:
                self._outlet.settle(self.handler, delivery, unit, returned, failure)
            except BaseException as broken:
                logger.exception("tocsin: the task of a handler goes on after an error")
                self._dispatch.fault(broken)
            finally:
                self._done(job)
        if isinstance(failure, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise failure
        elif isinstance(failure, GeneratorExit):  # the loop is gone, and this coroutine with it
            raise failure
        elif failure is not None and not isinstance(failure, Exception):
            if not self._own:
                raise failure
            self._dispatch.fault(failure)
        return True

    # ------------------------------------------------------------------ a loop that ends

    def poll(self) -> None:
        """Looks whether the loop still runs, for somebody who waits."""
        with self._ready:
            if not self._unfinished:
                self._still_since = None
                return
        if self.loop.is_closed():
            self._give_up("is closed")
        elif self.loop.is_running():
            self._still_since = None
            self._stopped = False
            if self._queue and self._tasks == 0:  # they were cancelled
                self._start(1)
        elif self._still_since is None:
            self._still_since = time.monotonic()
        elif time.monotonic() - self._still_since > LOOP_SECONDS:
            self._stopped = True
            self._give_up("has stopped")

    def _give_up(self, why: str) -> None:
        """Makes dead letters of all that waits and all that has begun."""
        failure = TocsinError(
            f"the event loop of handler {self.handler.name} {why}: its matches cannot be handled; close the engine "
            "before the loop ends, or leave loop= out"
        )
        with self._ready:
            queue = [(job, job.taken, job.units - job.taken) for job in self._queue]
            flying = [(job, unit, 1) for (_, unit), job in self._flying.items()]
            for job in self._queue:
                job.taken = job.units
            self._queue.clear()
            self._flying.clear()
        self._dispatch.made_room()
        if self.loop.is_closed():
            for task in list(self._running):  # those that never came to their first step would complain of it
                run = task.get_coro()
                if inspect.iscoroutine(run) and inspect.getcoroutinestate(run) == inspect.CORO_CREATED:
                    run.close()
        for job, unit, count in sorted(flying + queue, key=lambda part: (part[0].number, part[1])):
            delivery = job.delivery
            self._outlet.give_up(self.handler, delivery, delivery.part(self.handler, unit, count), failure)
            self._done(job, count)
