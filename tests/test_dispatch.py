"""Handlers on threads and event loops of their own: order, bounds, faults, waiting, and every way to end."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
import time
import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import pyarrow as pa
import pytest

import tocsin as tc
from runtime_support import NUMBERS, numbers
from tocsin import loop_lane
from tocsin.engine import Engine
from tocsin.errors import BackpressureError, ClosedError, TocsinError

WORKERS = pytest.mark.parametrize("workers", [0, 1])
ALL = tc.col("n") >= 0


def values(matches: pa.RecordBatch) -> list[int]:
    found: list[int] = matches.column("n").to_pylist()
    return found


def until(condition: Callable[[], object]) -> None:
    """Waits for what another thread is about to do."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "did not come to pass"
        time.sleep(0.001)


@contextmanager
def running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in another thread, as an application's would."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def stop(loop: asyncio.AbstractEventLoop) -> None:
    loop.call_soon_threadsafe(loop.stop)
    until(lambda: not loop.is_running())


# ---------------------------------------------------------------------- threads of their own


@WORKERS
def test_one_thread_of_its_own_keeps_the_order(workers: int) -> None:
    found: list[int] = []
    names: set[str] = set()
    with Engine(workers=workers) as engine:
        stream = engine.stream("s", NUMBERS)

        @engine.trigger("t", stream, ALL).handler(concurrency=1)
        def handle(matches: pa.RecordBatch) -> None:
            names.add(threading.current_thread().name)
            found.extend(values(matches))

        for i in range(300):
            stream.push(numbers(i))
        engine.flush()
        assert found == list(range(300))
    assert len(names) == 1
    assert names.pop().startswith("tocsin-handler-")


@WORKERS
@pytest.mark.parametrize("per_match", [False, True])
def test_so_many_calls_run_at_once_and_no_more(workers: int, per_match: bool) -> None:
    meet = threading.Barrier(3)
    now, most, seen = 0, 0, Counter[int]()
    lock = threading.Lock()
    with Engine(workers=workers) as engine:
        stream = engine.stream("s", NUMBERS)

        @engine.trigger("t", stream, ALL).handler(concurrency=3, per_match=per_match)
        def handle(given: Any) -> None:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            meet.wait(20)  # three are needed for one to go on
            with lock:
                seen.update([given["n"]] if per_match else values(given))
                now -= 1

        if per_match:
            stream.push(numbers(*range(30)))  # the matches of one batch, in parallel
        else:
            for i in range(30):
                stream.push(numbers(i))
        engine.flush(timeout=30)
    assert most == 3
    assert seen == Counter(range(30))


@WORKERS
def test_a_slow_handler_stops_nobody_until_its_outbox_is_full(workers: int) -> None:
    gate = threading.Event()
    quick: list[int] = []
    slow: list[int] = []
    with Engine(workers=workers, ring_slots=4) as engine:
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, ALL)

        @trigger.handler(concurrency=1, outbox=50)
        def wait(matches: pa.RecordBatch) -> None:
            gate.wait(20)
            slow.extend(values(matches))

        trigger.handler(lambda matches: quick.extend(values(matches)))
        for i in range(51):
            stream.push(numbers(i))
        until(lambda: quick == list(range(51)))
        assert slow == []
        gate.set()
        engine.flush()
        assert slow == quick


def test_a_full_outbox_is_back_pressure_and_nothing_is_lost() -> None:
    gate = threading.Event()
    slow: list[int] = []
    with Engine(workers=1, ring_slots=2, overflow="raise") as engine:
        stream = engine.stream("s", NUMBERS)

        @engine.trigger("t", stream, ALL).handler(concurrency=1, outbox=3)
        def wait(matches: pa.RecordBatch) -> None:
            gate.wait(20)
            slow.extend(values(matches))

        accepted = 0

        def push_until_refused() -> None:
            nonlocal accepted
            for _ in range(1000):
                stream.push(numbers(accepted))
                accepted += 1
                time.sleep(0.0005)

        with pytest.raises(BackpressureError, match="ring is full"):
            push_until_refused()
        assert accepted < 20  # inbox, outbox, the lane's outbox, and one each in hand
        gate.set()
        engine.flush()
        assert slow == list(range(accepted))


