"""A new trigger, or one that slept, goes through history in the background and joins its stream at an exact event."""

from __future__ import annotations

import datetime as dt
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import tocsin as tc
from test_recovery import CLAUSES, IDS, SCHEMA, START, crashed, events

WORKERS = pytest.mark.parametrize("workers", [0, 1, 2])


def found_in(path: Path, name: str) -> list[dict[str, Any]]:
    with tc.Store(path, read_only=True) as store:
        rows = store.matches.scan(name).read_all().to_pylist()
    return [{k: v for k, v in row.items() if k not in IDS} for row in rows]


def found_live(
    rows: list[dict[str, Any]], clause: str, lateness: int, advance: dict[int, dt.datetime]
) -> Any:
    """What an engine finds that nothing happened to; advance: before which event it is told the time."""
    found: list[Any] = []
    with tc.Engine(workers=0) as engine:
        stream = engine.stream("s", SCHEMA, time="ts", lateness=f"{lateness}s")
        engine.trigger("t", stream, clause).handler(found.append, per_match=True)
        for number, row in enumerate(rows):
            if number in advance:
                engine.advance(advance[number])
            stream.push(row)
    return found


@WORKERS
@pytest.mark.parametrize("lateness", [0, 12])
@pytest.mark.parametrize("name", ["keyed", "across", "library", "large", "whole"])
def test_history_and_live_events_are_one_sequence(
    tmp_path: Path, name: str, lateness: int, workers: int
) -> None:
    rows = events(900, 7, lateness)
    path = tmp_path / "s.store"
    with tc.Engine(path, workers=workers) as engine:
        stream = engine.stream("s", SCHEMA, time="ts", lateness=f"{lateness}s")
        engine.trigger("other", stream, "x > 8")
        for row in rows[:200]:
            stream.push(row)
        engine.advance(rows[199]["ts"] + dt.timedelta(seconds=1))
        for row in rows[200:400]:
            stream.push(row)
        pushing = threading.Thread(target=lambda: [stream.push(row) for row in rows[400:]])
        pushing.start()
        trigger = engine.trigger("t", stream, CLAUSES[name], backfill=True)
        seen: list[Any] = []
        trigger.handler(seen.append, per_match=True)
        pushing.join()
        assert trigger.caught_up(60)
        assert trigger.events_behind == 0
        engine.close(finish=True)
    right = found_live(rows, CLAUSES[name], lateness, {200: rows[199]["ts"] + dt.timedelta(seconds=1)})
    assert len(right) > 5
    assert found_in(path, "t") == right
    assert seen == right[len(right) - len(seen) :]  # the handler came when history was under way


@WORKERS
def test_it_begins_at_the_first_event_of_a_time(tmp_path: Path, workers: int) -> None:
    rows = events(300, 3, 0)
    with tc.Engine(tmp_path / "s.store", workers=workers) as engine:
        stream = engine.stream("s", SCHEMA, time="ts")
        stream.push(rows)
        start = rows[100]["ts"]
        trigger = engine.trigger("t", stream, CLAUSES["keyed"], backfill=start)
        whole = engine.trigger("w", stream, CLAUSES["keyed"], backfill=True)
        assert trigger.caught_up(60)
        assert whole.caught_up(60)
        engine.close(finish=True)
    assert found_in(tmp_path / "s.store", "t") == found_live(rows[100:], CLAUSES["keyed"], 0, {})
    assert found_in(tmp_path / "s.store", "w") == found_live(rows, CLAUSES["keyed"], 0, {})


