"""What a checkpoint costs: how long it takes, how large it is, and how long pushes wait for it.

    python -m benchmarks.checkpoints

A keyed pattern with one open attempt for each of so many keys; a thread pushes single batches all the time, and its
slowest push beside its median says how long the stream was held.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

import tocsin as tc

CLAUSE = """PARTITION BY k ORDER BY ts MEASURES a.ts AS a, b.ts AS b
            PATTERN (a m*? b) DEFINE a AS x = 0, b AS x = 2"""
SCHEMA = pa.schema([("ts", pa.int64()), ("k", pa.int64()), ("x", pa.int64())])


def row(partitions: int, workers: int) -> str:
    """One measurement, as a line of the table."""
    path = Path(tempfile.mkdtemp()) / "c.store"
    with tc.Engine(path, workers=workers, durability="none", checkpoint_every=None) as engine:
        stream = engine.stream("s", SCHEMA, time="ts")
        engine.trigger("t", stream, CLAUSE)
        keys = np.arange(partitions)
        for part in np.array_split(keys, max(1, partitions // 50_000)):
            stream.push({"ts": part, "k": part, "x": np.zeros(len(part), np.int64)})
        engine.flush()
        waits: list[float] = []
        stop = threading.Event()

        def push() -> None:
            batch = {"ts": np.full(1, partitions), "k": np.full(1, -1), "x": np.full(1, 1)}
            while not stop.is_set():
                begun = time.perf_counter()
                stream.push(batch)
                waits.append(time.perf_counter() - begun)
                time.sleep(0.0005)

        thread = threading.Thread(target=push)
        thread.start()
        time.sleep(0.2)
        calm = len(waits)
        took = []
        for _ in range(5):
            begun = time.perf_counter()
            engine.checkpoint()
            took.append(time.perf_counter() - begun)
        size = max(one.stat().st_size for one in (path / "checkpoints").glob("*.arrow"))
        stop.set()
        thread.join()
        median = statistics.median(waits[:calm])
        return (
            f"{partitions:>10} {workers:>8} {1e3 * statistics.median(took):>12.1f} {size / 1e6:>10.1f} "
            f"{1e3 * median:>12.2f} {1e3 * max(waits[calm:]):>14.1f}"
        )


def main() -> None:
    """Print the table."""
    names = ("open keys", "workers", "checkpoint ms", "size MB", "push p50 ms", "slowest push ms")
    print(*(f"{name:>{width}}" for name, width in zip(names, (10, 8, 13, 10, 12, 15), strict=True)))
    for partitions in (1_000, 100_000, 1_000_000):
        for workers in (1, 2):
            print(row(partitions, workers), flush=True)


if __name__ == "__main__":
    main()
