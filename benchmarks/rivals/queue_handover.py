"""queue.Queue: references to batches from one thread to another; the worker counts those it looks for."""

import queue
import threading

import pyarrow as pa

from benchmarks.data import HANDOVER_TURNS, Data

NAME = "queue.Queue"
REQUIRES = ("pyarrow",)
DATA = "wide"


def setup(data: Data) -> list[pa.RecordBatch]:
    return data.batches()


def run(batches: list[pa.RecordBatch], make=queue.Queue) -> dict[str, list[int]]:
    handed = make()
    sought, seen = batches[-1], 0

    def consume() -> None:
        nonlocal seen
        while (batch := handed.get()) is not None:
            seen += batch is sought

    worker = threading.Thread(target=consume)
    worker.start()
    for _ in range(HANDOVER_TURNS):
        for batch in batches:
            handed.put(batch)
    handed.put(None)
    worker.join()
    return {"seen": [seen]}
