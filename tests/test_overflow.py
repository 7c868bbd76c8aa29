"""A full ring: waited for up to a time, or the oldest batches make way."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from runtime_support import NUMBERS, gated, keeping_last, numbers, passing
from tocsin.engine import Engine
from tocsin.errors import BackpressureError
from tocsin_core.batch import live_batches

TIMED = pa.schema([("n", pa.int64()), ("ts", pa.int64())])


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@contextmanager
def opening(gate: threading.Event) -> Iterator[None]:
    """Opens the gate in the end, before the engine around it waits for its handlers."""
    try:
        yield
    finally:
        gate.set()


def hold(engine: Engine, stream: Any, gate: threading.Event, first: Any) -> list[int]:
    """Holds the worker up at the batch `first` of `stream`; returns what will come out of the stream."""
    operator, found = gated(gate, stream.schema), []  # type: ignore[var-annotated]
    engine.trigger(f"of_{stream.name}", stream, operator).handler(
        lambda matches: found.extend(matches.column("n").to_pylist())
    )
    engine.flush()
    while engine._runtime.inbox.depth:  # what set the trigger has left the ring: there is room for the batch
        time.sleep(0.001)
    stream.push(first)
    while not operator.entered:
        time.sleep(0.001)
    return found


def large(first: int) -> pa.RecordBatch:
    """100 rows: a batch of its own."""
    return numbers(*range(first, first + 100))


# ---------------------------------------------------------------------- block


def test_a_push_gives_up_after_overflow_timeout_and_nothing_is_accepted(gate: threading.Event) -> None:
    with Engine(ring_slots=2, overflow_timeout=0.05, gather_rows=1) as engine, opening(gate):
        stream = engine.stream("s", NUMBERS)
        found = hold(engine, stream, gate, numbers(0))
        stream.push({"n": 1})
        for data in (numbers(2), {"n": 2}, [{"n": 2}], large(2)):
            with pytest.raises(
                BackpressureError, match=r"'s': the ring stayed full for 0.05 s \(overflow_timeout\)"
            ):
                stream.push(data)
        assert stream.sequence == 2
        gate.set()
        engine.flush()
        stream.push({"n": 2})
        engine.flush()
        assert found == [0, 1, 2]


def test_a_handler_s_push_gives_up_too(gate: threading.Event) -> None:
    failures: list[BaseException] = []
    with Engine(ring_slots=1, overflow_timeout=0.05) as engine, opening(gate):
        first, second = engine.stream("first", NUMBERS), engine.stream("second", NUMBERS)

        def push_on(matches: pa.RecordBatch) -> None:
            operator = gated(gate)
            engine.trigger("stuck", second, operator)
            second.push(numbers(1))
            while not operator.entered:
                time.sleep(0.001)
            try:
                second.push(large(2))
            except BackpressureError as failure:
                failures.append(failure)
            gate.set()

        engine.trigger("t", first, passing()).handler(push_on)
        first.push(numbers(0))
        engine.flush()
    assert "stayed full for" in str(failures[0])


@pytest.mark.parametrize("options", [{"overflow_timeout": -1}, {"overflow_timeout": 1, "overflow": "raise"}])
def test_a_timeout_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="overflow_timeout="):
        Engine(**options)


def test_other_options_are_checked() -> None:
    with pytest.raises(ValueError, match="wait='sleep'"):
        Engine(wait="sleep")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="gather_rows=0"):
        Engine(gather_rows=0)


# ---------------------------------------------------------------------- drop_oldest


def test_the_oldest_batches_make_way_and_are_counted(
    gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING, "tocsin"),
        Engine(ring_slots=4, overflow="drop_oldest") as engine,
        opening(gate),
    ):
        stream, other = engine.stream("s", NUMBERS), engine.stream("other", NUMBERS)
        found = hold(engine, stream, gate, numbers(0))
        other_found: list[int] = []
        engine.trigger("o", other, passing()).handler(
            lambda matches: other_found.extend(matches.column("n").to_pylist())
        )
        assert not caplog.records
        other.push(large(7))
        for i in range(10):
            stream.push(large(1 + 100 * i))
        # Four slots: the batch in hand, the trigger `o`, two batches.
        assert (other.dropped, other.dropped_batches) == (100, 1)
        assert (stream.dropped, stream.dropped_batches) == (800, 8)
        assert stream.sequence == 1001
        gate.set()
        engine.flush()
        assert found == [0, *range(801, 1001)]
        assert other_found == []
        other.push({"n": 5})
        stream.push({"n": 1001})
        engine.flush()
        assert other_found == [5]
        assert found[-1] == 1001
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "drop_oldest" in record.getMessage()


def test_single_events_share_the_batch_that_is_dropped(gate: threading.Event) -> None:
    with Engine(ring_slots=2, overflow="drop_oldest", gather_rows=10) as engine, opening(gate):
        stream = engine.stream("s", NUMBERS)
        found = hold(engine, stream, gate, numbers(0))
        for i in range(1, 36):
            stream.push({"n": i})
        assert (stream.dropped, stream.dropped_batches) == (30, 3)
        gate.set()
        engine.flush()
        assert found == [0, 31, 32, 33, 34, 35]


def test_what_has_no_room_at_all_is_dropped_itself(gate: threading.Event) -> None:
    with Engine(ring_slots=1, overflow="drop_oldest") as engine, opening(gate):
        stream = engine.stream("s", TIMED, time="ts")
        watcher = keeping_last(TIMED)
        engine.trigger("w", stream, watcher)
        found = hold(engine, stream, gate, {"n": 0, "ts": 1})
        stream.push({"n": 1, "ts": 5})  # the worker has begun the only slot
        assert stream.dropped == 1
        assert stream.watermark == 5
        gate.set()
        engine.flush()
        assert watcher.told == [1]
        engine.advance(3)  # less than the 5 that the triggers were never told
        engine.flush()
        assert found == [0]
        assert watcher.told == [1, 5]


def test_the_watermark_of_a_dropped_batch_stays(gate: threading.Event) -> None:
    with Engine(ring_slots=4, overflow="drop_oldest") as engine, opening(gate):
        held_up, timed = engine.stream("held_up", NUMBERS), engine.stream("timed", TIMED, time="ts")
        watcher = keeping_last(TIMED)
        engine.trigger("w", timed, watcher)
        found = hold(engine, held_up, gate, numbers(0))
        timed.push({"n": 1, "ts": 50})
        for i in range(6):
            held_up.push(large(1 + 100 * i))
        assert timed.dropped == 1
        gate.set()
        engine.flush()
        assert watcher.told == [50]
        assert found == [0, *range(401, 601)]


def test_a_stopped_handler_neither_blocks_pushes_nor_makes_memory_grow(gate: threading.Event) -> None:
    before = live_batches()
    with Engine(ring_slots=8, overflow="drop_oldest") as engine, opening(gate):
        stream = engine.stream("s", NUMBERS)
        engine.trigger("t", stream, passing()).handler(lambda matches: gate.wait(30))
        most = 0
        for i in range(3000):
            stream.push(large(i) if i % 3 else {"n": i})
            if i % 100 == 0:
                most = max(most, live_batches() - before)
        assert stream.dropped > 1000
        assert most < 8 + 2 * 8 + 300  # inbox, outbox, and what the dispatcher takes at once
        gate.set()


def test_with_a_store_dropped_events_are_in_it(tmp_path: Path, gate: threading.Event) -> None:
    with Engine(tmp_path / "s.store", ring_slots=2, overflow="drop_oldest") as engine, opening(gate):
        stream = engine.stream("s", NUMBERS)
        found = hold(engine, stream, gate, numbers(0))
        for i in range(1, 6):
            stream.push(numbers(i))
        assert stream.dropped == 4
        gate.set()
        engine.flush()
        assert found == [0, 5]
        assert engine.store is not None
        assert engine.store.scan("s").read_all().column("n").to_pylist() == [0, 1, 2, 3, 4, 5]


def test_lateness_and_tables_take_the_same_way(gate: threading.Event) -> None:
    with Engine(ring_slots=4, overflow="drop_oldest") as engine, opening(gate):
        stream = engine.stream("s", TIMED, time="ts", lateness=10)
        plain = engine.stream("plain", NUMBERS)
        found = hold(engine, plain, gate, numbers(0))
        for i in range(6):
            stream.push({"n": i, "ts": 20 * i})  # each but the last is released by the next
        plain.push(pa.table({"n": pa.chunked_array([[1] * 100, [2] * 100, [3] * 100], pa.int64())}))
        # Three slots behind the batch in hand: two of the stream's five go for others of it, two for those of `plain`,
        # and the last together with the first of `plain`, since its watermark keeps its place.
        assert stream.dropped == 5
        assert plain.dropped == 100
        gate.set()
        engine.flush()
        assert found == [0, *[2] * 100, *[3] * 100]


def test_inline_nothing_waits_and_nothing_is_dropped() -> None:
    with Engine(workers=0, ring_slots=1, overflow="drop_oldest") as engine:
        stream = engine.stream("s", NUMBERS)
        found: list[int] = []
        engine.trigger("t", stream, passing()).handler(
            lambda matches: found.extend(matches.column("n").to_pylist())
        )
        for i in range(5):
            stream.push({"n": i})
        assert found == list(range(5))
        assert stream.dropped == 0
