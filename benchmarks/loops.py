"""reference_loops.c, compiled on first use into build/benchmarks, called by ctypes on numpy memory.

`CC` and `CFLAGS_LOOPS` choose another compiler or other flags. The library's name holds a hash of source,
flags and compiler version, so that a change compiles anew.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.data import PRICE_ABOVE, SIZE_BELOW, WITHIN_US, Data

BUILD = Path(__file__).resolve().parent.parent / "build" / "benchmarks"
SOURCE = Path(__file__).with_name("reference_loops.c")
FLAGS = "-O3 -march=native -std=c11 -Wall -Wextra -Werror -fPIC -shared"

Answer = dict[str, np.ndarray]


@cache
def library() -> ctypes.CDLL:
    """The compiled loops. Raises subprocess.CalledProcessError with the compiler's words when it refuses."""
    compiler = os.environ.get("CC", "cc")
    flags = os.environ.get("CFLAGS_LOOPS", FLAGS).split()
    version = subprocess.run([compiler, "--version"], check=True, capture_output=True).stdout
    tag = hashlib.sha256(SOURCE.read_bytes() + " ".join(flags).encode() + version).hexdigest()[:16]
    target = BUILD / f"loops_{tag}.so"
    if not target.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        aside = target.with_suffix(f".{os.getpid()}.tmp")
        subprocess.run([compiler, *flags, str(SOURCE), "-o", str(aside)], check=True)
        aside.replace(target)
    loaded = ctypes.CDLL(str(target))
    for name in ("condition", "sequence_hashed", "sequence_dense", "sequence_n", "vshape"):
        getattr(loaded, name).restype = ctypes.c_int64
    return loaded


def _pointer(values: np.ndarray) -> ctypes.c_void_p:
    assert values.flags.c_contiguous
    return ctypes.c_void_p(values.ctypes.data)


def _loop(
    name: str, inputs: list[np.ndarray], scalars: list[ctypes._SimpleCData | np.ndarray], outputs: Answer
) -> Callable[[], Answer]:
    function = getattr(library(), name)
    arguments = [ctypes.c_int64(len(inputs[0])), *map(_pointer, inputs)]
    arguments += [_pointer(s) if isinstance(s, np.ndarray) else s for s in scalars]
    arguments += map(_pointer, outputs.values())
    for column in outputs.values():
        column.fill(0)  # touch the pages now: the loop's caller has warm buffers
    kept = (inputs, scalars)

    def run(_kept: object = kept) -> Answer:
        matches = function(*arguments)
        if matches < 0:
            raise MemoryError(f"reference loop {name}: out of memory")
        return {column: values[:matches] for column, values in outputs.items()}

    return run


def _empty(rows: int, **dtypes: type) -> Answer:
    return {name: np.empty(rows + 1, dtype) for name, dtype in dtypes.items()}


def condition(data: Data) -> Callable[[], Answer]:
    c = data.columns
    out = _empty(data.events, price=np.float64, size=np.int64, ts=np.int64, sym=np.int32)
    return _loop(
        "condition",
        [c["price"], c["size"], c["ts"], c["sym"]],
        [ctypes.c_double(PRICE_ABOVE), ctypes.c_int64(SIZE_BELOW)],
        out,
    )


def sequence(data: Data, within_us: int = WITHIN_US, dense: bool = False) -> Callable[[], Answer]:
    c = data.columns
    out = _empty(data.events // 3, key=np.int64, start_ts=np.int64, end_ts=np.int64)
    scalars: list = [ctypes.c_int64(within_us)]
    if dense:
        scalars.append(ctypes.c_int64(int(c["key"].max()) + 1))
    name = "sequence_dense" if dense else "sequence_hashed"
    return _loop(name, [c["key"], c["ts"], c["kind"]], scalars, out)


def sequence_n(data: Data, kinds: list[int], within_us: int = WITHIN_US) -> Callable[[], Answer]:
    c = data.columns
    out = _empty(data.events // 2, key=np.int64, start_ts=np.int64, end_ts=np.int64)
    steps = np.array(kinds, np.int32)
    return _loop(
        "sequence_n",
        [c["key"], c["ts"], c["kind"]],
        [ctypes.c_int64(within_us), ctypes.c_int32(len(steps)), steps],
        out,
    )


def vshape(data: Data) -> Callable[[], Answer]:
    c = data.columns
    out = _empty(
        data.events // 4,
        key=np.int64,
        start_price=np.float64,
        low=np.float64,
        high=np.float64,
        start_ts=np.int64,
        end_ts=np.int64,
    )
    return _loop("vshape", [c["key"], c["ts"], c["price"]], [], out)
