"""The store: appending batches, and replaying them through a keyed pattern."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import data, loops, subject
from benchmarks.race import Race, Reference

APPEND_EVENTS = 500 * data.BATCH_ROWS
COMMIT_EVENTS = 1_000 * data.COMMIT_ROWS


def _append(race: Race, what: str, durability: Any, rivals: dict[str, float | None], **options: Any) -> None:
    """Batches of 4 096 rows; rivals: module -> goal."""
    wide = data.wide(min(race.events, APPEND_EVENTS))
    batches = len(wide.batches())
    race(
        f"append of 4 096-row batches, {what}",
        subject.store_append(wide, race.folder, durability, **options),
        [],
        rivals={
            rival: {"goal": goal, "events": wide.events, "work": batches} for rival, goal in rivals.items()
        },
        judge=lambda: wide.table,
        work=batches,
        unit="k batches/s",
        columns=tuple(wide.columns),
    )


def bench_append(race: Race) -> None:
    _append(race, "no fsync", "none", {"pyarrow_store": 0.8, "sqlite_store": 1.0})


def bench_append_fsync_end(race: Race) -> None:
    _append(race, "one fsync at the end", "none", {"pyarrow_store_fsync_end": 0.8}, sync=True)


def bench_append_interval(race: Race) -> None:
    rivals = {"pyarrow_store_interval": 0.8, "sqlite_store_normal": 1.0}
    _append(race, "fsync every 50 ms", "interval", rivals, sync=True)


def bench_append_fsync(race: Race) -> None:
    _append(race, "fsync each", "commit", {"pyarrow_store_fsync": 0.8, "sqlite_store_full": 1.0})


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def bench_append_compressed(race: Race, codec: Any) -> None:
    _append(race, f"{codec}, no fsync", "none", {f"pyarrow_store_{codec}": 0.8}, compression=codec)


@pytest.mark.parametrize("threads", [1, 2, 4, 8])
def bench_commits(race: Race, threads: int) -> None:
    """Small batches, each durable when its append returns; threads that wait share an fsync."""
    wide = data.wide(min(race.events, COMMIT_EVENTS))
    batches = len(wide.batches(data.COMMIT_ROWS))
    race(
        f"commits of {data.COMMIT_ROWS} rows from {threads} threads",
        subject.store_append(wide, race.folder, "commit", rows=data.COMMIT_ROWS, threads=threads),
        [],
        rivals={f"sqlite_commits_{threads}": {"goal": 1.0, "events": wide.events, "work": batches}},
        judge=lambda: wide.table,
        work=batches,
        unit="k commits/s",
        columns=tuple(wide.columns),
    )


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


def bench_recovery(race: Race) -> None:
    """After a crash: with the last 1 % of the events behind a checkpoint, and without a checkpoint."""
    events = data.sequence(race.events)
    clause = subject.sequence_clause()
    race(
        f"recovery with {race.events} events in the log, 1 % of them behind the checkpoint",
        subject.recovery(events, clause, race.folder, 0.01),
        [],
        itself=[
            Reference("itself, 10 % behind it", subject.recovery(events, clause, race.folder, 0.1)),
            Reference("itself, without a checkpoint", subject.recovery(events, clause, race.folder, 1.0)),
        ],
        judge=subject.certain(events, clause),
        columns=subject.SEQUENCE_COLUMNS,
        rounds=3,
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
