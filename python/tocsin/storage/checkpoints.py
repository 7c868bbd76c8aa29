"""Checkpoints: what every trigger knew at one place of its stream, so that a later process goes on from there.

    trades.store/checkpoints/00000000000000000007.arrow     the newest
                             00000000000000000006.arrow     the one before: in place of it, if it is damaged

A checkpoint is an Arrow IPC stream of one batch, written and summed as segments are (frame.py), aside and then
renamed: it is there as a whole or not at all. Its rows are *entries*:

    kind    utf8           "stream": how far a stream was; "trigger": what one instance of a trigger's operator knew
    name    utf8           of the stream or trigger
    cut     int64          the number of the checkpoint for which it was taken (an entry is carried on from checkpoint
                           to checkpoint while its trigger sleeps: nobody has declared it since)
    part    int32          a trigger's instances: by which number ...
    parts   int32          ... of so many, one a worker
    info    utf8           JSON, see tocsin/resume.py
    data    large_binary   of a stream the events that wait for the watermark (an Arrow IPC stream), of a trigger
                           the state of its operator (bytes that are checked when they are read)

The schema's metadata say {"tocsin": {"format": "checkpoint", "version": 1, "number": 7}}; another version is refused
by name. The newest two are kept, everything older is removed once a new one is on the device. Cost: one write and two
fsyncs; `data` is not copied on reading (a memory map).
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from tocsin.errors import StoreError

from .files import remove_file, replace_file, store_error
from .frame import NO_TIMES, decode_frame, decode_schema, encode_batch, encode_schema, parse_head
from .recovery import Recovered
from .segment import SUFFIX, list_segments, segment_path

VERSION = 1
KEPT = 2
SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        ("name", pa.string()),
        ("cut", pa.int64()),
        ("part", pa.int32()),
        ("parts", pa.int32()),
        ("info", pa.string()),
        ("data", pa.large_binary()),
    ]
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a checkpoint. data: bytes, or a buffer of the file that was read."""

    kind: str
    name: str
    cut: int
    info: dict[str, Any]
    data: pa.Buffer | bytes
    part: int = 0
    parts: int = 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A whole one."""

    number: int = 0  # 0: there is none yet
    entries: tuple[Entry, ...] = field(default_factory=tuple)


class CheckpointFolder:
    """The checkpoints of one store. Used by one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._claimed = False
        self._last = max((number for number, _ in self._found()), default=0)

    def _found(self) -> list[tuple[int, Path]]:
        try:
            return list_segments(self._folder)
        except FileNotFoundError:
            return []
        except OSError as cause:
            raise store_error("cannot read the checkpoints in", self._folder, cause) from cause

    def claim(self) -> None:
        """For one engine at a time: each writes down what its own triggers know. Raises StoreError."""
        if self._claimed:
            raise StoreError(
                f"the store {str(self._folder.parent)!r} has an engine already, which keeps its triggers there; close "
                "that, or add streams and triggers to it"
            )
        self._claimed = True

    def release(self) -> None:
        """The engine has ended."""
        self._claimed = False

    def next_number(self) -> int:
        """The number of the checkpoint that is written next."""
        return self._last + 1

    def newest(self, recovered: list[Recovered]) -> Checkpoint:
        """The newest one that is whole; `recovered` is told of damaged ones.

        Raises StoreError for one of another version.
        """
        for number, path in reversed(self._found()):
            try:
                checkpoint = _read(path, number)
            except OSError as cause:
                if isinstance(cause, StoreError):
                    raise
                raise store_error("cannot read the checkpoint", path, cause) from cause
            if checkpoint is not None:
                return checkpoint
            what = (
                "a damaged checkpoint was passed over; the one before it, and more of the log, take its place"
            )
            recovered.append(Recovered("", str(path), what))
        return Checkpoint()

    def write(self, entries: Sequence[Entry]) -> int:
        """Puts a checkpoint on the device, then removes those that are older than the one before. Returns its number.

        Raises StoreError; then there is none of this number, and the older ones are all there.
        """
        number = self.next_number()
        path = segment_path(self._folder, number)
        about = {"format": "checkpoint", "version": VERSION, "number": number}
        schema = SCHEMA.with_metadata({"tocsin": json.dumps(about)})
        columns = [
            pa.array([entry.kind for entry in entries], pa.string()),
            pa.array([entry.name for entry in entries], pa.string()),
            pa.array([entry.cut for entry in entries], pa.int64()),
            pa.array([entry.part for entry in entries], pa.int32()),
            pa.array([entry.parts for entry in entries], pa.int32()),
            pa.array([json.dumps(entry.info) for entry in entries], pa.string()),
            pa.array([_bytes_of(entry.data) for entry in entries], pa.large_binary()),
        ]
        batch = pa.RecordBatch.from_arrays(columns, schema=schema)
        frame = encode_batch(batch, NO_TIMES, has_dictionaries=False)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            replace_file(path, [encode_schema(schema, number), *frame.pieces(number)])
        except OSError as cause:
            raise store_error("cannot write the checkpoint", path, cause) from cause
        self._last = number
        with contextlib.suppress(OSError):  # they only take room; the next checkpoint tries again
            for _, older in self._found()[:-KEPT]:
                remove_file(older)
        return number


def _bytes_of(data: pa.Buffer | bytes) -> memoryview | bytes:
    return data if isinstance(data, bytes) else memoryview(data)


def _read(path: Path, number: int) -> Checkpoint | None:
    """None: it is damaged."""
    if os.path.getsize(path) == 0:
        return None
    with pa.memory_map(str(path), "r") as mapped:
        whole = mapped.read_buffer()
    head = parse_head(memoryview(whole).cast("B"))
    schema = (
        None if head is None or head.size > whole.size else decode_schema(whole[: head.size].to_pybytes())
    )
    if head is None or schema is None:
        return None
    try:
        about = json.loads((schema.metadata or {})[b"tocsin"])
        version = about["version"]
    except (KeyError, ValueError):
        return None
    if version != VERSION:
        raise StoreError(
            f"the checkpoint {str(path)!r} has version {version}, this tocsin knows version {VERSION}; open the store "
            "with a tocsin that knows it; it was left untouched"
        )
    body = whole.slice(head.size)
    found = parse_head(memoryview(body).cast("B"))
    if found is None or about.get("number") != number:
        return None
    batch = decode_frame(body, schema, number, found.rows, True)
    if batch is None:
        return None
    columns = [batch.column(name).to_pylist() for name in ("kind", "name", "cut", "info", "part", "parts")]
    data = batch.column("data")
    entries = tuple(
        Entry(kind, name, cut, json.loads(info), data[row].as_buffer(), part, parts)
        for row, (kind, name, cut, info, part, parts) in enumerate(zip(*columns, strict=True))
    )
    return Checkpoint(number, entries)


__all__ = ["SUFFIX", "Checkpoint", "CheckpointFolder", "Entry"]
