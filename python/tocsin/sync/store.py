"""A stream of another tocsin store. Rows carry the source's sequence, so the last row is the position.

    source  sequence   0 1 2 3 4 5 6 …        trimmed up to 2
    target  sequence       0 1 2 3
            tocsin_sequence 3 4 5 6           position = 7

A frame of a log is there whole or not at all, and the column lies in the same frame: rows and position cannot come
apart, wherever the source began and whatever it left out. The mark (mark.py) is made of the last row itself.

When a power failure takes the target's last events (durability "interval" or "none"), its position goes back with them,
and they come again.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from tocsin.errors import ClosedError, SchemaError, StoreError
from tocsin.storage import Durability, Log, Store

from .errors import PositionMovedError, SyncError, TargetAwayError
from .mark import mark_of
from .target import Pace, Piece, Position, Shape

if TYPE_CHECKING:
    from collections.abc import Iterator


class StoreTarget:
    """A stream of another store, made if it is missing.

    Args:
        store: a Store that is open for writing, which stays open at the end; or the path of one.
        stream: the name there; None: that of the source's stream or trigger.
        durability: of a store that is given by its path: "commit", "interval" or "none".

    Nobody else may append to that stream.

    >>> StoreTarget("/data/copy.store")
    StoreTarget('/data/copy.store', None)
    """

    pace = Pace(rows=65_536, bytes=16 << 20, interval=0.1)

    def __init__(
        self,
        store: Store | str | os.PathLike[str],
        stream: str | None = None,
        *,
        durability: Durability = "interval",
    ) -> None:
        self._given = store
        self._stream = stream
        self._durability: Durability = durability
        self._store: Store | None = None
        self._log: Log | None = None
        self._end: int | None = None  # the log's next sequence, if only we append
        self._name = stream or ""

    def open(self, shape: Shape) -> Position | None:
        """See Target."""
        self.close()
        self._name = self._stream or shape.name
        with self._faults("cannot open it"):
            if isinstance(self._given, Store):
                self._store = self._given
            else:
                self._store = Store(self._given, durability=self._durability)
            try:
                self._log = self._store.create_stream(self._name, shape.schema, time=shape.time)
                found = self._read_position(self._log, shape)
            except BaseException:
                self.close()
                raise
        self._end = self._log.next_sequence
        return found

    def write(self, piece: Piece) -> None:
        """See Target."""
        if self._log is None:
            raise TargetAwayError(f"{self} is not open")
        with self._faults(f"cannot write events {piece.first} to {piece.after - 1}"):
            if self._log.next_sequence != self._end:
                raise PositionMovedError(f"{self}: somebody else has appended to it")
            self._log.append(piece.rows)
            self._end = self._log.next_sequence

    def close(self) -> None:
        """See Target."""
        store, self._store, self._log = self._store, None, None
        if store is not None and not isinstance(self._given, Store):
            with contextlib.suppress(OSError):  # what a close could not make durable comes again
                store.close()

    def holds(self, log: Log) -> bool:
        """Whether it would write to this log: a sync of a log to itself never ends."""
        name = self._stream or log.name
        return name == log.name and (Path(self._path()) / "streams").resolve() == log.folder.parent.resolve()

    def __str__(self) -> str:
        return f"stream {self._name!r} of {self._path()!r}"

    def __repr__(self) -> str:
        return f"StoreTarget({self._path()!r}, {self._stream!r})"

    def _path(self) -> str:
        return str(self._given.path if isinstance(self._given, Store) else os.fspath(self._given))

    def _read_position(self, log: Log, shape: Shape) -> Position | None:
        end = log.next_sequence
        if not end:
            return None
        if log.batches(end - 1, end) == 0:
            raise SyncError(
                f"{self}: its last events are gone, and with them the position; sync to another stream="
            )
        assert self._store is not None
        rows = self._store.scan(self._name, sequence=(end - 1, end)).read_all().combine_chunks()
        batch = rows.to_batches()[0]
        sequence = batch.column(shape.sequence_column)[0].as_py()
        names = [name for name in batch.schema.names if name != shape.sequence_column]
        return Position(sequence + 1, mark_of(batch.select(names), 0))

    @contextlib.contextmanager
    def _faults(self, what: str) -> Iterator[None]:
        try:
            yield
        except SchemaError as cause:
            raise SyncError(f"{self} does not fit: {cause}") from cause
        except (StoreError, ClosedError, pa.ArrowException) as cause:
            raise TargetAwayError(f"{self}: {what}: {cause}") from cause
