"""queue.Queue: single events to a worker thread that looks for one of them."""

import queue
import threading

from benchmarks.data import Data, from_threads, single_events

NAME = "queue.Queue"
REQUIRES = ()
DATA = "wide"


def setup(data: Data) -> list:
    return single_events(data)


def run(events: list, threads: int = 1) -> dict[str, list[int]]:
    handed: queue.Queue = queue.Queue()
    sought, seen = len(events) - 1, 0

    def consume() -> None:
        nonlocal seen
        while (event := handed.get()) is not None:
            seen += event["id"] == sought

    worker = threading.Thread(target=consume)
    worker.start()
    from_threads(events, handed.put, threads)
    handed.put(None)
    worker.join()
    return {"seen": [seen]}
