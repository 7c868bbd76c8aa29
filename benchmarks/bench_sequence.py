"""A … B … C within 60 s by key: SQL's exact matches, where later starts live on when the first expires."""

from __future__ import annotations

from benchmarks import data, loops, subject
from benchmarks.race import Race, Reference

SMALL = 5_000


def bench_sequence(race: Race) -> None:
    events = data.sequence(race.events)
    clause = subject.sequence_clause()
    race(
        "A … B … C within 60 s, 10 000 keys",
        subject.match(events, clause),
        [Reference("C loop, hash map", loops.sequence(events), goal=1.0)],
        itself=[
            Reference(f"itself, pushed in batches of {rows}", subject.push(events, clause, rows))
            for rows in (4_096, 65_536)
        ],
        rivals={
            "polars_sequence": {"goal": 3.0, "exact": False, "note": "matches that share rows come out too"},
            "polars_sequence_exact": {"goal": 3.0},
        },
        judge=loops.sequence_n(events, [0, 1, 2]),
        columns=subject.SEQUENCE_COLUMNS,
    )


def bench_sequence_dense(race: Race) -> None:
    events = data.sequence_dense(race.events)
    race(
        "A … B … C within 60 s, keys 0 … 9 999",
        subject.match(events, subject.sequence_clause()),
        [
            Reference(
                "C loop, array of keys",
                loops.sequence(events, dense=True),
                note="knows that the keys are dense",
            ),
            Reference("C loop, hash map", loops.sequence(events), goal=1.0),
        ],
        columns=subject.SEQUENCE_COLUMNS,
    )


def bench_sequence_small(race: Race) -> None:
    events = data.sequence(min(race.events, SMALL))
    race(
        f"A … B … C without WITHIN, {SMALL} events",
        subject.match(events, subject.sequence_clause(None)),
        [Reference("C loop, hash map", loops.sequence(events, 1 << 62))],
        rivals={"pandas_match_recognize_sequence": {"goal": 100.0}},
        work=events.events,
        columns=subject.SEQUENCE_COLUMNS,
    )
