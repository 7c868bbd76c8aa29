"""Options of the benchmarks and the `race` fixture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from benchmarks.data import EVENTS_DEFAULT
from benchmarks.loops import BUILD
from benchmarks.race import Race


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tocsin benchmarks")
    group.addoption("--events", type=int, default=EVENTS_DEFAULT, help="events per row of the table")
    group.addoption("--references-only", action="store_true", help="measure the references without tocsin")


@pytest.fixture
def race(benchmark: Any, request: pytest.FixtureRequest) -> Iterator[Race]:
    """Runs one row of the table; its files go to a folder on the disk of the build (not a RAM disk)."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=BUILD) as work:
        yield Race(
            benchmark,
            request.config.getoption("--events"),
            request.config.getoption("--references-only"),
            Path(work),
        )
