"""The figures: what stats() says is what happened, and looking at them disturbs nobody."""

from __future__ import annotations

import json
import threading
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tocsin as tc
from runtime_support import NUMBERS, numbers, passing
from tocsin.engine import Engine
from tocsin.errors import EvaluationError, TocsinError
from tocsin.stats import latency_stats
from tocsin_core.gauge import Counter
from tocsin_core.histogram import Histogram, now

WORKERS = pytest.mark.parametrize("workers", [0, 1])
TIMED = pa.schema([("t", pa.timestamp("ms")), ("k", pa.string()), ("x", pa.int64())])


def timed(times: list[int], keys: list[str], values: list[int]) -> pa.RecordBatch:
    return pa.record_batch(
        [pa.array(times, pa.timestamp("ms")), keys, pa.array(values, pa.int64())], schema=TIMED
    )


# ---------------------------------------------------------------------- the histogram


@pytest.mark.parametrize("high", [50, 5_000, 10**7, 10**12])
def test_quantiles_are_those_of_the_values_within_three_percent(high: int) -> None:
    values = np.random.default_rng(high).integers(1, high, 20_000)
    histogram = Histogram()
    for value in values:
        histogram.record(int(value))
    stats = latency_stats([histogram])
    for share, given in ((0.5, stats.p50), (0.9, stats.p90), (0.99, stats.p99), (0.999, stats.p999)):
        assert given is not None
        exact = np.sort(values)[int(np.ceil(share * len(values))) - 1] / 1e9
        assert exact <= given <= exact * (1 + 1 / 32) + 1e-12
    assert stats.count == sum(n for _, n in stats.buckets) == len(values)
    assert stats.max == values.max() / 1e9
    assert stats.sum == pytest.approx(values.sum() / 1e9)


def test_values_beyond_both_ends_are_counted_and_the_largest_is_kept() -> None:
    histogram = Histogram()
    for value in (-3, 0, 1, 2**42, 2**42 + 1, 2**60):
        histogram.record(value)
    total, largest, buckets = histogram.read()
    assert buckets == [(1, 3), (2**42, 3)]
    assert largest == 2**60
    assert total == -3 + 1 + 2**42 + 2**42 + 1 + 2**60


def test_merged_histograms_are_the_histogram_of_all_values() -> None:
    one, two, all_of_them = Histogram(), Histogram(), Histogram()
    for value in range(1, 5000, 7):
        (one if value % 2 else two).record(value)
        all_of_them.record(value)
    one.merge(two)
    assert one.read() == all_of_them.read()


def test_no_stamp_counts_nothing() -> None:
    histogram = Histogram()
    histogram.since(0)
    assert latency_stats([histogram]).p50 is None
    histogram.since(now() - 1000)
    assert latency_stats([histogram]).count == 1


