"""A program: an engine under everything that threads can do to it at once, and a check of what came of it.

    python tests/engine_stress.py [--workers 0 1 2] [--seconds 10] [--seed 1] [--pushers 3]

Rounds of about a second. In each, on a new engine with a small ring: several threads push events of their own, in every
form a push takes, some of them with a fault for one trigger; another sets triggers and takes them away; another
flushes and moves the watermark; handlers push on, are slow, and fail; in the end the engine is closed while they push.

Then everything must add up. The trigger `all` passes every event on, so its matches say in which order the stream had
them, and from that follows what every other trigger must have said: a Matcher's matches over those events (`check`).

It is a program and no test so that it can run where pytest would be in the way: under ThreadSanitizer (ci/sanitize
thread), on a free-threaded Python. tests/test_stress.py runs it for a moment.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import logging
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

import tocsin as tc
from runtime_support import WORKERS

EVENTS = pa.schema([("who", pa.int64()), ("n", pa.int64()), ("d", pa.int64())])
TIMED = pa.schema([("t", pa.timestamp("s")), ("who", pa.int64()), ("n", pa.int64())])
ECHO = pa.schema([("who", pa.int64()), ("n", pa.int64())])
KEYED = """PARTITION BY who MEASURES a.n AS n, LAST(b.n) AS last PATTERN (a b+ c)
           DEFINE a AS n % 5 = 0, b AS n % 5 > 0 AND n % 5 < 4, c AS n % 5 = 4"""
PLAIN = (
    "MEASURES a.who AS who, a.n AS n, b.n AS last PATTERN (a b) DEFINE a AS who = 0, b AS who <> 0 AND d > 0"
)
ACROSS = (
    "PARTITION BY who MEASURES a.n AS n, b.n AS last PATTERN (a x* b) DEFINE a AS n % 7 = 0, b AS n = a.n + 6"
)
WITHIN = """PARTITION BY who ORDER BY t MEASURES a.n AS n, COUNT(b.*) AS times
            PATTERN (a b+) WITHIN INTERVAL '20' SECOND DEFINE a AS n % 3 = 0, b AS n % 3 > 0"""
HANG_SECONDS = 120


class WrongError(AssertionError):
    """Something did not add up."""


def demand(true: bool, what: str) -> None:
    """Raises WrongError unless it is so."""
    if not true:
        raise WrongError(what)


class Seen:
    """A handler that keeps what it is given; fails: it raises for matches of which one says so, and keeps none."""

    def __init__(self, fails: Callable[[dict[str, Any]], bool] | None = None, pause: float = 0.0) -> None:
        self.rows: list[dict[str, Any]] = []
        self.fails = fails
        self.pause = pause
        self.inside = 0

    def __call__(self, matches: pa.RecordBatch) -> None:
        self.inside += 1
        demand(self.inside == 1, "two threads were in one handler")
        try:
            if self.pause:
                time.sleep(self.pause)
            rows = matches.to_pylist()
            if self.fails is not None and any(self.fails(row) for row in rows):
                raise RuntimeError("on purpose")
            self.rows += rows
        finally:
            self.inside -= 1


class Round:
    """One engine from its making to its end."""

    def __init__(self, workers: int, pushers: int, seed: int) -> None:
        self.workers = workers
        self.random = random.Random(seed)
        self.engine = tc.Engine(workers=workers, ring_slots=self.random.choice([1, 4, 64]), retries=0)
        self.stream = self.engine.stream("s", EVENTS)
        self.timed = self.engine.stream("timed", TIMED, time="t", lateness="5s")
        self.echo = self.engine.stream("echo", ECHO)
        self.accepted: Counter[int] = Counter()  # events by pusher
        self.accepted_timed = 0
        self.echoed = 0
        self.stop = threading.Event()
        self.wrong: list[BaseException] = []
        self.seen: dict[str, Seen] = {}
        self.passing: list[tuple[str, Seen]] = []  # triggers that came and went
        for name, source, definition in (
            ("all", self.stream, "n >= 0"), ("keyed", self.stream, KEYED), ("plain", self.stream, PLAIN),
            ("across", self.stream, ACROSS), ("faulty", self.stream, "10 / d > 1"), ("timed_all", self.timed, "n >= 0"),
            ("within", self.timed, WITHIN), ("echoes", self.echo, "n >= 0"), ("upon", "keyed", "n % 2 = 0"),
        ):  # fmt: skip
            self.seen[name] = Seen(pause=0.001 if name == "upon" else 0.0)
            self.engine.trigger(name, source, definition).handler(self.seen[name])
        self.failing = Seen(fails=lambda row: row["n"] % 11 == 0)
        self.engine.on("keyed")(self.failing)
        self.engine.on("keyed")(self.push_on)
        self.taken: list[pa.RecordBatch] = []
        self.iterator = self.engine.triggers["across"].matches()
        threads = [self.thread(self.push, who, self.random.random()) for who in range(pushers)]
        threads += [self.thread(self.push_timed, self.random.random()), self.thread(self.come_and_go)]
        threads += [self.thread(self.flush), self.thread(self.take), self.thread(self.look)]
        self.threads = threads

    def thread(self, body: Callable[..., None], *arguments: Any) -> threading.Thread:
        """A thread that ends at a closed engine, and keeps any other exception for `run`."""

        def guarded() -> None:
            try:
                with contextlib.suppress(tc.ClosedError):
                    body(*arguments)
            except BaseException as wrong:
                self.wrong.append(wrong)
                self.stop.set()

        return threading.Thread(target=guarded, name=body.__name__)

    # ------------------------------------------------------------------ what the threads do

    def accept(self, stream: Any, data: Any, accepted: Callable[[], None]) -> None:
        """Pushes; a fault of the trigger `faulty` is told by a push: of its own, accepted, or of an earlier one."""
        while True:
            try:
                stream.push(data)
            except tc.EvaluationError as fault:
                demand("faulty" in str(fault), f"a fault of another trigger: {fault}")
                if "nothing of this push was accepted" in "".join(fault.__notes__):
                    continue
            accepted()
            return

    def push(self, who: int, seed: float) -> None:
        """One pusher: events numbered 0, 1, 2, ... in every form."""
        dice, n = random.Random(seed), 0
        while not self.stop.is_set():
            count = dice.choice([1, 1, 2, 7, 300])
            numbers = list(range(n, n + count))
            d = [0 if dice.random() < 0.002 else 1 + i % 7 for i in numbers]
            columns = {"who": [who] * count, "n": numbers, "d": d}
            rows = [{"who": who, "n": i, "d": k} for i, k in zip(numbers, d, strict=True)]
            form = dice.randrange(5)
            data: Any = (
                rows[0] if count == 1 and form == 0
                else rows if form == 1
                else {name: np.array(column) for name, column in columns.items()} if form == 2
                else columns if form == 3
                else pa.record_batch(columns, schema=EVENTS)
            )  # fmt: skip
            self.accept(self.stream, data, lambda count=count: self.accepted.update({who: count}))
            n += count

    def push_timed(self, seed: float) -> None:
        """Events in time, out of order within the lateness, and late ones."""
        dice, t, n = random.Random(seed), 0, 0
        while not self.stop.is_set():
            times = [
                max(0, t + i // 2 - dice.choice([0, 0, 0, 3, 3, 9])) for i in range(dice.choice([1, 5, 40]))
            ]
            who = [dice.randrange(4) for _ in times]
            batch = {"t": np.array(times, "datetime64[s]"), "who": who, "n": list(range(n, n + len(times)))}

            def accepted(count: int = len(times)) -> None:
                self.accepted_timed += count

            self.accept(self.timed, batch, accepted)
            t, n = max([t, *times]), n + len(times)

    def come_and_go(self) -> None:
        """Triggers that pass everything on, from somewhere to somewhere, and one upon each."""
        turn = 0
        while not self.stop.is_set():
            turn += 1
            seen = Seen()
            name = f"passing{turn}"
            trigger = self.engine.trigger(name, self.stream, "n >= 0")
            trigger.handler(seen)
            self.engine.trigger(f"upon{turn}", trigger, KEYED)
            self.passing.append((name, seen))
            time.sleep(0.02)
            self.engine.remove(f"upon{turn}")
            self.engine.remove(name)

    def flush(self) -> None:
        """Waits for the others' events, and moves time."""
        while not self.stop.is_set():
            with contextlib.suppress(tc.EvaluationError):
                self.engine.flush()
            with contextlib.suppress(tc.EvaluationError):
                self.engine.advance((self.timed.watermark or 0) + 1)
            time.sleep(0.005)

    def take(self) -> None:
        """The pull side: ends when the engine is closed."""
        self.taken.extend(self.iterator)

    def look(self) -> None:
        """What may be asked of an engine in use, at any time."""
        while not self.stop.is_set():
            repr(self.engine)
            for trigger in list(self.engine.triggers.values()):
                demand(
                    trigger.matched >= 0 and trigger.results() == [],
                    f"{trigger} says strange things of itself",
                )
            self.engine.dead_letters("faulty")
            told = (self.stream.sequence, self.timed.waiting, self.timed.late_count)
            demand(min(told) >= 0, f"figures below zero: {told}")
            time.sleep(0.003)

    def push_on(self, matches: pa.RecordBatch) -> None:
        """A handler that pushes."""
        with contextlib.suppress(tc.ClosedError):
            self.echo.push(matches.select(["who", "n"]))
            self.echoed += matches.num_rows

    # ------------------------------------------------------------------ and what came of it

    def run(self, seconds: float) -> int:
        """Starts, waits, closes while they push, checks; returns the number of events."""
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        for thread in self.threads:
            thread.start()
        self.stop.wait(seconds)
        with contextlib.suppress(tc.EvaluationError):
            self.engine.close()
        self.stop.set()
        for thread in self.threads:
            thread.join()
        faulthandler.cancel_dump_traceback_later()
        if self.wrong:
            raise self.wrong[0]
        self.check()
        return sum(self.accepted.values()) + self.accepted_timed

    def check(self) -> None:
        """Compares everything with what the streams' own order demands."""
        rows = self.seen["all"].rows
        events = pa.Table.from_pylist(rows, schema=EVENTS)
        for who, count in self.accepted.items():
            mine = [row["n"] for row in rows if row["who"] == who]
            demand(
                mine == list(range(count)),
                f"pusher {who}: {count} accepted, {len(mine)} seen, or out of order",
            )
        demand(len(rows) == sum(self.accepted.values()), "events that nobody pushed")
        for name, clause in (("keyed", KEYED), ("plain", PLAIN), ("across", ACROSS)):
            same(name, self.seen[name].rows, over(clause, events))
        keyed = self.seen["keyed"].rows
        same("upon", self.seen["upon"].rows, [row for row in keyed if row["n"] % 2 == 0])
        same("taken", [row for batch in self.taken for row in batch.to_pylist()], self.seen["across"].rows)
        lost = self.dead("keyed", "handler", lambda row: row["n"] % 11 == 0)
        same("handled or dead", ordered(self.failing.rows + lost), ordered(keyed))
        refused = self.dead("faulty", "fault", lambda row: row["d"] == 0)
        without = {(row["who"], row["n"]) for row in refused}
        passed = [row for row in rows if (row["who"], row["n"]) not in without and 10 // row["d"] > 1]
        same("faulty", self.seen["faulty"].rows, passed)
        demand(len(self.seen["echoes"].rows) == self.echoed, "what a handler pushed is not what came")
        demand(self.timed.waiting == 0, "events still wait after the end")
        timed = self.seen["timed_all"].rows
        demand(len(timed) + self.timed.late_count == self.accepted_timed, "timed events were lost or doubled")
        same(
            "within",
            ordered(self.seen["within"].rows),
            ordered(over(WITHIN, pa.Table.from_pylist(timed, schema=TIMED))),
        )
        place = {(row["who"], row["n"]): i for i, row in enumerate(rows)}
        for name, seen in self.passing:
            at = [place[row["who"], row["n"]] for row in seen.rows]
            demand(not at or at == list(range(at[0], at[0] + len(at))), f"{name}: a gap or a double")

    def dead(self, trigger: str, kind: str, reason: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """The rows of a trigger's dead letters; each of them is of this kind and has a row that is to blame."""
        found: list[dict[str, Any]] = []
        for letter in self.engine.dead_letters(trigger):
            assert letter.rows is not None
            rows = letter.rows.to_pylist()
            demand(
                letter.kind == kind and any(map(reason, rows)), f"{trigger}: nothing is wrong with {letter}"
            )
            found += rows
        return found


def over(clause: str, events: pa.Table) -> list[dict[str, Any]]:
    """What a Matcher says of the events, in its order."""
    matcher = tc.Matcher(clause, events.schema)
    return matcher.push(events).to_pylist() + matcher.finish().to_pylist()


def ordered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sorted by all values."""
    return sorted(rows, key=lambda row: tuple(row.values()))


def same(name: str, found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Raises WrongError with the first difference."""
    if found == expected:
        return
    pairs = enumerate(zip(found, expected, strict=False))
    at = next((i for i, (a, b) in pairs if a != b), min(len(found), len(expected)))
    raise WrongError(
        f"{name}: {len(found)} instead of {len(expected)}; at {at}: {found[at : at + 1]}, not {expected[at : at + 1]}"
    )


def main(arguments: list[str] | None = None) -> int:
    """The program."""
    parser = argparse.ArgumentParser(description="an engine under threads, checked")
    parser.add_argument(
        "--workers", type=int, nargs="+", help="default: 0, 1 and more, as the engine takes them"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="for each number of workers")
    parser.add_argument("--pushers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    logging.getLogger("tocsin").setLevel(logging.CRITICAL)  # handlers fail on purpose
    for workers in options.workers or WORKERS:
        end, events, rounds, seed = time.monotonic() + options.seconds, 0, 0, options.seed
        while rounds == 0 or time.monotonic() < end:
            try:
                events += Round(workers, options.pushers, seed).run(min(1.0, options.seconds))
            except BaseException:
                print(f"engine_stress: workers={workers}, seed={seed}", file=sys.stderr, flush=True)
                raise
            seed, rounds = seed + 1, rounds + 1
        print(f"ok workers={workers} rounds={rounds} events={events}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
