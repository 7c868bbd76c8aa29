"""For the tests of the runtime: the test operators, built once per run, and small helpers."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa

from tocsin.engine import Engine
from tocsin_core.schema import Schema

CORE = Path(__file__).parent / "core"
NUMBERS = pa.schema([("n", pa.int64())])


def _takes(workers: int) -> bool:
    try:
        Engine(workers=workers).close()
    except ValueError:
        return False
    return True


WORKERS = [workers for workers in (0, 1, 2, 3) if _takes(workers)]  # that tests of threads are run with


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


def keeping_last(schema: pa.Schema = NUMBERS) -> Any:
    """An operator that gives its last batch at the end of input."""
    return operators().KeepLast(Schema.from_arrow(schema))


def numbers(*values: int) -> pa.RecordBatch:
    """A batch of the schema NUMBERS."""
    return pa.record_batch({"n": pa.array(values, pa.int64())})
