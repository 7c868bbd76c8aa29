"""Events that went to Parquet: every scan gives what it gave before, others read the files, and no crash costs an
event."""

from __future__ import annotations

import os
import random
import shutil
import threading
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tocsin as tc
from test_storage_ranges import LOOKUP, TREES, batches
from test_storage_ranges import SCHEMA as ODD_SCHEMA
from test_storage_scan import ALL_TYPES
from tocsin.storage import part_scan, places, tiering

SCHEMA = pa.schema(
    [
        ("ts", pa.timestamp("us", "UTC")),
        ("account", pa.string()),
        ("amount", pa.float64()),
        ("word", pa.dictionary(pa.int8(), pa.string())),
        ("n", pa.int64()),
    ]
)
ROWS = 200


def events(first: int) -> pa.RecordBatch:
    ids = np.arange(first, first + ROWS)
    words = pa.array([f"w{i // 100}" if i % 7 else None for i in ids.tolist()])
    return pa.record_batch(
        [
            pa.array(ids * 1_000_000).cast(SCHEMA.field("ts").type),
            pa.array([f"account {i * 37 % 50:04d}" if i % 11 else None for i in ids.tolist()]),
            pa.array([float(i) if i % 13 else None for i in ids.tolist()]),
            words.dictionary_encode().cast(SCHEMA.field("word").type),
            pa.array(ids),
        ],
        schema=SCHEMA,
    )


def filled(path: Path, count: int = 10, **options: Any) -> tc.Store:
    """`count` batches, each in a segment of its own; the last one grows."""
    store = tc.Store(path, **{"segment_bytes": 1, **options})
    store.create_stream("s", SCHEMA, time="ts", lookup=["account", "amount"])
    for first in range(0, count * ROWS, ROWS):
        store.append("s", events(first))
    return store


QUERIES: list[dict[str, Any]] = [
    {},
    {"sequence": (350, 1250), "columns": ["word", "n"]},
    {"start": "1970-01-01T00:06:00Z", "stop": "1970-01-01T00:20:00Z", "columns": ["account"]},
    {"where": pc.field("amount") > 900, "columns": ["n"]},
    {"where": (pc.field("word") == "w7") | (pc.field("n") == 3)},
    {"where": pc.field("amount").is_null()},
    {"keys": {"account": ["account 0007", "account 0013"]}},
    {"keys": {"account": "account 0007"}, "start": "1970-01-01T00:06:00Z", "columns": []},
    {"sequence": (450, 451)},
    {"columns": []},
]


def answers(store: tc.Store, name: str = "s") -> list[Any]:
    return [store.scan(name, sequence_column="at", **query).read_all().to_pylist() for query in QUERIES]


def parquet_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.parquet"))


class _Place:
    """Where to, and what to give to each opening."""

    def __init__(self, kind: str, root: Path) -> None:
        folder = root / "cold"
        folder.mkdir()
        self.to: Any = {
            "folder": str(folder),
            "path": folder,
            "uri": folder.as_uri(),
            "inside": root / "s.store" / "cold",
        }.get(kind, "cold://some/folder")
        self.filesystems: dict[str, Any] = {}
        if kind == "subtree":
            self.filesystems["cold"] = pafs.SubTreeFileSystem(str(folder), pafs.LocalFileSystem())
        elif kind == "mock":
            self.filesystems["cold"] = pafs._MockFileSystem()
        elif kind == "fsspec":
            self.filesystems["cold"] = fsspec.filesystem("memory", use_listings_cache=False)
        elif kind == "object":
            self.to = pafs.SubTreeFileSystem(str(folder), pafs.LocalFileSystem())


