"""The stress program runs, for a moment, with every number of workers; ci/sanitize thread runs it longer."""

from __future__ import annotations

import re
import sys
import threading

import pytest

import engine_stress
import tocsin as tc
from runtime_support import WORKERS


@pytest.mark.stress
@pytest.mark.parametrize("workers", WORKERS)
def test_an_engine_under_threads_adds_up(workers: int) -> None:
    assert engine_stress.main(["--workers", str(workers), "--seconds", "1"]) == 0


@pytest.mark.stress
def test_a_fault_is_raised_once_whoever_asks_for_it() -> None:
    with tc.Engine() as engine:
        told, wrong, threads = [], [], []
        started = threading.Barrier(5)

        def make() -> None:
            started.wait()
            for n in range(5000):
                engine._runtime.fault(tc.EvaluationError(str(n)))

        def ask() -> None:
            started.wait()
            try:
                while makers[0].is_alive() or makers[1].is_alive() or engine._runtime._faults:
                    try:
                        engine._runtime.raise_faults("here")
                    except tc.EvaluationError as fault:
                        told.append([str(fault), *fault.__notes__])
            except BaseException as other:
                wrong.append(other)

        makers = [threading.Thread(target=make) for _ in range(2)]
        threads = [*makers, *(threading.Thread(target=ask) for _ in range(3))]
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            sys.setswitchinterval(interval)
    assert wrong == []
    notes = [note for _, *some in told for note in some]
    more = [int(found[1]) for note in notes if (found := re.fullmatch(r"and (\d+) more", note))]
    assert len(told) + sum(note.startswith("also: ") for note in notes) + sum(more) == 10_000
