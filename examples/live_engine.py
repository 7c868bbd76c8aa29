"""A live stream: events are pushed batch by batch, a worker matches them, a handler hears of the matches.

Prices of four instruments walk at random; a trigger waits for a fall of three steps or more, followed by a rise
of three steps or more, per instrument. The store keeps every event: at the end it is read back.
"""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

import tocsin as tc

V_SHAPE = """
    PARTITION BY symbol ORDER BY ts
    MEASURES strt.price AS top, LAST(down.price) AS bottom, LAST(up.price) AS back_at, COUNT(*) AS ticks
    ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW
    PATTERN (strt down{3,} up{3,})
    DEFINE down AS price < PREV(price), up AS price > PREV(price)
"""
SCHEMA = pa.schema({"ts": pa.timestamp("ms"), "symbol": pa.string(), "price": pa.float64()})
BATCHES, ROWS = 20, 500


def market(seed: int = 7):
    """Batches of random walks, 500 ticks each, 10 ms apart."""
    random = np.random.default_rng(seed)
    symbols = np.array(["ACME", "BOLT", "CORE", "DUNE"])
    for number in range(BATCHES):
        which = random.integers(0, len(symbols), ROWS)
        ticks = (number * ROWS + np.arange(ROWS)) * 10
        price = 100 + random.normal(0, 0.5, ROWS).cumsum().round(2)
        columns = [pa.array(ticks, pa.timestamp("ms")), pa.array(symbols[which]), pa.array(price)]
        yield pa.record_batch(columns, schema=SCHEMA)


def main() -> None:
    deepest = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "market.store"
        with tc.Engine(path, workers=1) as engine:
            ticks = engine.stream("ticks", SCHEMA, time="ts")
            v_shape = engine.trigger("v_shape", ticks, V_SHAPE)

            @v_shape.handler
            def remember(matches):
                deepest.extend(matches.to_pylist())

            for batch in market():
                ticks.push(batch)
            engine.flush()

        deepest.sort(key=lambda match: match["bottom"] - match["top"])
        print(f"{len(deepest)} V-shapes in {BATCHES * ROWS:,} ticks; the deepest:")
        for match in deepest[:3]:
            print("  {symbol}: {top:.2f} > {bottom:.2f} > {back_at:.2f} in {ticks} ticks".format(**match))
        with tc.Store(path) as store:
            print(f"the store has {store.scan('ticks').read_all().num_rows:,} events")


if __name__ == "__main__":
    main()
