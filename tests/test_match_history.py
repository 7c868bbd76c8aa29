"""trigger.matches(start=): what the match log has, then what comes, without a gap and none twice."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import tocsin as tc
from tocsin.matches import MatchIterator

SCHEMA = pa.schema([("n", pa.int64())])


def numbers(batches: Any) -> list[int]:
    return [n for batch in batches for n in batch["n"].to_pylist()]


def engine_at(path: Path, **options: Any) -> tuple[tc.Engine, Any, Any]:
    engine = tc.Engine(path, **options)
    stream = engine.stream("s", SCHEMA)
    return engine, stream, engine.trigger("t", stream, "n >= 0")


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_matches_of_earlier_runs_then_those_that_come(tmp_path: Path, workers: int) -> None:
    path = tmp_path / "s.store"
    for run in range(2):
        engine, stream, _ = engine_at(path, workers=workers)
        with engine:
            for n in range(10 * run, 10 * run + 10):
                stream.push({"n": n})
    engine, stream, trigger = engine_at(path, workers=workers)
    with engine:
        everything, some, none, live = (trigger.matches(start=start) for start in (0, 15, 20, 25))
        only_live = trigger.matches()
        for n in range(20, 30):
            stream.push({"n": n})
    assert numbers(everything) == list(range(30))
    assert numbers(some) == list(range(15, 30))
    assert numbers(none) == list(range(20, 30))
    assert numbers(only_live) == list(range(20, 30))
    assert numbers(live) == list(range(20, 30))  # nothing is held back: it may start within what is to come


@pytest.mark.parametrize("durability", ["commit", "interval"])
@pytest.mark.parametrize("workers", [1, 2])
def test_begun_at_any_moment_it_has_no_gap_and_nothing_twice(
    tmp_path: Path, workers: int, durability: Any
) -> None:
    count, found = 1500 if durability == "interval" else 300, []
    store = tc.Store(tmp_path / "s.store", durability=durability, segment_bytes=4000)
    engine, stream, trigger = engine_at(store, workers=workers)  # type: ignore[arg-type]
    pulled: list[tuple[MatchIterator, list[int]]] = []

    def pull(iterator: MatchIterator, seen: list[int]) -> None:
        seen += numbers(iterator)

    threads: list[threading.Thread] = []
    with engine:
        pusher = threading.Thread(target=lambda: [stream.push({"n": n}) for n in range(count)])
        pusher.start()
        while pusher.is_alive() and len(threads) < 40:
            seen: list[int] = []
            found.append(seen)
            iterator = trigger.matches(limit=None, start=0)
            pulled.append((iterator, seen))
            threads.append(threading.Thread(target=pull, args=(iterator, seen)))
            threads[-1].start()
            time.sleep(0.002)
        pusher.join()
    for thread in threads:
        thread.join(60)
    store.close()
    assert len(found) > 3
    for seen in found:
        assert seen == list(range(count))


def test_on_an_event_loop_and_shared_by_tasks(tmp_path: Path) -> None:
    engine, stream, trigger = engine_at(tmp_path / "s.store", workers=1)
    with engine:
        for n in range(50):
            stream.push({"n": n})
        engine.flush()
        matches = trigger.matches(start=10)
        for n in range(50, 60):
            stream.push({"n": n})

    async def main() -> list[int]:
        seen: list[int] = []

        async def pull() -> None:
            async for batch in matches:
                seen.extend(batch["n"].to_pylist())

        await asyncio.gather(pull(), pull(), pull())
        return seen

    assert sorted(asyncio.run(main())) == list(range(10, 60))


def test_what_stands_in_the_way_is_named(tmp_path: Path) -> None:
    with tc.Engine(workers=0) as engine:
        stream = engine.stream("s", SCHEMA)
        trigger = engine.trigger("t", stream, "n >= 0")
        with pytest.raises(tc.TocsinError, match="no store"):
            trigger.matches(start=0)
        for wrong in (-1, 1.5, True, "1970"):
            with pytest.raises(ValueError, match="start="):
                trigger.matches(start=wrong)  # type: ignore[arg-type]


def test_a_match_log_that_cannot_be_written_keeps_nobody_from_the_matches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, stream, trigger = engine_at(tmp_path / "s.store", workers=0)
    assert engine.store is not None
    log = engine.store.matches.log("t")
    append = log.append
    stream.push({"n": 0})

    refused = iter([False, True])

    def fails(batch: Any) -> int:
        if batch["n"][0].as_py() == 1 and not next(refused):
            raise tc.StoreError("disk full")
        return int(append(batch))

    monkeypatch.setattr(log, "append", fails)
    matches = trigger.matches(start=0)
    with pytest.raises(tc.StoreError, match="disk full"):
        stream.push({"n": 1})
    stream.push({"n": 2})
    engine.close()
    assert numbers(matches) == [0, 1, 2]
    with tc.Store(tmp_path / "s.store") as store:
        assert store.matches.scan("t").read_all()["n"].to_pylist() == [0, 1, 2]


def test_a_removed_trigger_s_history_is_read_to_its_end(tmp_path: Path) -> None:
    engine, stream, trigger = engine_at(tmp_path / "s.store", workers=1)
    with engine:
        for n in range(5):
            stream.push({"n": n})
        engine.flush()
        matches = trigger.matches(start=0)
        engine.remove("t")
        engine.flush()
        assert numbers(matches) == [0, 1, 2, 3, 4]
        again = trigger.matches(start=3)
        assert numbers(again) == [3, 4]
