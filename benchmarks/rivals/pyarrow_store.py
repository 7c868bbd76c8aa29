"""pyarrow: batches appended to one IPC stream file, no fsync."""

import os
from pathlib import Path

import pyarrow as pa

from benchmarks.data import Data
from benchmarks.timing import Timed, measured

NAME = "pyarrow IPC stream"
REQUIRES = ("pyarrow",)
DATA = "wide"


def setup(data: Data) -> list[pa.RecordBatch]:
    return data.batches()


def run(batches: list[pa.RecordBatch], fsync: bool = False) -> Timed:
    path = Path(f"pyarrow_{os.getpid()}.arrows")

    def write() -> None:
        with path.open("wb") as file, pa.ipc.new_stream(file, batches[0].schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
                if fsync:
                    file.flush()
                    os.fsync(file.fileno())

    path.unlink(missing_ok=True)
    timed = measured(write)
    with path.open("rb") as file:
        timed.answer = pa.ipc.open_stream(file).read_all()
    path.unlink()
    return timed
