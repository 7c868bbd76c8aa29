"""The pull side: iterators over matches, for threads and event loops; what a full one does."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time

import pytest

from runtime_support import ALL, NUMBERS, numbers, running_loop, until, values
from tocsin.engine import Engine
from tocsin.errors import BackpressureError

WORKERS = pytest.mark.parametrize("workers", [0, 1])


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
                    until(lambda: len(found) == i + 1)  # noqa: B023 (while the engine is open)
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
        engine = Engine(ring_slots=4, gather_rows=1)
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
    with Engine(workers=1, ring_slots=1, gather_rows=1, overflow="raise") as engine:
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, ALL)

        def push_until_refused() -> list[int]:
            pushed: list[int] = []

            def push() -> None:
                while True:
                    stream.push(numbers(len(pushed)))
                    pushed.append(len(pushed))
                    time.sleep(0.002)

            with pytest.raises(BackpressureError):
                push()
            return pushed

        matches = trigger.matches(limit=3)
        pushed = push_until_refused()
        assert len(pushed) < 10
        assert [values(next(matches)) for _ in pushed] == [[i] for i in pushed]
        push_until_refused()
        matches.close()
        engine.flush(timeout=30)
        matches = trigger.matches(limit=3)
        push_until_refused()
        del matches
        engine.flush(timeout=30)
        matches = trigger.matches(limit=3)
        pushed = push_until_refused()
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
    with Engine(gather_rows=1) as engine, caplog.at_level(logging.WARNING, "tocsin"):
        stream = engine.stream("s", NUMBERS)
        matches = engine.trigger("t", stream, ALL).matches(limit=1)
        stream.push(numbers(1))
        stream.push(numbers(2))
        until(lambda: "1 batches wait for who iterates over its matches()" in caplog.text)
        matches.close()
