"""SQLite: as `sqlite_store`, synchronous=NORMAL."""

from benchmarks.rivals import sqlite_store
from benchmarks.rivals.sqlite_store import setup  # noqa: F401
from benchmarks.timing import Timed

NAME = "SQLite, WAL, synchronous=NORMAL"
REQUIRES = ()
DATA = "wide"


def run(batches: list) -> Timed:
    return sqlite_store.run(batches, "NORMAL")