@WORKERS
def test_retries_and_back_off_are_the_handler_s_own(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    calls: Counter[str] = Counter()
    with Engine(workers=workers, retries=7, backoff=9.0) as engine:
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, ALL)
        monkeypatch.setattr("tocsin.handlers.time.sleep", pauses.append)

        @trigger.handler(retries=3, backoff=0.5, concurrency=1)
        def patient(matches: pa.RecordBatch) -> None:
            calls["patient"] += 1
            raise ValueError("no")

        stream.push(numbers(1))
        engine.flush()
        assert pauses == [0.5, 1.0, 2.0]

        @trigger.handler(retries=0)
        def hasty(matches: pa.RecordBatch) -> None:
            calls["hasty"] += 1
            raise ValueError("never")

        stream.push(numbers(2))
        engine.flush()
        assert calls == {"patient": 8, "hasty": 1}
        letters = engine.dead_letters("t")
    assert [letter.rows for letter in letters if "no" in letter.error] == [numbers(1), numbers(2)]
    assert [letter.rows for letter in letters if "never" in letter.error] == [numbers(2)]


def test_close_with_a_timeout_ends_in_time_while_a_handler_pauses_and_pushes_wait() -> None:
    engine = Engine(workers=1, ring_slots=1)
    stream = engine.stream("s", NUMBERS)
    refused = threading.Event()
    began = threading.Event()

    @engine.trigger("t", stream, ALL).handler(retries=1, backoff=3.0)
    def fail(matches: pa.RecordBatch) -> None:
        began.set()
        if not refused.is_set():
            raise ValueError("no")

    def push_for_ever() -> None:
        try:
            while True:
                stream.push(numbers(1))
        except ClosedError:
            pass

    pusher = threading.Thread(target=push_for_ever)
    pusher.start()
    assert began.wait(20)
    until(lambda: engine._runtime.inbox.depth == 1)
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match="handler is slow"):
        engine.close(timeout=0.05)
    assert time.monotonic() - begun < 2.5  # the pause takes 3 s
    refused.set()
    engine.close(timeout=30)
    pusher.join(30)
    assert not pusher.is_alive()


@WORKERS
def test_one_match_of_a_lane_fails_alone(workers: int) -> None:
    seen: list[int] = []
    with Engine(workers=workers, retries=0) as engine:
        stream = engine.stream("s", NUMBERS)

        @engine.trigger("t", stream, ALL).handler(per_match=True, concurrency=2)
        def picky(match: dict[str, int]) -> None:
            if match["n"] % 2:
                raise ValueError("odd")
            seen.append(match["n"])

        stream.push(numbers(*range(10)))
        engine.flush()
        letters = engine.dead_letters("t")
    assert sorted(seen) == [0, 2, 4, 6, 8]
    assert sorted(row["n"] for letter in letters for row in letter.rows.to_pylist()) == [1, 3, 5, 7, 9]


@WORKERS
def test_sys_exit_on_a_lane_is_a_dead_letter_and_is_raised_later(workers: int) -> None:
    found: list[int] = []
    with Engine(workers=workers) as engine:
        stream = engine.stream("s", NUMBERS)

        @engine.trigger("t", stream, ALL).handler(concurrency=1)
        def leave(matches: pa.RecordBatch) -> None:
            if not found:
                found.extend(values(matches))
                sys.exit(3)
            found.extend(values(matches))

        stream.push(numbers(1))
        with pytest.raises(SystemExit):
            engine.flush()
        stream.push(numbers(2))
        engine.flush()
        assert found == [1, 2]
        assert engine.dead_letters("t")[0].error == "SystemExit: 3"


# ---------------------------------------------------------------------- what a handler may do


