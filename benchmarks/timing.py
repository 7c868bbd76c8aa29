"""How one run is timed and its answer summed, in the benchmarks' process and in a rival's alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.checksum import checksum


@dataclass
class Timed:
    """What a run returns that measures itself: its seconds, its answer (or a call that makes it, untimed)."""

    seconds: float
    answer: Any
    detail: dict[str, float] = field(default_factory=dict)

    @classmethod
    def latencies(cls, begun_ns: Sequence[int], at_ns: Sequence[int], percentile: float = 50) -> Timed:
        """From push to handler, one pair of nanoseconds an event: `percentile` counts, three are told beside.

        Raises AssertionError when an event did not come out.
        """
        assert len(begun_ns) == len(at_ns), f"{len(begun_ns)} events pushed, {len(at_ns)} handled"
        taken = np.subtract(at_ns, begun_ns) / 1e3
        told = {f"p{p:g}_us": float(np.percentile(taken, p)) for p in (50, 99, 99.9)}
        return cls(float(np.percentile(taken, percentile)) * 1e-6, {"handled": [len(at_ns)]}, told)


def measured(run: Callable[[], Any]) -> Timed:
    """One run of `run`, timed here unless it times itself."""
    gc.collect()
    begin = time.perf_counter()
    answer = run()
    seconds = time.perf_counter() - begin
    return answer if isinstance(answer, Timed) else Timed(seconds, answer)


def summed(timed: Timed, columns: Sequence[str]) -> tuple[int, int]:
    """(matches, hash) of a run's answer; a rival's process has summed it already."""
    answer = timed.answer() if callable(timed.answer) else timed.answer
    return answer if isinstance(answer, tuple) else checksum(answer, columns)
