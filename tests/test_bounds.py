"""Memory is bounded by what was configured: late events, faults, open attempts, partitions."""

from __future__ import annotations

import json
import logging
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import tocsin as tc
from runtime_support import NUMBERS
from tocsin.engine import Engine
from tocsin.errors import LimitError, TocsinError
from tocsin.runtime import FAULTS_MAX

WORKERS = pytest.mark.parametrize("workers", [0, 1])
TIMED = pa.schema([("t", pa.timestamp("s")), ("k", pa.int64()), ("x", pa.int64())])


def timed(times: list[int], *, key: int = 0, x: int = 1) -> pa.RecordBatch:
    return pa.record_batch(
        [pa.array(times, pa.timestamp("s")), [key] * len(times), [x] * len(times)], schema=TIMED
    )


# ---------------------------------------------------------------------- the rings


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
@pytest.mark.parametrize("overflow", ["block", "raise", "drop_oldest"])
def test_a_stopped_handler_keeps_no_more_than_the_rings_hold(overflow: str) -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks.bounds",
        "--mode",
        overflow,
        "--batches",
        "600",
        "--slots",
        "16",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent
    )
    found = json.loads(done.stdout)
    offered = 600 * 4096 * 8 * 8
    # malloc keeps some of what was freed, and pages of another use count too.
    assert found["peak"] < found["bound"] + (32 << 20) < offered
    assert found["held_back"] == (overflow == "block")
    assert (found["refused"] > 500) == (overflow == "raise")


# ---------------------------------------------------------------------- late events


