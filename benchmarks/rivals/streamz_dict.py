"""streamz: one event as a dict through filter and sink, p50 of emit -> handler."""

from time import perf_counter_ns

import streamz

from benchmarks.data import Data, single_events
from benchmarks.timing import Timed

NAME = "streamz filter and sink"
REQUIRES = ("streamz",)
DATA = "wide"


def setup(data: Data) -> list[dict]:
    return single_events(data)


def run(events: list[dict]) -> Timed:
    at: list[int] = []
    source = streamz.Stream()
    source.filter(lambda event: event["v0"] > -100.0).sink(lambda event: at.append(perf_counter_ns()))
    begun = []
    for event in events:
        begun.append(perf_counter_ns())
        source.emit(event)
    return Timed.latencies(begun, at)
