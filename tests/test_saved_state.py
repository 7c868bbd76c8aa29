"""A matcher is saved between any two batches, in whatever shape its partitions are then.

A state that is not whole, or that was forged (its checksum fits, its numbers do not), is refused or can be run on.
"""

from __future__ import annotations

import os
import pickle
import zlib
from random import Random

import pyarrow as pa
import pytest

import tocsin
from tocsin import StateError

SCHEMA = pa.schema([("k", pa.int64()), ("x", pa.int64())])
CLAUSE = "PARTITION BY k MEASURES FIRST(a.x) AS first, COUNT(*) AS rows PATTERN (a b+) DEFINE a AS x = 1, b AS x = 2"
FORGED = {"deep": 1500}.get(os.environ.get("HYPOTHESIS_PROFILE", ""), 60)


def push(matcher: tocsin.Matcher, x: int, keys: range) -> list[dict[str, int]]:
    found = matcher.push({"k": list(keys), "x": [x] * len(keys)}).to_pylist()
    return sorted(found, key=lambda match: match["k"])


def test_partitions_whose_attempts_all_failed_are_no_part_of_the_state():
    keys = range(300)
    used, fresh = tocsin.Matcher(CLAUSE, SCHEMA), tocsin.Matcher(CLAUSE, SCHEMA)
    assert push(used, 1, keys) == []
    assert push(used, 0, keys[:299]) == []  # every attempt but one fails
    used = pickle.loads(pickle.dumps(used))
    push(fresh, 1, keys[299:])
    for matcher in (used, fresh):
        push(matcher, 2, keys)
    assert push(used, 1, keys) == push(fresh, 1, keys) == [{"k": 299, "first": 1, "rows": 2}]


# ---------------------------------------------------------------- definitions that read the match so far

KEYED = "PARTITION BY k ORDER BY t "
MEASURES = "MEASURES FIRST(t) AS a, LAST(t) AS e, MATCH_NUMBER() AS n, "
CLAUSES = {
    "first and last": KEYED + MEASURES + "LAST(B.s) AS s PATTERN (A B+? C) DEFINE B AS x >= LAST(B.x, 1) "
    "OR x <> FIRST(B.x, 2) OR COUNT(B.*) < 3, C AS x > A.x AND LAST(s, 1) <> s",
    "sums": KEYED + MEASURES + "SUM(B.x) AS s PATTERN (A (B | C)+ D) DEFINE B AS SUM(B.x * 2) < 40 AND AVG(f) > 0.5, "
    "C AS STDDEV(B.x) < 3, D AS COUNT(B.x) > 1 AND BOOL_AND(B.b) OR MAX(B.b)",
    "texts": KEYED + MEASURES + "ARRAY_AGG(s) AS s PATTERN (A+ B+ C) DEFINE B AS s >= MIN(A.s) "
    "AND MIN_BY(A.x, A.s) < 5, C AS MAX_BY(A.s, A.x) > s OR ANY_VALUE(B.s) = s OR MAX_BY(s, s) <> MIN(B.s)",
    "labels": KEYED + MEASURES + "CLASSIFIER() AS c PATTERN ((A | B)+ C) DEFINE A AS x > 2, "
    "B AS LAST(CLASSIFIER(), 1) = 'A' OR s < 'b', C AS x > FIRST(x) AND MAX(CLASSIFIER()) > 'A' "
    "AND FIRST(CLASSIFIER(), 1) = 'B'",
    "all rows": KEYED + "MEASURES RUNNING SUM(x) AS sum, CLASSIFIER() AS c ALL ROWS PER MATCH WITH UNMATCHED ROWS "
    "PATTERN (A B+ C) DEFINE B AS x < A.x, C AS x > LAST(B.x)",
    "equality": "PARTITION BY k ORDER BY t MEASURES A.t AS a, B.s AS s, MATCH_NUMBER() AS n "
    "AFTER MATCH SKIP TO NEXT ROW PATTERN (A X*? B) DEFINE B AS s = A.s AND x > A.x",
    "order": "ORDER BY t MEASURES A.t AS a, B.x AS x AFTER MATCH SKIP TO NEXT ROW PATTERN (A X*? B Y*? C) "
    "DEFINE B AS x > A.x + 1, C AS f < A.f",
    "in turn": "ORDER BY t MEASURES A.t AS a, B.x AS x, LAST(t) AS e PATTERN (A X*? (B | C)) "
    "DEFINE B AS x > A.x + 2, C AS s = A.s AND f > 1",
    "within": KEYED + MEASURES + "LAST(B.x) AS x AFTER MATCH SKIP TO NEXT ROW PATTERN (A X*? B) "
    "WITHIN INTERVAL '9' SECOND DEFINE B AS x = A.x",
    "rows to come": KEYED + MEASURES + "NEXT(LAST(B.x)) AS x AFTER MATCH SKIP TO NEXT ROW PATTERN (A B+ C) "
    "DEFINE B AS NEXT(x, 2) > A.x, C AS PREV(x, 2) <> x",
    "skip to last": KEYED + MEASURES + "LAST(B.s) AS s AFTER MATCH SKIP TO LAST B PATTERN (A B+ C?) "
    "DEFINE B AS x >= PREV(x) AND x < A.x + 4",
    "ends": KEYED + MEASURES + "COUNT(*) AS c PATTERN (^ A B+ $ | A C+) DEFINE B AS x > MIN(A.x), C AS x < A.x",
    "numbers": KEYED + "MEASURES MATCH_NUMBER() AS n, COUNT(*) AS c AFTER MATCH SKIP TO NEXT ROW PATTERN (A B*) "
    "DEFINE A AS x > 0, B AS x > MATCH_NUMBER() OR x = A.x",
}  # fmt: skip


