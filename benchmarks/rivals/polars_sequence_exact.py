"""Polars: A … B … C by two backward fills over the key, one thread. Exactly the SQL answer.

Attempts with the same end form a group. Every start of a group lies behind the end before last, so only
the group just before can be in its way: a group with a start behind that end always matches; one without
matches when the group before did not. In a chain of the latter, every second one does (`place` even).
"""

import polars as pl

from benchmarks.data import WITHIN_US, Data

NAME = "Polars, the same made exact"
REQUIRES = ("polars",)
DATA = "sequence"


def setup(data: Data) -> pl.DataFrame:
    return pl.DataFrame(data.table)


def run(df: pl.DataFrame) -> pl.DataFrame:
    c = pl.col
    return (
        df.lazy()
        .filter(c("kind") <= 2)
        .with_columns(c_ts=pl.when(c("kind") == 2).then("ts").backward_fill().over("key"))
        .with_columns(end_ts=pl.when(c("kind") == 1).then("c_ts").backward_fill().over("key"))
        .filter((c("kind") == 0) & (c("end_ts") - c("ts") < pl.duration(microseconds=WITHIN_US)))
        .sort("key", maintain_order=True)
        .with_columns(
            head=((c("end_ts") != c("end_ts").shift(1)) | (c("key") != c("key").shift(1))).fill_null(True)
        )
        .with_columns(
            before=pl.when("head")
            .then(
                pl.when(c("key") == c("key").shift(1))
                .then(c("end_ts").shift(1))
                .otherwise(pl.datetime(1, 1, 1))
            )
            .forward_fill(),
            group=c("head").cum_sum(),
        )
        .group_by("group", maintain_order=True)
        .agg(
            c("key").first(),
            c("end_ts").first(),
            any_start=c("ts").first(),
            free_start=c("ts").filter(c("ts") > c("before")).first(),
        )
        .with_columns(chain=c("free_start").is_not_null().cum_sum())
        .with_columns(match=pl.int_range(pl.len()).over("chain") % 2 == 0)
        .with_columns(blocked=(c("match").shift(1) & (c("key") == c("key").shift(1))).fill_null(False))
        .filter("match")
        .select("key", start_ts=pl.when("blocked").then("free_start").otherwise("any_start"), end_ts="end_ts")
        .collect()
    )
