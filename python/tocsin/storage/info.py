"""What a log folder tells of its logs: figures of one stream, and what left it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa

from .index import ROWS, TIME_MAX, TIME_MIN
from .log import Log
from .part import Part
from .query import View


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What `streams()` tells of one stream.

    Attributes:
        name, schema: as declared.
        time: the time column, or None.
        rows: events in the store.
        next_sequence: the sequence that the next event will get.
        time_range: (smallest, largest) value of the time column as scalars of its type; None without any.
        batches, segments, bytes: how they are stored, in the store's own files.
        tiered_rows, parts, tiered_bytes: events that went to Parquet (`tier`; they are among `rows` too), and how.
    """

    name: str
    schema: pa.Schema
    time: str | None
    rows: int
    next_sequence: int
    time_range: tuple[pa.Scalar, pa.Scalar] | None
    batches: int
    segments: int
    bytes: int
    tiered_rows: int = 0
    parts: int = 0
    tiered_bytes: int = 0


class Trimmed(NamedTuple):
    """What `trim` took away."""

    events: int
    bytes: int


class Tiered(NamedTuple):
    """What `tier` turned to Parquet: events, bytes that the store's own files had, Parquet files."""

    events: int
    bytes: int
    files: int


def stream_info(log: Log) -> StreamInfo:
    """The figures of one log."""
    all_of_it = log.snapshot()
    parts = [view for view in all_of_it if isinstance(view, Part)]
    views = [view for view in all_of_it if isinstance(view, View) and len(view.rows)]
    lows = [
        int(v.rows[timed, TIME_MIN].min())
        for v in views
        if (timed := v.rows[:, TIME_MIN] <= v.rows[:, TIME_MAX]).any()
    ]
    highs = [
        int(v.rows[timed, TIME_MAX].max())
        for v in views
        if (timed := v.rows[:, TIME_MIN] <= v.rows[:, TIME_MAX]).any()
    ]
    spans = [part.times for part in parts]
    lows += [span[0] for span in spans if span is not None]
    highs += [span[1] for span in spans if span is not None]
    times = None
    if log.time is not None and lows:
        kind = log.schema.field(log.time).type
        times = (_scalar(min(lows), kind), _scalar(max(highs), kind))
    size = 0
    for view in views:
        with contextlib.suppress(OSError):
            size += view.path.stat().st_size
    return StreamInfo(
        log.name,
        log.schema,
        log.time,
        sum(int(v.rows[:, ROWS].sum()) for v in views) + sum(part.rows for part in parts),
        log.next_sequence,
        times,
        sum(len(v.rows) for v in views),
        len(views),
        size,
        sum(part.rows for part in parts),
        len(parts),
        sum(part.size for part in parts),
    )


def _scalar(value: int, kind: pa.DataType) -> pa.Scalar:
    return pa.scalar(value, pa.int32() if kind == pa.date32() else pa.int64()).cast(kind)