@WORKERS
@pytest.mark.parametrize("kind", ["thread", "task"])
def test_a_lane_may_push_through_full_rings_and_outboxes(workers: int, kind: str) -> None:
    found: list[int] = []
    with Engine(workers=workers, ring_slots=1) as engine:
        first, second = engine.stream("a", NUMBERS), engine.stream("b", NUMBERS)
        trigger = engine.trigger("t", first, ALL)
        upon = engine.trigger("u", second, ALL)
        upon.handler(lambda matches: found.extend(values(matches)), concurrency=1, outbox=1)

        def forward(matches: pa.RecordBatch) -> None:
            for n in values(matches):
                second.push({"n": n})
                second.push({"n": n + 1000})

        async def forward_async(matches: pa.RecordBatch) -> None:
            forward(matches)

        trigger.handler(forward if kind == "thread" else forward_async, concurrency=2, outbox=1)
        threads = [
            threading.Thread(target=lambda k=k: [first.push(numbers(k, k + 1)) for _ in range(50)])
            for k in (0, 2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        engine.flush(timeout=60)
        assert Counter(found) == Counter({n + high: 50 for n in range(4) for high in (0, 1000)})


@WORKERS
@pytest.mark.parametrize("kind", ["thread", "task"])
def test_a_lane_may_close_but_not_wait(workers: int, kind: str) -> None:
    engine = Engine(workers=workers, retries=0)
    stream = engine.stream("s", NUMBERS)
    trigger = engine.trigger("t", stream, ALL)
    ticket = stream.push(numbers(0))

    def act(matches: pa.RecordBatch) -> None:
        if 1 in values(matches):
            engine.flush()
        if 2 in values(matches):
            ticket.results()
        engine.close()
        engine.close()

    async def act_async(matches: pa.RecordBatch) -> None:
        act(matches)

    async def act_elsewhere(matches: pa.RecordBatch) -> None:
        await asyncio.to_thread(act, matches)  # its thread is the handler's too

    trigger.handler(act if kind == "thread" else act_async, concurrency=1)
    if kind == "task":
        trigger.handler(act_elsewhere)
    stream.push(numbers(1))
    stream.push(numbers(2))
    until(lambda: len(engine.dead_letters("t")) == (2 if kind == "thread" else 4))
    assert not engine.closed
    stream.push(numbers(3))
    engine.close(timeout=30)
    assert engine.closed
    errors = [letter.error for letter in engine.dead_letters("t")]
    assert all("in a handler would wait for that handler" in error for error in errors)
    assert {error.split("()")[0] for error in errors} == {"TocsinError: flush", "TocsinError: results"}


@WORKERS
def test_handlers_set_triggers_and_handlers_while_events_flow(workers: int) -> None:
    found: list[int] = []
    with Engine(workers=workers, ring_slots=1) as engine:
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, ALL)

        @trigger.handler(concurrency=1, outbox=1)
        def grow(matches: pa.RecordBatch) -> None:
            for n in values(matches):
                if n < 20:
                    more = engine.trigger(f"t{n}", stream, tc.col("n") == 100 + n)
                    more.handler(lambda matches: found.extend(values(matches)), concurrency=1)
                    engine.remove("nobody" if n % 2 else f"t{n}") if n % 2 == 0 else None

        for n in range(20):
            stream.push(numbers(n))
        engine.flush(timeout=60)
        stream.push(numbers(*range(100, 120)))
        engine.flush(timeout=60)
    assert sorted(found) == list(range(101, 120, 2))


def test_a_removed_trigger_s_threads_handle_what_there_is_and_end() -> None:
    found: list[int] = []
    gate = threading.Event()
    with Engine(workers=1) as engine:
        stream = engine.stream("s", NUMBERS)
        before = threading.active_count()
        trigger = engine.trigger("t", stream, ALL)

        @trigger.handler(concurrency=2)
        def slow(matches: pa.RecordBatch) -> None:
            gate.wait(20)
            found.extend(values(matches))

        assert threading.active_count() == before + 2
        for i in range(10):
            stream.push(numbers(i))
        engine.remove("t")
        gate.set()
        engine.flush()
        assert sorted(found) == list(range(10))
        until(lambda: threading.active_count() == before)
        with pytest.raises(ClosedError, match="has ended"):
            trigger.handler(slow, concurrency=1)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"concurrency": 0}, ValueError, "concurrency=0 must be a whole number from 1 to 4096"),
        ({"concurrency": True}, ValueError, "concurrency=True"),
        ({"concurrency": 1, "outbox": 0}, ValueError, "outbox=0 must be a whole number of at least 1"),
        ({"outbox": 5}, ValueError, "outbox=5 is for handlers on threads of their own"),
        ({"retries": -1}, ValueError, "retries=-1"),
        ({"backoff": -0.5}, ValueError, "backoff=-0.5 must be seconds"),
        ({"results": 0}, ValueError, "results=0"),
        ({"loop": 3}, TypeError, "loop= is for a coroutine function"),
    ],
)
def test_options_are_checked(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with Engine() as engine:
        trigger = engine.trigger("t", engine.stream("s", NUMBERS), ALL)
        before = threading.active_count()
        if options == {"results": 0}:
            options = {"results": -1}
            message = "results=-1"
        with pytest.raises(error, match=message):
            trigger.handler(print, **options)
        with pytest.raises(ValueError, match=r"matches\(limit=0\)"):
            trigger.matches(limit=0)

        async def nothing(matches: Any) -> None: ...

        with pytest.raises(TypeError, match="loop=3 is not an asyncio event loop"):
            trigger.handler(nothing, loop=3)  # type: ignore[call-overload]
        assert threading.active_count() == before
        assert engine._runtime.dispatch.lanes == ()
    with pytest.raises(ValueError, match="dead_letter_limit=0"):
        Engine(dead_letter_limit=0)


# ---------------------------------------------------------------------- coroutine functions


@WORKERS
@pytest.mark.parametrize("own", [True, False])
def test_a_coroutine_function_runs_in_order_on_its_loop(workers: int, own: bool) -> None:
    found: list[int] = []
    loops: set[Any] = set()
    with running_loop() as loop, Engine(workers=workers) as engine:
        stream = engine.stream("s", NUMBERS)

        @engine.trigger("t", stream, ALL).handler(loop=None if own else loop)
        async def handle(matches: pa.RecordBatch) -> None:
            loops.add(asyncio.get_running_loop())
            await asyncio.sleep(0)
            found.extend(values(matches))

        for i in range(200):
            stream.push(numbers(i))
        engine.flush(timeout=60)
        assert found == list(range(200))
        assert len(loops) == 1
        assert (loop in loops) == (not own)


def test_so_many_tasks_run_at_once_and_no_more() -> None:
    now, most = 0, 0
    seen: Counter[int] = Counter()
    with Engine() as engine:
        stream = engine.stream("s", NUMBERS)

        class Service:
            async def __call__(self, match: dict[str, int]) -> None:
                nonlocal now, most
                now += 1
                most = max(most, now)
                for _ in range(3):
                    await asyncio.sleep(0)
                now -= 1
                seen[match["n"]] += 1

        engine.trigger("t", stream, ALL).handler(Service(), concurrency=5, per_match=True)
        for i in range(20):
            stream.push(numbers(*range(10 * i, 10 * i + 10)))
        engine.flush(timeout=60)
    assert most == 5
    assert seen == Counter(range(200))


def test_a_coroutine_s_fault_is_its_own() -> None:
    calls: list[int] = []
    with Engine(retries=2, backoff=0.001) as engine:
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, ALL)

        @trigger.handler
        async def flaky(matches: pa.RecordBatch) -> None:
            calls.extend(values(matches))
            if calls.count(1) < 3 or 2 in values(matches):
                raise ValueError("no")

        stream.push(numbers(1))
        engine.flush()
        assert engine.dead_letters("t") == []
        stream.push(numbers(2))
        stream.push(numbers(3))
        engine.flush()
        (letter,) = engine.dead_letters("t")
    assert calls == [1, 1, 1, 2, 2, 2, 3]
    assert letter.rows == numbers(2)


