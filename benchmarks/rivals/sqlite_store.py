"""SQLite: batches appended to a table, a transaction each, as loosely or strictly synced as the store's durability.

The rows are made to tuples of Python numbers outside the clock; inside are executemany and commit.
"""

import os
import sqlite3
import time
from pathlib import Path

import pyarrow as pa

from benchmarks.data import Data
from benchmarks.timing import Timed

NAME = "SQLite, WAL, synchronous=OFF"
REQUIRES = ()
DATA = "wide"


def setup(data: Data) -> list[pa.RecordBatch]:
    return data.batches()


def opened(synchronous: str, schema: pa.Schema) -> tuple[sqlite3.Connection, str]:
    """A new database with a table of these columns, and the statement that inserts a row."""
    path = Path(f"sqlite_{os.getpid()}.db")
    forget(path)
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    kinds = ["REAL" if pa.types.is_floating(field.type) else "INTEGER" for field in schema]
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(schema.names, kinds, strict=True))
    connection.execute(f"CREATE TABLE wide ({columns})")
    connection.commit()
    return connection, f"INSERT INTO wide VALUES ({', '.join('?' * len(schema))})"


def tuples(batch: pa.RecordBatch) -> list[tuple]:
    """The rows as SQLite takes them; times as integers."""
    columns = [
        column.cast(pa.int64()) if pa.types.is_temporal(column.type) else column for column in batch.columns
    ]
    return list(zip(*(column.to_pylist() for column in columns), strict=True))


def ended(connection: sqlite3.Connection, schema: pa.Schema) -> pa.Table:
    """What the table has; the database is gone then."""
    columns = zip(*connection.execute("SELECT * FROM wide"), strict=True)
    arrays = [
        pa.array(column, pa.int64()).cast(field.type)
        if pa.types.is_temporal(field.type)
        else pa.array(column)
        for column, field in zip(columns, schema, strict=True)
    ]
    connection.close()
    forget(Path(f"sqlite_{os.getpid()}.db"))
    return pa.table(arrays, names=schema.names)


def forget(path: Path) -> None:
    for ending in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def run(batches: list[pa.RecordBatch], synchronous: str = "OFF") -> Timed:
    schema = batches[0].schema
    connection, insert = opened(synchronous, schema)
    seconds = 0.0
    for batch in batches:
        rows = tuples(batch)
        begin = time.perf_counter()
        connection.executemany(insert, rows)
        connection.commit()
        seconds += time.perf_counter() - begin
    return Timed(seconds, ended(connection, schema))
