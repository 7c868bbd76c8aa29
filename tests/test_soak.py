"""The soak runs, for some seconds: its own check of every match holds, and memory stays where it is (`make soak`)."""

from __future__ import annotations

import pytest

import soak
from runtime_support import WORKERS


@pytest.mark.stress
@pytest.mark.parametrize("workers", WORKERS)
def test_a_short_soak(workers: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert soak.main(["--minutes", "0.05", "--pushers", "2", "--workers", str(workers)]) == 0
    said = capsys.readouterr().out
    assert "all is well" in said
    assert " 0 events" not in said


def test_what_is_lost_or_doubled_is_told() -> None:
    expected = soak.Expected()
    expected.must_come("pairs", [(1, 2, 3), (1, 4, 5)])
    expected.came("pairs", [(1, 4, 5), (1, 4, 5)])
    assert expected.open["pairs"] == {(1, 2, 3): 1, (1, 4, 5): -1}