def events(r: Random, n: int) -> pa.Table:
    times = sorted(r.choices(range(2 * n), k=n))
    return pa.table(
        {
            "k": pa.array(r.choices([1, 2, 3, None], k=n), pa.int64()),
            "t": pa.array(times, pa.int64()).cast(pa.timestamp("s")),
            "x": pa.array(r.choices([0, 1, 2, 3, 4, 5, None], k=n), pa.int64()),
            "f": pa.array(r.choices([0.0, -0.0, 1.5, float("nan"), None, 3.0], k=n), pa.float64()),
            "s": pa.array(r.choices(["a", "b", "", None, "a longer text than others"], k=n), pa.string()),
            "b": pa.array(r.choices([True, False, None], k=n), pa.bool_()),
        }
    )


def push_some(matcher: tocsin.Matcher, table: pa.Table) -> pa.RecordBatch:
    """Faults of single matches are told between batches, and their batch counts as taken."""
    try:
        return matcher.push(table)
    except (tocsin.EvaluationError, tocsin.LimitError):
        return push_some(matcher, table.slice(0, 0))


@pytest.mark.parametrize("execution", ["c", "d"])
@pytest.mark.parametrize("name", CLAUSES)
def test_a_matcher_that_is_saved_between_all_batches_goes_on_as_if_it_were_not(
    name: str, execution: str
) -> None:
    for seed in range(5):
        r = Random(seed)
        table = events(r, 60)
        saved = tocsin.Matcher(CLAUSES[name], table.schema, execution=execution)
        straight = tocsin.Matcher(CLAUSES[name], table.schema, execution=execution)
        at = 0
        while at < table.num_rows:
            batch = table.slice(at, r.choice([1, 1, 2, 7, 20]))
            at += batch.num_rows
            saved = pickle.loads(pickle.dumps(saved))
            assert repr(push_some(saved, batch).to_pylist()) == repr(
                push_some(straight, batch).to_pylist()
            ), (seed, at)
        assert repr(pickle.loads(pickle.dumps(saved)).finish().to_pylist()) == repr(
            straight.finish().to_pylist()
        )
        saved.finish()
        with pytest.raises(tocsin.ClosedError):
            pickle.loads(pickle.dumps(saved)).push(table)


def test_a_match_that_a_fault_left_out_may_be_saved_while_it_waits_for_its_number() -> None:
    """The attempt at the first row is open, so that the second one's, which fails, stays to be counted."""
    schema = pa.schema([("x", pa.int64())])
    matcher = tocsin.Matcher(
        "MEASURES FIRST(x) AS x, LAST(x) AS y, MATCH_NUMBER() AS n AFTER MATCH SKIP TO NEXT ROW PATTERN (A B+) "
        "DEFINE B AS x * FIRST(x) > 0",
        schema,
    )
    matcher.push({"x": [1, 2**62, 1]})  # the second attempt has a match by now, which may still grow
    with pytest.raises(tocsin.EvaluationError, match="left out"):
        matcher.push({"x": [5]})
    matcher.push(pa.table({"x": pa.array([], pa.int64())}))
    matcher = pickle.loads(pickle.dumps(matcher))
    assert matcher.push({"x": [0]}).to_pylist() == [{"x": 1, "y": 5, "n": 1}, {"x": 1, "y": 5, "n": 2}]


