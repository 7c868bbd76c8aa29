"""python -m benchmarks.bounds [--batches N] [--slots N]: peak memory of an engine whose handler has stopped.

For each `overflow` a process of its own, since a process has one peak. A thread pushes batches of 4 096 rows and 8
columns, each in new memory, while the first call of the handler does not return; all rows are matches, so that they
fill the ring behind the worker, too. Once nothing moves any more, or N batches were offered, the handler goes on; in
the end every event that was accepted must have reached it. Shown beside the peak: what the rings can hold,

    slots of the inbox + slots of the outbox + what the dispatcher took out of the outbox at once (at most its slots)

times the bytes of a batch; and how much was offered.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

import tocsin as tc
from tocsin.errors import BackpressureError

ROWS = 4_096
COLUMNS = 8
BATCH_BYTES = ROWS * COLUMNS * 8
MODES = ("block", "raise", "drop_oldest")
STILL_SECONDS = 1.0  # nothing was accepted for so long: the pusher waits


def peak_bytes() -> int:
    """The most memory that this process has had at once."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("no VmHWM in /proc/self/status: this needs Linux")


def fresh_batch(number: int) -> pa.RecordBatch:
    return pa.record_batch({f"v{i}": np.full(ROWS, float(number)) for i in range(COLUMNS)})


def stopped(overflow: str, batches: int, slots: int) -> dict[str, object]:
    """One mode, in this process."""
    engine = tc.Engine(workers=1, ring_slots=slots, overflow=overflow)  # type: ignore[arg-type]
    schema = fresh_batch(0).schema
    accepted = refused = handled = 0
    go_on, stopped_at = threading.Event(), threading.Event()
    with engine:
        stream = engine.stream("s", schema)
        trigger = engine.trigger("all", stream, tc.col("v0") >= 0)

        @trigger.handler
        def stop(matches: pa.RecordBatch) -> None:
            nonlocal handled
            stopped_at.set()
            go_on.wait()
            handled += matches.num_rows

        stream.push(fresh_batch(0))  # whatever is allocated once is there before the count begins
        stopped_at.wait()
        before = peak_bytes()

        def push_all() -> None:
            nonlocal accepted, refused
            for number in range(batches):
                try:
                    stream.push(fresh_batch(number))
                    accepted += 1
                except BackpressureError:
                    refused += 1

        pusher = threading.Thread(target=push_all)
        pusher.start()
        moved = -1
        while pusher.is_alive() and moved != accepted + refused:
            moved = accepted + refused
            pusher.join(STILL_SECONDS)
        peak = peak_bytes() - before
        held_back = pusher.is_alive()
        depths = engine.stats()
        go_on.set()
        pusher.join()
        engine.flush()
        figures = engine.stats()
    dropped = figures.streams["s"].dropped
    assert accepted + refused == batches
    assert handled == (1 + accepted) * ROWS - dropped, (handled, accepted, dropped)
    assert figures.streams["s"].events == (1 + accepted) * ROWS
    return {
        "overflow": overflow, "offered": batches, "accepted": accepted, "refused": refused,
        "dropped": dropped // ROWS, "held_back": held_back, "peak": peak,
        "bound": (depths.inbox.capacity + 2 * depths.outbox.capacity) * BATCH_BYTES,
        "depth": [depths.inbox.depth, depths.outbox.depth],
    }  # fmt: skip


def measured(overflow: str, batches: int, slots: int) -> dict[str, object]:
    """The same in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.bounds", "--batches", str(batches), "--slots", str(slots)]
    done = subprocess.run(
        [*command, "--mode", overflow],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent.parent,
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def main(arguments: list[str]) -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks.bounds")
    options.add_argument("--batches", type=int, default=4_000)
    options.add_argument("--slots", type=int, default=64)
    options.add_argument("--mode", choices=MODES, help="one mode, in this process, as JSON")
    chosen = options.parse_args(arguments)
    if chosen.mode:
        print(json.dumps(stopped(chosen.mode, chosen.batches, chosen.slots)))
        return
    mib = 1 << 20
    print(f"a stopped handler: batches of {BATCH_BYTES / mib:.2f} MiB, ring_slots={chosen.slots}\n")
    print(
        f"{'overflow':<12} {'offered MiB':>11} {'peak MiB':>9} {'rings hold MiB':>14}  what became of the batches"
    )
    for mode in MODES:
        began = time.perf_counter()
        row = measured(mode, chosen.batches, chosen.slots)
        fate = f"{row['refused']} refused, {row['dropped']} dropped"
        if row["held_back"]:
            fate = "pusher held back, all handled later"
        print(
            f"{mode:<12} {chosen.batches * BATCH_BYTES / mib:>11.0f} {row['peak'] / mib:>9.1f} "  # type: ignore[operator]
            f"{row['bound'] / mib:>14.1f}  {fate} ({time.perf_counter() - began:.0f} s)"  # type: ignore[operator]
        )


if __name__ == "__main__":
    main(sys.argv[1:])
