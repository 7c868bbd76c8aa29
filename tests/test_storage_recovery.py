"""What a crash, a torn write or a flipped bit does to a store: cut, told or found, and never a wrong row."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

from tocsin.errors import StoreError, TocsinError
from tocsin.storage import Store
from tocsin.storage.checksum import WORDS_PER_ROW, body_checksum
from tocsin.storage.index import index_path
from tocsin.storage.segment import SegmentReader

SCHEMA = pa.schema(
    [("ts", pa.int64()), ("text", pa.string()), ("kind", pa.dictionary(pa.int8(), pa.string()))]
)
PLAIN = pa.schema([("ts", pa.int64()), ("text", pa.string())])


@pytest.fixture
def no_fsync(monkeypatch):
    """Hundreds of stores are opened, none of them has to survive a power failure."""
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda fd: None, raising=False)


def batch(first: int, count: int, schema: pa.Schema = SCHEMA) -> pa.RecordBatch:
    columns = {
        "ts": pa.array(range(first, first + count)),
        "text": pa.array([f"event {i}" for i in range(first, first + count)]),
        "kind": pa.array([f"k{i % 3}" for i in range(first, first + count)])
        .dictionary_encode()
        .cast(SCHEMA.field("kind").type),
    }
    return pa.record_batch([columns[name] for name in schema.names], schema=schema)


def fill(path: Path, batches: int, rows: int = 10, schema: pa.Schema = SCHEMA, **options: object) -> None:
    with Store(path, **options) as store:
        store.create_stream("t", schema, time="ts")
        for i in range(batches):
            store.append("t", batch(i * rows, rows, schema))


def segments(path: Path) -> list[Path]:
    return sorted((path / "streams/t").glob("0*.arrow"))


def collect(reader: pa.RecordBatchReader, into: list[int]) -> None:
    for part in reader:
        into += part.column("ts").to_pylist()


def times(store: Store, **question: object) -> list[int]:
    return store.scan("t", **question).read_all().column("ts").to_pylist()


@pytest.mark.parametrize("schema", [SCHEMA, PLAIN], ids=["with dictionary", "plain"])
def test_a_tail_torn_at_any_byte_is_cut_and_reported(schema, tmp_path, no_fsync):
    fill(tmp_path / "s", 3, 4, schema)
    (segment,) = segments(tmp_path / "s")
    index_path(segment).unlink()  # as if the process had died
    whole = segment.read_bytes()
    with Store(tmp_path / "s", read_only=True) as store:
        last = int(store.log("t").snapshot()[0].rows[-1, 0])
    for size in range(last, len(whole)):
        segment.write_bytes(whole[:size])
        with Store(tmp_path / "s") as store:
            assert sum(cut.bytes for cut in store.recovered) == size - last
            assert {cut.rows for cut in store.recovered} <= {0, 4}
            assert times(store) == list(range(8))
            assert store.append("t", batch(8, 4, schema)) == 8
            assert times(store) == list(range(12))
        index_path(segment).unlink()


def test_a_torn_first_segment_keeps_the_next_sequence(tmp_path):
    fill(tmp_path / "s", 6, segment_bytes=1)
    last = segments(tmp_path / "s")[-1]
    index_path(last).unlink()
    for size in (0, 5, 300):
        last.write_bytes(last.read_bytes()[:size])
        for other in segments(tmp_path / "s")[:-1]:
            other.unlink()
        with Store(tmp_path / "s") as store:
            assert times(store) == []
            assert store.streams()["t"].next_sequence == 50
    with Store(tmp_path / "s") as store:
        assert store.append("t", batch(50, 10)) == 50
    with Store(tmp_path / "s") as store:
        assert times(store) == list(range(50, 60))
        assert store.recovered == []


def test_pages_that_were_never_written_are_a_torn_tail(tmp_path):
    fill(tmp_path / "s", 5, 200)
    (segment,) = segments(tmp_path / "s")
    index_path(segment).unlink()
    raw = bytearray(segment.read_bytes())
    raw[-3000:-100] = bytes(2900)  # the length is there, the content is not
    segment.write_bytes(raw)
    with Store(tmp_path / "s") as store:
        assert [cut.rows for cut in store.recovered] == [200]
        assert times(store) == list(range(800))


def test_damage_in_the_middle_is_reported_with_its_place_and_the_rest_is_readable(tmp_path):
    fill(tmp_path / "s", 12, segment_bytes=3000)
    with Store(tmp_path / "s", read_only=True) as store:
        views = store.log("t").snapshot()
    assert len(views) > 2
    for keep_index in (True, False):
        for view in (views[0], views[1]):
            for row in (0, 1):
                for where in ("head", "body"):
                    shutil.copytree(tmp_path / "s", tmp_path / "d")
                    segment = tmp_path / "d/streams/t" / view.path.name
                    raw = bytearray(segment.read_bytes())
                    offset, length, first, rows, *_ = view.rows[row].tolist()
                    raw[offset + 20 if where == "head" else offset + length - 20] ^= 4
                    segment.write_bytes(raw)
                    if not keep_index:
                        index_path(segment).unlink()
                    for read_only in (True, False):
                        with Store(tmp_path / "d", read_only=read_only) as store:
                            got = []
                            with pytest.raises(
                                StoreError,
                                match=rf"events {first} to {first + rows - 1} are .*{view.path.name}",
                            ):
                                collect(store.scan("t"), got)
                            assert got == list(range(first))  # all before it came
                            assert times(store, sequence=(first + rows, None)) == list(
                                range(first + rows, 120)
                            )
                            if keep_index:
                                assert times(store, start=first + rows) == list(range(first + rows, 120))
                    shutil.rmtree(tmp_path / "d")


def test_a_missing_segment_is_reported(tmp_path):
    fill(tmp_path / "s", 12, segment_bytes=3000)
    files = segments(tmp_path / "s")
    files[1].unlink()
    first, after = int(files[1].stem), int(files[2].stem)
    with Store(tmp_path / "s") as store:
        with pytest.raises(StoreError, match=f"events {first} to {after - 1} are lost"):
            times(store)
        assert times(store, sequence=(0, first)) == list(range(first))
        assert times(store, sequence=(after, None)) == list(range(after, 120))


def test_a_file_that_lost_acknowledged_bytes_is_not_written_behind_the_hole(tmp_path):
    fill(tmp_path / "s", 4)
    (segment,) = segments(tmp_path / "s")
    os.truncate(segment, segment.stat().st_size - 30)
    with Store(tmp_path / "s") as store:
        assert "missing at the end" in store.recovered[0].what
        assert store.append("t", batch(40, 10)) == 40
        with pytest.raises(StoreError, match="events 30 to 39 are damaged"):
            times(store)
        assert times(store, sequence=(40, None)) == list(range(40, 50))


def test_a_flipped_bit_anywhere_is_found_or_harmless(tmp_path, no_fsync):
    rng = random.Random(20240131)
    fill(tmp_path / "s", 14, 30, segment_bytes=6000)
    files = sorted(p for p in (tmp_path / "s").rglob("*") if p.is_file() and p.name != "LOCK")
    assert {p.suffix for p in files} == {".arrow", ".index", ".json"}
    expected = list(range(420))
    found = harmless = 0
    for _ in range(400):
        victim = rng.choice(files)
        whole = victim.read_bytes()
        raw = bytearray(whole)
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        kept = {p: p.read_bytes() for p in files}
        victim.write_bytes(raw)
        got: list[dict] = []
        told = False
        try:
            with Store(tmp_path / "s", read_only=rng.random() < 0.3) as store:
                told = bool(store.recovered)
                for part in store.scan("t"):
                    got += part.to_pylist()
        except TocsinError:
            told = True
        rows = [row["ts"] for row in got]
        assert rows == expected[: len(rows)]
        assert all(row["text"] == f"event {row['ts']}" and row["kind"] == f"k{row['ts'] % 3}" for row in got)
        assert told or rows == expected, victim
        found, harmless = found + told, harmless + (not told)
        for path in (tmp_path / "s").rglob("*"):
            if path.is_file() and path not in kept:
                path.unlink()
        for path, content in kept.items():
            path.write_bytes(content)
    assert found > 200


def test_the_schema_is_restored_from_a_segment_or_the_stream_is_named(tmp_path):
    fill(tmp_path / "s", 3)
    schema_file = tmp_path / "s/streams/t/schema.arrow"
    schema_file.write_bytes(b"rubbish")
    with Store(tmp_path / "s", read_only=True) as store:
        assert len(times(store)) == 30
    with Store(tmp_path / "s") as store:
        assert [r.what for r in store.recovered] == ["the schema was restored from a segment"]
        store.create_stream("other", PLAIN)
        assert store.streams()["t"].schema.equals(SCHEMA)
    schema_file.unlink()
    (segment,) = segments(tmp_path / "s")
    raw = segment.read_bytes()
    segment.write_bytes(raw[:50] + b"!" + raw[51:])
    with Store(tmp_path / "s") as store:
        assert list(store.streams()) == ["other"]
        assert list(store.damaged()) == ["t"]
        for call in (lambda: store.scan("t"), lambda: store.create_stream("t", SCHEMA, "ts")):
            with pytest.raises(StoreError, match="missing or damaged"):
                call()
    assert segment.read_bytes()[50:51] == b"!"


def test_the_checksum_sees_small_changes_and_moved_pages():
    rng = random.Random(3)
    body = bytearray(rng.randbytes(8 * WORDS_PER_ROW * 9 + 8 * 77 + 5))
    right = body_checksum(memoryview(body))
    for _ in range(300):
        changed = bytearray(body)
        for _ in range(rng.randint(1, 3)):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        assert changed == body or body_checksum(memoryview(changed)) != right
    swapped = body[4096:8192] + body[:4096] + body[8192:]
    assert body_checksum(memoryview(swapped)) != right
    assert body_checksum(memoryview(bytes(len(body)))) != body_checksum(memoryview(bytes(len(body) + 8)))


WRITER = """
import sys, threading
import pyarrow as pa
from tocsin.storage import Store
store = Store(sys.argv[1], durability="commit", segment_bytes=20000)
log = store.create_stream("t", pa.schema([("thread", pa.int64()), ("n", pa.int64())]))
start = log.next_sequence
def work(thread):
    n = 0
    while True:
        first = log.append({"thread": [thread] * 20, "n": [n] * 20})
        sys.stdout.write(f"{first} {thread} {n}\\n"); sys.stdout.flush()
        n += 1
