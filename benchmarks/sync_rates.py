"""python -m benchmarks.sync_rates [--events N] [--uri postgresql://…]: how fast a backlog reaches each kind of target.

A store with N events (a time, an account as text, three numbers; batches of 4 096) is synced to a new target; the time
is from `start` to the end of `wait`. Beside it, what the target's own library takes for the same rows, once read from
the store into memory, in a single call without positions; they take turns, and medians are shown. Both must have left
the same rows. Without --uri a PostgreSQL server is started, with its ordinary settings.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import adbc_driver_postgresql.dbapi as postgres
import deltalake
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import tocsin as tc
from benchmarks.data import BATCH_ROWS
from tocsin.sync import DeltaTarget, ParquetTarget, PostgresTarget, StoreTarget, Target, start

ROUNDS = 3
SCHEMA = pa.schema(
    {
        "ts": pa.timestamp("us"),
        "account": pa.string(),
        "amount": pa.float64(),
        "size": pa.int32(),
        "price": pa.float64(),
    }
)


def fill(store: tc.Store, events: int) -> None:
    """The source's events."""
    store.create_stream("s", SCHEMA, time="ts")
    generator = np.random.default_rng(3)
    for first in range(0, events, BATCH_ROWS):
        rows = min(BATCH_ROWS, events - first)
        accounts = pc.binary_join_element_wise(
            "account", pa.array(generator.integers(0, 10_000, rows)).cast(pa.string()), "-"
        )
        store.append(
            "s",
            {
                "ts": np.arange(first, first + rows).astype("M8[us]"),
                "account": accounts,
                "amount": generator.random(rows),
                "size": generator.integers(0, 1000, rows).astype(np.int32),
                "price": generator.random(rows),
            },
        )
    store.sync()


def synced(store: tc.Store, target: Target) -> float:
    """Seconds until the target has all."""
    begun = perf_counter()
    with start(store, "s", target) as sync:
        sync.wait()
        return perf_counter() - begun


def timed(called: Callable[[], object]) -> float:
    begun = perf_counter()
    called()
    return perf_counter() - begun


class Postgres:
    """PostgreSQL."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def target(self, at: str, _: Path) -> Target:
        return PostgresTarget(self._uri, at)

    def plain(self, rows: pa.Table, at: str, _: Path) -> None:
        with postgres.connect(self._uri) as connection, connection.cursor() as cursor:
            cursor.execute(
                f"CREATE TABLE {at} (ts timestamp, account text, amount float, size int, price float, "
                "tocsin_sequence bigint PRIMARY KEY)"
            )
            cursor.adbc_ingest(at, rows, mode="append")
            connection.commit()

    def sum(self, at: str, _: Path) -> int:
        with postgres.connect(self._uri) as connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT sum(tocsin_sequence)::bigint FROM {at}")
            return int(cursor.fetchall()[0][0])


class Delta:
    """Delta Lake."""

    def target(self, at: str, folder: Path) -> Target:
        return DeltaTarget(folder / at)

    def plain(self, rows: pa.Table, at: str, folder: Path) -> None:
        deltalake.write_deltalake(folder / at, rows)

    def sum(self, at: str, folder: Path) -> int:
        return _sum(deltalake.DeltaTable(folder / at).to_pyarrow_table())


class Parquet:
    """Parquet."""

    def target(self, at: str, folder: Path) -> Target:
        return ParquetTarget(folder / at)

    def plain(self, rows: pa.Table, at: str, folder: Path) -> None:
        (folder / at).mkdir()
        pq.write_table(rows, folder / at / "rows.parquet", compression="zstd")

    def sum(self, at: str, folder: Path) -> int:
        return _sum(pq.read_table(folder / at))


class Store:
    """A tocsin store."""

    def target(self, at: str, folder: Path) -> Target:
        return StoreTarget(folder / at)

    def plain(self, rows: pa.Table, at: str, folder: Path) -> None:
        with tc.Store(folder / at) as store:
            store.create_stream("s", rows.schema, time="ts").append(rows)

    def sum(self, at: str, folder: Path) -> int:
        with tc.Store(folder / at, read_only=True) as store:
            return _sum(store.scan("s").read_all())


def _sum(table: pa.Table) -> int:
    return int(pc.sum(table["tocsin_sequence"]).as_py())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--uri", default="")
    options = parser.parse_args()
    events = options.events
    server = None
    if not options.uri:
        sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
        from postgres_server import Server, programs

        server = Server() if programs() is not None else None
    uri = server.uri if server is not None else options.uri
    kinds: list[Postgres | Delta | Parquet | Store] = [Delta(), Parquet(), Store()]
    if uri:
        kinds.insert(0, Postgres(uri))
    else:
        print("PostgreSQL is not installed, and there is no --uri: it is left out")
    try:
        with tempfile.TemporaryDirectory(prefix="tocsin-sync-") as name:
            folder = Path(name)
            with tc.Store(folder / "source.store") as store:
                fill(store, events)
                for kind in kinds:
                    ours, plain = [], []
                    for turn in range(ROUNDS):
                        rows = store.scan("s", sequence_column="tocsin_sequence").read_all()
                        at = f"{type(kind).__name__}_{turn}".lower()
                        plain.append(
                            timed(lambda kind=kind, rows=rows, at=at: kind.plain(rows, "p_" + at, folder))
                        )
                        ours.append(synced(store, kind.target("s_" + at, folder)))
                        assert (
                            kind.sum("s_" + at, folder)
                            == kind.sum("p_" + at, folder)
                            == events * (events - 1) // 2
                        )
                    rates = [events / statistics.median(times) for times in (ours, plain)]
                    print(
                        f"{type(kind).__name__:10} {rates[0] / 1e3:8.0f} k rows/s   "
                        f"plain {rates[1] / 1e3:8.0f} k rows/s   {rates[0] / rates[1]:.2f}",
                        flush=True,
                    )
    finally:
        if server is not None:
            server.close()


if __name__ == "__main__":
    main()