@pytest.mark.parametrize("kind", ["folder", "path", "uri", "inside", "subtree", "object", "mock", "fsspec"])
def test_a_scan_gives_the_same_wherever_the_events_lie(tmp_path: Path, kind: str) -> None:
    place = _Place(kind, tmp_path)
    path = tmp_path / "s.store"
    with filled(path, filesystems=place.filesystems) as store:
        expected, info = answers(store), store.streams()["s"]
        gone = store.tier("s", to=place.to, sequence=5 * ROWS)
        assert gone[0::2] == (5 * ROWS, 5)
        assert gone.bytes > 0
        assert answers(store) == expected
        with tc.Store(path, read_only=True, filesystems=place.filesystems) as reader:
            assert answers(reader) == expected
            store.tier("s", to=place.to, before="1970-01-01T00:23:20Z")
            assert answers(reader) == expected
            with pytest.raises(tc.StoreError, match="read_only"):
                reader.tier("s", to=place.to, sequence=10**9)
        now = store.streams()["s"]
        assert (now.rows, now.next_sequence, now.time_range) == (
            info.rows,
            info.next_sequence,
            info.time_range,
        )
        assert (now.tiered_rows, now.parts, now.segments) == (7 * ROWS, 7, 3)
        assert 0 < now.bytes < info.bytes
    with tc.Store(path, segment_bytes=1, filesystems=place.filesystems) as store:
        assert answers(store) == expected
        assert not store.recovered
        store.tier("s", to=place.to, max_bytes=0)
        assert answers(store) == expected
        assert store.streams()["s"].tiered_rows == 9 * ROWS
        assert store.append("s", events(10 * ROWS)) == 10 * ROWS
        assert store.scan("s").read_all()["n"].to_pylist() == list(range(11 * ROWS))


def test_small_segments_are_put_together(tmp_path: Path) -> None:
    with filled(tmp_path / "s") as store:
        expected = answers(store)
    with tc.Store(tmp_path / "s", segment_bytes=1 << 20) as store:
        assert store.tier("s", to=tmp_path / "cold", sequence=10**9).files == 1
        assert answers(store) == expected
    (file,) = parquet_files(tmp_path / "cold")
    assert pq.ParquetFile(file).metadata.num_rows == 9 * ROWS


