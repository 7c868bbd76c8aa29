"""Hypothesis profiles: `ci` (small, the default) and `deep`, chosen by HYPOTHESIS_PROFILE. A PostgreSQL server."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from postgres_server import Server, programs

QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
settings.register_profile("ci", max_examples=100, deadline=None, suppress_health_check=QUIET)
settings.register_profile("deep", max_examples=10_000, deadline=None, suppress_health_check=QUIET)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """Programs that some tests call (store_work.py) silence the log; the next test may look into it."""
    level = logging.getLogger("tocsin").level
    yield
    logging.getLogger("tocsin").setLevel(level)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server of this session's own."""
    if programs() is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql (ci/env.py does, where it may)")
    # What a killed process leaves is in the system's cache: the tests cut no power.
    server = Server(fsync="off")
    yield server
    server.close()
