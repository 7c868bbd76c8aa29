"""Every way to end with a live engine: the interpreter neither hangs nor crashes, and Ctrl-C leaves nothing half done.

Each case is a program of its own. TOCSIN_EXIT_TIMES=50 runs each so often (once is enough for a change elsewhere).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from runtime_support import WORKERS

TIMES = int(os.environ.get("TOCSIN_EXIT_TIMES", "1"))
HANG_SECONDS = 60.0  # far more than any case needs: on a busy machine, too
POSIX = pytest.mark.skipif(os.name == "nt", reason="signals and fork as POSIX has them")
EVERY = pytest.mark.parametrize("workers", WORKERS)

HEAD = """
import faulthandler, gc, logging, os, signal, sys, threading, time, warnings
faulthandler.dump_traceback_later({hang}, exit=True)
import pyarrow as pa, tocsin as tc
import tocsin.runtime
warnings.simplefilter("ignore")
logging.getLogger("tocsin").setLevel(logging.CRITICAL)
NUMBERS = pa.schema([("n", pa.int64())])
engine = tc.Engine(workers={workers}, ring_slots=2)
stream = engine.stream("s", NUMBERS)
trigger = engine.trigger("t", stream, "n >= 0")

def say(matches):
    print("handled", matches.num_rows, flush=True)

def hang(matches):
    threading.Event().wait()

def background(body):
    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    return thread

def push_for_ever():
    while True:
        stream.push({{"n": list(range(10))}})
