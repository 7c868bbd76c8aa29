"""Disks that fill up, fail or forbid, folders of others, and several processes on one store."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pytest

from tocsin.errors import ClosedError, StoreError
from tocsin.storage import Store

SCHEMA = pa.schema([("x", pa.int64())])
REAL = {
    name: getattr(os, name)
    for name in ("write", "writev", "fdatasync", "fsync", "ftruncate", "replace")
    if hasattr(os, name)
}


def values(store: Store) -> list[int]:
    return store.scan("t").read_all().column("x").to_pylist()


def fail_with(code: int):
    def fail(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    return fail


def half_then(code: int):
    """A write that takes half of the first piece, the next one fails: the disk fills up in between."""
    calls = []

    def write(fd: int, pieces: object) -> int:
        calls.append(fd)
        if len(calls) > 1:
            raise OSError(code, os.strerror(code))
        first = pieces[-1] if isinstance(pieces, list) else pieces
        whole = b"".join(pieces) if isinstance(pieces, list) else bytes(first)
        return REAL["write"](fd, whole[: len(whole) // 2])

    return write


def set_writes(monkeypatch, write) -> None:
    for name in ("write", "writev"):
        if name in REAL:
            monkeypatch.setattr(os, name, write or REAL[name])


@pytest.fixture(params=["commit", "interval", "none"])
def store(request, tmp_path):
    with Store(tmp_path / "s", durability=request.param, segment_bytes=3000, interval_ms=1) as store:
        store.create_stream("t", SCHEMA)
        store.append("t", {"x": [0, 1]})
        yield store


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("kind", ["at once", "half way"])
def test_a_failed_write_stores_nothing_and_the_store_works_again(store, tmp_path, monkeypatch, code, kind):
    (segment,) = (tmp_path / "s/streams/t").glob("0*.arrow")
    size = segment.stat().st_size
    for _ in range(3):
        set_writes(monkeypatch, fail_with(code) if kind == "at once" else half_then(code))
        with pytest.raises(
            StoreError, match=rf"nothing of the batch was stored; file .*{segment.name}.*{os.strerror(code)}"
        ):
            store.append("t", {"x": [7]})
        assert segment.stat().st_size == size
        assert values(store) == [0, 1]
    set_writes(monkeypatch, None)
    assert store.append("t", {"x": [2, 3]}) == 2
    assert values(store) == [0, 1, 2, 3]
    store.close()
    with Store(tmp_path / "s") as again:
        assert again.recovered == []
        assert values(again) == [0, 1, 2, 3]


def test_a_short_write_goes_on(store, monkeypatch):
    set_writes(
        monkeypatch,
        lambda fd, pieces: REAL["write"](
            fd, (b"".join(pieces) if isinstance(pieces, list) else bytes(pieces))[:7]
        ),
    )
    store.append("t", {"x": [2]})
    set_writes(monkeypatch, None)
    assert values(store) == [0, 1, 2]


def test_bytes_that_cannot_be_cut_off_stop_appends_until_they_can(store, tmp_path, monkeypatch):
    set_writes(monkeypatch, half_then(errno.ENOSPC))
    monkeypatch.setattr(os, "ftruncate", fail_with(errno.EIO))
    with pytest.raises(StoreError, match="nothing of the batch"):
        store.append("t", {"x": [7]})
    set_writes(monkeypatch, None)
    with pytest.raises(StoreError, match="cannot be cut off"):
        store.append("t", {"x": [7]})
    monkeypatch.setattr(os, "ftruncate", REAL["ftruncate"])
    assert store.append("t", {"x": [2]}) == 2
    assert values(store) == [0, 1, 2]


def append_until_it_fails(store: Store, stored: list[int]) -> None:
    for _ in range(9):  # more than a segment holds
        store.append("t", {"x": list(range(100))})
        stored += range(100)


def test_a_segment_that_cannot_be_started_or_sealed_leaves_the_old_one_in_use(store, tmp_path, monkeypatch):
    while len(list((tmp_path / "s/streams/t").glob("0*.arrow"))) < 2:
        store.append("t", {"x": list(range(100))})
    before = values(store)
    real = REAL["write"]
    monkeypatch.setattr(
        os, "write", lambda fd, piece: fail_with(errno.ENOSPC)() if len(piece) == 8 else real(fd, piece)
    )
    with pytest.raises(StoreError, match="cannot seal segment"):
        append_until_it_fails(store, before)
    monkeypatch.setattr(os, "write", real)
    assert values(store) == before
    monkeypatch.setattr(os, "replace", fail_with(errno.EIO))
    with pytest.raises(StoreError, match="cannot start segment"):
        append_until_it_fails(store, before)
    monkeypatch.setattr(os, "replace", REAL["replace"])
    assert store.append("t", {"x": [5]}) == len(before)
    assert values(store) == [*before, 5]


def sync_fails(monkeypatch, fail: bool) -> None:
    name = "fdatasync" if hasattr(os, "fdatasync") else "fsync"
    monkeypatch.setattr(os, name, fail_with(errno.EIO) if fail else REAL[name])


def test_a_failed_fsync_takes_the_batch_back_with_commit(tmp_path, monkeypatch):
    with Store(tmp_path / "s", durability="commit") as store:
        store.create_stream("t", SCHEMA)
        store.append("t", {"x": [0, 1]})
        sync_fails(monkeypatch, True)
        for _ in range(2):
            with pytest.raises(StoreError, match="cannot sync, the batch was not stored"):
                store.append("t", {"x": [7]})
        assert values(store) == [0, 1]
        sync_fails(monkeypatch, False)
        assert store.append("t", {"x": [2]}) == 2
        assert values(store) == [0, 1, 2]


def test_all_who_wait_for_a_failed_fsync_are_told(tmp_path, monkeypatch):
    name = "fdatasync" if hasattr(os, "fdatasync") else "fsync"
    with Store(tmp_path / "s", durability="commit") as store:
        log = store.create_stream("t", SCHEMA)
        log.append({"x": [-1]})
        entered, go = threading.Event(), threading.Event()

        def slow(fd: int) -> None:
            entered.set()
            go.wait(10)
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(os, name, slow)
        failed: list[int] = []

        def work(i: int) -> None:
            try:
                log.append({"x": [i]})
            except StoreError:
                failed.append(i)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        entered.wait(10)
        while log.next_sequence < 5:  # all have written, one is in fsync, the others wait for it
            time.sleep(0.001)
        assert values(store) == [-1]
        go.set()
        for thread in threads:
            thread.join()
        assert sorted(failed) == [0, 1, 2, 3]
        monkeypatch.setattr(os, name, REAL[name])
        assert log.append({"x": [9]}) == 1
        assert values(store) == [-1, 9]


def test_one_fsync_serves_many_threads(tmp_path, monkeypatch):
    name = "fdatasync" if hasattr(os, "fdatasync") else "fsync"
    calls = []
    everybody_wrote = threading.Event()

    def held_up(fd: int) -> None:
        calls.append(fd)
        assert everybody_wrote.wait(60)

    with Store(tmp_path / "s", durability="commit") as store:
        log = store.create_stream("t", SCHEMA)
        log.append({"x": [0]})
        monkeypatch.setattr(os, name, held_up)
        threads = [threading.Thread(target=log.append, args=({"x": [1]},)) for _ in range(8)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 60
        while log.next_sequence < 9 and time.monotonic() < deadline:
            time.sleep(0.001)
        everybody_wrote.set()
        for thread in threads:
            thread.join()
        assert len(values(store)) == 9
        # The first fsync covers who had written when it began; the second all others.
        assert len(calls) <= 2
        monkeypatch.setattr(os, name, REAL[name])


def append_nothing_until(store: Store, deadline: float) -> None:
    while time.monotonic() < deadline:
        time.sleep(0.005)
        store.append("t", {"x": pa.array([], pa.int64())})


def test_a_failed_background_sync_is_told_by_the_next_call(tmp_path, monkeypatch):
    with Store(tmp_path / "s", durability="interval", interval_ms=1) as store:
        store.create_stream("t", SCHEMA)
        sync_fails(monkeypatch, False)
        store.append("t", {"x": [0]})
        store.sync()
        sync_fails(monkeypatch, True)
        store.append("t", {"x": [1]})
        with pytest.raises(
            StoreError, match="events 1 to 1 were accepted but may not survive a power failure"
        ):
            append_nothing_until(store, time.monotonic() + 10)
        sync_fails(monkeypatch, False)
        assert store.append("t", {"x": [2]}) == 2
        assert values(store) == [0, 1, 2]


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_folder_that_is_read_only_is_named_at_opening(tmp_path, monkeypatch, code):
    with Store(tmp_path / "s") as store:
        store.create_stream("t", SCHEMA)
        store.append("t", {"x": [1]})
    real = os.open

    def refuse(path, flags, *rest, **named):
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(code, os.strerror(code), path)
        return real(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StoreError, match=rf"read_only=True.*{tmp_path.name}.*{os.strerror(code)}"):
        Store(tmp_path / "s")
    with Store(tmp_path / "s", read_only=True) as store:
        assert values(store) == [1]
        with pytest.raises(StoreError, match="read_only"):
            store.append("t", {"x": [1]})
        with pytest.raises(StoreError, match="read_only"):
            store.create_stream("u", SCHEMA)


def test_foreign_folders_are_refused_and_not_touched(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "home").mkdir()
    (tmp_path / "home/letter").write_text("mine")
    for text in (
        "{}",
        "rubbish",
        '{"format": "other", "version": 1}',
        '{"format": "tocsin store", "version": "1"}',
        "[]",
    ):
        folder = tmp_path / f"json {abs(hash(text))}"
        folder.mkdir()
        (folder / "tocsin.json").write_text(text)
        with pytest.raises(StoreError, match="does not say that this is a tocsin store"):
            Store(folder)
        assert [p.name for p in folder.iterdir()] == ["tocsin.json"]
    with pytest.raises(StoreError, match=r"home' is not a tocsin store .it has 'letter'"):
        Store(tmp_path / "home")
    assert [p.name for p in (tmp_path / "home").iterdir()] == ["letter"]
    with pytest.raises(StoreError, match="is a file"):
        Store(tmp_path / "file")
    with pytest.raises(StoreError, match=r"cannot make|is a file|cannot open"):
        Store(tmp_path / "file" / "below")
    with pytest.raises(StoreError, match="no store"):
        Store(tmp_path / "nowhere", read_only=True)
    assert not (tmp_path / "nowhere").exists()


def test_a_newer_version_is_refused_by_name(tmp_path):
    with Store(tmp_path / "s"):
        pass
    manifest = tmp_path / "s/tocsin.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"version": 3}))
    with pytest.raises(StoreError, match="format version 3, this tocsin knows version 2"):
        Store(tmp_path / "s")


@pytest.mark.parametrize("wrong", [{"durability": "always"}, {"interval_ms": 0}, {"segment_bytes": 0}])
def test_wrong_options_are_named(wrong, tmp_path):
    with pytest.raises(StoreError, match=next(iter(wrong))):
        Store(tmp_path / "s", **wrong)
    assert not (tmp_path / "s").exists()


def run(code: str, path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


OPEN = """
import sys
from tocsin.storage import Store
from tocsin.errors import StoreError
try:
    Store(sys.argv[1]).close()
    print("opened")
