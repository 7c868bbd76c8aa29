"""For the tests of the runtime: the test operators, built once per run, and small helpers."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa

import tocsin
from tocsin_core.schema import Schema

CORE = Path(__file__).parent / "core"
WORKERS = [0, 1, 2, 3]  # that tests of threads are run with
NUMBERS = pa.schema([("n", pa.int64())])
ALL = tocsin.col("n") >= 0


def operators() -> ModuleType:
    """The module of tests/core/operators.pyx."""
    return compiled("operators")


@cache
def compiled(name: str) -> ModuleType:
    """The module of tests/core/NAME.pyx, built when it is first asked for."""
    folder = Path(tempfile.mkdtemp(prefix=f"tocsin-{name}-"))
    shutil.copy(CORE / f"{name}.pyx", folder)
    built = subprocess.run(
        [sys.executable, str(CORE / "build_operators.py"), str(folder), name],
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert built.returncode == 0, built.stderr + built.stdout
    sys.path.insert(0, str(folder))
    try:
        return __import__(f"tocsin_test_{name}")
    finally:
        sys.path.remove(str(folder))


def passing(schema: pa.Schema = NUMBERS, *, even_only: bool = False) -> Any:
    """An operator that passes its batches on."""
    return operators().Pass(Schema.from_arrow(schema), even_only)


def gated(gate: Any, schema: pa.Schema = NUMBERS) -> Any:
    """An operator that holds its worker up until `gate` is set, then passes its batches on; `entered` counts them."""
    return operators().Gate(Schema.from_arrow(schema), gate)


def keeping_last(schema: pa.Schema = NUMBERS) -> Any:
    """An operator that gives its last batch at the end of input."""
    return operators().KeepLast(Schema.from_arrow(schema))


def numbers(*values: int) -> pa.RecordBatch:
    """A batch of the schema NUMBERS."""
    return pa.record_batch({"n": pa.array(values, pa.int64())})


def values(matches: pa.RecordBatch) -> list[int]:
    """The column n."""
    found: list[int] = matches.column("n").to_pylist()
    return found


def until(condition: Callable[[], object]) -> None:
    """Waits for what another thread is about to do."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "did not come to pass"
        time.sleep(0.001)


@contextmanager
def running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in another thread, as an application's would."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def stop(loop: asyncio.AbstractEventLoop) -> None:
    """Stops a loop that runs in another thread."""
    loop.call_soon_threadsafe(loop.stop)
    until(lambda: not loop.is_running())


def engines_threads() -> list[str]:
    """The threads of all engines."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("tocsin")]
