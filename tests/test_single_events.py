"""Single events: the short way into the ring takes what the long way takes, with the same values and errors."""

from __future__ import annotations

import threading
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tocsin as tc
from tocsin_core.intake import Intake, IntakeLock
from tocsin_core.ring import Ring
from tocsin_core.row_builder import RowBuilder
from tocsin_core.schema import Schema

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.bool_(): st.booleans(),
    pa.int8(): st.integers(-130, 130),
    pa.uint16(): st.integers(-1, 2**16),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): st.integers(-1, 2**64),
    pa.float32(): st.floats(width=32, allow_nan=False) | st.integers(-(2**60), 2**60),
    pa.float64(): st.floats(allow_nan=False) | st.integers(-(2**70), 2**70),
    pa.string(): TEXT,
    pa.binary(): st.binary(max_size=20),
    pa.date32(): st.dates() | st.integers(-(2**33), 2**33),
    pa.timestamp("us"): st.datetimes() | st.integers(-(2**62), 2**62),
    pa.duration("ms"): st.timedeltas() | st.integers(-(2**62), 2**62),
}
ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), TEXT, st.binary(max_size=4),
    st.text(st.characters(categories=["Cs"]), min_size=1),
)  # fmt: skip


@given(data=st.data())
def test_an_event_arrives_as_it_is_built_or_is_refused_as_it_is_built(data: st.DataObject) -> None:
    types = data.draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=4))
    schema = pa.schema([("n", pa.int64()), *((f"c{i}", type) for i, type in enumerate(types))])
    event: dict[str, Any] = {"n": 1}
    for i, type in enumerate(types):
        strange = data.draw(st.integers(0, 7)) == 0
        event[f"c{i}"] = data.draw(ANYTHING if strange else st.none() | VALUES[type])
    if data.draw(st.integers(0, 9)) == 0:
        del event["c0"]
    if data.draw(st.integers(0, 9)) == 0:
        event["more"] = 1
    expected: Any = None
    try:
        expected = pa.record_batch(RowBuilder(Schema.from_arrow(schema)).build([event]))
    except tc.TocsinError as refused:
        wrong = str(refused)
    found: list[pa.RecordBatch] = []
    with tc.Engine(workers=0) as engine:
        stream = engine.stream("s", schema)
        engine.trigger("t", stream, "n = 1").handler(found.append)
        if expected is None:
            with pytest.raises(tc.SchemaError) as caught:
                stream.push(event)
            assert str(caught.value) == wrong
            assert stream.sequence == 0
        else:
            assert stream.push(event).last == 0
            stream.push(event)
            assert len(found) == 2
            for batch in found:
                batch.validate(full=True)
                assert batch.equals(expected)


def test_an_event_beside_the_lock_is_left_to_it() -> None:
    intake = Intake(Ring(4), 0, Schema.from_fields(["n"], ["l"]), gather_rows=8)
    lock = IntakeLock(intake)
    assert lock.acquire()
    assert lock.locked()
    assert intake.event({"n": 1}) == -1
    assert not lock.acquire(blocking=False)
    assert not lock.acquire(timeout=0.01)
    lock.release()
    assert not lock.locked()
    assert intake.event({"n": 1}) == 0
    assert intake.event([{"n": 1}]) == -1
    assert intake.event({"n": "x"}) == -1
    assert intake.next == 1


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("form", ["events", "rows", "both"])
def test_many_threads_push_single_events(workers: int, form: str) -> None:
    """Each thread's events arrive in its order, each once, whichever way they took."""
    threads, each = 4, 3_000
    schema = pa.schema([("who", pa.int64()), ("n", pa.int64())])
    found: list[dict[str, Any]] = []

    def push(who: int) -> None:
        for n in range(each):
            event = {"who": who, "n": n}
            if form == "rows" or (form == "both" and n % 3 == 0):
                stream.push(pa.record_batch({"who": [who], "n": [n]}, schema=schema))
            else:
                stream.push(event if n % 50 else [event])  # a list takes the long way

    with tc.Engine(workers=workers) as engine:
        stream = engine.stream("s", schema)
        trigger = engine.trigger("t", stream, "n >= 0")
        trigger.handler(found.append, per_match=True)
        pushing = [threading.Thread(target=push, args=(who,)) for who in range(threads)]
        for thread in pushing:
            thread.start()
        for thread in pushing:
            thread.join()
        engine.flush()
        assert stream.sequence == threads * each
    for who in range(threads):
        assert [row["n"] for row in found if row["who"] == who] == list(range(each))


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_ways_taken_in_turn_keep_their_order(workers: int) -> None:
    schema = pa.schema([("n", pa.int64())])
    found: list[int] = []
    with tc.Engine(workers=workers, ring_slots=4) as engine:
        stream = engine.stream("s", schema, time="n")
        engine.trigger("t", stream, "n >= 0").handler(lambda match: found.append(match["n"]), per_match=True)
        n = 0
        for turn in range(400):
            if turn % 4 == 0:
                ticket = stream.push({"n": n})
                count = 1
            elif turn % 4 == 1:
                ticket = stream.push([{"n": n}, {"n": n + 1}])
                count = 2
            elif turn % 4 == 2:
                ticket = stream.push(pa.record_batch({"n": pa.array(range(n, n + 3))}))
                count = 3
            else:
                ticket = stream.push({"n": list(range(n, n + 2000))})
                count = 2000
            assert (ticket.first, ticket.last) == (n, n + count - 1)
            n += count
        with pytest.raises(tc.OrderError):
            stream.push({"n": None})
        stream.push({"n": 0})  # late
        engine.flush()
        assert stream.late_count == 1
    assert found == list(range(n))


def test_a_pushed_match_whose_handler_fails_is_a_dead_letter() -> None:
    schema = pa.schema([("n", pa.int64()), ("k", pa.string())])

    def fails(match: dict[str, Any]) -> None:
        if match["n"] % 2:
            raise ValueError(match["k"])

    with tc.Engine(workers=0) as engine:
        stream = engine.stream("s", schema)
        engine.trigger("t", stream, "n >= 0").handler(fails, per_match=True)
        stream.push({"n": [1, 2, 3], "k": ["a", "b", "c"]})
        letters = engine.dead_letters("t")
        assert [letter.rows.to_pylist() for letter in letters if letter.rows is not None] == [
            [{"n": 1, "k": "a"}],
            [{"n": 3, "k": "c"}],
        ]


def test_a_match_that_has_no_python_object_is_a_dead_letter() -> None:
    """A date beyond the year 9999 is an Arrow value, but no datetime."""
    schema = pa.schema([("t", pa.timestamp("us"))])
    found: list[Any] = []
    with tc.Engine(workers=0) as engine:
        stream = engine.stream("s", schema)
        trigger = engine.trigger("t", stream, "t > TIMESTAMP '2000-01-01 00:00:00'")
        trigger.handler(found.append, per_match=True)
        stream.push(pa.record_batch({"t": pa.array([2**62], pa.timestamp("us"))}))
        stream.push({"t": 2**50})
        (letter,) = engine.dead_letters("t")
        assert "OverflowError" in letter.error
        assert letter.rows is not None
        assert letter.rows["t"].cast(pa.int64()).to_pylist() == [2**62]
    assert len(found) == 1
