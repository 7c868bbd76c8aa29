"""pyarrow: batches appended to one IPC stream file; no fsync, one at the end, one after each, or one every 50 ms."""

import os
import threading
import time
from pathlib import Path

import pyarrow as pa

from benchmarks.data import Data
from benchmarks.timing import Timed

NAME = "pyarrow IPC stream"
REQUIRES = ("pyarrow",)
DATA = "wide"
INTERVAL_S = 0.05


def setup(data: Data) -> list[pa.RecordBatch]:
    return data.batches()


def run(batches: list[pa.RecordBatch], fsync: str = "none", compression: str | None = None) -> Timed:
    """fsync: "none", "end", "interval" or "each". The clock runs from the first batch until the last one is written."""
    path = Path(f"pyarrow_{os.getpid()}.arrows")
    path.unlink(missing_ok=True)
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with path.open("wb") as file, pa.ipc.new_stream(file, batches[0].schema, options=options) as writer:
        stop = threading.Event()
        syncing = threading.Thread(target=_sync_now_and_then, args=(file.fileno(), stop))
        begin = time.perf_counter()
        if fsync == "interval":
            syncing.start()
        for batch in batches:
            writer.write_batch(batch)
            if fsync == "each":
                file.flush()
                os.fdatasync(file.fileno())
        file.flush()
        if fsync == "interval":
            stop.set()
            syncing.join()
        if fsync in ("end", "interval"):
            os.fdatasync(file.fileno())
        seconds = time.perf_counter() - begin
    with path.open("rb") as file:
        answer = pa.ipc.open_stream(file).read_all()
    path.unlink()
    return Timed(seconds, answer)


def _sync_now_and_then(fd: int, stop: threading.Event) -> None:
    while not stop.wait(INTERVAL_S):
        os.fdatasync(fd)
