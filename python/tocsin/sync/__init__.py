"""Keeping a target up to date with a log: resumable, and each event exactly once.

    start.py     start: a store, the name of a log, a target     fit.py             columns as a target can hold them
    handle.py    Sync: the thread, and what its user sees         postgres.py        a PostgreSQL table
    runner.py    one transaction after the other                  postgres_types.py  its types, names and bounds
    source.py    the log: durable events, cut, gaps               delta.py           a Delta Lake table
    target.py    what a target promises                           parquet.py         a folder of Parquet files
    mark.py      by which an event is known again                 store.py           another tocsin store
    errors.py    what to do about what went wrong

The target keeps the position, together with the rows: whoever ends at whatever moment, the next sync asks it. The
libraries (adbc-driver-postgresql, deltalake) are imported when a target is opened.
"""

from .delta import DeltaTarget
from .errors import PositionMovedError, SyncError, SyncTimeoutError, TargetAwayError
from .handle import Sync
from .parquet import ParquetTarget
from .postgres import PostgresTarget
from .start import start
from .store import StoreTarget
from .target import Pace, Piece, Position, Shape, Target

__all__ = [
    "DeltaTarget",
    "Pace",
    "ParquetTarget",
    "Piece",
    "Position",
    "PositionMovedError",
    "PostgresTarget",
    "Shape",
    "StoreTarget",
    "Sync",
    "SyncError",
    "SyncTimeoutError",
    "Target",
    "TargetAwayError",
    "start",
]
