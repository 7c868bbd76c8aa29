"""MatchLog: the matches of one trigger in the store, each exactly once and with an id that never changes.

    number    0       1       2     ...    handled        next                 of the trigger's matches, for ever
              |- handlers have had them ------|- not yet -|- not found yet

A match is named by stream, trigger, `match_version` (of the trigger's definition), `match_last_sequence` (its last
event) and its number, which is its sequence in the log. After a crash the same events give the same matches with the
same numbers; what the log has already is passed over (`fresh`), and what handlers had not finished with is handed over
again (`unhandled`). How far handlers are is in a file of its own (storage/handled.py): matches are handled in any
order (handlers with several threads), so the mark moves when all before are done.

A batch that the disk refuses waits here, with all behind it, and goes to the log with the next one that comes (or with
`settle`): the numbers stay right, and no checkpoint is taken meanwhile.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from .errors import SchemaError
from .storage.files import store_error
from .storage.handled import HandledMark

VERSION, FIRST, LAST, NUMBER = "match_version", "match_first_sequence", "match_last_sequence", "match_number"
STORED = [pa.field(VERSION, pa.int32()), pa.field(FIRST, pa.int64()), pa.field(LAST, pa.int64())]
IDS = [*STORED, pa.field(NUMBER, pa.int64())]


def stored_schema(trigger: str, schema: pa.Schema) -> pa.Schema:
    """The schema of a trigger's match log. Raises SchemaError for a column that has the name of one of ours."""
    for field in IDS:
        if field.name in schema.names:
            raise SchemaError(
                f"trigger {trigger!r}: a match has a column {field.name!r}, which is the name of a part of its id in "
                "the store; choose another name in MEASURES (or for the stream's column)"
            )
    return pa.schema([*schema, *STORED], metadata=schema.metadata)


class MatchLog:
    """See the module. log: of storage.  schema: of the matches.  Made with what the log and the mark say.

    `write` is called by whoever delivers, `done` by any thread.
    """

    def __init__(self, trigger: str, log: Any, schema: pa.Schema) -> None:
        self.trigger = trigger
        self.schema = schema
        self.version = 1
        self._log = log
        self.stored = stored_schema(trigger, schema)
        self._ids = pa.schema([*schema, *IDS], metadata=schema.metadata)
        try:
            self._mark = HandledMark(log.folder)
        except OSError as cause:
            what = f"trigger {trigger!r}: cannot open the mark of what was handled in"
            raise store_error(what, log.folder, cause) from cause
        self._lock = threading.Lock()
        self._ahead: list[tuple[int, int]] = []  # handled out of order: (first, behind)
        self._handled = 0
        self._waiting: deque[pa.RecordBatch] = deque()
        self._waiting_rows = 0

    # ------------------------------------------------------------------ where it is

    @property
    def next(self) -> int:
        """The number of the first match that is neither in the log nor waits for it."""
        return int(self._log.next_sequence) + self._waiting_rows

    @property
    def handled(self) -> int:
        """All matches below this number have been handled."""
        return self._handled

    def last_version(self) -> int:
        """That of the last match in the log; 0 if there is none."""
        after = self._log.next_sequence
        for batch in self._log.read(max(0, after - 1), after):
            return int(batch.column(len(self.schema))[0].as_py())
        return 0

    def begin(self, noted: int | None) -> str | None:
        """Takes up the mark of earlier runs; returns what was wrong with it, or None. noted: what a checkpoint knew."""
        end = int(self._log.next_sequence)
        value = self._mark.value
        wrong = "the mark of what was handled was damaged" if self._mark.damaged else None
        if value is None:
            value = end if noted is None else noted
        self._handled = min(value, end)  # a log that lost its end finds other matches for those numbers
        self._mark.set(self._handled)
        return wrong

    # ------------------------------------------------------------------ writing

    def fresh(self, number: int, count: int) -> int:
        """How many of the matches from `number` on are in the log already."""
        return max(0, min(count, self.next - number))

    def stored_form(self, matches: pa.RecordBatch, places: pa.RecordBatch | None) -> pa.RecordBatch:
        """Matches as they are stored. places: sequences of each one's first and last event; None: nobody knows."""
        count = matches.num_rows
        version = pa.repeat(pa.scalar(self.version, pa.int32()), count)
        lies = places.columns if places is not None else [pa.nulls(count, pa.int64())] * 2
        return pa.RecordBatch.from_arrays([*matches.columns, version, *lies], schema=self.stored)

    def write(self, batch: pa.RecordBatch) -> None:
        """The next matches, as they are stored. StoreError when the disk refuses; they then wait for the next call."""
        if not self._waiting:
            try:
                self._log.append(batch)
            except BaseException:
                self._wait(batch)
                raise
            return
        self._wait(batch)
        self.settle()

    def _wait(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        self._waiting_rows += batch.num_rows

    def settle(self) -> None:
        """What waits goes to the log. Raises StoreError when the disk still refuses."""
        while self._waiting:
            self._log.append(self._waiting[0])
            self._waiting_rows -= self._waiting.popleft().num_rows

    @property
    def behind(self) -> bool:
        """Whether matches wait for the disk."""
        return bool(self._waiting)

    # ------------------------------------------------------------------ handled

    def done(self, number: int, count: int) -> None:
        """The `count` matches from `number` on have been handled, or became dead letters."""
        with self._lock:
            if number != self._handled:
                if number > self._handled:
                    heapq.heappush(self._ahead, (number, number + count))
                return
            self._handled = number + count
            while self._ahead and self._ahead[0][0] <= self._handled:
                self._handled = max(self._handled, heapq.heappop(self._ahead)[1])
            self._mark.set(self._handled)

    def close(self) -> None:
        """Lets the mark go."""
        with self._lock:
            self._mark.close()

    # ------------------------------------------------------------------ reading

    def unhandled(self) -> Iterator[tuple[int, pa.RecordBatch, pa.RecordBatch]]:
        """(number of the first, matches, as `with_ids`) of what is in the log and has not been handled."""
        first = self._handled
        return self._numbered(first, self._log.read(first, int(self._log.next_sequence)))

    def history(self, start: int, ids: bool) -> tuple[int, Iterator[pa.RecordBatch]]:
        """Where the log ends now, and what is in it from `start` on. Raises StoreError."""
        self.settle()
        after, batches = self._log.read_until_now(start)
        found = self._numbered(max(start, self._log.first_sequence), batches)
        return after, (wide if ids else plain for _, plain, wide in found)

    def _numbered(
        self, first: int, batches: Iterator[pa.RecordBatch]
    ) -> Iterator[tuple[int, pa.RecordBatch, pa.RecordBatch]]:
        for batch in batches:
            plain = pa.RecordBatch.from_arrays(batch.columns[: len(self.schema)], schema=self.schema)
            yield first, plain, self._wider(batch.columns, first)
            first += batch.num_rows

    def with_ids(self, stored: pa.RecordBatch, number: int) -> pa.RecordBatch:
        """Matches as they are stored, from `number` on, with the columns of their ids behind their own."""
        return self._wider(stored.columns, number)

    def _wider(self, columns: list[pa.Array], number: int) -> pa.RecordBatch:
        numbers = pa.array(np.arange(number, number + len(columns[0]), dtype=np.int64))
        return pa.RecordBatch.from_arrays([*columns, numbers], schema=self._ids)
