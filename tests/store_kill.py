"""A program: an engine with a store is killed (kill -9) at random moments; what it accepted is there, once, in order.

    python tests/store_kill.py [RUNS] [--seed 0] [--jobs 2] [--postgres]

Each run is a process with an Engine on a store of small files and 0 to 2 workers: threads push to two streams, four
triggers (a condition, a keyed pattern, a pattern over its matches, a keyed pattern within a time) write match logs, and
checkpoints are taken all the time. It says in a pipe what it was told: each push that returned, each match that a
handler got, each flush that ended. It is killed at any moment, from before it opens the store on; then the store is
opened here and checked:

- every acknowledged event is there, at the sequence that its push returned; each thread's events are there from the
  first on, in order, none twice, with the content they were made with; what was put right is torn tails at most;
- with --postgres, a stream and a match log are kept up to date in tables of a server that is started here: each table
  has the first so many rows of its log, none twice; at the end all of them;
- each match log has the first so many rows that `tc.match_recognize` gives for all stored events, from the first run
  on, none twice, none else; at least those that a handler got, and all that were certain before a flush ended.

A store is killed one to six times, then a last run ends in good order: its match logs then have all, and some handler
of some run got each of them.

Exit code 0: all is well; 1: it says what is not, and keeps the store. tests/test_storage_kill.py does some runs.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from adbc_driver_postgresql import dbapi

import tocsin as tc
from postgres_server import Server
from tocsin.sync import PostgresTarget

EVENTS = pa.schema(
    [("t", pa.timestamp("us")), *((name, pa.int64()) for name in ("thread", "number", "key", "x"))]
)
THREADS = {"orders": 3, "ticks": 1}  # that push to each stream; `ticks` has a time column
PAIRS = """PARTITION BY key MEASURES a.number AS first, b.thread AS thread, b.number AS number, b.x AS x
           PATTERN (a y*? b) DEFINE a AS x < 20, b AS x > 80"""
AGAIN = """MEASURES p.number AS first, q.thread AS thread, q.number AS number
           PATTERN (p q) DEFINE p AS x < 90, q AS x >= 90"""
SOON = """PARTITION BY key ORDER BY t MEASURES a.number AS first, b.thread AS thread, b.number AS number
          PATTERN (a y*? b) WITHIN INTERVAL '0.00004' SECOND DEFINE a AS x < 30, b AS x > 70"""
TRIGGERS = {
    "high": ("orders", None),
    "pairs": ("orders", PAIRS),
    "again": ("pairs", AGAIN),
    "soon": ("ticks", SOON),
}
SYNCED = {"ticks": "ticks", "pairs": "pairs"}
DURABILITIES = ("none", "interval", "commit")
SEGMENT_BYTES = 20_000
HANG_SECONDS = 120


def events(thread: int, first: int, rows: int) -> pa.RecordBatch:
    """A thread's events from `first` on; the same for the same numbers."""
    number = np.arange(first, first + rows, dtype=np.int64)
    mixed = (number * 2654435761 + thread * 40503) % 4294967296 // 65536
    columns = [number, np.full(rows, thread), number, mixed % 8, mixed // 8 % 100]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, EVENTS, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=EVENTS)


# ---------------------------------------------------------------------------------- the one who is killed


def child(path: str, durability: str, workers: str, seed: str, pushes: str, uri: str = "") -> None:
    """Push until killed; pushes: how many each thread does (0: without end), and then end in good order."""
    logging.getLogger("tocsin").setLevel(logging.CRITICAL)
    say("I")  # from here on it may be killed
    store = tc.Store(path, durability=durability, segment_bytes=SEGMENT_BYTES, interval_ms=5)
    dice = random.Random(f"{seed} checkpoints")
    engine = tc.Engine(store, workers=int(workers), checkpoint_every=dice.choice([0.003, 0.05, None]))
    for name in THREADS:
        engine.stream(name, EVENTS, time="t" if name == "ticks" else None)
    for name, (source, clause) in TRIGGERS.items():
        trigger = engine.trigger(name, source, tc.col("x") > 90 if clause is None else clause)
        trigger.handler(Telling(name), ids=True)
    if uri:
        for source, table in SYNCED.items():
            engine.sync(
                source, PostgresTarget(uri, f"{table}_{Path(path).parent.name[-8:]}".lower()), interval=0.005
            )
    say("R")
    threads = []
    for stream, count in THREADS.items():
        stored = store.scan(stream, columns=["thread", "number"]).read_all()
        for thread in range(count):
            mine = pc.max(stored["number"].filter(pc.equal(stored["thread"], thread))).as_py()
            first = 0 if mine is None else mine + 1
            arguments = (
                engine,
                stream,
                thread,
                first,
                int(pushes),
                random.Random(f"{seed} {stream} {thread}"),
            )
            threads.append(threading.Thread(target=push, args=arguments))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.close(finish=True)
    store.close()
    say("E")


class Telling:
    """A handler that says which matches it has got."""

    def __init__(self, trigger: str) -> None:
        self.trigger = trigger

    def __call__(self, matches: pa.RecordBatch) -> None:
        say(f"H {self.trigger} {matches['match_number'][0]} {matches.num_rows}")


def push(engine: tc.Engine, stream: str, thread: int, first: int, pushes: int, dice: random.Random) -> None:
    done = 0
    while not pushes or done < pushes:
        rows = dice.choice([1, 3, 20, 60])
        ticket = engine.streams[stream].push(events(thread, first, rows))
        say(f"A {stream} {thread} {first} {rows} {ticket.first}")
        first += rows
        done += 1
        if dice.random() < 0.02:
            engine.flush()
            say(f"F {stream} {ticket.last}")
        elif dice.random() < 0.05:
            time.sleep(dice.random() * 0.002)


def say(words: str) -> None:
    os.write(1, words.encode() + b"\n")  # one call, so it is in the pipe as a whole or not at all


# ---------------------------------------------------------------------------------- the one who looks


@dataclass
class Said:
    """What a run said before it ended."""

    accepted: list[tuple[str, int, int, int, int]] = field(default_factory=list)
    handled: list[tuple[str, int, int]] = field(
        default_factory=list
    )  # trigger, number of the first match, how many
    flushed: dict[str, int] = field(default_factory=dict)  # stream -> sequence up to which all was matched
    ended: bool = False


def run(path: Path, dice: random.Random, *, kill: bool, uri: str = "") -> Said:
    """One process, killed at a random moment, or let come to its end."""
    command = [
        sys.executable,
        __file__,
        "--child",
        str(path),
        dice.choice(DURABILITIES),
        str(dice.randrange(3)),
    ]
    command += [str(dice.random()), "0" if kill else "30", uri]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0)
    assert process.stdout is not None
    lines = bytearray()
    due: float | None = None
    began = time.monotonic()
    while True:
        left = HANG_SECONDS if due is None else due - time.monotonic()
        if left <= 0:
            process.send_signal(signal.SIGKILL)
            due = None
        elif select.select([process.stdout], [], [], left)[0]:
            block = process.stdout.read(1 << 16)
            if not block:
                break
            if kill and not lines:  # it has said "I"
                due = time.monotonic() + dice.choice([0.05, 0.3, 1.0]) * dice.random()
            lines += block
        elif due is None:
            process.kill()
            raise AssertionError(f"the process hangs, {time.monotonic() - began:.0f} s after its start")
    code = process.wait()
    process.stdout.close()
    assert code == (-signal.SIGKILL if kill else 0), f"the process ended with {code}"
    return understood(lines.decode())


