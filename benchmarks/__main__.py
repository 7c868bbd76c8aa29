"""python -m benchmarks [--events N] [--references-only] [--no-install] [pytest's options]: all rows, ratios.

First the rivals that need packages of their own get a virtual environment in build/benchmarks/rivals; when
that fails (no network), the table says so in their rows and the rest runs.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.loops import BUILD
from benchmarks.race import RIVALS_PYTHON

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "rivals" / "requirements.txt"


def install_rivals() -> None:
    """Make the rivals' environment unless it is there and from the same requirements."""
    stamp = BUILD / "rivals" / "installed.txt"
    if stamp.exists() and stamp.read_text() == REQUIREMENTS.read_text():
        return
    print("installing the rivals into", RIVALS_PYTHON.parent.parent, flush=True)
    venv.create(RIVALS_PYTHON.parent.parent, clear=True, with_pip=True)
    done = subprocess.run([str(RIVALS_PYTHON), "-m", "pip", "install", "-q", "-r", str(REQUIREMENTS)])
    if done.returncode:
        print("some rivals could not be installed; their rows will say so", file=sys.stderr)
    else:
        stamp.write_text(REQUIREMENTS.read_text())


def main(arguments: list[str]) -> int:
    BUILD.mkdir(parents=True, exist_ok=True)
    if "--no-install" in arguments:
        arguments.remove("--no-install")
    else:
        install_rivals()
    results = BUILD / "results.json"
    results.unlink(missing_ok=True)
    chosen = [a for a in arguments if not a.startswith("-") and Path(a.split("::")[0]).exists()]
    paths = [] if chosen else [str(HERE)]
    status = pytest.main(
        [
            *paths,
            "-c",
            str(HERE / "pytest.ini"),
            "--rootdir",
            str(HERE.parent),
            "-q",
            f"--benchmark-json={results}",
            *arguments,
        ]
    )
    if results.exists() and results.stat().st_size:
        print()
        print(report.text(report.read(results)))
    return int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
