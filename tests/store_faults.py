"""A program: every n-th system call of a store fails once; nothing acknowledged is lost, nothing refused is kept.

    python tests/store_faults.py [--step 1] [--cases PATTERN] [--durability none interval commit]

The faults are made below Python (core/faults.c, preloaded; so pyarrow's calls meet them too): EIO, a full disk, short
and torn writes, fsync, rename, ftruncate, descriptors that run out. For each kind and each n (every --step-th) a life
of a store, or of an Engine on one, is lived from the making of the directory to the last reading, with a fault at n:

- whoever meets the fault gets a StoreError, and no other exception;
- then all that was acknowledged can be read, and nothing of what was refused; a copy of the directory, as a crash at
  this moment would leave it, opens with exactly that;
- when the fault is gone, what was refused is done again, and works;
- the store opened at the end has exactly what was acknowledged, and nothing in it is damaged.

The outer process compiles the library and starts itself again with it. Exit code 0: all is well.
tests/test_storage_system_faults.py runs it with large steps.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import errno
import fnmatch
import logging
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import tocsin as tc

SOURCE = Path(__file__).parent / "core" / "faults.c"
OPEN, READ, WRITE, SYNC, TRUNCATE, RENAME, UNLINK, MKDIR, CLOSE, DUP, STAT, LIST, MAP = (
    1 << n for n in range(13)
)
FAIL, HALF, TORN, DONE, LIE, FULL, EVERY = range(7)
ROWS = pa.schema([("x", pa.int64()), ("word", pa.string()), ("kind", pa.dictionary(pa.int8(), pa.string()))])
EVENTS = pa.schema([("ts", pa.int64()), ("key", pa.int64()), ("x", pa.int64())])
PAIRS = (
    "PARTITION BY key MEASURES a.x AS first, b.x AS last PATTERN (a b) DEFINE a AS x % 3 = 0, b AS x % 3 = 1"
)


class Control(ctypes.Structure):
    """The file that is shared with core/faults.c."""

    _fields_ = [
        *((name, ctypes.c_int32) for name in ("armed", "kinds", "mode", "error")),
        *((name, ctypes.c_int64) for name in ("at", "count", "fired", "budget", "torn")),
        ("folder", ctypes.c_char * 512),
    ]


@dataclass(frozen=True)
class Case:
    """A kind of fault. late: only once the store is there."""

    name: str
    kinds: int
    mode: int = FAIL
    error: int = errno.EIO
    late: bool = False


CASES = [
    Case("write fails, EIO", WRITE),
    Case("write fails, ENOSPC", WRITE, error=errno.ENOSPC),
    Case("write is short", WRITE, HALF),
    Case("write is torn, ENOSPC", WRITE, TORN, errno.ENOSPC),
    Case("write is done and fails", WRITE, DONE),
    Case("disk is full from byte n on", WRITE, FULL, errno.ENOSPC),
    Case("writes and truncations fail from n on", WRITE | TRUNCATE, EVERY),
    Case("fsync fails", SYNC),
    Case("fsync and truncation fail from n on", SYNC | TRUNCATE, EVERY),
    Case("rename fails", RENAME),
    Case("rename is done and fails", RENAME, DONE),
    # As a file system does that loses a name: only the manifest, made once, would take the store with it.
    Case("rename is not done and says so to nobody", RENAME, LIE, late=True),
    Case("truncation fails", TRUNCATE),
    Case("no descriptor left", OPEN | DUP, error=errno.EMFILE),
    Case("no descriptor left from n on", OPEN | DUP, EVERY, errno.EMFILE),
    Case("open fails", OPEN),
    Case("close fails", CLOSE),
    Case("mkdir fails", MKDIR, error=errno.ENOSPC),
    Case("unlink fails", UNLINK),
    Case("read fails", READ | LIST | MAP),
    Case("read is short", READ, HALF),
    Case("stat fails", STAT),
]


class Faults:
    """The switch."""

    def __init__(self, control: Path) -> None:
        with control.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), ctypes.sizeof(Control))
        self.control = Control.from_buffer(self._map)

    def arm(self, case: Case, folder: Path, at: int) -> None:
        control = self.control
        control.armed = 0
        control.kinds, control.mode, control.error = case.kinds, case.mode, case.error
        control.at, control.count, control.fired, control.torn = at, 0, 0, 0
        control.folder = str(folder).encode()
        if case.mode == FULL:
            control.at, control.budget = 1, at
        control.armed = 1

    def clear(self) -> None:
        self.control.armed = 0
        self.control.torn = 0

    @property
    def fired(self) -> bool:
        full = self.control.mode == FULL and self.control.budget > 0
        return self.control.fired > 0 and not full


def rows(first: int, count: int) -> pa.RecordBatch:
    numbers = range(first, first + count)
    columns = [
        pa.array(numbers, pa.int64()),
        pa.array([f"word {n}" * (n % 5) for n in numbers]),
        pa.array([f"k{n % 4}" for n in numbers]).dictionary_encode().cast(ROWS.field(2).type),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=ROWS)


class StoreLife:
    """A store from its making on; `stored` is what was acknowledged."""

    def __init__(self, path: Path, faults: Faults, durability: str, case: Case) -> None:
        self.path, self.faults, self.durability, self.case = path, faults, durability, case
        self.store: tc.Store | None = None
        self.stored: dict[str, list[int]] = {}
        self.next = 0

    def live(self, arm: Callable[[], None]) -> None:
        if not self.case.late:
            arm()
        self.do(self.open)
        if self.case.late:
            arm()
        self.do(lambda: self.create("a", lookup=["x", "word"]))
        for count in (1, 40, 3, 200, 40):
            self.append("a", count)
        self.do(lambda: self.create("b", time="x"))
        for count in (40, 2500, 7):
            self.append("b", count)
            self.append("a", count % 100)
        self.do(lambda: self.create("m", where="matches"))
        self.append("m", 5)
        self.do(self.keys)
        self.do(lambda: self.store.seal("b"))
        self.do(lambda: self.store.sync())
        self.append("b", 30)
        self.trim()
        self.close()
        self.do(lambda: self.open(compression="lz4"))
        for name in ("a", "b", "m"):
            self.append(name, 60)
        self.do(self.verify)
        self.close()

    def do(self, step: Callable[[], Any]) -> Any:
        """The step, again after a StoreError, and once more when the fault is gone."""
        for _ in range(3):
            try:
                return step()
            except tc.StoreError:
                assert self.faults.control.fired, "an error without a fault"
                self.after_a_fault()
        self.faults.clear()
        return step()

    def after_a_fault(self) -> None:
        """All that was acknowledged, and no more, is there now, and after a crash."""
        with self.in_peace():
            if self.store is not None:
                self.verify()
            crashed = self.path.with_name("crashed")
            shutil.rmtree(crashed, ignore_errors=True)
            if self.path.exists():
                shutil.copytree(self.path, crashed)
                with tc.Store(crashed) as store:
                    self.compare(store, crashed=True)

    @contextlib.contextmanager
    def in_peace(self):
        """Looking is no part of the life: its calls are not counted, and meet no fault that lasts."""
        armed, self.faults.control.armed = self.faults.control.armed, 0
        torn, self.faults.control.torn = self.faults.control.torn, 0
        yield
        self.faults.control.armed, self.faults.control.torn = armed, torn

    def verify(self) -> None:
        self.compare(self.store)

    def compare(self, store: tc.Store, crashed: bool = False) -> None:
        assert not store.damaged(), store.damaged()
        assert not store.matches.damaged(), store.matches.damaged()
        for name, right in self.stored.items():
            folder = store.matches if name == "m" else store
            # Only a file system that loses a name may lose a stream, and only one that has no event yet.
            lost = self.case.mode == LIE and not right and name not in folder.streams()
            got = None if lost else folder.scan(name).read_all()
            numbers = [] if got is None else got["x"].to_pylist()
            if crashed and self.uncuttable:
                numbers = numbers[: len(right)]
            assert numbers == right, f"{name}: {len(numbers)} rows, {len(right)} were acknowledged"
            for batch in [] if got is None else got.to_batches():
                assert batch.equals(rows(batch["x"][0].as_py(), batch.num_rows)), f"{name}: other rows"

    @property
    def uncuttable(self) -> bool:
        """Whether what was refused may be there after a crash, as the error says: its bytes could not be cut off."""
        return bool(self.case.kinds & TRUNCATE) and self.case.mode == EVERY

    def open(self, **options: Any) -> None:
        self.store = None
        store = tc.Store(self.path, durability=self.durability, segment_bytes=3000, interval_ms=1, **options)
        damaged = [*store.damaged().values(), *store.matches.damaged().values()]
        try:
            if damaged:  # a stream that cannot be opened now is set aside: that is a way of telling, too
                raise damaged[0]
            self.compare(store)
        except BaseException:
            with contextlib.suppress(tc.StoreError):
                store.close()
            raise
        self.store = store

    def create(self, name: str, where: str = "streams", **options: Any) -> None:
        folder = self.store if where == "streams" else self.store.matches
        folder.create_stream(name, ROWS, **options)
        self.stored.setdefault(name, [])

    def append(self, name: str, count: int) -> None:
        batch, first = rows(self.next, count), self.next
        self.next += count
        folder = self.store if name != "m" else self.store.matches
        self.do(lambda: folder.append(name, batch))
        self.stored[name] += range(first, first + count)

    def keys(self) -> None:
        sought = self.stored["a"][50]
        found = self.store.scan("a", keys={"x": sought}).read_all()["x"].to_pylist()
        assert found == [sought], f"{found} for {sought}"

    def trim(self) -> None:
        before = self.stored["b"].copy()
        stop = len(before) - 30

        def some() -> None:
            self.store.trim("b", sequence=stop)

        # What a failed trim took is gone; nothing behind the bound is.
        kept: list[int] = []
        for _ in range(3):
            try:
                some()
                break
            except tc.StoreError:
                assert self.faults.control.fired, "an error without a fault"
            finally:
                with self.in_peace():
                    kept = self.store.scan("b").read_all()["x"].to_pylist()
                assert kept == before[len(before) - len(kept) :]
                assert len(kept) >= 30
                self.stored["b"] = kept
        else:
            self.faults.clear()
            some()
            self.stored["b"] = before[stop:]
        self.verify_in_peace()

    def verify_in_peace(self) -> None:
        with self.in_peace():
            self.verify()

    def close(self) -> None:
        store, self.store = self.store, None
        try:
            store.close()
        except tc.StoreError:
            assert self.faults.control.fired, "an error without a fault"
        self.after_a_fault()

    def end(self) -> None:
        """The last look, without faults."""
        with tc.Store(self.path, read_only=True) as store:
            self.compare(store)
        with tc.Store(self.path) as store:
            self.compare(store)
            assert not store.recovered or self.faults.control.fired, store.recovered


class EngineLife(StoreLife):
    """The same with an Engine: a match is in the match log, or in a dead letter that says why it is not."""

    workers = 1

    def live(self, arm: Callable[[], None]) -> None:
        if not self.case.late:
            arm()
        self.do(self.open)
        if self.case.late:
            arm()
        with self.in_peace():  # an engine's declarations are StoreLife's: here it is about events
            self.engine = tc.Engine(self.store, workers=self.workers)
            self.stream = self.engine.stream("events", EVENTS, time="ts")
            self.engine.trigger("pairs", self.stream, PAIRS)
            self.engine.trigger("even", "pairs", tc.col("first") % 2 == 0)
        self.events: list[int] = []
        for count in (1, 30, 200, 3, 90, 90):
            self.push(count)
        self.do(lambda: self.engine.flush(60))
        for count in (50, 7):
            self.push(count)
        for _ in range(4):
            try:
                self.engine.close()
                break
            except tc.StoreError:
                assert self.faults.control.fired, "an error without a fault"
        self.letters = {name: self.engine.dead_letters(name) for name in ("pairs", "even")}
        self.after_a_fault()
        self.close()

    def push(self, count: int) -> None:
        at = np.arange(self.next, self.next + count)
        batch = pa.RecordBatch.from_arrays(
            [pa.array(at), pa.array(at // 2 % 3), pa.array(at // 2)], schema=EVENTS
        )
        self.next += count

        def once() -> None:
            try:
                self.stream.push(batch)
            except tc.StoreError as fault:
                if "its events were accepted" not in " ".join(getattr(fault, "__notes__", ())):
                    raise

        self.do(once)
        self.events += at.tolist()

    def compare(self, store: tc.Store, crashed: bool = False) -> None:
        assert not store.damaged(), store.damaged()
        assert not store.matches.damaged(), store.matches.damaged()
        if not getattr(self, "events", None):
            return
        got = store.scan("events").read_all()
        if crashed and self.uncuttable:
            got = got.slice(0, len(self.events))
        assert got["ts"].to_pylist() == self.events, (
            f"{len(got)} events, {len(self.events)} were acknowledged"
        )
        if not hasattr(self, "letters"):
            return
        pairs = tc.match_recognize(got, PAIRS)
        for name, right in (("pairs", pairs), ("even", pairs.filter(pa.compute.equal(first_bit(pairs), 0)))):
            there = [store.matches.scan(name).read_all()] if name in store.matches.streams() else []
            lost = [
                pa.Table.from_batches([letter.rows])
                for letter in self.letters[name]
                if letter.kind == "store"
            ]
            found = [row for table in [*there, *lost] for row in table.to_pylist()]
            assert sorted(map(str, found)) == sorted(map(str, right.to_pylist())), (
                f"{name}: {len(found)} matches in the log and the dead letters, {len(right)} are right"
            )


def first_bit(table: pa.Table) -> pa.ChunkedArray:
    return pa.compute.bit_wise_and(table["first"], 1)


class InlineLife(EngineLife):
    workers = 0


LIVES = {"store": StoreLife, "engine": EngineLife, "inline": InlineLife}


def inner(control: str, step: int, pattern: str, durabilities: list[str]) -> int:
    logging.getLogger("tocsin").setLevel(logging.CRITICAL + 1)
    faults = Faults(Path(control))
    wrong = lives = 0
    for case in CASES:
        for kind, life in LIVES.items():
            for durability in durabilities:
                title = f"{kind}, {durability}: {case.name}"
                if not fnmatch.fnmatch(title, pattern):
                    continue
                at, fired = 1, 0
                while True:
                    fault = one(life, faults, durability, case, at)
                    lives += 1
                    if fault:
                        wrong += 1
                        print(f"WRONG {title}, n = {at}:\n{fault}")
                    if not faults.fired:
                        break
                    fired += 1
                    at += step * (97 if case.mode == FULL else 1)
                print(f"{title}: {fired} faults", flush=True)
    print(f"{lives} lives, {wrong} wrong")
    return 1 if wrong else 0


def one(life: type[StoreLife], faults: Faults, durability: str, case: Case, at: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        lived = life(Path(folder).resolve() / "s", faults, durability, case)
        try:
            lived.live(lambda: faults.arm(case, lived.path, at))
            faults.clear()
            lived.end()
        except Exception:
            return traceback.format_exc()
        finally:
            faults.clear()
            if lived.store is not None:
                with contextlib.suppress(Exception):
                    lived.store.close()
    return ""


def outer(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        library, control = Path(folder) / "faults.so", Path(folder) / "control"
        compiler = os.environ.get("CC", "cc").split()
        subprocess.run(
            [
                *compiler,
                "-O1",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-shared",
                "-fPIC",
                "-o",
                library,
                SOURCE,
                "-ldl",
            ],
            check=True,
        )
        control.write_bytes(bytes(ctypes.sizeof(Control)))
        environment = os.environ | {"LD_PRELOAD": str(library), "TOCSIN_FAULTS": str(control)}
        command = [sys.executable, "-W", "error", __file__, "--control", str(control), *arguments]
        return subprocess.run(command, env=environment).returncode


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--cases", default="*", help='of titles like "store, commit: fsync fails"')
    parser.add_argument("--durability", nargs="+", default=["none", "interval", "commit"])
    parser.add_argument("--control", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.control is None:
        return outer(arguments)
    return inner(options.control, options.step, options.cases, options.durability)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