def test_others_read_the_files_as_they_are(tmp_path: Path) -> None:
    with filled(tmp_path / "s") as store:
        store.tier("s", to=tmp_path / "cold", sequence=6 * ROWS)
    pattern = str(tmp_path / "cold" / "streams" / "s" / "*.parquet")
    expected = list(range(6 * ROWS))
    assert duckdb.sql(f"SELECT n FROM '{pattern}' ORDER BY sequence").fetchall() == [(n,) for n in expected]
    assert duckdb.sql(f"SELECT count(*) FROM '{pattern}' WHERE word = 'w7'").fetchall() == [(85,)]
    frame = pl.read_parquet(pattern).sort("sequence")
    assert frame["n"].to_list() == frame["sequence"].to_list() == expected
    assert frame["ts"].dtype == pl.Datetime("us", "UTC")
    table = pq.read_table(tmp_path / "cold")
    assert sorted(table["n"].to_pylist()) == expected
    # Sorted by key, then time: what has one key lies together.
    for file in parquet_files(tmp_path / "cold"):
        rows = pq.read_table(file, columns=["account", "amount", "sequence"]).to_pylist()
        keys = [(r["account"] or "~", r["amount"] is None, r["amount"], r["sequence"]) for r in rows]
        assert keys == sorted(keys)
    chunk = pq.ParquetFile(file).metadata.row_group(0).column(1)
    assert chunk.compression == "ZSTD"
    assert chunk.statistics.has_min_max
    assert "RLE_DICTIONARY" in chunk.encodings


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(first sequence, how many row groups) of the parts that scans have opened."""
    found: list[tuple[int, int]] = []
    read = part_scan._read

    def counted(part: Any, query: Any, names: list[str], groups: list[int]) -> pa.Table:
        found.append((part.first, len(groups)))
        return read(part, query, names, groups)

    monkeypatch.setattr(part_scan, "_read", counted)
    return found


@pytest.mark.parametrize(
    ("query", "opened"),
    [
        ({"sequence": (0, 10)}, [(0, 1)]),
        ({"sequence": (0, ROWS)}, [(0, 4)]),
        ({"start": "1970-01-01T00:03:21Z", "stop": "1970-01-01T00:03:22Z"}, [(ROWS, 1)]),
        ({"where": pc.field("ts") < pa.scalar(0, pa.int64()).cast(SCHEMA.field("ts").type)}, []),
        ({"where": pc.field("amount") == 399}, [(ROWS, 1)]),
        ({"where": pc.field("account") == "account 0007"}, None),
        ({"keys": {"account": "account 0007"}}, None),
        ({"keys": {"account": "account 9"}}, []),
        ({"where": pc.field("n") == 399}, [(first, 4) for first in range(0, 9 * ROWS, ROWS)]),
    ],
)
def test_only_row_groups_that_may_match_are_read(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reads: list[tuple[int, int]],
    query: dict[str, Any],
    opened: list[tuple[int, int]] | None,
) -> None:
    monkeypatch.setattr("tocsin.storage.parquet.GROUP_ROWS", 50)
    monkeypatch.setattr("tocsin.storage.part.GROUP_ROWS", 50)
    with filled(tmp_path / "s") as store:
        expected = store.scan("s", **query).read_all().to_pylist()
        store.tier("s", to=tmp_path / "cold", sequence=10**9)
        assert store.scan("s", **query).read_all().to_pylist() == expected
    if opened is None:  # one key's rows lie together
        assert reads
        assert sum(groups for _, groups in reads) <= 2 * 9
    elif "sequence" in query or "start" in query or "amount" in str(query):
        assert [first for first, _ in reads] == [first for first, _ in opened]
    else:
        assert reads == opened


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_whatever_is_stored_and_asked(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    root = tmp_path_factory.mktemp("tier")
    with tc.Store(
        root / "s", segment_bytes=data.draw(st.sampled_from([1, 4000])), durability="none"
    ) as store:
        store.create_stream("s", ODD_SCHEMA, time="ts", lookup=LOOKUP)
        for _ in range(data.draw(st.integers(2, 6))):
            store.append("s", data.draw(batches()))
            if data.draw(st.booleans()):
                store.seal("s")
        asked: list[dict[str, Any]] = [{"where": data.draw(TREES)} for _ in range(4)]
        asked += [{}, {"columns": ["text", "x"], "sequence": (1, 7)}, {"keys": {"word": ["a", "m"]}}]
        expected = []
        for query in asked:
            try:
                expected.append(repr(store.scan("s", **query, sequence_column="at").read_all().to_pylist()))
            except tc.SchemaError:
                expected.append("refused")
        store.tier("s", to=root / "cold", sequence=data.draw(st.integers(0, 30)))
        for query, answer in zip(asked, expected, strict=True):
            if answer != "refused":
                found = repr(store.scan("s", **query, sequence_column="at").read_all().to_pylist())
                assert found == answer, query


# -- types -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL_TYPES)
@pytest.mark.parametrize("looked_up", [False, True])
def test_every_type_comes_back_or_is_refused_by_name(tmp_path: Path, name: str, looked_up: bool) -> None:
    column = ALL_TYPES[name]
    if looked_up and pa.types.is_nested(column.type):
        pytest.skip("not looked up")
    schema = pa.schema([pa.field("x", column.type), ("sequence", pa.int64())])
    with tc.Store(tmp_path / "s", segment_bytes=1) as store:
        store.create_stream("t", schema, lookup=["x"] if looked_up else None)
        for at in range(3):
            store.append("t", pa.record_batch([column, pa.array(range(4))], schema=schema).slice(at))
        expected = store.scan("t", sequence_column="at").read_all()
        assert store.tier("t", to=tmp_path / "cold", sequence=10**9).events == 7
        found = store.scan("t", sequence_column="at").read_all()
        found.validate(full=True)
        assert found.schema == expected.schema
        assert found.to_pylist() == expected.to_pylist()
    assert pq.read_table(tmp_path / "cold")["sequence_"].to_pylist() is not None


@pytest.mark.parametrize(
    "column",
    [
        pa.array([pa.MonthDayNano([1, 2, 3])] * 4),
        pa.DictionaryArray.from_arrays(pa.array([1, 0, 1, 0], pa.int8()), pa.array(["b", "a"]), ordered=True),
        pa.array([b""] * 4, pa.binary(0)),
    ],
    ids=lambda column: str(column.type)[:10],
)
def test_what_parquet_would_change_stays_where_it_is(tmp_path: Path, column: pa.Array) -> None:
    with tc.Store(tmp_path / "s", segment_bytes=1) as store:
        store.create_stream("t", pa.schema([("x", column.type)]))
        for _ in range(2):
            store.append("t", {"x": column})
        with pytest.raises(tc.StoreError, match=r"events 0 to 3 stay where they are.*(Parquet|FIXED_LEN)"):
            store.tier("t", to=tmp_path / "cold", sequence=10**9)
        assert store.scan("t").read_all()["x"].to_pylist() == column.to_pylist() * 2
    assert not parquet_files(tmp_path / "cold")


def test_dictionaries_that_no_index_has_room_for(tmp_path: Path) -> None:
    kind = pa.dictionary(pa.int8(), pa.string())
    with tc.Store(tmp_path / "s", segment_bytes=1 << 20) as store:
        store.create_stream("t", pa.schema([("x", kind)]))
        for first in range(0, 1000, 100):
            texts = pa.array([f"t{i}" for i in range(first, first + 100)])
            store.append("t", {"x": texts.dictionary_encode().cast(kind)})
        store.seal("t")
        store.append("t", {"x": pa.array(["last"]).dictionary_encode().cast(kind)})
        store.tier("t", to=tmp_path / "cold", sequence=1000)
        table = store.scan("t", sequence_column="at").read_all()
        assert [str(x) for chunk in table["x"].chunks for x in chunk.dictionary_decode()] == [
            *(f"t{i}" for i in range(1000)),
            "last",
        ]
        assert table["at"].to_pylist() == list(range(1001))


# -- crashes and damage ------------------------------------------------------------------------------


def test_a_crash_at_any_moment_loses_nothing_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files as they are before and after every call that changes one, each opened as after a crash."""
    path, states = tmp_path / "s.store", tmp_path / "states"
    states.mkdir()
    store = filled(path, 4)
    expected = store.scan("s").read_all().to_pylist()

    def keep() -> None:
        shutil.copytree(path, states / f"{len(os.listdir(states)):03d}")

    def between(call: Any) -> Any:
        def wrapped(*args: Any) -> Any:
            keep()
            result = call(*args)
            keep()
            return result

        return wrapped

    for owner, name in [
        (os, "replace"),
        (os, "unlink"),
        (places.Place, "write"),
        (places.Place, "remove"),
        (tiering, "_check"),
    ]:
        monkeypatch.setattr(owner, name, between(getattr(owner, name)))
    store.tier("s", to=path / "cold", sequence=2 * ROWS)
    store.tier("s", to=path / "cold", sequence=3 * ROWS)
    monkeypatch.undo()
    store.close()
    seen = set()
    for state in sorted(states.iterdir()):
        with tc.Store(state, read_only=True) as reader:
            assert reader.scan("s").read_all().to_pylist() == expected
        with tc.Store(state, segment_bytes=1) as again:
            seen |= {note.what for note in again.recovered}
            assert again.scan("s").read_all().to_pylist() == expected
            files = parquet_files(state / "cold")
            assert sum(pq.ParquetFile(f).metadata.num_rows for f in files) == again.streams()["s"].tiered_rows
            assert len(list((state / "streams" / "s").glob("0*.arrow"))) == again.streams()["s"].segments
            again.tier("s", to=state / "cold", sequence=3 * ROWS)
            assert again.scan("s").read_all().to_pylist() == expected
            assert again.streams()["s"].tiered_rows == 3 * ROWS
            assert sum(pq.ParquetFile(f).metadata.num_rows for f in parquet_files(state / "cold")) == 3 * ROWS
    assert seen == {
        "a Parquet file that was not finished was removed",
        "a segment that is in Parquet already was removed",
    }
    assert len(list(states.iterdir())) > 20


