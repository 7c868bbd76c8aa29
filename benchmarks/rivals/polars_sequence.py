"""Polars: A … B … C by two backward fills over the key, one thread. The quick rewrite, not the SQL answer.

The next c after the next b of each a is right, and so is WITHIN; SKIP PAST LAST ROW is taken for "one match
per end, the earliest start": matches that share rows with the one before come out too.
`polars_sequence_exact` has the rest.
"""

import polars as pl

from benchmarks.data import WITHIN_US, Data

NAME = "Polars, backward_fill by hand"
REQUIRES = ("polars",)
DATA = "sequence"


def setup(data: Data) -> pl.DataFrame:
    return pl.DataFrame(data.table)


def run(df: pl.DataFrame) -> pl.DataFrame:
    kind, ts, end = pl.col("kind"), pl.col("ts"), pl.col("end_ts")
    return (
        df.lazy()
        .filter(kind <= 2)
        .with_columns(c_ts=pl.when(kind == 2).then(ts).backward_fill().over("key"))
        .with_columns(end_ts=pl.when(kind == 1).then("c_ts").backward_fill().over("key"))
        .filter((kind == 0) & (end - ts < pl.duration(microseconds=WITHIN_US)))
        .group_by("key", "end_ts")
        .agg(start_ts=ts.min())
        .select("key", "start_ts", "end_ts")
        .collect()
    )
