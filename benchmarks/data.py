"""Seeded inputs of the benchmarks, as numpy columns and as a pyarrow table over the same memory.

The same (generator, events) gives the same rows in every process, so that a rival in a process of its own
makes its input itself. The number of keys follows the number of events (about 1 000 events a key, as
10 M events over 10 000 keys), and so does the pace, so that a small run keeps the shape of a big one: the
share of attempts that expire, the share of rows that match.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import Thread
from time import perf_counter_ns, sleep
from typing import Any

import numpy as np
import pyarrow as pa

EVENTS_DEFAULT = 10_000_000
EVENTS_SMOKE = 20_000
EVENTS_PER_KEY = 1_000
PRICE_ABOVE = 180.0
SIZE_BELOW = 101
WITHIN_US = 60_000_000
BATCH_ROWS = 4_096
COMMIT_ROWS = 10  # of a batch that is to be durable at once
HANDOVER_BATCHES, HANDOVER_TURNS = 64, 312  # 19 968 batches: each of 64 in turn, 312 times
SINGLE_EVENTS = 20_000
PACE_PER_SECOND = 5_000
BURST_ROWS = 64  # at a million events a second, they come so many at a time
ACCOUNTS = 10_000
PASS_ON_S = 300


@dataclass
class Data:
    """One input: `columns` (numpy, equal lengths) and the same as an Arrow table of one chunk.

    `ts` is int64 microseconds in `columns` and timestamp("us") in `table`.
    """

    columns: dict[str, np.ndarray]

    @property
    def events(self) -> int:
        return len(next(iter(self.columns.values())))

    @cached_property
    def table(self) -> pa.Table:
        arrays = {name: pa.array(values) for name, values in self.columns.items()}
        if "ts" in arrays:
            arrays["ts"] = arrays["ts"].view(pa.timestamp("us"))
        return pa.table(arrays)

    def batches(self, rows: int = BATCH_ROWS) -> list[pa.RecordBatch]:
        """The table cut into record batches of at most `rows` rows, without a copy."""
        return self.table.to_batches(max_chunksize=rows)


def _ts(rng: np.random.Generator, events: int, mean_gap_us: float) -> np.ndarray:
    """Strictly increasing microseconds: SQL rewrites sort by ts, and a tie would make them guess."""
    return 1_700_000_000_000_000 + np.cumsum(rng.integers(1, max(2, int(2 * mean_gap_us)), events))


def orders(events: int) -> Data:
    """price, size, ts, sym. `price > 180 AND size < 101` passes 1 % (10 % of each, independent)."""
    rng = np.random.default_rng(1)
    return Data(
        {
            "price": rng.uniform(0.0, 200.0, events),
            "size": rng.integers(1, 1_001, events),
            "ts": _ts(rng, events, 10),
            "sym": rng.integers(0, 500, events, dtype=np.int32),
        }
    )


def _keys(rng: np.random.Generator, keys: int, hashed: bool) -> np.ndarray:
    return rng.integers(-(2**63), 2**63 - 1, keys) if hashed else np.arange(keys)


def _sequence(events: int, hashed: bool) -> Data:
    rng = np.random.default_rng(2)
    keys = min(10_000, max(4, events // EVENTS_PER_KEY))
    dense = rng.integers(0, keys, events)
    kind = rng.integers(0, 10, events, dtype=np.int32)
    # One event per key each 1.5 s: a, b and c (10 % each) take 30 s on average, so that about a tenth
    # of the attempts is older than 60 s before its c comes.
    ts = _ts(rng, events, 1_500_000 / keys)
    x = rng.normal(size=events)
    return Data({"key": _keys(rng, keys, hashed)[dense], "ts": ts, "kind": kind, "x": x})


def sequence(events: int) -> Data:
    """key (10 000 random 64-bit values), ts, kind (0 = a, 1 = b, 2 = c, else noise; 10 % each), x."""
    return _sequence(events, hashed=True)


def sequence_dense(events: int) -> Data:
    """As `sequence`, with the keys 0 … 9 999."""
    return _sequence(events, hashed=False)


def vshape(events: int) -> Data:
    """key (1 000 random 64-bit values), ts, price: one random walk a key, in cents, with some equal steps."""
    rng = np.random.default_rng(3)
    keys = min(1_000, max(4, events // EVENTS_PER_KEY))
    dense = rng.integers(0, keys, events)
    steps = np.rint(rng.normal(scale=8.0, size=events))
    # One walk per key without a loop: bring each key's rows together, sum, take off what came before.
    order = np.argsort(dense, kind="stable")
    walk = np.cumsum(steps[order])
    first = np.flatnonzero(np.diff(dense[order], prepend=-1))
    before = np.repeat(walk[first] - steps[order][first], np.diff(np.append(first, events)))
    cents = np.empty(events)
    cents[order] = walk - before
    return Data(
        {
            "key": _keys(rng, keys, hashed=True)[dense],
            "ts": _ts(rng, events, 1_000),
            "price": 10_000.0 + cents / 100.0,
        }
    )


def open_attempts(events: int) -> Data:
    """As `sequence`, but few keys and a rare c: WITHIN alone decides how many attempts stay open."""
    rng = np.random.default_rng(4)
    keys = max(2, events // 10_000)
    kind = rng.integers(0, 10, events, dtype=np.int32)
    kind[kind == 2] = 9
    kind[rng.random(events) < 2e-4] = 2
    return Data(
        {
            "key": _keys(rng, keys, hashed=True)[rng.integers(0, keys, events)],
            "ts": _ts(rng, events, 1_500_000 / keys),
            "kind": kind,
        }
    )


def runs(events: int) -> Data:
    """ts, kind in one partition: long runs of kind 0, ended half the time by 1, else by 2 (no match)."""
    rng = np.random.default_rng(5)
    draw = rng.random(events)
    kind = np.where(draw < 0.999, 0, np.where(draw < 0.9995, 1, 2)).astype(np.int32)
    return Data({"ts": _ts(rng, events, 10), "kind": kind})


def even_runs(events: int, rows: int = 2_500) -> Data:
    """As `runs`, but each run has exactly `rows` rows and ends in 1 and 2 in turn: the same shape at any size."""
    rng = np.random.default_rng(7)
    kind = np.zeros(events, np.int32)
    ends = np.arange(rows - 1, events, rows)
    kind[ends] = np.arange(len(ends)) % 2 + 1
    return Data({"ts": _ts(rng, events, 10), "kind": kind})


def transfers(events: int) -> Data:
    """ts (one event a second on average), account, target, amount, in one partition.

    10 000 accounts with random 64-bit ids, whatever the number of events; some send and receive much more than
    others (the n-th of them as 1 / sqrt(n)). Amounts are log-normal in cents, 55 in the middle. The pace is the
    same at every size, so WITHIN holds as many open attempts in a small run as in a big one.
    """
    rng = np.random.default_rng(8)
    ids = _keys(rng, ACCOUNTS, hashed=True)
    account, target = (ids[(ACCOUNTS * rng.random(events) ** 2).astype(np.int64)] for _ in range(2))
    amount = np.rint(rng.lognormal(4.0, 1.2, events) * 100) / 100
    return Data({"ts": _ts(rng, events, 1_000_000), "account": account, "target": target, "amount": amount})


def wide(events: int) -> Data:
    """Eight columns (ts, id, six values), for hand-over and storing in batches of 4 096 rows."""
    rng = np.random.default_rng(6)
    columns = {"ts": _ts(rng, events, 10), "id": np.arange(events)}
    columns |= {f"v{i}": rng.normal(size=events) for i in range(6)}
    return Data(columns)


GENERATORS: dict[str, Callable[[int], Data]] = {
    make.__name__: make
    for make in (orders, sequence, sequence_dense, vshape, open_attempts, runs, even_runs, transfers, wide)
}


def single_events(data: Data) -> list[dict[str, Any]]:
    """The first 20 000 rows (at most) as dicts of Python numbers; ts in microseconds."""
    columns = [column[:SINGLE_EVENTS].tolist() for column in data.columns.values()]
    return [dict(zip(data.columns, row, strict=True)) for row in zip(*columns, strict=True)]


def single_rows(data: Data) -> list[pa.RecordBatch]:
    """The first 20 000 rows (at most) as batches of one row."""
    batch = data.table.slice(0, SINGLE_EVENTS).combine_chunks().to_batches()[0]
    return [batch.slice(row, 1) for row in range(batch.num_rows)]


def paced(
    items: Sequence[Any], push: Callable[[Any], object], per_second: int = PACE_PER_SECOND
) -> list[int]:
    """Push `per_second` items a second (asleep in between); the nanosecond at which each push began.

    What a sleep was too long for is pushed at once, so the rate holds as long as the pushes are quick enough.
    """
    begun = []
    gap = 1_000_000_000 // per_second
    due = perf_counter_ns()
    for item in items:
        due += gap
        while (left := due - perf_counter_ns()) > 0:
            sleep(left * 1e-9)
        begun.append(perf_counter_ns())
        push(item)
    return begun


def from_threads(items: Sequence[Any], push: Callable[[Any], object], threads: int) -> None:
    """Push all items, every n-th from each of so many threads."""

    def run(first: int) -> None:
        for item in items[first::threads]:
            push(item)

    pushing = [Thread(target=run, args=(first,)) for first in range(threads)]
    for thread in pushing:
        thread.start()
    for thread in pushing:
        thread.join()
