"""Handlers on threads of their own: order, bounds, faults, waiting, and every way to end."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
import warnings
import weakref
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest

import tocsin as tc
from runtime_support import ALL, NUMBERS, engines_threads, numbers, until, values
from tocsin.engine import Engine
from tocsin.errors import BackpressureError, ClosedError

WORKERS = pytest.mark.parametrize("workers", [0, 1])


# ---------------------------------------------------------------------- threads of their own


@WORKERS
def test_one_thread_of_its_own_keeps_the_order(workers: int) -> None:
    found: list[int] = []
    names: set[str] = set()
    with Engine(workers=workers) as engine:
        stream = engine.stream("s", NUMBERS)

        @engine.trigger("t", stream, ALL).handler(concurrency=1)
        def handle(matches: pa.RecordBatch) -> None:
            names.add(threading.current_thread().name)
            found.extend(values(matches))

        for i in range(300):
            stream.push(numbers(i))
        engine.flush()
        assert found == list(range(300))
    assert len(names) == 1
    assert names.pop().startswith("tocsin-handler-")


@WORKERS
@pytest.mark.parametrize("per_match", [False, True])
def test_so_many_calls_run_at_once_and_no_more(workers: int, per_match: bool) -> None:
    meet = threading.Barrier(3)
    now, most, seen = 0, 0, Counter[int]()
    lock = threading.Lock()
    with Engine(workers=workers, gather_rows=1) as engine:
        stream = engine.stream("s", NUMBERS)

        @engine.trigger("t", stream, ALL).handler(concurrency=3, per_match=per_match)
        def handle(given: Any) -> None:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            meet.wait(20)  # three are needed for one to go on
            with lock:
                seen.update([given["n"]] if per_match else values(given))
                now -= 1

        if per_match:
            stream.push(numbers(*range(30)))  # the matches of one batch, in parallel
        else:
            for i in range(30):
                stream.push(numbers(i))
        engine.flush(timeout=30)
    assert most == 3
    assert seen == Counter(range(30))


@WORKERS
def test_a_slow_handler_stops_nobody_until_its_outbox_is_full(workers: int) -> None:
    gate = threading.Event()
    quick: list[int] = []
    slow: list[int] = []
    with Engine(workers=workers, ring_slots=4, gather_rows=1) as engine:
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, ALL)

        @trigger.handler(concurrency=1, outbox=50)
        def wait(matches: pa.RecordBatch) -> None:
            gate.wait(20)
            slow.extend(values(matches))

        trigger.handler(lambda matches: quick.extend(values(matches)))
        for i in range(51):
            stream.push(numbers(i))
        until(lambda: quick == list(range(51)))
        assert slow == []
        gate.set()
        engine.flush()
        assert slow == quick


def test_a_full_outbox_is_back_pressure_and_nothing_is_lost() -> None:
    gate = threading.Event()
    slow: list[int] = []
    with Engine(workers=1, ring_slots=2, gather_rows=1, overflow="raise") as engine:
        stream = engine.stream("s", NUMBERS)

        @engine.trigger("t", stream, ALL).handler(concurrency=1, outbox=3)
        def wait(matches: pa.RecordBatch) -> None:
            gate.wait(20)
            slow.extend(values(matches))

        accepted = 0

        def push_until_refused() -> None:
            nonlocal accepted
            for _ in range(1000):
                stream.push(numbers(accepted))
                accepted += 1
                time.sleep(0.0005)

        with pytest.raises(BackpressureError, match="ring is full"):
            push_until_refused()
        assert accepted < 20  # inbox, outbox, the lane's outbox, and one each in hand
        gate.set()
        engine.flush()
        assert slow == list(range(accepted))


@WORKERS
def test_retries_and_back_off_are_the_handler_s_own(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    calls: Counter[str] = Counter()
    with Engine(workers=workers, retries=7, backoff=9.0) as engine:
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, ALL)
        monkeypatch.setattr("tocsin.handlers.time.sleep", pauses.append)

        @trigger.handler(retries=3, backoff=0.5, concurrency=1)
        def patient(matches: pa.RecordBatch) -> None:
            calls["patient"] += 1
            raise ValueError("no")

        stream.push(numbers(1))
        engine.flush()
        assert pauses == [0.5, 1.0, 2.0]

        @trigger.handler(retries=0)
        def hasty(matches: pa.RecordBatch) -> None:
            calls["hasty"] += 1
            raise ValueError("never")

        stream.push(numbers(2))
        engine.flush()
        assert calls == {"patient": 8, "hasty": 1}
        letters = engine.dead_letters("t")
    assert [letter.rows for letter in letters if "no" in letter.error] == [numbers(1), numbers(2)]
    assert [letter.rows for letter in letters if "never" in letter.error] == [numbers(2)]


def test_close_with_a_timeout_ends_in_time_while_a_handler_pauses_and_pushes_wait() -> None:
    engine = Engine(workers=1, ring_slots=1, gather_rows=1)
    stream = engine.stream("s", NUMBERS)
    refused = threading.Event()
    began = threading.Event()

    @engine.trigger("t", stream, ALL).handler(retries=1, backoff=3.0)
    def fail(matches: pa.RecordBatch) -> None:
        began.set()
        if not refused.is_set():
            raise ValueError("no")

    def push_for_ever() -> None:
        try:
            while True:
                stream.push(numbers(1))
        except ClosedError:
            pass

    pusher = threading.Thread(target=push_for_ever)
    pusher.start()
    assert began.wait(20)
    until(lambda: engine._runtime.inbox.depth == 1)
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match="handler is slow"):
        engine.close(timeout=0.05)
    assert time.monotonic() - begun < 2.5  # the pause takes 3 s
    refused.set()
    engine.close(timeout=30)
    pusher.join(30)
    assert not pusher.is_alive()


@WORKERS
def test_one_match_of_a_lane_fails_alone(workers: int) -> None:
    seen: list[int] = []
    with Engine(workers=workers, retries=0) as engine:
        stream = engine.stream("s", NUMBERS)

        @engine.trigger("t", stream, ALL).handler(per_match=True, concurrency=2)
        def picky(match: dict[str, int]) -> None:
            if match["n"] % 2:
                raise ValueError("odd")
            seen.append(match["n"])

        stream.push(numbers(*range(10)))
        engine.flush()
        letters = engine.dead_letters("t")
    assert sorted(seen) == [0, 2, 4, 6, 8]
    assert sorted(row["n"] for letter in letters for row in letter.rows.to_pylist()) == [1, 3, 5, 7, 9]


@WORKERS
def test_sys_exit_on_a_lane_is_a_dead_letter_and_is_raised_later(workers: int) -> None:
    found: list[int] = []
    with Engine(workers=workers) as engine:
        stream = engine.stream("s", NUMBERS)

        @engine.trigger("t", stream, ALL).handler(concurrency=1)
        def leave(matches: pa.RecordBatch) -> None:
            if not found:
                found.extend(values(matches))
                sys.exit(3)
            found.extend(values(matches))

        def push_and_flush() -> None:
            stream.push(numbers(1))  # raises it with workers=0, if the thread was quick
            engine.flush()

        with pytest.raises(SystemExit):
            push_and_flush()
        stream.push(numbers(2))
        engine.flush()
        assert found == [1, 2]
        assert engine.dead_letters("t")[0].error == "SystemExit: 3"


# ---------------------------------------------------------------------- what a handler may do


@WORKERS
@pytest.mark.parametrize("kind", ["thread", "task"])
def test_a_lane_may_push_through_full_rings_and_outboxes(workers: int, kind: str) -> None:
    found: list[int] = []
    with Engine(workers=workers, ring_slots=1, gather_rows=1) as engine:
        first, second = engine.stream("a", NUMBERS), engine.stream("b", NUMBERS)
        trigger = engine.trigger("t", first, ALL)
        upon = engine.trigger("u", second, ALL)
        upon.handler(lambda matches: found.extend(values(matches)), concurrency=1, outbox=1)

        def forward(matches: pa.RecordBatch) -> None:
            for n in values(matches):
                second.push({"n": n})
                second.push({"n": n + 1000})

        async def forward_async(matches: pa.RecordBatch) -> None:
            forward(matches)

        trigger.handler(forward if kind == "thread" else forward_async, concurrency=2, outbox=1)
        threads = [
            threading.Thread(target=lambda k=k: [first.push(numbers(k, k + 1)) for _ in range(50)])
            for k in (0, 2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        engine.flush(timeout=60)
        assert Counter(found) == Counter({n + high: 50 for n in range(4) for high in (0, 1000)})


@WORKERS
@pytest.mark.parametrize("kind", ["thread", "task"])
def test_a_lane_may_push_to_itself_beyond_its_outbox(workers: int, kind: str) -> None:
    found: list[int] = []
    with Engine(workers=workers, ring_slots=1, gather_rows=1) as engine:
        stream = engine.stream("s", NUMBERS)

        def divide(matches: pa.RecordBatch) -> None:
            for n in values(matches):
                found.append(n)
                for _ in range(3 if n else 0):
                    stream.push({"n": n - 1})

        async def divide_async(matches: pa.RecordBatch) -> None:
            divide(matches)

        handler: Any = divide if kind == "thread" else divide_async
        engine.trigger("t", stream, ALL).handler(handler, concurrency=1, outbox=1)
        stream.push(numbers(4))
        engine.flush(timeout=60)
    assert Counter(found) == {4: 1, 3: 3, 2: 9, 1: 27, 0: 81}


@WORKERS
@pytest.mark.parametrize("kind", ["thread", "task"])
def test_a_lane_may_close_but_not_wait(workers: int, kind: str) -> None:
    engine = Engine(workers=workers, retries=0)
    stream = engine.stream("s", NUMBERS)
    trigger = engine.trigger("t", stream, ALL)
    ticket = stream.push(numbers(0))
    engine.flush()

    def act(matches: pa.RecordBatch) -> None:
        if 1 in values(matches):
            engine.flush()
        if 2 in values(matches):
            ticket.results()
        engine.close()
        engine.close()

    async def act_async(matches: pa.RecordBatch) -> None:
        act(matches)

    async def act_elsewhere(matches: pa.RecordBatch) -> None:
        await asyncio.to_thread(act, matches)  # its thread is the handler's too

    trigger.handler(act if kind == "thread" else act_async, concurrency=1)
    if kind == "task":
        trigger.handler(act_elsewhere)
    stream.push(numbers(1))
    stream.push(numbers(2))
    until(lambda: len(engine.dead_letters("t")) == (2 if kind == "thread" else 4))
    assert not engine.closed
    stream.push(numbers(3))
    engine.close(timeout=30)
    assert engine.closed
    errors = [letter.error for letter in engine.dead_letters("t")]
    assert all("in a handler would wait for that handler" in error for error in errors)
    assert {error.split("()")[0] for error in errors} == {"TocsinError: flush", "TocsinError: results"}


@WORKERS
def test_handlers_set_triggers_and_handlers_while_events_flow(workers: int) -> None:
    found: list[int] = []
    with Engine(workers=workers, ring_slots=1, gather_rows=1) as engine:
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, ALL)

        @trigger.handler(concurrency=1, outbox=1)
        def grow(matches: pa.RecordBatch) -> None:
            for n in values(matches):
                if n < 20:
                    more = engine.trigger(f"t{n}", stream, tc.col("n") == 100 + n)
                    more.handler(lambda matches: found.extend(values(matches)), concurrency=1)
                    engine.remove("nobody" if n % 2 else f"t{n}") if n % 2 == 0 else None

        for n in range(20):
            stream.push(numbers(n))
        engine.flush(timeout=60)
        stream.push(numbers(*range(100, 120)))
        engine.flush(timeout=60)
    assert sorted(found) == list(range(101, 120, 2))


def test_a_removed_trigger_s_threads_handle_what_there_is_and_end() -> None:
    found: list[int] = []
    gate = threading.Event()
    with Engine(workers=1) as engine:
        stream = engine.stream("s", NUMBERS)
        before = threading.active_count()
        trigger = engine.trigger("t", stream, ALL)

        @trigger.handler(concurrency=2)
        def slow(matches: pa.RecordBatch) -> None:
            gate.wait(20)
            found.extend(values(matches))

        assert threading.active_count() == before + 2
        for i in range(10):
            stream.push(numbers(i))
        engine.remove("t")
        gate.set()
        engine.flush()
        assert sorted(found) == list(range(10))
        until(lambda: threading.active_count() == before)
        with pytest.raises(ClosedError, match="has ended"):
            trigger.handler(slow, concurrency=1)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"concurrency": 0}, ValueError, "concurrency=0 must be a whole number from 1 to 4096"),
        ({"concurrency": True}, ValueError, "concurrency=True"),
        ({"concurrency": 1, "outbox": 0}, ValueError, "outbox=0 must be a whole number of at least 1"),
        ({"outbox": 5}, ValueError, "outbox=5 is for handlers on threads of their own"),
        ({"retries": -1}, ValueError, "retries=-1"),
        ({"backoff": -0.5}, ValueError, "backoff=-0.5 must be seconds"),
        ({"results": 0}, ValueError, "results=0"),
        ({"loop": 3}, TypeError, "loop= is for a coroutine function"),
    ],
)
def test_options_are_checked(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with Engine() as engine:
        trigger = engine.trigger("t", engine.stream("s", NUMBERS), ALL)
        before = threading.active_count()
        with pytest.raises(error, match=message):
            trigger.handler(print, **options)
        with pytest.raises(ValueError, match=r"matches\(limit=0\)"):
            trigger.matches(limit=0)

        async def nothing(matches: Any) -> None: ...

        with pytest.raises(TypeError, match="loop=3 is not an asyncio event loop"):
            trigger.handler(nothing, loop=3)  # type: ignore[call-overload]
        assert threading.active_count() == before
        assert engine._runtime.dispatch.lanes == ()
    with pytest.raises(ValueError, match="dead_letter_limit=0"):
        Engine(dead_letter_limit=0)


# ---------------------------------------------------------------------- bounds


def test_dead_letters_in_memory_have_a_limit(caplog: pytest.LogCaptureFixture) -> None:
    def fail(matches: pa.RecordBatch) -> None:
        raise ValueError("no")

    with Engine(workers=0, retries=0, dead_letter_limit=3) as engine:
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, ALL)
        trigger.handler(fail)
        for i in range(5):
            stream.push(numbers(i))
        assert [values(letter.rows) for letter in engine.dead_letters("t")] == [[2], [3], [4]]
        assert trigger.dead_letters_dropped == 2
    assert "3 dead letters are kept in memory, the oldest was let go (2 so far)" in caplog.text


def test_results_have_a_limit(caplog: pytest.LogCaptureFixture) -> None:
    with Engine(workers=0) as engine:
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, ALL)
        trigger.handler(lambda match: match["n"], per_match=True, results=3)
        stream.push(numbers(*range(5)))
        assert trigger.results() == [2, 3, 4]
        assert trigger.results_dropped == 2
        assert trigger.results() == []
    assert caplog.text.count("has returned more values than are kept") == 1


# ---------------------------------------------------------------------- the end


@WORKERS
@pytest.mark.parametrize("how", ["closed", "dropped"])
def test_threads_and_loops_end_with_the_engine(workers: int, how: str) -> None:
    until(lambda: engines_threads() == [])
    found: list[int] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        engine = Engine(workers=workers)
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, ALL)

        async def handle(matches: pa.RecordBatch) -> None:
            found.extend(values(matches))

        trigger.handler(handle)
        trigger.handler(lambda matches: found.extend(values(matches)), concurrency=3)
        gone = weakref.ref(engine)
        stream.push(numbers(1))
        if how == "closed":
            engine.close()
            assert engines_threads() == []
        del engine, stream, trigger
        gc.collect()
    assert gone() is None
    until(lambda: engines_threads() == [])
    assert found == [1, 1]


@WORKERS
@pytest.mark.parametrize("hangs", [False, True])
def test_the_interpreter_ends_with_live_lanes(workers: int, hangs: bool) -> None:
    from test_engine import run

    begun = time.monotonic()
    ended = run(f"""
        import asyncio, threading, time
        import tocsin as tc
        from tocsin import runtime
        runtime.EXIT_SECONDS = 0.5
        engine = Engine(workers={workers})
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, tc.col("n") >= 0)
        trigger.handler(lambda matches: sys.stdout.write("thread\\n"), concurrency=2)
        async def handle(matches):
            sys.stdout.write("task\\n")
        trigger.handler(handle)
        trigger.handler(lambda matches: {hangs} and time.sleep(1000), concurrency=1)
        stream.push(numbers(1))
        time.sleep(0.2)
    """)
    assert ended.returncode == 0, ended.stderr
    assert sorted(ended.stdout.split()) == ["task", "thread"]
    assert "was not closed" in ended.stderr
    # Who waits for the lanes, and who waits for the engine, give up at the same moment: one of them says it first.
    told = ("not all was matched and handled", "did not end")
    assert any(what in ended.stderr for what in told) == hangs
    assert time.monotonic() - begun < 60