except StoreError as error:
    print(error)
"""


def test_a_second_process_is_refused_with_the_holders_name(tmp_path):
    with Store(tmp_path / "s"):
        assert f"in use by process {os.getpid()} on " in run(OPEN, tmp_path / "s")
        with pytest.raises(StoreError, match=f"in use by process {os.getpid()}"):
            Store(tmp_path / "s")
    assert run(OPEN, tmp_path / "s") == "opened"
    run(
        f"import os, sys\nfrom tocsin.storage import Store\ns = Store({str(tmp_path / 's')!r})\nos._exit(0)",
        tmp_path,
    )
    assert (tmp_path / "s/LOCK").read_text() != ""  # the dead one's name is still there
    assert run(OPEN, tmp_path / "s") == "opened"


READ = """
import sys
from tocsin.storage import Store
with Store(sys.argv[1], read_only=True) as store:
    print(store.scan("t").read_all().column("x").to_pylist(), store.streams()["t"].next_sequence)
"""


def test_another_process_reads_while_this_one_writes(tmp_path):
    with Store(tmp_path / "s", segment_bytes=1000) as store, Store(tmp_path / "s", read_only=True) as reader:
        store.create_stream("t", SCHEMA)
        expected: list[int] = []
        for i in range(30):
            store.append("t", {"x": [i, i]})
            expected += [i, i]
            assert values(reader) == expected
            assert reader.streams()["t"].rows == len(expected)
            if i % 10 == 7:
                assert run(READ, tmp_path / "s") == f"{expected} {len(expected)}"
        assert (tmp_path / "s/LOCK").read_text() != ""


def test_a_reader_notices_batches_that_were_taken_back(tmp_path, monkeypatch):
    with Store(tmp_path / "s", durability="commit") as store, Store(tmp_path / "s", read_only=True) as reader:
        log = store.create_stream("t", SCHEMA)
        log.append({"x": [0]})
        seen = []

        def look_and_fail(fd: int) -> None:
            seen.append(values(reader))
            raise OSError(errno.EIO, "Input/output error")

        name = "fdatasync" if hasattr(os, "fdatasync") else "fsync"
        monkeypatch.setattr(os, name, look_and_fail)
        with pytest.raises(StoreError):
            log.append({"x": [1, 1]})
        monkeypatch.setattr(os, name, REAL[name])
        assert seen == [[0, 1, 1]]  # a reader of the file may see what is not durable yet
        assert values(reader) == [0]
        log.append({"x": [2]})
        assert values(reader) == [0, 2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_neither_writes_nor_holds_the_lock(tmp_path):
    store = Store(tmp_path / "s")
    store.create_stream("t", SCHEMA)
    store.append("t", {"x": [1]})
    ready, parent = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            store.append("t", {"x": [2]})
        except ClosedError:
            code = 0
        os.close(parent)
        os.read(ready, 1)  # until the parent closes its end
        os._exit(code)
    os.close(ready)
    store.append("t", {"x": [3]})
    store.close()
    assert run(OPEN, tmp_path / "s") == "opened"  # while the child lives
    os.close(parent)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
