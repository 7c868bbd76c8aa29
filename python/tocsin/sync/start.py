"""start: from a store and the name of one of its logs to a running Sync; targets written as text.

    postgresql://user@host/database#table      PostgresTarget; "#schema.table" too, and "postgres://"
    delta:/data/trades    delta:s3://lake/x    DeltaTarget
    parquet:/data/trades                       ParquetTarget
    store:/data/copy.store#stream              StoreTarget

What follows "#" may be left out: the name is then that of the stream or trigger.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tocsin.storage import LogFolder

from .errors import SyncError
from .handle import Sync
from .runner import Gaps, Runner
from .source import Source
from .target import Target

SEQUENCE = "tocsin_sequence"


def start(
    logs: LogFolder,
    name: str,
    target: Target | str,
    *,
    gaps: Gaps = "raise",
    rows: int | None = None,
    bytes: int | None = None,
    interval: float | None = None,
    retry_max: float = 30.0,
    linger: float = 10.0,
    sequence_column: str = SEQUENCE,
) -> Sync:
    """Keep a target up to date with a stream or the matches of a trigger, from now on.

    Args:
        logs: a Store for its streams, `store.matches` for the matches of triggers; open for writing.
        name: of the stream or trigger.
        target: a PostgresTarget, DeltaTarget, ParquetTarget, StoreTarget, a Target of your own, or a text as the module
            has it: "postgresql://host/database#table", "delta:/folder", "parquet:/folder", "store:/folder#stream".
        gaps: "raise" ends the sync when the source cannot give the event that comes next (trimmed, damaged); "skip"
            goes on behind it, and the log says what was left out.
        rows, bytes: how much one transaction takes at most; None: what suits the target.
        interval: seconds between two looks at the log when the target is up to date; None: what suits the target, 0.1
            for a database or a store, 10 for files.
        retry_max: seconds between two attempts at most, while the target is away.
        linger: seconds that `close` takes at most to bring the target up to date.
        sequence_column: the name of the column with the events' sequences.

    Returns:
        The Sync. If the target is away it is tried again in the background, and the log says so.

    Raises:
        SyncError: the target cannot take this log: another schema, a type it does not have, another source, a position
        that the source does not have; nothing was written. StoreError: there is no such log. ImportError: the library
        that the target needs is not installed. ValueError: a wrong option.

    >>> import tempfile, pyarrow as pa, pyarrow.parquet as pq, tocsin as tc
    >>> from tocsin.sync import start
    >>> folder = tempfile.mkdtemp()
    >>> with tc.Store(folder + "/a.store") as store:
    ...     log = store.create_stream("trades", pa.schema([("price", pa.float64())]))
    ...     first = store.append("trades", {"price": [1.0, 2.0]})
    ...     start(store, "trades", "parquet:" + folder + "/trades").close()
    >>> pq.read_table(folder + "/trades").to_pydict()
    {'price': [1.0, 2.0], 'tocsin_sequence': [0, 1]}
    """
    if gaps not in ("raise", "skip"):
        raise ValueError(f'gaps={gaps!r}: "raise" or "skip"')
    for option, value in {"rows": rows, "bytes": bytes, "interval": interval, "retry_max": retry_max}.items():
        if value is not None and not value > 0:
            raise ValueError(f"{option}={value!r} must be positive")
    if not linger >= 0:
        raise ValueError(f"linger={linger!r}: seconds, not below zero")
    if isinstance(target, str):
        target = target_of(target)
    if not isinstance(target, Target):
        raise TypeError(f"target: a Target or a text, not {type(target).__name__}")
    source = Source(logs, name, sequence_column)
    holds = getattr(target, "holds", None)
    if holds is not None and holds(source.log):
        raise SyncError(f"{source.shape.label}: {target!r} is the source itself; give stream= another name")
    given: dict[str, Any] = {"rows": rows, "bytes": bytes, "interval": interval}
    pace = replace(target.pace, **{key: value for key, value in given.items() if value is not None})
    sync = Sync(Runner(source, target, pace, gaps), retry_max=retry_max, linger=linger)
    sync._first_attempt()
    return sync


def target_of(text: str) -> Target:
    """The target that a text names, see the module.

    Args:
        text: such as "parquet:/data/trades".

    Raises:
        ValueError: it names none.

    >>> target_of("postgresql://ada:secret@db.example/trade#trades"), target_of("store:/data/copy.store#old")
    (PostgresTarget('postgresql://ada:***@db.example/trade', 'trades'), StoreTarget('/data/copy.store', 'old'))
    """
    kind, colon, place = text.partition(":")
    inside: str | None
    if kind in ("postgresql", "postgres") and place.startswith("//"):
        from .postgres import PostgresTarget

        uri, _, inside = text.partition("#")
        schema, dot, table = inside.rpartition(".")
        return PostgresTarget(uri, table or None, schema if dot else None)
    if colon and place:
        if kind == "delta":
            from .delta import DeltaTarget

            return DeltaTarget(place)
        if kind == "parquet":
            from .parquet import ParquetTarget

            return ParquetTarget(place)
        if kind == "store":
            from .store import StoreTarget

            folder, _, inside = place.partition("#")
            return StoreTarget(folder, inside or None)
    raise ValueError(
        f'{text!r} names no target: "postgresql://host/database#table", "delta:/folder", "parquet:/folder" or '
        '"store:/folder#stream"'
    )
