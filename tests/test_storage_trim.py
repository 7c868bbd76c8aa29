"""Old events leave by age, by sequence or by size, in whole files; what is left stays as it was."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import tocsin as tc

SCHEMA = pa.schema([("ts", pa.timestamp("us")), ("n", pa.int64())])
DAY = 86_400_000_000


def days(first: int, count: int = 10) -> pa.RecordBatch:
    at = range(first, first + count)
    return pa.record_batch(
        {"ts": pa.array([d * DAY for d in at], pa.timestamp("us")), "n": list(at)}, schema=SCHEMA
    )


def filled(path: Path, **options: Any) -> tc.Store:
    store = tc.Store(path, segment_bytes=1, **options)
    store.create_stream("s", SCHEMA, time="ts", lookup=["n"])
    for first in range(0, 100, 10):  # ten files, nine of them sealed
        store.append("s", days(first))
    return store


def left(store: tc.Store) -> list[int]:
    found: list[int] = store.scan("s", sequence_column="q").read_all()["q"].to_pylist()
    return found


@pytest.mark.parametrize(
    ("reasons", "first"),
    [
        ({}, 0),
        ({"before": "1970-01-01"}, 0),
        ({"before": "1970-01-10"}, 0),  # the first file has the 10th
        ({"before": "1970-01-11"}, 10),
        ({"before": "1970-02-05"}, 30),
        ({"before": "2030-01-01"}, 90),
        ({"sequence": 39}, 30),
        ({"sequence": 40}, 40),
        ({"sequence": 10**9}, 90),
        ({"before": "1970-02-05", "sequence": 50}, 50),
        ({"max_bytes": 0}, 90),
        ({"max_bytes": 10**9}, 0),
    ],
)
def test_whole_files_go_as_long_as_a_reason_holds(
    tmp_path: Path, reasons: dict[str, Any], first: int
) -> None:
    with filled(tmp_path / "s") as store:
        gone = store.trim("s", **reasons)
        assert gone.events == first
        assert (gone.bytes > 0) == (first > 0)
        assert left(store) == list(range(first, 100))
        assert store.trim("s", **reasons) == (0, 0)
        assert store.append("s", days(100)) == 100
        assert store.scan("s", keys={"n": [first, 105]}).read_all()["n"].to_pylist() == [first, 105]
    assert len(list((tmp_path / "s" / "streams" / "s").glob("*"))) == 4 * (11 - first // 10) + 1
    with tc.Store(tmp_path / "s") as store:
        assert left(store) == list(range(first, 110))
        assert not store.recovered
        assert store.streams()["s"].next_sequence == 110


def test_by_size_until_it_fits(tmp_path: Path) -> None:
    with filled(tmp_path / "s") as store:
        size = store.streams()["s"].bytes
        store.trim("s", max_bytes=size // 2)
        assert 0 < store.streams()["s"].bytes <= size // 2
        assert left(store) == list(range(left(store)[0], 100))
        assert left(store)[0] in (50, 60)


def test_a_scan_keeps_the_file_it_reads_and_says_when_one_has_gone(tmp_path: Path) -> None:
    with filled(tmp_path / "s") as store:
        reader = store.scan("s")
        first = reader.read_next_batch()
        store.trim("s", sequence=10)  # its file is gone, the others' are not
        rest = reader.read_all()
        assert first["n"].to_pylist() + rest["n"].to_pylist() == list(range(100))
        reader = store.scan("s")
        reader.read_next_batch()
        store.trim("s", sequence=40)
        with pytest.raises(tc.StoreError, match=f"{20:020d}"):
            reader.read_all()


def test_readers_beside_the_writer_see_what_is_left(tmp_path: Path) -> None:
    with filled(tmp_path / "s") as store, tc.Store(tmp_path / "s", read_only=True) as reader:
        assert left(reader) == list(range(100))
        store.trim("s", sequence=50)
        assert left(reader) == list(range(50, 100))
        with pytest.raises(tc.StoreError, match="read_only"):
            reader.trim("s", sequence=60)


def test_a_file_that_cannot_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with filled(tmp_path / "s") as store:
        unlink = os.unlink

        def refuses(path: Any) -> None:
            if f"{20:020d}.arrow" in str(path):
                raise PermissionError(13, "no", str(path))
            unlink(path)

        monkeypatch.setattr(os, "unlink", refuses)
        with pytest.raises(tc.StoreError, match=r"cannot remove.*00020"):
            store.trim("s", sequence=60)
        assert left(store) == list(range(20, 100))
        monkeypatch.undo()
        assert store.trim("s", sequence=60).events == 40
        assert left(store) == list(range(60, 100))


def test_after_a_crash_in_the_middle_the_log_begins_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with filled(tmp_path / "s") as store:
        unlink, done = os.unlink, 0

        def dies(path: Any) -> None:
            nonlocal done
            done += 1
            if done == 6:  # the index of the second file
                raise KeyboardInterrupt
            unlink(path)

        monkeypatch.setattr(os, "unlink", dies)
        with pytest.raises(KeyboardInterrupt):
            store.trim("s", sequence=60)
        monkeypatch.undo()
        assert left(store) == list(range(20, 100))
    with tc.Store(tmp_path / "s") as store:
        assert left(store) == list(range(20, 100))
        assert store.append("s", days(100)) == 100


def test_a_stream_without_time_says_what_to_give(tmp_path: Path) -> None:
    with tc.Store(tmp_path / "s") as store:
        store.create_stream("s", pa.schema([("n", pa.int64())]))
        with pytest.raises(tc.SchemaError, match="max_bytes"):
            store.trim("s", before=5)
