"""Bits flipped anywhere in a store are told or cost nothing (flips.py; here some hundred of them)."""

from __future__ import annotations

import os
import shutil

import pytest

import flips
import store_work
import tocsin as tc

pytestmark = pytest.mark.skipif(os.name == "nt", reason="follows processes as POSIX lets it")


def test_flipped_bits_are_told_or_cost_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    code = flips.main(["240", "--seed", "7", "--jobs", "2"])
    said = capsys.readouterr().out
    assert code == 0, said
    assert "240 flips of seed 7, 0 faults" in said
    assert "told" in said


@pytest.fixture
def judge(tmp_path):
    store_work.make_store(tmp_path / "whole")
    return flips.Judge(tmp_path / "whole", tmp_path)


def test_the_judge_sees_a_wrong_row_and_a_silent_loss(judge):
    found = judge.read(fresh=True, read_only=True)
    assert store_work.compare(found, judge.before) == "same"
    rows = found.tables["streams/notes/all"]
    found.tables["streams/notes/all"] = rows.slice(1)
    with pytest.raises(AssertionError, match="nothing was said"):
        store_work.compare(found, judge.before)
    found.told.append("damage")
    assert store_work.compare(found, judge.before) == "less"
    found.tables["streams/notes/all"] = rows.set_column(0, "n", rows["n"].take([*range(1, 500), 0]))
    with pytest.raises(AssertionError, match="not what was stored"):
        store_work.compare(found, judge.before)
    found.tables["streams/notes/all"] = rows.take([1, 0])
    with pytest.raises(AssertionError, match="out of order"):
        store_work.compare(found, judge.before)


def test_a_log_that_is_gone_or_foreign_is_seen(judge):
    judge.renew()
    shutil.rmtree(judge.copy / "matches" / "climb")
    with pytest.raises(AssertionError, match="nothing was said"):
        judge.judge(0)
    judge.renew()
    with tc.Store(judge.copy) as store:
        store.create_stream("more", store_work.NOTES)
    with pytest.raises(AssertionError, match="nobody made"):
        judge.judge(0)


def test_a_process_that_dies_or_hangs_is_told(tmp_path, monkeypatch):
    program = tmp_path / "dies.py"
    program.write_text(
        "import json, os, sys, time\n"
        "first, stop, step = map(int, sys.argv[4:])\n"
        "print(json.dumps({'begun': first, 'file': 'LOCK', 'what': 'a bit'}), flush=True)\n"
        "os.abort() if first == 0 else time.sleep(60) if first == 1 else None\n"
        "print(json.dumps({'done': first, 'verdict': 'harmless'}), flush=True)\n"
    )
    monkeypatch.setattr(flips, "__file__", str(program))
    monkeypatch.setattr(flips, "HANG_SECONDS", 1)
    tally = flips.Tally()
    flips.follow(tmp_path, 0, 0, 3, 1, tally)
    assert len(tally.faults) == 2
    assert "ended with" in tally.faults[0]
    assert "hangs" in tally.faults[1]
    assert tally.verdicts["LOCK", "harmless"] == 1
