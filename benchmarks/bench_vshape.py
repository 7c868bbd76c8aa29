"""V-shape by key: STRT DOWN{2,} UP{2,} with PREV; also with all of its rows, and through SQL."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

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


def _rows_of(walks: data.Data) -> Callable[[], pa.Table]:
    """The rows between start and end of each match of the C loop; by numpy, over the rows of a key together."""

    def run() -> pa.Table:
        matches = loops.vshape(walks)()
        key, ts, price = (walks.columns[name] for name in ("key", "ts", "price"))
        order = np.argsort(key, kind="stable")
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        # No two rows have the same ts (see data.py), so it finds the row.
        first, last = (place[np.searchsorted(ts, matches[name])] for name in ("start_ts", "end_ts"))
        length = last - first + 1
        within = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        rows = order[np.repeat(first, length) + within]
        return pa.table({"key": key[rows], "ts": ts[rows], "price": price[rows]})

    return run


def bench_vshape_all_rows(race: Race) -> None:
    """About a third of the rows come out, each with the measures as they are at that row."""
    walks = data.vshape(max(data.EVENTS_SMOKE, race.events // 10))
    race(
        "V-shape, ALL ROWS PER MATCH",
        subject.match(walks, subject.VSHAPE_ALL_ROWS),
        [],
        itself=[
            Reference(
                "itself, ONE ROW PER MATCH",
                subject.match(walks, subject.VSHAPE_ONE_ROW),
                exact=False,
                note="fewer rows out",
            ),
            Reference(
                "that forced to class (c)",
                subject.match(walks, subject.VSHAPE_ONE_ROW, "c"),
                exact=False,
                note="fewer rows out",
            ),
        ],
        judge=_rows_of(walks),
        work=walks.events,
        columns=("key", "ts", "price"),
    )


def bench_vshape_query(race: Race) -> None:
    walks = data.vshape(max(data.EVENTS_SMOKE, race.events // 10))
    race(
        "V-shape through tc.sql",
        subject.query(walks, subject.VSHAPE),
        [Reference("C loop, hash map", loops.vshape(walks))],
        itself=[Reference("itself without SQL around it", subject.match(walks, subject.VSHAPE))],
        work=walks.events,
        columns=subject.VSHAPE_COLUMNS,
    )
