"""The durable, Arrow-based log of events and matches.

    store.py     the directory, as its user sees it     recovery.py  opening a log; readers beside a writer
    manifest.py  tocsin.json: is it ours                segment.py   one file: walk its frames, read them
    folder.py    logs by name: streams, matches         index.py     where each batch lies, what it spans
    flusher.py   the thread that syncs                  frame.py     a batch as bytes
    log.py       one stream: append, sync, roll         checksum.py  the sum over a batch's body
    scan.py      from a question to batches             schema.py    the kept schema, data that fit it
    lock.py      one writing process per store          times.py     time column, ranges, bounds
    files.py     every system call that writes          names.py     stream name <-> folder name
    options.py   how logs are written                   info.py      figures of a log
    query.py     what a scan asks for                   prune.py     in which batches an expression can be true
    lookup.py    filters and ranges, together           predicate.py the nodes of an expression
    keys.py      filters: may it hold a value           ranges.py    what a batch's values lie between
    leaving.py   the oldest events go: trim, tier       retention.py what goes by itself
    tiering.py   segments become Parquet                parquet.py   events as Parquet, and back
    part.py      what is kept of a Parquet file         part_scan.py its events that a query wants
    places.py    where Parquet files may lie            checkpoints.py  what triggers knew
    handled.py   how far handlers have come

Arrows run down: store -> folder -> flusher -> log -> leaving -> recovery, scan, tiering -> part_scan -> segment,
part, prune -> index, frame -> lookup -> files. Nothing here imports the engine.
"""

from .folder import LogFolder
from .info import StreamInfo
from .log import Log
from .options import Compression, Durability
from .recovery import Recovered
from .scan import is_damage
from .store import Store

__all__ = ["Compression", "Durability", "Log", "LogFolder", "Recovered", "Store", "StreamInfo", "is_damage"]
