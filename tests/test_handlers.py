"""Handlers: how they are called, what happens when they fail, and the pull side."""

from __future__ import annotations

import logging
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from runtime_support import NUMBERS, numbers, passing
from tocsin.engine import Engine
from tocsin.errors import StoreError

WORKERS = pytest.mark.parametrize("workers", [0, 1])


@WORKERS
def test_a_handler_gets_a_record_batch_and_per_match_a_dict(workers: int) -> None:
    batches: list[Any] = []
    dicts: list[Any] = []
    with Engine(workers=workers, gather_rows=1) as engine:
        stream = engine.stream("s", NUMBERS)
        engine.trigger("t", stream, passing()).handler(batches.append)

        @engine.on("t", per_match=True)
        def one(match: dict[str, Any]) -> None:
            dicts.append(match)

        stream.push(numbers(1, 2))
    assert one is not None
    assert [type(batch) for batch in batches] == [pa.RecordBatch]
    assert batches[0].equals(numbers(1, 2))
    assert dicts == [{"n": 1}, {"n": 2}]


@WORKERS
def test_a_failed_handler_is_called_again(workers: int) -> None:
    calls: list[int] = []
    with Engine(workers=workers, retries=3, backoff=0.001) as engine:
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, passing())

        @trigger.handler
        def flaky(matches: pa.RecordBatch) -> None:
            calls.append(1)
            if len(calls) < 3:
                raise ValueError("not yet")

        stream.push(numbers(1))
        engine.flush()
        assert len(calls) == 3
        assert engine.dead_letters("t") == []


@WORKERS
def test_a_handler_s_fault_is_its_own(workers: int, caplog: pytest.LogCaptureFixture) -> None:
    good: list[int] = []
    other: list[int] = []
    with (
        Engine(workers=workers, gather_rows=1, retries=1, backoff=0.0) as engine,
        caplog.at_level(logging.WARNING, "tocsin"),
    ):
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, passing())

        @trigger.handler
        def bad(matches: pa.RecordBatch) -> None:
            raise ValueError("broken")

        trigger.handler(lambda matches: good.extend(matches.column("n").to_pylist()))
        engine.trigger("u", stream, passing()).handler(lambda m: other.extend(m.column("n").to_pylist()))
        stream.push(numbers(1, 2))
        stream.push(numbers(3))
        engine.flush()
        letters = engine.dead_letters("t")
        assert engine.dead_letters("u") == []
    assert good == other == [1, 2, 3]
    assert [letter.rows for letter in letters] == [numbers(1, 2), numbers(3)]
    assert {(letter.kind, letter.error) for letter in letters} == {("handler", "ValueError: broken")}
    assert letters[0].handler is not None
    assert letters[0].handler.endswith("bad")
    assert "trigger 't': handler" in caplog.text
    assert "broken" in caplog.text


def test_only_the_failed_match_becomes_a_dead_letter_with_per_match() -> None:
    seen: list[int] = []
    with Engine(workers=0, retries=0) as engine:
        stream = engine.stream("s", NUMBERS)

        @engine.trigger("t", stream, passing()).handler(per_match=True)
        def picky(match: dict[str, int]) -> None:
            if match["n"] == 2:
                raise ValueError("two")
            seen.append(match["n"])

        stream.push(numbers(1, 2, 3))
        (letter,) = engine.dead_letters("t")
    assert seen == [1, 3]
    assert letter.rows is not None
    assert letter.rows.to_pylist() == [{"n": 2}]


def test_results_are_kept_if_asked_for() -> None:
    with Engine(workers=0) as engine:
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, passing())

        @trigger.handler(results=True)
        def count(matches: pa.RecordBatch) -> int:
            return matches.num_rows

        stream.push(numbers(1, 2))
        stream.push(numbers(3))
        assert trigger.results() == [2, 1]
        assert trigger.results() == []
        assert trigger.matched == 3


def test_ctrl_c_in_an_inline_handler_leaves_the_push_and_loses_nothing() -> None:
    found: list[int] = []
    with Engine(workers=0) as engine:
        stream = engine.stream("s", NUMBERS)

        @engine.trigger("t", stream, passing()).handler
        def interrupt(matches: pa.RecordBatch) -> None:
            if not found:
                found.append(0)
                raise KeyboardInterrupt

        engine.trigger("u", stream, passing()).handler(lambda m: found.extend(m.column("n").to_pylist()))
        with pytest.raises(KeyboardInterrupt):
            stream.push(numbers(7))
        engine.flush()
        assert found == [0, 7]
        assert engine.dead_letters("t")[0].error.startswith("KeyboardInterrupt")


def test_sys_exit_in_a_handler_does_not_end_the_dispatcher(caplog: pytest.LogCaptureFixture) -> None:
    found: list[int] = []
    with pytest.raises(SystemExit), Engine(workers=1) as engine:  # noqa: PT012
        stream = engine.stream("s", NUMBERS)
        engine.trigger("t", stream, passing()).handler(lambda matches: sys.exit(3))
        engine.trigger("u", stream, passing()).handler(lambda m: found.extend(m.column("n").to_pylist()))
        stream.push(numbers(7))
        engine.flush()
    assert found == [7]


@WORKERS
def test_matches_are_pulled_until_the_engine_closes(workers: int) -> None:
    with Engine(workers=workers) as engine:
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, passing())
        early = trigger.matches()
        dropped = trigger.matches()
        stream.push(numbers(1))
        dropped.close()
        found: list[int] = []
        pulled = trigger.matches()
        puller = threading.Thread(target=lambda: [found.extend(m.column("n").to_pylist()) for m in pulled])
        puller.start()
        stream.push(numbers(2))
    puller.join(20)
    assert found in ([2], [1, 2])  # the worker may come to the first batch after the iterator was made
    assert [n for m in early for n in m.column("n").to_pylist()] == [1, 2]  # in one batch or two
    assert list(dropped) == []
    assert list(trigger.matches()) == []


def test_matches_of_a_removed_trigger_end() -> None:
    with Engine(workers=1) as engine:
        stream = engine.stream("s", NUMBERS)
        matches = engine.trigger("t", stream, passing()).matches()
        stream.push(numbers(1))
        engine.remove("t")
        assert [m.num_rows for m in matches] == [1]


def test_a_match_log_that_refuses_is_reported_and_the_handlers_still_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Any] = []

    def full(data: Any) -> int:
        raise OSError("disk full")

    with Engine(tmp_path / "x.store", workers=0) as engine:
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, passing())
        trigger.handler(found.append)
        assert engine.store is not None
        with monkeypatch.context() as patch:
            patch.setattr(engine.store.matches.log("t"), "append", full)
            for n in (1, 2):
                with pytest.raises(OSError, match="disk full"):
                    stream.push(numbers(n))
        assert len(found) == 2
        with pytest.raises(StoreError, match="matches of trigger 't' wait for the disk"):
            engine.checkpoint()
        stream.push(numbers(3))
        assert engine.store.matches.scan("t").read_all().column("n").to_pylist() == [1, 2, 3]
        assert engine.dead_letters("t") == []
        engine.checkpoint()


def test_what_is_not_callable_is_no_handler() -> None:
    with Engine(workers=0) as engine:
        trigger = engine.trigger("t", engine.stream("s", NUMBERS), passing())
        with pytest.raises(TypeError, match="must be callable"):
            trigger.handler(3)  # type: ignore[call-overload]
