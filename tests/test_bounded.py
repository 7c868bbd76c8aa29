"""What a matcher of definitions over the match so far keeps of a long stream is bounded: rows, attempts, memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

import tocsin

ROWS = {"deep": 4_000_000}.get(os.environ.get("HYPOTHESIS_PROFILE", ""), 300_000)
BATCH = 1000
COLLECTED = 65_536  # rows that may be kept beside the needed ones, and as many again as are needed
KEYED = "PARTITION BY k ORDER BY t MEASURES A.t AS a, B.x AS x "
WINDOW = "WITHIN INTERVAL '2000' SECOND "

# The clause, and how many rows its attempts may need: by partition, and in all (a row a second: 2000 in a window).
CLAUSES: dict[str, tuple[str, int, int]] = {
    "neighbours": (KEYED + "PATTERN (A B) DEFINE A AS x < 50, B AS x > A.x + 40", 2, 0),
    "one partition": ("ORDER BY t MEASURES A.t AS a, B.x AS x PATTERN (A B) DEFINE B AS x > A.x + 90", 0, 2),
    "registers": (
        KEYED + "PATTERN (A B C) DEFINE B AS x < A.x AND s <> MIN(A.s), C AS x > AVG(B.x) AND x < FIRST(x)",
        3,
        0,
    ),
    "rows beside": (
        KEYED
        + "AFTER MATCH SKIP TO NEXT ROW PATTERN (A B) DEFINE A AS PREV(x, 2) < x, B AS NEXT(x, 2) > A.x",
        9,
        0,
    ),
    "parked by value": (
        KEYED + f"AFTER MATCH SKIP TO NEXT ROW PATTERN (A X*? B) {WINDOW} DEFINE B AS x = A.x AND s > A.s",
        0,
        2 * 2000,
    ),
    "parked by order": (
        KEYED.replace("PARTITION BY k ", "")
        + f"AFTER MATCH SKIP TO NEXT ROW PATTERN (A X*? B) {WINDOW} DEFINE A AS x > 90, B AS f > A.f",
        0,
        2 * 2000,
    ),
    "numbered": (
        KEYED.replace("A.t AS a", "A.t AS a, MATCH_NUMBER() AS n")
        + "AFTER MATCH SKIP TO NEXT ROW "
        + f"PATTERN (A X*? B) {WINDOW} DEFINE A AS x > 20, B AS x = A.x + 1 AND s = A.s",
        0,
        3 * 2000,
    ),
    "all rows": (
        KEYED.replace("A.t AS a, B.x AS x", "COUNT(*) AS c")
        + "ALL ROWS PER MATCH PATTERN (A B C?) DEFINE B AS x < A.x, C AS x > B.x + 10",
        3,
        0,
    ),
}


def stream() -> Iterator[pa.RecordBatch]:
    """Five hundred partitions at a time; now and then a hundred fall silent for ever, and others begin."""
    rnd = np.random.default_rng(1)
    texts = np.array(["a", "bb", "a longer text than others", "ddd"])
    for i in range(ROWS // BATCH):
        yield pa.record_batch(
            {
                "k": pa.array(rnd.integers(0, 500, BATCH) + i * 40 // (ROWS // BATCH) * 100),
                "t": pa.array(i * BATCH + np.arange(BATCH)).cast(pa.timestamp("s")),
                "x": pa.array(rnd.integers(0, 100, BATCH)),
                "f": pa.array(rnd.random(BATCH)),
                "s": pa.array(texts[rnd.integers(0, 4, BATCH)]),
            }
        )


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.parametrize("name", CLAUSES)
def test_what_is_kept_of_a_long_stream_is_bounded(name: str) -> None:
    clause, by_partition, in_all = CLAUSES[name]
    matcher: tocsin.Matcher | None = None
    half = 0
    for i, batch in enumerate(stream()):
        matcher = matcher or tocsin.Matcher(clause, batch.schema, execution="c")
        matcher.push(batch)
        operator = matcher._operator
        needed = by_partition * operator.partitions + in_all
        assert operator.open_attempts <= needed
        assert operator.kept_rows <= COLLECTED + 2 * needed + BATCH
        if i == ROWS // BATCH // 2:
            operator.save()  # which collects
            assert operator.kept_rows <= needed
            half = resident() if sys.platform == "linux" else 0
    assert matcher is not None
    if sys.platform == "linux" and "TOCSIN_SANITIZED" not in os.environ:
        assert resident() - half < 16 << 20
    matcher.finish()
    assert operator.open_attempts == 0
    operator.save()
    assert operator.kept_rows <= by_partition * operator.partitions  # newest rows, for PREV
