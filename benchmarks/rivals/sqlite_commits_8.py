"""SQLite: as `sqlite_commits_1`, from 8 threads."""

from benchmarks.rivals import sqlite_commits_1
from benchmarks.rivals.sqlite_commits_1 import setup  # noqa: F401
from benchmarks.timing import Timed

NAME = "SQLite, WAL, synchronous=FULL"
REQUIRES = ()
DATA = "wide"


def run(state: tuple) -> Timed:
    return sqlite_commits_1.run(state, 8)
