"""queue.Queue: as `queue_paced_5k`, 10 000 a second."""

from benchmarks.rivals import queue_paced_5k
from benchmarks.rivals.queue_paced_5k import setup  # noqa: F401
from benchmarks.timing import Timed

NAME = "queue.Queue"
REQUIRES = ()
DATA = "wide"


def run(events: list) -> Timed:
    return queue_paced_5k.run(events, 10_000)
