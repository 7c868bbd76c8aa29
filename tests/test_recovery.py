"""An engine on a store goes on where the one before was, however that one ended."""

from __future__ import annotations

import datetime as dt
import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import tocsin as tc

START = dt.datetime(2026, 1, 1)
SCHEMA = pa.schema([("k", pa.string()), ("ts", pa.timestamp("s")), ("x", pa.int64()), ("word", pa.string())])

CLAUSES = {
    "large": "x > 6",
    "keyed": "PARTITION BY k ORDER BY ts MEASURES FIRST(a.ts) AS a, LAST(b.ts) AS b, COUNT(*) AS n "
    "PATTERN (a m* b) WITHIN INTERVAL '40' SECOND DEFINE a AS x < 2, m AS x < 7, b AS x > 7",
    "whole": "ORDER BY ts MEASURES FIRST(up.ts) AS a, LAST(up.x) AS top, MATCH_NUMBER() AS number "
    "PATTERN (any up{2,}) DEFINE up AS x > PREV(x)",
    "across": "PARTITION BY k ORDER BY ts MEASURES a.ts AS a, b.ts AS b AFTER MATCH SKIP TO NEXT ROW "
    "PATTERN (a m* b) WITHIN INTERVAL '30' SECOND DEFINE m AS x <> a.x, b AS x = a.x",
    "library": "PARTITION BY k ORDER BY ts MEASURES UPPER(LAST(b.word)) AS w, b.ts AS b PATTERN (a b) "
    "DEFINE a AS UPPER(word) = 'RED', b AS x > 3",
    "library_condition": "UPPER(word) = 'RED' AND x > 4",
}
UPON = {
    "upon": ("keyed", "n > 2"),
    "twice": ("upon", "MEASURES FIRST(p.b) AS f, LAST(q.b) AS l PATTERN (p q)"),
}
IDS = ["match_version", "match_first_sequence", "match_last_sequence", "match_number"]


def events(n: int, seed: int, disorder: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    return [
        {
            "k": rng.choice("abc"),
            "ts": START + dt.timedelta(seconds=3 * i + rng.randint(-disorder, disorder)),
            "x": rng.randint(0, 9),
            "word": rng.choice(["red", "green", None]),
        }
        for i in range(n)
    ]


def open_engine(path: Path | None, workers: int, lateness: int, **options: Any) -> tuple[tc.Engine, Any]:
    engine = tc.Engine(path, workers=workers, **options)
    stream = engine.stream("s", SCHEMA, time="ts", lateness=f"{lateness}s")
    for name, clause in CLAUSES.items():
        engine.trigger(name, stream, clause)
    for name, (source, clause) in UPON.items():
        engine.trigger(name, source, clause)
    return engine, stream


def listen(engine: tc.Engine, **options: Any) -> dict[str, list[dict[str, Any]]]:
    seen: dict[str, list[dict[str, Any]]] = {}
    for name, trigger in engine.triggers.items():
        trigger.handler(seen.setdefault(name, []).append, per_match=True, **options)
    return seen


def crashed(path: Path, to: Path) -> Path:
    """What a crash at this moment would leave: nothing is there without what had to be there before it."""
    to.mkdir()
    for part in ("checkpoints", "matches/**/handled", "matches", "streams"):
        for source in [path / part] if "*" not in part else sorted(path.glob(part)):
            if source.is_dir():
                shutil.copytree(
                    source, to / source.relative_to(path), dirs_exist_ok=True, ignore=_already(to, path)
                )
            elif source.exists():
                (to / source.relative_to(path)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, to / source.relative_to(path))
    shutil.copy(path / "tocsin.json", to / "tocsin.json")
    return to


def _already(to: Path, path: Path) -> Any:
    def ignore(folder: str, names: list[str]) -> list[str]:
        there = to / Path(folder).relative_to(path)
        return [name for name in names if (there / name).is_file() or name.endswith(".tmp")]

    return ignore


def expected(steps: list[Any], lateness: int) -> dict[str, list[dict[str, Any]]]:
    """Of an engine that nothing happened to."""
    engine, stream = open_engine(None, 0, lateness)
    seen = listen(engine)
    with engine:
        for step in steps:
            take(engine, stream, step)
    return seen


def take(engine: tc.Engine, stream: Any, step: Any) -> None:
    """One of `steps_of`."""
    if isinstance(step, dt.datetime):
        engine.advance(step)
    else:
        stream.push(step)


def steps_of(seed: int, lateness: int, count: int = 300) -> list[Any]:
    """Batches, single events, and now and then a word about the time."""
    rng = random.Random(seed)
    rows = events(count, seed, lateness)
    steps: list[Any] = []
    at = 0
    while at < len(rows):
        size = rng.choice([1, 1, 3, 20])
        batch = rows[at : at + size]
        at += size
        steps.append(batch[0] if len(batch) == 1 else batch)
        if rng.random() < 0.15:
            steps.append(max(row["ts"] for row in batch) + dt.timedelta(seconds=rng.randint(0, 20)))
    return steps


@pytest.mark.parametrize("lateness", [0, 12])
@pytest.mark.parametrize("workers", [0, 1, 2, -1])  # -1: another number each time
@pytest.mark.parametrize("seed", range(4))
def test_every_match_is_found_once_and_handled_at_least_once_through_crashes(
    tmp_path: Path, workers: int, lateness: int, seed: int
) -> None:
    steps = steps_of(seed, lateness)
    wanted = expected(steps, lateness)
    rng = random.Random(1000 + seed)
    path, runs = tmp_path / "0.store", 0
    seen: dict[str, list[dict[str, Any]]] = {name: [] for name in wanted}
    crashes = 0

    def run_began() -> tuple[tc.Engine, Any, Any]:
        now = workers if workers >= 0 else rng.choice([0, 1, 2, 3])
        engine, stream = open_engine(path, now, lateness, checkpoint_every=None)
        return engine, stream, listen(engine, ids=True)

    engine, stream, heard = run_began()
    for step in steps:
        take(engine, stream, step)
        what = rng.random()
        if what < 0.05:
            engine.checkpoint()
        elif what < 0.13:
            if rng.random() < 0.6:
                if rng.random() < 0.5:
                    engine.flush()
                runs += 1
                left = crashed(path, tmp_path / f"{runs}.store")
                crashes += 1
                before = {name: list(matches) for name, matches in heard.items()}
                engine.close()
                path = left
            else:
                engine.close()
                before = heard
            for name, matches in before.items():
                seen[name] += matches
            engine, stream, heard = run_began()
    engine.recover()  # the last run may have begun behind the last step
    engine.close(finish=True)
    for name, matches in heard.items():
        seen[name] += matches
    with tc.Store(path) as store:
        for name in wanted:
            stored = store.matches.scan(name, sequence_column="match_number").read_all().to_pylist()
            plain = [{k: v for k, v in row.items() if k not in IDS} for row in stored]
            assert plain == wanted[name], name
            assert {row["match_version"] for row in stored} <= {1}
            handled: dict[int, dict[str, Any]] = {}
            for match in seen[name]:
                assert handled.setdefault(match["match_number"], match) == match  # the same each time
            assert [handled[number] for number in sorted(handled)] == stored, name
            if not crashes:
                assert len(seen[name]) == len(stored)
