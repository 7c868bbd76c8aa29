"""The examples run as they stand, in a process of their own, and say what they promise."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SAYS = {
    "quickstart.py": "ann: 3 probes from 09:30:00, charge at 09:30:55",
    "condition.py": "sensor 1: 93.5 °C at load 0.9\nsensor 2: 97.0 °C at load 0.95",
    "live_engine.py": "the store has 10,000 events",
    "money_trail.py": "1 HOP    cat -> dan: 700, 200 kept so far\nminute 75",
}


def test_every_example_is_tested():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SAYS)


@pytest.mark.parametrize("name", sorted(SAYS))
def test_example(name, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert SAYS[name] in done.stdout
    assert list(tmp_path.iterdir()) == []
