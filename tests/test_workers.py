"""Several workers give what one gives: the same matches in the same order, the same faults, whatever the cut.

The reference is the inline engine, which steps one matcher; test_properties compares that one with the oracle.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tocsin as tc
from doors import batches
from whole_cases import whole_case, whole_cut

MANY = int(os.environ.get("TOCSIN_CASES", "300"))


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A dead letter is logged as a warning; some thousands of them say nothing."""
    logging.getLogger("tocsin").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("tocsin").setLevel(logging.NOTSET)


def outcome(
    definitions: dict[str, Any],
    events: Sequence[pa.RecordBatch],
    workers: int,
    *,
    time: str | None,
    advances: dict[int, int] | None = None,
) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """Per trigger: the rows that its handler got, in order, and its dead letters.

    Of matches without a value, which one matcher tells as a first one and how many more, several tell a first one each:
    only where they lie is compared.

    definitions: name -> (source, definition).  advances: number of the batch before which the watermark moves -> time.
    """
    rows: dict[str, list[Any]] = {name: [] for name in definitions}
    letters: dict[str, list[Any]] = {}
    with tc.Engine(workers=workers, gather_rows=1) as engine:
        stream = engine.stream("events", events[0].schema, time=time)
        for name, (source, definition) in definitions.items():
            trigger = engine.trigger(name, stream if source is None else source, definition)
            trigger.handler(lambda matches, found=rows[name]: found.extend(matches.to_pylist()))

        def certainly(action: Any) -> None:
            """Until it is accepted: with workers a fault of an earlier push comes with a later one."""
            try:
                action()
            except tc.TocsinError:
                if workers:
                    certainly(action)

        for number, batch in enumerate(events):
            if advances and number in advances:
                certainly(lambda number=number: engine.advance(advances[number]))
            certainly(lambda batch=batch: stream.push(batch))
        certainly(engine.flush)
        engine._runtime.fault = lambda failure: None  # those of the end are told by the letters
        for trigger in engine.triggers.values():
            trigger._outlet._fault = lambda failure: None
    for name in definitions:
        letters[name] = []
        for x in engine.dead_letters(name):
            where = (x.kind, x.first_sequence, x.last_sequence)
            if x.rows is not None:
                letters[name].append((*where, x.error, x.rows.to_pylist()))
            elif where not in letters[name]:
                letters[name].append(where)
    return rows, letters


@pytest.mark.parametrize("workers", [2, 3, 7])
def test_whole_clauses_give_the_same_in_the_same_order(workers: int) -> None:
    for seed in range(MANY):
        case = whole_case(Random(seed))
        r = Random(seed + 1)
        cut = whole_cut(r, case.table.num_rows)
        events = [batch for batch in batches(case.table, cut) if batch.num_rows]
        if not events:
            continue
        definitions = {"found": (None, case.clause())}
        try:
            right = outcome(definitions, events, 0, time=None)
        except tc.PatternError:
            continue
        assert outcome(definitions, events, workers, time=None) == right, (seed, case.clause(), cut)


def test_instances_that_one_worker_runs_in_turn_give_the_same() -> None:
    """State that was kept by several workers, and goes on with another number of them (shares.pyx)."""
    from tocsin.compile import build_operators
    from tocsin_core.shares import Shares

    compared = found = faults = 0
    for seed in range(2 * MANY):
        case = whole_case(Random(seed))
        r = Random(seed + 1)
        events = [batch for batch in batches(case.table, whole_cut(r, case.table.num_rows)) if batch.num_rows]
        if not events:
            continue
        try:
            operators, *_ = build_operators(case.clause(), events[0].schema, workers=r.choice([2, 3, 7]))
        except tc.PatternError:
            continue
        if len(operators) == 1:
            continue
        right = outcome({"found": (None, case.clause())}, events, 0, time=None)
        assert outcome({"found": (None, Shares(operators))}, events, 0, time=None) == right, (
            seed,
            case.clause(),
        )
        compared += 1
        found += len(right[0]["found"])
        faults += len(right[1]["found"])
    assert compared > MANY / 10
    assert found > compared
    assert faults


