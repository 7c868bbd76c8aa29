"""Small pushes share a batch while the worker is busy, go at once when it is idle, and stay pushes of their own."""

from __future__ import annotations

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
from tocsin.errors import EvaluationError, OrderError, SchemaError

TIMED = pa.schema([("n", pa.int64()), ("ts", pa.int64())])
MIXED = pa.schema(
    [
        ("n", pa.int64()),
        ("text", pa.string()),
        ("part", pa.float32()),
        ("flag", pa.bool_()),
        ("raw", pa.binary()),
    ]
)


class Held:
    """An engine whose worker is held up by the first event, which is in `batches` in the end as every other."""

    def __init__(self, engine: Engine, schema: pa.Schema, **stream: Any) -> None:
        self.engine = engine
        self.gate = threading.Event()
        self.operator = gated(self.gate, schema)
        self.stream = engine.stream("s", schema, **stream)
        self.batches: list[pa.RecordBatch] = []
        engine.trigger("held", self.stream, self.operator).handler(self.batches.append)
        first = dict.fromkeys(schema.names) | {"n": -100} | ({"ts": 0} if stream else {})
        self.stream.push(first)
        while not self.operator.entered:
            time.sleep(0.001)

    def let_go(self) -> list[int]:
        """Opens the gate; the sizes of the batches behind the first."""
        self.gate.set()
        self.engine.flush()
        assert self.batches[0].column("n").to_pylist() == [-100]
        return [batch.num_rows for batch in self.batches[1:]]

    def values(self) -> list[int]:
        return [n for batch in self.batches[1:] for n in batch.column("n").to_pylist()]


@contextmanager
def held(
    schema: pa.Schema = NUMBERS, *, path: Path | None = None, engine: Any = None, **stream: Any
) -> Iterator[Held]:
    with Engine(path, **(engine or {})) as made:
        one = Held(made, schema, **stream)
        try:
            yield one
        finally:
            one.gate.set()


def test_pushes_to_a_busy_worker_are_one_batch() -> None:
    with held() as one:
        for i in range(100):
            one.stream.push({"n": i})
        assert one.stream.sequence == 101
        assert one.let_go() == [100]
        assert one.values() == list(range(100))


def test_pushes_to_an_idle_worker_go_at_once() -> None:
    with Engine() as engine:
        stream = engine.stream("s", NUMBERS)
        sizes: list[int] = []
        engine.trigger("t", stream, passing()).handler(lambda matches: sizes.append(matches.num_rows))
        for i in range(20):
            stream.push({"n": i})
            engine.flush()
        assert sizes == [1] * 20


@pytest.mark.parametrize(("rows", "expected"), [(16, [16, 16, 8]), (1, [1] * 40), (2, [2] * 20)])
def test_gather_rows_bounds_a_batch(rows: int, expected: list[int]) -> None:
    with held(engine={"gather_rows": rows}) as one:
        for i in range(40):
            one.stream.push({"n": i})
        assert one.let_go() == expected
        assert one.values() == list(range(40))


def test_lists_and_tiny_batches_join_too_and_a_larger_one_keeps_its_place() -> None:
    with held() as one:
        one.stream.push({"n": 0})
        one.stream.push([{"n": 1}, {"n": 2}])
        one.stream.push(numbers(3))
        one.stream.push(numbers(*range(4, 104)))
        one.stream.push({"n": 104})
        one.stream.push(numbers(105, 106))
        one.stream.push(pa.table({"n": [107, 108]}))
        one.stream.push([{"n": n} for n in range(109, 209)])
        assert one.let_go() == [4, 100, 5, 100]
        assert one.values() == list(range(209))


def test_a_bad_event_is_refused_alone_and_leaves_no_trace() -> None:
    with held(MIXED) as one:
        good = {"n": 1, "text": "é", "part": 0.5, "flag": True, "raw": b"\0"}
        one.stream.push(good)
        for bad, word in [
            ({"n": 2}, "no column 'text'"),
            (good | {"n": "two"}, "column 'n', row 0"),
            (good | {"raw": 3}, "column 'raw', row 0"),
            (good | {"more": 1}, "'more'"),
        ]:
            with pytest.raises(SchemaError, match=word):
                one.stream.push(bad)
            with pytest.raises(SchemaError):
                one.stream.push([good, bad])
        none = dict.fromkeys(MIXED.names)
        one.stream.push([none, good | {"text": ""}])
        one.stream.push(good | {"n": 4, "text": "x" * 100_000})
        assert one.stream.sequence == 5
        assert one.let_go() == [4]
        assert one.batches[1].to_pylist() == [
            good,
            none,
            good | {"text": ""},
            good | {"n": 4, "text": "x" * 100_000},
        ]


