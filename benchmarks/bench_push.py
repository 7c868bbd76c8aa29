"""The way in: batches through the ring to a worker, and single events, one by one."""

from __future__ import annotations

import ctypes
from time import perf_counter_ns

import pyarrow as pa
import pytest

from benchmarks import data, subject
from benchmarks.race import Race, Reference
from benchmarks.timing import Timed

HANDOVER_EVENTS = data.HANDOVER_BATCHES * data.BATCH_ROWS


def export_alone(batches: list[pa.RecordBatch]) -> Timed:
    """pyarrow's own share of a push: the export to the C data interface, and the release of what it made."""
    array = ctypes.create_string_buffer(80)  # struct ArrowArray; its release is the ninth field
    address = ctypes.addressof(array)
    batches[0]._export_to_c(address)
    release = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(ctypes.c_void_p.from_address(address + 64).value)
    release(address)
    begin = perf_counter_ns()
    for _ in range(data.HANDOVER_TURNS):
        for batch in batches:
            batch._export_to_c(address)
            release(address)
    return Timed((perf_counter_ns() - begin) * 1e-9, {"seen": [data.HANDOVER_TURNS]})


def bench_handover(race: Race) -> None:
    """19 968 batches of 4 096 rows and 8 columns, 64 different ones in turn; the worker looks for one row."""
    wide = data.wide(min(race.events, HANDOVER_EVENTS))
    batches = wide.batches()
    handovers = data.HANDOVER_TURNS * len(batches)
    race(
        "batches of 4 096 × 8 through the ring to a worker",
        subject.handover(wide),
        [Reference("pyarrow's export and release of each, no ring", lambda: export_alone(batches))],
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


@pytest.mark.parametrize("form", ["dict", "record batch"])
def bench_dict_event(race: Race, form: str) -> None:
    """A handler with per_match=True is given a dict, as streamz's sink is; without it, a record batch of 8 columns."""
    wide = data.wide(min(race.events, data.SINGLE_EVENTS))
    events = data.single_events(wide)
    race(
        f"one event as a dict, push → handler of a {form}, inline (p50)",
        subject.single(wide, per_match=form == "dict"),
        [Reference("a bare call", lambda: bare_call(events))],
        rivals={"streamz_dict": {"goal": 1.0, "events": wide.events, "work": 1}},
        work=1,
        unit="µs",
        columns=("handled",),
    )


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("form", ["dicts", "batches"])
def bench_one_by_one(race: Race, form: str, threads: int) -> None:
    """20 000 events to a worker that looks for one of them."""
    wide = data.wide(min(race.events, data.SINGLE_EVENTS))
    rivals = {f"queue_one_by_one_{threads}": {"events": wide.events}}
    if form == "dicts":
        rivals[f"csp_one_by_one_{threads}"] = {"events": wide.events}
        if threads == 1:
            rivals["streamz_one_by_one"] = {"events": wide.events}
    what = "dicts" if form == "dicts" else "batches of one row"
    race(
        f"events pushed one by one as {what} from {threads} thread{'s' * (threads > 1)}, to a worker",
        subject.one_by_one(wide, threads, form),
        [],
        rivals=rivals,
        judge=lambda: {"seen": [1]},
        work=wide.events,
        unit="k events/s",
        columns=("seen",),
    )
