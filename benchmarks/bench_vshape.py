"""V-shape by key: STRT DOWN{2,} UP{2,} with PREV."""

from __future__ import annotations

from benchmarks import data, loops, subject
from benchmarks.race import Race, Reference

SMALL = 5_000


def bench_vshape(race: Race) -> None:
    walks = data.vshape(race.events)
    race(
        "V-shape STRT DOWN{2,} UP{2,}, 1 000 keys",
        subject.match(walks, subject.VSHAPE),
        [Reference("C loop, hash map", loops.vshape(walks), goal=0.7)],
        rivals={"polars_vshape": {"goal": 20.0}, "duckdb_vshape": {"goal": 20.0}},
        columns=subject.VSHAPE_COLUMNS,
    )


def bench_vshape_small(race: Race) -> None:
    walks = data.vshape(min(race.events, SMALL))
    race(
        f"V-shape, {SMALL} events",
        subject.match(walks, subject.VSHAPE),
        [Reference("C loop, hash map", loops.vshape(walks))],
        rivals={"pandas_match_recognize_vshape": {"goal": 100.0}},
        work=walks.events,
        columns=subject.VSHAPE_COLUMNS,
    )
