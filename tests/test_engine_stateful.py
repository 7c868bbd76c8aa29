"""The engine against a model, by steps that hypothesis chooses: after any of them, triggers have said what they should.

The model of a trigger is a Matcher without threads, which gets the events that were pushed between the trigger's
setting and its removal, at once; a trigger upon another gets that one's matches. So the engine must say the same
matches in the same order, however events are cut into pushes, whichever thread pushes, and however many workers there
are. A handler fails for a batch with a poisoned match; what it took and what lies in the dead letters must be the
model's matches, each once.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

import tocsin as tc
from runtime_support import WORKERS

EVENTS = pa.schema([("t", pa.timestamp("s")), ("k", pa.int64()), ("x", pa.int64()), ("i", pa.int64())])
POISON = 13
KEYED = """PARTITION BY k ORDER BY t MEASURES LAST(b.x) AS x, a.i AS i, COUNT(*) AS n
           PATTERN (a b+ c) WITHIN INTERVAL '30' SECOND DEFINE a AS x < 8, b AS x BETWEEN 4 AND 13, c AS x > 9"""
RUNS = """PARTITION BY k ORDER BY t MEASURES LAST(a.x) AS x, FIRST(a.i) AS i PATTERN (a+) WITHIN INTERVAL '10' SECOND
          DEFINE a AS x > 6"""
PLAIN = "ORDER BY t MEASURES b.x AS x, a.i AS i PATTERN (a b) DEFINE a AS x > 5, b AS x > PREV(x)"
ACROSS = """PARTITION BY k MEASURES b.x AS x, a.i AS i AFTER MATCH SKIP TO NEXT ROW PATTERN (a z* b)
            DEFINE b AS x = a.x + 1"""
UPON = "MEASURES a.x AS x, a.i AS i PATTERN (a b) DEFINE b AS x >= a.x"
DEFINITIONS = ("x > 5", KEYED, RUNS, PLAIN, ACROSS)
UPON_OTHERS = ("x <> 7", UPON)

Row = dict[str, Any]
drawn_rows = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 15)), min_size=1, max_size=12
)


class Model:
    """One trigger: what it must have said (`said`), and what its handler took."""

    def __init__(self, definition: str, schema: pa.Schema, source: str | None, fails: bool) -> None:
        self.source = source
        self.fails = fails
        self.said: list[Row] = []
        self.handled: list[Row] = []
        self.letters: list[Row] = []
        self.gone = False
        self.timed = "ORDER BY t" in definition
        self.matcher = tc.Matcher(definition, schema) if "PATTERN" in definition else None
        self.passes = {"x > 5": lambda x: x > 5, "x <> 7": lambda x: x != 7}.get(definition)

    def push(self, rows: list[Row], schema: pa.Schema) -> list[Row]:
        """What it says of these rows."""
        if self.passes is not None:
            return [row for row in rows if self.passes(row["x"])]
        assert self.matcher is not None
        return self.matcher.push(pa.RecordBatch.from_pylist(rows, schema=schema)).to_pylist()

    def take(self, matches: pa.RecordBatch) -> None:
        """The handler."""
        rows = matches.to_pylist()
        if self.fails and any(row["x"] == POISON for row in rows):
            raise RuntimeError("on purpose")
        self.handled += rows

    def check(self, name: str) -> None:
        """Each match once, in order, handled or in the dead letters."""
        handled, letters = iter(self.handled), iter(self.letters)
        next_handled, next_letter = next(handled, None), next(letters, None)
        for row in self.said:
            if row == next_handled:
                next_handled = next(handled, None)
            elif row == next_letter:
                next_letter = next(letters, None)
            else:
                raise AssertionError(
                    f"{name}: {row} is missing or late: {next_handled} is next, or {next_letter}"
                )
        assert next_handled is None, f"{name}: {next_handled} is too much or out of order"
        assert next_letter is None, f"{name}: dead letter {next_letter} is too much or out of order"


class EngineMachine(RuleBasedStateMachine):
    workers = 0

    @initialize(slots=st.sampled_from([1, 2, 64]))
    def begin(self, slots: int) -> None:
        self.engine = tc.Engine(workers=self.workers, ring_slots=slots, retries=0)
        self.stream = self.engine.stream("s", EVENTS, time="t")
        self.now = 0
        self.events = 0
        self.models: dict[str, Model] = {}

    def alive(self) -> list[str]:
        return [name for name, model in self.models.items() if not model.gone]

    # ------------------------------------------------------------------ the model's side

    def tell(self, source: str | None, rows: list[Row], schema: pa.Schema, mark: int | None = None) -> None:
        """The listeners of `source` get `rows`, those in event time the watermark, and theirs what they say of it."""
        for name in self.alive():
            model = self.models[name]
            if model.source == source:
                if rows:
                    self.say(name, model.push(rows, schema))
                if mark is not None and model.timed and source is None:
                    assert model.matcher is not None
                    self.say(name, model.matcher.advance(mark).to_pylist())

    def say(self, name: str, matches: list[Row]) -> None:
        self.models[name].said += matches
        if matches:
            self.tell(name, matches, self.engine.triggers[name].schema)

    def finish(self, source: str | None) -> None:
        for name in self.alive():
            model = self.models[name]
            if model.source == source:
                if model.matcher is not None:
                    self.say(name, model.matcher.finish().to_pylist())
                self.finish(name)

    def accept(self, drawn: list[tuple[int, int, int]]) -> pa.RecordBatch:
        rows = []
        for step, k, x in drawn:
            self.now += step
            rows.append({"t": np.datetime64(self.now, "s").item(), "k": k, "x": x, "i": self.events})
            self.events += 1
        self.tell(None, rows, EVENTS, self.now)
        return pa.RecordBatch.from_pylist(rows, schema=EVENTS)

    # ------------------------------------------------------------------ what is done

    def give(self, batch: pa.RecordBatch, form: str) -> None:
        if form == "table":
            half = batch.num_rows // 2
            self.stream.push(pa.Table.from_batches([batch.slice(0, half), batch.slice(half)]))
        elif form == "one by one":
            for row in batch.to_pylist():
                self.stream.push(row)
        else:
            self.stream.push({"batch": batch, "dicts": batch.to_pylist(), "columns": dict(
                zip(batch.schema.names, batch.columns, strict=True))}[form])  # fmt: skip

    @rule(drawn=drawn_rows, form=st.sampled_from(["batch", "dicts", "columns", "one by one", "table"]))
    def push(self, drawn: list[tuple[int, int, int]], form: str) -> None:
        self.give(self.accept(drawn), form)

    @rule(drawn=drawn_rows, form=st.sampled_from(["batch", "one by one"]))
    def push_in_another_thread_while_this_one_flushes(
        self, drawn: list[tuple[int, int, int]], form: str
    ) -> None:
        pusher = threading.Thread(target=self.give, args=(self.accept(drawn), form))
        pusher.start()
        self.engine.flush()
        pusher.join()

    @precondition(lambda self: len(self.alive()) < 6)
    @rule(definition=st.sampled_from(DEFINITIONS), fails=st.booleans())
    def set_trigger(self, definition: str, fails: bool) -> None:
        self.set(definition, None, fails)

    @precondition(lambda self: 0 < len(self.alive()) < 6)
    @rule(definition=st.sampled_from(UPON_OTHERS), fails=st.booleans(), data=st.data())
    def set_trigger_upon_another(self, definition: str, fails: bool, data: st.DataObject) -> None:
        self.set(definition, data.draw(st.sampled_from(self.alive())), fails)

    def set(self, definition: str, source: str | None, fails: bool) -> None:
        name = f"t{len(self.models)}"
        schema = EVENTS if source is None else self.engine.triggers[source].schema
        model = Model(definition, schema, source, fails)
        self.engine.trigger(name, source or self.stream, definition).handler(model.take)
        self.models[name] = model

    @precondition(lambda self: self.alive())
    @rule(data=st.data())
    def remove_trigger(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.alive()))
        if any(self.models[other].source == name for other in self.alive()):
            with pytest.raises(tc.TocsinError, match="remove that first"):
                self.engine.remove(name)
            return
        if self.models[name].fails:
            self.engine.flush()  # its dead letters go with it
            self.read_letters(name)
        self.engine.remove(name)
        self.models[name].gone = True

    @rule(by=st.integers(0, 40))
    def advance(self, by: int) -> None:
        self.now += by
        self.engine.advance(np.datetime64(self.now, "s"))
        self.tell(None, [], EVENTS, self.now)

    @rule()
    def flush(self) -> None:
        self.engine.flush()
        self.check()

    @rule(slots=st.sampled_from([1, 64]))
    def close_and_begin_again(self, slots: int) -> None:
        self.end()
        self.begin(slots)

    # ------------------------------------------------------------------ what must be so

    def read_letters(self, name: str) -> None:
        self.models[name].letters = []
        for letter in self.engine.dead_letters(name):
            assert (letter.kind, self.models[name].fails) == ("handler", True), letter
            assert letter.rows is not None
            rows = letter.rows.to_pylist()
            assert any(row["x"] == POISON for row in rows), letter
            self.models[name].letters += rows

    def check(self) -> None:
        for name in self.alive():
            self.read_letters(name)
        for name, model in self.models.items():
            model.check(name)

    def end(self) -> None:
        self.finish(None)
        self.engine.close()
        self.check()

    def teardown(self) -> None:
        if hasattr(self, "engine") and not self.engine.closed:
            self.end()


@pytest.mark.stress
@pytest.mark.parametrize("workers", WORKERS)
def test_an_engine_says_what_its_model_says(workers: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "tocsin")  # handlers fail on purpose
    machine = type(f"EngineMachine{workers}", (EngineMachine,), {"workers": workers})
    few = settings(
        max_examples=max(10, settings.default.max_examples // 4), stateful_step_count=25, deadline=None
    )
    run_state_machine_as_test(machine, settings=few)
