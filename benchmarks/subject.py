"""tocsin as the benchmarks call it: its public API only, and every call of it in this file.

Each function gives a run (a call without arguments) for `benchmarks.race`. tocsin is imported on the first
run, so that the references can be measured without it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter_ns, process_time, sleep
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.data import (
    BATCH_ROWS,
    BURST_ROWS,
    HANDOVER_TURNS,
    PACE_PER_SECOND,
    PRICE_ABOVE,
    SIZE_BELOW,
    WITHIN_US,
    Data,
    from_threads,
    paced,
    single_events,
    single_rows,
)
from benchmarks.timing import Timed, measured

SEQUENCE_COLUMNS = ("key", "start_ts", "end_ts")
VSHAPE_COLUMNS = ("key", "start_price", "low", "high", "start_ts", "end_ts")

VSHAPE = """
    PARTITION BY key ORDER BY ts
    MEASURES strt.price AS start_price, LAST(down.price) AS low, LAST(up.price) AS high,
             FIRST(strt.ts) AS start_ts, LAST(up.ts) AS end_ts
    ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW
    PATTERN (strt down{2,} up{2,})
    DEFINE down AS price < PREV(price), up AS price > PREV(price)
"""

VSHAPE_ALL_ROWS = VSHAPE.replace("ONE ROW PER MATCH", "ALL ROWS PER MATCH")
# One row a match with as many measures, under the names of the columns that ALL ROWS answers with.
VSHAPE_ONE_ROW = VSHAPE.replace("AS start_price", "AS price").replace("AS start_ts", "AS ts")


def sequence_clause(within_us: int | None = WITHIN_US, kinds: Sequence[int] = (0, 1, 2)) -> str:
    """`s0 x1*? s1 x2*? s2 …` WITHIN so many microseconds (None: no WITHIN), step i being kind = kinds[i]."""
    steps = [f"s{i}" for i in range(len(kinds))]
    pattern = steps[0] + "".join(f" x{i}*? {step}" for i, step in enumerate(steps) if i)
    within = "" if within_us is None else f" WITHIN INTERVAL '{within_us // 1_000_000}' SECOND"
    define = ", ".join(f"{step} AS kind = {kind}" for step, kind in zip(steps, kinds, strict=True))
    return f"""
        PARTITION BY key ORDER BY ts
        MEASURES FIRST({steps[0]}.ts) AS start_ts, LAST({steps[-1]}.ts) AS end_ts
        ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW
        PATTERN ({pattern}){within}
        DEFINE {define}
    """


def runs_clause(pattern: str, variables: str = "ab") -> str:
    """A pattern of a (kind = 0), b (kind = 1), … in one partition."""
    define = ", ".join(f"{variable} AS kind = {kind}" for kind, variable in enumerate(variables))
    return f"""
        ORDER BY ts
        MEASURES FIRST(ts) AS start_ts, LAST(ts) AS end_ts
        ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW
        PATTERN ({pattern})
        DEFINE {define}
    """


def match(data: Data, clause: str, execution: str | None = None) -> Callable[[], pa.Table]:
    """One call over the whole table, in the pattern's own execution class or forced into a lower one."""

    def run() -> pa.Table:
        import tocsin as tc

        return tc.match_recognize(data.table, clause, execution=execution)

    return run


def query(data: Data, clause: str) -> Callable[[], pa.Table]:
    """The same through a SQL query that does nothing else."""

    def run() -> pa.Table:
        import tocsin as tc

        return tc.sql(f"SELECT * FROM events MATCH_RECOGNIZE ({clause})", events=data.table)

    return run


def push(data: Data, clause: str, rows: int) -> Callable[[], pa.Table]:
    """A Matcher, fed in batches of `rows` rows."""
    batches = data.batches(rows)

    def run() -> pa.Table:
        import tocsin as tc

        matcher = tc.Matcher(clause, batches[0].schema)
        found = [matcher.push(batch) for batch in batches]
        found.append(matcher.finish())
        return pa.Table.from_batches(found)

    return run


