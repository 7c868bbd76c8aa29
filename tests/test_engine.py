"""The engine: order, chains, faults, back-pressure, threads, and every way to end."""

from __future__ import annotations

import datetime as dt
import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from runtime_support import NUMBERS, keeping_last, numbers, passing
from tocsin.engine import Engine
from tocsin.errors import (
    BackpressureError,
    ClosedError,
    EvaluationError,
    OrderError,
    SchemaError,
    TocsinError,
)
from tocsin_core.batch import live_batches

TIMED = pa.schema([("n", pa.int64()), ("ts", pa.timestamp("s"))])
WORKERS = pytest.mark.parametrize("workers", [0, 1, 3])


def events(*times: int) -> pa.RecordBatch:
    return pa.record_batch({"n": pa.array(times, pa.int64()), "ts": pa.array(times, pa.timestamp("s"))})


def collect(trigger: Any) -> list[int]:
    found: list[int] = []
    trigger.handler(lambda matches: found.extend(matches.column("n").to_pylist()))
    return found


# ---------------------------------------------------------------------- what goes in comes out


@WORKERS
def test_every_kind_of_data_reaches_the_handler_in_order(workers: int) -> None:
    with Engine(workers=workers) as engine:
        stream = engine.stream("s", NUMBERS)
        found = collect(engine.trigger("t", stream, passing()))
        stream.push(numbers(1, 2))
        stream.push({"n": 3})
        stream.push([{"n": 4}, {"n": 5}])
        stream.push({"n": np.array([6])})
        stream.push({"n": [7]})
        stream.push(pa.table({"n": pa.chunked_array([[8], [], [9, 10]], pa.int64())}))
        stream.push(pa.RecordBatchReader.from_batches(NUMBERS, iter([numbers(11), numbers(12)])))
        stream.push(numbers())
        stream.push([])
        engine.flush()
        assert found == list(range(1, 13))
        assert stream.sequence == 12


@WORKERS
def test_a_trigger_is_a_stream_for_other_triggers(workers: int) -> None:
    with Engine(workers=workers, gather_rows=1) as engine:
        stream = engine.stream("s", NUMBERS)
        even = engine.trigger("even", "s", passing(even_only=True))
        upon = engine.trigger("upon", even, passing())
        first, second = collect(even), collect(upon)
        last = collect(engine.trigger("last", "upon", keeping_last()))
        for batch in (numbers(1, 2), numbers(3), numbers(4, 5)):
            stream.push(batch)
        engine.flush()
        assert first == second == [1, 2, 4, 5]
        assert last == []
        engine.close()
        assert last == [4, 5]  # what only the end of input settles


@WORKERS
def test_a_trigger_sees_what_is_pushed_after_it_was_set_and_before_it_was_removed(workers: int) -> None:
    with Engine(workers=workers) as engine:
        stream = engine.stream("s", NUMBERS)
        stream.push(numbers(1))
        found = collect(engine.trigger("t", stream, passing()))
        stream.push(numbers(2))
        engine.remove("t")
        stream.push(numbers(3))
        again = collect(engine.trigger("t", stream, passing()))
        stream.push(numbers(4))
        engine.flush()
        assert (found, again) == ([2], [4])
        assert list(engine.triggers) == ["t"]


def test_a_source_of_another_trigger_is_not_removed() -> None:
    with Engine(workers=0) as engine:
        engine.stream("s", NUMBERS)
        engine.trigger("a", "s", passing())
        engine.trigger("b", "a", passing())
        with pytest.raises(TocsinError, match="'a' is the source of 'b'"):
            engine.remove("a")


@WORKERS
def test_no_batch_is_left_when_the_engine_is_closed(workers: int) -> None:
    gc.collect()
    before = live_batches()
    with Engine(workers=workers) as engine:
        stream = engine.stream("s", NUMBERS)
        engine.trigger("k", engine.trigger("t", stream, passing()), keeping_last())
        for i in range(50):
            stream.push(numbers(i, i))
    del engine, stream
    gc.collect()
    assert live_batches() == before


# ---------------------------------------------------------------------- bad input changes nothing


