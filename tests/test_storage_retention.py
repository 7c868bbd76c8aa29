"""What leaves by itself: when, where to, and what stays whatever is asked."""

from __future__ import annotations

import datetime as dt
import logging
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tocsin as tc
from tocsin.storage import leaving, places
from tocsin.storage.log import Log

SCHEMA = pa.schema([("ts", pa.timestamp("us")), ("n", pa.int64())])
DAY = dt.timedelta(days=1)


def days(first: int, count: int = 10) -> pa.RecordBatch:
    at = range(first, first + count)
    stamps = pa.array([d * 86_400_000_000 for d in at], pa.timestamp("us"))
    return pa.record_batch({"ts": stamps, "n": list(at)}, schema=SCHEMA)


def opened(path: Path, **options: Any) -> tc.Store:
    return tc.Store(path, segment_bytes=1, **options)


def settle(store: tc.Store) -> None:
    """Return when what was asked of the thread so far is done: it takes logs one after the other."""
    done = threading.Event()
    keeper = store._keeper
    assert keeper is not None

    class Mark:
        name = "mark"

        def retain_in_background(self) -> None:
            done.set()

    keeper._work = lambda log: log.retain_in_background()  # a Mark is no Log
    for _ in range(2):  # the first may be taken together with a log that comes after it
        done.clear()
        keeper.wake(Mark())  # type: ignore[arg-type]
        assert done.wait(60)


def fill(store: tc.Store, first: int = 0, after: int = 100) -> None:
    for at in range(first, after, 10):
        store.append("s", days(at))
    settle(store)


def left(store: tc.Store) -> list[int]:
    found: list[int] = store.scan("s").read_all()["n"].to_pylist()
    return found


@pytest.mark.parametrize(
    ("keep", "first"),
    [
        ("30d", 60),  # the newest is day 99: the file of days 60 to 69 has the 69th, thirty days before
        ("29d", 70),
        ("4w", 70),
        (30 * DAY, 60),
        (np.timedelta64(29, "D"), 70),
        (29 * 86_400, 70),
        (29.5 * 86_400, 70),
        ("1000d", 0),
        ("1s", 90),
    ],
)
def test_old_events_go_by_their_times(tmp_path: Path, keep: Any, first: int) -> None:
    with opened(tmp_path / "s") as store:
        store.create_stream("s", SCHEMA, time="ts", keep=keep)
        fill(store)
        assert left(store) == list(range(first, 100))
        assert not store.failing()