def understood(lines: str) -> Said:
    said = Said()
    for line in lines.splitlines():
        kind, *words = line.split()
        if kind == "A":
            stream, *numbers = words
            thread, first, rows, sequence = map(int, numbers)
            said.accepted.append((stream, thread, first, rows, sequence))
        elif kind == "H":
            said.handled.append((words[0], int(words[1]), int(words[2])))
        elif kind == "F":
            said.flushed[words[0]] = max(said.flushed.get(words[0], -1), int(words[1]))
        said.ended |= kind == "E"
    return said


@dataclass
class State:
    """What all runs of a store have said of its matches, and what there is at last."""

    handled: dict[str, set[int]] = field(default_factory=lambda: {name: set() for name in TRIGGERS})
    events: int = 0
    matches: int = 0
    twice: int = 0


def check(path: Path, said: Said, state: State, uri: str = "") -> None:
    """Open the store after a run, and hold it to what the run said; AssertionError says what is not as it must be."""
    with tc.Store(path) as store:
        for entry in store.recovered:
            assert "torn tail" in entry.what, f"more than a torn tail: {entry}"
        assert not store.damaged(), store.damaged()
        assert not store.matches.damaged(), store.matches.damaged()
        tables = {}
        for stream in THREADS:
            tables[stream] = whole(store, stream)
            check_events(stream, tables[stream], said)
        for trigger in TRIGGERS:
            tables[trigger] = whole(store.matches, trigger)
        for trigger, first, count in said.handled:
            numbers = set(range(first, first + count))
            state.twice += len(state.handled[trigger] & numbers)
            state.handled[trigger] |= numbers
        for trigger in TRIGGERS:
            check_matches(trigger, tables, said, state.handled[trigger])
        for source, table in SYNCED.items() if uri else ():
            target = f"{table}_{path.parent.name[-8:]}".lower()
            check_target(uri, target, tables[source], ended=said.ended)
        state.events = sum(len(tables[name]) for name in THREADS)
        state.matches = sum(len(tables[name]) for name in TRIGGERS)


def whole(folder: tc.Store, name: str) -> pa.Table:
    """All rows of a log; one that the run did not come to make has none."""
    if name not in folder.streams():
        return EVENTS.empty_table()
    return folder.scan(name).read_all()


