"""Event time of one stream: late events are set aside, events that are out of order wait until they are certain.

The watermark is the newest time seen minus the lateness. An event with a time below the watermark *as it stood
before that event* is late: it stays in the store, is kept for `Stream.late()`, and reaches no trigger. With a lateness
above zero the others wait here, and go on in order of (time, arrival) once the watermark has reached them: an
event that comes later has a time >= the watermark, so nothing can come between.

Used only where the core's scan finds a batch out of order or late, and for streams with a lateness: the usual
stream, in order, never comes here. Cost: a sort of the waiting events per push.
"""

from __future__ import annotations

import logging
from collections import deque

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

logger = logging.getLogger("tocsin")


def time_values(column: pa.Array) -> np.ndarray:
    """A time column without nulls as int64 in its unit.

    >>> time_values(pa.array([1, 2], pa.timestamp("s"))).tolist()
    [1, 2]
    """
    if pa.types.is_integer(column.type):
        return np.asarray(column.cast(pa.int64()))
    width = pa.int32() if column.type.bit_width == 32 else pa.int64()
    return np.asarray(column.view(width)).astype(np.int64, copy=False)


class Reorder:
    """The waiting room of one stream.

    name, schema: of the stream.  time: name of its time column.  lateness: in that column's unit; 0: nothing waits.
    late_limit: how many late events are kept at most; None: nobody will ask for them.
    """

    def __init__(
        self, name: str, schema: pa.Schema, time: str, lateness: int, late_limit: int | None
    ) -> None:
        self.name = name
        self.schema = schema
        self.time = time
        self.lateness = lateness
        self.late_limit = late_limit
        self.late_count = 0
        self.late_kept = 0
        self.late_forgotten = 0  # events that are no longer kept, because of the limit
        self._late: deque[pa.Table] = deque()
        self._held: pa.Table | None = None

    @property
    def waiting(self) -> int:
        """How many events wait for the watermark."""
        return 0 if self._held is None else int(self._held.num_rows)

    def take_late(self) -> pa.Table:
        """The late events since the last call, as they came."""
        late, self._late = list(self._late), deque()
        self.late_kept = 0
        return pa.concat_tables(late) if late else self.schema.empty_table()

    def sort_out(self, batch: pa.RecordBatch, newest: int | None, told: int | None) -> pa.RecordBatch | None:
        """Sets the late rows of `batch` aside and returns the others (None: there are none).

        newest: newest time before this batch.  told: what `advance` has promised.  Changes only what late() returns.
        """
        times = time_values(batch.column(self.time))
        before = np.empty(len(times), dtype=np.int64)
        before[0] = np.iinfo(np.int64).min if newest is None else newest
        before[1:] = times[:-1]
        newest_before = np.maximum.accumulate(before)
        # A watermark below int64 is none: keep the subtraction from wrapping round.
        floor = np.iinfo(np.int64).min + self.lateness
        marks = np.maximum(newest_before, floor) - self.lateness
        if told is not None:
            marks = np.maximum(marks, told)
        late = times < marks
        count = int(late.sum())
        if count == 0:
            return batch
        self.late_count += count
        self._keep_late(batch.filter(pa.array(late)))
        return None if count == len(times) else batch.filter(pa.array(~late))

    def _keep_late(self, rows: pa.RecordBatch) -> None:
        """Keeps late events; of more than `late_limit` the oldest go.

        Memory: the limit and the late events of one push, because a table is let go only as a whole.
        """
        if self.late_limit is None:
            return
        over = self.late_kept + rows.num_rows - self.late_limit
        beyond = max(0, rows.num_rows - self.late_limit)
        if beyond:
            rows = rows.take(pa.array(np.arange(beyond, rows.num_rows)))
        self._late.append(self._table(rows))
        self.late_kept += rows.num_rows
        if over <= 0:
            return
        if not self.late_forgotten:
            logger.warning(
                "stream %r: more than %d late events wait for late(); the oldest are no longer kept, only counted "
                "(stats().late_forgotten; a store has them all): call late() more often, or make late_limit larger",
                self.name, self.late_limit,
            )  # fmt: skip
        self.late_forgotten += over
        over -= beyond
        self.late_kept -= over
        while over:
            oldest = self._late.popleft()
            if oldest.num_rows > over:
                self._late.appendleft(oldest.slice(over))
                break
            over -= oldest.num_rows

    def hold(self, batch: pa.RecordBatch) -> None:
        """Lets `batch` wait."""
        table = self._table(batch)
        self._held = table if self._held is None else pa.concat_tables([self._held, table])

    def release(self, watermark: int | None) -> list[pa.RecordBatch]:
        """The waiting events with a time <= `watermark` (None: all), in order; they no longer wait."""
        if self._held is None or self._held.num_rows == 0:
            return []
        order = pc.sort_indices(
            self._held, sort_keys=[(self.time, "ascending")]
        )  # stable: arrival breaks ties
        held = self._held.take(order).unify_dictionaries().combine_chunks()
        count = held.num_rows
        if watermark is not None:
            times = time_values(held.column(self.time).combine_chunks())
            count = int(np.searchsorted(times, watermark, side="right"))
        self._held = held.slice(count) if count < held.num_rows else None
        return [batch for batch in held.slice(0, count).to_batches() if batch.num_rows]

    def held_bytes(self) -> bytes:
        """The waiting events as an Arrow IPC stream; b"" for none."""
        if self._held is None or self._held.num_rows == 0:
            return b""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.schema) as writer:
            writer.write_table(self._held.unify_dictionaries())
        return sink.getvalue().to_pybytes()

    def hold_bytes(self, held: pa.Buffer | bytes) -> None:
        """What `held_bytes` gave waits now, and nothing else."""
        self._held = pa.ipc.open_stream(held).read_all() if len(memoryview(held)) else None

    def _table(self, batch: pa.RecordBatch) -> pa.Table:
        table = pa.Table.from_batches([batch])
        # One layout for all that waits: a producer may send text as dictionaries now and as views then.
        return table if table.schema.equals(self.schema) else table.cast(self.schema)
