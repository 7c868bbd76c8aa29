"""A condition over two columns that passes 1 %: the passing rows of four columns come out."""

from __future__ import annotations

from benchmarks import data, loops, subject
from benchmarks.race import Race, Reference


def bench_condition(race: Race) -> None:
    orders = data.orders(race.events)
    race(
        "condition over two columns, 1 % pass",
        subject.condition(orders),
        [Reference("C loop with gather", loops.condition(orders), goal=0.8)],
        rivals={"numpy_condition": {}, "polars_condition": {}, "duckdb_condition": {}},
        columns=("price", "size", "ts", "sym"),
    )
