"""Replay: stored events go through triggers once more, as they came, as fast as it goes or at their own pace.

    log of each stream ──▶ a ring and workers of its own ──▶ new operators of the triggers ──▶ their handlers, or `to`

It is a run of its own: it begins with triggers that know nothing, with the rules of time of the streams and with what
`advance` was told then, and leaves the engine, its state and its match logs alone. So the same events give the same
matches, and only who gets them sees that it is not live.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from .dead_letters import LETTERS_MAX, DeadLetters
from .errors import SchemaError, TocsinError
from .handlers import Handler
from .inflow import Inflow, Place
from .outlet import Outlet
from .progress import Progress
from .reorder import time_values
from .runtime import Runtime
from .ticket import TicketBook
from .times import unit_ns

if TYPE_CHECKING:
    from .recovery import Part

TICK_SECONDS = 0.02  # events that are due within so long go together
RING_SLOTS = 1024


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did.

    Attributes:
        events: {stream: events that went through}.
        matches: {trigger: matches found}.
        faults: batches and matches that a trigger could not take, and calls of handlers that failed for good.
        seconds: how long it took.
    """

    events: dict[str, int]
    matches: dict[str, int]
    faults: int
    seconds: float


def replay(
    parts: list[Part], wanted: set[str], workers: int, *, start: Any, stop: Any, speed: float | None,
    to: Callable[[str, pa.RecordBatch], Any] | None, progress: bool,
) -> Replayed:  # fmt: skip
    """See Engine.replay. parts: the triggers, each behind its source; wanted: names of those whose matches go on."""
    roots = list({id(part.root): part.root for part in parts}.values())
    spans = {inflow.name: _span(inflow, start, stop) for inflow in roots}
    if speed is not None:
        _check_speed(speed, roots)
    began = time.monotonic()
    runtime = Runtime(workers, RING_SLOTS)
    runtime.on_suspend = _nothing  # what is open at the end stays open, as it would live
    outlets: dict[str, Outlet] = {}
    try:
        twins = {inflow.name: inflow.twin(runtime) for inflow in roots}
        _set_up(runtime, parts, wanted, twins, outlets, to)
        total = sum(end.stored - first["stored"] for first, end in spans.values())
        with Progress("replaying", total=total if progress else None) as bar:
            moved = bar.update if progress else _nothing_of
            for name, (first, _) in spans.items():
                twins[name].resume(first, b"")
            if speed is None:
                for name, (_, end) in spans.items():
                    _through(runtime, twins[name], end, moved)
            else:
                _paced(runtime, twins, spans, speed, moved)
            _quietly(lambda: runtime.flush(None))
    finally:
        _quietly(lambda: runtime.close(finish=False))
    return Replayed(
        {name: end.stored - first["stored"] for name, (first, end) in spans.items()},
        {name: outlet.matched for name, outlet in outlets.items() if name in wanted},
        sum(outlet.counters.dead_letters.value for outlet in outlets.values()),
        time.monotonic() - began,
    )


def _span(inflow: Inflow, start: Any, stop: Any) -> tuple[dict[str, Any], Place]:
    """Where it begins, as Inflow.snapshot has it, and where it ends."""
    first = inflow.beginning(True if start is None else start)
    end = inflow.place()
    if stop is not None:
        last = inflow.beginning(stop)
        end = Place(max(last["stored"], first["stored"]), max(last["marks"], first["marks"]))
    return first, end


def _check_speed(speed: Any, roots: Iterable[Inflow]) -> None:
    if not isinstance(speed, (int, float)) or isinstance(speed, bool) or not 0 < speed < 1e9:
        raise ValueError(
            f"speed={speed!r}: how many seconds of event time go by in one, above 0; None: as fast as it goes"
        )
    for inflow in roots:
        if inflow.reorder is None or unit_ns(inflow.schema.field(inflow.reorder.time).type) is None:
            raise SchemaError(
                f"speed={speed!r}: stream {inflow.name!r} has no time column with a unit of time; give speed=None"
            )


def _set_up(
    runtime: Runtime, parts: list[Part], wanted: set[str], twins: dict[str, Inflow], outlets: dict[str, Outlet],
    to: Callable[[str, pa.RecordBatch], Any] | None,
) -> None:  # fmt: skip
    """The triggers, on the new runtime."""
    ids: dict[str, tuple[int, Any]] = {}
    book = TicketBook()
    for part in parts:
        operators = part.build(0)
        if operators == part.operators:
            raise TocsinError(
                f"replay: trigger {part.name!r} runs on an Operator of which there is no second one; leave it out"
            )
        twin = twins[part.root.name]
        source, feeder = (twin.intake.id, twin.intake) if part.parent is None else ids[part.parent.name]
        outlet = Outlet(
            part.name, part.source, part.outlet.schema, None, DeadLetters(part.name, None, LETTERS_MAX),
            runtime.dispatch, upstream=book if part.parent is None else outlets[part.parent.name], book=book,
            inline=runtime.inline,
        )  # fmt: skip
        outlets[part.name] = outlet
        if part.name in wanted:
            for handler in _receivers(part, to):
                outlet.add(handler)
        trigger = runtime.new_source()
        part.add_to(runtime, source, feeder, operators, outlet, trigger, 0)
        ids[part.name] = (trigger, operators[0])


