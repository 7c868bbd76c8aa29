"""The log as a sync reads it: what is durable, cut into transactions; what is missing, told apart.

Only events that are on the source's device are handed on. With durability="interval" or "none" a power failure may
take events that were accepted; a target that had them would be ahead of its source, whose next events get the same
sequences. So the log is synced before it is read, once for all that waits (with "commit" it is already, with
"interval" mostly).

A gap is what the log cannot give any more: events that were trimmed, or that damage has taken. The message names them
and how to go on; `behind` says where that is.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from tocsin.errors import ClosedError, StoreError
from tocsin.storage import Log, LogFolder, Store, is_damage

from .errors import SyncError
from .mark import mark_of
from .target import Pace, Piece, Shape


class GapError(SyncError):
    """Events that the source does not have (any more) lie before what it could give next."""


class Source:
    """One log of a store; LogFolder is the Store for streams, `store.matches` for matches.

    Raises:
        SyncError: the store is read_only, or a column is named like the sequence. StoreError: there is no such log.
    """

    def __init__(self, logs: LogFolder, name: str, sequence_column: str) -> None:
        self.log: Log = logs.log(name)
        if self.log.read_only:
            raise SyncError(
                f"stream {name!r}: a store opened with read_only=True cannot be the source of a sync: only the process "
                "that writes it knows which events are durable; start the sync there"
            )
        self._check_open()
        schema = self.log.schema
        if sequence_column in schema.names:
            raise SyncError(
                f"stream {name!r} has a column {sequence_column!r} itself; give sequence_column= another name"
            )
        field = pa.field(sequence_column, pa.int64(), nullable=False)
        kind = "streams" if isinstance(logs, Store) else "matches"
        self.shape = Shape(kind, name, schema.append(field), self.log.time, sequence_column)

    @property
    def next_sequence(self) -> int:
        """The sequence that the next event will get."""
        return self.log.next_sequence

    def oldest(self) -> int:
        """The sequence of the oldest event that is there; the next one, if there is none."""
        return self.log.first_sequence

    def durable(self) -> int:
        """Everything before this sequence is on the device. Raises ClosedError when the store is closed."""
        self._check_open()
        if self.log.durable_sequence < self.log.next_sequence:
            self.log.sync_in_background()  # a failure is for whoever appends
        return self.log.durable_sequence

    def mark_before(self, sequence: int) -> int | None:
        """The mark of the event before; None if it is not there any more."""
        if sequence <= self.oldest():
            return None
        try:
            events = list(self.log.read(sequence - 1, sequence))
        except StoreError as failure:
            if is_damage(failure):
                return None
            raise
        return mark_of(events[0], 0) if events else None

    def pieces(self, first: int, after: int, pace: Pace) -> Iterator[Piece]:
        """The events from `first` on, before `after`, a transaction at a time.

        Raises:
            GapError: what comes next is not there; everything before it was handed out.
        """
        self._check_oldest(first)
        batches = self.log.read(first, after, sequence_name=self.shape.sequence_column)
        waiting: list[pa.RecordBatch] = []
        rows = size = 0
        while True:
            try:
                batch = next(batches, None)
            except StoreError as failure:
                if waiting:
                    yield self._piece(waiting)
                self._check_oldest(first)  # trimmed meanwhile?
                if not is_damage(failure):
                    raise
                raise GapError(f'{failure}; or let the sync leave them out: gaps="skip"') from failure
            if batch is None:
                break
            first += batch.num_rows
            for part in _cut(batch, pace):
                if waiting and (rows + part.num_rows > pace.rows or size + part.nbytes > pace.bytes):
                    yield self._piece(waiting)
                    waiting, rows, size = [], 0, 0
                waiting.append(part)
                rows += part.num_rows
                size += part.nbytes
        if waiting:
            yield self._piece(waiting)

    def behind(self, sequence: int) -> int:
        """Where the source goes on that cannot give the event `sequence`: at the next batch."""
        return self.log.behind(sequence)

    def _check_open(self) -> None:
        if self.log.closed:
            raise ClosedError(f"{self.log.name!r} cannot be synced: the store is closed")

    def _check_oldest(self, first: int) -> None:
        oldest = self.oldest()
        if first < oldest:
            raise GapError(
                f"{self.shape.label}: events {first} to {oldest - 1} have been trimmed from the source and are not in "
                f'the target; to go on from event {oldest} without them, start the sync with gaps="skip"'
            )

    def _piece(self, batches: list[pa.RecordBatch]) -> Piece:
        table = pa.Table.from_batches(batches, schema=self.shape.schema)
        last = batches[-1]
        first = batches[0].column(self.shape.sequence_column)[0].as_py()
        mark = mark_of(last.select(self.log.schema.names), last.num_rows - 1)
        return Piece(first, first + table.num_rows, table, mark)


def _cut(batch: pa.RecordBatch, pace: Pace) -> Iterator[pa.RecordBatch]:
    """Slices that each fit into a transaction."""
    size = max(batch.nbytes, 1)
    rows = max(1, min(pace.rows, batch.num_rows * pace.bytes // size))
    for at in range(0, batch.num_rows, rows):
        yield batch.slice(at, rows)
