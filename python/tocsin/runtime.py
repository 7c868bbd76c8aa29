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
`pending` (`holding`, `claim`): so a handler may push, and nobody waits in a circle. A handler that always pushes more
than it is given makes `pending` grow; that is a loop of the user's. Handlers on threads or event loops of their own
(lanes, dispatch.py) have the same rights: while one of them waits here, the dispatcher does not wait for a lane.

A barrier (flush, `Ticket.results`) goes through inbox and outbox behind all that was pushed, and is answered when the
lanes have handled what they were given before it. Closing ends the outlets, waits for the lanes, then closes the
store; the dispatcher does it, or with workers=0 and lanes a thread of its own, since those may want `lock`.

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
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from tocsin_core.crew import Crew
from tocsin_core.intake import DISPLACE, claim_slots, try_claim_slot
from tocsin_core.operator import Operator
from tocsin_core.ring import Ring
from tocsin_core.schema import Schema
from tocsin_core.shard import BARRIER, CONTROL, CUT, DATA, FAULT, FINISH, Cut, Shard
from tocsin_core.status import BackpressureError, ClosedError, TocsinError
from tocsin_core.topology import Node, Routes

from .dispatch import Dispatch
from .outlet import Outlet

if TYPE_CHECKING:
    from .inflow import Inflow

logger = logging.getLogger("tocsin")

FAULTS_MAX = 1000  # faults that wait to be raised
EXIT_SECONDS = 5.0  # how long the end of the interpreter waits for an engine that nobody closed


class FlushTimeoutError(TocsinError, TimeoutError):
    """flush() or close() did not come to its end in the time given; the engine goes on."""


