"""queue.SimpleQueue: as `queue_handover`, unbounded and without a Python lock."""

import queue

from benchmarks.rivals import queue_handover
from benchmarks.rivals.queue_handover import setup  # noqa: F401

NAME = "queue.SimpleQueue"
REQUIRES = ("pyarrow",)
DATA = "wide"


def run(batches: list) -> dict[str, list[int]]:
    return queue_handover.run(batches, queue.SimpleQueue)
