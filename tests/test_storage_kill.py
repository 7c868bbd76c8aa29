"""An engine with a store, killed at random moments (store_kill.py; here some runs), and that the check can fail."""

from __future__ import annotations

import random
import signal

import pyarrow as pa
import pytest

import store_kill
import tocsin as tc

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals as POSIX has them")


def test_what_was_accepted_survives_kill_9(capsys: pytest.CaptureFixture[str]) -> None:
    code = store_kill.main(["20", "--seed", "3", "--jobs", "2"])
    said = capsys.readouterr().out
    assert code == 0, said
    assert "20 killed" in said


@pytest.fixture
def ended(tmp_path):
    """A store after one run that ended, and what the run said."""
    said = store_kill.run(tmp_path / "s", random.Random(1), kill=False)
    assert said.ended
    assert "again" in {name for name, _, _ in said.handled}
    return tmp_path / "s", said


def append_again(path, name: str) -> None:
    """The last row of a match log once more."""
    with tc.Store(path) as store:
        log = store.matches.log(name)
        log.append(store.matches.scan(name).read_all().slice(log.next_sequence - 1))


def rewrite(path, folder: str, name: str, change) -> None:
    """A log made anew with other rows."""
    with tc.Store(path) as store:
        logs = store if folder == "streams" else store.matches
        table, info = logs.scan(name).read_all(), logs.streams()[name]
    for file in (path / folder / name).iterdir():
        file.unlink()
    (path / folder / name).rmdir()
    with tc.Store(path) as store:
        logs = store if folder == "streams" else store.matches
        logs.create_stream(name, info.schema, info.time).append(change(table))


def test_the_check_takes_what_is_right(ended):
    path, said = ended
    store_kill.check(path, said, store_kill.State())


@pytest.mark.parametrize("trigger", list(store_kill.TRIGGERS))
def test_the_check_sees_a_match_that_came_twice(ended, trigger):
    path, said = ended
    append_again(path, trigger)
    with pytest.raises(AssertionError, match=f"{trigger}: .* matches in the log"):
        store_kill.check(path, said, store_kill.State())


@pytest.mark.parametrize("trigger", list(store_kill.TRIGGERS))
def test_the_check_sees_a_match_that_is_gone(ended, trigger):
    path, said = ended
    rewrite(path, "matches", trigger, lambda table: table.slice(1))
    with pytest.raises(AssertionError, match=f"{trigger}: match 0"):
        store_kill.check(path, said, store_kill.State())
    rewrite(path, "matches", trigger, lambda table: table.slice(0, 0))
    with pytest.raises(AssertionError, match=f"{trigger}: 0 matches in the log, .* had been found"):
        store_kill.check(path, said, store_kill.State())


def test_the_check_sees_a_match_that_no_handler_got(ended):
    path, said = ended
    (last,) = {number + count for name, number, count in said.handled if name == "high"} - {
        number for name, number, _ in said.handled if name == "high"
    }
    said.handled = [one for one in said.handled if one[0] != "high" or one[1] + one[2] != last]
    with pytest.raises(AssertionError, match="high: no handler got"):
        store_kill.check(path, said, store_kill.State())


def test_the_check_sees_events_that_are_gone_or_out_of_order(ended):
    path, said = ended
    rewrite(path, "streams", "ticks", lambda table: table.slice(0, len(table) - 1))
    with pytest.raises(AssertionError, match="ticks: acknowledged events"):
        store_kill.check(path, said, store_kill.State())
    rewrite(path, "streams", "ticks", lambda table: pa.concat_tables([table.slice(1, 1), table]))
    with pytest.raises(AssertionError, match="lost, twice or out of order"):
        store_kill.check(path, said, store_kill.State())
