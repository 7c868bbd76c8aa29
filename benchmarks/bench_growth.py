"""What must not grow: time per event when events, patterns, open attempts, runs or triggers do.

The reference is tocsin itself at the smaller size, on the same rows; the answers are judged by C and numpy.
Goals are ratios of rates, so "flat within 1.5 ×" is at least 0.67, "≤ 15 × the time" at least 0.067.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from benchmarks import data, loops, subject
from benchmarks.race import Race, Reference

FLAT = round(1 / 1.5, 3)
SHARE = 10  # these rows take a tenth of the events: ten of them, and some are dear for their judge
FORCED_SHARE = 100  # one attempt at a time looks at the rows of a run again for each start in it
LONG_ROUNDS = 2  # of runs that may take many seconds each


def bench_length(race: Race) -> None:
    """The same kinds over again, so that the same rows matter: a b c, and a b c a b c a b c a b c."""
    events = data.sequence(max(data.EVENTS_SMOKE, race.events // SHARE))
    short, long = [0, 1, 2], [0, 1, 2] * 4
    within = 4 * data.WITHIN_US
    race(
        "pattern length 12",
        subject.match(events, subject.sequence_clause(within, long)),
        [Reference("C, one attempt at a time", loops.sequence_n(events, long, within))],
        itself=[
            Reference(
                "itself at length 3",
                subject.match(events, subject.sequence_clause(within, short)),
                goal=FLAT,
                exact=False,
                note="another pattern",
            )
        ],
        work=events.events,
        columns=subject.SEQUENCE_COLUMNS,
    )


def bench_open_attempts(race: Race) -> None:
    """About 4 open attempts a key within 60 s, about 400 within 6 000 s: c hardly ever comes."""
    events = data.open_attempts(max(data.EVENTS_SMOKE, race.events // SHARE))
    few, many = data.WITHIN_US, 100 * data.WITHIN_US
    race(
        "open partial matches × 100",
        subject.match(events, subject.sequence_clause(many)),
        [Reference("C loop, hash map", loops.sequence(events, many))],
        itself=[
            Reference(
                "itself at × 1",
                subject.match(events, subject.sequence_clause(few)),
                goal=FLAT,
                exact=False,
                note="another WITHIN",
            )
        ],
        judge=loops.sequence_n(events, [0, 1, 2], many),
        work=events.events,
        columns=subject.SEQUENCE_COLUMNS,
    )


def _run_matches(events: data.Data, needs_a: bool, a_max: int | None) -> pa.Table:
    """Where runs of a end in b: the start of the run (at most `a_max` a's), the b; by numpy."""
    ts, kind = events.columns["ts"], events.columns["kind"]
    rows = np.arange(len(kind))
    last_other = np.maximum.accumulate(np.where(kind == 0, -1, rows))
    end = np.flatnonzero(kind == 1)
    start = np.where(end > 0, last_other[end - 1], -1) + 1
    if needs_a:
        end, start = end[start < end], start[start < end]
    if a_max is not None:
        start = np.maximum(start, end - a_max)
    return pa.table({"start_ts": ts[start], "end_ts": ts[end]})


def _bench_runs(race: Race, row: str, pattern: str, needs_a: bool, a_max: int | None = None) -> None:
    """Ten times the events must take about ten times the time: runs of a thousand rows, half without a b."""
    large = data.runs(max(data.EVENTS_SMOKE, race.events // SHARE))
    small = data.runs(large.events // 10)
    clause = subject.runs_clause(pattern)
    race(
        row,
        subject.match(large, clause),
        [],
        itself=[
            Reference(
                "itself at a tenth of the events",
                subject.match(small, clause),
                goal=FLAT,
                exact=False,
                work=small.events,
                note="fewer events",
            ),
            Reference(
                "itself with a+ b",
                subject.match(large, subject.runs_clause("a+ b")),
                exact=False,
                note="another pattern",
            ),
        ],
        judge=lambda: _run_matches(large, needs_a, a_max),
        work=large.events,
        columns=("start_ts", "end_ts"),
    )


def bench_nested_plus(race: Race) -> None:
    _bench_runs(race, "(A+)+ B", "(a+)+ b", needs_a=True)


def bench_equal_branches(race: Race) -> None:
    _bench_runs(race, "(A|A)* B", "(a | a)* b", needs_a=False)


def bench_ten_optionals(race: Race) -> None:
    _bench_runs(race, "ten optionals, then B", "a? " * 10 + "b", needs_a=False, a_max=10)


def _grow(
    race: Race,
    row: str,
    make: Callable[[int], data.Data],
    share: int,
    clause: str,
    judge: Callable[[data.Data], pa.Table],
    execution: str | None = None,
    rounds: int = LONG_ROUNDS,
) -> None:
    """Beside itself at a tenth of the events; when forced to a class, also beside its own class."""
    large = make(max(data.EVENTS_SMOKE, race.events // share))
    small = make(large.events // 10)
    itself = [
        Reference(
            "itself at a tenth of the events",
            subject.match(small, clause, execution),
            goal=FLAT,
            exact=False,
            work=small.events,
            note="fewer events",
        )
    ]
    if execution is not None:
        itself.append(Reference("itself in class (a)", subject.match(large, clause)))
    race(
        row if execution is None else f"{row}, forced to class ({execution})",
        subject.match(large, clause, execution),
        [],
        itself=itself,
        judge=lambda: judge(large),
        work=large.events,
        columns=("start_ts", "end_ts"),
        rounds=rounds,
    )


def bench_one_partition(race: Race) -> None:
    """All of --events in one partition."""
    _grow(
        race,
        "(A+)+ B, one partition of all events",
        data.runs,
        1,
        subject.runs_clause("(a+)+ b"),
        lambda events: _run_matches(events, needs_a=True, a_max=None),
    )


def bench_nested_plus_forced(race: Race) -> None:
    _grow(
        race,
        "(A+)+ B",
        data.even_runs,
        FORCED_SHARE,
        subject.runs_clause("(a+)+ b"),
        lambda events: _run_matches(events, needs_a=True, a_max=None),
        "c",
    )


def bench_ten_optionals_forced(race: Race) -> None:
    _grow(
        race,
        "ten optionals, then B",
        data.even_runs,
        FORCED_SHARE,
        subject.runs_clause("a? " * 10 + "b"),
        lambda events: _run_matches(events, needs_a=False, a_max=10),
        "c",
    )


PERMUTED = "abcdefgh"


def _permuted(events: data.Data) -> pa.Table:
    """Eight neighbours that are all different and all below 8, taken from the front; by numpy."""
    ts, kind = events.columns["ts"], events.columns["kind"]
    seen = np.where(kind < len(PERMUTED), 1 << kind.astype(np.int64), 0)
    for step in (1, 2, 4):
        seen = seen[:-step] | seen[step:]
    taken, free = [], 0
    for start in np.flatnonzero(seen == (1 << len(PERMUTED)) - 1).tolist():
        if start >= free:
            taken.append(start)
            free = start + len(PERMUTED)
    rows = np.array(taken, np.int64)
    return pa.table({"start_ts": ts[rows], "end_ts": ts[rows + len(PERMUTED) - 1]})


def _bench_permute(race: Race, execution: str | None) -> None:
    clause = subject.runs_clause(f"PERMUTE({', '.join(PERMUTED)})", PERMUTED)
    _grow(race, "PERMUTE of 8", data.sequence, SHARE, clause, _permuted, execution, rounds=5)


def bench_permute(race: Race) -> None:
    _bench_permute(race, None)


def bench_permute_forced(race: Race) -> None:
    _bench_permute(race, "c")


def _thousands(events: data.Data) -> pa.Table:
    """A run of n a's holds n // 1 000 matches, one behind the other; by numpy."""
    ts, kind = events.columns["ts"], events.columns["kind"]
    edges = np.concatenate([[-1], np.flatnonzero(kind != 0), [len(kind)]])
    begin, count = edges[:-1] + 1, (np.diff(edges) - 1) // 1_000
    nth = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    start = np.repeat(begin, count) + 1_000 * nth
    return pa.table({"start_ts": ts[start], "end_ts": ts[start + 999]})


def _bench_thousand(race: Race, execution: str | None) -> None:
    clause = subject.runs_clause("a{1000}", "a")
    _grow(race, "A{1000}", data.even_runs, FORCED_SHARE, clause, _thousands, execution)


def bench_thousand(race: Race) -> None:
    _bench_thousand(race, None)


def bench_thousand_forced(race: Race) -> None:
    _bench_thousand(race, "c")


def bench_triggers(race: Race) -> None:
    """10 thresholds of price × 10 of size: 100 triggers, 20 different comparisons."""
    orders = data.orders(max(data.EVENTS_SMOKE, race.events // SHARE))
    pairs = [(data.PRICE_ABOVE + p, data.SIZE_BELOW - 5 * s) for p in range(10) for s in range(10)]
    price, size = orders.columns["price"], orders.columns["size"]

    def judge() -> pa.Table:
        counts = [int(np.count_nonzero((price > p) & (size < s))) for p, s in pairs]
        return pa.table({"trigger": range(len(pairs)), "matches": counts})

    race(
        "100 triggers over one stream",
        subject.triggers(orders, pairs),
        [],
        itself=[
            Reference(
                "itself with 1",
                subject.triggers(orders, pairs[:1]),
                goal=round(1 / 15, 3),
                exact=False,
                note="one trigger",
            )
        ],
        judge=judge,
        work=orders.events,
        columns=("trigger", "matches"),
    )
