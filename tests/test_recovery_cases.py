"""What an engine does with a store that is not as it left it, and what it says of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import tocsin as tc
from test_recovery import CLAUSES, SCHEMA, crashed, events, expected, listen, open_engine
from tocsin.inflow import Inflow

STEPS = pa.schema([("x", pa.int64())])
JUMP = "MEASURES high.x AS top PATTERN (low high) DEFINE low AS x < 1, high AS x > 8"


def steps_engine(path: Path, clause: str = JUMP, **options: Any) -> tuple[tc.Engine, Any, Any]:
    engine = tc.Engine(path, workers=options.pop("workers", 0), checkpoint_every=None, **options)
    stream = engine.stream("steps", STEPS)
    return engine, stream, engine.trigger("jump", stream, clause)


def half_a_match(path: Path) -> None:
    """Twice: a checkpoint each, and behind the last one a low step."""
    for values in ([5], [0]):
        engine, stream, _ = steps_engine(path)
        with engine:
            stream.push({"x": values})


def goes_on(path: Path, **options: Any) -> tuple[int, tc.Engine]:
    engine, stream, trigger = steps_engine(path, **options)
    with engine:
        stream.push({"x": [9]})
    return trigger.matched, engine


def checkpoints(path: Path) -> list[Path]:
    return sorted((path / "checkpoints").glob("*.arrow"))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def test_a_damaged_checkpoint_is_passed_over_and_told(tmp_path: Path) -> None:
    path = tmp_path / "s"
    half_a_match(path)
    assert len(checkpoints(path)) == 2
    flip(checkpoints(path)[-1])
    matched, engine = goes_on(path)
    assert matched == 1
    assert engine.recovered.events == {"steps": 1}  # the one before knew less
    (note,) = engine.recovered.notes
    assert "damaged checkpoint" in note
    assert str(path) in note


def test_without_a_whole_checkpoint_triggers_begin_afresh(tmp_path: Path) -> None:
    path = tmp_path / "s"
    half_a_match(path)
    for checkpoint in checkpoints(path):
        flip(checkpoint)
    matched, engine = goes_on(path)
    assert matched == 0
    assert len(engine.recovered.notes) == 2


def test_a_checkpoint_of_another_version_is_refused_by_name_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "s"
    half_a_match(path)
    newest = checkpoints(path)[-1]
    with tc.Store(path) as store:
        entries = store.checkpoints.newest([]).entries
    import tocsin.storage.checkpoints as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "VERSION", 9)
        with tc.Store(path) as store:
            store.checkpoints.write(entries)
    newest = checkpoints(path)[-1]
    before = newest.read_bytes()
    with pytest.raises(tc.StoreError, match="has version 9, this tocsin knows version 1"):
        steps_engine(path)
    assert newest.read_bytes() == before


def test_another_definition_begins_afresh_with_the_next_version(tmp_path: Path) -> None:
    path = tmp_path / "s"
    half_a_match(path)
    assert goes_on(path)[0] == 1
    half_a_match(path)
    other = JUMP.replace("x > 8", "x > 7")
    engine, stream, trigger = steps_engine(path, other)
    seen: list[Any] = []
    trigger.handler(seen.append, per_match=True, ids=True)
    with engine:
        stream.push({"x": [9, 0, 8]})
    assert "definition" in engine.recovered.afresh["jump"]
    assert (
        seen
        == [
            {
                "top": 8,
                "match_version": 2,
                "match_first_sequence": 7,
                "match_last_sequence": 8,
                "match_number": 1,
            }
        ]
        or seen[0]["match_version"] == 2
    )
    assert [match["match_number"] for match in seen] == [1]


def test_events_that_were_trimmed_cannot_be_seen_again(tmp_path: Path) -> None:
    path = tmp_path / "s"
    engine, stream, _ = steps_engine(path)
    with engine:
        stream.push({"x": [0]})
    with tc.Store(path, segment_bytes=1) as store:
        for _ in range(4):
            store.append("steps", {"x": [0]})
        assert store.trim("steps", sequence=4).events == 4
    matched, engine = goes_on(path)
    assert matched == 0
    assert "no longer in the store" in engine.recovered.afresh["jump"]


def test_events_that_came_without_an_engine_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "s"
    engine, stream, _ = steps_engine(path)
    with engine:
        stream.push({"x": [5]})
    with tc.Store(path) as store:
        store.append("steps", {"x": [0, 9, 0]})
    matched, engine = goes_on(path)
    assert matched == 2
    assert engine.recovered.events == {"steps": 3}


def test_the_end_of_input_ends_what_triggers_know(tmp_path: Path) -> None:
    path = tmp_path / "s"
    half_a_match(path)
    engine, stream, _ = steps_engine(path)
    stream.push({"x": [0]})
    engine.close(finish=True)
    matched, engine = goes_on(path)
    assert matched == 0
    assert engine.recovered.resumed == {}


def test_a_trigger_upon_one_that_went_on_without_it_begins_afresh(tmp_path: Path) -> None:
    path = tmp_path / "s"
    upon = "MEASURES a.top AS a, b.top AS b PATTERN (a b)"
    for with_upon, values in ((True, [0, 9]), (False, [0, 9]), (True, [0, 9, 0, 9])):
        engine, stream, trigger = steps_engine(path)
        with engine:
            second = engine.trigger("upon", trigger, upon) if with_upon else None
            stream.push({"x": values})
    assert second is not None
    assert second.matched == 1  # of the last two: it does not take the first and the third for neighbours
    assert "gone on without it" in engine.recovered.afresh["upon"]


def test_with_dropped_batches_nothing_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "s"
    for values in ([0], [9]):
        engine, stream, trigger = steps_engine(path, workers=1, overflow="drop_oldest")
        with engine:
            stream.push({"x": values})
            with pytest.raises(tc.TocsinError, match="drop_oldest"):
                engine.checkpoint()
    assert trigger.matched == 0
    assert not (path / "checkpoints").exists()


def test_a_mark_that_is_damaged_hands_over_what_the_checkpoint_did_not_know_handled(tmp_path: Path) -> None:
    path = tmp_path / "s"
    engine, stream, trigger = steps_engine(path)
    trigger.handler(lambda matches: None)
    stream.push({"x": [0, 9]})
    engine.checkpoint()
    stream.push({"x": [0, 9]})
    left = crashed(path, tmp_path / "c")
    engine.close()
    (left / "matches/jump/handled").write_bytes(b"\1" * 32)
    engine, _, trigger = steps_engine(left)
    again: list[Any] = []
    trigger.handler(again.append, per_match=True, ids=True)
    with engine:
        assert engine.recover().handed_over == {"jump": 1}
    assert [match["match_number"] for match in again] == [1]
    assert any("mark of what was handled" in note for note in engine.recovered.notes)


def test_a_store_of_version_1_opens_and_its_match_logs_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with tc.Store(path) as store:
        store.create_stream("steps", STEPS)
        store.append("steps", {"x": [0]})
        store.matches.create_stream("jump", pa.schema([("top", pa.int64())]))
    manifest = path / "tocsin.json"
    manifest.write_text(json.dumps({"format": "tocsin store", "version": 1}))
    with tc.Store(path, read_only=True) as store:
        assert store.scan("steps").read_all().num_rows == 1
    assert json.loads(manifest.read_text())["version"] == 1
    with tc.Engine(path) as engine:
        stream = engine.stream("steps", STEPS)
        with pytest.raises(tc.StoreError, match="'jump': its match log is of an earlier tocsin"):
            engine.trigger("jump", stream, JUMP)
        engine.trigger("other", stream, JUMP)
    assert json.loads(manifest.read_text())["version"] == 2


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("where", ["before", "behind"])
def test_a_recovery_that_is_interrupted_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, where: str
) -> None:
    rows = events(120, 3, 0)
    path = tmp_path / "a"
    engine, stream = open_engine(path, workers, 0, checkpoint_every=None)
    for row in rows[:100]:
        stream.push(row)
        if row is rows[20]:
            engine.checkpoint()
    engine.flush()
    left = crashed(path, tmp_path / "b")
    engine.close()
    feed, calls = Inflow._feed, iter(range(1000))

    def interrupted(self: Inflow, batch: pa.RecordBatch, base: int) -> None:
        if where == "before" and next(calls) % 30 == 10:
            raise KeyboardInterrupt
        feed(self, batch, base)

    def progress(count: int) -> None:
        if next(calls) % 30 == 10:
            raise KeyboardInterrupt

    engine, stream = open_engine(left, workers, 0, checkpoint_every=None)
    listen(engine)
    assert engine._recovery is not None
    monkeypatch.setattr(Inflow, "_feed", interrupted)
    stops = 0
    while True:
        try:
            engine._recovery.go_live(progress if where == "behind" else None)
            break
        except KeyboardInterrupt:
            stops += 1
    assert stops > 1
    for row in rows[100:]:
        stream.push(row)
    engine.close(finish=True)
    right = expected(rows, 0)
    with tc.Store(left) as store:
        for name in CLAUSES:
            found = store.matches.scan(name, columns=list(right[name][0])).read_all().to_pylist()
            assert found == right[name], name


def test_checkpoints_are_taken_by_themselves(tmp_path: Path) -> None:
    import time

    path = tmp_path / "s"
    with tc.Engine(path, checkpoint_every=0.01) as engine:
        stream = engine.stream("steps", STEPS)
        engine.trigger("jump", stream, JUMP)
        stream.push({"x": [0]})
        until = time.monotonic() + 60
        while len(checkpoints(path)) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        left = crashed(path, tmp_path / "c")
        numbers = [int(one.stem) for one in checkpoints(path)]
        time.sleep(0.1)
        assert [int(one.stem) for one in checkpoints(path)] == numbers  # nothing has come since
    engine, stream, trigger = steps_engine(left)
    with engine:
        stream.push({"x": [9]})
    assert trigger.matched == 1
    assert engine.recovered.events == {"steps": 0}


@pytest.mark.parametrize("every", [0, -1, "never", True])
def test_a_wrong_interval_is_named(tmp_path: Path, every: Any) -> None:
    with pytest.raises(ValueError, match="checkpoint_every="):
        tc.Engine(tmp_path / "s", checkpoint_every=every)
    shutil.rmtree(tmp_path / "s", ignore_errors=True)


def test_checkpoints_need_a_store_and_no_handler(tmp_path: Path) -> None:
    with tc.Engine() as engine, pytest.raises(tc.TocsinError, match="there is no store"):
        engine.checkpoint()
    engine, stream, trigger = steps_engine(tmp_path / "s")
    failed: list[Exception] = []

    @trigger.handler
    def inside(matches: pa.RecordBatch) -> None:
        try:
            engine.checkpoint()
        except tc.TocsinError as refused:
            failed.append(refused)

    with engine:
        stream.push({"x": [0, 9]})
    assert "in a handler" in str(failed[0])


def test_names_of_ids_are_ours(tmp_path: Path) -> None:
    with tc.Engine(tmp_path / "s") as engine:
        stream = engine.stream("steps", STEPS)
        with pytest.raises(tc.SchemaError, match="'match_number', which is the name of a part of its id"):
            engine.trigger(
                "t", stream, "MEASURES MATCH_NUMBER() AS match_number PATTERN (a) DEFINE a AS x > 1"
            )
    with tc.Engine() as engine:
        stream = engine.stream("steps", SCHEMA)
        trigger = engine.trigger("t", stream, "x > 1")
        for refused in (lambda: trigger.handler(print, ids=True), lambda: trigger.matches(ids=True)):
            with pytest.raises(tc.TocsinError, match="no store"):
                refused()


def test_damaged_events_are_told_and_the_others_seen(tmp_path: Path) -> None:
    path = tmp_path / "s"
    engine, stream, _ = steps_engine(path)
    for values in ([0, 9], [7, 7], [0, 5], [9, 9]):
        stream.push({"x": values})
    left = crashed(path, tmp_path / "c")
    engine.close()
    with tc.Store(left) as store:  # writes an index: damage is damage from then on, not a torn tail
        places = [row[:2] for row in store.log("steps").snapshot()[0].rows.tolist()]
    (segment,) = (left / "streams/steps").glob("0*.arrow")
    data = bytearray(segment.read_bytes())
    data[places[2][0] + places[2][1] - 8] ^= 1
    segment.write_bytes(data)
    engine, stream, trigger = steps_engine(left)
    with engine:
        recovered = engine.recover()
        stream.push({"x": [0, 9]})
    assert "events 4 to 5" in recovered.notes[0]
    assert str(segment) in recovered.notes[0]
    assert (
        trigger.matched == 1
    )  # the low step before the last high one is gone; the first match is in the log


def test_retention_leaves_what_a_checkpoint_needs(tmp_path: Path) -> None:
    path = tmp_path / "s"
    store = tc.Store(path, segment_bytes=1)
    engine, stream, _trigger = steps_engine(store)  # type: ignore[arg-type]
    log = store.log("steps")
    for number in range(10):
        stream.push({"x": [number]})
    assert store.trim("steps", sequence=9).events == 0  # no checkpoint has seen them
    engine.checkpoint()
    assert store.trim("steps", sequence=9).events == 0  # the one before has not
    stream.push({"x": [10]})
    engine.checkpoint()
    assert log.floors == {"checkpoint": 10}
    assert store.trim("steps", sequence=9).events == 9
    left = crashed(path, tmp_path / "c")
    engine.close()
    store.close()
    engine, stream, _trigger = steps_engine(left)
    with engine:
        assert engine.recover().afresh == {}


def test_one_engine_at_a_time_keeps_its_triggers_in_a_store(tmp_path: Path) -> None:
    with tc.Store(tmp_path / "s") as store:
        engine, stream, _ = steps_engine(store)  # type: ignore[arg-type]
        with pytest.raises(tc.StoreError, match="has an engine already"):
            steps_engine(store)  # type: ignore[arg-type]
        with engine:
            stream.push({"x": [0]})
        engine, stream, trigger = steps_engine(store)  # type: ignore[arg-type]
        with engine:
            stream.push({"x": [9]})
        assert trigger.matched == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_what_was_not_handled_comes_before_history_goes_on(tmp_path: Path, workers: int) -> None:
    """A trigger that catches up gets what no handler had finished with first, and no call runs beside another."""
    import threading

    path = tmp_path / "s"
    engine, stream, trigger = steps_engine(path, workers=1)
    gate = threading.Event()
    trigger.handler(lambda matches: gate.wait(60))
    for _ in range(30):
        stream.push({"x": [0, 9]})
    left = tmp_path / "c"
    until = 0
    while engine.store.matches.log("jump").next_sequence < 1 and until < 10_000:  # type: ignore[union-attr]
        until += 1
        gate.wait(0.005)
    crashed(path, left)
    gate.set()
    engine.close()
    with tc.Engine(
        left, workers=workers, checkpoint_every=None
    ) as engine:  # the trigger sleeps, the stream goes on
        engine.stream("steps", STEPS).push({"x": [0, 9]})
    with tc.Engine(left, workers=workers, checkpoint_every=None) as engine:
        stream = engine.stream("steps", STEPS)
        stream.push({"x": [0, 9]})
        trigger = engine.trigger("jump", stream, JUMP)
        numbers: list[int] = []
        inside: list[int] = []

        @trigger.handler(per_match=True, ids=True)
        def look(match: dict[str, Any]) -> None:
            inside.append(1)
            assert len(inside) == 1
            numbers.append(match["match_number"])
            inside.pop()

        assert trigger.caught_up(60)
        stream.push({"x": [0, 9]})
        engine.flush()
        assert engine.dead_letters("jump") == []
    assert numbers == list(range(33))
