"""One number for an answer, the same whatever the order of its rows.

Each row is mixed from the 64-bit patterns of its cells (in the order of the columns named), the rows are
summed modulo 2**64: engines that emit by key and engines that emit by time agree when their rows do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

_ODD = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)


def _bits(column: pa.ChunkedArray) -> np.ndarray:
    """The cells as uint64: integers and times by value, floats by their double's bits."""
    if column.null_count:
        raise ValueError("a benchmark's answer holds no nulls, this column does")
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.timestamp("us")).cast(pa.int64())
    elif pa.types.is_floating(column.type):
        return column.cast(pa.float64()).to_numpy().view(np.uint64)
    elif pa.types.is_decimal(column.type):
        column = column.cast(pa.int64())
    values = column.to_numpy()
    return values.view(np.uint64) if values.dtype == np.int64 else values.astype(np.int64).view(np.uint64)


def checksum(answer: Any, columns: Sequence[str]) -> tuple[int, int]:
    """(rows, hash) of `answer` (anything `pyarrow.table` takes) over the columns named.

    Raises KeyError when a column is missing, ValueError on a null.
    """
    table = answer if isinstance(answer, pa.Table) else pa.table(answer)
    mixed = np.zeros(table.num_rows, np.uint64)
    with np.errstate(over="ignore"):
        for name in columns:
            mixed = (mixed ^ _bits(table.column(name))) * _ODD
            mixed = (mixed ^ (mixed >> np.uint64(29))) * _MIX
        return table.num_rows, int(mixed.sum(dtype=np.uint64))
