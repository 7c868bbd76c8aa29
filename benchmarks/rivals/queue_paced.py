"""queue.Queue: one event through a worker thread, paced 5 000 a second, p50 and p99 of put -> handler."""

import queue
import threading
from time import perf_counter_ns

from benchmarks.data import Data, paced, single_events
from benchmarks.timing import Timed

NAME = "queue.Queue"
REQUIRES = ()
DATA = "wide"


def setup(data: Data) -> list[dict]:
    return single_events(data)[:5_000]


def run(events: list[dict]) -> Timed:
    handed: queue.Queue = queue.Queue()
    at: list[int] = []

    def consume() -> None:
        while (event := handed.get()) is not None:
            if event["v0"] > -100.0:
                at.append(perf_counter_ns())

    worker = threading.Thread(target=consume)
    worker.start()
    begun = paced(events, handed.put)
    handed.put(None)
    worker.join()
    return Timed.latencies(begun, at)