@pytest.mark.parametrize("call", ["write", "_check", "save_part", "encode"])
def test_a_move_that_fails_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    with filled(tmp_path / "s") as store:
        expected = answers(store)

        def fails(*args: Any) -> Any:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(places.Place if call == "write" else tiering, call, fails)
        with pytest.raises(tc.StoreError, match=r"'s': events 0 to 199 stay.*No space left"):
            store.tier("s", to=tmp_path / "cold", sequence=10**9)
        assert answers(store) == expected
        monkeypatch.undo()
        assert not parquet_files(tmp_path / "cold")
        assert not list((tmp_path / "s" / "streams" / "s").glob("*tier*"))
        assert store.tier("s", to=tmp_path / "cold", sequence=10**9).events == 9 * ROWS
        assert answers(store) == expected


def test_what_is_written_is_read_again_before_the_segment_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = places.Place.write

    def damages(self: places.Place, path: str, data: pa.Buffer) -> None:
        write(self, path, pa.py_buffer(data.to_pybytes()[:-100] + bytes(100)))

    monkeypatch.setattr(places.Place, "write", damages)
    with filled(tmp_path / "s") as store:
        expected = answers(store)
        with pytest.raises(tc.StoreError, match="does not come back"):
            store.tier("s", to=tmp_path / "cold", sequence=10**9)
        assert answers(store) == expected
    assert not parquet_files(tmp_path / "cold")