KEYED = {
    "sequence": """PARTITION BY k ORDER BY t MEASURES A.t AS a, B.t AS b
                   PATTERN (A X*? B) WITHIN INTERVAL '7' SECOND DEFINE A AS x = 0, B AS x = 1""",
    "run": """PARTITION BY k ORDER BY t MEASURES FIRST(t) AS a, LAST(t) AS b, COUNT(*) AS n, ARRAY_AGG(x) AS xs
              PATTERN (A+) WITHIN INTERVAL '5' SECOND DEFINE A AS x > 1""",
    "every": """PARTITION BY k ORDER BY t MEASURES FIRST(t) AS a, LAST(t) AS b AFTER MATCH SKIP TO NEXT ROW
                PATTERN (A B+) WITHIN INTERVAL '6' SECOND DEFINE B AS x >= PREV(x)""",
    "so_far": """PARTITION BY k ORDER BY t MEASURES FIRST(t) AS a, SUM(x) AS total
                 PATTERN (A B* C) WITHIN INTERVAL '9' SECOND DEFINE B AS x <> A.x, C AS x > A.x + 1""",
    "so_far_next": """PARTITION BY k ORDER BY t MEASURES FIRST(t) AS a, LAST(t) AS b AFTER MATCH SKIP TO NEXT ROW
                      PATTERN (A B+) WITHIN INTERVAL '4' SECOND DEFINE B AS x >= A.x""",
    "rows": """PARTITION BY k ORDER BY t MEASURES CLASSIFIER() AS c, RUNNING COUNT(*) AS n
               ALL ROWS PER MATCH WITH UNMATCHED ROWS
               PATTERN (A B{2,}) WITHIN INTERVAL '8' SECOND DEFINE B AS x > 0""",
    "two_keys": """PARTITION BY k, x ORDER BY t MEASURES COUNT(*) AS n PATTERN (A{3})""",
    "unkeyed": """ORDER BY t MEASURES FIRST(t) AS a, LAST(t) AS b PATTERN (A B{2}) DEFINE B AS x <> PREV(x)""",
    "library": """PARTITION BY UPPER(name) ORDER BY t MEASURES FIRST(t) AS a, COUNT(*) AS n
                  PATTERN (A{2,3}) DEFINE A AS x > 0""",
    "text_key": """PARTITION BY name ORDER BY t MEASURES FIRST(t) AS a, COUNT(*) AS n, LAST(name) AS who
                   PATTERN (A B+ C) DEFINE B AS name = PREV(name), C AS x = 2""",
    "faults": """PARTITION BY k ORDER BY t MEASURES 10 / (LAST(x) - FIRST(x)) AS q
                 PATTERN (A B) DEFINE B AS x > 0""",
    "refused": """PARTITION BY k ORDER BY t MEASURES COUNT(*) AS n PATTERN (A B) DEFINE B AS 12 / x > 3""",
    "refused_prev": """PARTITION BY k ORDER BY t MEASURES COUNT(*) AS n PATTERN (A B) DEFINE B AS 12 / PREV(x) > 3""",
    "many": """PARTITION BY k ORDER BY t MEASURES COUNT(*) AS n PATTERN (A B C D E F G H I J)
               DEFINE A AS x >= 0, B AS x >= 1, C AS x <> 1, D AS x < 3, E AS x > 0, F AS x < 2, G AS x = 1,
                      H AS x <> 3, I AS x >= 0, J AS x IS NOT NULL""",
}


