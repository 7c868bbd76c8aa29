"""A program: an engine under load for as long as one likes, with every match checked and memory watched.

    python tests/soak.py [--minutes 10] [--workers 1] [--pushers 3] [--rate 200000] [--growth 64]

Several threads push events; their own keys make them independent of each other, so that each can work out by itself,
event by event, what the keyed patterns must say of them (`Expected`): whatever comes is compared and forgotten, so
that an hour needs no more memory than a minute. Handlers are slow and fail now and then (what they refuse is read
back from the dead letters); triggers come and go; one thread flushes. At the end no expected match may be left.

The rate is that of all pushers together, in events a second; 0: as fast as it goes (the ring holds them back).
Memory: the resident set is read once a second; after the first tenth of the time, and at least 5 s, it must not grow
by more than --growth MiB. Exit code 0: all is well; 1: it says what is not. tests/test_soak.py runs it for some
seconds, `make soak` for ten minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import threading
import time
from collections import Counter, deque
from typing import Any

import numpy as np
import pyarrow as pa

import tocsin as tc

EVENTS = pa.schema([("t", pa.timestamp("ms")), ("key", pa.int64()), ("n", pa.int64()), ("x", pa.int64())])
# Up to three small, then a large one, within 100 ms of event time; a run of small ones that time or a large one ends.
PROBES = """PARTITION BY key ORDER BY t MEASURES FIRST(a.n) AS first, b.n AS last PATTERN (a{1,3} b)
            WITHIN INTERVAL '0.1' SECOND DEFINE a AS x < 60, b AS x > 90"""
PAIRS = "PARTITION BY key MEASURES a.n AS first, b.n AS last PATTERN (a b) DEFINE a AS x = 0, b AS x <> 0"
LARGE = "x > 98"
WITHIN_MS = 100
KEYS = 50  # of each pusher
BATCH = 500
FAILS = 997  # a handler fails for a batch with such a `last`
AHEAD = 200_000  # matches that may be expected and not seen before a pusher waits: the check keeps up


class Expected:
    """What must come, by trigger: matches that were worked out and have not been seen yet, or the other way round."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.open: dict[str, Counter[tuple[int, int, int]]] = {
            "probes": Counter(),
            "pairs": Counter(),
            "large": Counter(),
        }
        self.seen: Counter[str] = Counter()

    def must_come(self, trigger: str, matches: list[tuple[int, int, int]]) -> None:
        with self.lock:
            self._count(self.open[trigger], matches, 1)

    def came(self, trigger: str, matches: list[tuple[int, int, int]]) -> None:
        with self.lock:
            self.seen[trigger] += len(matches)
            self._count(self.open[trigger], matches, -1)

    def _count(
        self, open: Counter[tuple[int, int, int]], matches: list[tuple[int, int, int]], by: int
    ) -> None:
        for match in matches:
            open[match] += by
            if not open[match]:
                del open[match]

    def left(self) -> int:
        with self.lock:
            return sum(map(len, self.open.values()))


class Key:
    """The patterns over one key, by hand: what is open after the events so far."""

    def __init__(self) -> None:
        self.small: deque[tuple[int, int]] = (
            deque()
        )  # (t, n) of the last rows with x < 60 that follow each other
        self.zero: int | None = None

    def step(
        self, t: int, n: int, x: int, probes: list[tuple[int, int]], pairs: list[tuple[int, int]]
    ) -> None:
        if x > 90:
            # SQL takes the leftmost start: of the three rows before at most, the oldest from which `t` is still within.
            start = next((first for when, first in self.small if t - when < WITHIN_MS), None)
            if start is not None:
                probes.append((start, n))
            self.small.clear()
        elif x < 60:
            self.small.append((t, n))
            if len(self.small) > 3:
                self.small.popleft()
        else:
            self.small.clear()
        if x and self.zero is not None:
            pairs.append((self.zero, n))
        self.zero = None if x else n


