"""The handle and its thread: waiting, closing, failing, targets that are away or hang; the engine's door."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tocsin as tc
from sync_support import SEQUENCE, append, wait_until
from tocsin.errors import ClosedError, TocsinError
from tocsin.sync import (
    Pace,
    ParquetTarget,
    Position,
    PositionMovedError,
    SyncError,
    SyncTimeoutError,
    Target,
    TargetAwayError,
    start,
)

SCHEMA = pa.schema([("ts", pa.timestamp("us")), ("price", pa.float64()), ("word", pa.string())])


class Memory:
    """A target of one's own: rows in a list; `fault` is raised by each write, `gate` holds it back."""

    pace = Pace(rows=100, bytes=1 << 20, interval=0.005)

    def __init__(self):
        self.rows = []
        self.marks = []
        self.fault = self.open_fault = None
        self.gate = threading.Event()
        self.gate.set()
        self.opened = self.closed = self.cancelled = 0

    def open(self, shape):
        self.opened += 1
        if self.open_fault is not None:
            raise self.open_fault
        return Position(len(self.rows), self.marks[-1]) if self.rows else None

    def write(self, piece):
        assert self.gate.wait(60)
        if self.fault is not None:
            raise self.fault
        self.rows += piece.rows[SEQUENCE].to_pylist()
        self.marks.append(piece.mark)

    def close(self):
        self.closed += 1

    def cancel(self):
        self.cancelled += 1

    def __str__(self):
        return "memory"


@pytest.fixture
def store(tmp_path):
    with tc.Store(tmp_path / "a.store") as store:
        store.create_stream("s", SCHEMA, time="ts")
        yield store


def test_a_target_of_ones_own(store):
    target = Memory()
    assert isinstance(target, Target)
    append(store, 250)
    with start(store, "s", target) as sync:
        sync.wait(timeout=60)
        assert repr(sync) == "Sync('streams/s' to memory, running, lag 0)"
    assert target.rows == list(range(250))
    assert target.closed >= 1
    start(store, "s", target).close()
    assert target.rows == list(range(250))


def test_a_target_that_is_away_at_the_start_and_later(store, caplog):
    target = Memory()
    target.open_fault = TargetAwayError("no line")
    append(store, 10)
    sync = start(store, "s", target, retry_max=0.01)
    assert (sync.state, sync.position, sync.lag, str(sync.error)) == ("waiting", None, 10, "no line")
    with pytest.raises(SyncTimeoutError, match=r"10 events behind, and waiting \(TargetAwayError: no line\)"):
        sync.wait(timeout=0.05)
    wait_until(lambda: target.opened > 3)
    target.open_fault = None
    sync.wait(timeout=60)
    target.fault = TargetAwayError("cut off")
    append(store, 10)
    wait_until(lambda: sync.state == "waiting")
    assert target.rows == list(range(10))
    target.fault = None
    sync.wait(timeout=60)
    assert (sync.state, sync.error) == ("running", None)
    sync.close()
    assert target.rows == list(range(20))
    assert "no line; next attempt in" in caplog.text
    assert "goes on after" not in caplog.text  # that is no warning


def test_close_does_not_wait_for_a_target_that_is_away(store, caplog):
    target = Memory()
    append(store, 10)
    sync = start(store, "s", target)
    sync.wait(timeout=60)
    target.fault = TargetAwayError("cut off")
    append(store, 5)
    wait_until(lambda: sync.state == "waiting")
    sync.close(timeout=600)
    assert (sync.state, sync.lag) == ("closed", 5)
    assert "ends 5 events behind; the next one goes on there" in caplog.text
    with pytest.raises(ClosedError, match="5 events behind"):
        sync.wait()