def test_a_function_that_returns_a_coroutine_is_told_so() -> None:
    async def coroutine(matches: Any) -> None: ...

    with Engine(workers=0, retries=0) as engine:
        stream = engine.stream("s", NUMBERS)
        engine.trigger("t", stream, ALL).handler(lambda matches: coroutine(matches))
        stream.push(numbers(1))
        assert "register an async def function" in engine.dead_letters("t")[0].error


def test_a_closed_loop_is_an_error_and_no_hang() -> None:
    with Engine(retries=0) as engine:
        stream = engine.stream("s", NUMBERS)
        reached = threading.Event()
        with running_loop() as loop:

            @engine.trigger("t", stream, ALL).handler(loop=loop, per_match=True, outbox=5)
            async def handle(match: dict[str, int]) -> None:
                reached.set()
                await asyncio.sleep(0 if match["n"] < 2 else 3600)

            stream.push(numbers(0, 1, 2, 3, 4))  # two are handled, one has begun, two wait
            stream.push(numbers(5))
            assert reached.wait(20)
            time.sleep(0.05)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                stop(loop)
        engine.flush(timeout=60)
        stream.push(numbers(6))
        engine.flush(timeout=60)
        letters = engine.dead_letters("t")
        assert [n for letter in letters for n in values(letter.rows)] == [2, 3, 4, 5, 6]
        assert all("event loop" in letter.error and "is closed" in letter.error for letter in letters)
    gc.collect()