for i in range(3):
    threading.Thread(target=work, args=(i,)).start()
"""


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path):
    rng = random.Random(5)
    acknowledged: dict[int, tuple[int, int]] = {}
    for _ in range(12):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "s")], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        lines = [process.stdout.readline()]  # it is up
        time.sleep(rng.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().splitlines(keepends=True)
        process.stdout.close()
        process.wait()
        for line in lines:
            if line.endswith("\n"):
                first, thread, n = map(int, line.split())
                assert first not in acknowledged, "a sequence was given out twice"
                acknowledged[first] = (thread, n)
    with Store(tmp_path / "s") as store:
        table = store.scan("t", sequence_column="seq").read_all()
    rows = {r["seq"]: (r["thread"], r["n"]) for r in table.to_pylist()}
    assert sorted(rows) == list(range(len(rows)))
    assert len(rows) % 20 == 0
    assert len(acknowledged) > 50
    for first, written in acknowledged.items():
        assert all(rows[first + i] == written for i in range(20))


def test_a_map_outlives_the_scan_and_the_store(tmp_path):
    fill(tmp_path / "s", 3)
    with Store(tmp_path / "s") as store:
        store.seal()
        table = store.scan("t").read_all()
    shutil.rmtree(tmp_path / "s")
    assert table.column("text").to_pylist() == [f"event {i}" for i in range(30)]


def test_a_short_file_gives_short_frames(tmp_path):
    fill(tmp_path / "s", 1)
    (segment,) = segments(tmp_path / "s")
    for sealed in (True, False):
        reader = SegmentReader(segment, sealed)
        assert reader.frame(segment.stat().st_size - 3, 10).size == 3
        assert reader.frame(segment.stat().st_size + 3, 10).size == 0
        reader.close()


def test_a_stream_whose_making_was_cut_short_is_made_anew(tmp_path):
    """Killed between the folder and its schema.arrow: nothing was in it, so nothing is damaged."""
    with Store(tmp_path / "s"):
        pass
    folder = tmp_path / "s/streams/t"
    folder.mkdir(parents=True)
    (folder / "schema.arrow.tmp").write_bytes(b"half")
    with Store(tmp_path / "s", read_only=True) as store:
        assert store.streams() == {}
        assert store.damaged() == {}
    with Store(tmp_path / "s") as store:
        assert store.streams() == {}
        assert store.create_stream("t", pa.schema([("x", pa.int64())])).append({"x": [1]}) == 0
