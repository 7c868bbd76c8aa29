"""Several workers: 2 against 1 on this machine. What 2 to 64 would each have to do: `python -m benchmarks.shares`."""

from __future__ import annotations

from benchmarks import data, subject
from benchmarks.race import Race, Reference

ROWS = 65_536


def _two(race: Race, title: str, events: data.Data, clause: str, columns: tuple[str, ...]) -> None:
    race(
        title,
        subject.engine(events, clause, 2, ROWS),
        [],
        itself=[
            Reference("itself with 1 worker", subject.engine(events, clause, 1, ROWS), goal=1.8),
            Reference("itself inline", subject.engine(events, clause, 0, ROWS)),
        ],
        judge=subject.match(events, clause),
        work=events.events,
        columns=columns,
    )


def bench_two_workers_sequence(race: Race) -> None:
    events = data.sequence(race.events)
    clause = subject.sequence_clause()
    _two(race, "A … B … C within 60 s, 2 workers", events, clause, subject.SEQUENCE_COLUMNS)


def bench_two_workers_vshape(race: Race) -> None:
    events = data.vshape(race.events)
    _two(race, "V-shape, 2 workers", events, subject.VSHAPE, subject.VSHAPE_COLUMNS)