def test_a_stopped_loop_is_given_up_when_somebody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_lane, "LOOP_SECONDS", 0.05)
    found: list[int] = []
    with Engine(ring_slots=2) as engine:
        stream = engine.stream("s", NUMBERS)
        loop = asyncio.new_event_loop()

        @engine.trigger("t", stream, ALL).handler(loop=loop, outbox=2)
        async def handle(matches: pa.RecordBatch) -> None:
            found.extend(values(matches))

        stream.push(numbers(0))
        loop.run_until_complete(asyncio.sleep(0.2))  # a loop that runs now and then keeps what waits
        stream.push(numbers(1))
        time.sleep(0.2)
        loop.run_until_complete(asyncio.sleep(0.2))
        assert found == [0, 1]
        for i in range(2, 30):  # far more than fits: the dispatcher waits, and gives up
            stream.push(numbers(i))
        engine.flush(timeout=60)
        assert [n for letter in engine.dead_letters("t") for n in values(letter.rows)] == list(range(2, 30))
        assert "has stopped" in engine.dead_letters("t")[0].error
        thread = threading.Thread(target=loop.run_until_complete, args=(asyncio.sleep(1),))
        thread.start()
        until(loop.is_running)
        stream.push(numbers(30))
        engine.flush(timeout=60)
        assert found == [0, 1, 30]
        thread.join()
        loop.close()


def test_the_end_of_asyncio_run_makes_dead_letters() -> None:
    engine = Engine(retries=3, backoff=0.0)
    stream = engine.stream("s", NUMBERS)

    async def main() -> None:
        began = asyncio.Event()

        @engine.trigger("t", stream, ALL).handler(loop=asyncio.get_running_loop())
        async def handle(matches: pa.RecordBatch) -> None:
            began.set()
            await asyncio.sleep(3600)

        await asyncio.to_thread(stream.push, numbers(1))
        await asyncio.to_thread(stream.push, numbers(2))
        await began.wait()

    asyncio.run(main())
    engine.close(timeout=60)
    letters = engine.dead_letters("t")
    assert [values(letter.rows) for letter in letters] == [[1], [2]]
    assert letters[0].error.startswith("CancelledError")
    assert "is closed" in letters[1].error


def test_an_engine_and_its_handlers_on_one_loop() -> None:
    async def main() -> None:
        found: list[int] = []
        gate = asyncio.Event()
        async with Engine(ring_slots=1) as engine:
            stream = engine.stream("s", NUMBERS)
            ticket = stream.push(numbers(0))

            @engine.trigger("t", stream, ALL).handler(loop=asyncio.get_running_loop(), outbox=1)
            async def handle(matches: pa.RecordBatch) -> None:
                await gate.wait()
                found.extend(values(matches))

            with pytest.raises(TocsinError, match=r"await asyncio.to_thread\(engine.flush\)"):
                engine.flush()
            with pytest.raises(TocsinError, match=r"await asyncio.to_thread\(ticket.results\)"):
                ticket.results()
            pushed = 0
            with pytest.raises(BackpressureError, match=r"await asyncio.to_thread\(stream.push, data\)"):
                for pushed in range(100):
                    stream.push(numbers(pushed))
                    time.sleep(0.002)
            assert pushed < 10
            gate.set()
            await asyncio.to_thread(stream.push, numbers(pushed))
            await asyncio.to_thread(engine.flush)
            assert found == list(range(pushed + 1))
            stream.push(numbers(99))
        assert found[-1] == 99
        assert engine.closed

    asyncio.run(main())


def test_closing_on_the_loop_of_a_handler_is_told_and_goes_on() -> None:
    found: list[int] = []

    async def main() -> Engine:
        engine = Engine()
        stream = engine.stream("s", NUMBERS)

        @engine.trigger("t", stream, ALL).handler(loop=asyncio.get_running_loop())
        async def handle(matches: pa.RecordBatch) -> None:
            found.extend(values(matches))

        for i in range(5):
            stream.push(numbers(i))
        with pytest.raises(TocsinError, match="use `async with`"):
            engine.close()
        await asyncio.to_thread(engine.close)
        return engine

    engine = asyncio.run(main())
    assert engine.closed
    assert found == [0, 1, 2, 3, 4]


