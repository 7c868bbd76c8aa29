"""SQLite: as `sqlite_store`, synchronous=FULL."""

from benchmarks.rivals import sqlite_store
from benchmarks.rivals.sqlite_store import setup  # noqa: F401
from benchmarks.timing import Timed

NAME = "SQLite, WAL, synchronous=FULL"
REQUIRES = ()
DATA = "wide"


def run(batches: list) -> Timed:
    return sqlite_store.run(batches, "FULL")
