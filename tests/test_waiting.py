"""Attempts that wait: found by index and parked in class (c), stepped row by row in class (d); both give the same.

Class (d) records every row, so no thread of it ever waits: it judges chains, trees, and tickets.
"""

from __future__ import annotations

import os
import pickle
from random import Random

import pyarrow as pa
import pytest

import tocsin

CASES = {"deep": 20_000}.get(os.environ.get("HYPOTHESIS_PROFILE", ""), 300)

PATTERNS = [
    "A X*? B",
    "A X* B",
    "A X*? B Y*? C",
    "A X* B Y* C",
    "A+? X*? B",
    "(A X*? B)+",
    "A X*? (B | C)",
    "A X*? (B Y*? C | D)",
]
EQUAL = ["B.k = A.j", "B.s = A.s", "B.f = A.f", "B.k = A.j + 1", "B.b = A.b"]
RANGE = [
    "B.x > A.x",
    "B.x < A.x",
    "B.f >= 2 * A.f",
    "B.t - A.t <= 5",
    "A.x >= B.x + 1",
    "B.t - A.t > 3",
    "B.x <= MAX(A.x)",
]
LOCAL = ["B.x > 2", "B.b", "B.x < PREV(B.x)"]


def table(r: Random, n: int) -> pa.Table:
    """Few distinct values, NULLs and NaNs among them."""

    def some(values: list[object]) -> list[object]:
        return [r.choice(values) for _ in range(n)]

    t, times = 0, []
    for _ in range(n):
        t += r.choice([0, 1, 1, 2, 5])
        times.append(t)
    return pa.table(
        {
            "t": pa.array(times, pa.int64()),
            "p": pa.array(some([1, 1, 1, 2]), pa.int64()),
            "k": pa.array(some([1, 2, 3, 4, None]), pa.int64()),
            "j": pa.array(some([0, 1, 2, 3, None]), pa.int64()),
            "s": pa.array(some(["a", "b", "", None, "a longer text than others"]), pa.string()),
            "f": pa.array(some([0.0, -0.0, 1.5, float("nan"), None, 3.0]), pa.float64()),
            "x": pa.array(some([0, 1, 2, 3, 4, 5, None]), pa.int64()),
            "b": pa.array(some([True, False, None]), pa.bool_()),
        }
    )


def clause(r: Random) -> str:
    def condition(variable: str, before: list[str]) -> str:
        parts = r.sample(EQUAL + RANGE, r.choice([1, 1, 2])) if r.random() < 0.9 else []
        parts += r.sample(LOCAL, r.choice([0, 0, 1])) if parts else [r.choice(LOCAL)]
        said = " AND ".join(parts).replace("B.", f"{variable}.")
        return said.replace("A.", f"{r.choice(before)}.") if "MAX(" not in said else said

    pattern = r.choice(PATTERNS)
    define = {"A": r.choice(LOCAL).replace("B.", "A.") if r.random() < 0.6 else "TRUE"}
    define |= {
        v: condition(v, ["A", "B"] if v == "C" and "B" in pattern else ["A"]) for v in "BCD" if v in pattern
    }
    measures = ["A.t AS a", "LAST(B.t) AS b", "COUNT(*) AS n", "LAST(t) AS e", "MATCH_NUMBER() AS m"]
    skip = r.choice(["SKIP PAST LAST ROW", "SKIP TO NEXT ROW", "SKIP TO NEXT ROW", "SKIP TO LAST B"])
    if "(B |" in pattern or "|" in pattern:
        skip = r.choice(["SKIP PAST LAST ROW", "SKIP TO NEXT ROW"])
    return (
        f"{r.choice(['', '', 'PARTITION BY p '])}ORDER BY t "
        f"MEASURES {', '.join(r.sample(measures, r.choice([2, 3, 5])))} AFTER MATCH {skip} PATTERN ({pattern}) "
        + r.choice(["", "", "WITHIN INTERVAL '9' SECOND "])
        + "DEFINE "
        + ", ".join(f"{v} AS {c}" for v, c in define.items())
    )


def pushed(text: str, data: pa.Table, execution: str, sizes: list[int], saved: int) -> list[dict]:
    matcher = tocsin.Matcher(text, data.schema, execution=execution)
    found, at = [], 0
    for number, size in enumerate(sizes):
        if number == saved:
            matcher = pickle.loads(pickle.dumps(matcher))
        found += [repr(row) for row in matcher.push(data.slice(at, size)).to_pylist()]
        at += size
    return found + [repr(row) for row in matcher.finish().to_pylist()]


@pytest.mark.parametrize("block", range(10))
def test_what_waits_is_found_as_if_every_row_were_looked_at(block: int) -> None:
    for seed in range(block * CASES // 10, (block + 1) * CASES // 10):
        r = Random(seed)
        text, data = clause(r), table(r, r.choice([5, 20, 40]))
        if "WITHIN" in text:
            data = data.set_column(0, "t", data.column("t").cast(pa.timestamp("s")))
            if any(f"t {sign} A.t" in text or "B.t - A.t" in text or ".t - " in text for sign in "-"):
                continue  # a difference of timestamps is no number
        sizes: list[int] = []
        while sum(sizes) < data.num_rows:
            sizes.append(min(r.choice([1, 1, 3, 50]), data.num_rows - sum(sizes)))
        wanted = pushed(text, data, "d", [data.num_rows], -1)
        assert pushed(text, data, "c", [data.num_rows], -1) == wanted, (seed, text)
        assert pushed(text, data, "c", sizes, r.randrange(len(sizes))) == wanted, (seed, text, sizes)
