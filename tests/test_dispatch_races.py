"""Engines with handlers of every kind, raced: nothing is lost, doubled, or stuck."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from random import Random
from typing import Any

import pytest

from runtime_support import ALL, NUMBERS, engines_threads, numbers, running_loop, until, values
from tocsin.engine import Engine

WORKERS = pytest.mark.parametrize("workers", [0, 1])


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