def test_sys_exit_in_a_task_leaves_the_engine_s_own_loop_alive() -> None:
    found: list[int] = []
    with Engine() as engine:
        stream = engine.stream("s", NUMBERS)

        @engine.trigger("t", stream, ALL).handler
        async def leave(matches: pa.RecordBatch) -> None:
            if values(matches) == [1]:
                sys.exit(3)
            if values(matches) == [2]:
                asyncio.get_running_loop().stop()
            found.extend(values(matches))

        stream.push(numbers(1))
        with pytest.raises(SystemExit):
            engine.flush()
        stream.push(numbers(2))
        engine.flush(timeout=30)
        stream.push(numbers(3))
        engine.flush(timeout=30)
        assert found == [2, 3]


# ---------------------------------------------------------------------- the pull side


def test_async_for_takes_all_and_blocks_nothing() -> None:
    async def main() -> list[int]:
        found: list[int] = []
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.001)

        ticking = asyncio.create_task(tick())
        engine = Engine()
        stream = engine.stream("s", NUMBERS)
        matches = engine.trigger("t", stream, ALL).matches(limit=4)

        def push() -> None:
            for i in range(100):
                stream.push(numbers(i))
                if i % 10 == 0:
                    time.sleep(0.005)
            engine.close()

        pusher = threading.Thread(target=push)
        pusher.start()
        async for batch in matches:
            found.extend(values(batch))
        pusher.join()
        assert ticks > 5
        ticking.cancel()
        return found

    assert asyncio.run(main()) == list(range(100))


def test_a_cancelled_wait_loses_no_batch() -> None:
    async def main() -> None:
        found: list[int] = []
        with Engine() as engine:
            stream = engine.stream("s", NUMBERS)
            matches = engine.trigger("t", stream, ALL).matches()
            pusher = threading.Thread(
                target=lambda: [(stream.push(numbers(i)), time.sleep(0.0005)) for i in range(300)]
            )
            pusher.start()
            cancelled = 0
            while len(found) < 300:
                task = asyncio.create_task(anext(matches))
                await asyncio.sleep(cancelled % 3 * 0.0005)
                task.cancel()
                try:
                    found.extend(values(await task))
                except asyncio.CancelledError:
                    cancelled += 1
            pusher.join()
            assert found == list(range(300))
            assert cancelled > 0

    asyncio.run(asyncio.wait_for(main(), 60))


def test_threads_and_tasks_share_an_iterator_and_each_batch_goes_to_one() -> None:
    seen: list[int] = []
    with running_loop() as loop:
        engine = Engine(ring_slots=4)
        stream = engine.stream("s", NUMBERS)
        matches = engine.trigger("t", stream, ALL).matches(limit=2)

        async def pull() -> None:
            async for batch in matches:
                seen.extend(values(batch))

        futures = [asyncio.run_coroutine_threadsafe(pull(), loop) for _ in range(3)]
        thread = threading.Thread(target=lambda: [seen.extend(values(batch)) for batch in matches])
        thread.start()
        for i in range(500):
            stream.push(numbers(i))
        engine.close(timeout=60)
        for future in futures:
            future.result(30)
        thread.join(30)
    assert sorted(seen) == list(range(500))


def test_a_full_iterator_is_back_pressure_until_it_is_taken_closed_or_dropped() -> None:
    with Engine(workers=1, ring_slots=1, overflow="raise") as engine:
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, ALL)

        def push_until_refused(matches: Any) -> list[int]:
            pushed = []
            with pytest.raises(BackpressureError):
                for i in range(1000):
                    stream.push(numbers(i))
                    pushed.append(i)
                    time.sleep(0.002)
            return pushed

        matches = trigger.matches(limit=3)
        pushed = push_until_refused(matches)
        assert len(pushed) < 10
        assert [values(next(matches)) for _ in pushed] == [[i] for i in pushed]
        push_until_refused(matches)
        matches.close()
        engine.flush(timeout=30)
        matches = trigger.matches(limit=3)
        push_until_refused(matches)
        del matches
        engine.flush(timeout=30)
        matches = trigger.matches(limit=3)
        pushed = push_until_refused(matches)
        engine.close(timeout=30)  # without a limit then
        assert [values(batch) for batch in matches] == [[i] for i in pushed]


def test_a_full_iterator_refuses_an_inline_push_before_anything_is_accepted() -> None:
    with Engine(workers=0) as engine:
        stream = engine.stream("s", NUMBERS)
        matches = engine.trigger("t", stream, ALL).matches(limit=2)
        for i in range(3):
            stream.push(numbers(i))
        for _ in range(2):
            with pytest.raises(
                BackpressureError, match=r"3 batches wait .* nothing of this push was accepted"
            ):
                stream.push(numbers(3))
        assert stream.sequence == 3
        assert values(next(matches)) == [0]
        with pytest.raises(BackpressureError):
            stream.push(numbers(3))
        assert values(next(matches)) == [1]
        stream.push(numbers(3))
        stream.push(numbers(4))
        with pytest.raises(BackpressureError):
            stream.push(numbers(5))
        del matches
        gc.collect()
        stream.push(numbers(5))


