"""queue.Queue: as `queue_one_by_one_1`, from four threads."""

from benchmarks.rivals import queue_one_by_one_1
from benchmarks.rivals.queue_one_by_one_1 import setup  # noqa: F401

NAME = "queue.Queue"
REQUIRES = ()
DATA = "wide"


def run(events: list) -> dict[str, list[int]]:
    return queue_one_by_one_1.run(events, 4)
