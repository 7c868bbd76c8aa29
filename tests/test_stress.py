"""The stress program runs, for a moment, with every number of workers; ci/sanitize thread runs it longer."""

from __future__ import annotations

import re
import sys
import threading
import time
from typing import Any

import pyarrow as pa
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


@pytest.mark.stress
@pytest.mark.parametrize("as_list", [False, True])
def test_a_dict_that_is_changed_while_it_is_pushed_gives_old_values_or_new_ones(as_list: bool) -> None:
    """Without the GIL a value may be taken out of the dict, and its memory used again, while a push reads it."""
    schema = pa.schema([("k", pa.string()), ("x", pa.float64()), ("n", pa.int64())])
    event: dict[str, Any] = {"k": "a" * 100, "x": 0.5, "n": 2**40}
    odd: list[dict[str, Any]] = []
    wrong: list[BaseException] = []

    def look(matches: pa.RecordBatch) -> None:
        for row in matches.to_pylist():
            text = row["k"] == row["k"][:1] * len(row["k"]) and len(row["k"]) in (100, 3000)
            if not (text and row["x"] % 1 == 0.5 and 2**40 <= row["n"] < 2**41):
                odd.append(row)

    with tc.Engine() as engine:
        stream = engine.stream("s", schema)
        engine.trigger("all", stream, tc.col("n") > 0).handler(look)
        until = time.monotonic() + 1.5

        def change() -> None:
            n = 0
            while time.monotonic() < until:
                n += 1
                event["k"] = chr(97 + n % 26) * (100 if n % 2 else 3000)
                event["x"] = n + 0.5
                event["n"] = 2**40 + n

        def push() -> None:
            try:
                while time.monotonic() < until:
                    stream.push([event, event] if as_list else event)
            except BaseException as failure:
                wrong.append(failure)

        threads = [threading.Thread(target=work) for work in (change, push, push)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert odd == []


@pytest.mark.stress
def test_pushes_of_other_threads_may_fail_while_the_main_one_claims() -> None:
    with tc.Engine() as engine:
        stream = engine.stream("s", pa.schema([("n", pa.int64())]))
        table = pa.table({"n": pa.array(range(50))})
        until = time.monotonic() + 1.0
        wrong: list[BaseException] = []

        def fail() -> None:
            try:
                while time.monotonic() < until:
                    with pytest.raises(tc.SchemaError):
                        stream.push({"m": 1})
            except BaseException as failure:
                wrong.append(failure)

        threads = [threading.Thread(target=fail) for _ in range(2)]
        for thread in threads:
            thread.start()
        pushed = 0
        while time.monotonic() < until:
            stream.push(table)
            pushed += 1
        for thread in threads:
            thread.join()
        assert wrong == []
        assert stream.sequence == 50 * pushed
