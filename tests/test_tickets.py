"""Tickets: what a push gives back, and which results are its."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pyarrow as pa
import pytest

import tocsin as tc
from runtime_support import ALL, NUMBERS, numbers, values
from tocsin.engine import Engine
from tocsin.ticket import OPEN, Ticket, TicketBook

WORKERS = pytest.mark.parametrize("workers", [0, 1])
TIMED = pa.schema([("n", pa.int64()), ("ts", pa.timestamp("s"))])


def events(*times: int) -> pa.RecordBatch:
    return pa.record_batch({"n": pa.array(times, pa.int64()), "ts": pa.array(times, pa.timestamp("s"))})


@WORKERS
def test_every_push_gets_the_results_of_its_own_matches(workers: int) -> None:
    with Engine(workers=workers) as engine:
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, tc.col("n") > 1)
        trigger.handler(values, results=True)
        trigger.handler(lambda matches: -matches.num_rows, results=True)
        trigger.handler(lambda matches: "not kept")
        pushed = [
            numbers(1, 2),
            {"n": 3},
            [{"n": 1}],
            pa.table({"n": pa.chunked_array([[4], [5, 1], [1]])}),
            [],
        ]
        tickets = [stream.push(data) for data in pushed]
        assert [ticket.results(timeout=60) for ticket in tickets] == [
            [[2], -1],
            [[3], -1],
            [],
            [[4], -1, [5], -1],
            [],
        ]
        assert tickets[0].results() == [[2], -1]
        assert trigger.results() == [[2], [3], [4], [5], -1, -1, -1, -1]
    assert [(ticket.first, ticket.last) for ticket in tickets] == [(0, 1), (2, 2), (3, 3), (4, 7), (8, 7)]
    assert [repr(ticket) for ticket in tickets[:2]] == [
        "Ticket(events 0 to 1 of 's')",
        "Ticket(event 2 of 's')",
    ]
    assert repr(tickets[4]) == "Ticket(no event of 's' yet)"


@WORKERS
def test_results_that_come_before_the_push_has_ended_are_its_own(workers: int) -> None:
    with Engine(workers=workers, ring_slots=1) as engine:
        stream = engine.stream("s", NUMBERS)
        engine.trigger("t", stream, ALL).handler(values, results=True)
        for start in range(0, 300, 100):  # a table of many batches through one slot
            chunks = [[n] for n in range(start, start + 100)]
            if workers:
                assert stream.push(pa.table({"n": pa.chunked_array(chunks)})).results() == chunks
            else:
                assert stream.push(pa.table({"n": pa.chunked_array(chunks[:1])})).results() == chunks[:1]


@WORKERS
def test_a_match_belongs_to_the_push_that_settled_it(workers: int) -> None:
    with Engine(workers=workers) as engine:
        stream = engine.stream("s", TIMED, time="ts")
        pattern = "ORDER BY ts MEASURES FIRST(ts) AS first, COUNT(*) AS n PATTERN (a{2}) WITHIN INTERVAL '10' SECOND"
        pair = engine.trigger("pair", stream, pattern)
        run = engine.trigger("run", stream, pattern.replace("{2}", "+"))
        upon = engine.trigger("upon", run, tc.col("n") > 0)
        pair.handler(lambda matches: ("pair", matches.num_rows), results=True)
        upon.handler(lambda matches: ("upon", matches.column("n").to_pylist()), results=True, concurrency=2)
        tickets = [
            stream.push(events(1)),
            stream.push(events(2)),
            stream.push(events(3)),
            stream.push(events(20)),
        ]
        assert [ticket.results() for ticket in tickets] == [[], [("pair", 1)], [], [("upon", [3])]]
        engine.advance(40)  # settles the run of 20 alone: no push did
        after = stream.push(events(40))
        assert after.results() == []
        assert upon.results() == [("upon", [3]), ("upon", [1])]
        assert tickets[3].results() == [("upon", [3])]
    assert after.results() == []
    assert upon.results() == [("upon", [1])]  # what the end of input settled


@WORKERS
def test_events_that_wait_belong_to_the_push_that_moves_the_watermark(workers: int) -> None:
    with Engine(workers=workers) as engine:
        stream = engine.stream("s", TIMED, time="ts", lateness="5s")
        engine.trigger("t", stream, ALL).handler(values, results=True)
        one, two, late = stream.push(events(10, 8)), stream.push(events(16)), stream.push(events(3))
        assert (one.results(), two.results(), late.results()) == ([], [[8, 10]], [])
        assert (one.last - one.first, two.last - two.first, late.last - late.first) == (-1, 1, -1)
        engine.advance(16)
        assert stream.push(events(30)).results() == []
        assert two.results() == [[8, 10]]


@WORKERS
@pytest.mark.parametrize("options", [{"concurrency": 3}, {"concurrency": 3, "outbox": 1}, {}])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_results_have_an_order_whatever_the_threads_do(
    workers: int, options: dict[str, Any], asynchronous: bool
) -> None:
    r = Random(1)
    with Engine(workers=workers) as engine:
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, ALL)

        def double(match: dict[str, int]) -> int:
            time.sleep(r.random() / 2000)
            return 2 * match["n"]

        async def double_async(match: dict[str, int]) -> int:
            await asyncio.sleep(r.random() / 2000)
            return 2 * match["n"]

        function: Any = double_async if asynchronous else double
        trigger.handler(function, per_match=True, results=True, **options)
        trigger.handler(lambda matches: matches.num_rows, results=True)
        tickets = [stream.push(numbers(*range(10 * i, 10 * i + 10))) for i in range(10)]
        for i, ticket in reversed(list(enumerate(tickets))):
            assert ticket.results() == [*range(20 * i, 20 * i + 20, 2), 10]


@WORKERS
def test_a_failed_call_has_no_result(workers: int) -> None:
    with Engine(workers=workers, retries=0) as engine:
        stream = engine.stream("s", NUMBERS)

        @engine.trigger("t", stream, ALL).handler(per_match=True, results=True)
        def invert(match: dict[str, int]) -> float:
            return 1 / match["n"]

        assert stream.push(numbers(1, 0, 2)).results() == [1.0, 0.5]
        assert len(engine.dead_letters("t")) == 1


def test_results_wait_for_a_time_only_and_can_be_asked_again() -> None:
    gate = threading.Event()
    with Engine() as engine:
        stream = engine.stream("s", NUMBERS)
        engine.trigger("t", stream, ALL).handler(lambda matches: gate.wait(20), results=True, concurrency=1)
        ticket = stream.push(numbers(1))
        with pytest.raises(TimeoutError, match="results: not all was matched and handled"):
            ticket.results(timeout=0.02)
        gate.set()
        assert ticket.results() == [True]


@WORKERS
def test_results_in_a_handler_are_refused(workers: int) -> None:
    tickets: list[Ticket] = []
    with Engine(workers=workers, retries=0) as engine:
        first, second = engine.stream("a", NUMBERS), engine.stream("b", NUMBERS)
        engine.trigger("t", first, ALL).handler(lambda matches: second.push(matches).results())
        engine.trigger("u", second, ALL).handler(values, results=True)
        first.push(numbers(1))
        engine.flush()
        tickets.append(second.push(numbers(2)))
        assert "results() in a handler would wait" in engine.dead_letters("t")[0].error
    assert tickets[0].results() == [[2]]


@WORKERS
def test_a_ticket_outlives_the_engine_and_a_closing_engine_is_waited_for(workers: int) -> None:
    gate = threading.Event()
    engine = Engine(workers=workers)
    stream = engine.stream("s", NUMBERS)
    trigger = engine.trigger("t", stream, ALL)

    @trigger.handler(results=True, concurrency=1)
    def late(matches: pa.RecordBatch) -> list[int]:
        gate.wait(20)
        return values(matches)

    ticket = stream.push(numbers(1))
    with pytest.raises(TimeoutError):
        engine.close(timeout=0.01)
    threading.Timer(0.05, gate.set).start()
    assert ticket.results(timeout=60) == [[1]]
    engine.close()
    assert ticket.results() == [[1]]


@WORKERS
def test_a_dropped_ticket_keeps_nothing(workers: int) -> None:
    class Result:
        pass

    made: list[weakref.ref[Result]] = []

    def result(matches: pa.RecordBatch) -> Result:
        made.append(weakref.ref(value := Result()))
        return value

    with Engine(workers=workers) as engine:
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, ALL)
        trigger.handler(result, results=True)
        kept = stream.push(numbers(0))
        for i in range(1000):
            stream.push(numbers(i))
        engine.flush()
        trigger.results()
        gc.collect()
        assert [ref() is not None for ref in made] == [True] + 1000 * [False]
        assert len(stream._book) == 1
        assert len(stream._book._tickets) <= 200
        assert kept.results() == [made[0]()]


def test_a_book_finds_tickets_by_range() -> None:
    class Named:
        name = "s"

    book, stream = TicketBook(), Named()
    tickets = []
    for first, last in [(0, 4), (5, 4), (5, 5), (6, 9), (20, 29)]:
        ticket = Ticket(stream, first, OPEN)  # type: ignore[arg-type]
        book.open(ticket)
        book.close(ticket, last)
        tickets.append(ticket)
    for number, origin in enumerate([(0, 0), (4, 5), (9, 12), (10, 19), (0, 99), (29, 29), (30, 40)]):
        book.give(origin, (number, 0, 0), number)
    assert [[number for _, number in ticket._kept] for ticket in tickets] == [
        [0, 1, 4],
        [],
        [1, 4],
        [2, 4],
        [4, 5],
    ]
    under_way = Ticket(stream, 30, OPEN)  # type: ignore[arg-type]
    book.open(under_way)
    book.give((30, 31), (9, 0, 0), "early")
    book.close(under_way, 35)
    assert under_way._kept == [((9, 0, 0), "early")]


@pytest.mark.stress
@WORKERS
@pytest.mark.parametrize("seed", range(8))
def test_results_are_neither_lost_nor_doubled(workers: int, seed: int) -> None:
    for sub in range(4):
        ticket_race(workers, Random(10 * seed + sub))


def ticket_race(workers: int, r: Random) -> None:
    noise = [Random(r.random()) for _ in range(3)]
    wrong: list[Any] = []
    all_results: Counter[int] = Counter()
    with Engine(workers=workers, ring_slots=r.choice([1, 4, 64]), retries=0) as engine:
        stream = engine.stream("s", NUMBERS)
        parent = engine.trigger("parent", stream, tc.col("n") % 3 != 0)
        child = engine.trigger("child", parent, tc.col("n") % 2 == 0)
        sleeps = r.random() < 0.7

        def sleep(at: int) -> float:
            return noise[at].random() / 3000 if sleeps else 0.0

        def direct(matches: pa.RecordBatch) -> list[int]:
            return [n * 10 for n in values(matches)]

        def threads(match: dict[str, int]) -> list[int]:
            time.sleep(sleep(1))
            return [match["n"] * 10 + 1]

        async def tasks(matches: pa.RecordBatch) -> list[int]:
            await asyncio.sleep(sleep(2))
            return [n * 10 + 2 for n in values(matches)]

        outbox = r.choice([1, 3, 64])
        parent.handler(direct, results=True)
        parent.handler(threads, results=True, concurrency=r.choice([1, 3]), per_match=True, outbox=outbox)
        child.handler(tasks, results=True, concurrency=r.choice([1, 4]), outbox=outbox)

        def expected(pushed: list[int]) -> Iterator[int]:
            for n in pushed:
                if n % 3:
                    yield from (n * 10, n * 10 + 1)
                    if n % 2 == 0:
                        yield n * 10 + 2

        def push(base: int, own: Random) -> None:
            held: list[tuple[list[int], Ticket]] = []
            for i in range(40):
                pushed = [base + 10 * i + k for k in range(own.choice([1, 1, 3, 7]))]
                data: list[Any] = [numbers(*pushed), [{"n": n} for n in pushed]]
                data += [pa.table({"n": pa.chunked_array([[n] for n in pushed])})] if workers else []
                ticket = stream.push(own.choice(data))
                with lock:
                    all_results.update(expected(pushed))
                if own.random() < 0.7:
                    held.append((pushed, ticket))
                del ticket
                while held and own.random() < 0.3:
                    check(*held.pop(own.randrange(len(held))))
            for pushed, ticket in held:
                check(pushed, ticket)

        def check(pushed: list[int], ticket: Ticket) -> None:
            found = [n for result in ticket.results(timeout=60) for n in result]
            if Counter(found) != Counter(expected(pushed)):
                wrong.append((pushed, found))

        lock = threading.Lock()
        pushers = [threading.Thread(target=push, args=(10_000 * k, Random(r.random()))) for k in range(3)]
        for pusher in pushers:
            pusher.start()
        for pusher in pushers:
            pusher.join(120)
            assert not pusher.is_alive()
        engine.flush(timeout=60)
        assert wrong == []
        found = Counter(n for trigger in (parent, child) for result in trigger.results() for n in result)
        assert found == all_results


def test_a_ticket_is_refused_in_a_forked_child() -> None:
    from test_engine import run

    if sys.platform == "win32":
        pytest.skip("fork")
    ended = run("""
        import os, warnings
        warnings.simplefilter("ignore")
        engine = Engine(workers=1)
        stream = engine.stream("s", NUMBERS)
        ticket = stream.push(numbers(1))
        child = os.fork()
        if child == 0:
            try:
                ticket.results()
            except RuntimeError as refused:
                assert "before a fork" in str(refused), refused
            engine.close()
            assert ticket.results() == []
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        engine.close()
    """)
    assert ended.returncode == 0, ended.stderr
