"""The stress program runs, for a moment, with every number of workers; ci/sanitize thread runs it longer."""

from __future__ import annotations

import pytest

import engine_stress
from runtime_support import WORKERS


@pytest.mark.stress
@pytest.mark.parametrize("workers", WORKERS)
def test_an_engine_under_threads_adds_up(workers: int) -> None:
    assert engine_stress.main(["--workers", str(workers), "--seconds", "1"]) == 0
