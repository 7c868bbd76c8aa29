"""SQLite: small batches by several threads, each durable when its commit returns (WAL, synchronous=FULL).

Threads share one connection under a lock: connections of their own wait for each other by sleeping, which is slower.
The rows are made to tuples outside the clock.
"""

import threading
import time

from benchmarks.data import COMMIT_ROWS, Data, from_threads
from benchmarks.rivals import sqlite_store
from benchmarks.timing import Timed

NAME = "SQLite, WAL, synchronous=FULL"
REQUIRES = ()
DATA = "wide"


def setup(data: Data) -> tuple:
    batches = data.batches(COMMIT_ROWS)
    return batches[0].schema, [sqlite_store.tuples(batch) for batch in batches]


def run(state: tuple, threads: int = 1) -> Timed:
    schema, batches = state
    connection, insert = sqlite_store.opened("FULL", schema)
    lock = threading.Lock()

    def commit(rows: list[tuple]) -> None:
        with lock:
            connection.executemany(insert, rows)
            connection.commit()

    begin = time.perf_counter()
    from_threads(batches, commit, threads)
    seconds = time.perf_counter() - begin
    return Timed(seconds, sqlite_store.ended(connection, schema))
