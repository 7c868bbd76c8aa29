"""Every row of the benchmarks at smoke size: tocsin's answer and its references' have equal checksums.

Times are not looked at. Rivals whose packages are not installed here are left to `make bench`, which says so.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.data import EVENTS_SMOKE

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "benchmarks").glob("bench_*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_answers_equal_their_references(file: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks",
            "--no-install",
            f"--events={EVENTS_SMOKE}",
            "--benchmark-disable",
            "-p",
            "no:xdist",
            str(file),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
