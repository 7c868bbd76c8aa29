"""numpy: one mask, four takes."""

import numpy as np

from benchmarks.data import PRICE_ABOVE, SIZE_BELOW, Data

NAME = "numpy mask and take"
REQUIRES = ("numpy",)
DATA = "orders"


def setup(data: Data) -> dict[str, np.ndarray]:
    return data.columns


def run(c: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    rows = np.flatnonzero((c["price"] > PRICE_ABOVE) & (c["size"] < SIZE_BELOW))
    return {name: column.take(rows) for name, column in c.items()}
