"""Kills a process that appends and syncs, at random moments, and looks at what the target then has.

    python tests/sync_kill.py postgres --times 500 --uri postgresql://…
    python tests/sync_kill.py delta parquet store --times 200

Without --uri a server is started for "postgres". For each kind of target there is one store and one target, and so
many times a process opens the store, appends, syncs, trims what is synced, and is killed (SIGKILL). After every tenth
time, and at the end, when one process was allowed to finish, the target must have each event exactly once: 0, 1, 2, …
without a hole, with the values that event has. The processes are forked from this one, which has the libraries loaded
and has used none of them: a kill may so come within the first milliseconds.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import adbc_driver_postgresql.dbapi
import deltalake
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import tocsin as tc
from postgres_server import Server
from sync_support import SEQUENCE, append
from tocsin.sync import DeltaTarget, ParquetTarget, PostgresTarget, StoreTarget, Target, start

KINDS = ("postgres", "delta", "parquet", "store")
SCHEMA = pa.schema([("ts", pa.timestamp("us")), ("price", pa.float64()), ("word", pa.string())])


def target(kind: str, folder: Path, uri: str) -> Target:
    if kind == "postgres":
        return PostgresTarget(uri, "killed")
    if kind == "delta":
        return DeltaTarget(folder / "delta")
    if kind == "parquet":
        return ParquetTarget(folder / "parquet")
    return StoreTarget(folder / "b.store")


def table(kind: str, folder: Path, uri: str) -> pa.Table:
    """What the target has, in the order of the sequences."""
    if kind == "postgres":
        with adbc_driver_postgresql.dbapi.connect(uri) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT * FROM killed")
            return cursor.fetch_arrow_table().sort_by(SEQUENCE)
    if kind == "delta":
        return pa.table(deltalake.DeltaTable(folder / "delta").to_pyarrow_table()).sort_by(SEQUENCE)
    if kind == "parquet":
        return pq.read_table(folder / "parquet").sort_by(SEQUENCE)
    with tc.Store(folder / "b.store", read_only=True) as store:
        return store.scan("s").read_all()


def work(kind: str, folder: Path, uri: str, seed: int, *, finish: bool) -> None:
    """One life: append and sync until killed; with `finish`, a little more, and to the end."""
    chance = random.Random(seed)
    logging.getLogger("tocsin").setLevel(logging.CRITICAL)
    durability = chance.choice(["commit", "interval", "none"])
    with tc.Store(folder / "a.store", durability=durability, segment_bytes=20_000) as store:
        store.create_stream("s", SCHEMA, time="ts")
        options = {"rows": chance.randint(1, 200), "interval": chance.choice([0.0005, 0.005, 0.03])}
        sync = start(store, "s", target(kind, folder, uri), retry_max=0.1, linger=60, **options)
        if finish:
            append(store, 25)
            sync.wait(timeout=120)
            sync.close()
            return
        while True:
            append(store, chance.randint(1, 30))
            time.sleep(chance.random() * 0.01)
            if chance.random() < 0.02:
                store.trim("s", sequence=sync.position or 0)


def check(kind: str, folder: Path, uri: str, *, finished: bool) -> None:
    """Each event exactly once, as it is."""
    try:
        found = table(kind, folder, uri)
    except Exception:
        if finished:
            raise
        return  # killed before there was a target
    count = found.num_rows
    sequences = found[SEQUENCE].to_pylist()
    assert sequences == list(range(count)), "an event is missing or there twice"
    assert found["price"].to_pylist() == [n * 0.5 for n in range(count)]
    assert found["word"].to_pylist() == [None if n % 7 == 0 else f"word {n}" for n in range(count)]
    assert pc.all(pc.equal(found["ts"].cast(pa.int64()), found[SEQUENCE])).as_py() is not False
    if finished:
        with tc.Store(folder / "a.store", read_only=True) as store:
            assert count == store.log("s").snapshot()[-1].rows[-1, 2:4].sum() > 0
        print(f"{kind}: {count} events, each once", flush=True)


def forked(called: Callable[[], None], kill_after: float | None = None) -> None:
    """Calls it in a process of its own, which is killed after so many seconds; without, it must succeed."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            called()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code not in ((0,) if kill_after is None else (-signal.SIGKILL,)):
        raise SystemExit(f"the process ended by itself with {code}")


def run(kind: str, folder: Path, uri: str, times: int, seed: int) -> None:
    chance = random.Random(f"{seed}/{kind}")
    for number in range(times):
        life = chance.randrange(2**32)
        # Half of them early: while store and target are being opened.
        after = chance.choice([0.05, 0.5]) * chance.random()
        forked(lambda life=life: work(kind, folder, uri, life, finish=False), after)
        if number % 10 == 9:
            forked(lambda: check(kind, folder, uri, finished=False))
    forked(lambda: work(kind, folder, uri, seed, finish=True))
    forked(lambda: check(kind, folder, uri, finished=True))
    print(f"{kind}: killed {times} times", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kinds", nargs="*", default=KINDS, metavar="kind", help=f"of {', '.join(KINDS)}; all")
    parser.add_argument("--times", type=int, default=25, help="kills for each kind")
    parser.add_argument(
        "--seed", type=int, default=None, help="of all that is random but the system's scheduling"
    )
    parser.add_argument("--uri", default="", help="of a PostgreSQL database")
    options = parser.parse_args()
    seed = random.randrange(10**6) if options.seed is None else options.seed
    print("seed", seed, flush=True)
    server = None
    uri = options.uri
    if "postgres" in options.kinds and not uri:
        server = Server(fsync="off")
        uri = server.uri
    try:
        for kind in options.kinds:
            with tempfile.TemporaryDirectory(prefix="tocsin-kill-") as folder:
                run(kind, Path(folder), uri, options.times, seed)
    finally:
        if server is not None:
            server.close()


if __name__ == "__main__":
    main()