@pytest.mark.parametrize("limit", [0, 1, 3, 7, 100])
@pytest.mark.parametrize("pushes", [(1, 1, 1, 1, 1, 1), (2, 5, 1), (9,), (3, 4, 20, 2)])
def test_the_newest_late_events_are_kept_up_to_the_limit(
    limit: int, pushes: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    with Engine(workers=0) as engine:
        stream = engine.stream("s", TIMED, time="t", late_limit=limit)
        stream.push(timed([1000]))
        seen: list[int] = []
        for n in pushes:
            times = list(range(len(seen), len(seen) + n))
            seen += times
            stream.push(timed(times))
        figures = stream.stats()
        kept = seen[max(0, len(seen) - limit) :]
        assert (figures.late, figures.late_kept) == (len(seen), len(kept))
        assert figures.late_forgotten == len(seen) - len(kept)
        assert stream.late().column("t").cast(pa.int64()).to_pylist() == kept
        assert (stream.late().num_rows, stream.stats().late_kept) == (0, 0)
        stream.push(timed([500]))
        assert stream.late().num_rows == min(1, limit)
        assert stream.late_count == len(seen) + 1
    warned = [record for record in caplog.records if "late_limit" in record.getMessage()]
    assert len(warned) == (1 if len(seen) > limit or limit == 0 else 0)


def test_late_events_that_are_not_kept_are_in_the_store(tmp_path: Any) -> None:
    with Engine(tmp_path / "store", workers=1) as engine:
        stream = engine.stream("s", TIMED, time="t", late_limit=2)
        stream.push(timed([100]))
        stream.push(timed([1, 2, 3, 4]))
        assert stream.late().column("t").cast(pa.int64()).to_pylist() == [3, 4]
        assert engine.store is not None
        assert engine.store.scan("s").read_all().column("t").cast(pa.int64()).to_pylist() == [100, 1, 2, 3, 4]


# ---------------------------------------------------------------------- faults


@WORKERS
def test_faults_that_nobody_asks_for_are_counted_and_not_kept(
    workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="tocsin")
    with Engine(workers=workers) as engine:
        stream = engine.stream("s", NUMBERS)
        for _ in range(FAULTS_MAX + 50):
            engine._runtime.fault(TocsinError("told"))
        assert len(engine._runtime._faults) == FAULTS_MAX
        with pytest.raises(TocsinError, match="told") as failure:
            engine.flush()
        assert f"and {FAULTS_MAX + 50 - 6} more" in failure.value.__notes__
        engine.flush()  # told once
        stream.push({"n": 1})


# ---------------------------------------------------------------------- open attempts and partitions

WITHIN = (
    "PARTITION BY k ORDER BY t MEASURES a.t AS t PATTERN (a x*? b) WITHIN INTERVAL '10' SECOND "
    "DEFINE a AS x = 1, x AS x < 9, b AS {}"
)
CLAUSES = pytest.mark.parametrize(
    "clause", [WITHIN.format("x = 2"), WITHIN.format("x = a.x + 1")], ids=["row-local", "threads"]
)


def dead_rows(engine: Engine, name: str) -> list[int]:
    return [
        t
        for letter in engine.dead_letters(name)
        for t in letter.rows.column("t").cast(pa.int64()).to_pylist()
    ]


@WORKERS
@CLAUSES
def test_a_batch_that_finds_too_many_open_attempts_is_refused_and_kept(clause: str, workers: int) -> None:
    matched: list[int] = []
    with Engine(workers=workers) as engine:
        stream = engine.stream("s", TIMED, time="t")
        limited = engine.trigger("limited", stream, clause, max_partial_matches=5)
        free = engine.trigger("free", stream, clause)
        limited.handler(lambda matches: matched.extend(matches.column("t").cast(pa.int64()).to_pylist()))
        for key in range(6):
            stream.push(timed([key], key=key))
        engine.flush()
        assert limited.stats().open_attempts == 6
        with pytest.raises(LimitError, match=r"limited.*max_partial_matches.*6 of at most 5"):  # noqa: PT012
            stream.push(timed([6], key=6))
            engine.flush()  # or here, with a worker
        assert limited.stats().open_attempts == 6
        assert limited.stats().faults == 1
        assert free.stats().open_attempts == 7
        assert dead_rows(engine, "limited") == [6]
        # The watermark closes the windows; then batches are taken again.
        engine.advance(30)
        stream.push(timed([40], key=1))
        stream.push(timed([41], key=1, x=2))
        engine.flush()
        assert free.matched == 1
        assert limited.stats().faults == 1
        assert limited.stats().open_attempts <= 2
    assert matched == [40]


@CLAUSES
def test_a_batch_that_finds_too_many_partitions_is_refused(clause: str) -> None:
    with Engine(workers=0) as engine:
        stream = engine.stream("s", TIMED, time="t")
        trigger = engine.trigger("t", stream, clause, max_partitions=3)
        for key in range(3):
            stream.push(timed([key], key=key))
        stream.push(timed([3], key=2))  # three partitions are within the limit
        stream.push(timed([4], key=3))  # the fourth is beyond, and taken whole
        with pytest.raises(LimitError, match=r"max_partitions.*4 of at most 3"):
            stream.push(timed([5], key=0))
        assert trigger.stats().partitions == 4
        assert dead_rows(engine, "t") == [5]


@pytest.mark.parametrize("clause", [CLAUSES.args[1][0], "x > 0"], ids=["clause", "condition"])
def test_a_limit_that_is_not_reached_changes_nothing(clause: str) -> None:
    with Engine(workers=0) as engine:
        stream = engine.stream("s", TIMED, time="t")
        trigger = engine.trigger("t", stream, clause, max_partitions=1, max_partial_matches=3)
        for t in range(0, 60, 4):
            stream.push(timed([t, t + 1]))
            stream.push(timed([t + 2], x=2))
        assert trigger.matched > 0
        assert trigger.stats().faults == 0


def test_a_limit_holds_inside_a_library_expression() -> None:
    clause = "PARTITION BY lower(k) MEASURES a.k AS k PATTERN (a b) DEFINE b AS upper(k) = 'Z'"
    with Engine(workers=0) as engine:
        stream = engine.stream("s", pa.schema([("k", pa.string())]))
        trigger = engine.trigger("t", stream, clause, max_partitions=1)
        stream.push({"k": ["a", "b"]})
        with pytest.raises(LimitError, match="max_partitions"):
            stream.push({"k": ["a"]})
        assert trigger.stats().partitions == 2


@CLAUSES
def test_a_matcher_has_the_same_limits_and_keeps_them_when_pickled(clause: str) -> None:
    matcher = tc.Matcher(clause, TIMED, max_partial_matches=2)
    for key in range(3):
        matcher.push(timed([key], key=key))
    matcher = pickle.loads(pickle.dumps(matcher))
    with pytest.raises(LimitError, match="3 of at most 2"):
        matcher.push(timed([3], x=2))
    assert matcher.sequence == 3
    matcher.advance(15)
    assert matcher.push(timed([15])).num_rows == 0
    assert matcher.push(timed([16], x=2)).num_rows == 1
    with pytest.raises(ValueError, match="a matcher: max_partitions="):
        tc.Matcher(clause, TIMED, max_partitions=0)


@pytest.mark.parametrize("limit", [0, -1, 2.5, "5", True, 2**63])
@pytest.mark.parametrize("option", ["max_partial_matches", "max_partitions"])
def test_a_limit_that_is_none_is_refused_by_name(option: str, limit: Any) -> None:
    with Engine(workers=0) as engine:
        stream = engine.stream("s", NUMBERS)
        with pytest.raises(ValueError, match=rf"trigger 't': {option}="):
            engine.trigger("t", stream, tc.col("n") > 0, **{option: limit})
        assert "t" not in engine.triggers


@pytest.mark.parametrize("limit", [-1, 2.5, None, True])
def test_a_late_limit_that_is_none_is_refused_by_name(limit: Any) -> None:
    with Engine(workers=0) as engine:
        with pytest.raises(ValueError, match="stream 's': late_limit="):
            engine.stream("s", TIMED, time="t", late_limit=limit)
        assert "s" not in engine.streams
