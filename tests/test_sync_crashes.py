"""Crashes at every place, an exception between any two lines or kill -9 at any moment: each event once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tocsin as tc
import tocsin.sync
from sync_support import SEQUENCE, append
from tocsin.sync import DeltaTarget, ParquetTarget, PositionMovedError, PostgresTarget, StoreTarget
from tocsin.sync.runner import Runner
from tocsin.sync.source import Source
from tocsin.sync.target import Pace

SCHEMA = pa.schema([("ts", pa.timestamp("us")), ("price", pa.float64()), ("word", pa.string())])
SYNC = str(Path(tocsin.sync.__file__).parent)
ROOT = Path(__file__).resolve().parent.parent
# Each crash takes its time; TOCSIN_SYNC_EVERY_LINE=1 leaves no line out.
EVERY_LINE = os.environ.get("TOCSIN_SYNC_EVERY_LINE") == "1"
STRIDES = {"postgres": 17, "delta": 5, "parquet": 5, "store": 3}


class Crash(BaseException):
    """As if the process ended here."""


class CrashAt:
    """Raises Crash before the n-th line that is run in tocsin/sync; what `close` does is left whole.

    (A process that ends closes its files and connections whatever it was doing; here `close` stands for that.)
    """

    def __init__(self, line: int | None) -> None:
        self._left = line
        self._closing = 0
        self._before = None

    def __enter__(self):
        self._before = sys.gettrace()
        if self._left is not None:
            sys.settrace(self._call)

    def __exit__(self, kind, *_):
        sys.settrace(self._before)

    def _call(self, frame, event, _):
        if not frame.f_code.co_filename.startswith(SYNC):
            return None
        if frame.f_code.co_name == "close":
            self._closing += 1
            return self._close
        return None if self._closing else self._line

    def _close(self, frame, event, _):
        if event == "return":
            self._closing -= 1
        return self._close

    def _line(self, frame, event, _):
        if event == "line" and not self._closing:
            self._left -= 1
            if self._left == 0:
                raise Crash(f"{frame.f_code.co_name}, line {frame.f_lineno}")
        return self._line


def make_target(kind, folder, server):
    if kind == "delta":
        return DeltaTarget(folder / "t")
    if kind == "parquet":
        return ParquetTarget(folder / "t")
    if kind == "store":
        return StoreTarget(folder / "t")
    return PostgresTarget(server.uri, "crashed")


def read(kind, folder, server):
    """(sequence, price, word) of what the target has; nothing, where there is no target yet."""
    if kind == "postgres":
        if server.query("SELECT to_regclass('crashed')::text") == [(None,)]:
            return []
        return server.query(f"SELECT {SEQUENCE}, price, word FROM crashed ORDER BY {SEQUENCE}")
    if kind == "delta":
        if not DeltaTable.is_deltatable(str(folder / "t")):
            return []
        table = DeltaTable(folder / "t").to_pyarrow_table()
    elif kind == "parquet":
        if not list(Path(folder / "t").glob("[0-9]*.parquet")):
            return []
        table = pq.read_table(folder / "t")
    else:
        if not (folder / "t/tocsin.json").exists():
            return []
        with tc.Store(folder / "t", read_only=True) as store:
            if "s" not in store.streams():
                return []
            table = store.scan("s").read_all()
    table = table.sort_by(SEQUENCE).select([SEQUENCE, "price", "word"])
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 40)),
        st.tuples(st.just("sync"), st.tuples(st.integers(1, 60), st.none() | st.integers(1, 260))),
        st.tuples(st.just("trim"), st.just(0)),
    ),
    min_size=1,
    max_size=12,
)


def attempt(source, kind, folder, server, rows, crash):
    """One process: open, step to the end, unless it crashes before."""
    runner = Runner(source, make_target(kind, folder, server), Pace(rows=rows), "raise")
    try:
        with CrashAt(crash):
            runner.open()
            while runner.step():
                pass
    except Crash:
        pass
    finally:
        runner.close()


# A crash leaves cursors and generators to the collector, which warns of them.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", ["postgres", "delta", "parquet", "store"])
def test_an_exception_between_any_two_lines(kind, tmp_path_factory, request):
    server = request.getfixturevalue("postgres") if kind == "postgres" else None

    @settings(
        max_examples=10 if settings().max_examples <= 100 else 500,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(STEPS)
    def check(steps):
        folder = tmp_path_factory.mktemp(kind)
        if server is not None:
            server.query("DROP TABLE IF EXISTS crashed, tocsin_positions")
        model = []
        with tc.Store(folder / "a.store", segment_bytes=2000) as store:
            store.create_stream("s", SCHEMA, time="ts")
            source = Source(store, "s", SEQUENCE)
            for what, how in [*steps, ("append", 1), ("sync", (1000, None))]:
                if what == "append":
                    model += [
                        (n, n * 0.5, None if n % 7 == 0 else f"word {n}")
                        for n in range(len(model), len(model) + how)
                    ]
                    append(store, how)
                elif what == "trim":
                    store.trim("s", sequence=len(read(kind, folder, server)))
                else:
                    before = len(read(kind, folder, server))
                    attempt(source, kind, folder, server, *how)
                    found = read(kind, folder, server)
                    assert found == model[: len(found)]
                    assert len(found) >= before
        assert found == model

    check()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", ["postgres", "delta", "parquet", "store"])
def test_an_exception_before_each_line_in_turn(kind, tmp_path, request):
    """A target is opened anew, or resumed, and gets a transaction: cut before the first line of that, the second, …"""
    server = request.getfixturevalue("postgres") if kind == "postgres" else None
    with tc.Store(tmp_path / "a.store") as store:
        store.create_stream("s", SCHEMA, time="ts")
        append(store, 4)
        source = Source(store, "s", SEQUENCE)
        for resumed in (False, True):
            for crash in range(1, 1000, 1 if EVERY_LINE else STRIDES[kind]):
                folder = tmp_path / f"{resumed}{crash}"
                if server is not None:
                    server.query("DROP TABLE IF EXISTS crashed, tocsin_positions")
                runner = Runner(source, make_target(kind, folder, server), Pace(rows=2), "raise")
                if resumed:
                    runner.open()
                    runner.step()
                    runner.close()
                crashed = False
                try:
                    with CrashAt(crash):
                        runner.open()
                        runner.step()
                except Crash:
                    crashed = True
                runner.close()
                found = read(kind, folder, server)
                assert [row[0] for row in found] in ([0, 1], [0, 1, 2, 3] if resumed else [])
                attempt(source, kind, folder, server, 2, None)
                assert [row[0] for row in read(kind, folder, server)] == [0, 1, 2, 3]
                if not crashed:
                    break
            assert 40 < crash < 999


class LostError(Exception):
    """The answer of a write that was done."""


@pytest.mark.parametrize("kind", ["postgres", "delta", "parquet", "store"])
def test_a_write_whose_answer_is_lost_is_not_done_twice(kind, tmp_path, request):
    server = request.getfixturevalue("postgres") if kind == "postgres" else None
    if server is not None:
        server.query("DROP TABLE IF EXISTS crashed, tocsin_positions")
    target = make_target(kind, tmp_path, server)
    real, lost = target.write, []

    def write(piece):
        real(piece)
        if len(lost) < 3:
            lost.append(piece)
            raise LostError

    target.write = write
    with tc.Store(tmp_path / "a.store") as store:
        store.create_stream("s", SCHEMA, time="ts")
        append(store, 50)
        runner = Runner(Source(store, "s", SEQUENCE), target, Pace(rows=10), "raise")
        while True:
            try:
                runner.open()
                if not runner.step():
                    break
            except LostError:
                continue
        runner.close()
    assert len(lost) == 3
    assert [row[0] for row in read(kind, tmp_path, server)] == list(range(50))


@pytest.mark.parametrize("kind", ["postgres", "delta", "store"])
def test_a_position_that_somebody_else_has_moved_is_asked_again(kind, tmp_path, request, monkeypatch):
    server = request.getfixturevalue("postgres") if kind == "postgres" else None
    if server is not None:
        server.query("DROP TABLE IF EXISTS crashed, tocsin_positions")
        monkeypatch.setattr(PostgresTarget, "_take_lock", lambda self: None)
    with tc.Store(tmp_path / "a.store") as store, tc.Store(tmp_path / "t") as other:
        store.create_stream("s", SCHEMA, time="ts")
        append(store, 30)
        one, two = (
            Runner(
                Source(store, "s", SEQUENCE),
                StoreTarget(other) if kind == "store" else make_target(kind, tmp_path / "x", server),
                Pace(rows=10),
                "raise",
            )
            for _ in range(2)
        )
        one.open()
        two.open()
        one.step()
        with pytest.raises(PositionMovedError):
            two.step()
        two.open()
        assert two.position == 10
        two.step()
        with pytest.raises(PositionMovedError):
            one.step()
        one.open()
        while one.step():
            pass
        one.close()
        two.close()
    if kind == "store":
        found = read(kind, tmp_path, server)
    else:
        found = read(kind, tmp_path / "x", server)
    assert [row[0] for row in found] == list(range(30))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the script forks")
@pytest.mark.parametrize("kind", ["postgres", "delta", "parquet", "store"])
def test_processes_that_are_killed(kind, request):
    uri = ["--uri", request.getfixturevalue("postgres").uri] if kind == "postgres" else []
    if uri:
        request.getfixturevalue("postgres").query("DROP TABLE IF EXISTS killed, tocsin_positions")
    done = subprocess.run(
        [sys.executable, ROOT / "tests/sync_kill.py", kind, "--times", "25", *uri],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{kind}: killed 25 times" in done.stdout