@pytest.mark.parametrize("fault", [SyncError("wrong table"), ZeroDivisionError("a fault of ours")])
def test_a_failure_is_logged_told_by_wait_and_by_close_unless_told(store, fault, caplog):
    for by_wait in (True, False):
        target = Memory()
        target.fault = fault
        append(store, 10)
        sync = start(store, "s", target)
        wait_until(lambda sync=sync: sync.state == "failed")
        assert sync.error is fault
        if by_wait:
            with pytest.raises(type(fault)):
                sync.wait(timeout=60)
            sync.close()
        else:
            with pytest.raises(type(fault)):
                sync.close()
            sync.close()
        assert target.closed
        assert target.rows == []
    assert "has failed" in caplog.text
    assert ("Traceback" in caplog.text) == isinstance(fault, ZeroDivisionError)


def test_a_refusal_at_the_start_is_raised_there(store):
    target = Memory()
    target.open_fault = SyncError("another schema")
    with pytest.raises(SyncError, match="another schema"):
        start(store, "s", target)
    assert target.closed


def test_the_block_s_own_error_matters_more(store):
    target = Memory()
    target.fault = SyncError("wrong table")
    append(store, 1)

    def block():
        with start(store, "s", target) as sync:
            wait_until(lambda: sync.state == "failed")
            raise KeyError("of the block")

    with pytest.raises(KeyError) as raised:
        block()
    assert any("wrong table" in note for note in raised.value.__notes__)


def test_a_target_that_hangs_is_left_after_the_time_given(store, caplog):
    target = Memory()
    target.gate.clear()
    append(store, 10)
    sync = start(store, "s", target)
    sync.close(timeout=0.1)
    assert target.cancelled == 1
    assert "does not answer; it is left to end by itself" in caplog.text
    target.gate.set()
    wait_until(lambda: sync.state == "closed")


def test_wait_wakes_a_thread_that_sleeps_long(store):
    target = Memory()
    with start(store, "s", target, interval=3600) as sync:
        append(store, 10)
        sync.wait(timeout=60)
        append(store, 10)
    assert target.rows == list(range(20))


def test_an_idle_sync_costs_next_to_nothing(store):
    """One look for each interval, and none of them asks the target."""
    target = Memory()
    append(store, 10)
    with start(store, "s", target) as sync:
        sync.wait(timeout=60)
        before = target.opened
        real, looks = sync._runner.step, []
        sync._runner.step = lambda: looks.append(1) or real()
        wait_until(lambda: len(looks) > 5)
        assert target.opened == before


