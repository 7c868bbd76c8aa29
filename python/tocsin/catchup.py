"""CatchUp: one trigger goes through history in the background, and then joins its stream at an exact event.

    log of the stream  ─▶ a ring and workers of its own ─▶ Outlet of the trigger ─▶ match log, handlers
    pushes ──────────────────────────────▶ ring, workers ──────▲ from the event on at which it joined

A trigger with `backfill=` starts this way, and one that slept while its stream went on. The history runs through a
second Runtime with the stream's rules of time (Inflow.twin), as fast as that goes; the stream does not wait for it.
When little is left, the stream is held: the rest goes through, the state is cut (Shard.cut), the trigger joins with it,
and the stream goes on. Events before that place have reached it through history, those behind it come by the live ring:
none is missed, none seen twice. What the live ring finds meanwhile waits in the outlet until all of history has been
handled.

Nobody waits in a circle: the stream is held for a few batches only, for which there is room; handlers that push to it
then (they run on threads of this Runtime) wait for that moment and no longer, and if it takes too long it is given up
and tried again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tocsin_core.operator import Operator
from tocsin_core.shares import Shares, split_state
from tocsin_core.status import StateError

from .inflow import Inflow
from .outlet import Outlet
from .runtime import Runtime

if TYPE_CHECKING:
    from .recovery import Part

logger = logging.getLogger("tocsin")

FEW_BATCHES = 200  # so many go through while the stream is held; fewer than the ring has slots
HELD_SECONDS = 0.25  # how long the stream is held at most before it is tried again
HEARD_SECONDS = 0.2  # so long it waits for the first handler: that can come only when the trigger is there
RING_SLOTS = 1024


def know(
    build: Callable[[int], list[Operator]], kept: list[bytes], workers: int
) -> tuple[list[Operator], int]:
    """Operators that know what was kept, and how many instances that was.

    Of another number of instances than there are workers, they go on as they were, together on one worker (Shares).
    build: as in Part.  kept: what `Operator.save` gave, of each.  Raises StateError.
    """
    states = [state for one in kept for state in split_state(one)]
    operators = build(0)
    if not any(states):
        return operators, len(operators)  # there is no state
    if len(states) != len(operators):
        operators = build(len(states))
        if len(operators) != len(states):
            raise StateError(f"it is kept in {len(states)} parts, and this trigger has {len(operators)}")
    for operator, state in zip(operators, states, strict=True):
        operator.restore(state)
    if len(states) > 1 and len(states) != workers:
        return [Shares(operators)], len(states)
    return operators, len(states)


class Past:
    """The outlet of a trigger as the runtime of its history knows it: matches go by what waits, and it does not end."""

    def __init__(self, outlet: Outlet) -> None:
        self.schema = outlet.schema
        self.deliver = outlet.deliver_now
        self.refuse = outlet.refuse

    def end(self) -> None:
        """The history ends; the trigger goes on."""

    def in_child(self) -> None:
        """The outlet is told by its own runtime."""


class Stopped(Exception):  # noqa: N818 - it is no error
    """The engine closes, or the trigger is removed."""


class CatchUp:
    """See the module.

    live: the engine's runtime.  start: the place and rules of time from which it goes, as Inflow.snapshot gave them.
    kept: states of its operators there (none: it knows nothing).  emitted: how many matches it had found.
    joined: called, while the stream is held, when the trigger may join: with its operators and how much they found.
    afterwards: called when all of history has been handled.
    """

    def __init__(
        self, live: Runtime, part: Part, start: tuple[dict[str, Any], Any], kept: list[bytes], emitted: int,
        joined: Callable[[list[Operator], int], None], afterwards: Callable[[], None],
    ) -> None:  # fmt: skip
        self._afterwards = afterwards
        self.part = part
        self.failure: BaseException | None = None
        self._live = live
        self._start = start
        self._kept = kept
        self._emitted = emitted
        self._joined = joined
        self._stop = threading.Event()
        self.done = threading.Event()
        self._seen = 0
        self._beginning = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"tocsin-catch-up-{part.name}", daemon=True)

    @property
    def left(self) -> int:
        """How many events it has not seen yet."""
        if self.done.is_set():
            return 0
        return max(0, self.part.root.place().stored - self._start[0]["stored"] - self._seen)

    def begin(self) -> None:
        """It goes, in a thread of its own."""
        with self._beginning:
            if self._stop.is_set():
                self.done.set()
            else:
                self._thread.start()

    def stop(self) -> None:
        """Ends it where it is; the trigger then has not joined. In its own thread (a handler): without waiting."""
        with self._beginning:
            self._stop.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        live, part = self._live, self.part
        runtime = Runtime(live.workers, RING_SLOTS, on_dispatcher=live.dispatch.enter)
        runtime.on_suspend = _nothing
        try:
            part.outlet.heard.wait(HEARD_SECONDS)
            if part.unhandled:
                part.outlet.redeliver()
            self._go(runtime, part.outlet)
            self._flush(runtime)
        except Stopped:
            pass
        except BaseException as failure:
            self.failure = failure
            logger.exception("tocsin: trigger %r could not catch up with its stream", part.name)
            live.fault(failure)
        finally:
            try:
                runtime.close(finish=False)
            except Exception as failure:
                live.fault(failure)
            part.outlet.go_on()
            self.done.set()
            if part.joined:
                self._afterwards()

    def _go(self, runtime: Runtime, outlet: Outlet) -> None:
        part, inflow = self.part, self.part.root
        operators, _ = know(part.build, self._kept, runtime.workers)
        twin = inflow.twin(runtime)
        twin.resume(*self._start)
        trigger = runtime.new_source()
        part.add_to(runtime, twin.intake.id, twin.intake, operators, Past(outlet), trigger, self._emitted)
        while True:
            while inflow.batches(twin.passed, target := inflow.place()) > FEW_BATCHES:
                with runtime.holding(twin.lock):
                    twin.replay(target, self._progress)
                    if runtime.inline:
                        runtime.pump()
            self._flush(runtime)
            with self._live.holding(inflow.lock):
                self._check()
                target = inflow.place()
                if inflow.batches(twin.passed, target) <= FEW_BATCHES:
                    with runtime.holding(twin.lock):
                        twin.replay(target, self._progress)
                        cut = runtime.post_cut(_nothing)
                        if runtime.inline:
                            runtime.pump()
                    until = time.monotonic() + HELD_SECONDS
                    while not cut.filled and time.monotonic() < until:
                        time.sleep(0.0005)
                    if cut.filled:
                        if cut.failure is not None:
                            raise cut.failure
                        self._meet(inflow, twin)
                        outlet.wait()
                        kept = know(part.build, cut.of(trigger), self._live.workers)[0]
                        self._joined(kept, cut.emitted[trigger])
                        return
            time.sleep(0.01)

    def _flush(self, runtime: Runtime) -> None:
        try:
            runtime.flush(None)
        except Exception as fault:  # of a handler that ends its thread, say: history goes on
            self._live.fault(fault)

    def _meet(self, inflow: Inflow, twin: Inflow) -> None:
        """Both ways in must give the next event one number: after history that was cut off, or events that were late
        then and are not now, the live one goes on from the larger."""
        inflow.intake.next = max(inflow.intake.next, twin.intake.next)

    def _progress(self, events: int) -> None:
        self._seen += events
        self._check()

    def _check(self) -> None:
        if self._stop.is_set() or self._live.state != "open":
            raise Stopped


def _nothing() -> None:
    pass
