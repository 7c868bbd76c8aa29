"""The ring, and the workers' jobs: C++ stress programs, plainly and under ThreadSanitizer; the ring's Python face."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tocsin_core.ring import Ring

ROOT = Path(__file__).resolve().parents[1]
RINGS = ["1 1 8", "3 2 4", "2 3 1", "1 2 64"]  # producers, readers, capacity
SHAPES = {
    "ring": RINGS,
    "gather": RINGS,
    "relay": ["1 1", "3 2", "2 8", "1 64"],  # producers, capacity
    "jobs": ["2 2", "2 64", "3 2", "8 64"],  # workers, room
}


@pytest.fixture(
    scope="session",
    params=[(name, sanitizer) for name in SHAPES for sanitizer in ("", "thread")],
    ids=[f"{name}-{build}" for name in SHAPES for build in ("plain", "tsan")],
)
def stress(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The name of a stress program, and where it is."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    name, sanitizer = request.param
    program = tmp_path_factory.mktemp(name) / "stress"
    flags = [f"-fsanitize={sanitizer}"] if sanitizer else []
    built = subprocess.run(
        [compiler, "-std=c++17", "-O2", "-g", "-Wall", "-Wextra", "-Werror", *flags, f"-I{ROOT / 'engine_core'}",
         str(ROOT / f"tests/core/{name}_stress.cpp"), "-o", str(program), "-pthread"],
        capture_output=True, text=True,
    )  # fmt: skip
    if built.returncode and sanitizer and "cannot find" in built.stderr:
        pytest.skip("the compiler has no ThreadSanitizer")
    assert built.returncode == 0, built.stderr
    return name, program


@pytest.mark.parametrize("number", range(4))
def test_no_forbidden_outcome_under_stress(stress: tuple[str, Path], number: int) -> None:
    name, program = stress
    shape = SHAPES[name][number]
    # What `make sanitize` loads into Python is not for a program with a sanitizer of its own.
    clean = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    run = subprocess.run(
        [str(program), *shape.split(), "600"], capture_output=True, text=True, timeout=120, env=clean
    )
    if "unexpected memory mapping" in run.stderr:
        pytest.skip("ThreadSanitizer does not run on this kernel")
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("ok rounds=")


def test_capacity_is_rounded_up_to_a_power_of_two() -> None:
    assert Ring(1).capacity == 1
    assert Ring(1000).capacity == 1024
    with pytest.raises(ValueError, match=r"ring_slots=0.*between 1 and 16777216"):
        Ring(0)
    with pytest.raises(ValueError, match="ring_slots=100000000"):
        Ring(100_000_000)


def test_options_of_a_ring_are_checked() -> None:
    with pytest.raises(ValueError, match='wait=\'sleep\': "block", "yield" or "spin"'):
        Ring(4, wait="sleep")
    with pytest.raises(ValueError, match="many producers"):
        Ring(4, drops=True, many_producers=False)


def test_full_ring_refuses_until_the_slowest_reader_has_passed() -> None:
    ring = Ring(2)
    fast, slow = ring.join(), ring.join()
    assert ring.claim(2) == 0
    ring.publish(0)
    ring.publish(1)
    assert ring.claim(1) is None
    assert ring.wait(fast) == 2
    ring.advance(fast, 2)
    assert ring.claim(1) is None  # gated by the other one
    ring.advance(slow, 1)
    assert ring.claim(1) == 2
    assert ring.claim(1) is None
    assert ring.depth == 2


def test_claim_of_more_slots_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match=r"3 slots.*2"):
        Ring(2).claim(3)


def test_published_slots_are_seen_in_order_of_the_claims() -> None:
    ring = Ring(8)
    reader = ring.join()
    first, second = ring.claim(1), ring.claim(1)
    ring.publish(second)
    assert ring.wait(reader) == 0  # the first is not there yet
    ring.publish(first)
    assert ring.wait(reader) == 2


WAITS = pytest.mark.parametrize("wait", ["block", "yield", "spin"])


@WAITS
def test_timed_wait_and_claim_end_in_time(wait: str) -> None:
    ring = Ring(1, wait=wait)
    reader = ring.join()
    started = time.monotonic()
    assert ring.wait(reader, timeout=0.05) == 0
    ring.publish(ring.claim(1))
    assert ring.claim(1, timeout=0.05) is None
    assert 0.09 < time.monotonic() - started < 2


@WAITS
def test_close_ends_waiting_on_both_sides(wait: str) -> None:
    empty, full = Ring(1, wait=wait), Ring(1, wait=wait)
    reader = empty.join()
    full.join()
    full.publish(full.claim(1))
    outcome: list[object] = []
    threads = [
        threading.Thread(target=lambda: outcome.append(empty.wait(reader, timeout=30))),
        threading.Thread(target=lambda: outcome.append(full.claim(1, timeout=30))),
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    empty.close()
    full.close()
    for thread in threads:
        thread.join(10)
    assert outcome == [-1, -1]


def test_after_close_the_published_is_still_read() -> None:
    ring = Ring(4)
    reader = ring.join()
    ring.publish(ring.claim(1))
    ring.close()
    assert ring.claim(1) == -1
    assert ring.wait(reader) == 1
    ring.advance(reader, 1)
    assert ring.wait(reader) == -1
    assert ring.closed


def test_sleeping_uses_no_processor() -> None:
    ring = Ring(4)
    reader = ring.join()
    used = time.process_time()
    assert ring.wait(reader, timeout=0.5) == 0
    assert time.process_time() - used < 0.1