@pytest.mark.parametrize("workers", [1, 2])
def test_a_crash_on_the_way_begins_it_again_and_finds_nothing_twice(tmp_path: Path, workers: int) -> None:
    rows = events(400, 5, 0)
    stopped = threading.Event()
    first = tmp_path / "a.store"
    with tc.Engine(first, workers=workers, checkpoint_every=None) as engine:
        stream = engine.stream("s", SCHEMA, time="ts")
        for row in rows:
            stream.push(row)
        trigger = engine.trigger("t", stream, CLAUSES["across"], backfill=True)

        @trigger.handler
        def slow(matches: pa.RecordBatch) -> None:
            stopped.wait(60)

        until = time.monotonic() + 60
        assert engine.store is not None
        while engine.store.matches.log("t").next_sequence == 0 and time.monotonic() < until:
            time.sleep(0.001)
        left = crashed(first, tmp_path / "b.store")
        stopped.set()
    with tc.Engine(left, workers=workers, checkpoint_every=None) as engine:
        stream = engine.stream("s", SCHEMA, time="ts")
        trigger = engine.trigger("t", stream, CLAUSES["across"], backfill=True)
        again: list[Any] = []
        trigger.handler(again.append, per_match=True, ids=True)
        engine.recover()
        assert trigger.caught_up(60)
        stream.push({"k": "a", "ts": rows[-1]["ts"] + dt.timedelta(seconds=3), "x": 1, "word": None})
        engine.close(finish=True)
    rows.append({"k": "a", "ts": rows[-1]["ts"] + dt.timedelta(seconds=3), "x": 1, "word": None})
    right = found_live(rows, CLAUSES["across"], 0, {})
    assert found_in(left, "t") == right
    assert [match["match_number"] for match in again] == list(range(len(right)))  # none had been handled


@WORKERS
def test_a_trigger_that_slept_sees_what_it_missed(tmp_path: Path, workers: int) -> None:
    rows = events(600, 9, 0)
    path = tmp_path / "s.store"
    for run in range(3):
        with tc.Engine(path, workers=workers) as engine:
            stream = engine.stream("s", SCHEMA, time="ts")
            engine.trigger("always", stream, CLAUSES["keyed"])
            if run == 0:
                engine.trigger("sleeper", stream, CLAUSES["across"])
            for row in rows[200 * run : 200 * run + 100]:
                stream.push(row)
            if run == 2:
                sleeper = engine.trigger("sleeper", stream, CLAUSES["across"])
                assert sleeper.caught_up(60)
            for row in rows[200 * run + 100 : 200 * run + 200]:
                stream.push(row)
            if run == 2:
                engine.close(finish=True)
    for name, clause in (("always", "keyed"), ("sleeper", "across")):
        assert found_in(path, name) == found_live(rows, CLAUSES[clause], 0, {})


def test_a_handler_may_push_to_the_stream_while_history_goes_on(tmp_path: Path) -> None:
    with tc.Engine(tmp_path / "s.store", workers=1) as engine:
        stream = engine.stream("s", SCHEMA, time="ts")
        stream.push(events(3000, 1, 0))
        last = START + dt.timedelta(days=1)
        trigger = engine.trigger("t", stream, "x > 6", backfill=True)
        pushed: list[int] = []

        @trigger.handler(per_match=True)
        def echo(match: dict[str, Any]) -> None:
            if match["word"] != "echo" and len(pushed) < 500:
                pushed.append(1)
                stream.push({"k": "e", "ts": last, "x": 9, "word": "echo"})

        assert trigger.caught_up(60)
        engine.flush(timeout=60)
        assert trigger.matched > 500
    words = [row["word"] for row in found_in(tmp_path / "s.store", "t")]
    assert words.count("echo") == len(pushed) > 0


def test_what_cannot_be_filled_back_is_named(tmp_path: Path) -> None:
    with tc.Engine(workers=0) as engine:
        stream = engine.stream("s", SCHEMA, time="ts")
        with pytest.raises(tc.TocsinError, match=r"'t': backfill= sees what a store has"):
            engine.trigger("t", stream, "x > 3", backfill=True)
    with tc.Engine(tmp_path / "s.store", workers=0) as engine:
        stream = engine.stream("s", SCHEMA, time="ts")
        untimed = engine.stream("u", pa.schema([("x", pa.int64())]))
        first = engine.trigger("first", stream, "x > 3")
        with pytest.raises(tc.TocsinError, match="not for a trigger upon a trigger"):
            engine.trigger("t", first, "x > 5", backfill=True)
        with pytest.raises(tc.SchemaError, match="no time column"):
            engine.trigger("t", untimed, "x > 5", backfill="2026-01-01")
        with pytest.raises(tc.SchemaError, match="yesterday"):
            engine.trigger("t", stream, "x > 5", backfill="yesterday")
        assert "t" not in engine.triggers
