"""csp, real-time: as `csp_one_by_one_1`, from four threads."""

from benchmarks.rivals import csp_one_by_one_1
from benchmarks.rivals.csp_one_by_one_1 import setup  # noqa: F401

NAME = "csp, real-time"
REQUIRES = ("csp",)
DATA = "wide"


def run(events: list) -> dict[str, list[int]]:
    return csp_one_by_one_1.run(events, 4)