def test_somebody_elses_file_is_not_touched(tmp_path: Path) -> None:
    file = tmp_path / "cold" / "streams" / "s" / f"{0:020d}-{ROWS - 1:020d}.parquet"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"mine")
    with filled(tmp_path / "s") as store:
        with pytest.raises(tc.StoreError, match="already, and it is not this store's"):
            store.tier("s", to=tmp_path / "cold", sequence=10**9)
        assert answers(store)[0][-1]["at"] == 10 * ROWS - 1
    assert file.read_bytes() == b"mine"


def test_a_damaged_segment_does_not_go(tmp_path: Path) -> None:
    with filled(tmp_path / "s") as store:
        file = tmp_path / "s" / "streams" / "s" / f"{ROWS:020d}.arrow"
        whole = bytearray(file.read_bytes())
        whole[-100] ^= 1
        file.write_bytes(bytes(whole))
        with pytest.raises(tc.StoreError, match="events 200 to 399 are damaged"):
            store.tier("s", to=tmp_path / "cold", sequence=10**9)
        assert store.streams()["s"].tiered_rows == ROWS
        assert file.exists()


def test_damage_is_reported_with_its_place_and_never_a_wrong_row(tmp_path: Path) -> None:
    with filled(tmp_path / "s", 4) as store:
        expected = store.scan("s").read_all().to_pylist()
        store.tier("s", to=tmp_path / "cold", sequence=10**9)
        file = parquet_files(tmp_path / "cold")[1]
        whole = file.read_bytes()
        r = random.Random(5)
        for turn in range(200):
            at = r.randrange(len(whole))
            bad = whole[:at] + bytes([whole[at] ^ (1 << r.randrange(8))]) + whole[at + 1 :]
            file.write_bytes(bad if turn % 5 else whole[:at])
            with pytest.raises(
                tc.StoreError, match=r"events 200 to 399 .*read on with sequence=\(400, None\)"
            ):
                store.scan("s").read_all()
            assert store.scan("s", sequence=(400, None)).read_all().to_pylist() == expected[400:]
            assert store.scan("s", sequence=(0, 200)).read_all().to_pylist() == expected[:200]
        file.unlink()
        with pytest.raises(tc.StoreError, match=rf"{ROWS:020d}-.*parquet.*cold"):
            store.scan("s").read_all()
        file.write_bytes(whole)
        assert store.scan("s").read_all().to_pylist() == expected


def test_a_damaged_note_is_reported(tmp_path: Path) -> None:
    with filled(tmp_path / "s", 4) as store:
        expected = store.scan("s").read_all().to_pylist()
        store.tier("s", to=tmp_path / "cold", sequence=10**9)
    note = tmp_path / "s" / "streams" / "s" / f"{ROWS:020d}.tier"
    whole = note.read_bytes()
    r = random.Random(5)
    for turn in range(60):
        at = r.randrange(len(whole))
        bad = whole[:at] + bytes([whole[at] ^ (1 << r.randrange(8))]) + whole[at + 1 :]
        note.write_bytes(bad if turn % 5 else whole[:at])
        with tc.Store(tmp_path / "s") as store:
            with pytest.raises(tc.StoreError, match=rf"events 200 to 399 .*{ROWS:020d}.tier"):
                store.scan("s").read_all()
            assert store.scan("s", sequence=(400, None)).read_all().to_pylist() == expected[400:]
            assert store.append("s", events(0)) == 800 + turn * ROWS
            expected = store.scan("s", sequence=(0, 200)).read_all().to_pylist() + expected[200:]
            expected += events(0).to_pylist()
    note.write_bytes(whole)
    with tc.Store(tmp_path / "s") as store:
        assert store.scan("s").read_all().to_pylist() == expected


def test_a_place_that_nobody_gave(tmp_path: Path) -> None:
    mock = pafs._MockFileSystem()
    with filled(tmp_path / "s", 3, filesystems={"cold": mock}) as store:
        store.tier("s", to=mock, sequence=10**9)
    with tc.Store(tmp_path / "s") as store:
        with pytest.raises(tc.StoreError, match=r'filesystems=\{"cold": \.\.\.\}'):
            store.scan("s").read_all()
        assert store.scan("s", sequence=(2 * ROWS, None)).read_all().num_rows == ROWS
        with pytest.raises(tc.StoreError, match="filesystems="):
            store.trim("s", sequence=ROWS)
        assert store.streams()["s"].rows == 3 * ROWS