"""


def program(workers: int, body: str) -> list[str]:
    return [sys.executable, "-c", HEAD.format(workers=workers, hang=HANG_SECONDS - 5) + textwrap.dedent(body)]


def run(workers: int, body: str, code: int = 0) -> str:
    """What the program prints; it must end with `code`, each of TIMES times."""
    said = ""
    for _ in range(TIMES):
        ended = subprocess.run(
            program(workers, body), capture_output=True, text=True, timeout=HANG_SECONDS, check=False
        )
        assert ended.returncode == code, (ended.returncode, ended.stdout, ended.stderr)
        assert "Fatal" not in ended.stderr
        said = ended.stdout
    return said


# ---------------------------------------------------------------------- the end of the interpreter


@EVERY
def test_what_was_pushed_is_handled(workers: int) -> None:
    said = run(
        workers,
        """
        trigger.handler(lambda matches: time.sleep(0.05))
        trigger.handler(say)
        stream.push({"n": [1, 2]})
        """,
    )
    assert said == "handled 2\n"


@EVERY
def test_a_handler_that_hangs_does_not_hold_the_end_up_for_long(workers: int) -> None:
    run(
        workers,
        """
        tocsin.runtime.EXIT_SECONDS = 0.3
        trigger.handler(hang)
        background(push_for_ever)  # soon waits for room, and holds the stream's lock
        other = tc.Engine(workers=1)
        also = other.stream("s", NUMBERS)
        other.trigger("t", also, "n >= 0").handler(lambda matches: print("the other", flush=True))
        also.push({"n": 1})
        time.sleep(0.2)
        """,
    )


@EVERY
def test_pushes_go_on_in_other_threads(workers: int) -> None:
    run(
        workers,
        """
        trigger.handler(lambda matches: None)
        for _ in range(3):
            background(push_for_ever)
        background(lambda: [engine.flush() for _ in range(10**9)])
        found = trigger.matches()
        background(lambda: list(found))
        time.sleep(0.1)
        """,
    )


@EVERY
def test_events_wait_for_the_watermark_and_the_ring_is_full(workers: int) -> None:
    run(
        workers,
        """
        tocsin.runtime.EXIT_SECONDS = 0.3
        timed = engine.stream("timed", pa.schema([("t", pa.int64())]), time="t", lateness=100)
        engine.trigger("u", timed, "t >= 0")
        trigger.handler(hang)
        timed.push({"t": [5, 3, 4]})
        background(push_for_ever)
        time.sleep(0.1)
        """,
    )


@EVERY
@pytest.mark.parametrize(
    "way", ["cycle", "exit in a thread", "exit in a handler", "dropped", "_exit", "raise"]
)
def test_other_ends(workers: int, way: str) -> None:
    ways = {
        "cycle": (
            0,
            """
            class Box: pass
            box = Box()
            box.engine, box.self, box.stream = engine, box, stream
            trigger.handler(lambda matches, box=box: None)
            del engine, stream, trigger
            box.stream.push({"n": 1})
            del box
            """,
        ),
        "exit in a thread": (
            0,
            "threading.Thread(target=lambda: (stream.push({'n': 1}), sys.exit(3))).start()",
        ),
        "exit in a handler": (
            0,
            """
            trigger.handler(lambda matches: sys.exit(4))
            try:
                stream.push({"n": 1})
            except SystemExit:
                pass
            """,
        ),
        "dropped": (0, "stream.push({'n': 1}); del engine, stream, trigger; gc.collect()"),
        "_exit": (5, "background(push_for_ever); time.sleep(0.05); os._exit(5)"),
        "raise": (1, "background(push_for_ever); time.sleep(0.05); raise ZeroDivisionError"),
    }
    code, body = ways[way]
    run(workers, body, code)


@POSIX
@EVERY
def test_sigterm_ends_the_process(workers: int) -> None:
    run(
        workers,
        """
        trigger.handler(hang)
        background(push_for_ever)
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
        """,
        -signal.SIGTERM,
    )


# ---------------------------------------------------------------------- fork


@POSIX
@EVERY
def test_a_child_is_refused_everything_and_ends(workers: int) -> None:
    said = run(
        workers,
        """
        faulthandler.cancel_dump_traceback_later()  # at its end a child would wait for the thread of that
        timed = engine.stream("timed", pa.schema([("t", pa.int64())]), time="t", lateness=100)
        found = trigger.matches()
        trigger.handler(lambda matches: None)
        background(push_for_ever)  # holds locks now and then
        time.sleep(0.05)
        for _ in range(5):
            child = os.fork()
            if child == 0:
                for use in (lambda: stream.push({"n": 1}), engine.flush, lambda: engine.advance(5), timed.late,
                            lambda: engine.stream("x", NUMBERS), lambda: engine.trigger("x", stream, "n > 0"),
                            lambda: engine.remove("t")):
                    try:
                        use()
                    except tc.ClosedError as refused:
                        assert "before a fork" in str(refused), refused
                    else:
                        os._exit(9)
                for matches in found:
                    pass
                for matches in trigger.matches():
                    pass
                own = tc.Engine(workers=1)
                numbers = own.stream("s", NUMBERS)
                own.trigger("t", numbers, "n > 0")
                numbers.push({"n": [1, 2]})
                own.close()
                assert own.triggers["t"].matched == 2
                engine.close()
                sys.exit(7)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert code == 7, code
        print("parent", flush=True)
        """,
    )
    assert said == "parent\n"


MAIN = """
import multiprocessing, sys
import pyarrow as pa, tocsin as tc

def count(n):
    with tc.Engine(workers=1) as engine:
        stream = engine.stream("s", pa.schema([("n", pa.int64())]))
        trigger = engine.trigger("t", stream, "n >= 5")
        stream.push({"n": list(range(n))})
        engine.flush()
        return trigger.matched

if __name__ == "__main__":
    with tc.Engine(workers=int(sys.argv[2])) as engine:
        stream = engine.stream("s", pa.schema([("n", pa.int64())]))
        engine.trigger("t", stream, "n >= 5")
        stream.push({"n": [1, 7]})
        with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
            assert pool.map(count, [10, 20]) == [5, 15]
        stream.push({"n": [8]})
        engine.flush()
        assert engine.triggers["t"].matched == 2
