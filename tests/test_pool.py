"""Filters on one stream share what their conditions have in common, and give what each gives alone.

The judge is the filter alone (an operator that is in no pool) and, for which rows pass and which batch is at fault,
expression_fuzz's values.
"""

from __future__ import annotations

import gc
import threading
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import expression_fuzz as xf
import tocsin as tc
from tocsin.compile.assemble import build
from tocsin.errors import EvaluationError
from tocsin_core.batch import Batch
from tocsin_core.operator import Operator
from tocsin_core.topology import Node, Routes

SCHEMA = pa.schema([("row", pa.int64()), *((name, type) for name, (type, _, _) in xf.COLUMNS.items())])
LENGTHS = [1, 2, 20, 63, 64, 65, 128, 1023, 1024, 1025, 2500]
FEWER = settings(max_examples=max(10, settings().max_examples // 4))


@pytest.fixture(autouse=True, scope="module")
def nothing_left():
    yield
    gc.collect()  # engines are cycles, and tests of other files count batches


def pool_of(trigger: tc.Trigger) -> Any:
    return trigger._operator.pool


@st.composite
def filters(draw: st.DrawFn) -> list[xf.Tree]:
    """Up to 30 conditions, made of a few questions over and over again: ANDs of them, and ORs and NOTs."""
    questions = draw(st.lists(xf.predicates, min_size=1, max_size=6))
    one = st.sampled_from(questions)
    joined = st.recursive(
        st.one_of(one, one, xf.conditions),
        lambda inner: st.one_of(
            st.builds(xf._logical, st.just("AND"), inner, inner),
            st.builds(xf._logical, st.just("AND"), inner, inner),
            st.builds(xf._logical, st.just("OR"), inner, inner),
            inner.map(xf._not),
        ),
        max_leaves=6,
    )
    return draw(st.lists(joined, min_size=1, max_size=30))


def batch_of(cells: dict[str, list[Any]], n: int, first: int) -> pa.RecordBatch:
    """n rows: those of `cells` over and over again."""
    size = len(cells["i64"])
    columns = [pa.array(range(first, first + n), pa.int64())]
    columns += [xf.array(name, [values[i % size] for i in range(n)]) for name, values in cells.items()]
    return pa.record_batch(columns, schema=SCHEMA)


def rows_that_pass(tree: xf.Tree, cells: dict[str, list[Any]], n: int) -> list[int] | None:
    """None: some row is at fault."""
    size = len(cells["i64"])
    rows = [{name: xf.row_of(name, values[i]) for name, values in cells.items()} for i in range(size)]
    values = [tree.value(row) for row in rows[:n]]
    if any(value is xf.FAULT for value in values):
        return None
    return [i for i in range(n) if values[i % size] is True]


def alone(operator: Operator, batch: pa.RecordBatch, first: int) -> tuple[str, Any]:
    """What an operator in no pool makes of a batch: ("rows", all of them) or ("fault", its words)."""
    try:
        found = operator.run(Batch.from_arrow(batch, operator.input), first)
    except EvaluationError as failure:
        return "fault", str(failure)
    return "rows", [] if found is None else [repr(row) for row in pa.record_batch(found).to_pylist()]


@FEWER
@given(filters(), st.data())
def test_filters_together_give_what_each_gives_alone(trees: list[xf.Tree], data: st.DataObject) -> None:
    waiting = list(enumerate(trees))
    live: dict[str, tuple[tc.Trigger, xf.Tree, Operator]] = {}
    got: dict[str, list[str]] = {}
    first = 0
    with tc.Engine(workers=0) as engine:
        stream = engine.stream("s", SCHEMA)

        def listen(name: str) -> Any:
            def keep(matches: pa.RecordBatch) -> None:
                got[name] += [repr(row) for row in matches.to_pylist()]

            return keep

        for _ in range(data.draw(st.integers(1, 5))):
            for _ in range(data.draw(st.integers(0, len(waiting)))):
                number, tree = waiting.pop()
                name = f"t{number}"
                trigger = engine.trigger(name, stream, tree.text)
                trigger.handler(listen(name))
                live[name] = trigger, tree, build(tree.text, SCHEMA).operator
            for name in data.draw(st.lists(st.sampled_from(sorted(live)), unique=True)) if live else []:
                engine.remove(name)
                del live[name]
            cells = data.draw(xf.rows(max_rows=12).filter(lambda cells: cells["i64"]))
            n = data.draw(st.sampled_from(LENGTHS))
            batch = batch_of(cells, n, first)
            got.update((name, []) for name in live)
            letters = {name: len(engine.dead_letters(name)) for name in live}
            raised = False
            try:
                stream.push(batch)
            except EvaluationError:
                raised = True
            refused = 0
            for name, (_, tree, operator) in live.items():
                what, expected = alone(operator, batch, first)
                passing = rows_that_pass(tree, cells, n)
                assert (what == "fault") == (passing is None), tree.text
                new = engine.dead_letters(name)[letters[name] :]
                if passing is None:
                    refused += 1
                    assert (len(new), new[0].kind, got[name]) == (1, "fault", []), tree.text
                    assert expected in new[0].error
                    assert (new[0].first_sequence, new[0].last_sequence) == (first, first + n - 1)
                else:
                    assert new == []
                    assert got[name] == expected, tree.text
                    assert [int(row.split(",")[0].split(":")[1]) - first for row in expected] == passing
            assert raised == (refused > 0)
            first += n


def test_triggers_share_the_parts_of_their_conditions():
    schema = pa.schema([("price", pa.float64()), ("size", pa.int64())])
    with tc.Engine(workers=0) as engine:
        stream = engine.stream("orders", schema)
        triggers = [
            engine.trigger(f"t{p}_{s}", stream, (tc.col("price") > p) & (tc.col("size") < s))
            for p in range(10)
            for s in range(10)
        ]
        assert {id(pool_of(trigger)) for trigger in triggers} == {id(pool_of(triggers[0]))}
        assert len(pool_of(triggers[0])) == 20
        stream.push({"price": np.arange(10.0), "size": np.arange(10)})
        assert [trigger.matched for trigger in triggers] == [
            max(0, s - p - 1) for p in range(10) for s in range(10)
        ]
        pool = pool_of(triggers[0])
        for s in range(10):
            engine.remove(f"t0_{s}")
        del triggers[:10]
        assert len(pool) == 19
        stream.push({"price": np.arange(10.0), "size": np.arange(10)})
        assert triggers[-1].matched == 0
        assert triggers[9 - 1].matched == 2 * max(0, 8 - 1 - 1)


@pytest.mark.parametrize(
    ("one", "other", "parts"),
    [
        ("x > 1 AND y < 2", "y < 2 AND x > 1", 2),
        ("x > 1", "x > 1 AND x > 1", 1),
        ("x > 1 AND y < 2 AND x < 9", "x > 1 AND (y < 2 AND x < 9)", 3),
        ("x > 1 OR y < 2", "x > 1", 2),
        ("x > 0.5", "y > 0.5", 2),
        ("x / 0e0 > 1", "x / -0e0 > 1", 2),
        ("t = 'a'", "t IN ('a')", 1),
        ("t IN ('a', 'b')", "t IN ('b', 'a')", 1),
        ("t IN ('a', 'b')", "t IN ('a', 'b', NULL)", 2),
        ("t = 'a'", "t = 'a\0'", 2),
        ("CASE WHEN x > 1 THEN y > 2 ELSE y < 2 END", "CASE WHEN x > 1 THEN y > 2 ELSE y < 3 END", 2),
    ],
)
def test_equal_parts_are_one(one, other, parts):
    schema = pa.schema([("x", pa.float64()), ("y", pa.float64()), ("t", pa.string())])
    operators = [build(text, schema).operator for text in (one, other)]
    routes = Routes(3, [Node(1, 0, operators[0]), Node(2, 0, operators[1])])
    assert len(operators[0].pool) == parts
    assert operators[1].pool is operators[0].pool
    del routes


def test_a_condition_that_can_fault_is_asked_alone():
    schema = pa.schema([("a", pa.int64()), ("b", pa.int64())])
    with tc.Engine(workers=0) as engine:
        stream = engine.stream("s", schema)
        guarded = engine.trigger("guarded", stream, "b <> 0 AND a / b > 2")
        bare = engine.trigger("bare", stream, "a / b > 2 AND a > 0")
        nonzero = engine.trigger("nonzero", stream, "b <> 0")
        positive = engine.trigger("positive", stream, "b > 0 AND b <> 0")
        assert (pool_of(guarded), pool_of(bare)) == (None, None)
        assert len(pool_of(nonzero)) == 2
        with pytest.raises(EvaluationError, match=r"'bare'.*event 1"):
            stream.push({"a": [9, 9, 9], "b": [3, 0, -1]})
        assert [t.matched for t in (guarded, bare, nonzero, positive)] == [1, 0, 2, 1]
        assert len(engine.dead_letters("bare")) == 1


def test_a_filter_of_a_pool_works_by_itself_too():
    schema = pa.schema([("x", pa.int64())])
    operators = [build(text, schema).operator for text in ("x > 1 AND x < 9", "x < 9")]
    routes = Routes(3, [Node(number + 1, 0, operator) for number, operator in enumerate(operators)])
    for values in ([1, 2, 3], [7, 8, 9, 10], []):
        for operator, holds in zip(operators, (lambda x: 1 < x < 9, lambda x: x < 9), strict=True):
            found = operator.run(Batch.from_arrow(pa.record_batch({"x": pa.array(values, pa.int64())})), 0)
            rows = [] if found is None else pa.record_batch(found).column("x").to_pylist()
            assert rows == [x for x in values if holds(x)]
    del routes


def test_an_operator_with_a_new_place_leaves_its_pool():
    schema = pa.schema([("x", pa.int64())])
    first, second, third = (build(text, schema).operator for text in ("x > 1", "x > 2", "x > 3"))
    Routes(3, [Node(1, 0, first), Node(2, 0, second)])
    old = first.pool
    Routes(3, [Node(1, 0, first), Node(2, 0, third)])
    assert first.pool is third.pool is not old
    assert second.pool is old
    assert (len(old), len(first.pool)) == (1, 2)


def test_filters_upon_a_trigger_share_too():
    with tc.Engine(workers=0) as engine:
        stream = engine.stream("s", pa.schema([("x", pa.int64())]))
        even = engine.trigger("positive", stream, tc.col("x") > 0)
        upon = [engine.trigger(f"t{i}", even, (tc.col("x") < 10) & (tc.col("x") != i)) for i in range(1, 4)]
        beside = engine.trigger("beside", stream, tc.col("x") < 10)
        assert pool_of(upon[0]) is pool_of(upon[1]) is not pool_of(beside)
        for values in ([-1, 1, 2, 3, 11], [5], [-5], [3, 3, 4]):
            stream.push({"x": values})
        assert [t.matched for t in (even, *upon, beside)] == [8, 6, 6, 4, 9]


def test_triggers_come_and_go_while_a_worker_runs():
    """Each trigger sees whole batches, from one on and up to another, and of those exactly the rows that pass."""
    schema = pa.schema([("n", pa.int64()), ("x", pa.int64())])
    size, batches = 500, 300
    rng = np.random.default_rng(3)
    xs = rng.integers(0, 20, size * batches)
    seen: dict[str, list[int]] = {}
    with tc.Engine(workers=1) as engine:
        stream = engine.stream("s", schema)

        done = threading.Event()

        def push() -> None:
            i = 0
            while i < batches or not done.is_set():
                numbers = np.arange(i * size, (i + 1) * size)
                stream.push({"n": numbers, "x": xs[numbers % len(xs)]})
                i += 1
                time.sleep(0.001)

        pusher = threading.Thread(target=push)
        pusher.start()
        wanted: dict[str, tuple[int, int]] = {}
        live: list[str] = []
        for number in range(60):
            low, high = int(rng.integers(0, 5)), int(rng.integers(12, 20))
            name = f"t{number}"
            seen[name] = []
            wanted[name] = low, high
            trigger = engine.trigger(name, stream, (tc.col("x") > low) & (tc.col("x") < high))
            trigger.handler(lambda matches, name=name: seen[name].extend(matches.column("n").to_pylist()))
            live.append(name)
            if len(live) > 20:
                engine.remove(live.pop(0))
        done.set()
        pusher.join()
        engine.flush()
    for name, (low, high) in wanted.items():
        rows = seen[name]
        if rows:
            begin, end = rows[0] // size * size, (rows[-1] // size + 1) * size
            x = xs[np.arange(begin, end) % len(xs)]
            passing = begin + np.flatnonzero((x > low) & (x < high))
            assert rows == passing.tolist(), name
    assert sum(map(bool, seen.values())) > 0
