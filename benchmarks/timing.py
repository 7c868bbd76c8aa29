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
    def latencies(cls, begun_ns: Sequence[int], at_ns: Sequence[int]) -> Timed:
        """From push to handler, one pair of nanoseconds an event: the p50 counts, the p99 is told beside.

        Raises AssertionError when an event did not come out.
        """
        assert len(begun_ns) == len(at_ns), f"{len(begun_ns)} events pushed, {len(at_ns)} handled"
        p50, p99 = np.percentile(np.subtract(at_ns, begun_ns), [50, 99])
        return cls(p50 * 1e-9, {"handled": [len(at_ns)]}, {"p50_us": p50 / 1e3, "p99_us": p99 / 1e3})


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