@WORKERS
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pa.record_batch({"m": pa.array([1])}), "column 'n' missing; column 'm' not expected"),
        (pa.record_batch({"n": pa.array([1.5])}), "column 'n' has Arrow type 'g', expected 'l'"),
        (pa.table({"n": pa.array(["a"])}), "column 'n' has Arrow type 'u', expected 'l'"),
        ({"n": "a"}, "column 'n', row 0: 'a' is str, expected an integer"),
        ({"m": 1}, "no column 'n'"),
        ({"n": 1, "nn": 2}, "column 'nn' that the stream has not; did you mean 'n'"),
        ({"n": [1], "nn": [2]}, "no column 'nn'; did you mean 'n'"),
        ({"n": ["a"]}, "column 'n' has type list, expected int64"),
        ({"n": np.zeros((2, 2))}, "column 'n' is an array of 2 dimensions"),
        ([{"n": 1}, {"n": 2**63}], "row 1: 9223372036854775808 is outside"),
        ([1], "row 0 is int, not a dict"),
        (17, "cannot take int"),
    ],
)
def test_data_that_does_not_fit_is_refused_whole(workers: int, data: Any, message: str) -> None:
    with Engine(workers=workers) as engine:
        stream = engine.stream("s", NUMBERS)
        found = collect(engine.trigger("t", stream, passing()))
        with pytest.raises(SchemaError, match=message.replace("(", r"\(")):
            stream.push(data)
        assert stream.sequence == 0
        stream.push({"n": 5})
        engine.flush()
        assert found == [5]


def test_names_are_checked() -> None:
    with Engine(workers=0) as engine:
        engine.stream("trades", NUMBERS)
        for taken in ("trades",):
            with pytest.raises(TocsinError, match="there is a stream 'trades' already"):
                engine.stream(taken, NUMBERS)
            with pytest.raises(TocsinError, match="there is a stream 'trades' already"):
                engine.trigger(taken, taken, passing())
        with pytest.raises(TocsinError, match="no stream or trigger 'trads'; did you mean 'trades'"):
            engine.trigger("t", "trads", passing())
        with pytest.raises(TocsinError, match="no trigger 't'; there is none yet"):
            engine.on("t")
        with pytest.raises(TocsinError, match="must not have '/'"):
            engine.stream("a/b", NUMBERS)
        with pytest.raises(SchemaError, match="no column 'tss'"):
            engine.stream("x", NUMBERS, time="tss")
        with pytest.raises(SchemaError, match="neither a date"):
            engine.stream("x", pa.schema([("f", pa.float64())]), time="f")
        operator = passing()
        engine.trigger("t", "trades", operator)
        with pytest.raises(TocsinError, match="belongs to another trigger"):
            engine.trigger("u", "trades", operator)


def test_options_are_checked() -> None:
    for wrong in (-1, 65, 1.0, "all"):
        with pytest.raises(ValueError, match=f"workers={wrong!r}: give a number of threads from 1 to 64"):
            Engine(workers=wrong)  # type: ignore[arg-type]
    with Engine(workers="auto") as engine:
        assert 1 <= engine._runtime.workers <= 64
    with pytest.raises(ValueError, match=r"overflow='drop'.*\"drop_oldest\""):
        Engine(overflow="drop")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ring_slots=0"):
        Engine(ring_slots=0)


# ---------------------------------------------------------------------- faults of triggers


def test_inline_push_raises_the_fault_after_the_batch_was_accepted() -> None:
    with Engine(workers=0) as engine:
        stream = engine.stream("s", NUMBERS)
        found = collect(engine.trigger("t", stream, passing()))
        other = collect(engine.trigger("o", stream, keeping_last()))
        stream.push(numbers(1, 2))
        with pytest.raises(
            EvaluationError, match="trigger 't', stream 's', event 3: integer division by zero"
        ):
            stream.push(numbers(3, -1))
        stream.push(numbers(5))
        assert found == [1, 2, 5]
        (letter,) = engine.dead_letters("t")
        assert (letter.kind, letter.first_sequence, letter.last_sequence) == ("fault", 2, 3)
        assert letter.rows is not None
        assert letter.rows.equals(numbers(3, -1))
    assert other == [5]