def engine(data: Data, clause: str, workers: int, rows: int) -> Callable[[], pa.Table]:
    """An engine with one pattern, fed in batches of `rows` rows; its handler keeps the batches it is given."""
    batches = data.batches(rows)

    def run() -> pa.Table:
        import tocsin as tc

        found: list[pa.RecordBatch] = []
        with tc.Engine(workers=workers) as engine:
            stream = engine.stream("events", batches[0].schema)
            trigger = engine.trigger("found", stream, clause)
            trigger.handler(found.append)
            for batch in batches:
                stream.push(batch)
        return pa.Table.from_batches(found, schema=trigger.schema)

    return run


def condition(data: Data, rows: int = 65_536) -> Callable[[], pa.Table]:
    """An inline engine with one condition; the handler keeps the batches it is given.

    The stream declares no time: the references do not look at the order of ts either.
    """
    batches = data.batches(rows)

    def run() -> pa.Table:
        import tocsin as tc

        found: list[pa.RecordBatch] = []
        with tc.Engine(workers=0) as engine:
            stream = engine.stream("orders", batches[0].schema)
            passing = engine.trigger(
                "small_and_dear", stream, (tc.col("price") > PRICE_ABOVE) & (tc.col("size") < SIZE_BELOW)
            )
            passing.handler(found.append)
            for batch in batches:
                stream.push(batch)
            engine.flush()
        return pa.Table.from_batches(found)

    return run


def triggers(data: Data, thresholds: Sequence[tuple[float, int]], rows: int = 65_536) -> Callable[[], Any]:
    """An inline engine with one condition `price > p AND size < s` for each pair; the matches of each."""
    batches = data.batches(rows)

    def run() -> dict[str, list[int]]:
        import tocsin as tc

        counts = [0] * len(thresholds)

        def counter(i: int) -> Callable[[pa.RecordBatch], None]:
            def count(matches: pa.RecordBatch) -> None:
                counts[i] += matches.num_rows

            return count

        with tc.Engine(workers=0) as engine:
            stream = engine.stream("orders", batches[0].schema, time="ts")
            for i, (price, size) in enumerate(thresholds):
                condition = (tc.col("price") > price) & (tc.col("size") < size)
                engine.trigger(f"t{i}", stream, condition).handler(counter(i))
            for batch in batches:
                stream.push(batch)
            engine.flush()
        return {"trigger": list(range(len(counts))), "matches": counts}

    return run


def handover(data: Data) -> Callable[[], Any]:
    """Batches through the ring to one worker, which looks for one row of the last of them."""
    batches = data.batches()
    sought = batches[-1].column("id")[-1].as_py()

    def run() -> dict[str, list[int]]:
        import tocsin as tc

        seen = 0

        def count(matches: pa.RecordBatch) -> None:
            nonlocal seen
            seen += matches.num_rows

        with tc.Engine(workers=1) as engine:
            stream = engine.stream("wide", batches[0].schema)
            engine.trigger("sought", stream, tc.col("id") == sought).handler(count)
            for _ in range(HANDOVER_TURNS):
                for batch in batches:
                    stream.push(batch)
            engine.flush()
        return {"seen": [seen]}

    return run


def single(data: Data, per_match: bool = True) -> Callable[[], Timed]:
    """One event as a dict, push -> handler of a dict (or of a record batch), inline, as fast as it goes."""
    events = single_events(data)

    def run() -> Timed:
        import tocsin as tc

        at: list[int] = []
        with tc.Engine(workers=0) as engine:
            stream = engine.stream("wide", data.table.schema, time="ts")
            trigger = engine.trigger("all", stream, tc.col("v0") > -100.0)
            trigger.handler(lambda match: at.append(perf_counter_ns()), per_match=per_match)
            begun = []
            for event in events:
                begun.append(perf_counter_ns())
                stream.push(event)
            engine.flush()
        return Timed.latencies(begun, at)

    return run


