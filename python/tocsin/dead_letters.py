"""Dead letters: what could not be handled, kept so that nothing is lost.

In memory, up to a limit, or with a store in the durable stream ``dead_letters/<trigger>``, whose rows hold the
refused events or matches as an Arrow IPC stream: so one schema serves every trigger and every kind. Handlers on
threads of their own add to it at the same time.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

logger = logging.getLogger("tocsin")

LETTERS_MAX = 1024  # kept in memory for each trigger

DEAD_LETTER_SCHEMA = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("handler", pa.string()),
        pa.field("error", pa.string(), nullable=False),
        pa.field("first_sequence", pa.int64(), nullable=False),
        pa.field("last_sequence", pa.int64(), nullable=False),
        pa.field("rows", pa.binary()),
    ]
)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What could not be handled.

    Attributes:
        trigger: its name.
        kind: "handler" (a handler failed; `rows` are matches), "fault" (the trigger could not evaluate; `rows` are
            the events of the batch it refused, None at a watermark or at the end of input) or "store" (the match log
            could not be written; `rows` are matches).
        handler: the handler's name, or None.
        error: type and text of the exception.
        first_sequence, last_sequence: of the rows of the trigger's source that led to it; -1 at the end of input.
        rows: a pyarrow.RecordBatch or None.
    """

    trigger: str
    kind: str
    handler: str | None
    error: str
    first_sequence: int
    last_sequence: int
    rows: pa.RecordBatch | None


class DeadLetters:
    """The dead letters of one trigger; `open_log` gives its stream in the store, None: there is no store.

    limit: how many are kept in memory (0: all go at once). When it is reached the oldest one goes; `dropped` counts
    those, and the log says so each time.
    """

    def __init__(
        self, trigger: str, open_log: Callable[[], Any] | None, limit: int | None = LETTERS_MAX
    ) -> None:
        self.trigger = trigger
        self.limit = limit
        self.dropped = 0
        self._open_log = open_log
        self._kept: deque[DeadLetter] = deque()
        # Re-entrant: a coroutine whose loop is gone may end, and add one, wherever memory is collected.
        self._lock = threading.RLock()

    def add(self, letter: DeadLetter) -> None:
        """Keeps `letter`, in the store when there is one and it can be written; else in memory."""
        with self._lock:
            if self._open_log is not None:
                try:
                    self._open_log().append(
                        pa.RecordBatch.from_pylist([_row(letter)], schema=DEAD_LETTER_SCHEMA)
                    )
                    return
                except Exception:
                    logger.exception(
                        "trigger %r: a dead letter cannot be stored; it is kept in memory", self.trigger
                    )
            self._kept.append(letter)
            over = 0 if self.limit is None else max(0, len(self._kept) - self.limit)
            for _ in range(over):
                self._kept.popleft()
            self.dropped += over
        if over:
            logger.error(
                "trigger %r: %d dead letters are kept in memory, the oldest was let go (%d so far); use a store, or "
                "Engine(dead_letter_limit=) with a larger number",
                self.trigger, self.limit, self.dropped,
            )  # fmt: skip

    def list(self, stored: pa.RecordBatchReader | None) -> list[DeadLetter]:
        """All of them, oldest first; `stored` reads the stream of the store."""
        found = []
        if stored is not None:
            for batch in stored:
                found += [_letter(self.trigger, row) for row in batch.to_pylist()]
        with self._lock:
            return [*found, *self._kept]


def _row(letter: DeadLetter) -> dict[str, Any]:
    rows = None
    if letter.rows is not None:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, letter.rows.schema) as writer:
            writer.write_batch(letter.rows)
        rows = sink.getvalue().to_pybytes()
    return {
        "kind": letter.kind, "handler": letter.handler, "error": letter.error,
        "first_sequence": letter.first_sequence, "last_sequence": letter.last_sequence, "rows": rows,
    }  # fmt: skip


def _letter(trigger: str, row: dict[str, Any]) -> DeadLetter:
    rows = row.pop("rows")
    batch = None if rows is None else pa.ipc.open_stream(rows).read_next_batch()
    return DeadLetter(trigger=trigger, rows=batch, **row)