def test_a_position_that_never_stays_is_told(store, caplog):
    target = Memory()
    target.fault = PositionMovedError("the commit was refused")
    append(store, 10)
    sync = start(store, "s", target, retry_max=0.01)
    wait_until(lambda: sync.state == "waiting")
    assert isinstance(sync.error, PositionMovedError)
    assert "the commit was refused" in caplog.text
    target.fault = None
    sync.wait(timeout=60)
    sync.close()
    assert target.rows == list(range(10))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_leaves_the_parents_sync_alone(store):
    target = Memory()
    append(store, 10)
    with start(store, "s", target) as sync:
        sync.wait(timeout=60)
        pid = os.fork()
        if pid == 0:
            sync.close()
            os._exit(0 if sync.state == "closed" and not target.closed else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        append(store, 10)
        sync.wait(timeout=60)
    assert target.rows == list(range(20))


@pytest.mark.parametrize("kind", ["delta", "parquet", "store"])
def test_a_process_may_end_without_closing(tmp_path, kind):
    """The interpreter's end finds threads of deltalake and ours: it must neither hang nor crash."""
    script = f"""
import pyarrow as pa, tocsin as tc
from tocsin.sync import start
store = tc.Store({str(tmp_path / "a.store")!r})
store.create_stream("s", pa.schema([("x", pa.int64())]))
sync = start(store, "s", {f"{kind}:{tmp_path / 't'}"!r}, rows=5, interval=0.001)
for n in range(30):
    store.append("s", {{"x": [n] * 10}})
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert all("events behind; the next one goes on there" in line for line in done.stderr.splitlines())
    with tc.Store(tmp_path / "a.store") as store:
        start(store, "s", f"{kind}:{tmp_path / 't'}").close()
        assert store.log("s").next_sequence == 300


# -- the engine --------------------------------------------------------------------------------------


def test_an_engine_brings_its_targets_up_to_date_when_it_closes(tmp_path):
    with tc.Engine(tmp_path / "e.store") as engine:
        stream = engine.stream("s", SCHEMA, time="ts")
        engine.trigger("large", stream, tc.col("price") > 2)
        targets = [Memory(), Memory()]
        syncs = [engine.sync("s", targets[0]), engine.sync("large", targets[1])]
        for _ in range(10):
            stream.push(
                {
                    "ts": [pa.scalar(0, pa.timestamp("us")).as_py()] * 3,
                    "price": [1.0, 2.0, 3.0],
                    "word": ["x"] * 3,
                }
            )
    assert targets[0].rows == list(range(30))
    assert targets[1].rows == list(range(10))
    assert [sync.state for sync in syncs] == ["closed", "closed"]
    assert [sync._runner.source.shape.label for sync in syncs] == ["streams/s", "matches/large"]


def test_the_end_of_input_reaches_the_target_too(tmp_path):
    """What only the end settles is matched, stored and synced before the store closes."""
    with tc.Engine(tmp_path / "e.store", workers=0) as engine:
        stream = engine.stream("s", pa.schema([("n", pa.int64())]))
        runs = engine.trigger("runs", stream, "MEASURES COUNT(*) AS length PATTERN (a+) DEFINE a AS n > 0")
        engine.sync(runs, f"parquet:{tmp_path / 'runs'}")
        stream.push({"n": [1, 2, 3]})
        engine.close(finish=True)
    assert pq.read_table(tmp_path / "runs")["length"].to_pylist() == [3]


def test_an_engine_refuses_what_cannot_be_synced(tmp_path):
    with tc.Engine() as engine:
        stream = engine.stream("s", SCHEMA)
        with pytest.raises(TocsinError, match="sync of 's': the engine has no store; give Engine a path"):
            engine.sync(stream, Memory())
    with (
        tc.Engine(tmp_path / "e.store") as engine,
        pytest.raises(TocsinError, match="there is no stream or trigger 'nope'"),
    ):
        engine.sync("nope", Memory())
    with pytest.raises(ClosedError):
        engine.sync("nope", Memory())


def test_the_close_of_an_engine_tells_that_a_sync_has_failed(tmp_path):
    target = Memory()
    target.fault = SyncError("wrong table")
    engine = tc.Engine(tmp_path / "e.store")
    stream = engine.stream("s", pa.schema([("n", pa.int64())]))
    engine.sync(stream, target)
    stream.push({"n": [1]})
    with pytest.raises(SyncError, match="wrong table"):
        engine.close()
    assert engine.closed
    with tc.Store(tmp_path / "e.store") as store:  # it is closed all the same
        assert store.scan("s").read_all().num_rows == 1


def test_a_store_of_ones_own_stays_open(tmp_path):
    with tc.Store(tmp_path / "e.store") as store:
        with tc.Engine(store) as engine:
            stream = engine.stream("s", pa.schema([("n", pa.int64())]))
            sync = engine.sync(stream, ParquetTarget(tmp_path / "p"))
            stream.push({"n": [1, 2]})
        assert sync.state == "closed"
        assert pq.read_table(tmp_path / "p")["n"].to_pylist() == [1, 2]
        assert store.scan("s").read_all().num_rows == 2


def test_the_libraries_are_imported_late():
    script = (
        "import sys, tocsin; assert 'tocsin.sync' not in sys.modules; import tocsin.sync; "
        "assert not {'deltalake', 'adbc_driver_manager', 'adbc_driver_postgresql'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize(
    ("module", "text", "needs"),
    [
        (
            "adbc_driver_postgresql.dbapi",
            "postgresql://127.0.0.1/x",
            "PostgresTarget needs adbc-driver-postgresql",
        ),
        ("deltalake", "delta:/nowhere/t", "DeltaTarget needs deltalake"),
    ],
)
def test_a_library_that_is_missing_is_named(store, monkeypatch, module, text, needs):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"{needs}: pip install tocsin\[sync\]"):
        start(store, "s", text)
