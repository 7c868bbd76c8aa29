"""Conditions across variables (b.account = a.target, b.amount > 2 * a.amount) in one partition of transfers.

Each row at a tenth of --events (1 M), beside itself at a tenth and a hundredth of that (ten times the events in
at most 20 times the time: a ratio of at least 0.5), and beside what one would write by hand where SQL has it. Every
row's answer at its full size is computed a second way by `benchmarks.transfers`, without patterns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from benchmarks import data, subject, transfers
from benchmarks.bench_growth import FLAT, SHARE
from benchmarks.data import Data
from benchmarks.race import Race, Reference

GROWTH = round(10 / 20, 3)
SMALL = 5_000
LONG_ROUNDS = 2  # of runs that take many seconds each
OPEN = "about 300 open attempts"


def _across(
    race: Race,
    row: str,
    clause: str,
    judge: Callable[[Data], Callable[[], pa.Table]],
    columns: tuple[str, ...] = transfers.TWO,
    rivals: dict[str, dict[str, Any]] | None = None,
    rounds: int = LONG_ROUNDS,
) -> None:
    large = data.transfers(max(data.EVENTS_SMOKE, race.events // SHARE))
    smaller = [data.transfers(large.events // part) for part in (10, 100)]
    race(
        row,
        subject.match(large, clause),
        [],
        itself=[
            Reference(
                f"itself at {less.events} events",
                subject.match(less, clause),
                goal=GROWTH if less is smaller[0] else None,
                exact=False,
                work=less.events,
                note="fewer events",
            )
            for less in smaller
        ],
        rivals={rival: options | {"events": large.events} for rival, options in (rivals or {}).items()},
        judge=judge(large),
        work=large.events,
        columns=columns,
        rounds=rounds,
    )


def _doubled(race: Race, skip: str) -> None:
    _across(
        race,
        f"a b, b.amount > 2 * a.amount, SKIP {skip}",
        transfers.doubled(skip),
        lambda events: transfers.judge_doubled(events, skip),
        rounds=5,
    )


def bench_doubled(race: Race) -> None:
    _doubled(race, transfers.PAST)


def bench_doubled_to_next(race: Race) -> None:
    _doubled(race, transfers.TO_NEXT)


def bench_doubled_small(race: Race) -> None:
    events = data.transfers(min(race.events, SMALL))
    race(
        f"a b, b.amount > 2 * a.amount, {SMALL} events",
        subject.match(events, transfers.doubled(transfers.PAST)),
        [],
        rivals={"pandas_match_recognize_doubled": {"goal": 100.0}},
        judge=transfers.judge_doubled(events, transfers.PAST),
        work=events.events,
        columns=transfers.TWO,
    )


def bench_passed_on(race: Race) -> None:
    _across(
        race,
        f"a x*? b, b.account = a.target, WITHIN 300 s ({OPEN}), SKIP PAST LAST ROW",
        transfers.passed_on(transfers.PAST),
        lambda events: transfers.judge_passed_on(events, transfers.PAST),
    )


def bench_passed_on_to_next(race: Race) -> None:
    _across(
        race,
        f"a x*? b, b.account = a.target, WITHIN 300 s ({OPEN}), SKIP TO NEXT ROW",
        transfers.passed_on(transfers.TO_NEXT),
        lambda events: transfers.judge_passed_on(events, transfers.TO_NEXT),
        rivals={"duckdb_passed_on": {}},
    )


def bench_passed_on_doubled(race: Race) -> None:
    _across(
        race,
        f"the same AND b.amount > 2 * a.amount ({OPEN}), SKIP TO NEXT ROW",
        transfers.passed_on(transfers.TO_NEXT, doubled=True),
        lambda events: transfers.judge_passed_on(events, transfers.TO_NEXT, doubled=True),
        rivals={"duckdb_passed_on_doubled": {}},
    )


def bench_passed_on_open(race: Race) -> None:
    """A hash look-up of the waiting attempts would not care how many wait; a look at each of them does."""
    events = data.transfers(max(data.EVENTS_SMOKE, race.events // SHARE) // 10)
    few, many = data.PASS_ON_S, 10 * data.PASS_ON_S
    race(
        "b.account = a.target, open attempts × 10",
        subject.match(events, transfers.passed_on(transfers.TO_NEXT, many)),
        [],
        itself=[
            Reference(
                "itself at × 1",
                subject.match(events, transfers.passed_on(transfers.TO_NEXT, few)),
                goal=FLAT,
                exact=False,
                note="another WITHIN",
            )
        ],
        judge=transfers.judge_passed_on(events, transfers.TO_NEXT, many),
        work=events.events,
        columns=transfers.TWO,
        rounds=LONG_ROUNDS,
    )


def bench_bounded(race: Race) -> None:
    _across(
        race,
        "three: b.ts - a.ts < 30 s, c.account = b.target, c.amount > a.amount",
        transfers.bounded(),
        transfers.judge_bounded,
        transfers.THREE,
    )


def bench_chained(race: Race) -> None:
    _across(
        race,
        "three: b.account = a.target, b.ts - a.ts < 15 min, c.account = b.target, c.amount > a.amount",
        transfers.chained(),
        transfers.judge_chained,
        transfers.THREE,
    )