def test_who_stops_taking_is_told_of(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tocsin.dispatch.ROOM_SECONDS", 0.001)
    with Engine() as engine, caplog.at_level(logging.WARNING, "tocsin"):
        stream = engine.stream("s", NUMBERS)
        matches = engine.trigger("t", stream, ALL).matches(limit=1)
        stream.push(numbers(1))
        stream.push(numbers(2))
        until(lambda: "1 batches wait for who iterates over its matches()" in caplog.text)
        matches.close()


# ---------------------------------------------------------------------- bounds


def test_dead_letters_in_memory_have_a_limit(caplog: pytest.LogCaptureFixture) -> None:
    def fail(matches: pa.RecordBatch) -> None:
        raise ValueError("no")

    with Engine(workers=0, retries=0, dead_letter_limit=3) as engine:
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, ALL)
        trigger.handler(fail)
        for i in range(5):
            stream.push(numbers(i))
        assert [values(letter.rows) for letter in engine.dead_letters("t")] == [[2], [3], [4]]
        assert trigger.dead_letters_dropped == 2
    assert "3 dead letters are kept in memory, the oldest was let go (2 so far)" in caplog.text


def test_results_have_a_limit(caplog: pytest.LogCaptureFixture) -> None:
    with Engine(workers=0) as engine:
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, ALL)
        trigger.handler(lambda match: match["n"], per_match=True, results=3)
        stream.push(numbers(*range(5)))
        assert trigger.results() == [2, 3, 4]
        assert trigger.results_dropped == 2
        assert trigger.results() == []
    assert caplog.text.count("has returned more values than are kept") == 1


# ---------------------------------------------------------------------- the end


def engines_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("tocsin")]


@WORKERS
@pytest.mark.parametrize("how", ["closed", "dropped"])
def test_threads_and_loops_end_with_the_engine(workers: int, how: str) -> None:
    until(lambda: engines_threads() == [])
    found: list[int] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        engine = Engine(workers=workers)
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, ALL)

        async def handle(matches: pa.RecordBatch) -> None:
            found.extend(values(matches))

        trigger.handler(handle)
        trigger.handler(lambda matches: found.extend(values(matches)), concurrency=3)
        gone = weakref.ref(engine)
        stream.push(numbers(1))
        if how == "closed":
            engine.close()
            assert engines_threads() == []
        del engine, stream, trigger
        gc.collect()
    assert gone() is None
    until(lambda: engines_threads() == [])
    assert found == [1, 1]


@WORKERS
@pytest.mark.parametrize("hangs", [False, True])
def test_the_interpreter_ends_with_live_lanes(workers: int, hangs: bool) -> None:
    from test_engine import run

    begun = time.monotonic()
    ended = run(f"""
        import asyncio, threading, time
        import tocsin as tc
        from tocsin import runtime
        runtime.EXIT_SECONDS = 0.5
        engine = Engine(workers={workers})
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, tc.col("n") >= 0)
        trigger.handler(lambda matches: sys.stdout.write("thread\\n"), concurrency=2)
        async def handle(matches):
            sys.stdout.write("task\\n")
        trigger.handler(handle)
        trigger.handler(lambda matches: {hangs} and time.sleep(1000), concurrency=1)
        stream.push(numbers(1))
        time.sleep(0.2)
    """)
    assert ended.returncode == 0, ended.stderr
    assert sorted(ended.stdout.split()) == ["task", "thread"]
    assert "was not closed" in ended.stderr
    assert ("not all was matched and handled" in ended.stderr) == hangs
    assert time.monotonic() - begun < 60


# ---------------------------------------------------------------------- races


@pytest.mark.stress
@WORKERS
@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_lost_doubled_or_stuck_whatever_the_threads_do(workers: int, seed: int) -> None:
    """Random engines: lanes of every kind, handlers that fail, push and sleep, pulls that are cancelled."""
    r = Random(seed)
    for _ in range(4):
        lane_race(workers, r)