def test_a_worker_s_fault_is_raised_by_the_next_flush_or_push_once() -> None:
    with Engine(workers=1) as engine:
        stream = engine.stream("s", NUMBERS)
        found = collect(engine.trigger("t", stream, passing()))
        stream.push(numbers(-1))
        with pytest.raises(EvaluationError, match="event 0"):
            engine.flush()
        stream.push(numbers(1))
        engine.flush()
        stream.push(numbers(-1))
        while not engine.dead_letters("t")[1:]:
            time.sleep(0.001)
        with pytest.raises(EvaluationError) as caught:
            stream.push(numbers(2))
        assert "nothing of this push was accepted" in str(caught.value.__notes__)
        stream.push(numbers(3))
        engine.flush()
        assert found == [1, 3]


def test_a_refused_batch_keeps_the_layout_it_came_in() -> None:
    schema = pa.schema([("n", pa.int64()), ("k", pa.string())])
    coded = pa.record_batch({"n": pa.array([-1]), "k": pa.array(["x"]).dictionary_encode()})
    with Engine(workers=0) as engine:
        stream = engine.stream("s", schema)
        engine.trigger("t", stream, passing(schema))
        with pytest.raises(EvaluationError):
            stream.push(coded)
        rows = engine.dead_letters("t")[0].rows
        assert rows is not None
        assert rows.schema.field("k").type == coded.schema.field("k").type
        assert rows.to_pylist() == [{"n": -1, "k": "x"}]


# ---------------------------------------------------------------------- back-pressure


def test_a_full_ring_is_refused_with_overflow_raise_and_nothing_is_accepted() -> None:
    gate = threading.Event()
    with Engine(workers=1, ring_slots=2, overflow="raise", gather_rows=1) as engine:
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, passing())
        found: list[int] = []

        @trigger.handler
        def slow(matches: pa.RecordBatch) -> None:
            gate.wait(20)
            found.extend(matches.column("n").to_pylist())

        accepted = 0

        def push_until_refused() -> None:
            nonlocal accepted
            for accepted in range(1000):
                stream.push(numbers(accepted))
                time.sleep(0.0005)

        with pytest.raises(BackpressureError, match="ring is full"):
            push_until_refused()
        assert stream.sequence == accepted
        with pytest.raises(BackpressureError, match="3 batches at once do not fit a ring of 2"):
            stream.push(pa.table({"n": pa.chunked_array([[1], [2], [3]], pa.int64())}))
        gate.set()
        engine.flush()
        assert found == list(range(accepted))


def test_a_full_ring_is_waited_for_by_default() -> None:
    with Engine(workers=1, ring_slots=1, gather_rows=1) as engine:
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, passing())
        found = collect(trigger)
        trigger.handler(lambda matches: time.sleep(0.0002))
        for i in range(200):
            stream.push(numbers(i))
        engine.flush()
        assert found == list(range(200))


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_ends_a_blocked_push() -> None:
    import signal

    gate = threading.Event()
    engine = Engine(workers=1, ring_slots=1, gather_rows=1)
    stream = engine.stream("s", NUMBERS)
    engine.trigger("t", stream, passing()).handler(lambda matches: gate.wait(20))
    threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()

    def push_for_ever() -> None:
        while True:
            stream.push(numbers(1))

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            push_for_ever()
    finally:
        signal.signal(signal.SIGINT, before)
    gate.set()
    engine.close()


# ---------------------------------------------------------------------- threads