class Soak:
    """One run."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.engine = tc.Engine(workers=options.workers, ring_slots=64, retries=0)
        self.expected = Expected()
        self.stop = threading.Event()
        self.wrong: list[str] = []
        self.events = 0
        self.batches = 0
        self.counting = threading.Lock()
        self.passed = 0
        self.failed: dict[str, int] = {}  # trigger -> its handler failed so often
        # A stream for each pusher, since event time is the stream's, and threads that share one would be late.
        self.streams = [self.engine.stream(f"s{i}", EVENTS, time="t") for i in range(options.pushers)]
        self.retold: Counter[str] = Counter()
        for i, stream in enumerate(self.streams):
            for kind, definition in (("probes", PROBES), ("pairs", PAIRS), ("large", LARGE)):
                name = f"{kind}{i}"
                self.engine.trigger(name, stream, definition).handler(self.handler(kind, name))

    def handler(self, kind: str, name: str) -> Any:
        """Compares; is slow now and then, and fails now and then (each letter is read back by `read_letters`)."""
        calls = 0

        def take(matches: pa.RecordBatch) -> None:
            nonlocal calls
            calls += 1
            if calls % 500 == 0:
                time.sleep(0.01)
            if calls % FAILS == 0:
                raise RuntimeError("on purpose")
            self.expected.came(kind, self.keys_of(kind, matches))

        return take

    @staticmethod
    def keys_of(kind: str, matches: pa.RecordBatch) -> list[tuple[int, int, int]]:
        """(key, first, last) of each match."""
        columns = ("key", "n", "n") if kind == "large" else ("key", "first", "last")
        return list(zip(*(matches.column(name).to_pylist() for name in columns), strict=True))

    def guarded(self, body: Any, *arguments: Any) -> threading.Thread:
        def run() -> None:
            try:
                body(*arguments)
            except Exception as failure:
                self.wrong.append(f"{body.__name__}: {type(failure).__name__}: {failure}")
                self.stop.set()

        return threading.Thread(target=run, name=body.__name__)

    def push(self, who: int) -> None:
        """Pushes events of its own keys, and works out what they must lead to, before they are pushed."""
        dice = np.random.default_rng(who)
        keys = [Key() for _ in range(KEYS)]
        stream, now, n = self.streams[who], 0, 0
        pause = self.options.pushers * BATCH / self.options.rate if self.options.rate else 0.0
        due = time.monotonic()
        while not self.stop.is_set():
            size = int(dice.integers(1, 2 * BATCH))
            t = now + np.cumsum(dice.integers(0, 2, size))
            now = int(t[-1])
            key, x = dice.integers(0, KEYS, size), dice.integers(0, 100, size)
            numbers = np.arange(n, n + size)
            n += size
            found: dict[str, list[tuple[int, int, int]]] = {"probes": [], "pairs": [], "large": []}
            for when, k, number, value in zip(
                t.tolist(), key.tolist(), numbers.tolist(), x.tolist(), strict=True
            ):
                probes: list[tuple[int, int]] = []
                pairs: list[tuple[int, int]] = []
                keys[k].step(when, number, value, probes, pairs)
                mine = who * KEYS + k
                found["probes"] += [(mine, *match) for match in probes]
                found["pairs"] += [(mine, *match) for match in pairs]
                if value > 98:
                    found["large"].append((mine, number, number))
            for kind, matches in found.items():
                self.expected.must_come(kind, matches)
            stream.push({"t": t.astype("datetime64[ms]"), "key": key + who * KEYS, "n": numbers, "x": x})
            with self.counting:
                self.events += size
                self.batches += 1
            due = max(due + pause, time.monotonic() - 1.0)
            while not self.stop.is_set() and (due > time.monotonic() or self.expected.left() > AHEAD):
                time.sleep(min(0.05, max(0.0005, due - time.monotonic())))

    def come_and_go(self) -> None:
        """Triggers that others do not notice."""
        turn = 0
        while not self.stop.wait(0.05):
            turn += 1
            stream = self.streams[turn % len(self.streams)]
            trigger = self.engine.trigger("passing", stream, PROBES if turn % 2 else LARGE)
            upon = self.engine.trigger("upon", trigger, "key >= 0")
            upon.handler(lambda matches: None)
            self.stop.wait(0.1)
            self.engine.remove("upon")
            self.engine.remove("passing")
            self.passed += 2

    def flush(self) -> None:
        """Waits for everything, again and again."""
        while not self.stop.wait(0.5):
            self.engine.flush(timeout=120)

    def read_letters(self) -> None:
        """What handlers refused is in the dead letters: it came, too."""
        for name in self.engine.triggers:
            kind = name.rstrip("0123456789")
            letters = self.engine.dead_letters(name)
            for letter in letters[self.failed.get(name, 0) :]:
                if letter.kind != "handler" or letter.rows is None:
                    raise AssertionError(f"a dead letter that nobody wanted: {letter}")
                self.expected.came(kind, self.keys_of(kind, letter.rows))
            self.failed[name] = len(letters)

    def run(self) -> int:
        """Runs, and says how it went."""
        seconds = self.options.minutes * 60
        warm = max(5.0, seconds / 10)
        threads = [self.guarded(self.push, i) for i in range(self.options.pushers)]
        threads += [self.guarded(self.come_and_go), self.guarded(self.flush)]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        curve: list[tuple[float, float]] = []
        while not self.stop.wait(min(1.0, seconds / 10)) and time.monotonic() - started < seconds:
            curve.append((time.monotonic() - started, resident_mib()))
        took = time.monotonic() - started
        self.stop.set()
        for thread in threads:
            thread.join()
        self.engine.flush()
        depth = self.engine._runtime.inbox.depth
        with contextlib.suppress(KeyError):
            self.read_letters()
        self.engine.close()
        self.read_letters()
        seen = dict(self.expected.seen)
        print(f"soak: workers={self.options.workers}, {took:.0f} s, {self.events:,} events in {self.batches:,} batches "
              f"({self.events / took:,.0f} events/s), {sum(seen.values()):,} matches checked {seen}, "
              f"{sum(self.failed.values())} dead letters, {self.passed} triggers came and went")  # fmt: skip
        settled = [mib for when, mib in curve if when >= warm]
        step = max(1, len(curve) // 10)
        print("soak: resident MiB:", ", ".join(f"{when:.0f} s {mib:.0f}" for when, mib in curve[::step]))
        if depth:
            self.wrong.append(f"{depth} slots were not emptied by flush")
        for kind, open in self.expected.open.items():
            lost = [match for match, count in open.items() if count > 0]
            doubled = [match for match, count in open.items() if count < 0]
            if lost or doubled:
                self.wrong.append(
                    f"{kind}: {len(lost)} matches lost {lost[:3]}, {len(doubled)} too many {doubled[:3]}"
                )
        if settled:
            grown = max(settled) - settled[0]
            print(f"soak: grown by {grown:.1f} MiB after {warm:.0f} s (at most {self.options.growth})")
            if grown > self.options.growth:
                self.wrong.append(f"memory grew by {grown:.1f} MiB")
        for what in self.wrong:
            print("soak: WRONG:", what, file=sys.stderr)
        print("soak:", "FAILED" if self.wrong else "all is well")
        return 1 if self.wrong else 0


def resident_mib() -> float:
    """The resident set of this process now (on systems without /proc: its peak)."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
            2**20 if sys.platform == "darwin" else 2**10
        )


def main(arguments: list[str] | None = None) -> int:
    """The program."""
    parser = argparse.ArgumentParser(description="an engine under load for a long time, checked")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--pushers", type=int, default=3)
    parser.add_argument(
        "--rate", type=float, default=0.0, help="events a second, of all together; 0: all that goes"
    )
    parser.add_argument(
        "--growth", type=float, default=64.0, help="MiB that memory may grow by after the warm-up"
    )
    options = parser.parse_args(arguments)
    logging.getLogger("tocsin").setLevel(logging.CRITICAL)  # handlers fail on purpose
    return Soak(options).run()


if __name__ == "__main__":
    sys.exit(main())