def lane_race(workers: int, r: Random) -> None:
    events, pushers = 60, 3
    kinds = ["direct", "thread", "threads", "task", "tasks", "user", "pull", "apull"]
    chosen = [r.choice(kinds) for _ in range(r.choice([1, 2, 4]))]
    seen: list[Counter[int]] = [Counter() for _ in chosen]
    failed: list[Counter[int]] = [Counter() for _ in chosen]
    forwarded: Counter[int] = Counter()
    noise = [Random(r.random()) for _ in chosen]
    lock = threading.Lock()
    futures = []
    with running_loop() as loop:
        engine = Engine(workers=workers, ring_slots=r.choice([1, 2, 8]), retries=0, dead_letter_limit=None)
        first, second = engine.stream("a", NUMBERS), engine.stream("b", NUMBERS)
        engine.trigger("u", second, ALL).handler(
            lambda matches: forwarded.update(values(matches)), concurrency=1, outbox=1
        )
        forwards: Counter[int] = Counter()
        for at, kind in enumerate(chosen):
            trigger = engine.trigger(f"t{at}", first, ALL)
            forwarding = r.random() < 0.5

            def handle(matches: Any, at: int = at, forwarding: bool = forwarding) -> None:
                with lock:
                    chance = noise[at].random()
                if chance < 0.1:
                    time.sleep(chance / 100)
                if chance > 0.9:
                    failed[at].update(values(matches))
                    raise ValueError("no")
                if forwarding and chance > 0.5:
                    second.push(matches)
                    with lock:
                        forwards.update(values(matches))
                with lock:
                    seen[at].update(values(matches))

            async def handle_async(matches: Any, at: int = at, handle: Any = handle) -> None:
                if noise[at].random() < 0.3:
                    await asyncio.sleep(noise[at].random() / 1000)
                handle(matches)

            def pull(matches: Any, at: int = at) -> None:
                for batch in matches:
                    seen[at].update(values(batch))

            async def pull_async(matches: Any, at: int = at) -> None:
                while True:
                    task = asyncio.ensure_future(anext(matches))
                    await asyncio.wait([task], timeout=noise[at].random() / 500)
                    if noise[at].random() < 0.5:
                        task.cancel()
                    try:
                        seen[at].update(values(await task))
                    except asyncio.CancelledError:
                        continue
                    except StopAsyncIteration:
                        return

            outbox, n = r.choice([1, 2, 50]), r.choice([2, 4])
            limit = None if workers == 0 else r.choice([1, 3])
            if kind == "direct":
                trigger.handler(handle)
            elif kind == "thread":
                trigger.handler(handle, concurrency=1, outbox=outbox)
            elif kind == "threads":
                trigger.handler(handle, concurrency=n, outbox=outbox)
            elif kind == "task":
                trigger.handler(handle_async, outbox=outbox)
            elif kind == "tasks":
                trigger.handler(handle_async, outbox=outbox, concurrency=n)
            elif kind == "user":
                trigger.handler(handle_async, outbox=outbox, concurrency=n, loop=loop)
            elif kind == "pull":
                puller = threading.Thread(target=pull, args=(trigger.matches(limit=limit),))
                puller.start()
                futures.append(puller.join)
            else:
                future = asyncio.run_coroutine_threadsafe(pull_async(trigger.matches(limit=limit)), loop)
                futures.append(future.result)

        def push(base: int, pause: float) -> None:
            for i in range(events):
                first.push(numbers(base + i))
                if i % 7 == 0:
                    time.sleep(pause)

        threads = [
            threading.Thread(target=push, args=(1000 * k, r.choice([0, 0.001]))) for k in range(pushers)
        ]
        for thread in threads:
            thread.start()
        if r.random() < 0.5:
            engine.flush(timeout=60)
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), chosen
        if r.random() < 0.7:
            engine.flush(timeout=60)
            for at, kind in enumerate(chosen):
                if "pull" not in kind:
                    assert seen[at] + failed[at] == expected(pushers, events), (kind, chosen)
            assert forwarded == forwards
        engine.close(timeout=60)
        for wait in futures:
            wait(30)
    for at, kind in enumerate(chosen):
        letters = Counter(n for letter in engine.dead_letters(f"t{at}") for n in values(letter.rows))
        assert seen[at] + letters == expected(pushers, events), (kind, chosen)
    until(lambda: engines_threads() == [])


def expected(pushers: int, events: int) -> Counter[int]:
    return Counter(1000 * k + i for k in range(pushers) for i in range(events))
