"""The way in: batches through the ring to a worker, and single events as dicts."""

from __future__ import annotations

from time import perf_counter_ns

from benchmarks import data, subject
from benchmarks.race import Race, Reference
from benchmarks.timing import Timed

HANDOVER_EVENTS = data.HANDOVER_BATCHES * data.BATCH_ROWS


def bench_handover(race: Race) -> None:
    """19 968 batches of 4 096 rows and 8 columns, 64 different ones in turn; the worker looks for one row."""
    wide = data.wide(min(race.events, HANDOVER_EVENTS))
    handovers = data.HANDOVER_TURNS * len(wide.batches())
    race(
        "batches of 4 096 × 8 through the ring to a worker",
        subject.handover(wide),
        [],
        rivals={
            "queue_handover": {"goal": 1.0, "events": wide.events, "work": handovers},
            "simple_queue_handover": {"events": wide.events, "work": handovers},
        },
        judge=lambda: {"seen": [data.HANDOVER_TURNS]},
        work=handovers,
        unit="k batches/s",
        columns=("seen",),
    )


def bare_call(events: list[dict]) -> Timed:
    """What nobody can undercut: one call of a Python function."""
    at: list[int] = []
    begun = []

    def handler(event: dict) -> None:
        if event["v0"] > -100.0:
            at.append(perf_counter_ns())

    for event in events:
        begun.append(perf_counter_ns())
        handler(event)
    return Timed.latencies(begun, at)


def bench_dict_event(race: Race) -> None:
    wide = data.wide(min(race.events, data.SINGLE_EVENTS))
    events = data.single_events(wide)
    race(
        "one event as a dict, push → handler, inline (p50)",
        subject.single(wide, workers=0),
        [Reference("a bare call", lambda: bare_call(events))],
        rivals={"streamz_dict": {"goal": 1.0, "events": wide.events, "work": 1}},
        work=1,
        unit="µs",
        columns=("handled",),
    )


def bench_dict_event_paced(race: Race) -> None:
    wide = data.wide(min(race.events, 5_000))
    race(
        "one event as a dict, push → handler, one worker, 5 000/s (p50)",
        subject.single(wide, workers=1),
        [],
        rivals={"queue_paced": {"events": wide.events, "work": 1}},
        judge=lambda: {"handled": [wide.events]},
        work=1,
        unit="µs",
        columns=("handled",),
    )
