"""Polars: STRT DOWN{2,} UP{2,} as gaps and islands, one thread. Exactly the SQL answer.

Runs of equal sign of the price's difference become one row each; a fall of two or more before a rise of
two or more is a candidate. A fall of exactly two that begins where the candidate before ended needs that
candidate's last row as its strt: in a chain of such, every second one is free (`place` even).
"""

import polars as pl

from benchmarks.data import Data

NAME = "Polars, gaps and islands by hand"
REQUIRES = ("polars",)
DATA = "vshape"


def setup(data: Data) -> pl.DataFrame:
    return pl.DataFrame(data.table)


def run(df: pl.DataFrame) -> pl.DataFrame:
    c = pl.col
    next_in_key = c("key").shift(-1) == c("key")
    return (
        df.lazy()
        .sort("key", maintain_order=True)
        .with_columns(
            sign=(c("price") - c("price").shift(1).over("key")).sign().fill_null(0.0),
            prev=c("price").shift(1),
            prev_ts=c("ts").shift(1),
        )
        .with_columns(
            run=((c("sign") != c("sign").shift(1)) | (c("key") != c("key").shift(1)))
            .fill_null(True)
            .cum_sum()
        )
        .group_by("run", maintain_order=True)
        .agg(
            c("key").first(),
            c("sign").first(),
            n=pl.len(),
            before=c("prev").first(),
            before_ts=c("prev_ts").first(),
            first=c("price").first(),
            first_ts=c("ts").first(),
            last=c("price").last(),
            last_ts=c("ts").last(),
        )
        .with_columns(
            high=c("last").shift(-1),
            end_ts=c("last_ts").shift(-1),
            cand=(c("sign") < 0)
            & (c("n") >= 2)
            & next_in_key
            & (c("sign").shift(-1) > 0)
            & (c("n").shift(-1) >= 2),
        )
        .with_columns(
            linked=(
                c("cand").shift(2) & (c("key").shift(2) == c("key")) & (c("sign").shift(1) > 0)
            ).fill_null(False)
        )
        .filter("cand")
        .with_columns(chain=((c("n") >= 3) | ~c("linked")).cum_sum())
        .with_columns(place=pl.int_range(pl.len()).over("chain"))
        .with_columns(match=c("place") % 2 == 0)
        .with_columns(taken=(c("linked") & c("match").shift(1)).fill_null(False))
        .filter("match")
        .select(
            "key",
            low="last",
            high="high",
            start_price=pl.when("taken").then("first").otherwise("before"),
            start_ts=pl.when("taken").then("first_ts").otherwise("before_ts"),
            end_ts="end_ts",
        )
        .collect()
    )
