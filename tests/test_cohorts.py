"""The two ways in which attempts are stepped, by cohorts and by groups, tested one against the other."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies import Case, cases, cuts
from tocsin.compile import assemble, compile_clause
from tocsin_core.batch import Batch


def run(clause: str, table: pa.Table, cut: list[int], *, groups_only: bool) -> list[dict]:
    """Every match with the push that gave it (the last: the end)."""
    assembled = assemble(compile_clause(clause, table.schema), positions=True, groups_only=groups_only)
    found: list[dict] = []
    at = 0
    for push, rows in enumerate(cut):
        part = table.slice(at, rows).combine_chunks().to_batches()
        for batch in part:
            matches = assembled.operator.run(Batch.from_arrow(batch), at)
            if matches is not None:
                found += [{"_push": push, **row} for row in pa.record_batch(matches).to_pylist()]
        at += rows
    matches = assembled.operator.run_finish()
    if matches is not None:
        found += [{"_push": -1, **row} for row in pa.record_batch(matches).to_pylist()]
    assert assembled.operator.open_attempts == 0
    return found


@given(cases(), st.data())
def test_cohorts_and_groups_give_the_same_matches_at_the_same_push(case: Case, data: st.DataObject) -> None:
    cut = data.draw(cuts(case.table.num_rows))
    clause = case.clause()
    assert run(clause, case.table, cut, groups_only=False) == run(
        clause, case.table, cut, groups_only=True
    ), clause


LONG = {
    "a gap, a window": "PATTERN (a x*? b y*? c) WITHIN INTERVAL '40' SECOND DEFINE a AS k = 0, b AS k = 1, c AS k = 2",
    "a gap, no window": "PATTERN (a x*? b y*? c) DEFINE a AS k = 0, b AS k = 1, c AS k = 2",
    "greedy to the window's end": "PATTERN (a b+) WITHIN INTERVAL '30' SECOND DEFINE a AS k = 0, b AS k > 0",
    "two ways that overtake each other": "PATTERN (a x* b | c x* d) WITHIN INTERVAL '60' SECOND "
    "DEFINE a AS k = 0, b AS k = 1, c AS k = 2, d AS k = 3",
    "a candidate that waits": "PATTERN (a (x* b)? | c d) "
    "DEFINE a AS k = 0, b AS k = 7 AND p > 0.9, c AS k = 2, d AS k = 3",
    "falls and rises": "PATTERN (s d{2,} u{2,}) DEFINE d AS p < PREV(p), u AS p > PREV(p)",
    "nested plus": "PATTERN ((a+)+ b) DEFINE a AS k < 6, b AS k = 7",
    "one row": "PATTERN (a) DEFINE a AS k = 0",
}


@pytest.mark.parametrize("labelled", [False, True], ids=["ends only", "labelled rows"])
@pytest.mark.parametrize("name", LONG)
def test_long_streams_step_alike_by_cohorts_and_by_groups(name: str, labelled: bool) -> None:
    rng = np.random.default_rng(7)
    n = 20_000
    table = pa.table(
        {
            "key": pa.array(rng.integers(0, 37, n)),
            "t": pa.array(np.cumsum(rng.integers(0, 3, n)) * 50_000, pa.timestamp("us")),
            "k": pa.array(rng.integers(0, 8, n), pa.int32()),
            "p": pa.array(rng.random(n).round(3)),
            "s": pa.array([f"text number {i % 97}" for i in range(n)]),
        }
    )
    extra = (
        ", CLASSIFIER() AS v, COUNT(*) AS n, SUM(k) AS ks, MIN(s) AS low, LAST(p, 1) AS before"
        if labelled
        else ""
    )
    clause = (
        "PARTITION BY key ORDER BY t MEASURES FIRST(t) AS t0, LAST(t) AS t1, FIRST(s) AS s0, LAST(s) AS s1, "
        f"MATCH_NUMBER() AS number{extra} {LONG[name]}"
    )
    by_groups = run(clause, table, [n], groups_only=True)
    assert len(by_groups) > 100
    assert run(clause, table, [n], groups_only=False) == by_groups
    cut = [1000] * 20
    assert run(clause, table, cut, groups_only=False) == run(clause, table, cut, groups_only=True)
