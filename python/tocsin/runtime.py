"""Runtime: the engine's rings, shard, threads and outlets, and their life from start to close.

    workers=1     push ─▶ inbox ─▶ worker thread (shard.run, no GIL) ─▶ outbox ─▶ dispatcher thread ─▶ outlets
    workers=0     push ─▶ inbox ─▶ shard.drain ─▶ pending ─▶ outlets, all on the pushing thread

`Engine`, `Stream` and `Trigger` are faces on this; they know it, it knows none of them, and so an engine that nobody
holds any more can be collected while its threads still run: its threads then finish what was pushed and end.

Locks, in the order in which they are taken:
    workers=0     `lock` alone, for a whole push with matching and handlers. Re-entrant: a handler may push; what it
                  pushes is matched at once and handled after the batch in hand (`pump`).
    workers=1     a stream's lock while a batch goes in; `lock` while triggers are added or removed.
The dispatcher never waits for one of them, nor for room in the inbox, without emptying the outbox meanwhile into
`pending` (`acquire`, `claim`): so a handler may push, and nobody waits in a circle. A handler that always pushes more
than it is given makes `pending` grow; that is a loop of the user's.

Signals: Ctrl-C raises between any two steps of the main thread. A slot that was claimed by then is published as one
that says nothing (`Ring.settle`), and locks that a push needs are taken by `with`, which lets nothing come between.

States: open -> closing -> closed; "forked" in a child process, where the threads do not exist.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from tocsin_core.crew import Crew
from tocsin_core.intake import claim_slots, try_claim_slot
from tocsin_core.operator import Operator
from tocsin_core.ring import Ring
from tocsin_core.shard import BARRIER, CONTROL, DATA, FAULT, FINISH, Shard
from tocsin_core.status import ClosedError, TocsinError
from tocsin_core.topology import Node, Routes

from .handlers import Outlet

logger = logging.getLogger("tocsin")

EXIT_SECONDS = 5.0  # how long the end of the interpreter waits for an engine that nobody closed


class FlushTimeoutError(TocsinError, TimeoutError):
    """flush() or close() did not come to its end in the time given; the engine goes on."""


class Runtime:
    """See the module. workers: 0 to 64.  block: a full ring is waited for, else refused."""

    def __init__(self, workers: int, ring_slots: int, block: bool) -> None:
        self.inline = workers == 0
        self.workers = workers
        self.block = block
        self.state = "open"
        self.lock = threading.RLock()
        self.inbox = Ring(ring_slots, recycles=True)
        outbox = None if self.inline else Ring(ring_slots, many_producers=False)
        self.outbox = outbox
        self.shard = Crew(self.inbox, outbox, workers) if workers > 1 else Shard(self.inbox, outbox)
        self.outlets: dict[int, Outlet] = {}
        self.stream_locks: list[Any] = []  # workers=1: who has them all knows that no push is under way
        self.on_close: list[Callable[[], None]] = []  # the streams' last words, before the end of input
        self.on_closed: list[Callable[[], None]] = []  # when all is handled: the store
        self.handler_pushes = 0
        self._sources = 0
        self._nodes: dict[int, Node] = {}
        self._owned = [0] * max(workers, 1)  # per worker: triggers that it runs alone
        self._routes: dict[int, Routes] = {}  # by ticket, until a later one has been answered
        self._leaving: dict[int, int] = {}  # ticket -> trigger that is gone once it is answered
        self._tickets = itertools.count()
        self._barriers: dict[int, threading.Event] = {}
        self._pending: deque[tuple[Any, ...]] = deque()
        self._faults: deque[BaseException] = deque()
        self._pumping = False
        self._close_when_pumped = False
        self._closer: threading.Thread | None = None
        self._saying = threading.Lock()  # who says the last words
        self._said = False
        self._exit_deadline: float | None = None
        self._closed = threading.Event()
        self._dispatcher_ident: int | None = None
        self._threads: list[threading.Thread] = []
        _live.add(self)
        if not self.inline:
            # Daemons, because the interpreter joins all others before it calls atexit, which closes engines.
            self._threads = [
                threading.Thread(
                    target=self.shard.run,
                    args=(number,),
                    name=f"tocsin-worker-{number}" if number else "tocsin-worker",
                    daemon=True,
                )
                for number in range(workers)
            ]
            self._threads.append(
                threading.Thread(target=self._dispatch, name="tocsin-dispatcher", daemon=True)
            )
            for thread in self._threads:
                thread.start()

    # ------------------------------------------------------------------ for streams

    def check(self) -> None:
        """Raises ClosedError unless the engine is open."""
        if self.state != "open":
            self._refuse()

    def _refuse(self) -> None:
        if self.state == "forked":
            raise ClosedError(
                "this engine was made before a fork and lives in the parent process; make one in the child"
            )
        raise ClosedError("the engine is closed")

    def acquire(self, lock: Any) -> None:
        """Takes a lock; the dispatcher goes on emptying the outbox while it waits."""
        if self.state == "forked":  # the lock may have been taken by a thread that is not here
            self._refuse()
        if not self.in_dispatcher():
            _take(lock, self._exit_deadline)
            return
        while not lock.acquire(timeout=0.001):
            self._pull()

    def claim(self, count: int, what: str) -> int:
        """The first of `count` claimed slots of the inbox."""
        if self.in_dispatcher():
            self.handler_pushes += 1
            if self.block and count == 1:
                while (slot := try_claim_slot(self.inbox, timeout=0.001)) is None:
                    self._pull()
                return slot
        if self.inline and self.block and count == 1:
            return self.claim_always()  # a table of more batches than the ring has slots
        # Inline the ring is emptied before the lock is given back: full means `count` is too much.
        return claim_slots(self.inbox, count, block=self.block and not self.inline, what=what)

    def in_dispatcher(self) -> bool:
        """Whether this is the dispatcher's thread, that is, a handler is calling."""
        return self._dispatcher_ident == threading.get_ident()

    def new_source(self) -> int:
        """A source id."""
        with self.lock:
            self._sources += 1
            return self._sources - 1

    # ------------------------------------------------------------------ triggers come and go

    def add_trigger(
        self, source: int, feeder: Any, operators: list[Operator], outlet: Outlet, *, timed: bool
    ) -> int:
        """A new trigger on `source`, from the next batch on; returns its source id. feeder: Intake or Operator.

        operators: one for each worker, if they run it by partition, else one.
        """
        self.acquire(self.lock)
        try:
            self.check()
            trigger = self.new_source()
            owner = min(range(len(self._owned)), key=self._owned.__getitem__)
            node = Node(trigger, source, operators, timed=timed, owner=owner)
            routes = Routes(self._sources, [*self._nodes.values(), node])
            self.shard.know(trigger, operators[0], feeder)
            self.outlets[trigger] = outlet
            self._nodes[trigger] = node
            try:
                self._switch(routes)
            except BaseException:
                if not any(known is routes for known in self._routes.values()):
                    del self._nodes[trigger], self.outlets[trigger]
                    self.shard.know(trigger, None)
                raise
            if len(operators) == 1:
                self._owned[owner] += 1
        finally:
            self.lock.release()
        return trigger

    def remove_trigger(self, trigger: int) -> None:
        """The trigger sees no further batch; its operator goes without a last word."""
        self.acquire(self.lock)
        try:
            self.check()
            routes = Routes(self._sources, [node for id, node in self._nodes.items() if id != trigger])
            self._switch(routes, leaving=trigger)
            node = self._nodes.pop(trigger)
            if len(node.operators) == 1:
                self._owned[node.owner] -= 1
            if self.inline:
                self.pump()
        finally:
            self.lock.release()

    def _switch(self, routes: Routes, leaving: int | None = None) -> int:
        slot = None
        ticket = next(self._tickets)
        try:
            slot = self.claim_always()
            self._routes[ticket] = routes
            if leaving is not None:
                self._leaving[ticket] = leaving
            self.shard.switch(slot, routes, ticket)
        except BaseException:
            # Interrupted before it was published, it has not happened; afterwards it has.
            if self.inbox.settle() or slot is None:
                self._routes.pop(ticket, None)
                self._leaving.pop(ticket, None)
            raise
        if self.inline and leaving is None:
            self.pump()
        return ticket

    def claim_always(self) -> int:
        """A slot for the engine itself: it waits for room whatever `overflow` says."""
        if self.inline:
            if self.inbox.depth == self.inbox.capacity:
                self._drain()  # the caller holds `lock`: nobody else would make room
            return claim_slots(self.inbox, 1, block=False, what="engine")
        while True:
            slot = try_claim_slot(self.inbox, timeout=0.001 if self.in_dispatcher() else 1.0)
            if slot is not None:
                return slot
            if self.in_dispatcher():
                self._pull()
            if self._exit_deadline is not None and time.monotonic() >= self._exit_deadline:
                raise FlushTimeoutError(_SLOW)

    # ------------------------------------------------------------------ what comes out

    def pump(self) -> None:
        """Inline: matches all that is in the inbox and handles what comes out. The caller holds `lock`.

        Called by a handler it only matches: the outermost call handles, so that handlers do not nest.
        """
        self._drain()
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._pending:
                self._handle(self._pending.popleft())
                if not self._pending:
                    self._drain()
        finally:
            self._pumping = False
        if self._close_when_pumped:
            self._close_when_pumped = False
            self._end_inline(finish=True)

    def _drain(self) -> None:
        shard, pending = self.shard, self._pending
        if shard.drain():
            while shard.take(into=pending):
                pass

    def _pull(self) -> None:
        self._pending.extend(self.shard.take() or ())

    def _dispatch(self) -> None:
        """The dispatcher's thread."""
        self._dispatcher_ident = threading.get_ident()
        pending, take = self._pending, self.shard.take
        while True:
            if not pending:
                items = take(timeout=None)
                if items is None:
                    break
                pending.extend(items)
                del items  # else the last batches would be kept until the next ones come
            while pending:
                try:
                    self._handle(pending.popleft())
                except BaseException as failure:  # of our own, or a handler's sys.exit(): the engine goes on
                    logger.exception("tocsin: the dispatcher goes on after an error")
                    self._faults.append(failure)
        self._finish_closing()

    def _handle(self, item: tuple[Any, ...]) -> None:
        kind, id, batch, first, last, fault, ticket = item
        if kind == DATA:
            self.outlets[id].deliver(batch, first, last)
        elif kind == FAULT:
            self.outlets[id].refuse(batch, first, last, fault[0], fault[1])
        elif kind == BARRIER:
            event = self._barriers.pop(ticket, None)
            if event is not None:
                event.set()
        elif kind == CONTROL:
            for older in [known for known in self._routes if known < ticket]:
                del self._routes[older]
            gone = self._leaving.pop(ticket, None)
            if gone is not None:
                self.outlets.pop(gone).end()
                self.shard.know(gone, None)

    def fault(self, failure: BaseException) -> None:
        """Takes what the next push or flush has to raise."""
        self._faults.append(failure)

    def raise_faults(self, note: str) -> None:
        """Raises what has gone wrong since the last call: the first fault, the others as notes."""
        if not self._faults:
            return
        faults = [self._faults.popleft() for _ in range(len(self._faults))]
        for other in faults[1:6]:
            faults[0].add_note(f"also: {type(other).__name__}: {other}")
        if len(faults) > 6:
            faults[0].add_note(f"and {len(faults) - 6} more")
        faults[0].add_note(note)
        raise faults[0]

    # ------------------------------------------------------------------ flush

    def flush(self, timeout: float | None) -> None:
        """Returns when all that was pushed, by handlers too, has been matched and handled; raises faults."""
        self.check()
        if self.inline:
            with self.lock:
                if self._pumping:
                    raise TocsinError(
                        "flush() in a handler would wait for that handler; push and return instead"
                    )
                self.check()
                self.pump()
        else:
            if self.in_dispatcher():
                raise TocsinError("flush() in a handler would wait for that handler; push and return instead")
            until = None if timeout is None else time.monotonic() + timeout
            while True:
                before = self.handler_pushes
                self._barrier(until)
                if self.handler_pushes == before:
                    break
        self.raise_faults(
            "everything that was pushed before has been accepted; the trigger goes on with the next batch"
        )

    def _barrier(self, until: float | None) -> None:
        self.check()
        event, ticket = threading.Event(), next(self._tickets)
        self._barriers[ticket] = event
        try:
            self._pass_barrier(event, ticket, until)
        except BaseException:
            self._barriers.pop(ticket, None)
            self.inbox.settle()
            raise

    def _pass_barrier(self, event: threading.Event, ticket: int, until: float | None) -> None:
        while True:
            left = 1.0 if until is None else min(1.0, max(0.0, until - time.monotonic()))
            slot = try_claim_slot(self.inbox, timeout=left)
            if slot is not None:
                break
            if until is not None and time.monotonic() >= until:
                raise FlushTimeoutError(
                    "flush: the ring stayed full for the time given; a handler is slow or hangs"
                )
        self.shard.post(slot, BARRIER, ticket=ticket)
        if not event.wait(_left(until)):
            raise FlushTimeoutError(
                "flush: not all was matched and handled in the time given; a handler is slow or hangs"
            )

    # ------------------------------------------------------------------ close

    def close(self, *, finish: bool = True, timeout: float | None = None) -> None:
        """Refuses further pushes, then matches and handles what there is; finish: the patterns' last words too.

        A second call waits for the first. In a handler it returns at once, and the rest follows after the handler.
        """
        if self.state == "forked":
            self.state = "closed"
            return
        until = None if timeout is None else time.monotonic() + timeout
        if self.inline:
            if until is not None:  # another thread may be in a handler
                _take(self.lock, until)
                self.lock.release()
            with self.lock:
                if self.state != "open":
                    return
                if self._pumping:
                    self.state = "closing"
                    self._close_when_pumped = True
                    return
                self._end_inline(finish)
            return
        self._begin_to_close(finish, until)
        if self.in_dispatcher():
            return
        if not self._closed.wait(_left(until)):
            raise FlushTimeoutError(_SLOW)
        for thread in self._threads:
            thread.join()
        self.raise_faults("raised by close(); the engine is closed")

    def _begin_to_close(self, finish: bool, until: float | None = None) -> None:
        """With threads: refuses pushes from now on, and sees to it that the last words are said.

        On a thread of its own, so that neither a time-out nor Ctrl-C leaves that half done, and a handler does not wait
        for itself. At the end of the interpreter there are no new threads any more (Python 3.12).
        """
        if self.state == "open":
            self.state = "closing"
        if self._closer is None and not self._said:
            closer = threading.Thread(
                target=self._say_last_words, args=(finish,), name="tocsin-closer", daemon=True
            )
            try:
                closer.start()
            except RuntimeError:
                self._say_last_words(finish, until)
            else:
                self._closer = closer

    def _say_last_words(self, finish: bool, until: float | None = None) -> None:
        """Once: when no push is under way any more, what streams held back, and the end of input."""
        _take(self._saying, until)
        try:
            if self._said:
                return
            # A push that saw the engine open has put its batch in when we have had its stream's lock.
            for lock in (self.lock, *self.stream_locks):
                _take(lock, until)
                lock.release()
            for last_word in self.on_close:
                last_word()
            if finish:
                self.shard.post(self.claim_always(), FINISH)
        except Exception as failure:
            self._faults.append(failure)
        finally:
            self._said = True
            self.inbox.close()
            self._saying.release()

    def _end_inline(self, finish: bool) -> None:
        self.state = "closing"
        try:
            for last_word in self.on_close:
                last_word()
            if finish:
                self.shard.post(self.claim_always(), FINISH)
            self.pump()
        finally:
            self.inbox.close()
            self._finish_closing()
        self.raise_faults("raised by close(); the engine is closed")

    def _finish_closing(self) -> None:
        for outlet in self.outlets.values():
            outlet.end()
        for event in self._barriers.values():
            event.set()
        for last in self.on_closed:
            try:
                last()
            except Exception as failure:
                logger.exception("tocsin: while closing")
                self._faults.append(failure)
        if self.shard.lost:
            logger.error("tocsin: %d batches of matches were lost: a handler did not end", self.shard.lost)
        self.state = "closed"
        self._closed.set()

    def close_later(self) -> None:
        """close(finish=False) that waits for nobody: for a collected engine, in whatever thread that is."""
        if self.inline:
            self.close(finish=False)
        else:
            self._begin_to_close(finish=False)

    def begin_to_exit(self, until: float) -> None:
        """The interpreter ends: no more pushes, and no waiting for room beyond `until`."""
        if self.state == "open":
            logger.warning("tocsin: an engine was not closed; its patterns were not finished")
        self._exit_deadline = until
        if not self.inline:
            try:
                self._begin_to_close(finish=False, until=until)
            except FlushTimeoutError:
                logger.exception("tocsin: while ending an engine that was not closed")

    def end_at_exit(self, until: float) -> None:
        """Handles what was pushed, until `until`; then everybody who waits for anything is woken."""
        try:
            self.close(finish=False, timeout=max(0.0, until - time.monotonic()))
        except Exception:
            logger.exception("tocsin: while ending an engine that was not closed")
        finally:
            self.inbox.close()  # a push that waits for room
            if self.outbox is not None:
                self.outbox.close()  # a worker that waits for a handler that hangs
                for worker in self._threads[:-1]:
                    worker.join(0.5)  # it must not come back to an interpreter that is gone


# Every runtime that is not collected yet: for the end of the interpreter, and for a forked child.
_live: weakref.WeakSet[Runtime] = weakref.WeakSet()

_SLOW = "close: not all was matched and handled in the time given; a handler is slow or hangs"


def _left(until: float | None) -> float | None:
    """Seconds until then; None: for ever."""
    return None if until is None else max(0.0, until - time.monotonic())


def _take(lock: Any, until: float | None) -> None:
    if not lock.acquire(timeout=-1 if until is None else max(0.0, until - time.monotonic())):
        raise FlushTimeoutError(_SLOW)


def _at_exit() -> None:
    until = time.monotonic() + EXIT_SECONDS
    left = [runtime for runtime in list(_live) if runtime.state not in ("closed", "forked")]
    for runtime in left:  # first all of them, so that none waits for another that hangs
        runtime.begin_to_exit(until)
    for runtime in left:
        runtime.end_at_exit(until)


def _in_child() -> None:
    for runtime in list(_live):
        if runtime.state != "closed":
            runtime.state = "forked"
            for outlet in runtime.outlets.values():
                outlet.end()  # nothing comes any more: iterators would wait for ever


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
