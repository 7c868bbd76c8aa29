"""What each of n workers would have to do, for more workers than there are processors: `python -m benchmarks.shares`.

Two ways of sharing a batch by partition are compared, with the same code, on one thread, one part after another:

    prepared once    each segment is prepared by one worker (1/n of the preparing each), then each takes its own rows
    each for itself  every worker prepares all rows (conditions, hashes) and takes its own

A worker's time is its share of the preparing and its taking; the slowest worker's counts, since a batch is done when
all are. Left out: waiting for each other at a batch, the merge of the matches, and the
memory's bandwidth, which is one for all.
"""

from __future__ import annotations

import sys

from benchmarks import data, subject
from tocsin.compile import build_operators
from tocsin_core.batch import Batch
from tocsin_core.crew import measure_shares

WORKERS = (2, 4, 8, 16, 32, 64)


def speedups(name: str, events: data.Data, clause: str, rows: int = 65_536) -> None:
    """Prints how many times one worker's rate n workers would reach."""
    batches = events.batches(rows)

    def parts(workers: int) -> tuple[float, float]:
        """Seconds of preparing, and of the slowest worker's taking; the best of three."""
        best = (float("inf"), float("inf"))
        for _ in range(3):
            operators, *_ = build_operators(clause, batches[0].schema, workers=workers)
            given = [Batch.from_arrow(batch, operators[0].input) for batch in batches]
            prepared, taken, _ = measure_shares(operators, given)
            best = min(best, (prepared / 1e9, max(taken) / 1e9), key=sum)
        return best

    one = min(_seconds(subject.push(events, clause, rows)) for _ in range(3))
    print(f"{name}: one worker {events.events / one / 1e6:.1f} M events/s")
    print("  workers   prepared once   each for itself")
    for workers in WORKERS:
        prepared, taken = parts(workers)
        once, each = one / (prepared / workers + taken), one / (prepared + taken)
        print(f"  {workers:7}   {once:13.2f}   {each:15.2f}")


def _seconds(run: object) -> float:
    from time import perf_counter

    begun = perf_counter()
    run()  # type: ignore[operator]
    return perf_counter() - begun


if __name__ == "__main__":
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 4_000_000
    speedups("A … B … C within 60 s", data.sequence(events), subject.sequence_clause())
    speedups("V-shape", data.vshape(events), subject.VSHAPE)