"""


@POSIX
@EVERY
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(workers: int, method: str, tmp_path) -> None:
    (tmp_path / "main.py").write_text(MAIN)
    command = [sys.executable, "-W", "ignore", str(tmp_path / "main.py"), method, str(workers)]
    for _ in range(TIMES):
        ended = subprocess.run(command, capture_output=True, text=True, timeout=HANG_SECONDS, check=False)
        assert ended.returncode == 0, ended.stderr


# ---------------------------------------------------------------------- Ctrl-C


def interrupted(workers: int, body: str) -> float:
    """Starts the program, waits until it says "waiting", interrupts it; seconds until it says "interrupted"."""
    with subprocess.Popen(
        program(workers, "signal.signal(signal.SIGINT, signal.default_int_handler)\n" + textwrap.dedent(body)),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "waiting\n", process.stderr.read()
        time.sleep(0.1)
        before = time.monotonic()
        process.send_signal(signal.SIGINT)
        said = process.stdout.readline()
        seconds = time.monotonic() - before
        # Not communicate(): what readline() has read ahead would be lost. A program that hangs ends itself (below).
        rest, wrong = process.stdout.read(), process.stderr.read()
        process.wait()
        assert said == "interrupted\n", wrong
        assert rest == "all there\n", wrong
        assert process.returncode == 0, wrong
    return seconds


WAITS = {
    "push": """
        n = 0
        try:
            print("waiting", flush=True)
            while True:
                stream.push({"n": n})
                n += 1
        """,
    "flush": """
        stream.push({"n": 0})
        n = 1
        try:
            print("waiting", flush=True)
            engine.flush()
        """,
    "close": """
        timed = engine.stream("timed", pa.schema([("n", pa.int64())]), time="n", lateness=100)
        late = engine.trigger("held", timed, "n >= 0")
        timed.push({"n": [7, 5, 6]})
        stream.push({"n": 0})
        n = 1
        try:
            print("waiting", flush=True)
            engine.close()
        """,
    "matches": """
        n = 0
        found = trigger.matches()
        try:
            print("waiting", flush=True)
            next(found)
        """,
}


@POSIX
@pytest.mark.parametrize("workers", [n for n in WORKERS if n])
@pytest.mark.parametrize("what", WAITS)
def test_ctrl_c_ends_a_wait_and_leaves_nothing_half_done(workers: int, what: str) -> None:
    seconds = [
        interrupted(
            workers,
            f"""
gate = threading.Event()
handled = []
trigger.handler(lambda matches: (gate.wait(), handled.extend(matches["n"].to_pylist())))
{textwrap.dedent(WAITS[what])}except KeyboardInterrupt:
    print("interrupted", flush=True)
gate.set()
engine.close(timeout=30)
assert handled == list(range(n)), (handled, n)
assert {what!r} != "close" or late.matched == 3, late.matched
print("all there", flush=True)
""",
        )
        for _ in range(TIMES)
    ]
    if os.environ.get("TOCSIN_EXIT_TIMES"):
        print(f"{what}: seconds until Ctrl-C has its way: at most {max(seconds):.3f}")


@POSIX
@EVERY
def test_a_storm_of_interrupts_loses_no_slot(workers: int) -> None:
    """An interrupt every 0.3 ms, wherever it falls: the engine goes on, and what a push accepted is there once."""
    said = run(
        workers,
        """
        def interrupt(*_):
            raise KeyboardInterrupt

        signal.signal(signal.SIGALRM, interrupt)
        handled, accepted, n, hits = [], [], 0, 0
        trigger.handler(lambda matches: handled.extend(matches["n"].to_pylist()))
        timed = engine.stream("timed", pa.schema([("n", pa.int64())]), time="n", lateness=2)
        engine.trigger("held", timed, "n >= 0")
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0003)
                while True:
                    n += 1
                    stream.push({"n": n})
                    accepted.append(n)
                    timed.push({"n": n})
                    if n % 7 == 0:
                        engine.advance(n - 3)
            except KeyboardInterrupt:
                hits += 1
            finally:
                while True:
                    try:
                        signal.setitimer(signal.ITIMER_REAL, 0)
                        break
                    except KeyboardInterrupt:
                        pass
        engine.flush(timeout=30)
        engine.close(timeout=30)
        assert hits > 20, hits
        if engine._runtime.workers:  # inline, handlers run on the thread that is interrupted
            assert not set(accepted) - set(handled)
            assert len(handled) == len(set(handled))
        print("well", flush=True)
        """,
    )
    assert said == "well\n"
