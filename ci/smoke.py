#!/usr/bin/env python3
"""Does an installed tocsin work? Run outside the source tree: `python -I ci/smoke.py`.

Imports it, matches a small table with a known answer in one call and through an engine with a worker, and
calls the command. Prints the time of the import; the exit code says whether all was right.
"""

import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pyarrow as pa

STARTED = time.perf_counter()
import tocsin  # noqa: E402 - its time is measured

IMPORT_SECONDS = time.perf_counter() - STARTED

CLAUSE = """
    PARTITION BY account ORDER BY ts
    MEASURES FIRST(probe.ts) AS started, hit.ts AS ended, COUNT(probe.*) AS probes
    ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW
    PATTERN (probe{3,} hit) WITHIN INTERVAL '5' MINUTE
    DEFINE probe AS amount < 10, hit AS amount > 1000
"""
SECOND = 1_000_000
EVENTS = pa.table(
    {
        "ts": pa.array([SECOND * t for t in (0, 1, 2, 3, 4, 5, 6, 900)], pa.timestamp("us")),
        "account": ["a", "a", "b", "a", "b", "a", "a", "b"],
        "amount": [1.0, 2.0, 5.0, 3.0, 6.0, 4.0, 2000.0, 3000.0],
    }
)
# Account a probes at 0, 1, 3 and 5 s and hits at 6 s; b has but two probes, and its hit is too late.
EXPECTED = [("a", 0, 6, 4)]


def rows(matches: pa.Table) -> list[tuple[str, int, int, int]]:
    """The matches as plain tuples: account, start and end in seconds, number of probes."""
    started, ended = (matches[name].cast(pa.int64()).to_pylist() for name in ("started", "ended"))
    seconds = ((s // SECOND, e // SECOND) for s, e in zip(started, ended, strict=True))
    names, probes = matches["account"].to_pylist(), matches["probes"].to_pylist()
    return [(name, *span, count) for name, span, count in zip(names, seconds, probes, strict=True)]


def through_an_engine() -> pa.Table:
    """The same clause on a worker thread, the events in batches of three rows."""
    found: list[pa.RecordBatch] = []
    with tocsin.Engine(workers=1) as engine:
        trades = engine.stream("trades", EVENTS.schema, time="ts")
        engine.trigger("card_testing", trades, CLAUSE).handler(found.append)
        for batch in EVENTS.to_batches(max_chunksize=3):
            trades.push(batch)
        engine.flush()
    return pa.Table.from_batches(found)


def main() -> None:
    where = Path(tocsin.__file__).resolve().parent
    print(f"tocsin from {where}, import {IMPORT_SECONDS * 1000:.0f} ms (pyarrow already loaded)")
    for name, matches in (
        ("match_recognize", tocsin.match_recognize(EVENTS, CLAUSE)),
        ("engine, one worker", through_an_engine()),
    ):
        got = rows(matches)
        if got != EXPECTED:
            sys.exit(f"{name}: expected {EXPECTED}, got {got}")
        print(f"{name}: right")
    command = Path(sysconfig.get_path("scripts")) / ("tocsin.exe" if sys.platform == "win32" else "tocsin")
    version = subprocess.run(
        [command, "--version"], check=True, capture_output=True, text=True
    ).stdout.strip()
    print(f"{command.name} --version: {version}")


if __name__ == "__main__":
    main()
