"""csp, real-time: as `csp_paced_5k`, 1 000 000 a second."""

from benchmarks.rivals import csp_paced_5k
from benchmarks.rivals.csp_paced_5k import setup  # noqa: F401
from benchmarks.timing import Timed

NAME = "csp, real-time"
REQUIRES = ("csp",)
DATA = "wide"


def run(events: list) -> Timed:
    return csp_paced_5k.run(events, 1_000_000)