MAGIC = len(b"tocsin.threads\x00\x01") + 16


def signed(head: bytes, body: bytes) -> bytes:
    """A state whose checksum fits: what a forger, or a bug of an older version, could have written."""
    return head + zlib.crc32(body, zlib.crc32(head)).to_bytes(4, "little") + body


def forged(r: Random, body: bytes) -> bytes:
    """Some of its numbers are others, are exchanged or gone."""
    made = bytearray(body)

    def put(at: int, number: int) -> None:
        there = len(made[at : at + width])
        made[at : at + width] = (number % 256**width).to_bytes(width, "little")[:there]

    for _ in range(r.choice([1, 1, 1, 2, 3])):
        width = r.choice([8, 8, 8, 4, 1])
        at = r.randrange(max(1, len(made) // 4)) * 4 + (0 if r.random() < 0.8 else r.randrange(4))
        old = int.from_bytes(made[at : at + width], "little")
        how = r.randrange(8)
        if how == 0:
            put(at, old ^ 1 << r.randrange(8 * width))
        elif how < 4:
            put(at, old + r.choice([-2, -1, 1, 2, 3]))
        elif how == 4:
            put(at, r.choice([0, 1, 2, 8, 255, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, -1, -2, 50]))
        elif how < 7:
            other = r.randrange(max(1, len(made) // 4)) * 4
            put(at, int.from_bytes(made[other : other + width], "little"))
            put(other, old)
        else:
            del made[at : at + r.randrange(1, 64)]
    return bytes(made)


def run_on(matcher: tocsin.Matcher, table: pa.Table, r: Random) -> None:
    """A restored matcher takes what comes, as any does; and what it saves can be restored."""
    operator = matcher._operator
    kept = operator.kept_rows

    def save_and_restore() -> None:
        push_some(matcher, table.slice(0, 0))  # what waits behind a fault
        operator.restore(operator.save())
        matcher._waiting = []

    try:
        push_some(matcher, table.slice(0, 20))
        if "WITHIN" in matcher._clause:
            matcher.advance(table["t"][20])
        save_and_restore()
        for at in range(20, table.num_rows, 7):
            push_some(matcher, table.slice(at, 7))
            assert operator.kept_rows <= kept + table.num_rows
            assert operator.open_attempts <= operator.kept_rows
        if r.random() < 0.5:
            save_and_restore()
        matcher.finish().validate()
    except (tocsin.EvaluationError, tocsin.LimitError, tocsin.OrderError, tocsin.ClosedError):
        matcher._waiting = []


@pytest.mark.parametrize("execution", ["c", "d"])
@pytest.mark.parametrize("name", CLAUSES)
def test_a_forged_state_is_refused_or_runs_on(name: str, execution: str) -> None:
    accepted = 0
    for seed in range(max(1, FORGED // 60)):
        r = Random(repr((name, execution, seed)))
        table = events(r, 90)
        matcher = tocsin.Matcher(CLAUSES[name], table.schema, execution=execution)
        push_some(matcher, table.slice(0, r.choice([0, 6, 25, 40])))
        matcher.push(table.slice(0, 0))
        state = matcher._operator.save()
        for _ in range(60):
            try:
                matcher._operator.restore(signed(state[:MAGIC], forged(r, state[MAGIC + 4 :])))
            except (StateError, MemoryError):
                continue
            accepted += 1
            run_on(matcher, table.slice(40), r)
    assert accepted  # numbers that could be others: a time, a value


@pytest.mark.parametrize("name", ["texts", "equality"])
def test_a_torn_state_is_refused(name: str) -> None:
    table = events(Random(1), 60)
    matcher = tocsin.Matcher(CLAUSES[name], table.schema)
    push_some(matcher, table)
    state = matcher._operator.save()
    wanted = repr(push_some(matcher, table.slice(59)).to_pylist())
    for size in range(0, len(state), 13):
        with pytest.raises(StateError, match="nothing was restored"):
            matcher._operator.restore(state[:size])
        if size > MAGIC + 4:
            with pytest.raises(StateError, match="not whole"):
                matcher._operator.restore(signed(state[:MAGIC], state[MAGIC + 4 : size]))
    matcher._operator.restore(state)
    assert repr(push_some(matcher, table.slice(59)).to_pylist()) == wanted
