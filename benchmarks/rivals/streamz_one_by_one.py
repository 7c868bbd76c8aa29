"""streamz: single events through filter and sink, on the thread that emits."""

import streamz

from benchmarks.data import Data, single_events

NAME = "streamz filter and sink (no thread)"
REQUIRES = ("streamz",)
DATA = "wide"


def setup(data: Data) -> list[dict]:
    return single_events(data)


def run(events: list[dict]) -> dict[str, list[int]]:
    found: list[dict] = []
    sought = len(events) - 1
    source = streamz.Stream()
    source.filter(lambda event: event["id"] == sought).sink(found.append)
    for event in events:
        source.emit(event)
    return {"seen": [len(found)]}
