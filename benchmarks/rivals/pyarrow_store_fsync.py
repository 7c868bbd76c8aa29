"""pyarrow: batches appended to one IPC stream file, fsync after each."""

from benchmarks.rivals import pyarrow_store
from benchmarks.rivals.pyarrow_store import setup  # noqa: F401
from benchmarks.timing import Timed

NAME = "pyarrow IPC stream, fsync each"
REQUIRES = ("pyarrow",)
DATA = "wide"


def run(batches: list) -> Timed:
    return pyarrow_store.run(batches, fsync="each")