@pytest.mark.parametrize(
    ("to", "says"),
    [
        ("s3://key:word@bucket/x", "password"),
        ("nowhere://x", "filesystems="),
        ("", "folder"),
        (pafs._MockFileSystem(), "name"),
        (7, "folder, a URI"),
    ],
)
def test_places_that_are_none(tmp_path: Path, to: Any, says: str) -> None:
    with filled(tmp_path / "s", 3) as store, pytest.raises(tc.StoreError, match=says):
        store.tier("s", to=to, sequence=10**9)


# -- beside other work -------------------------------------------------------------------------------


def test_a_scan_that_has_begun_finds_the_events_where_they_went(tmp_path: Path) -> None:
    with filled(tmp_path / "s") as store, tc.Store(tmp_path / "s", read_only=True) as beside:
        readers = [at.scan("s", columns=["n"]) for at in (store, beside)]
        keyed = store.scan("s", where=pc.field("n") >= 5 * ROWS)
        firsts = [reader.read_next_batch()["n"].to_pylist() for reader in readers]
        store.tier("s", to=tmp_path / "cold", sequence=6 * ROWS)
        for first, reader in zip(firsts, readers, strict=True):
            assert first + reader.read_all()["n"].to_pylist() == list(range(10 * ROWS))
        assert keyed.read_all()["n"].to_pylist() == list(range(5 * ROWS, 10 * ROWS))


@pytest.mark.stress
def test_appends_and_scans_go_on_meanwhile(tmp_path: Path) -> None:
    with filled(tmp_path / "s", 5, durability="none") as store:
        wrong: list[str] = []
        done = threading.Event()

        def scans() -> None:
            while not done.is_set():
                found = store.scan("s", columns=["n"]).read_all()["n"].to_pylist()
                if found != list(range(len(found))) or len(found) % ROWS:
                    wrong.append(f"{len(found)} events")

        threads = [threading.Thread(target=scans) for _ in range(2)]
        for thread in threads:
            thread.start()
        for turn in range(5, 60):
            store.append("s", events(turn * ROWS))
            if turn % 5 == 0:
                store.tier("s", to=tmp_path / "cold", sequence=(turn - 2) * ROWS)
        done.set()
        for thread in threads:
            thread.join()
        assert not wrong
        assert store.streams()["s"].tiered_rows > 40 * ROWS


# -- trim --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reasons", "first"),
    [
        ({"sequence": 399}, 200),
        ({"sequence": 7 * ROWS}, 7 * ROWS),
        ({"before": "1970-01-01T00:10:00Z"}, 3 * ROWS),
        ({"max_bytes": 0}, 9 * ROWS),
        ({"max_bytes": 10**9}, 0),
    ],
)
def test_trim_takes_parquet_files_too(tmp_path: Path, reasons: dict[str, Any], first: int) -> None:
    with filled(tmp_path / "s") as store:
        store.tier("s", to=tmp_path / "cold", sequence=5 * ROWS)
        gone = store.trim("s", **reasons)
        assert gone.events == first
        assert (gone.bytes > 0) == (first > 0)
        assert store.scan("s").read_all()["n"].to_pylist() == list(range(first, 10 * ROWS))
        assert len(parquet_files(tmp_path / "cold")) == max(0, 5 - first // ROWS)
        assert len(list((tmp_path / "s" / "streams" / "s").glob("*tier*"))) == 2 * max(0, 5 - first // ROWS)
    with tc.Store(tmp_path / "s") as store:
        assert store.scan("s").read_all()["n"].to_pylist() == list(range(first, 10 * ROWS))


def test_matches_go_to_a_folder_of_their_own(tmp_path: Path) -> None:
    with filled(tmp_path / "s", 3) as store:
        store.matches.create_stream("s", pa.schema([("n", pa.int64())]))
        for n in range(3):
            store.matches.append("s", {"n": [n]})
        for logs in (store, store.matches):
            logs.tier("s", to=tmp_path / "cold", sequence=10**9)
        assert store.matches.scan("s").read_all()["n"].to_pylist() == [0, 1, 2]
        after, rest = store.matches.log("s").read_until_now(1)
        assert (after, [batch["n"].to_pylist() for batch in rest]) == (3, [[1], [2]])
    assert {
        file.parent.relative_to(tmp_path / "cold").as_posix() for file in parquet_files(tmp_path / "cold")
    } == {
        "streams/s",
        "matches/s",
    }