def test_by_size(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as store:
        store.create_stream("s", SCHEMA, time="ts")
        fill(store)
        size = store.streams()["s"].bytes
        store.retain("s", keep_bytes=size // 2)
        settle(store)
        assert left(store) == list(range(50, 100))
        fill(store, 100, 200)
        assert left(store) == list(range(150, 200))
        store.retain("s", keep_bytes=0)
        settle(store)
        assert left(store) == list(range(190, 200))  # the file that grows


def test_it_belongs_to_this_opening_and_can_be_changed(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as store:
        store.create_stream("s", SCHEMA, time="ts", keep="50d")
        fill(store)
        assert left(store)[0] == 40
        store.create_stream("s", SCHEMA, time="ts")  # as it was
        fill(store, 100, 110)
        assert left(store)[0] == 50
        store.retain("s")
        fill(store, 110, 130)
        assert left(store)[0] == 50
    with opened(tmp_path / "s") as store:
        fill(store, 130, 150)
        assert left(store)[0] == 50
        store.create_stream("s", SCHEMA, time="ts", keep="20d")
        settle(store)
        assert left(store)[0] == 120
    with opened(tmp_path / "s", read_only=True) as store:
        store.create_stream("s", SCHEMA, time="ts", keep="1d")
        assert left(store) == list(range(120, 150))


def test_to_parquet_and_gone_from_there(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as store:
        store.create_stream(
            "s", SCHEMA, time="ts", keep="19d", tier_to=tmp_path / "s" / "cold", tier_keep="59d"
        )
        fill(store)
        info = store.streams()["s"]
        assert left(store) == list(range(40, 100))
        assert (info.tiered_rows, info.segments) == (40, 2)
        assert sorted(pq.read_table(tmp_path / "s" / "cold")["n"].to_pylist()) == list(range(40, 80))
        store.retain("s", keep="19d", tier_to=tmp_path / "s" / "cold")
        fill(store, 100, 150)
        assert left(store) == list(range(40, 150))
        assert store.streams()["s"].tiered_rows == 90
        store.retain("s", keep_bytes=10**9, keep="19d")  # no more Parquet: what is there is old, and goes
        settle(store)
        assert left(store) == list(range(130, 150))


def test_matches_have_it_too(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as store:
        store.matches.create_stream("m", SCHEMA, time="ts", keep="9d")
        for first in range(0, 50, 10):
            store.matches.append("m", days(first))
        settle(store.matches)  # type: ignore[arg-type]
        assert store.matches.scan("m").read_all()["n"].to_pylist() == list(range(40, 50))


@pytest.mark.parametrize(
    ("kind", "keep", "first"),
    [
        (pa.int64(), 29, 70),
        (pa.uint32(), np.int64(30), 60),
        (pa.date32(), "29d", 70),
        (pa.date32(), "30d12h", 60),
        (pa.date64(), "29d", 70),
        (pa.timestamp("s", "Europe/Berlin"), "29d", 70),
        (pa.timestamp("ns"), "29d", 70),
    ],
)
def test_times_of_every_kind(tmp_path: Path, kind: pa.DataType, keep: Any, first: int) -> None:
    unit = pa.array([86_400 * 10**9]).cast(pa.duration("ns"))
    with opened(tmp_path / "s") as store:
        store.create_stream("s", pa.schema([("ts", kind), ("n", pa.int64())]), time="ts", keep=keep)
        for at in range(0, 100, 10):
            numbers = pa.array(range(at, at + 10))
            if pa.types.is_timestamp(kind):
                times = pa.array(np.arange(at, at + 10) * unit.view(pa.int64())[0].as_py()).cast(
                    pa.timestamp("ns", kind.tz)
                )
            else:
                times = numbers.cast(pa.int32()).cast(pa.date32()) if pa.types.is_date(kind) else numbers
            store.append("s", {"ts": times.cast(kind), "n": numbers})
        settle(store)
        assert left(store) == list(range(first, 100))


def test_without_times_the_files_ages_count(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as store:
        store.create_stream(
            "s", pa.schema([("n", pa.int64())]), keep="1h", tier_to=tmp_path / "c", tier_keep="1d"
        )
        for n in range(6):
            store.append("s", {"n": [n]})
        settle(store)
        assert store.streams()["s"].tiered_rows == 0
        for n, age in ((0, 90_000), (1, 4_000), (2, 100)):
            then = time.time() - age
            os.utime(tmp_path / "s" / "streams" / "s" / f"{n:020d}.arrow", (then, then))
        store.append("s", {"n": [6]})
        settle(store)
        assert left(store) == [1, 2, 3, 4, 5, 6]
        assert store.streams()["s"].tiered_rows == 1


# -- what is held ------------------------------------------------------------------------------------


def test_what_is_held_stays(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as store:
        log = store.create_stream("s", SCHEMA, time="ts", keep="10d")
        assert log.hold("checkpoint", 35) == 0
        assert log.hold("other", 70) == 0
        fill(store)
        assert left(store)[0] == 30
        assert log.floors == {"checkpoint": 35, "other": 70}
        assert store.trim("s", sequence=10**9) == (0, 0)
        assert store.tier("s", to=tmp_path / "cold", sequence=10**9).events == 0
        assert log.hold("checkpoint", 50) == 30
        fill(store, 100, 110)
        assert left(store)[0] == 50
        log.release("checkpoint")
        log.release("nobody")
        fill(store, 110, 120)
        assert left(store)[0] == 70
        log.release("other")
        assert log.floors == {}
        fill(store, 120, 130)
        assert left(store)[0] == 110
        assert log.hold("late", 0) == 110  # what it wanted has gone before
        for wrong in (-1, True, 1.5, None):
            with pytest.raises(tc.StoreError, match="sequence"):
                log.hold("x", wrong)  # type: ignore[arg-type]


def test_parts_are_held_too(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as store:
        log = store.create_stream("s", SCHEMA, time="ts")
        fill(store)
        store.tier("s", to=tmp_path / "cold", sequence=60)
        assert log.hold("c", 25) == 0
        assert store.trim("s", sequence=90).events == 20
        assert left(store)[0] == 20


# -- failures ----------------------------------------------------------------------------------------


def test_a_failure_is_told_once_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path / "s") as store:
        store.create_stream("s", SCHEMA, time="ts", keep="10d", tier_to=tmp_path / "cold")

        def fails(*args: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(places.Place, "write", fails)
        with caplog.at_level(logging.WARNING, "tocsin.storage"):
            fill(store)
            fill(store, 100, 150)
        assert left(store) == list(range(150))
        assert "No space left" in str(store.failing()["s"])
        assert len(caplog.records) == 1
        assert "events 0 to 9 stay where they are" in caplog.records[0].getMessage()
        monkeypatch.undo()
        fill(store, 150, 160)
        assert not store.failing()
        assert left(store) == list(range(160))
        assert store.streams()["s"].tiered_rows == 140


def test_whatever_is_raised_the_thread_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path / "s") as store:
        for name in ("s", "t"):
            store.create_stream(name, SCHEMA, time="ts", keep="10d")
        older = leaving.Leaving._older_than

        def fails(self: Log, *args: Any) -> Any:
            if self.name == "s":
                raise MemoryError
            return older(self, *args)

        monkeypatch.setattr(leaving.Leaving, "_older_than", fails)
        for first in range(0, 50, 10):
            store.append("s", days(first))
            store.append("t", days(first))
        settle(store)
        assert list(store.failing()) == ["s"]
        assert store.scan("t").read_all()["n"].to_pylist() == list(range(30, 50))


@pytest.mark.parametrize(
    ("schema", "options", "says"),
    [
        (SCHEMA, {"keep": "30 days"}, r"keep='30 days'.*30s"),
        (SCHEMA, {"keep": 0}, "positive"),
        (SCHEMA, {"keep": "-1d"}, "positive"),
        (SCHEMA, {"keep": float("nan")}, "length of time"),
        (SCHEMA, {"keep": True}, "duration"),
        (SCHEMA, {"keep_bytes": -1}, "whole number of bytes"),
        (SCHEMA, {"keep_bytes": 1.5}, "whole number of bytes"),
        (SCHEMA, {"tier_to": "cold"}, "say when"),
        (SCHEMA, {"keep": "1d", "tier_keep": "2d"}, "tier_to="),
        (SCHEMA, {"keep": "2d", "tier_to": "cold", "tier_keep": "1d"}, "less than keep"),
        (pa.schema([("ts", pa.int64())]), {"keep": "1d"}, "whole number in its unit"),
    ],
)
def test_what_cannot_be_asked(tmp_path: Path, schema: pa.Schema, options: dict[str, Any], says: str) -> None:
    with opened(tmp_path / "s") as store:
        with pytest.raises(tc.SchemaError, match=says):
            store.create_stream("s", schema, time="ts", **options)
        assert "s" not in store.streams()
        store.create_stream("s", schema, time="ts")
        with pytest.raises(tc.SchemaError, match=says):
            store.retain("s", **options)
        with pytest.raises(tc.StoreError, match="no stream 'x'"):
            store.retain("x", keep=1)


# -- beside other work -------------------------------------------------------------------------------


def test_appends_do_not_wait_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go = threading.Event(), threading.Event()
    write = places.Place.write

    def waits(self: places.Place, path: str, data: pa.Buffer) -> None:
        begun.set()
        assert go.wait(60)
        write(self, path, data)

    monkeypatch.setattr(places.Place, "write", waits)
    with opened(tmp_path / "s") as store:
        log = store.create_stream("s", SCHEMA, time="ts", keep="10d", tier_to=tmp_path / "cold")
        for first in range(0, 60, 10):
            store.append("s", days(first))
        assert begun.wait(60)
        for first in range(60, 100, 10):  # while the thread stands in the middle of a file
            store.append("s", days(first))
        store.sync()
        assert left(store) == list(range(100))
        assert log.hold("now", 85) == 0
        assert store.streams()["s"].tiered_rows == 0
        go.set()
        settle(store)
        assert left(store) == list(range(100))
        assert store.streams()["s"].tiered_rows == 80


def test_closing_waits_for_the_file_it_is_at_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, write = threading.Event(), places.Place.write

    def slow(self: places.Place, path: str, data: pa.Buffer) -> None:
        begun.set()
        time.sleep(0.2)
        write(self, path, data)

    monkeypatch.setattr(places.Place, "write", slow)
    with opened(tmp_path / "s") as store:
        store.create_stream("s", SCHEMA, time="ts")
        fill(store)
        store.retain("s", keep="1d", tier_to=tmp_path / "cold")
        assert begun.wait(60)
    with opened(tmp_path / "s") as store:
        assert left(store) == list(range(100))
        assert not store.recovered
        assert store.streams()["s"].tiered_rows == pq.read_table(tmp_path / "cold").num_rows
        assert store.streams()["s"].tiered_rows in (10, 20)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_whatever_happens_in_whatever_order(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Against a list: events go from the front only, only when asked, and never what is held."""
    root = tmp_path_factory.mktemp("steps")
    path = root / "0"

    def open_again() -> tuple[tc.Store, Log]:
        size = data.draw(st.sampled_from([1, 2500, 1 << 20]))
        store = tc.Store(path, segment_bytes=size, durability="none")
        return store, store.create_stream("s", SCHEMA, time="ts", lookup=["n"])

    store, log = open_again()
    first = after = 0
    held: dict[str, int] = {}
    for step in range(data.draw(st.integers(5, 25))):
        what = data.draw(
            st.sampled_from(
                ["append"] * 5
                + ["seal", "tier", "tier", "trim", "hold", "release", "reopen", "crash", "keep"]
            )
        )
        at = data.draw(st.integers(0, after + 5))
        floor = min(held.values(), default=after)
        if what == "append":
            count = data.draw(st.integers(1, 12))
            assert store.append("s", days(after, count)) == after
            after += count
        elif what == "seal":
            store.seal("s")
        elif what == "tier":
            before = store.streams()["s"].tiered_rows
            gone = store.tier("s", to=path / "cold", sequence=at)
            assert store.streams()["s"].tiered_rows == before + gone.events
            assert gone.events == 0 or first + before + gone.events <= min(at, floor)
        elif what == "trim":
            gone_events = store.trim("s", sequence=at).events
            first += gone_events
            assert gone_events == 0 or first <= min(at, floor)
        elif what == "keep":
            store.retain("s", keep=f"{data.draw(st.integers(1, 40))}d", tier_to=path / "cold")
            settle(store)
            store.retain("s")
        elif what == "hold":
            name = data.draw(st.sampled_from("ab"))
            assert log.hold(name, at) == first
            held[name] = at
        elif what == "release":
            name = data.draw(st.sampled_from("ab"))
            log.release(name)
            held.pop(name, None)
        else:
            if what == "crash":
                copied = root / f"{step + 1}"
                shutil.copytree(path, copied)
                store.close()
                path = copied
            else:
                store.close()
            held = {}
            store, log = open_again()
        wanted = range(first, after)
        assert left(store) == list(wanted)
        low = data.draw(st.integers(0, after + 2))
        part = store.scan("s", sequence=(low, low + 7), sequence_column="at").read_all()
        assert part["n"].to_pylist() == part["at"].to_pylist() == [n for n in wanted if low <= n < low + 7]
        assert store.scan("s", keys={"n": low}).read_all().num_rows == (low in wanted)
        info = store.streams()["s"]
        assert (info.rows, info.next_sequence) == (after - first, after)
    store.close()
