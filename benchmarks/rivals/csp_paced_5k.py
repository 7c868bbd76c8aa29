"""csp: single events into a real-time engine on a thread of its own, 5 000 a second; p99 of push_tick -> node."""

from time import perf_counter_ns, sleep

import csp

from benchmarks.data import BURST_ROWS, Data, paced, single_events
from benchmarks.timing import Timed

NAME = "csp, real-time"
REQUIRES = ("csp",)
DATA = "wide"


def setup(data: Data) -> list:
    return single_events(data)


@csp.node
def handle(event: csp.ts[object], at: object):
    if csp.ticked(event) and event["v0"] > -100.0:
        at.append(perf_counter_ns())


def run(events: list, per_second: int = 5_000) -> Timed:
    """Above a million a second, 64 ticks are pushed at a time."""
    at: list[int] = []
    adapter = csp.GenericPushAdapter(object, "events")

    @csp.graph
    def graph():
        handle(adapter.out(), at)

    engine = csp.run_on_thread(graph, realtime=True)
    adapter.wait_for_start()
    rows = BURST_ROWS if per_second >= 1_000_000 else 1
    if rows == 1:
        begun = paced(events, adapter.push_tick, per_second)
    else:

        def burst(some: list) -> None:
            for event in some:
                adapter.push_tick(event)

        bursts = [events[i : i + rows] for i in range(0, len(events), rows)]
        begun = [b for b in paced(bursts, burst, per_second // rows) for _ in range(rows)]
    while len(at) < len(events):
        sleep(0.001)
    engine.stop_engine()
    engine.join()
    return Timed.latencies(begun, at, 99)
