"""pyarrow: batches appended to one IPC stream file, compressed with lz4, no fsync."""

from benchmarks.rivals import pyarrow_store
from benchmarks.rivals.pyarrow_store import setup  # noqa: F401
from benchmarks.timing import Timed

NAME = "pyarrow IPC stream, lz4"
REQUIRES = ("pyarrow",)
DATA = "wide"


def run(batches: list) -> Timed:
    return pyarrow_store.run(batches, compression="lz4")