def test_layouts_of_text_meet_in_one_batch() -> None:
    schema = pa.schema([("n", pa.int64()), ("k", pa.string())])
    layouts = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
    with held(schema) as one:
        one.stream.push({"n": 0, "k": "0"})
        for n, layout in enumerate(layouts, 1):
            keys = pa.array([str(n), None], pa.string())
            coded = (
                keys.dictionary_encode().cast(layout) if pa.types.is_dictionary(layout) else keys.cast(layout)
            )
            one.stream.push(pa.record_batch({"n": pa.array([n, n]), "k": coded}))
        assert one.let_go() == [9]
        assert one.batches[1].schema == schema
        assert one.batches[1].column("k").to_pylist() == ["0", "1", None, "2", None, "3", None, "4", None]


def test_a_trigger_sees_what_is_pushed_after_it_was_set_and_only_that() -> None:
    with held() as one:
        one.stream.push({"n": 1})
        found: list[int] = []
        later = one.engine.trigger("later", one.stream, passing())
        later.handler(lambda matches: found.extend(matches.column("n").to_pylist()))
        one.stream.push({"n": 2})
        one.stream.push({"n": 3})
        one.engine.remove("later")
        one.stream.push({"n": 4})
        assert one.let_go() == [1, 2, 1]
        assert found == [2, 3]


def test_the_watermark_goes_with_the_last_event_and_advance_keeps_its_place() -> None:
    with held(TIMED, time="ts") as one:
        watcher = keeping_last(TIMED)
        one.engine.trigger("watch", one.stream, watcher)
        one.stream.push({"n": 1, "ts": 10})
        one.stream.push({"n": 2, "ts": 20})
        one.engine.advance(25)
        one.stream.push({"n": 3, "ts": 30})
        with pytest.raises(OrderError, match="null in row 0"):
            one.stream.push({"n": 4, "ts": None})
        one.stream.push({"n": 4, "ts": 29})  # late: 30 was seen
        one.stream.push({"n": 5, "ts": 31})
        assert one.stream.late_count == 1
        assert one.let_go() == [2, 2]
        assert one.values() == [1, 2, 3, 5]
        assert watcher.told == [20, 25, 31]


def test_with_a_store_each_push_is_a_batch(tmp_path: Path) -> None:
    with held(path=tmp_path / "s.store") as one:
        for i in range(5):
            one.stream.push({"n": i})
        assert one.let_go() == [1] * 5
        assert one.values() == list(range(5))


def test_a_fault_refuses_the_batch_that_was_gathered() -> None:
    with held() as one:
        one.stream.push({"n": 1})
        one.stream.push({"n": -1})
        one.gate.set()
        with pytest.raises(EvaluationError, match="event 2: integer division by zero"):
            one.engine.flush()
        (letter,) = one.engine.dead_letters("held")
        assert letter.rows is not None
        assert letter.rows.to_pylist() == [{"n": 1}, {"n": -1}]


@pytest.mark.parametrize("wait", ["block", "yield", "spin"])
def test_threads_that_push_singly_lose_and_swap_nothing(wait: Any) -> None:
    with Engine(ring_slots=8, wait=wait) as engine:
        streams = [engine.stream(f"s{i}", NUMBERS) for i in range(2)]
        found: list[list[int]] = [[], []]
        for i, stream in enumerate(streams):
            engine.trigger(f"t{i}", stream, passing()).handler(
                lambda matches, i=i: found[i].extend(matches.column("n").to_pylist())
            )

        def push(first: int) -> None:
            for n in range(500):
                streams[n % 2].push({"n": first + n} if n % 3 else numbers(first + n))

        threads = [threading.Thread(target=push, args=(1000 * k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        engine.flush()
        for i in range(2):
            assert sorted(found[i]) == sorted(1000 * k + n for k in range(4) for n in range(i, 500, 2))
            for k in range(4):
                of_one = [n for n in found[i] if n // 1000 == k]
                assert of_one == sorted(of_one)


def test_handlers_push_singly_and_flush_waits_for_it() -> None:
    with Engine() as engine:
        first, second = engine.stream("first", NUMBERS), engine.stream("second", NUMBERS)
        found: list[int] = []

        def double(matches: pa.RecordBatch) -> None:
            for n in matches.column("n").to_pylist():
                second.push({"n": 2 * n})

        engine.trigger("double", first, passing()).handler(double)
        engine.trigger("all", second, passing()).handler(
            lambda matches: found.extend(matches.column("n").to_pylist())
        )
        for n in range(200):
            first.push({"n": n})
        engine.flush()
        assert found == [2 * n for n in range(200)]
