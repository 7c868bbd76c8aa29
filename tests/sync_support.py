"""What the tests of syncs share: events, and what a target should then have."""

from __future__ import annotations

import time

import numpy as np
import pyarrow as pa

import tocsin as tc

SEQUENCE = "tocsin_sequence"
WAIT_SECONDS = 60.0


def append(store: tc.Store, rows: int, stream: str = "s") -> None:
    """So many more events for a stream with ts, price and word; all of them different."""
    at = np.arange(rows) + store.log(stream).next_sequence
    words = pa.array([None if n % 7 == 0 else f"word {n}" for n in at.tolist()], pa.string())
    store.append(stream, {"ts": at.astype("M8[us]"), "price": at * 0.5, "word": words})


def rows_of(store: tc.Store, stream: str = "s") -> list[tuple[object, ...]]:
    """(sequence, price, word) of all events that a stream has."""
    table = store.scan(stream, sequence_column=SEQUENCE).read_all().select([SEQUENCE, "price", "word"])
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def wait_until(condition, seconds: float = WAIT_SECONDS) -> None:
    """Return when it holds; an error if it does not come to that."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.005)