def keyed_events(r: Random, layout: str) -> pa.Table:
    n = r.randint(1, 120)
    keys = r.choice([1, 2, 5, 40])
    names = [r.choice(["ada", "a rather long name", "", None]) for _ in range(n)]
    name = pa.array(names, pa.string())
    if layout == "dictionary":
        name = name.dictionary_encode()
    elif layout == "view":
        name = name.cast(pa.string_view())
    times = np.cumsum([r.choice([0, 0, 1, 1, 2, 9]) for _ in range(n)])
    key = [None if r.random() < 0.05 else r.randint(0, keys) for _ in range(n)]
    x = [None if r.random() < 0.05 else r.randint(0, 3) for _ in range(n)]
    return pa.table(
        {"t": pa.array(times, pa.timestamp("s")), "k": key, "x": pa.array(x, pa.int64()), "name": name}
    )


@pytest.mark.parametrize("workers", [2, 3, 7])
@settings(max_examples=MANY // 3)
@given(
    seed=st.integers(0, 2**32),
    names=st.lists(st.sampled_from(sorted(KEYED)), min_size=1, max_size=4, unique=True),
    layout=st.sampled_from(["plain", "dictionary", "view"]),
    upon=st.booleans(),
)
def test_keyed_triggers_with_windows_and_watermarks_give_the_same_in_the_same_order(
    workers: int, seed: int, names: list[str], layout: str, upon: bool
) -> None:
    r = Random(seed)
    table = keyed_events(r, layout)
    events = [b for b in batches(table, whole_cut(r, table.num_rows)) if b.num_rows]
    definitions: dict[str, Any] = {name: (None, KEYED[name]) for name in names}
    definitions["condition"] = (None, "x > 1")
    if upon:
        definitions["upon"] = (names[0], "PATTERN (A+)" if names[0] == "run" or r.random() < 0.5 else "1 = 1")
        definitions["upon_upon"] = ("upon", "PATTERN (A A)")
    advances = {}
    for number, batch in enumerate(events):
        if r.random() < 0.3:  # not beyond the batch that follows
            advances[number] = batch.column(0)[0].value - r.randint(0, 3)
    right = outcome(definitions, events, 0, time="t", advances=advances)
    assert outcome(definitions, events, workers, time="t", advances=advances) == right


@pytest.mark.parametrize("workers", [2, 5])
@pytest.mark.parametrize("name", ["sequence", "so_far", "every", "rows", "refused_prev", "text_key"])
def test_a_batch_of_many_segments_gives_the_same(workers: int, name: str) -> None:
    """More rows than one worker prepares at a time, in few and in many batches."""
    rng = np.random.default_rng(7)
    n = 100_000
    x = rng.integers(1, 4, n)
    if name == "refused_prev":
        x[90_000] = 0
    table = pa.table(
        {
            "t": (np.cumsum(rng.integers(0, 2, n)) // 40).astype("M8[s]"),
            "k": rng.integers(0, 500, n),
            "x": x,
            "name": pa.array(rng.choice(["a", "b", "c", "d"], n)),
        }
    )
    for rows in (n, 30_000, 1_000):
        events = table.to_batches(max_chunksize=rows)
        right = outcome({name: (None, KEYED[name])}, events, 0, time="t")
        assert outcome({name: (None, KEYED[name])}, events, workers, time="t") == right


def test_unordered_rows_are_refused_wherever_they_lie() -> None:
    clause = "PARTITION BY k ORDER BY t MEASURES COUNT(*) AS n PATTERN (A B)"
    for place in (1, 700, 16_384, 16_385, 40_000):
        t = np.arange(50_000)
        t[place] = -1
        good = pa.record_batch({"t": np.arange(10) - 100, "k": np.arange(10) % 3})
        bad = pa.record_batch({"t": t, "k": np.arange(50_000) % 9})
        later = pa.record_batch({"t": np.arange(10), "k": np.arange(10) % 3})
        early = pa.record_batch({"t": np.arange(10) - 60, "k": np.arange(10) % 3})
        for events in ([good, bad, later], [good, later, early, later]):
            right = outcome({"f": (None, clause)}, events, 0, time=None)
            assert right[1]["f"]
            assert outcome({"f": (None, clause)}, events, 3, time=None) == right


def test_triggers_come_and_go_at_the_same_place_for_every_worker() -> None:
    clause = KEYED["sequence"]
    r = Random(3)
    table = keyed_events(r, "plain")
    events = table.to_batches(max_chunksize=3)

    def run(workers: int) -> list[Any]:
        got: list[Any] = []
        with tc.Engine(workers=workers, gather_rows=1) as engine:
            stream = engine.stream("events", events[0].schema)
            for number, batch in enumerate(events):
                if number % 3 == 0:
                    name = f"t{number}"
                    engine.trigger(name, stream, clause).handler(
                        lambda m, name=name: got.append((name, m.to_pylist()))
                    )
                if number % 5 == 4:
                    engine.remove(next(iter(engine.triggers)))
                stream.push(batch)
            engine.flush()
        return got

    right = run(0)
    assert right
    for _ in range(20):
        assert run(4) == right


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_batch_may_have_any_number_of_matches_without_a_value(workers: int) -> None:
    """Each is told: one step of an inline engine sends hundreds of faults."""
    clause = "PARTITION BY k ORDER BY t MEASURES 1 / (LAST(x) - FIRST(x)) AS q PATTERN (A B)"
    n = 1000
    events = pa.record_batch({"t": np.arange(n), "k": np.arange(n) % 7, "x": np.zeros(n, dtype=np.int64)})
    rows, letters = outcome(
        {"f": (None, clause)}, [events, events.slice(0, 0), events.slice(n - 7)], workers, time=None
    )
    assert rows == {"f": []}
    assert letters["f"]


@pytest.mark.parametrize("workers", [1, 4])
def test_without_an_order_the_same_matches_come(workers: int) -> None:
    r = Random(11)
    table = pa.concat_tables([keyed_events(r, "plain").select(["k", "x"]) for _ in range(20)])
    clause = "PARTITION BY k MEASURES COUNT(*) AS n, LAST(x) AS x PATTERN (A{2,3})"
    found: dict[bool, list[Any]] = {True: [], False: []}
    with tc.Engine(workers=workers) as engine:
        stream = engine.stream("events", table.schema)
        for ordered in (True, False):
            engine.trigger(f"ordered {ordered}", stream, clause, ordered=ordered).handler(
                lambda matches, ordered=ordered: found[ordered].extend(matches.to_pylist())
            )
        stream.push(table)
    assert len(found[True]) > 100
    assert sorted(map(str, found[False])) == sorted(map(str, found[True]))


@pytest.mark.parametrize(
    ("clause", "said"),
    [
        ("PARTITION BY k PATTERN (A)", "each takes the rows of its own partitions"),
        ("PATTERN (A)", "one, which has to see every row (no PARTITION BY)"),
        ("PARTITION BY UPPER(name) PATTERN (A)", "one, since a library has a part"),
    ],
)
def test_explain_says_what_workers_do(clause: str, said: str) -> None:
    assert f"workers    {said}" in tc.explain(clause, pa.schema({"k": pa.int64(), "name": pa.string()}))


@pytest.mark.parametrize("name", ["sequence", "so_far", "text_key"])
def test_shares_measured_in_turn_find_every_match(name: str) -> None:
    """What the figures about many workers are made with."""
    from tocsin.compile import build_operators
    from tocsin_core.batch import Batch
    from tocsin_core.crew import measure_shares

    table = keyed_events(Random(5), "plain").combine_chunks()
    matcher = tc.Matcher(KEYED[name], table.schema)
    right = sum(matcher.push(batch).num_rows for batch in table.to_batches(max_chunksize=7))
    for workers in (2, 5, 64):
        operators, *_ = build_operators(KEYED[name], table.schema, workers=workers)
        cores = [Batch.from_arrow(batch, operators[0].input) for batch in table.to_batches(max_chunksize=7)]
        prepared, taken, matches = measure_shares(operators, cores)
        assert (matches, len(taken), prepared > 0) == (right, workers, True)