def single_paced(data: Data, per_second: int = PACE_PER_SECOND, workers: int = 1) -> Callable[[], Timed]:
    """Push -> handler of so many events a second: as dicts, or at a million in batches of 64 rows; the p99 counts."""
    rows = BURST_ROWS if per_second >= 1_000_000 else 1
    items: list[Any] = data.batches(rows) if rows > 1 else single_events(data)

    def run() -> Timed:
        import tocsin as tc

        at: list[int] = []
        with tc.Engine(workers=workers) as engine:
            stream = engine.stream("wide", data.table.schema, time="ts")
            trigger = engine.trigger("all", stream, tc.col("v0") > -100.0)
            if rows == 1:
                trigger.handler(lambda match: at.append(perf_counter_ns()), per_match=True)
            else:
                trigger.handler(lambda matches: at.extend([perf_counter_ns()] * matches.num_rows))
            begun = paced(items, stream.push, per_second // rows)
            engine.flush()
        return Timed.latencies(
            [b for b, item in zip(begun, items, strict=True) for _ in range(rows)][: len(at)], at, 99
        )

    return run


def one_by_one(data: Data, threads: int, form: str) -> Callable[[], Any]:
    """Events pushed one by one by so many threads, as "dicts" or as "batches" of one row; one of them is looked for."""
    items: list[Any] = single_events(data) if form == "dicts" else single_rows(data)
    sought = len(items) - 1

    def run() -> dict[str, list[int]]:
        import tocsin as tc

        seen = 0

        def count(matches: pa.RecordBatch) -> None:
            nonlocal seen
            seen += matches.num_rows

        with tc.Engine(workers=1) as engine:
            stream = engine.stream("wide", data.table.schema)
            engine.trigger("sought", stream, tc.col("id") == sought).handler(count)
            from_threads(items, stream.push, threads)
            engine.flush()
        return {"seen": [seen]}

    return run


def idle(seconds: float) -> Callable[[], Timed]:
    """The processor time that an engine with nothing to do takes in so many seconds."""

    def run() -> Timed:
        import tocsin as tc

        with tc.Engine(workers=1) as engine:
            stream = engine.stream("s", pa.schema([("n", pa.int64())]))
            seen: list[int] = []
            engine.trigger("t", stream, tc.col("n") > 0).handler(
                lambda matches: seen.append(matches.num_rows)
            )
            stream.push({"n": 1})
            engine.flush()
            sleep(0.1)  # its threads go to sleep
            used = process_time()
            sleep(seconds)
            used = process_time() - used
        return Timed(max(used, 1e-9), {"seen": seen})

    return run


def store_append(
    data: Data,
    folder: Path,
    durability: Literal["none", "interval", "commit"],
    *,
    sync: bool = False,
    compression: Literal["lz4", "zstd"] | None = None,
    rows: int = BATCH_ROWS,
    threads: int = 1,
) -> Callable[[], Timed]:
    """Batches appended to a new store; read back untimed. The clock runs from the first append to the end of the last
    one, sync: until all is durable."""
    batches = data.batches(rows)
    path = folder / "append.store"

    def run() -> Timed:
        import tocsin as tc

        shutil.rmtree(path, ignore_errors=True)
        with tc.Store(path, durability=durability, compression=compression) as store:
            store.create_stream("wide", batches[0].schema, time="ts")

            def append() -> None:
                if threads > 1:
                    from_threads(batches, lambda batch: store.append("wide", batch), threads)
                else:
                    for batch in batches:
                        store.append("wide", batch)
                if sync:
                    store.sync()

            timed = measured(append)
        with tc.Store(path) as store:
            timed.answer = store.scan("wide").read_all()
        shutil.rmtree(path)
        return timed

    return run


def replay(data: Data, clause: str, folder: Path) -> Callable[[], Timed]:
    """A store (filled once, untimed) scanned through a Matcher."""
    path = folder / "replay.store"

    def run() -> Timed:
        import tocsin as tc

        if not path.exists():
            with tc.Store(path, durability="none") as store:
                store.create_stream("events", data.table.schema, time="ts")
                for batch in data.batches(65_536):
                    store.append("events", batch)

        def again() -> pa.Table:
            with tc.Store(path) as store:
                reader = store.scan("events")
                matcher = tc.Matcher(clause, reader.schema)
                found = [matcher.push(batch) for batch in reader]
                found.append(matcher.finish())
                return pa.Table.from_batches(found)

        return measured(again)

    return run


def recovery(data: Data, clause: str, folder: Path, behind: float) -> Callable[[], Timed]:
    """An engine opens a store that a crash left, `behind` of its events after the last checkpoint, and takes it up.

    Timed: from opening the store until its trigger knows all, and handlers have what they had not.
    """
    crashed = folder / f"recovery-{behind}.store"

    def fill() -> None:
        import tocsin as tc

        path = folder / "filling.store"
        with tc.Engine(path, durability="none", checkpoint_every=None) as engine:
            stream = engine.stream("events", data.table.schema, time="ts")
            engine.trigger("found", stream, clause)
            batches = list(data.batches(65_536))
            for number, batch in enumerate(batches):
                if number == int(len(batches) * (1 - behind)):
                    engine.checkpoint()
                stream.push(batch)
            engine.flush()
            shutil.copytree(path, crashed, ignore=shutil.ignore_patterns("LOCK"))
        shutil.rmtree(path)

    def run() -> Timed:
        import tocsin as tc

        if not crashed.exists():
            fill()
        path = folder / "recovering.store"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(crashed, path)
        engines = []

        def take_up() -> pa.Table:
            engine = tc.Engine(path, durability="none", checkpoint_every=None)
            engines.append(engine)
            stream = engine.stream("events", data.table.schema, time="ts")
            engine.trigger("found", stream, clause)
            engine.recover()
            engine.flush()
            return engine.store.matches.scan("found").read_all()

        timed = measured(take_up)
        engines[0].close()
        return timed

    return run


def certain(data: Data, clause: str) -> Callable[[], pa.Table]:
    """All matches but those that only the end of the input would settle."""

    def run() -> pa.Table:
        import tocsin as tc

        matcher = tc.Matcher(clause, data.table.schema)
        return pa.Table.from_batches([matcher.push(batch) for batch in data.batches(65_536)])

    return run


def lookup(path: Path, account: int, *, filtered: bool) -> Callable[[], Timed]:
    """One account's events out of a store with filters for it; without them: the scan that reads everything."""
    # A condition on a computed value says nothing about batches.
    where = pc.add(pc.field("account"), 0) == account
    return ask(path, {"keys": {"account": account}} if filtered else {"where": where})


def dear(path: Path, above: float, *, pruned: bool) -> Callable[[], Timed]:
    """The events above a price that only the last have, out of a store with ranges for it; or all looked at."""
    price = pc.field("price")
    return ask(path, {"where": (price if pruned else pc.add(price, 0.0)) > above})


def ask(path: Path, query: dict[str, Any]) -> Callable[[], Timed]:
    """A scan of a store that others may read too."""

    def run() -> Timed:
        import tocsin as tc

        with tc.Store(path, read_only=True) as store:
            return measured(lambda: store.scan("events", **query).read_all())

    return run


def account_store(folder: Path, events: int, *, tiered: bool = False) -> tuple[Path, int]:
    """A store of so many events of a million accounts (two columns, a price that rises, an amount), and one account;
    made once. `tiered`: all of them in Parquet."""
    import tocsin as tc

    path = folder / f"accounts_{events}{'_tiered' if tiered else ''}.store"
    schema = pa.schema(
        [("ts", pa.int64()), ("account", pa.int64()), ("price", pa.float64()), ("amount", pa.float64())]
    )
    if not path.exists():
        generator = np.random.default_rng(11)
        with tc.Store(path, durability="none") as store:
            store.create_stream("events", schema, time="ts", lookup=["account", "price"])
            for first in range(0, events, BATCH_ROWS):
                at = np.arange(first, min(first + BATCH_ROWS, events))
                accounts = generator.integers(0, 1_000_000, len(at))
                prices = at / events + generator.random(len(at)) / 100
                rows = {"ts": at, "account": accounts, "price": prices, "amount": generator.random(len(at))}
                store.append("events", pa.record_batch(rows, schema=schema))
            if tiered:
                store.seal("events")
                last = {"ts": [events], "account": [-1], "price": [-1.0], "amount": [0.0]}
                store.append("events", pa.record_batch(last, schema=schema))  # the file that grows stays
                store.tier("events", to=path / "parquet", sequence=events)
    return path, 123_456


def account_files(path: Path, account: int) -> Callable[[], Timed]:
    """The same look-up in the Parquet files of a store, by pyarrow itself."""
    import pyarrow.dataset as ds

    def run() -> Timed:
        files = ds.dataset(path / "parquet", format="parquet")
        columns = ["ts", "account", "price", "amount"]
        return measured(lambda: files.to_table(columns=columns, filter=pc.field("account") == account))

    return run
