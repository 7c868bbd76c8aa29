"""How long an event takes from push to handler at a given pace, and what an engine costs that waits."""

from __future__ import annotations

import threading
from queue import Queue
from time import process_time, sleep

import pytest

from benchmarks import data, subject
from benchmarks.race import Race, Reference
from benchmarks.timing import Timed

PACES = {5_000: "5k", 10_000: "10k", 100_000: "100k", 1_000_000: "1m"}


@pytest.mark.parametrize("per_second", PACES)
def bench_paced(race: Race, per_second: int) -> None:
    """A second of events, at most 19 968; a million a second come 64 at a time, as a batch or as so many ticks."""
    wide = data.wide(min(race.events, per_second, data.SINGLE_EVENTS) // data.BURST_ROWS * data.BURST_ROWS)
    what = "one event as a dict" if per_second < 1_000_000 else "events in batches of 64"
    race(
        f"{what}, push → handler through a worker, {per_second}/s (p99)",
        subject.single_paced(wide, per_second),
        [],
        rivals={
            f"csp_paced_{PACES[per_second]}": {"goal": 1.0, "events": wide.events, "work": 1},
            f"queue_paced_{PACES[per_second]}": {"events": wide.events, "work": 1},
        },
        judge=lambda: {"handled": [wide.events]},
        work=1,
        unit="µs",
        columns=("handled",),
    )


@pytest.mark.parametrize("per_second", [10_000, 100_000, 1_000_000])
def bench_paced_inline(race: Race, per_second: int) -> None:
    """The same without a worker: who pushes matches and handles."""
    wide = data.wide(min(race.events, per_second, data.SINGLE_EVENTS) // data.BURST_ROWS * data.BURST_ROWS)
    what = "one event as a dict" if per_second < 1_000_000 else "events in batches of 64"
    race(
        f"{what}, push → handler, inline, {per_second}/s (p99)",
        subject.single_paced(wide, per_second, workers=0),
        [],
        itself=[Reference("itself through a worker", subject.single_paced(wide, per_second))],
        judge=lambda: {"handled": [wide.events]},
        work=1,
        unit="µs",
        columns=("handled",),
    )


def idle_queue(seconds: float) -> Timed:
    """A thread that waits in Queue.get."""
    queue: Queue = Queue()
    seen = []
    thread = threading.Thread(target=lambda: seen.append(queue.get()))
    thread.start()
    used = process_time()
    sleep(seconds)
    used = process_time() - used
    queue.put(1)
    thread.join()
    return Timed(max(used, 1e-9), {"seen": seen})


def bench_idle(race: Race) -> None:
    seconds = 10.0 if race.events >= 1_000_000 else 0.2
    race(
        f"an idle engine, processor time in {seconds:g} s",
        subject.idle(seconds),
        [Reference("a thread in Queue.get", lambda: idle_queue(seconds))],
        work=1,
        unit="µs",
        columns=("seen",),
        rounds=2,
    )