@WORKERS
def test_many_threads_push_and_nothing_is_lost(workers: int) -> None:
    with Engine(workers=workers, ring_slots=8) as engine:
        stream, other = engine.stream("s", NUMBERS), engine.stream("o", NUMBERS)
        found, also = (
            collect(engine.trigger("t", stream, passing())),
            collect(engine.trigger("u", other, passing())),
        )

        def push(base: int) -> None:
            for i in range(100):
                stream.push(numbers(base + i))
                other.push({"n": base + i})

        threads = [threading.Thread(target=push, args=(1000 * k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        engine.flush()
        expected = sorted(1000 * k + i for k in range(4) for i in range(100))
        assert sorted(found) == sorted(also) == expected
        for k in range(4):  # each thread's own events in its order
            mine = [n for n in found if n // 1000 == k]
            assert mine == sorted(mine)


@WORKERS
def test_a_handler_may_push_even_through_a_ring_of_one_slot(workers: int) -> None:
    with Engine(workers=workers, ring_slots=1) as engine:
        first, second = engine.stream("a", NUMBERS), engine.stream("b", NUMBERS)
        trigger = engine.trigger("t", first, passing())
        found = collect(engine.trigger("u", second, passing()))

        @trigger.handler
        def forward(matches: pa.RecordBatch) -> None:
            for n in matches.column("n").to_pylist():
                second.push({"n": n})
                second.push({"n": -n - 2})

        threads = [
            threading.Thread(target=lambda k=k: [first.push(numbers(k, k)) for _ in range(30)])
            for k in (5, 6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        engine.flush(timeout=30)
        assert len(found) == 2 * 30 * 2 * 2


@WORKERS
def test_a_handler_may_close_the_engine(workers: int) -> None:
    engine = Engine(workers=workers)
    stream = engine.stream("s", NUMBERS)
    trigger = engine.trigger("t", stream, passing())
    last = collect(engine.trigger("k", stream, keeping_last()))

    @trigger.handler
    def stop(matches: pa.RecordBatch) -> None:
        engine.close()
        with pytest.raises(ClosedError):
            stream.push(numbers(9))

    stream.push(numbers(1))
    engine.close(timeout=20)
    assert engine.closed
    assert last == [1]
    assert engine.dead_letters("t") == []


@WORKERS
def test_flush_in_a_handler_is_refused(workers: int) -> None:
    with Engine(workers=workers, retries=0) as engine:
        stream = engine.stream("s", NUMBERS)
        engine.trigger("t", stream, passing()).handler(lambda matches: engine.flush())
        stream.push(numbers(1))
        engine.flush()
        assert "would wait for that handler" in engine.dead_letters("t")[0].error


def test_flush_and_close_end_in_time() -> None:
    gate = threading.Event()
    engine = Engine(workers=1)
    stream = engine.stream("s", NUMBERS)
    engine.trigger("t", stream, passing()).handler(lambda matches: gate.wait(20))
    stream.push(numbers(1))
    with pytest.raises(TimeoutError, match="handler is slow"):
        engine.flush(timeout=0.05)
    with pytest.raises(TocsinError):
        engine.close(timeout=0.05)
    gate.set()
    engine.close(timeout=20)


# ---------------------------------------------------------------------- the end


@WORKERS
def test_closing_twice_is_harmless_and_a_closed_engine_refuses(workers: int) -> None:
    engine = Engine(workers=workers)
    stream = engine.stream("s", NUMBERS, time=None)
    engine.trigger("t", stream, passing())
    engine.close()
    engine.close()
    for use in (lambda: stream.push(numbers(1)), engine.flush, lambda: engine.stream("x", NUMBERS),
                lambda: engine.trigger("x", stream, passing()), lambda: engine.remove("t"),
                lambda: engine.advance(1)):  # fmt: skip
        with pytest.raises(ClosedError, match="the engine is closed"):
            use()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("data", [{"n": 1}, numbers(1)], ids=["event", "batch"])
def test_what_comes_behind_the_end_of_input_is_refused(workers: int, data: Any) -> None:
    engine = Engine(workers=workers)
    stream = engine.stream("s", NUMBERS)
    found = collect(engine.trigger("t", stream, passing()))
    stream.push(numbers(0))
    came, ends = threading.Event(), threading.Event()
    outcome: list[str] = []
    take, shard = stream._ways[type(data)], engine._runtime.shard

    def take_later(data: Any) -> int:  # the push saw the engine open, and now loses its processor
        came.set()
        assert ends.wait(20)
        return take(data)

    def push() -> None:
        try:
            stream.push(data)
            outcome.append("accepted")
        except ClosedError:
            outcome.append("refused")

    class AtTheEnd:
        def __getattr__(self, name: str) -> Any:
            return getattr(shard, name)

        def post(self, *arguments: Any) -> None:
            shard.post(*arguments)
            ends.set()
            thread.join(20)

    thread = threading.Thread(target=push)
    stream._ways[type(data)] = take_later
    thread.start()
    assert came.wait(20)
    engine._runtime.shard = AtTheEnd()  # type: ignore[assignment]
    engine.close()
    assert outcome == ["refused"]
    assert found == [0]


@WORKERS
def test_an_exception_in_the_block_closes_and_is_not_masked(workers: int) -> None:
    found: list[int] = []
    with pytest.raises(ZeroDivisionError), Engine(workers=workers) as engine:  # noqa: PT012
        stream = engine.stream("s", NUMBERS)
        found = collect(engine.trigger("t", stream, passing()))
        stream.push(numbers(1))
        raise ZeroDivisionError
    assert engine.closed
    assert found == [1]


@WORKERS
def test_an_engine_that_nobody_holds_ends_its_threads(workers: int) -> None:
    before = threading.active_count()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        engine = Engine(workers=workers)
        stream = engine.stream("s", NUMBERS)
        found = collect(engine.trigger("t", stream, passing()))
        stream.push(numbers(1))
        del engine, stream
        gc.collect()
    for _ in range(1000):
        if threading.active_count() == before:
            break
        time.sleep(0.005)
    assert threading.active_count() == before
    assert found == [1]


def run(program: str) -> subprocess.CompletedProcess[str]:
    head = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    head += "from runtime_support import *\nfrom tocsin.engine import Engine\n"
    return subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(program)], capture_output=True, text=True, timeout=60
    )


def test_the_interpreter_ends_with_a_live_engine() -> None:
    ended = run("""
        engine = Engine(workers=1)
        stream = engine.stream("s", NUMBERS)
        engine.trigger("t", stream, passing()).handler(lambda matches: print("handled", flush=True))
        stream.push(numbers(1))
    """)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "handled\n"
    assert "was not closed" in ended.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
@WORKERS
def test_a_forked_child_cannot_use_the_engine_and_ends(workers: int) -> None:
    ended = run(f"""
        import os, warnings
        warnings.simplefilter("ignore")
        engine = Engine(workers={workers})
        stream = engine.stream("s", NUMBERS)
        found = []
        engine.trigger("t", stream, passing()).handler(found.append)
        child = os.fork()
        if child == 0:
            try:
                stream.push(numbers(1))
            except RuntimeError as refused:
                assert "before a fork" in str(refused), refused
            engine.close()
            del engine, stream
            sys.exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        stream.push(numbers(1))
        engine.close()
        assert len(found) == 1
    """)
    assert ended.returncode == 0, ended.stderr


# ---------------------------------------------------------------------- event time


@WORKERS
def test_late_events_reach_no_trigger_are_counted_and_kept(workers: int) -> None:
    with Engine(workers=workers) as engine:
        stream = engine.stream("s", TIMED, time="ts")
        found = collect(engine.trigger("t", stream, passing(TIMED)))
        stream.push(events(1, 3, 2, 3, 5))
        stream.push(events(4))
        stream.push(events(5, 6))
        engine.flush()
        assert found == [1, 3, 3, 5, 5, 6]
        assert stream.late().column("n").to_pylist() == [2, 4]
        assert stream.late().num_rows == 0
        assert stream.late_count == 2


@pytest.mark.parametrize("size", [1, 2, 3, 50])
def test_events_within_the_lateness_are_put_in_order_however_they_are_cut(size: int) -> None:
    times = [5, 3, 8, 4, 6, 6, 1, 12, 9, 10, 13, 30, 2]
    with Engine(workers=0) as engine:
        stream = engine.stream("s", TIMED, time="ts", lateness="4s")
        found = collect(engine.trigger("t", stream, passing(TIMED)))
        for i in range(0, len(times), size):
            stream.push(events(*times[i : i + size]))
        late = stream.late().column("n").to_pylist()
        assert late == [1, 2]
        assert found == [3, 4, 5, 6, 6, 8, 9, 10, 12, 13]
        assert stream.waiting == 1
    assert found[-1] == 30


def test_advance_moves_the_watermark_of_timed_triggers() -> None:
    with Engine(workers=0) as engine:
        stream = engine.stream("s", TIMED, time="ts")
        operator = keeping_last(TIMED)
        engine.trigger("k", stream, operator)
        stream.push(events(10))
        engine.advance(dt.datetime(1970, 1, 1, 0, 1))
        engine.advance(np.datetime64("1970-01-01T00:00:20"))
        engine.advance(70)
        assert operator.told == [10, 60, 70]
        assert stream.watermark == 70
        stream.push(events(69))
        assert stream.late_count == 1


def test_an_event_without_a_time_is_refused() -> None:
    with Engine(workers=0) as engine:
        stream = engine.stream("s", TIMED, time="ts")
        with pytest.raises(OrderError, match="column 'ts' is null in row 1"):
            stream.push([{"n": 1, "ts": 1}, {"n": 2, "ts": None}])
        assert stream.sequence == 0
        assert stream.watermark is None


def test_lateness_is_checked() -> None:
    with Engine(workers=0) as engine:
        with pytest.raises(SchemaError, match="whole in the unit"):
            engine.stream("s", TIMED, time="ts", lateness="1500ms")
        with pytest.raises(SchemaError, match="is not a duration"):
            engine.stream("s", TIMED, time="ts", lateness="soon")
        with pytest.raises(SchemaError, match="a whole number in its unit"):
            engine.stream("s", TIMED, time="n", lateness="2s")
        with pytest.raises(SchemaError, match="needs a time column"):
            engine.stream("s", TIMED, lateness="2s")


# ---------------------------------------------------------------------- with a store


@WORKERS
def test_events_and_matches_are_in_the_store_and_sequences_go_on(workers: int, tmp_path: Path) -> None:
    for round_ in range(2):
        with Engine(tmp_path / "x.store", workers=workers) as engine:
            stream = engine.stream("s", TIMED, time="ts")
            engine.trigger("t", stream, passing(TIMED, even_only=True))
            now = 10 * round_  # the watermark goes on, too
            stream.push(events(now + 1, now + 2))
            stream.push({"n": now + 3, "ts": now + 3})
            stream.push(events(now + 2))  # late, and stored
            assert engine.store is not None
            assert stream.sequence == 4 * round_ + 3
            engine.flush()
            stored = engine.store.scan("s").read_all().column("n").to_pylist()
            assert stored == [1, 2, 3, 2, 11, 12, 13, 12][: 4 * (round_ + 1)]
            matched = engine.store.matches.scan("t").read_all().column("n").to_pylist()
            assert matched == [1, 2, 11, 12][: 2 * (round_ + 1)]


def test_an_event_is_in_the_store_before_a_trigger_sees_it_and_a_match_before_a_handler(
    tmp_path: Path,
) -> None:
    with Engine(tmp_path / "x.store", workers=0) as engine:
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, passing())
        seen: list[tuple[int, int]] = []

        @trigger.handler
        def look(matches: pa.RecordBatch) -> None:
            assert engine.store is not None
            events_there = engine.store.scan("s").read_all().num_rows
            seen.append((events_there, engine.store.matches.scan("t").read_all().num_rows))

        stream.push(numbers(1))
        stream.push(pa.record_batch({"n": pa.array([2, 3], pa.int64())}))
        assert seen == [(1, 1), (3, 3)]


def test_a_store_that_refuses_leaves_nothing_in_the_ring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Engine(tmp_path / "x.store", workers=0) as engine:
        stream = engine.stream("s", NUMBERS)
        found = collect(engine.trigger("t", stream, passing()))

        class Full:
            def append(self, data: Any) -> int:
                raise OSError("disk full")

        with monkeypatch.context() as patch:
            patch.setattr(stream, "_log", Full())
            with pytest.raises(OSError, match="disk full"):
                stream.push(numbers(1))
        stream.push(numbers(2))
        assert found == [2]


def test_dead_letters_outlive_the_engine(tmp_path: Path) -> None:
    def fail(matches: pa.RecordBatch) -> None:
        raise ValueError("no")

    with Engine(tmp_path / "x.store", workers=1, retries=0) as engine:
        stream = engine.stream("s", NUMBERS)
        engine.trigger("t", stream, passing()).handler(fail)
        stream.push(numbers(4, 5))
    with Engine(tmp_path / "x.store", workers=0) as engine:
        (letter,) = engine.dead_letters("t")
        assert (letter.kind, letter.error) == ("handler", "ValueError: no")
        assert letter.rows is not None
        assert letter.rows.equals(numbers(4, 5))
