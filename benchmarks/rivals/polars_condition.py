"""Polars: one filter, one thread."""

import polars as pl

from benchmarks.data import PRICE_ABOVE, SIZE_BELOW, Data

NAME = "Polars"
REQUIRES = ("polars",)
DATA = "orders"


def setup(data: Data) -> pl.DataFrame:
    return pl.DataFrame(data.table)


def run(df: pl.DataFrame) -> pl.DataFrame:
    return df.filter((pl.col("price") > PRICE_ABOVE) & (pl.col("size") < SIZE_BELOW))
