"""Compressed bodies, and segments that end after some time."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import tocsin as tc

SCHEMA = pa.schema(
    [
        ("ts", pa.int64()),
        ("word", pa.dictionary(pa.int32(), pa.string())),
        ("text", pa.string()),
        ("x", pa.float64()),
    ]
)


def events(first: int, n: int) -> pa.RecordBatch:
    at = np.arange(first, first + n)
    texts = pa.array([f"text {i % 7}" if i % 5 else None for i in at])
    return pa.record_batch(
        {"ts": at, "word": texts.dictionary_encode(), "text": texts, "x": at * 0.5}, schema=SCHEMA
    )


def segments(path: Path) -> list[Path]:
    return sorted((path / "streams" / "s").glob("0*.arrow"))


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
@pytest.mark.parametrize("seal", [False, True])
def test_compressed_batches_are_read_as_they_were(tmp_path: Path, compression: Any, seal: bool) -> None:
    sizes = {}
    for kind in (None, compression):
        path = tmp_path / str(kind)
        with tc.Store(path, compression=kind) as store:
            store.create_stream("s", SCHEMA, time="ts")
            for first in range(0, 30_000, 3000):
                store.append("s", events(first, 3000))
            if seal:
                store.seal("s")
            part = store.scan("s", start=2990, stop=6010).read_all()
            assert part.to_pylist() == events(2990, 3020).to_pylist()
        sizes[kind] = sum(file.stat().st_size for file in segments(path))
    assert sizes[compression] < 0.6 * sizes[None]
    (file,) = segments(tmp_path / compression)
    if seal:  # any Arrow reader opens it
        with pa.ipc.open_stream(file) as reader:
            assert reader.read_all().to_pylist() == events(0, 30_000).to_pylist()
    with tc.Store(tmp_path / compression) as store:  # without being told
        assert store.scan("s", where=pc.field("ts") == 12_345).read_all().num_rows == 1
        assert store.append("s", events(30_000, 10)) == 30_000
        assert store.scan("s").read_all().to_pylist() == events(0, 30_010).to_pylist()


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_a_damaged_compressed_batch_is_reported_and_costs_itself_only(
    tmp_path: Path, compression: Any
) -> None:
    with tc.Store(tmp_path / "s.store", compression=compression) as store:
        store.create_stream("s", SCHEMA, time="ts")
        for first in range(0, 5000, 1000):
            store.append("s", events(first, 1000))
        store.seal("s")
    (file,) = segments(tmp_path / "s.store")
    whole = file.read_bytes()
    r = random.Random(1)
    for _ in range(60):
        at = r.randrange(len(whole))
        file.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << r.randrange(8))]) + whole[at + 1 :])
        with tc.Store(tmp_path / "s.store", read_only=True) as store:
            found: list[dict[str, Any]] = []
            try:
                for batch in store.scan("s"):
                    found += batch.to_pylist()
            except tc.StoreError:
                pass
            else:
                assert len(found) == 5000
            assert found == events(0, len(found)).to_pylist()


def test_a_segment_ends_after_some_time(tmp_path: Path) -> None:
    path = tmp_path / "s.store"
    with tc.Store(path, segment_seconds=0.05) as store:
        store.create_stream("s", SCHEMA, time="ts")
        store.append("s", events(0, 10))
        store.append("s", events(10, 10))
        assert len(segments(path)) == 1
        time.sleep(0.06)
        store.append("s", events(20, 10))
        assert [file.stem for file in segments(path)] == [f"{0:020d}", f"{20:020d}"]
    old = time.time() - 3600
    os.utime(segments(path)[-1], (old, old))
    with tc.Store(path, segment_seconds=600) as store:  # as old as its last write
        store.append("s", events(30, 10))
        store.append("s", events(40, 10))
        assert len(segments(path)) == 3
        assert store.scan("s").read_all().to_pylist() == events(0, 50).to_pylist()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"compression": "gzip"}, "gzip"),
        ({"segment_seconds": 0}, "segment_seconds=0"),
        ({"segment_seconds": -1.5}, "positive"),
    ],
)
def test_wrong_options_are_named_and_nothing_is_made(
    tmp_path: Path, wrong: dict[str, Any], says: str
) -> None:
    with pytest.raises(tc.StoreError, match=says):
        tc.Store(tmp_path / "s.store", **wrong)
    assert not (tmp_path / "s.store").exists()
