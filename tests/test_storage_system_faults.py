"""Faults of single system calls: the program store_faults.py with large steps, and what it found, each by itself."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pytest

from tocsin.errors import StoreError
from tocsin.storage import Store

PROGRAM = Path(__file__).parent / "store_faults.py"
SCHEMA = pa.schema([("x", pa.int64())])
SYNC = "fdatasync" if hasattr(os, "fdatasync") else "fsync"


@pytest.mark.skipif(sys.platform != "linux", reason="faults are preloaded as Linux does it")
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="a sanitizer is preloaded already")
@pytest.mark.parametrize(
    ("cases", "step", "least"),
    [("store, commit*", 23, 80), ("store, none*", 29, 70), ("engine, interval*", 11, 40)],
)
def test_every_nth_system_call_fails_once(cases: str, step: int, least: int, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "--step", str(step), "--cases", cases],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | {"TMPDIR": "/dev/shm" if os.access("/dev/shm", os.W_OK) else str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
    faults = [int(line.split()[-2]) for line in done.stdout.splitlines() if line.endswith(" faults")]
    assert sum(faults) >= least, done.stdout


def values(store: Store) -> list[int]:
    return store.scan("t").read_all().column("x").to_pylist()


def fail_once(monkeypatch, name: str, code: int = errno.EIO, when=lambda *_: True) -> list[int]:
    """The next call of os.`name` (for which `when` is true) fails; the list has the calls that did."""
    real = getattr(os, name)
    failed: list[int] = []

    def call(*arguments, **named):
        if not failed and when(*arguments):
            failed.append(1)
            raise OSError(code, os.strerror(code))
        return real(*arguments, **named)

    monkeypatch.setattr(os, name, call)
    return failed


@pytest.mark.parametrize("left", [[], ["schema.arrow.tmp"]])
def test_a_stream_whose_making_was_cut_short_can_be_made(tmp_path, left):
    Store(tmp_path / "s").close()
    folder = tmp_path / "s/streams/t"
    folder.mkdir(parents=True)
    for name in left:
        (folder / name).write_bytes(b"half of it")
    with Store(tmp_path / "s", read_only=True) as store:
        assert store.damaged() == {}
        assert store.streams() == {}
    with Store(tmp_path / "s") as store:
        assert store.damaged() == {}
        store.create_stream("t", SCHEMA)
        store.append("t", {"x": [1]})
        assert values(store) == [1]
    (folder / "schema.arrow").unlink()
    (folder / "00000000000000000000.arrow").unlink()
    with Store(tmp_path / "s") as store:  # an index is left: there was something
        assert list(store.damaged()) == ["t"]


def test_no_descriptor_left_for_a_segment_to_be_sealed(tmp_path, monkeypatch):
    with Store(tmp_path / "s") as store:
        store.create_stream("t", SCHEMA)
        store.append("t", {"x": list(range(200))})
    with Store(tmp_path / "s", segment_bytes=1000) as store:
        failed = fail_once(monkeypatch, "open", errno.EMFILE)
        with pytest.raises(StoreError, match=r"cannot seal segment.*Too many open files"):
            store.append("t", {"x": [7]})
        assert failed
        assert store.append("t", {"x": [200]}) == 200
        assert values(store) == list(range(201))


@pytest.mark.parametrize("durability", ["commit", "none"])
def test_no_descriptor_left_for_an_fsync(tmp_path, monkeypatch, durability):
    with Store(tmp_path / "s", durability=durability) as store:
        store.create_stream("t", SCHEMA)
        store.append("t", {"x": [0]})
        fail_once(monkeypatch, "dup", errno.EMFILE)
        if durability == "commit":
            with pytest.raises(StoreError, match="the batch was not stored"):
                store.append("t", {"x": [7]})
        else:
            store.append("t", {"x": [1]})
            with pytest.raises(StoreError, match="events 0 to 1 were accepted but may not survive"):
                store.sync()
        expected = [0] if durability == "commit" else [0, 1]
        assert values(store) == expected
        assert store.append("t", {"x": [2]}) == len(expected)
        store.sync()
        assert values(store) == [*expected, 2]


def test_a_close_that_fails_has_closed(tmp_path, monkeypatch):
    real, failing = os.close, []

    def close(fd: int) -> None:
        real(fd)
        failing.append(fd)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    store = Store(tmp_path / "s", segment_bytes=1000)
    store.create_stream("t", SCHEMA)
    store.append("t", {"x": list(range(200))})
    monkeypatch.setattr(os, "close", close)
    store.append("t", {"x": [200]})  # seals
    store.close()
    monkeypatch.setattr(os, "close", real)
    assert failing
    with Store(tmp_path / "s") as store:
        assert store.recovered == []
        assert values(store) == list(range(201))


@pytest.mark.parametrize("name", ["stat", "scandir", "listdir"])
def test_what_cannot_be_looked_at_is_a_store_error(tmp_path, monkeypatch, name):
    with Store(tmp_path / "s", segment_bytes=1000) as store:
        store.create_stream("t", SCHEMA)
        for first in range(3):
            store.append("t", {"x": list(range(first, first + 200))})
        if name == "stat":
            fail_once(monkeypatch, name, when=lambda path, *_: str(path).endswith(".arrow"))
            with pytest.raises(StoreError, match="cannot read"):
                store.trim("t", sequence=200)
            assert store.trim("t", sequence=200).events == 200
    where = str(tmp_path / "s/streams")
    failed = fail_once(monkeypatch, name, when=lambda path, *_: str(path).startswith(where))
    told = None
    try:
        store = Store(tmp_path / "s")
        told = store.damaged().get("t")
        store.close()
    except StoreError as refused:
        told = refused
    assert failed
    assert "Input/output error" in str(told)
    with Store(tmp_path / "s") as store:
        assert values(store)[-1] == 201


def test_the_lock_goes_even_if_its_text_cannot_be_cleared(tmp_path, monkeypatch):
    store = Store(tmp_path / "s")
    failed = fail_once(monkeypatch, "ftruncate")
    store.close()
    assert failed
    Store(tmp_path / "s").close()


def test_bytes_that_could_not_be_cut_off_are_when_the_store_is_closed(tmp_path, monkeypatch):
    with Store(tmp_path / "s", durability="commit") as store:
        store.create_stream("t", SCHEMA)
        store.append("t", {"x": [0]})
        with monkeypatch.context() as patch:
            fail_once(patch, SYNC)
            fail_once(patch, "ftruncate")
            with pytest.raises(
                StoreError, match="cannot be cut off for now, and after a crash it may be there"
            ):
                store.append("t", {"x": [7]})
        assert values(store) == [0]
    with Store(tmp_path / "s") as store:
        assert store.recovered == []
        assert values(store) == [0]


def test_sealing_that_cannot_sync_takes_back_what_others_wait_for(tmp_path, monkeypatch):
    with Store(tmp_path / "s", durability="commit", segment_bytes=2000) as store:
        log = store.create_stream("t", SCHEMA)
        log.append({"x": [0]})
        with (
            monkeypatch.context() as patch
        ):  # one whose batch is written, and who has not come to its fsync yet
            patch.setattr(log, "_sync_to", lambda *_: None)
            log.append({"x": [1]})
        waits_for = (log.next_sequence, 0)
        fail_once(monkeypatch, SYNC)
        with pytest.raises(StoreError, match="cannot sync, the batch was not stored"):
            log.append({"x": [7] * 400})  # must seal first
        with pytest.raises(StoreError, match="cannot sync, the batch was not stored"):
            log._sync_to(*waits_for)
        assert values(store) == [0]
        assert log.append({"x": [2] * 400}) == 1
    with Store(tmp_path / "s") as store:
        assert store.recovered == []
        assert values(store) == [0, *[2] * 400]


def test_sealing_waits_for_an_fsync_that_is_under_way(tmp_path, monkeypatch):
    """Of two that ask for one file at once, the kernel tells only one that a write was lost."""
    real, entered, go = getattr(os, SYNC), threading.Event(), threading.Event()
    inside: list[int] = []
    most: list[int] = []

    def held(fd: int) -> None:
        inside.append(fd)
        most.append(len(inside))
        entered.set()
        assert go.wait(60)
        real(fd)
        inside.pop()

    with Store(tmp_path / "s", durability="commit", segment_bytes=2000) as store:
        log = store.create_stream("t", SCHEMA)
        log.append({"x": [0]})
        monkeypatch.setattr(os, SYNC, held)
        threads = [threading.Thread(target=log.append, args=({"x": [1]},))]
        threads[0].start()
        assert entered.wait(60)
        threads += [
            threading.Thread(target=log.append, args=({"x": [2] * 400},)),
            threading.Thread(target=log.seal),
        ]
        for thread in threads[1:]:
            thread.start()
        time.sleep(0.05)  # time to go wrong
        go.set()
        for thread in threads:
            thread.join()
        monkeypatch.setattr(os, SYNC, real)
        assert max(most) == 1
        assert values(store) == [0, 1, *[2] * 400]


def test_who_was_synced_before_an_fsync_failed_is_not_told_that_he_was_not(tmp_path, monkeypatch):
    """An fsync covers two batches, the next one fails; the first batch's own thread comes to look only then."""
    with Store(tmp_path / "s", durability="commit") as store:
        log = store.create_stream("t", SCHEMA)
        log.append({"x": [0]})
        after, epoch = log.next_sequence, 0  # as that thread remembered when it had written
        fail_once(monkeypatch, SYNC)
        with pytest.raises(StoreError, match="not stored"):
            log.append({"x": [7]})
        log._sync_to(after, epoch)
        with pytest.raises(StoreError, match="not stored"):
            log._sync_to(after + 1, epoch)
        log.append({"x": [1]})
        with pytest.raises(StoreError, match="not stored"):  # the sequence has come again: for others
            log._sync_to(after + 1, epoch)
        assert values(store) == [0, 1]