def check_events(stream: str, table: pa.Table, said: Said) -> None:
    threads, numbers = table["thread"].to_numpy(), table["number"].to_numpy()
    for thread in np.unique(threads).tolist():
        mine = pc.equal(table["thread"], thread)
        right = events(thread, 0, pc.sum(mine).as_py() or 0)
        got = table.filter(mine).combine_chunks()
        assert got.equals(pa.Table.from_batches([right])), (
            f"{stream}: thread {thread}: lost, twice or out of order"
        )
    for where, thread, first, rows, sequence in said.accepted:
        if where == stream:
            place = slice(sequence, sequence + rows)
            what = f"{stream}: acknowledged events {first} to {first + rows - 1} of thread {thread} at {sequence}"
            assert (threads[place] == thread).all(), f"{what} are not there"
            assert numbers[place].tolist() == list(range(first, first + rows)), f"{what} are not there"


def check_matches(trigger: str, tables: dict[str, pa.Table], said: Said, handled: set[int]) -> None:
    source, clause = TRIGGERS[trigger]
    seen, log = tables[source], tables[trigger]
    right = reference(seen, clause)
    assert len(log) <= len(right), f"{trigger}: {len(log)} matches in the log, {len(right)} are right"
    got = log.select(right.column_names if len(log) else []).combine_chunks()
    if len(log) and not got.equals(right.slice(0, len(log)).combine_chunks()):
        at = next(n for n, row in enumerate(got.to_pylist()) if row != right.slice(n, 1).to_pylist()[0])
        raise AssertionError(
            f"{trigger}: match {at} of {len(log)} in the log is {got.slice(at, 1).to_pylist()}, "
            f"not {right.slice(at, 1).to_pylist()}"
        )
    least = max(handled, default=-1) + 1
    if said.flushed.get(source, -1) >= 0:
        least = max(least, len(reference(seen.slice(0, said.flushed[source] + 1), clause)))
    if said.ended:
        least = len(right)
        assert handled == set(range(len(right))), (
            f"{trigger}: no handler got {set(range(len(right))) - handled}"
        )
    assert len(log) >= least, f"{trigger}: {len(log)} matches in the log, {least} had been found"


def check_target(uri: str, target: str, log: pa.Table, *, ended: bool) -> None:
    with dbapi.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT to_regclass('{target}') IS NOT NULL")
        if not cursor.fetchone()[0]:
            assert not ended, f"{target}: there is no such table"
            return
        cursor.execute(f'SELECT thread, number, tocsin_sequence FROM "{target}" ORDER BY tocsin_sequence')
        got = cursor.fetch_arrow_table()
    wanted = log.slice(0, len(got)) if not ended else log
    assert got["tocsin_sequence"].to_pylist() == list(range(len(wanted))), (
        f"{target}: rows are missing, or twice"
    )
    for column in ("thread", "number"):
        assert got[column].to_pylist() == wanted[column].to_pylist(), f"{target}: other rows than the log has"


def reference(seen: pa.Table, clause: str | None) -> pa.Table:
    """What a trigger must say of these events."""
    if not len(seen):
        return seen
    if clause is None:
        return seen.filter(pc.greater(seen["x"], 90))
    return tc.match_recognize(seen, clause)


class Tally:
    """What was done, and what was wrong."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []


def one_store(number: int, seed: int, kills: int, uri: str, tally: Tally) -> None:
    """A store's life: `kills` runs that are killed, and one that ends."""
    dice = random.Random(f"{seed} {number}")
    folder = Path(tempfile.mkdtemp(prefix=f"tocsin-kill-{number}-"))
    state = State()
    for turn in range(kills + 1):
        try:
            said = run(folder / "s", dice, kill=turn < kills, uri=uri)
            check(folder / "s", said, state, uri)
        except Exception as fault:
            with tally.lock:
                tally.faults.append(
                    f"store {number}, run {turn}: {type(fault).__name__}: {fault}; kept in {folder}"
                )
            return
        with tally.lock:
            tally.counts["killed" if turn < kills else "ended"] += 1
            tally.counts["acknowledged pushes"] += len(said.accepted)
    with tally.lock:
        tally.counts["events"] += state.events
        tally.counts["matches"] += state.matches
        tally.counts["handled again"] += state.twice
    shutil.rmtree(folder)


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--child"]:
        child(*arguments[1:])
        return 0
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="?", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--postgres", action="store_true", help="keep tables of a PostgreSQL up to date, too")
    options = parser.parse_args(arguments)
    dice = random.Random(options.seed)
    tally = Tally()
    left = options.runs
    with contextlib.ExitStack() as ends:
        uri = ""
        if options.postgres:
            server = Server(fsync="off")
            ends.callback(server.close)
            uri = server.uri
        threads = ends.enter_context(ThreadPoolExecutor(options.jobs))
        number = 0
        while left > 0:
            kills = min(left, dice.randrange(1, 7))
            threads.submit(one_store, number, options.seed, kills, uri, tally)
            left -= kills
            number += 1
    print(*(f"{count} {what}" for what, count in sorted(tally.counts.items())), sep=", ")
    print(*tally.faults, sep="\n")
    print("all is well" if not tally.faults else f"{len(tally.faults)} stores are not as they must be")
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
