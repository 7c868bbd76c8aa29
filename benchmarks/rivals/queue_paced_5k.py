"""queue.Queue: single events through a worker thread, 5 000 a second; p99 of put -> handler."""

import queue
import threading
from time import perf_counter_ns

from benchmarks.data import BURST_ROWS, Data, paced, single_events
from benchmarks.timing import Timed

NAME = "queue.Queue"
REQUIRES = ()
DATA = "wide"


def setup(data: Data) -> list:
    return single_events(data)


def run(events: list, per_second: int = 5_000) -> Timed:
    """Above a million a second, an item of the queue is a list of 64 events."""
    handed: queue.Queue = queue.Queue()
    at: list[int] = []
    rows = BURST_ROWS if per_second >= 1_000_000 else 1
    items = events if rows == 1 else [events[i : i + rows] for i in range(0, len(events), rows)]

    def consume() -> None:
        while (item := handed.get()) is not None:
            some = (item,) if rows == 1 else item
            at.extend(perf_counter_ns() for event in some if event["v0"] > -100.0)

    worker = threading.Thread(target=consume)
    worker.start()
    begun = paced(items, handed.put, per_second // rows)
    handed.put(None)
    worker.join()
    return Timed.latencies([b for b in begun for _ in range(rows)], at, 99)
