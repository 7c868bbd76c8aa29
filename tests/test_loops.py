"""Coroutine functions as handlers, and what happens to them when their event loop ends."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
import warnings
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest

from runtime_support import ALL, NUMBERS, numbers, running_loop, stop, until, values
from tocsin import loop_lane
from tocsin.engine import Engine
from tocsin.errors import BackpressureError, TocsinError

WORKERS = pytest.mark.parametrize("workers", [0, 1])


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
    with Engine(ring_slots=2, gather_rows=1) as engine:
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


def test_a_call_that_was_given_up_and_comes_back_to_life_does_not_count_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop_lane, "LOOP_SECONDS", 0.05)
    loop = asyncio.new_event_loop()
    state: list[str] = []
    with Engine() as engine:
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, ALL)

        async def until_it(has: str) -> None:
            while has not in state:
                await asyncio.sleep(0.001)

        @trigger.handler(loop=loop, results=True)
        async def handle(matches: pa.RecordBatch) -> list[int]:
            state.append("begun")
            await until_it("go on")
            state.append("ended")
            return values(matches)

        ticket = stream.push(numbers(1))
        loop.run_until_complete(until_it("begun"))
        assert ticket.results(timeout=60) == []
        (letter,) = engine.dead_letters("t")
        assert "has stopped" in letter.error
        state.append("go on")
        loop.run_until_complete(until_it("ended"))
        loop.run_until_complete(asyncio.sleep(0))
        assert ticket.results() == trigger.results() == []
        thread = threading.Thread(target=loop.run_until_complete, args=(until_it("over"),))
        thread.start()
        until(loop.is_running)
        assert stream.push(numbers(2)).results(timeout=60) == [[2]]
        state.append("over")
        thread.join()
        assert len(engine.dead_letters("t")) == 1
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
        await began.wait()  # else the second event may join the first one's batch
        await asyncio.to_thread(stream.push, numbers(2))

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
        async with Engine(ring_slots=1, gather_rows=1) as engine:
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

            def push_until_refused() -> None:
                nonlocal pushed
                while True:
                    stream.push(numbers(pushed))
                    pushed += 1
                    time.sleep(0.002)

            with pytest.raises(BackpressureError, match=r"await asyncio.to_thread\(stream.push, data\)"):
                push_until_refused()
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