class Runtime:
    """See the module. workers: 0 to 64; the other arguments are Engine's."""

    def __init__(
        self, workers: int, ring_slots: int, overflow: str = "block", *, overflow_timeout: float | None = None,
        wait: str = "block", gather_rows: int = 1, on_dispatcher: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self._on_dispatcher = on_dispatcher  # called on that thread when it begins
        self.inline = workers == 0
        self.workers = workers
        # Inline the ring is emptied before the lock is given back: full means that a push is too much for it.
        self.block = overflow == "block" and not self.inline
        self.drops = overflow == "drop_oldest" and not self.inline
        self.refuses = overflow == "raise"
        self.overflow_timeout = overflow_timeout
        self.gather_rows = 0 if self.inline else gather_rows
        self.state = "open"
        self.lock = threading.RLock()
        self.inbox = Ring(ring_slots, recycles=True, wait=wait, drops=self.drops)
        outbox = None if self.inline else Ring(ring_slots, many_producers=False, wait=wait)
        self.outbox = outbox
        self.shard = Crew(self.inbox, outbox, workers) if workers > 1 else Shard(self.inbox, outbox)
        self.outlets: dict[int, Outlet] = {}
        self.stream_locks: list[Any] = []  # workers=1: who has them all knows that no push is under way
        self.inflows: list[Inflow] = []  # of all streams
        self.on_suspend: Callable[[], None] | None = None  # instead of the end of input: see close
        self.on_closed: list[Callable[[], None]] = []  # when all is handled: the last checkpoint, the store
        self.dispatch = Dispatch(self.fault)
        self.handler_pushes = 0
        self._sources = 0
        self._nodes: dict[int, Node] = {}
        self._owned = [0] * max(workers, 1)  # per worker: triggers that it runs alone
        self._routes: dict[int, Routes] = {}  # by ticket, until a later one has been answered
        self._leaving: dict[int, int] = {}  # ticket -> trigger that is gone once it is answered
        self._tickets = itertools.count()
        self._barriers: dict[int, threading.Event] = {}
        self._notes: dict[int, Callable[[], None]] = {}  # called when their barrier comes out
        self._cuts: dict[int, tuple[Cut, Callable[[], None]]] = {}  # the same for their cut
        self._pending: deque[tuple[Any, ...]] = deque()
        self._faults: deque[BaseException] = deque()
        self._more_faults = 0
        self._fault_lock = threading.RLock()  # lanes add faults, and several threads may ask for them
        self._pumping = 0  # the thread that is inside pump()
        self._drops_told = False
        self._close_when_pumped: tuple[bool] | None = None
        self._force_at: float | None = None  # the interpreter ends: from then on nothing is waited for
        self._closed = threading.Event()
        self.dispatcher: int | None = None
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

    def holding(self, lock: Any) -> Any:
        """`lock` for a with statement; the dispatcher goes on emptying the outbox while it waits, and lanes are known
        to wait.

        Where one may simply wait it is the lock itself: Python comes to no signal handler between taking it and the
        body of the with, as it may after a call of `acquire`, and a lock that Ctrl-C left taken would stop the engine.
        """
        if self.state == "forked":  # the lock may have been taken by a thread that is not here
            self._refuse()
        patient = (
            self._force_at is not None
            or self.in_dispatcher()
            or (self.dispatch.lanes and (self.dispatch.in_lane() or self.dispatch.on_handler_loop()))
        )
        return _Patiently(self, lock) if patient else lock

    def acquire(self, lock: Any) -> None:
        """Takes a lock as `holding` says."""
        if self.in_dispatcher():
            while not lock.acquire(timeout=0.001):
                self._pull()
        elif self._force_at is not None:
            while not lock.acquire(timeout=0.05):
                self._force()
        elif not lock.acquire(blocking=False):
            with self.dispatch.handler_waits():
                lock.acquire()

    def claim(self, count: int, what: str) -> int:
        """The first of `count` claimed slots of the inbox; for one slot, DISPLACE when the ring is full and drops."""
        timeout = self.overflow_timeout
        if self.inline and count == 1 and not self.refuses:
            return self.claim_always()  # a table of more batches than the ring has slots
        if self.drops and count == 1:
            slot = try_claim_slot(self.inbox)
            return DISPLACE if slot is None else slot
        if self.block and count == 1 and self.in_dispatcher():
            until = None if timeout is None else time.monotonic() + timeout
            while (slot := try_claim_slot(self.inbox, timeout=0.001)) is None:
                self._pull()
                if until is not None and time.monotonic() >= until:
                    timeout = 0.0
                    break
            else:
                return slot
        elif self.dispatch.lanes:
            slot = self._claim_in_lane(what)
            if slot is not None:
                return slot
        return claim_slots(self.inbox, count, block=self.block, what=what, timeout=timeout)

    def tell_drops(self, stream: str) -> None:
        """Logs, once, that batches are dropped."""
        if self.inbox.lossy and not self._drops_told:
            self._drops_told = True
            logger.warning(
                'tocsin: the ring is full (%d slots) and the engine has overflow="drop_oldest": from now on the oldest '
                "batches are dropped; first noticed by a push to stream %r; Stream.dropped counts the events",
                self.inbox.capacity, stream,
            )  # fmt: skip

    def _claim_in_lane(self, what: str) -> int | None:
        """A slot, if this is a handler's own thread or loop and it would have to wait for one in claim_slots."""
        dispatch = self.dispatch
        handler = dispatch.in_lane()
        if self.inline or not self.block or not (handler or dispatch.on_handler_loop()):
            return None
        slot: int | None = try_claim_slot(self.inbox)
        if slot is None and not handler:
            raise BackpressureError(
                f"{what}: the ring is full, and a push that waits on the event loop of a handler would stop that "
                "handler; nothing was accepted: await asyncio.to_thread(stream.push, data)"
            )
        if slot is None:
            with dispatch.handler_waits():
                slot = claim_slots(self.inbox, 1, block=True, what=what, timeout=self.overflow_timeout)
        return slot

    def check_room(self) -> None:
        """workers=0: refuses a push, before anything is accepted, for which somebody who must take has no room."""
        dispatch = self.dispatch
        for room in dispatch.overfull:
            why = room.full()
            if why is None:
                dispatch.overflows(room, False)
            elif not self.in_handler():
                raise BackpressureError(f"{why}; nothing of this push was accepted: push it again")
        if dispatch.on_handler_loop() and not self.in_handler():
            for lane in dispatch.lanes:
                why = None if lane.loop is None else lane.full()
                if why is not None:
                    raise BackpressureError(
                        f"{why} on this event loop, which a push that waits would stop; nothing was accepted: "
                        "await asyncio.to_thread(stream.push, data)"
                    )

    def in_handler(self) -> bool:
        """Whether a handler is calling: one of the dispatcher's, one on a lane, or (workers=0) one inside a push."""
        return threading.get_ident() in (self.dispatcher, self._pumping) or self.dispatch.in_lane()

    def in_dispatcher(self) -> bool:
        """Whether this is the dispatcher's thread, that is, one of its handlers is calling."""
        return self.dispatcher == threading.get_ident()

    def new_source(self) -> int:
        """A source id."""
        with self.holding(self.lock):
            self._sources += 1
            return self._sources - 1

    # ------------------------------------------------------------------ triggers come and go

    def add_trigger(
        self,
        source: int,
        feeder: Any,
        operators: list[Operator],
        outlet: Outlet,
        *,
        id: int,
        timed: bool,
        ordered: bool = True,
        emitted: int = 0,
        placed: bool = False,
    ) -> None:
        """The trigger `id`, a new source, goes upon `source`, from the next batch on. feeder: Intake or Operator.

        operators: one for each worker, if they run it by partition, else one.  emitted, placed: as for Node.
        """
        trigger = id
        with self.holding(self.lock):
            self.check()
            owner = min(range(len(self._owned)), key=self._owned.__getitem__)
            node = Node(
                trigger,
                source,
                operators,
                timed=timed,
                owner=owner,
                ordered=ordered,
                emitted=emitted,
                placed=placed,
            )
            routes = Routes(self._sources, [*self._nodes.values(), node])
            self.shard.know(
                trigger, operators[0], feeder, Schema.from_arrow(outlet.schema) if placed else None
            )
            self.outlets[trigger] = outlet
            self._nodes[trigger] = node
            try:
                self._switch(routes)
            except BaseException:
                if not any(known is routes for known in list(self._routes.values())):
                    del self._nodes[trigger], self.outlets[trigger]
                    self.shard.know(trigger, None)
                raise
            if len(operators) == 1:
                self._owned[owner] += 1

    def remove_trigger(self, trigger: int) -> None:
        """The trigger sees no further batch; its operator goes without a last word."""
        with self.holding(self.lock):
            self.check()
            routes = Routes(self._sources, [node for id, node in self._nodes.items() if id != trigger])
            self._switch(routes, leaving=trigger)
            node = self._nodes.pop(trigger)
            if len(node.operators) == 1:
                self._owned[node.owner] -= 1
            if self.inline:
                self.pump()

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

    def claim_accepted(self) -> int:
        """A slot for events that are accepted already: it waits for room, or displaces what is older."""
        if self.drops:
            slot = try_claim_slot(self.inbox)
            return DISPLACE if slot is None else slot
        return self.claim_always()

    def claim_always(self) -> int:
        """A slot for the engine itself: it waits for room whatever `overflow` says."""
        if self.inline:
            if self.inbox.depth == self.inbox.capacity:
                self.shard.drain(self._pending)  # the caller holds `lock`: nobody else would make room
            return claim_slots(self.inbox, 1, block=False, what="engine")
        if self.dispatch.lanes and (self.dispatch.in_lane() or self.dispatch.on_handler_loop()):
            with self.dispatch.handler_waits():
                return claim_slots(self.inbox, 1, block=True, what="engine")
        while True:
            slot = try_claim_slot(self.inbox, timeout=0.001 if self.in_dispatcher() else 0.1)
            if slot is not None:
                return slot
            if self.in_dispatcher():
                self._pull()
            self._force()

    # ------------------------------------------------------------------ what comes out

    def pump(self) -> None:
        """Inline: matches all that is in the inbox and handles what comes out. The caller holds `lock`.

        Called by a handler it only matches: the outermost call handles, so that handlers do not nest.
        """
        pending, drain = self._pending, self.shard.drain
        drain(pending)
        if self._pumping or not pending:
            return
        self._pumping = threading.get_ident()
        try:
            while pending:
                self._handle(pending.popleft())
                drain(pending)
        finally:
            self._pumping = 0
        if self._close_when_pumped is not None:
            (finish,), self._close_when_pumped = self._close_when_pumped, None
            self._end_inline(finish)

    def _pull(self) -> None:
        self._pending.extend(self.shard.take() or ())

    def _dispatch(self) -> None:
        """The dispatcher's thread."""
        self.dispatcher = threading.get_ident()
        if self._on_dispatcher is not None:
            self._on_dispatcher()
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
                    self.fault(failure)
        self._finish_closing()

    def _handle(self, item: tuple[Any, ...]) -> None:
        kind, id, batch, first, last, fault, ticket, stamp = item
        if kind == DATA:
            self.outlets[id].deliver(batch, first, last, ticket, stamp)
        elif kind == FAULT:
            self.outlets[id].refuse(batch, first, last, fault[0], fault[1])
        elif kind == BARRIER:
            event = self._barriers.pop(ticket, None)
            if event is not None:
                self.dispatch.when_handled(event.set)
            note = self._notes.pop(ticket, None)
            if note is not None:
                note()
        elif kind == CUT:
            self._cuts.pop(ticket)[1]()
        elif kind == CONTROL:
            for older in [known for known in list(self._routes) if known < ticket]:  # list: others put in
                del self._routes[older]
            gone = self._leaving.pop(ticket, None)
            if gone is not None:
                self.outlets.pop(gone).end()
                self.shard.know(gone, None)

    def fault(self, failure: BaseException) -> None:
        """Takes what the next push or flush has to raise; of very many the first are kept, the others counted."""
        with self._fault_lock:
            if len(self._faults) < FAULTS_MAX:
                self._faults.append(failure)
            else:
                self._more_faults += 1

    def raise_faults(self, note: str) -> None:
        """Raises what has gone wrong since the last call: the first fault, the others as notes."""
        with self._fault_lock:
            faults = list(self._faults)
            self._faults.clear()
            more, self._more_faults = max(0, len(faults) - 6) + self._more_faults, 0
        if not faults:
            return  # another thread has raised them
        for other in faults[1:6]:
            faults[0].add_note(f"also: {type(other).__name__}: {other}")
        if more:
            faults[0].add_note(f"and {more} more")
        faults[0].add_note(note)
        raise faults[0]

    # ------------------------------------------------------------------ flush

    def flush(self, timeout: float | None) -> None:
        """Returns when all that was pushed, by handlers too, has been matched and handled; raises faults."""
        self._refuse_to_wait("flush()", "engine.flush")
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            before = self.handler_pushes + self.dispatch.pushes
            self._barrier(until)
            if self.handler_pushes + self.dispatch.pushes == before:
                break
        self.raise_faults(
            "everything that was pushed before has been accepted; the trigger goes on with the next batch"
        )

    def settle(self, timeout: float | None) -> None:
        """Returns when all that was pushed has been matched and handled; what handlers pushed meanwhile need not be."""
        self._refuse_to_wait("results()", "ticket.results")
        until = None if timeout is None else time.monotonic() + timeout
        if self.state == "open":
            try:
                self._barrier(until, "results")
                return
            except ClosedError:
                if self.state == "open":
                    raise
        if self.state == "forked":
            self._refuse()
        if not self._wait(self._closed, until):  # it is being closed, which handles all there is
            raise FlushTimeoutError(
                "results: not all was handled in the time given; a handler is slow or hangs"
            )

    def _refuse_to_wait(self, what: str, call: str) -> None:
        if self.in_handler():
            raise TocsinError(f"{what} in a handler would wait for that handler; push and return instead")
        if self.dispatch.on_handler_loop():
            raise TocsinError(
                f"{what} on the event loop of a handler would wait for that handler, and stop it; "
                f"await asyncio.to_thread({call})"
            )

    def _wait(self, event: threading.Event, until: float | None) -> bool:
        """Whether `event` came to pass by `until`; sees meanwhile whether the event loops of handlers still run."""
        while True:
            left = 0.1 if self.dispatch.loops else 1.0
            if until is not None:
                left = min(left, max(0.0, until - time.monotonic()))
            if event.wait(left):
                return True
            if until is not None and time.monotonic() >= until:
                return False
            self.dispatch.poll()

    def note(self, called: Callable[[], None]) -> None:
        """Has `called` called once all that is in the inbox by now has come out of the outbox."""
        if self.inline:
            self.shard.drain(self._pending)  # a ring of one slot has room then
        slot, ticket = self.claim_always(), next(self._tickets)
        self._notes[ticket] = called
        self.shard.post(slot, BARRIER, ticket=ticket)

    def cut(self, look: Callable[[], None]) -> Cut:
        """The state of all triggers at one place between two pushes, where `look` is called, while nobody may push.

        Returns when all that was pushed before has been matched, logged, and given to handlers.
        """
        self._refuse_to_wait("checkpoint()", "engine.checkpoint")
        event = threading.Event()
        if self.inline:
            with self.lock:
                self.check()
                self.pump()
                look()
                cut = self.post_cut(event.set)
                self.pump()
            return cut
        with ExitStack() as held:
            for lock in list(self.stream_locks):
                held.enter_context(self.holding(lock))
            self.check()
            look()
            cut = self.post_cut(event.set)
        while not self._wait(event, time.monotonic() + 1.0):
            if self._closed.is_set():
                raise ClosedError("the engine was closed while a checkpoint was taken")
        return cut

    def post_cut(self, done: Callable[[], None]) -> Cut:
        """A Cut that is filled when all before has been matched; `done` is called when it has been handled, too."""
        cut, ticket = Cut(), next(self._tickets)
        slot = self.claim_always()
        self._cuts[ticket] = (cut, done)
        self.shard.cut(slot, cut, ticket)
        return cut

    def _barrier(self, until: float | None, what: str = "flush") -> None:
        slow = f"{what}: not all was matched and handled in the time given; a handler is slow or hangs"
        event = threading.Event()
        self.check()
        if self.inline:
            with self.lock if until is None else _InTime(self.lock, until, slow):
                self.check()
                self.pump()
            self.dispatch.when_handled(event.set)
            if not self._wait(event, until):
                raise FlushTimeoutError(slow)
            return
        self.check()
        ticket = next(self._tickets)
        try:
            self._pass_barrier(event, ticket, until, what)
        except BaseException:
            self._barriers.pop(ticket, None)
            self.inbox.settle()  # Ctrl-C may have come when a slot had been claimed
            raise

    def _pass_barrier(self, event: threading.Event, ticket: int, until: float | None, what: str) -> None:
        while True:
            left = 0.1 if until is None else min(0.1, max(0.0, until - time.monotonic()))
            slot = try_claim_slot(self.inbox, timeout=left)
            if slot is not None:
                break
            self.dispatch.poll()
            if until is not None and time.monotonic() >= until:
                raise FlushTimeoutError(
                    f"{what}: the ring stayed full for the time given; a handler is slow or hangs"
                )
        self._barriers[ticket] = event
        self.shard.post(slot, BARRIER, ticket=ticket)
        if not self._wait(event, until):
            raise FlushTimeoutError(
                f"{what}: not all was matched and handled in the time given; a handler is slow or hangs"
            )

    # ------------------------------------------------------------------ close

    def close(self, *, finish: bool = True, timeout: float | None = None) -> None:
        """Refuses further pushes, then matches and handles what there is; finish: the patterns' last words too, else
        on_suspend is called when all is in the ring.

        A second call waits for the first. In a handler it returns at once, and the rest follows after the handler. On
        the event loop of a handler too, with an error.
        """
        if self.state == "forked":
            self.state = "closed"
            self._closed.set()
            return
        until = None if timeout is None else time.monotonic() + timeout
        handler, on_loop = self.in_handler(), self.dispatch.on_handler_loop()
        slow = "close: not all was matched and handled in the time given; a handler is slow or hangs"
        if self.inline:
            waits = handler or on_loop or until is None
            with self.holding(self.lock) if waits else _InTime(self.lock, until or 0.0, slow):
                if self.state == "open":
                    self._begin_closing()
                    if self._pumping:
                        self._close_when_pumped = (finish,)
                    else:
                        self._end_inline(finish)
        elif handler or (timeout is None and not on_loop):
            self._close_input(finish)
        else:  # it may have to wait for a push that waits for a handler, and longer than it may
            self._elsewhere(lambda: self._close_input(finish))
        if handler:
            return
        if on_loop and not self._closed.is_set():
            raise TocsinError(
                "close() on the event loop of a handler cannot wait for that handler; the engine goes on closing: use "
                "`async with` for it, or await asyncio.to_thread(engine.close)"
            )
        if not self._wait(self._closed, until):
            raise FlushTimeoutError(slow)
        for thread in self._threads:
            thread.join()
        self.raise_faults("raised by close(); the engine is closed")

    def _elsewhere(self, work: Callable[[], None]) -> None:
        """Does `work` in a thread of its own, or here when there can be no more threads: the interpreter ends."""

        def run() -> None:
            try:
                work()
            except BaseException as failure:
                logger.exception("tocsin: while closing")
                self.fault(failure)

        try:
            threading.Thread(target=run, name="tocsin-closer", daemon=True).start()
        except RuntimeError:
            run()

    def _close_input(self, finish: bool) -> None:
        with self.holding(self.lock):
            first = self.state == "open"
            if first:
                self._begin_closing()
        if not first:
            return
        try:
            # A push that saw the engine open has put its batch in by then, or finds the door shut.
            for lock in self.stream_locks:
                with self.holding(lock):
                    lock.shut()
            self._end_input(finish)
        finally:
            self.inbox.close()

    def _end_input(self, finish: bool) -> None:
        if not finish and self.on_suspend is not None:
            self.on_suspend()
            return
        for inflow in self.inflows:  # what waited for the watermark goes on
            with self.holding(inflow.lock):
                inflow.release(None)
        if finish:
            self.shard.post(self.claim_always(), FINISH)

    def _begin_closing(self) -> None:
        self.state = "closing"
        self.dispatch.closing = True
        self.dispatch.made_room()

    def _end_inline(self, finish: bool) -> None:
        try:
            self._end_input(finish)
            self.pump()
        finally:
            self.inbox.close()
            if self.dispatch.lanes or self.dispatch.loops:
                self._elsewhere(self._finish_closing)  # their handlers may want the lock that is held here
            else:
                self._finish_closing()
        if self.state == "closed":
            self.raise_faults("raised by close(); the engine is closed")

    def _finish_closing(self) -> None:
        lanes = self.dispatch.lanes
        for outlet in list(self.outlets.values()):
            outlet.end()
        self.dispatch.end(lanes, self._force_at if self.inline else None)
        for event in list(self._barriers.values()):
            event.set()
        for last in self.on_closed:
            try:
                last()
            except Exception as failure:
                logger.exception("tocsin: while closing")
                self.fault(failure)
        if self.shard.lost:
            logger.error("tocsin: %d batches of matches were lost: a handler did not end", self.shard.lost)
        self.state = "closed"
        self._closed.set()

    def close_later(self) -> None:
        """close(finish=False) that waits for nobody: for a collected engine, in whatever thread that is."""
        if self.inline:
            self.close(finish=False)
        else:
            threading.Thread(
                target=self.close, kwargs={"finish": False}, name="tocsin-closer", daemon=True
            ).start()

    def end_at_exit(self) -> None:
        """The interpreter ends: handle what was pushed, but not for ever."""
        if self.state in ("closed", "forked"):
            return
        logger.warning("tocsin: an engine was not closed; its patterns were not finished")
        self._force_at = time.monotonic() + EXIT_SECONDS
        try:
            self.close(finish=False, timeout=EXIT_SECONDS)
        except Exception:
            logger.exception("tocsin: while ending an engine that was not closed")
        finally:
            if self.outbox is not None:
                self.outbox.close()  # a worker that waits for a handler that hangs

    def _force(self) -> None:
        """The interpreter ends and the time is up: what still waits for a handler is let go (and counted)."""
        if self._force_at is not None and time.monotonic() > self._force_at and self.outbox is not None:
            self.outbox.close()


class _Patiently:
    """See Runtime.holding."""

    def __init__(self, runtime: Runtime, lock: Any) -> None:
        self._runtime = runtime
        self._lock = lock

    def __enter__(self) -> None:
        self._runtime.acquire(self._lock)

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class _InTime:
    """A lock, or after `until` (of time.monotonic) FlushTimeoutError."""

    def __init__(self, lock: Any, until: float, slow: str) -> None:
        self._lock = lock
        self._until = until
        self._slow = slow

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=max(0.0, self._until - time.monotonic())):
            raise FlushTimeoutError(self._slow)

    def __exit__(self, *_: object) -> None:
        self._lock.release()


# Every runtime that is not collected yet: for the end of the interpreter, and for a forked child.
_live: weakref.WeakSet[Runtime] = weakref.WeakSet()


def _at_exit() -> None:
    for runtime in list(_live):
        runtime.end_at_exit()


def _in_child() -> None:
    for runtime in list(_live):
        if runtime.state != "closed":
            runtime.state = "forked"
            runtime.dispatch.in_child()
            for outlet in runtime.outlets.values():
                outlet.in_child()  # nothing comes any more: iterators would wait for ever


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