def _receivers(part: Part, to: Callable[[str, pa.RecordBatch], Any] | None) -> list[Handler]:
    if to is not None:
        return [Handler(partial(to, part.name))]
    return [
        Handler(
            handler.function, per_match=handler.per_match, retries=handler.retries, backoff=handler.backoff,
            concurrency=handler.concurrency, loop=handler.loop,
        )
        for handler in part.outlet.handlers if not handler.ids
    ]  # fmt: skip


def _through(runtime: Runtime, twin: Inflow, end: Place, moved: Callable[[int], None]) -> None:
    with runtime.holding(twin.lock):
        twin.replay(end, moved)
        if runtime.inline:
            runtime.pump()


def _paced(
    runtime: Runtime, twins: dict[str, Inflow], spans: dict[str, tuple[dict[str, Any], Place]], speed: float,
    moved: Callable[[int], None],
) -> None:  # fmt: skip
    """Every stream in a thread of its own, all by one clock."""
    plans = {name: _Pace(twins[name], spans[name][1]) for name in twins}
    firsts = [plan.first_ns for plan in plans.values() if plan.first_ns is not None]
    if not firsts:
        for name, (_, end) in spans.items():
            _through(runtime, twins[name], end, moved)
        return
    clock = _Clock(min(firsts), speed)
    failures: list[BaseException] = []

    def run(plan: _Pace) -> None:
        try:
            plan.run(runtime, clock, moved)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(plan,), daemon=True) for plan in plans.values()]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)  # Ctrl-C comes through
    except BaseException:
        clock.stopped.set()
        raise
    if failures:
        raise failures[0]


class _Clock:
    """Event time, in nanoseconds, as it goes by."""

    def __init__(self, first_ns: int, speed: float) -> None:
        self._first_ns = first_ns
        self._speed = speed
        self._began = time.monotonic()
        self.stopped = threading.Event()

    def now_ns(self) -> int:
        return self._first_ns + int((time.monotonic() - self._began) * self._speed * 1e9)

    def wait_until(self, ns: int) -> bool:
        """False: it was stopped."""
        left = (ns - self.now_ns()) / 1e9 / self._speed
        return not self.stopped.wait(max(0.0, min(left, 60.0)))


class _Pace:
    """One stream by the clock."""

    def __init__(self, twin: Inflow, end: Place) -> None:
        self._twin = twin
        self._end = end
        assert twin.reorder is not None
        self._column = twin.schema.get_field_index(twin.reorder.time)
        self._unit = unit_ns(twin.schema.field(self._column).type) or 1
        self._marks = np.array(
            [position for position, _ in twin.marks(twin.passed.marks, end.marks)], np.int64
        )
        self._first_mark = twin.passed.marks
        first = next(iter(twin.log.read(twin.passed.stored, end.stored)), None)
        self.first_ns = None if first is None else int(self._times(first)[0])

    def _times(self, batch: pa.RecordBatch) -> Any:
        """When each event is due: never before one that came earlier."""
        return np.maximum.accumulate(time_values(batch.column(self._column))) * self._unit

    def run(self, runtime: Runtime, clock: _Clock, moved: Callable[[int], None]) -> None:
        twin = self._twin
        at = twin.passed.stored
        for batch in twin.log.read(at, self._end.stored):
            times = self._times(batch)
            done = 0
            while done < len(times):
                due = int(np.searchsorted(times, clock.now_ns(), side="right"))
                if due <= done:
                    if not clock.wait_until(int(times[done])):
                        return
                    continue
                marks = self._first_mark + int(np.searchsorted(self._marks, at + due, side="right"))
                _through(runtime, twin, Place(at + due, marks), moved)
                done = due
                if done < len(times) and not clock.wait_until(clock.now_ns() + int(TICK_SECONDS * 1e9)):
                    return
            at += len(times)
        _through(runtime, twin, self._end, moved)


def _quietly(call: Callable[[], None]) -> None:
    """Faults of triggers and handlers are counted, and logged: they are no reason to end a replay."""
    try:
        call()
    except TocsinError:
        pass


def _nothing() -> None:
    pass


def _nothing_of(events: int) -> None:
    pass
