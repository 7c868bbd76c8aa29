"""csp: single events into a real-time engine on a thread of its own, which looks for one of them."""

from time import sleep

import csp

from benchmarks.data import Data, from_threads, single_events

NAME = "csp, real-time"
REQUIRES = ("csp",)
DATA = "wide"


def setup(data: Data) -> list:
    return single_events(data)


@csp.node
def look(event: csp.ts[object], sought: int, done: object):
    with csp.state():
        s_count = 0
        s_seen = 0
    if csp.ticked(event):
        s_count += 1
        s_seen += event["id"] == sought
        done[:] = [s_count, s_seen]


def run(events: list, threads: int = 1) -> dict[str, list[int]]:
    done = [0, 0]
    adapter = csp.GenericPushAdapter(object, "events")

    @csp.graph
    def graph():
        look(adapter.out(), len(events) - 1, done)

    engine = csp.run_on_thread(graph, realtime=True)
    adapter.wait_for_start()
    from_threads(events, adapter.push_tick, threads)
    while done[0] < len(events):
        sleep(0.0005)
    engine.stop_engine()
    engine.join()
    return {"seen": [done[1]]}
