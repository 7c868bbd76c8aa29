"""The durable, Arrow-based log of events and matches.

    store.py     the directory: logs by name, lock, durability      names.py     stream name <-> folder name
    log.py       one stream: append, sync, roll                      lock.py      one writing process per
    store recovery.py  opening a log: torn tails, readers beside a writer  files.py     every system call that
    writes segment.py   one file: walk its frames, read them                checksum.py  the sum over a
    batch's body index.py     where each batch lies, what it spans                times.py     time column,
    ranges, bounds frame.py     a batch as bytes                                    schema.py    kept schema,
    data that fit it scan.py      from a question to batches

Arrows run down: store -> log -> recovery, scan -> segment -> index, frame -> files. Nothing here imports the
engine.
"""

from .log import Durability, Log
from .recovery import Recovered
from .store import LogFolder, Store, StreamInfo

__all__ = ["Durability", "Log", "LogFolder", "Recovered", "Store", "StreamInfo"]
