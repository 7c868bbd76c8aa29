"""Random cases of the whole clause, made from a number: patterns, conditions on the match so far, ALL ROWS, tables.

`whole_case(Random(seed))` is the case of a seed. It does without hypothesis' data, which takes ten times as long as the
oracle; what shrinks a failing case is `smaller`, which drops rows, measures, conditions and parts of the clause while
a given test still fails. Distributions are chosen so that more than half of the cases have a match; conditions are
loose, tables have nine rows at most (the oracle tries every path), numbers are from -1 to 3, so that they collide.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pyarrow as pa

from oracle_pattern import compile_pattern
from spec_cases import pattern_variables
from strategies import MEASURES, QUANTIFIERS, Case

WHOLE_MEASURES = {
    **MEASURES,
    "running_last": "RUNNING LAST(x)",
    "final_last": "FINAL LAST(x)",
    "final_a": "FINAL LAST(A.x, 1)",
    "before": "PREV(x)",
    "behind": "NEXT(x)",
    "far": "NEXT(FIRST(y), 2)",
    "a_far": "PREV(LAST(A.x, 1), 2)",
    "total": "SUM(x)",
    "final_total": "FINAL SUM(y)",
    "left_": "FINAL COUNT(*) - COUNT(*)",
    "list": "ARRAY_AGG(x)",
    "labels": "ARRAY_AGG(CLASSIFIER())",
    "spread_of": "STDDEV(x)",
    "at_low": "MIN_BY(n, x)",
    "a_at_high": "MAX_BY(A.n, A.x)",
    "u_last": "U.x",
    "u_label": "CLASSIFIER(U)",
    "u_count": "COUNT(U.*)",
    "u_sum": "SUM(U.x + U.y)",
    "next_label": "NEXT(CLASSIFIER())",
    "first_label": "FIRST(CLASSIFIER())",
    "any_x": "ANY_VALUE(x)",
    "chosen": "CASE WHEN x > 1 THEN y WHEN A.x IS NULL THEN -9 ELSE x END",
    "some": "COALESCE(A.x, y, 0)",
    "other": "x IS DISTINCT FROM PREV(x)",
    "none_if": "NULLIF(x, 1)",
    "far_from": "ABS(x - FIRST(x))",
}
SINGLE = [
    *(
        "x > 0",
        "x >= 1",
        "x <> 2",
        "y < 3",
        "x < PREV(x)",
        "x > PREV(x)",
        "x >= COALESCE(PREV(x), 0)",
        "x IS NOT NULL",
    ),
    *(
        "x BETWEEN 0 AND 2",
        "y IN (0, 1, 2)",
        "x <> y",
        "TRUE",
        "x <= PREV(y, 2) OR x > 1",
        "x IS DISTINCT FROM PREV(x)",
    ),
]
SO_FAR = [
    *("A.x", "B.x", "C.y", "FIRST(x)", "FIRST(A.x)", "LAST(x, 1)", "LAST(B.x, 1)", "FIRST(y, 1)", "PREV(x)"),
    *(
        "PREV(LAST(A.x), 1)",
        "PREV(FIRST(x), 2)",
        "SUM(x)",
        "SUM(A.x)",
        "SUM(B.y)",
        "COUNT(*)",
        "COUNT(A.*)",
        "COUNT(B.x)",
    ),
    *(
        "MAX(x)",
        "MIN(B.x)",
        "MAX(A.y)",
        "AVG(x)",
        "U.x",
        "SUM(U.x)",
        "FIRST(U.y)",
        "COUNT(U.*)",
        "MATCH_NUMBER()",
    ),
    *(
        "COALESCE(B.x, 1)",
        "x + A.x",
        "x - FIRST(x)",
        "A.x - B.x",
        "PREV(A.x)",
        "MAX_BY(A.x, A.n)",
        "SUM(A.x * A.y)",
    ),
]
AHEAD = [
    "x < NEXT(x)",
    "NEXT(x) IS NULL",
    "x > 0 OR NEXT(y) > 1",
    "NEXT(x, 2) >= x",
    "NEXT(A.x) > 0",
    "x <> COALESCE(NEXT(x), 9)",
]
LABELS = [
    *(
        "CLASSIFIER() = 'B'",
        "FIRST(CLASSIFIER()) = 'A'",
        "LAST(CLASSIFIER(), 1) = 'B'",
        "CLASSIFIER(U) = 'A'",
    ),
    *(
        "LAST(CLASSIFIER(), 1) IS NULL",
        "PREV(CLASSIFIER()) = 'A'",
        "NEXT(CLASSIFIER()) IS NULL",
        "A.x IS NULL",
    ),
    *("B.x IS NOT NULL", "x IS DISTINCT FROM A.x", "x IN (A.x, FIRST(x), 2)", "x BETWEEN A.x AND MAX(x)"),
    *("CASE WHEN COUNT(*) = 1 THEN x > 0 ELSE x <> A.x END", "BOOL_OR(x > 1)", "ANY_VALUE(A.x) <> x"),
]


def fitting(texts: list[str], variables: list[str]) -> list[str]:
    """Those that name no variable but these. U is the subset."""
    return [
        t for t in texts if all(v in variables for v in re.findall(r"\b[ABCU]\b", re.sub(r"'[^']*'", "", t)))
    ]


def whole_pattern(r: Random, leaves: int) -> str:
    """Pattern text over A, B, C, with every operator."""
    if leaves <= 1:
        atom = r.choices(["A", "B", "C", "()", "^", "$"], [20, 16, 10, 1, 1, 1])[0]
        if r.random() < 0.35:
            return f"{atom}{r.choice(QUANTIFIERS)}{r.choice(['', '', '?'])}"
        return atom
    left = r.randint(1, leaves - 1)
    parts = [whole_pattern(r, left), whole_pattern(r, leaves - left)]
    kind = r.choices(["concat", "or", "quantified", "permute", "excluded"], [10, 5, 4, 1, 2])[0]
    if kind == "concat":
        return " ".join(parts)
    if kind == "or":
        return f"({' | '.join(parts)})"
    if kind == "permute":
        return f"PERMUTE({', '.join(parts)})"
    if kind == "excluded":
        return f"{{- {parts[0]} -}} {parts[1]}"
    return f"({' '.join(parts)}){r.choice(QUANTIFIERS)}{r.choice(['', '', '?'])}"


def _condition(r: Random, known: list[str], reading: str) -> str:
    if reading == "rows" or r.random() < 0.2:
        single = r.choice(SINGLE)
    elif reading == "ahead" and r.random() < 0.5:
        single = r.choice(fitting(AHEAD, known))
    elif r.random() < 0.25:
        single = r.choice(fitting(LABELS, known))
    else:
        left = r.choice(["x", "y", "x", "x + y", str(r.randint(0, 3)), r.choice(fitting(SO_FAR, known))])
        single = (
            f"{left} {r.choice(['<', '<=', '>', '>=', '<>', '<>', '='])} {r.choice(fitting(SO_FAR, known))}"
        )
    chance = r.random()
    if chance < 0.12:
        return f"({single} AND {_condition(r, known, reading)})"
    if chance < 0.35:
        return f"({single} OR {_condition(r, known, reading)})"
    if chance < 0.4:
        return f"NOT ({single})"
    if chance < 0.5:
        return f"COALESCE({single}, TRUE)"
    return single


def _table(r: Random) -> pa.Table:
    n = r.choice([0, 1, 2, *([3, 4, 5, 6, 7, 8, 9] * 3)])
    keys = r.choice([["a"], ["a", "b"], ["a", "b", None]])
    times, now = [], 0
    for _ in range(n):
        now += r.choice([0, 0, 1, 1, 2, 5])
        times.append(now)

    def numbers() -> list[int | None]:
        return [None if r.random() < 0.1 else r.randint(-1, 3) for _ in range(n)]

    return pa.table(
        {
            "k": pa.array([r.choice(keys) for _ in range(n)], pa.string()),
            "t": pa.array(times, pa.int64()).cast(pa.timestamp("s")),
            "x": pa.array(numbers(), pa.int64()),
            "y": pa.array(numbers(), pa.int16()),
            "n": pa.array(range(n), pa.int64()),
            "bit": pa.array([1 << i for i in range(n)], pa.int64()),
        }
    )


def whole_case(r: Random) -> Case:
    while True:
        pattern = whole_pattern(r, r.choice([1, 2, 2, 3, 3, 4, 5]))
        names = pattern_variables(pattern)
        if names and len(compile_pattern(pattern)) <= 40:
            break
    subset = r.choice([[], names[:1], names[:2], names])
    known = [*names, *(["U"] if subset else [])]
    reading = r.choice(["rows", "so far", "so far", "so far", "ahead"])
    all_rows = r.choice([None, None, "show", "omit", "unmatched"])
    if all_rows == "unmatched" and "{-" in pattern:
        all_rows = "show"
    skip = r.choice(
        ["past_last", "past_last", "next", "next", f"{r.choice(['first', 'last'])} {r.choice(known)}"]
    )
    usable = [m for m, text in WHOLE_MEASURES.items() if fitting([text], known)]
    return Case(
        pattern=pattern,
        define={v: _condition(r, known, reading) for v in names if r.random() < 0.8},
        measures={m: WHOLE_MEASURES[m] for m in r.sample(usable, r.randint(0, 4))},
        partition_by=r.choice([(), ("k",)]),
        skip=skip,
        within=r.choice([None, None, None, 2, 4]),
        table=_table(r),
        subsets={"U": subset} if subset else {},
        all_rows=all_rows,
    )


def whole_cut(r: Random, n_rows: int) -> list[int]:
    """Lengths of consecutive batches that make up `n_rows`; some may be empty."""
    points = sorted(r.randint(0, n_rows) for _ in range(r.randint(0, 5)))
    return [b - a for a, b in zip([0, *points], [*points, n_rows], strict=True)]


# ---------------------------------------------------------------- shrinking


def _simpler(case: Case) -> Iterator[Case]:
    def but(**changes: Any) -> Case:
        return dataclasses.replace(case, **changes)

    for row in range(case.table.num_rows):
        kept = pa.concat_tables([case.table.slice(0, row), case.table.slice(row + 1)]).combine_chunks()
        numbers = pa.array(range(kept.num_rows), pa.int64())
        bits = pa.array([1 << i for i in range(kept.num_rows)], pa.int64())
        yield but(table=kept.set_column(4, "n", numbers).set_column(5, "bit", bits))
    for name in case.measures:
        yield but(measures={m: t for m, t in case.measures.items() if m != name})
    for v in case.define:
        yield but(define={w: t for w, t in case.define.items() if w != v})
        if case.define[v] != "x > 0":
            yield but(define=case.define | {v: "x > 0"})
    if case.partition_by:
        yield but(partition_by=())
    if case.within is not None:
        yield but(within=None)
    if case.skip != "past_last":
        yield but(skip="past_last")
    if case.all_rows:
        yield but(all_rows="show" if case.all_rows != "show" else None)
    if case.subsets and " U" not in case.skip:
        yield but(subsets={})


def smaller(case: Case, fails: Callable[[Case], bool]) -> Case:
    """The case after every simplification under which it still fails; one that is wrong in itself does not count."""
    while True:
        for candidate in _simpler(case):
            if fails(candidate):
                case = candidate
                break
        else:
            return case
