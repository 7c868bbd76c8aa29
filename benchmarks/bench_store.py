"""The store: appending batches, and replaying them through a keyed pattern."""

from __future__ import annotations

from benchmarks import data, loops, subject
from benchmarks.race import Race, Reference

APPEND_EVENTS = 500 * data.BATCH_ROWS


def _append(race: Race, row: str, durability: str, rival: str, events: int) -> None:
    wide = data.wide(min(race.events, events))
    batches = len(wide.batches())
    race(
        row,
        subject.store_append(wide, race.folder, durability),
        [],
        rivals={rival: {"goal": 0.8, "events": wide.events, "work": batches}},
        judge=lambda: wide.table,
        work=batches,
        unit="k batches/s",
        columns=tuple(wide.columns),
    )


def bench_append(race: Race) -> None:
    _append(race, "append of 4 096-row batches, no fsync", "none", "pyarrow_store", APPEND_EVENTS)


def bench_append_fsync(race: Race) -> None:
    _append(race, "append of 4 096-row batches, fsync each", "commit", "pyarrow_store_fsync", APPEND_EVENTS)


def bench_replay(race: Race) -> None:
    events = data.sequence(race.events)
    clause = subject.sequence_clause()
    race(
        "replay from the store through A … B … C",
        subject.replay(events, clause, race.folder),
        [Reference("C loop, hash map, in memory", loops.sequence(events))],
        itself=[Reference("itself over the table in memory", subject.match(events, clause), goal=0.7)],
        columns=subject.SEQUENCE_COLUMNS,
    )


def bench_lookup(race: Race) -> None:
    """The events of one account of a million, out of a store of all; a hundred events of each at 100 M."""
    path, account = subject.account_store(race.folder, race.events)
    race(
        f"look-up of one account in {race.events} events",
        subject.lookup(path, account, filtered=True),
        [],
        itself=[
            Reference(
                "itself, a full scan with where=", subject.lookup(path, account, filtered=False), goal=5.0
            )
        ],
        judge=subject.lookup(path, account, filtered=False),
        work=1,
        unit="µs",
        columns=("ts", "account"),
    )


def bench_where(race: Race) -> None:
    """The dearest thousandth of all events, by price; a price that rises lies in few batches."""
    path, _ = subject.account_store(race.folder, race.events)
    race(
        f"where= with ranges, the last thousandth of {race.events} events",
        subject.dear(path, 1.0085, pruned=True),
        [],
        itself=[
            Reference("itself, every batch read", subject.dear(path, 1.0085, pruned=False), goal=5.0),
        ],
        judge=subject.dear(path, 1.0085, pruned=False),
        work=1,
        unit="µs",
        columns=("ts", "price"),
    )


def bench_lookup_parquet(race: Race) -> None:
    """As the look-up, when all events have gone to Parquet."""
    path, account = subject.account_store(race.folder, race.events, tiered=True)
    race(
        f"look-up of one account in {race.events} events in Parquet",
        subject.lookup(path, account, filtered=True),
        [Reference("pyarrow.dataset over the same files", subject.account_files(path, account), goal=0.8)],
        judge=subject.lookup(path, account, filtered=False),
        work=1,
        unit="µs",
        columns=("ts", "account"),
    )
