"""A store with one of everything in it, made by an Engine, and every way of reading it; for programs that damage it.

`make_store` gives streams with a time column, look-up columns, dictionaries and text, batches short and long enough for
both kinds of checksum, compressed and not, sealed files and growing ones, match logs (a condition, a keyed pattern, a
trigger upon it) and dead letters. `go_on` opens an Engine on it once more, with the same triggers, and pushes more.
`read_all` reads all that is there in several ways, and goes on behind damage as the error says.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import tocsin as tc
from tocsin.storage import LogFolder

TRADES = pa.schema(
    [
        ("ts", pa.timestamp("us")),
        ("account", pa.int64()),
        ("amount", pa.float64()),
        ("place", pa.dictionary(pa.int32(), pa.string())),
    ]
)
NOTES = pa.schema([("n", pa.int64()), ("text", pa.string())])
CLIMB = """PARTITION BY account ORDER BY ts MEASURES a.ts AS started, b.ts AS ended, b.amount AS amount
           PATTERN (a x*? b) WITHIN INTERVAL '60' SECOND DEFINE a AS amount < 100, b AS amount > 900"""
PLACES = np.array(["Ulm", "Bern", "Graz", "Linz", "Trier"])
N = "tocsin sequence"  # the sequence column of what is read
START = 1_800_000_000_000_000
# What opening says of damage that costs no event.
NOTHING_LOST = ("made anew", "restored from a segment")


def trades(first: int, rows: int) -> pa.RecordBatch:
    """Events `first` and on: the same for the same numbers."""
    at = np.arange(first, first + rows)
    noise = np.random.default_rng(first).random((2, rows))
    columns = [
        pa.array(START + at * 100_000, pa.timestamp("us")),
        pa.array((noise[0] * 40).astype(np.int64)),
        pa.array(np.round(noise[1] * 1000, 2)),
        pa.array(PLACES[at % 5]).dictionary_encode(),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=TRADES)


def notes(first: int, rows: int) -> dict[str, list[Any]]:
    at = range(first, first + rows)
    return {"n": list(at), "text": [f"note {n}" * (n % 7) if n % 11 else None for n in at]}


def declare(engine: tc.Engine) -> tuple[Any, Any]:
    """The streams and triggers; the handler of one refuses some of its matches."""
    flow = engine.stream("trades", TRADES, time="ts")
    side = engine.stream("notes", NOTES)
    large = engine.trigger("large", flow, tc.col("amount") > 980)
    climb = engine.trigger("climb", flow, CLIMB)
    engine.trigger("again", climb, tc.col("amount") > 950)

    @large.handler(retries=0)
    def refuse(matches: pa.RecordBatch) -> None:
        if pc.max(matches["amount"]).as_py() > 995:
            raise ValueError("too large")

    return flow, side


def make_store(path: Path) -> None:
    """A new store, closed in good order."""
    logging.getLogger("tocsin").setLevel(logging.CRITICAL)
    with tc.Store(path, segment_bytes=60_000, durability="none") as store:
        store.create_stream("trades", TRADES, time="ts", lookup=["account"])
        with tc.Engine(store) as engine:
            flow, side = declare(engine)
            for first in range(0, 2500, 250):
                flow.push(trades(first, 250))
                side.push(notes(first, 50))
    with tc.Store(path, compression="lz4", segment_bytes=60_000) as store:
        store.create_stream("packed", NOTES, lookup=["text"])
        for first in range(0, 1000, 200):
            store.append("packed", notes(first, 200))
        store.create_stream("empty", NOTES)
        store.append("trades", trades(2500, 3000))
        store.seal("notes")
        assert store.tier("trades", to=str(path / "cold"), sequence=2500).files  # copies have it, too


def go_on(path: Path, workers: int) -> None:
    """A later Engine on the store, with the same triggers and more events."""
    with tc.Engine(path, workers=workers) as engine:
        flow, side = declare(engine)
        for first in range(5500, 6100, 200):
            flow.push(trades(first, 200))
            side.push(notes(first, 20))
        engine.flush()


@dataclass
class Found:
    """What a store gave: the rows of each way of reading, and each thing it told of damage."""

    tables: dict[str, pa.Table] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)  # damage that cost events, or may have
    noted: list[str] = field(default_factory=list)  # damage that cost none


def read_all(store: tc.Store) -> Found:
    """All streams and match logs: whole, and parts of them by time, key and condition."""
    found = Found()
    for entry in store.recovered:
        harmless = any(words in entry.what for words in NOTHING_LOST)
        (found.noted if harmless else found.told).append(f"{entry.file}: {entry.what}")
    for kind, folder in (("streams", store), ("matches", store.matches)):
        found.told += [str(fault) for fault in folder.damaged().values()]
        for name, info in folder.streams().items():
            ways: dict[str, dict[str, Any]] = {"all": {}}
            if name == "trades":
                ways["times"] = {"start": START + 50_000_000, "stop": START + 300_000_000}
                ways["keys"] = {"keys": {"account": [3, 17]}}
                ways["where"] = {"where": pc.field("amount") > 900.0}
            if name == "packed":
                ways["keys"] = {"keys": {"text": ["note 3" * 3, "note 401" * 2]}}
            for way, options in ways.items():
                table = _read(folder, name, options, found.told)
                found.tables[f"{kind}/{name}/{way}"] = plain(table, info.schema)
    return found


def _read(folder: LogFolder, name: str, options: dict[str, Any], told: list[str]) -> list[pa.RecordBatch]:
    batches: list[pa.RecordBatch] = []
    first = 0
    while True:
        try:
            batches.extend(folder.scan(name, sequence=(first, None), sequence_column=N, **options))
            return batches
        except tc.StoreError as damage:
            told.append(str(damage))
            behind = re.search(r"sequence=\((\d+), None\)", str(damage))
            if behind is None:
                return batches
            first, before = int(behind[1]), first
        assert first > before, f"no way on: {told[-1]}"


def plain(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """One table without dictionaries, so that equal rows are equal."""
    wide = schema.append(pa.field(N, pa.int64(), nullable=False)).remove_metadata()
    table = pa.Table.from_batches([b.replace_schema_metadata(None) for b in batches], schema=wide)
    for at, column in enumerate(table.schema):
        if pa.types.is_dictionary(column.type):
            table = table.set_column(at, column.name, table.column(at).cast(column.type.value_type))
    return table.combine_chunks()


def compare(found: Found, expected: Found, again: str | None = None) -> str:
    """ "same", "less" (rows are missing, and damage was told), or AssertionError: a wrong row, or a silent loss.

    again: what the names of those dead letters have in them that may be there once more (and do not know then of which
    events): handlers get matches again when it is not known that they had finished with them.
    """
    less = False
    for name, right in expected.tables.items():
        got = found.tables.get(name)
        if got is not None and got.equals(right):
            continue
        if got is not None and again is not None and again in name:
            rows, wanted = (
                Counter(map(repr, table.drop_columns([N, "first_sequence", "last_sequence"]).to_pylist()))
                for table in (got, right)
            )
            assert rows.keys() <= wanted.keys(), f"{name}: a row that was never stored"
            if rows >= wanted:
                continue
        less = True
        if got is None:
            continue
        numbers = got[N].to_numpy()
        assert (np.diff(numbers) > 0).all(), f"{name}: out of order, or twice"
        places = pc.index_in(got[N], right[N].combine_chunks())
        assert not places.null_count, f"{name}: a row that was never stored"
        assert right.take(places).equals(got), f"{name}: a row is not what was stored"
    extra = sorted(set(found.tables) - set(expected.tables))
    assert not extra, f"logs that nobody made: {extra}"
    assert not less or found.told, "rows are missing, and nothing was said"
    return "less" if less else "same"