def test_a_counter_loses_nothing_between_threads() -> None:
    counter = Counter()
    threads = [threading.Thread(target=lambda: [counter.add() for _ in range(10_000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.value == 40_000


# ---------------------------------------------------------------------- streams


@WORKERS
def test_a_stream_counts_what_it_accepted_however_it_came(workers: int) -> None:
    with Engine(workers=workers) as engine:
        stream = engine.stream("s", NUMBERS)
        stream.push(numbers(1, 2, 3))
        stream.push({"n": 4})
        stream.push([{"n": 5}, {"n": 6}])
        stream.push(pa.table({"n": pa.chunked_array([[7], [], [8, 9]], pa.int64())}))
        with pytest.raises(TocsinError):
            stream.push({"m": 1})
        figures = stream.stats()
    assert (figures.events, figures.batches, figures.late, figures.waiting, figures.dropped) == (
        9,
        5,
        0,
        0,
        0,
    )
    assert (figures.newest_time, figures.watermark, figures.watermark_lag) == (None, None, None)
    assert engine.stats().streams["s"] == figures


@WORKERS
def test_late_waiting_and_the_lag_of_the_watermark(workers: int) -> None:
    with Engine(workers=workers) as engine:
        stream = engine.stream("s", TIMED, time="t", lateness="2s")
        assert stream.stats().watermark_lag is None
        stream.push(timed([10_000, 9_000], ["a", "a"], [1, 2]))
        stream.push(timed([15_000, 12_999, 14_000], ["a", "a", "a"], [3, 4, 5]))  # 12 999 < 15 000 - 2 000
        figures = stream.stats()
        assert (figures.events, figures.batches, figures.late, figures.late_kept) == (5, 2, 1, 1)
        assert figures.waiting == 2
        assert (figures.newest_time, figures.watermark) == (15_000, 13_000)
        assert (figures.watermark_lag, figures.watermark_lag_seconds) == (2_000, 2.0)
        stream.late()
        engine.advance(pa.scalar(20_000, pa.timestamp("ms")).as_py())
        figures = stream.stats()
        assert (figures.late, figures.late_kept, figures.waiting) == (1, 0, 0)
        assert (figures.watermark, figures.watermark_lag) == (20_000, 0)


def test_an_integer_time_has_a_lag_and_no_seconds() -> None:
    with Engine(workers=0) as engine:
        stream = engine.stream("s", pa.schema([("t", pa.int64())]), time="t", lateness=7)
        stream.push({"t": [100]})
        assert (stream.stats().watermark_lag, stream.stats().watermark_lag_seconds) == (7, None)


# ---------------------------------------------------------------------- triggers


@WORKERS
def test_a_trigger_counts_matches_calls_and_times_each_batch_of_matches(workers: int) -> None:
    with Engine(workers=workers, gather_rows=1) as engine:
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, tc.col("n") > 3)
        trigger.handler(lambda matches: None)
        trigger.handler(lambda match: None, per_match=True)
        for batch in (numbers(1, 5, 6), numbers(2), numbers(7)):
            stream.push(batch)
        engine.flush()
        figures = trigger.stats()
    assert (figures.matches, figures.match_batches, figures.handler_calls) == (3, 2, 2 + 3)
    assert (figures.handler_failures, figures.handler_retries, figures.dead_letters, figures.faults) == (
        0,
        0,
        0,
        0,
    )
    assert figures.latency.count == 2
    assert figures.latency.p50 is not None
    assert 0 < figures.latency.p50 <= figures.latency.p99 <= figures.latency.max < 60  # type: ignore[operator]


@WORKERS
def test_failures_retries_dead_letters_and_faults_are_counted(workers: int) -> None:
    with Engine(workers=workers, retries=2, backoff=0, gather_rows=1) as engine:
        stream = engine.stream("s", pa.schema([("n", pa.int64()), ("d", pa.int64())]))
        trigger = engine.trigger("t", stream, "n / d > 1")
        mood: list[Exception] = [RuntimeError("once")]

        @trigger.handler
        def moody(matches: Any) -> None:
            if mood:
                raise mood.pop()

        @trigger.handler
        def broken(matches: Any) -> None:
            raise RuntimeError("always")

        stream.push({"n": [8], "d": [2]})
        with pytest.raises(EvaluationError):  # noqa: PT012
            stream.push({"n": [8], "d": [0]})
            engine.flush()  # or here, with a worker
        figures = trigger.stats()
    assert (figures.matches, figures.handler_calls) == (1, 2 + 3)
    assert (figures.handler_failures, figures.handler_retries) == (1 + 3, 1 + 2)
    assert (figures.dead_letters, figures.faults) == (2, 1)


@WORKERS
def test_a_trigger_on_a_trigger_is_timed_from_the_same_push(workers: int) -> None:
    with Engine(workers=workers) as engine:
        stream = engine.stream("s", NUMBERS)
        engine.trigger("high", engine.trigger("all", stream, passing()), passing())
        stream.push(numbers(1))
        engine.flush()
        stats = engine.stats()
    assert stats.triggers["high"].source == "all"
    assert stats.triggers["high"].latency.count == stats.triggers["all"].latency.count == 1


def test_an_absence_is_timed_from_the_advance_that_settled_it() -> None:
    with Engine(workers=0) as engine:
        stream = engine.stream("s", TIMED, time="t")
        trigger = engine.trigger(
            "t",
            stream,
            "ORDER BY t MEASURES a.x AS x PATTERN (a+) WITHIN INTERVAL '1' SECOND DEFINE a AS x > 0",
        )
        stream.push(timed([0], ["k"], [1]))
        assert trigger.stats().latency.count == 0
        engine.advance(pa.scalar(5_000, pa.timestamp("ms")).as_py())
        assert (trigger.matched, trigger.stats().latency.count) == (1, 1)


# ---------------------------------------------------------------------- state

ROW_LOCAL = "PARTITION BY k MEASURES a.x AS x, LAST(b.k) AS y PATTERN (a b{3}) DEFINE b AS x > PREV(x)"
ACROSS = "PARTITION BY k MEASURES a.x AS x, LAST(b.k) AS y PATTERN (a b{3}) DEFINE b AS x > a.x"


@WORKERS
@pytest.mark.parametrize("clause", [ROW_LOCAL, ACROSS], ids=["row-local", "threads"])
def test_state_is_told_after_each_batch_and_grows_with_what_is_kept(clause: str, workers: int) -> None:
    with Engine(workers=workers) as engine:
        stream = engine.stream("s", TIMED)
        trigger = engine.trigger("t", stream, clause)
        assert trigger.stats().open_attempts == trigger.stats().partitions == 0
        sizes = []
        for n in (1, 1_000, 20_000):
            stream.push(timed([0] * n, [f"key {i}" for i in range(n)], list(range(n))))
            engine.flush()
            figures = trigger.stats()
            assert figures.partitions == n
            assert figures.open_attempts >= n
            sizes.append(figures.state_bytes)
            assert figures.kept_rows is None if clause is ROW_LOCAL else figures.kept_rows >= n  # type: ignore[operator]
        assert sizes[0] < sizes[1] < sizes[2]
        assert sizes[2] > 20_000 * 30  # a slot of the key map, a part or track


@pytest.mark.parametrize("clause", [ROW_LOCAL, ACROSS], ids=["row-local", "threads"])
def test_the_bytes_of_long_texts_are_counted_and_given_back(clause: str) -> None:
    text, n = "x" * 10_000, 100
    clause = clause.replace("PARTITION BY k ", "").replace("LAST(b.k)", "a.k")
    with Engine(workers=0) as engine:
        stream = engine.stream("s", TIMED)
        trigger = engine.trigger("t", stream, clause)
        stream.push(timed([0], ["short"], [10**6]))
        before = trigger.stats().state_bytes
        for x in range(n):  # each attempt fails at the next row
            stream.push(timed([0], [text], [10**6 - 1 - x]))
            assert trigger.stats().state_bytes > len(text)
        after = trigger.stats().state_bytes
        if clause.endswith("a.x"):  # rows leave the history many at once: all texts are still there
            assert after >= before + n * len(text)
            return
        assert before < after < before + 2 * len(text)
        stream.push(timed([0], ["short"], [0]))
        assert trigger.stats().state_bytes < before + len(text)


def test_a_restored_operator_tells_the_same_state() -> None:
    from tocsin.compile import build_operators

    for clause in (ROW_LOCAL, ACROSS):
        with Engine(workers=0) as engine:
            (operator,), *_ = build_operators(clause, TIMED)
            stream = engine.stream("s", TIMED)
            engine.trigger("t", stream, operator)
            stream.push(timed([0] * 500, [f"a long key {i}" for i in range(500)], list(range(500))))
            (other,), *_ = build_operators(clause, TIMED)
            other.restore(operator.save())
            open_attempts, partitions, rows, size = operator.figures()
            assert other.figures()[:3] == (open_attempts, partitions, rows)
            assert 0.3 * size < other.figures()[3] < 3 * size


# ---------------------------------------------------------------------- looking


def test_a_snapshot_is_plain_numbers_and_shows_itself() -> None:
    with Engine(workers=1) as engine:
        stream = engine.stream("trades", TIMED, time="t")
        engine.trigger("rise", stream, ROW_LOCAL)
        stream.push(timed([0, 1, 2, 3], ["a"] * 4, [1, 2, 3, 4]))
        engine.flush()
        stats = engine.stats()
    as_dict = stats.to_dict()
    assert json.loads(json.dumps(as_dict)) == json.loads(json.dumps(stats.to_dict()))
    assert as_dict["streams"]["trades"]["events"] == 4
    assert as_dict["triggers"]["rise"]["latency"]["count"] == 1
    assert as_dict["inbox"]["capacity"] == 1024
    text = repr(stats)
    for part in ("EngineStats(open", "'trades': 4 events", "'rise' on 'trades': 1 matches", "p99="):
        assert part in text
    with pytest.raises(AttributeError):
        stats.pending = 3  # type: ignore[misc]


def test_a_closed_engine_has_its_last_figures_and_a_removed_trigger_its_own() -> None:
    engine = Engine(workers=1)
    stream = engine.stream("s", NUMBERS)
    gone = engine.trigger("gone", stream, passing())
    engine.trigger("stays", stream, passing())
    stream.push(numbers(1, 2))
    engine.remove("gone")
    stream.push(numbers(3))
    engine.close()
    stats = engine.stats()
    assert stats.state == "closed"
    assert (stats.inbox.depth, stats.pending) == (0, 0)
    assert list(stats.triggers) == ["stays"]
    assert (stats.triggers["stays"].matches, gone.stats().matches) == (3, 2)


@pytest.mark.stress
def test_looking_from_other_threads_while_events_flow_sees_counts_that_only_grow() -> None:
    with Engine(workers=1) as engine:
        stream = engine.stream("s", TIMED)
        trigger = engine.trigger("t", stream, ROW_LOCAL)
        trigger.handler(lambda matches: None)
        stop, wrong = threading.Event(), []

        def look() -> None:
            before = (0, 0, 0, 0)
            while not stop.is_set():
                stats = engine.stats()
                seen = stats.triggers["t"]
                now = (stats.streams["s"].events, seen.matches, seen.latency.count, seen.partitions)
                if any(later < earlier for earlier, later in zip(before, now, strict=True)):
                    wrong.append((before, now))
                before = now

        lookers = [threading.Thread(target=look) for _ in range(2)]
        for looker in lookers:
            looker.start()
        rows = np.random.default_rng(1).integers(0, 100, 1_000)
        for n in range(200):
            stream.push(timed([0] * 1_000, [f"key {(i * n) % 997}" for i in range(1_000)], rows.tolist()))
        engine.flush()
        stop.set()
        for looker in lookers:
            looker.join()
        assert not wrong
        final = engine.stats()
    assert final.streams["s"].events == 200_000
    assert final.triggers["t"].matches == trigger.matched > 0
    assert final.triggers["t"].partitions == 997
