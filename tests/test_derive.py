"""Derive: an operator between two calls of a library; whole or not at all, on the caller's thread or a worker's."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import tocsin
from tocsin.compile import compile_clause
from tocsin.compile.assemble import assemble
from tocsin.compile.library import Measuring
from tocsin.errors import EvaluationError, SchemaError, StateError
from tocsin_core.batch import Batch, live_batches, live_exports
from tocsin_core.derive import Derive
from tocsin_core.operator import Operator
from tocsin_core.schema import Schema

INPUT = pa.schema({"k": pa.dictionary(pa.int8(), pa.string()), "s": pa.string(), "x": pa.int64()})
WIDER = pa.schema([*INPUT, pa.field("low", pa.string())])
CLAUSE = "MEASURES a.low AS low, b.x AS x PATTERN (a b) DEFINE a AS low = 'up', b AS x > PREV(x)"


def lower(batch: Any) -> pa.RecordBatch:
    column = pa.record_batch(batch).column("s")
    if "bad" in column.to_pylist():
        raise EvaluationError("the column 's' has a bad text")
    return pa.record_batch({"low": pc.utf8_lower(column)})


def rows(s: list[str | None], x: list[int | None], k: list[str] | None = None) -> pa.RecordBatch:
    keys = pa.array(k or ["k"] * len(s)).dictionary_encode().cast(INPUT.field("k").type)
    return pa.record_batch([keys, pa.array(s, pa.string()), pa.array(x, pa.int64())], schema=INPUT)


def derived(
    before: Any = lower, after: Any = None, output: pa.Schema | None = None, clause: str = CLAUSE
) -> Derive:
    inner = assemble(compile_clause(clause, WIDER))
    assert isinstance(inner.operator, Operator)
    return Derive(
        inner.operator,
        Schema.from_arrow(INPUT),
        Schema.from_arrow(output or inner.output_schema),
        before,
        after,
    )


def pushed(operator: Operator, batch: pa.RecordBatch, base: int = 0) -> list[dict[str, Any]]:
    found = operator.run(Batch.from_arrow(batch, operator.input), base)
    return [] if found is None else pa.record_batch(found).to_pylist()


def test_the_inner_operator_sees_the_derived_column() -> None:
    operator = derived()
    assert pushed(operator, rows(["UP", "x", "Up"], [1, 2, 5])) == [{"low": "up", "x": 2}]
    assert pushed(operator, rows(["no"], [6]), 3) == [{"low": "up", "x": 6}]
    assert pushed(operator, rows([], []), 4) == []
    assert operator.run_finish() is None


def test_slices_and_dictionaries_keep_their_rows() -> None:
    operator = derived(clause="PARTITION BY k " + CLAUSE)
    whole = rows(["-", "UP", "x", "UP", None], [0, 1, 2, 5, 9], ["a", "b", "a", "a", "b"])
    found = pushed(operator, whole.slice(1, 4))
    assert found == [{"k": "b", "low": "up", "x": 9}]


def test_what_before_raises_refuses_the_batch_and_changes_nothing() -> None:
    operator = derived()
    pushed(operator, rows(["UP"], [1]))
    state = operator.save()
    with pytest.raises(EvaluationError, match="the column 's' has a bad text"):
        pushed(operator, rows(["x", "bad"], [2, 3]), 1)
    assert operator.save() == state
    assert pushed(operator, rows(["x"], [2]), 1) == [{"low": "up", "x": 2}]


@pytest.mark.parametrize(
    ("before", "kind", "words"),
    [
        (lambda batch: pa.record_batch({"low": ["a"] * 9}), SchemaError, "9 rows"),
        (lambda batch: pa.record_batch({"low": [1]}), SchemaError, "are not those of"),
        (lambda batch: pa.record_batch({"a": ["a"], "b": ["a"]}), SchemaError, "2 derived columns"),
        (lambda batch: 7, TypeError, "__arrow_c_array__"),
        (lambda batch: 1 // 0, ZeroDivisionError, "zero"),
    ],
)
def test_a_library_that_gives_something_else_is_told_so(
    before: Callable[[Any], Any], kind: type[Exception], words: str
) -> None:
    operator = derived(before)
    with pytest.raises(kind, match=words):
        pushed(operator, rows(["a"], [1]))


def test_an_interrupt_stays_one() -> None:
    def interrupted(batch: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pushed(derived(interrupted), rows(["a"], [1]))


MEASURED = pa.schema({"y": pa.int64()})


def shown(matches: pa.RecordBatch) -> pa.RecordBatch:
    values = matches.column("x").to_pylist()
    if 0 in values:
        raise EvaluationError("the measure 'y' has no value")
    return pa.record_batch({"y": pa.array([100 // v for v in values], pa.int64())})


def test_measures_after_the_match() -> None:
    operator = derived(after=Measuring(shown), output=MEASURED)
    assert pushed(operator, rows(["UP", "", "UP", ""], [1, 2, 3, 10])) == [{"y": 50}, {"y": 10}]


def test_a_match_without_a_value_is_left_out_and_the_others_come() -> None:
    operator = derived(after=Measuring(shown), output=MEASURED)
    batch = rows(["UP", "", "UP", "", "UP", ""], [1, 2, -1, 0, 3, 4])
    with pytest.raises(EvaluationError, match="'y' has no value"):
        pushed(operator, batch)
    state = operator.save()
    assert pushed(operator, rows([], []), 6) == [{"y": 50}, {"y": 25}]
    other = derived(after=Measuring(shown), output=MEASURED)
    other.restore(state)
    found = other.run_finish()
    assert found is not None
    assert pa.record_batch(found).to_pylist() == [{"y": 50}, {"y": 25}]


def test_a_state_goes_to_its_own_kind() -> None:
    operator = derived()
    pushed(operator, rows(["UP"], [1]))
    other = derived()
    other.restore(operator.save())
    assert pushed(other, rows(["x"], [2]), 1) == [{"low": "up", "x": 2}]
    for torn in (b"", b"derive1\0", operator.save()[:20], operator.inner.save(), b"derive1\0" + b"\xff" * 40):
        with pytest.raises(StateError):
            derived().restore(torn)


def test_the_inner_operator_tells_its_own_faults() -> None:
    operator = derived(clause="PATTERN (a b) DEFINE b AS 1 / x > 0")
    with pytest.raises(EvaluationError, match="DEFINE B: integer division by zero"):
        pushed(operator, rows(["", ""], [1, 0]))


def test_nothing_is_held_when_all_is_let_go() -> None:
    gc.collect()
    before = live_batches(), live_exports()
    operator = derived(after=Measuring(shown), output=MEASURED)
    for i in range(50):
        try:
            pushed(operator, rows(["UP", "", "UP", "bad" if i % 3 == 1 else ""], [1, 2, -1, i % 2]), 4 * i)
        except EvaluationError:
            pass
    del operator
    gc.collect()
    assert (live_batches(), live_exports()) == before


def push_and_flush(engine: tocsin.Engine, stream: Any, batch: pa.RecordBatch) -> None:
    stream.push(batch)
    engine.flush()


@pytest.mark.parametrize("workers", [0, 1, 2, 7])
def test_an_exception_crosses_the_threads_of_an_engine(workers: int) -> None:
    found: list[int] = []
    with tocsin.Engine(workers=workers) as engine:
        stream = engine.stream("s", INPUT)
        trigger = engine.trigger("t", stream, derived(after=Measuring(shown), output=MEASURED))
        trigger.handler(lambda matches: found.extend(matches.column("y").to_pylist()))
        for batch, words in (
            (rows(["UP", ""], [1, 2]), None),
            (rows(["x", "bad"], [1, 2]), "trigger 't', stream 's'.*the column 's' has a bad text"),
            (rows(["UP", "", "UP", "", "UP", ""], [1, 4, -1, 0, 3, 5]), "the measure 'y' has no value"),
        ):
            if words is None:
                push_and_flush(engine, stream, batch)
                continue
            with pytest.raises(EvaluationError, match=words):
                push_and_flush(engine, stream, batch)
        engine.flush()
        assert len(engine.dead_letters("t")) == 2
    assert found == [50, 25, 20]
