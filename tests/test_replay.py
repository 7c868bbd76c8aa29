"""engine.replay: stored events through triggers once more, and nothing else changes."""

from __future__ import annotations

import datetime as dt
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import tocsin as tc
from test_recovery import CLAUSES, SCHEMA, UPON, events, expected, listen, open_engine, steps_of, take

WORKERS = pytest.mark.parametrize("workers", [0, 1, 2])


def into(found: dict[str, list[dict[str, Any]]]) -> Any:
    return lambda name, matches: found.setdefault(name, []).extend(matches.to_pylist())


@WORKERS
@pytest.mark.parametrize("lateness", [0, 12])
def test_the_same_events_give_the_same_matches(tmp_path: Path, workers: int, lateness: int) -> None:
    steps = steps_of(4, lateness)
    engine, stream = open_engine(tmp_path / "s.store", workers, lateness)
    live = listen(engine)
    with engine:
        for step in steps:
            take(engine, stream, step)
        engine.flush()
        before = {name: list(matches) for name, matches in live.items()}
        again: dict[str, list[dict[str, Any]]] = {}
        done = engine.replay(to=into(again))
        assert done.matches == {name: len(matches) for name, matches in before.items()}
        assert done.events == {
            "s": sum(len(s) if isinstance(s, list) else isinstance(s, dict) for s in steps)
        }
        assert done.faults == 0
        assert again == {name: matches for name, matches in before.items() if matches}
        assert live == before  # the engine's own handlers got nothing
        engine.replay(triggers=["twice"])  # and now they do
        assert live == before | {"twice": 2 * before["twice"]}
        assert engine.store is not None
        stored = {name: info.rows for name, info in engine.store.matches.streams().items()}
        assert stored == {name: len(matches) for name, matches in before.items()}
        engine.close(finish=True)
    assert {name: live[name] for name in CLAUSES} == {
        name: expected(steps, lateness)[name] for name in CLAUSES
    }


@WORKERS
def test_a_part_of_history(tmp_path: Path, workers: int) -> None:
    rows = events(300, 2, 0)
    with tc.Engine(tmp_path / "s.store", workers=workers) as engine:
        stream = engine.stream("s", SCHEMA, time="ts")
        engine.trigger("t", stream, CLAUSES["keyed"])
        stream.push(rows)
        found: dict[str, list[dict[str, Any]]] = {}
        done = engine.replay(start=rows[50]["ts"], stop=rows[200]["ts"], to=into(found))
        assert done.events == {"s": 150}
        assert engine.replay(start=rows[299]["ts"] + dt.timedelta(days=1)).events == {"s": 0}
        assert engine.replay(start=rows[200]["ts"], stop=rows[50]["ts"]).events == {"s": 0}
    right: list[dict[str, Any]] = []
    with tc.Engine(workers=0) as engine:
        stream = engine.stream("s", SCHEMA, time="ts")
        engine.trigger("t", stream, CLAUSES["keyed"]).handler(right.append, per_match=True)
        stream.push(rows[50:200])
        engine._runtime.close(finish=False)
    assert found["t"] == right
    assert len(right) > 3


def test_at_a_pace_of_its_own(tmp_path: Path) -> None:
    """Events come no sooner than they are due; the pushes of two streams go by one clock."""
    schema = pa.schema([("ts", pa.timestamp("ms")), ("n", pa.int64())])
    start = dt.datetime(2026, 1, 1)
    came: list[tuple[str, int, float]] = []
    with tc.Engine(tmp_path / "s.store") as engine:
        for name in ("a", "b"):
            stream = engine.stream(name, schema, time="ts")
            engine.trigger(f"of_{name}", stream, "n >= 0")
            stream.push({"ts": [start + dt.timedelta(seconds=n) for n in range(10)], "n": range(10)})
        began = time.monotonic()

        def note(name: str, matches: pa.RecordBatch) -> None:
            now = time.monotonic() - began
            came.extend((name, n, now) for n in matches["n"].to_pylist())

        done = engine.replay(speed=20, to=note)
    assert done.events == {"a": 10, "b": 10}
    assert sorted((name, n) for name, n, _ in came) == [(f"of_{s}", n) for s in "ab" for n in range(10)]
    for _, n, at in came:
        assert at > n / 20 - 0.001  # not sooner; how much later depends on the machine
    assert done.seconds > 9 / 20 - 0.001


def test_ctrl_c_ends_a_slow_replay(tmp_path: Path) -> None:
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    try:
        interrupted_replay(tmp_path)
    finally:
        signal.signal(signal.SIGINT, usual)


def interrupted_replay(tmp_path: Path) -> None:
    schema = pa.schema([("ts", pa.timestamp("s")), ("n", pa.int64())])
    with tc.Engine(tmp_path / "s.store") as engine:
        stream = engine.stream("s", schema, time="ts")
        engine.trigger("t", stream, "n >= 0")
        stream.push({"ts": [dt.datetime(2026, 1, day) for day in (1, 2)], "n": [0, 1]})
        before = threading.active_count()

        def stop(name: str, matches: pa.RecordBatch) -> None:
            import _thread

            _thread.interrupt_main()

        with pytest.raises(KeyboardInterrupt):
            engine.replay(speed=1, to=stop)
        until = time.monotonic() + 30
        while threading.active_count() > before and time.monotonic() < until:
            time.sleep(0.01)
        assert threading.active_count() == before
        assert engine.replay().events == {"s": 2}


def test_faults_of_a_replay_are_counted_and_are_not_the_engine_s(tmp_path: Path) -> None:
    with tc.Engine(tmp_path / "s.store", workers=0) as engine:
        stream = engine.stream("s", pa.schema([("n", pa.int64())]))
        engine.trigger("t", stream, "10 / n > 3")
        stream.push({"n": [1, 2]})
        with pytest.raises(tc.EvaluationError):
            stream.push({"n": [0]})
        letters = len(engine.dead_letters("t"))
        done = engine.replay(to=lambda name, matches: None)
        assert (done.matches, done.faults) == ({"t": 2}, 1)
        assert len(engine.dead_letters("t")) == letters
        stream.push({"n": [2]})


def test_what_cannot_be_replayed_is_named(tmp_path: Path) -> None:
    with tc.Engine() as engine, pytest.raises(tc.TocsinError, match="no store"):
        engine.replay()
    engine, _stream = open_engine(tmp_path / "s.store", 1, 0)
    with engine:
        with pytest.raises(tc.TocsinError, match="no trigger 'nine'"):
            engine.replay(triggers=["nine"])
        with pytest.raises(tc.SchemaError, match="start"):
            engine.replay(start="noon")
        for wrong in (0, -1, "fast", True):
            with pytest.raises(ValueError, match="speed="):
                engine.replay(speed=wrong)  # type: ignore[arg-type]
        untimed = engine.stream("u", pa.schema([("x", pa.int64())]))
        engine.trigger("of_u", untimed, "x > 1")
        with pytest.raises(tc.SchemaError, match="no time column"):
            engine.replay(speed=2.0, triggers=["of_u"])
        assert engine.replay(triggers=["of_u"]).events == {"u": 0}
        assert set(UPON) < set(engine.triggers)
