"""Delta tables, Parquet folders and other stores as targets; what holds for every kind of target."""

from __future__ import annotations

import datetime as dt
import itertools
import os
import shutil
import threading
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

import tocsin as tc
from sync_support import SEQUENCE, append, rows_of, wait_until
from tocsin.errors import ClosedError, StoreError
from tocsin.sync import (
    DeltaTarget,
    ParquetTarget,
    PostgresTarget,
    StoreTarget,
    SyncError,
    SyncTimeoutError,
    start,
)
from tocsin.sync.mark import mark_of

SCHEMA = pa.schema([("ts", pa.timestamp("us")), ("price", pa.float64()), ("word", pa.string())])
_numbers = itertools.count()


class Place:
    """One target of some kind, and how to read it."""

    def __init__(self, kind, folder, server=None):
        self.kind = kind
        self.at = str(folder / kind)
        self._server = server
        self._table = f"place{next(_numbers)}"

    def target(self):
        return {
            "delta": lambda: DeltaTarget(self.at),
            "parquet": lambda: ParquetTarget(self.at),
            "store": lambda: StoreTarget(self.at, "s"),
            "postgres": lambda: PostgresTarget(self._server.uri, self._table),
        }[self.kind]()

    def table(self) -> pa.Table:
        if self.kind == "delta":
            return pa.table(DeltaTable(self.at).to_pyarrow_table()).sort_by(SEQUENCE)
        if self.kind == "parquet":
            return pq.read_table(self.at).sort_by(SEQUENCE)
        if self.kind == "store":
            with tc.Store(self.at, read_only=True) as store:
                return store.scan("s").read_all()
        return self._server.table(f"SELECT * FROM {self._table} ORDER BY {SEQUENCE}")

    def rows(self):
        table = self.table().select([SEQUENCE, "price", "word"])
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


@pytest.fixture(params=["delta", "parquet", "store", "postgres"])
def place(request, tmp_path):
    server = request.getfixturevalue("postgres") if request.param == "postgres" else None
    return Place(request.param, tmp_path, server)


@pytest.fixture
def store(tmp_path):
    with tc.Store(tmp_path / "a.store", segment_bytes=4000) as store:
        store.create_stream("s", SCHEMA, time="ts")
        yield store


# -- every kind --------------------------------------------------------------------------------------


def test_a_target_is_filled_followed_and_resumed(store, place):
    append(store, 100)
    with start(store, "s", place.target(), rows=17, interval=0.001) as sync:
        sync.wait(timeout=60)
        assert (sync.position, sync.lag, sync.state, sync.error) == (100, 0, "running", None)
        append(store, 30)
        sync.wait(timeout=60)
        append(store, 1)
    assert (sync.position, sync.lag, sync.state) == (131, 0, "closed")
    assert place.rows() == rows_of(store)
    append(store, 5)
    start(store, "s", place.target()).close()
    assert place.rows() == rows_of(store)
    assert place.table().schema.names == ["ts", "price", "word", SEQUENCE]
    assert place.table()["ts"].to_pylist() == store.scan("s").read_all()["ts"].to_pylist()


def test_rows_appear_while_the_sync_runs(store, place):
    with start(store, "s", place.target(), interval=0.001) as sync:
        for _ in range(5):
            append(store, 3)
            wait_until(lambda: sync.position == store.log("s").next_sequence)
    assert place.rows() == rows_of(store)


def test_appends_from_threads_while_the_sync_runs(store, place):
    with start(store, "s", place.target(), rows=50, interval=0.001) as sync:

        def work():
            for _ in range(20):
                store.append(
                    "s", {"ts": [dt.datetime(2026, 1, 1)] * 3, "price": [1.0, 2.0, 3.0], "word": ["x"] * 3}
                )

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sync.wait(timeout=60)
    assert place.rows() == rows_of(store)
    assert len(place.rows()) == 240


def test_an_empty_log_makes_an_empty_target(store, place):
    start(store, "s", place.target()).close()
    start(store, "s", place.target()).close()
    append(store, 4)
    start(store, "s", place.target()).close()
    assert place.rows() == rows_of(store)


def test_a_source_that_was_trimmed_before_the_target_began(store, place):
    for _ in range(40):
        append(store, 30)
    assert store.trim("s", sequence=600).events > 0
    oldest = rows_of(store)[0][0]
    assert oldest > 0
    start(store, "s", place.target()).close()
    assert place.rows() == rows_of(store)
    append(store, 30)
    start(store, "s", place.target()).close()
    assert place.rows() == rows_of(store)
    assert place.rows()[0][0] == oldest


def test_a_gap_is_named_and_left_out_only_if_told(store, place, caplog):
    append(store, 10)
    start(store, "s", place.target()).close()
    before = rows_of(store)
    for _ in range(40):
        append(store, 30)
    store.trim("s", sequence=600)
    oldest = rows_of(store)[0][0]
    sync = start(store, "s", place.target())
    message = f'events 10 to {oldest - 1} have been trimmed .* start the sync with gaps="skip"'
    with pytest.raises(SyncError, match=message):
        sync.wait(timeout=60)
    assert sync.state == "failed"
    sync.close()  # wait has told it
    assert place.rows() == before
    start(store, "s", place.target(), gaps="skip").close()
    assert f"leaves out events 10 to {oldest - 1}" in caplog.text
    assert place.rows() == before + rows_of(store)
    append(store, 10)
    start(store, "s", place.target()).close()
    assert place.rows() == before + rows_of(store)


def test_a_trimmed_gap_that_opens_while_the_sync_runs(store, place):
    append(store, 10)
    with start(store, "s", place.target(), gaps="skip", interval=0.001) as sync:
        sync.wait(timeout=60)
        for _ in range(30):
            append(store, 30)
            store.trim("s", max_bytes=4000)
        sync.wait(timeout=60)
    numbers = [row[0] for row in place.rows()]
    assert numbers == sorted(set(numbers))
    assert dict.fromkeys(rows_of(store)).keys() <= dict.fromkeys(place.rows()).keys()


def test_damage_is_named_and_left_out_only_if_told(tmp_path, store, place, caplog):
    for _ in range(3):
        append(store, 300)
    kept = rows_of(store)
    path = sorted((tmp_path / "a.store/streams/s").glob("0*.arrow"))[1]
    with path.open("r+b") as file:
        file.seek(-200, os.SEEK_END)
        file.write(b"\xff" * 32)
    sync = start(store, "s", place.target())
    with pytest.raises(SyncError, match=r'events 300 to 599 are damaged .* gaps="skip"'):
        sync.wait(timeout=60)
    assert place.rows() == kept[:300]
    start(store, "s", place.target(), gaps="skip").close()
    assert "leaves out events 300 to 599" in caplog.text
    assert place.rows() == kept[:300] + kept[600:]


def test_a_source_that_has_fewer_events_than_its_target_is_refused(tmp_path, store, place):
    append(store, 50)
    store.sync()
    shutil.copytree(store.path, tmp_path / "older")
    (tmp_path / "older/LOCK").unlink()
    append(store, 10)
    start(store, "s", place.target()).close()
    before = place.rows()
    with tc.Store(tmp_path / "older") as older:
        with pytest.raises(SyncError, match=r"the target has events up to 59, the source only up to 49"):
            start(older, "s", place.target())
        older.append("s", {"ts": [dt.datetime(2026, 1, 1)] * 20, "price": [0.1] * 20, "word": ["new"] * 20})
        with pytest.raises(SyncError, match="event 59 in the source is not the one that the target got"):
            start(older, "s", place.target())
    assert place.rows() == before


def test_a_store_that_was_made_anew_is_refused(tmp_path, store, place):
    append(store, 50)
    start(store, "s", place.target()).close()
    with tc.Store(tmp_path / "new.store") as other:
        other.create_stream("s", SCHEMA, time="ts")
        other.append("s", {"ts": [dt.datetime(2026, 1, 1)] * 80, "price": [0.25] * 80, "word": ["y"] * 80})
        with pytest.raises(SyncError, match="event 49 in the source is not the one that the target got"):
            start(other, "s", place.target())


def test_another_schema_is_refused_with_the_column(tmp_path, store, place):
    append(store, 5)
    start(store, "s", place.target()).close()
    before = place.rows()
    with tc.Store(tmp_path / "b.store") as other:
        other.create_stream("s", SCHEMA.set(1, pa.field("price", pa.float32())), time="ts")
        with pytest.raises(SyncError, match="column 'price' is"):
            start(other, "s", place.target())
    assert place.rows() == before


def test_columns_that_are_named_like_the_sequence(tmp_path, place):
    with tc.Store(tmp_path / "b.store") as store:
        store.create_stream("s", pa.schema([(SEQUENCE, pa.int64())]))
        store.append("s", {SEQUENCE: [5, 6]})
        with pytest.raises(SyncError, match=f"has a column '{SEQUENCE}' itself; give sequence_column="):
            start(store, "s", place.target())
        start(store, "s", place.target(), sequence_column="number").close()
    assert place.table().to_pydict() == {SEQUENCE: [5, 6], "number": [0, 1]}


@pytest.mark.parametrize("durability", ["commit", "interval", "none"])
def test_only_what_is_durable_is_handed_on(tmp_path, durability, place, monkeypatch):
    """While the source cannot sync, the target gets nothing new: it must never be ahead of its source."""
    with tc.Store(tmp_path / "b.store", durability=durability, interval_ms=1) as store:
        store.create_stream("s", SCHEMA, time="ts")
        append(store, 10)
        with start(store, "s", place.target(), interval=0.001) as sync:
            sync.wait(timeout=60)
            log = store.log("s")
            real = log._sync_to
            failing = threading.Event()

            def refuse(sequence, epoch):
                failing.set()
                raise StoreError("the device is gone")

            monkeypatch.setattr(log, "_sync_to", refuse)
            if durability == "commit":
                with pytest.raises(StoreError):
                    append(store, 5)
            else:
                append(store, 5)
            assert failing.wait(60)
            with pytest.raises(SyncTimeoutError, match="5 events behind"):
                sync.wait(timeout=0.3)
            assert len(place.rows()) == 10
            monkeypatch.setattr(log, "_sync_to", real)
            sync.wait(timeout=60)
        assert place.rows() == rows_of(store)
        log._failure = None  # the refused sync, which the next append would be told of


def test_a_second_sync_waits_until_the_first_is_gone(store, place):
    if place.kind == "delta":
        pytest.skip("Delta has no lock: see test_two_syncs_of_one_delta_table")
    append(store, 10)
    first = start(store, "s", place.target())
    second = start(store, "s", place.target(), retry_max=0.05)
    assert second.state == "waiting"
    assert second.position is None
    with pytest.raises(SyncTimeoutError, match="10 events behind, and waiting"):
        second.wait(timeout=0.2)
    first.wait(timeout=60)
    first.close()
    second.wait(timeout=60)
    append(store, 3)
    second.close()
    assert place.rows() == rows_of(store)


def test_dictionaries_that_change_from_batch_to_batch(tmp_path, place):
    kind = pa.dictionary(pa.int16(), pa.string())
    with tc.Store(tmp_path / "d.store") as store:
        store.create_stream("s", pa.schema([("word", kind)]))
        for words in (["a", "b", None], ["c", "a"], ["d"] * 3):
            store.append("s", pa.table({"word": pa.array(words).dictionary_encode().cast(kind)}))
        start(store, "s", place.target()).close()
    assert place.table()["word"].to_pylist() == ["a", "b", None, "c", "a", "d", "d", "d"]


def test_large_batches_are_cut_and_small_ones_put_together(store, place):
    sizes = []
    target = place.target()
    real = target.write

    def write(piece):
        sizes.append(piece.rows.num_rows)
        real(piece)

    target.write = write
    append(store, 1000)
    for _ in range(50):
        append(store, 3)
    start(store, "s", target, rows=300).close()
    assert place.rows() == rows_of(store)
    assert max(sizes) == 300
    assert len(sizes) == 4
    sizes.clear()
    append(store, 1000)
    target = place.target()
    real = target.write
    target.write = write
    start(store, "s", target, bytes=2000).close()
    assert place.rows() == rows_of(store)
    assert len(sizes) > 10


# -- Delta -------------------------------------------------------------------------------------------


def test_two_syncs_of_one_delta_table(tmp_path, store):
    """There is no lock; Delta refuses a commit whose application has committed meanwhile."""
    syncs = [
        start(store, "s", DeltaTarget(tmp_path / "t"), rows=20, interval=0.001, retry_max=0.01)
        for _ in range(2)
    ]
    for _ in range(10):
        append(store, 30)
    for sync in syncs:
        sync.wait(timeout=120)
        sync.close()
    table = DeltaTable(tmp_path / "t").to_pyarrow_table().sort_by(SEQUENCE)
    assert table[SEQUENCE].to_pylist() == list(range(300))


def test_a_delta_position_outlives_checkpoints_and_other_writers(tmp_path, store):
    place = Place("delta", tmp_path)
    with start(store, "s", place.target(), interval=0.0001) as sync:
        for _ in range(110):  # a checkpoint each 100 commits
            append(store, 1)
            sync.wait(timeout=60)
        DeltaTable(place.at).optimize.compact()
        append(store, 5)
        sync.wait(timeout=60)
    assert list((tmp_path / "delta/_delta_log").glob("*.checkpoint.parquet"))
    append(store, 5)
    start(store, "s", place.target()).close()
    assert place.rows() == rows_of(store)


def test_delta_types(tmp_path):
    columns = {
        "u8": pa.array([255, None], pa.uint8()),
        "u16": pa.array([2**16 - 1, None], pa.uint16()),
        "u32": pa.array([2**32 - 1, None], pa.uint32()),
        "u64": pa.array([2**64 - 1, None], pa.uint64()),
        "view": pa.array(["longer than twelve", None], pa.string_view()),
        "bytes": pa.array([b"\0\xff", None], pa.binary()),
        "day": pa.array([dt.date(2026, 1, 1), None]),
        "seconds": pa.array([dt.datetime(2026, 1, 1), None], pa.timestamp("s")),
        "zone": pa.array([dt.datetime(2026, 1, 1, tzinfo=dt.UTC), None], pa.timestamp("ms", "Asia/Tokyo")),
        "money": pa.array([Decimal("1.25"), None], pa.decimal128(9, 2)),
        "list": pa.array([[1, 2], None], pa.list_(pa.int64())),
        "struct": pa.array([{"a": 1}, None], pa.struct([("a", pa.int64())])),
        "ns": pa.array([5_000, None], pa.timestamp("ns")),
    }
    with tc.Store(tmp_path / "d.store") as store:
        store.create_stream("s", pa.table(columns).schema)
        store.append("s", pa.table(columns))
        for _ in range(2):
            start(store, "s", DeltaTarget(tmp_path / "t")).close()
        back = DeltaTable(tmp_path / "t").to_pyarrow_table()
        for name, column in columns.items():
            if name == "ns":
                assert back[name].cast(pa.int64()).to_pylist() == [5, None]
            else:
                assert back[name].to_pylist() == column.to_pylist(), name
        store.create_stream("n", pa.schema([("ts", pa.timestamp("ns"))]))
        store.append("n", pa.table({"ts": pa.array([5_001], pa.timestamp("ns"))}))
        sync = start(store, "n", DeltaTarget(tmp_path / "n"))
        with pytest.raises(SyncError, match=r"column 'ts' .* would lose data: 5001"):
            sync.wait(timeout=60)
        start(store, "n", DeltaTarget(tmp_path / "n", nanoseconds="truncate")).close()
        start(store, "n", DeltaTarget(tmp_path / "b", nanoseconds="bigint")).close()
        assert DeltaTable(tmp_path / "n").to_pyarrow_table()["ts"].cast(pa.int64()).to_pylist() == [5]
        assert DeltaTable(tmp_path / "b").to_pyarrow_table()["ts"].to_pylist() == [5001]


@pytest.mark.parametrize("kind", [pa.duration("us"), pa.time64("us"), pa.decimal256(50, 2)], ids=str)
def test_what_delta_cannot_keep_is_refused_by_name(tmp_path, kind):
    with tc.Store(tmp_path / "d.store") as store:
        store.create_stream("s", pa.schema([("fine", pa.int64()), ("odd", kind)]))
        with pytest.raises(SyncError, match=r"column 'odd' is .* cannot be kept there"):
            start(store, "s", DeltaTarget(tmp_path / "t"))
    assert not (tmp_path / "t").exists()


def test_a_delta_table_of_somebody_else(tmp_path, store):
    append(store, 2)
    table = store.scan("s", sequence_column=SEQUENCE).read_all()
    write_deltalake(tmp_path / "t", table)
    with pytest.raises(SyncError, match="has rows, and no position for 'streams/s'"):
        start(store, "s", DeltaTarget(tmp_path / "t"))
    write_deltalake(tmp_path / "u", table.drop_columns(["word"]))
    with pytest.raises(SyncError, match=r"column 'word' \(.*string.*\) is missing"):
        start(store, "s", DeltaTarget(tmp_path / "u"))
    start(store, "s", DeltaTarget(tmp_path / "v")).close()
    store.create_stream("other", SCHEMA)
    with pytest.raises(SyncError, match="no position for 'streams/other'"):
        start(store, "other", DeltaTarget(tmp_path / "v"))


def test_a_partitioned_delta_table(tmp_path, store):
    append(store, 20)
    with pytest.raises(SyncError, match="partition_by names 'nope'"):
        start(store, "s", DeltaTarget(tmp_path / "t", partition_by=["nope"]))
    start(store, "s", DeltaTarget(tmp_path / "t", partition_by=["word"])).close()
    assert DeltaTable(tmp_path / "t").metadata().partition_columns == ["word"]
    found = DeltaTable(tmp_path / "t").to_pyarrow_table().sort_by(SEQUENCE)
    assert found["word"].to_pylist() == [row[2] for row in rows_of(store)]


# -- Parquet -----------------------------------------------------------------------------------------


def names(folder):
    return sorted(path.name for path in Path(folder).glob("[0-9]*.parquet"))


def test_parquet_files_are_named_by_their_events(tmp_path, store):
    append(store, 25)
    start(store, "s", ParquetTarget(tmp_path / "p"), rows=10).close()
    assert names(tmp_path / "p") == [f"{a:020d}-{b:020d}.parquet" for a, b in ((0, 10), (10, 20), (20, 25))]
    assert pads.dataset(tmp_path / "p").count_rows() == 25  # the lock's folder is passed over


def test_parquet_leftovers_and_files_that_overlap(tmp_path, store):
    append(store, 25)
    start(store, "s", ParquetTarget(tmp_path / "p"), rows=10).close()
    left = tmp_path / "p" / f".{25:020d}-{30:020d}.parquet.tmp"
    left.write_bytes(b"PAR1 half")
    start(store, "s", ParquetTarget(tmp_path / "p")).close()
    assert not left.exists()
    twice = tmp_path / "p" / f"{15:020d}-{22:020d}.parquet"
    twice.write_bytes(b"")
    with pytest.raises(SyncError, match="the file of events 15 to 21 has events that another file has too"):
        start(store, "s", ParquetTarget(tmp_path / "p"))
    twice.unlink()
    (tmp_path / "p" / f"{20:020d}-{25:020d}.parquet").write_bytes(b"PAR1")
    with pytest.raises(SyncError, match=f"{20:020d}-{25:020d}.parquet' is damaged.*take it away"):
        start(store, "s", ParquetTarget(tmp_path / "p"))
    (tmp_path / "p" / f"{20:020d}-{25:020d}.parquet").unlink()
    start(store, "s", ParquetTarget(tmp_path / "p")).close()
    assert pq.read_table(tmp_path / "p").sort_by(SEQUENCE)[SEQUENCE].to_pylist() == list(range(25))


def test_old_parquet_files_may_go_and_others_be_put_together(tmp_path, store):
    append(store, 40)
    start(store, "s", ParquetTarget(tmp_path / "p"), rows=10).close()
    first, second, third, _ = (tmp_path / "p" / name for name in names(tmp_path / "p"))
    joined = pa.concat_tables([pq.read_table(second), pq.read_table(third)])
    for path in (first, second, third):
        path.unlink()
    pq.write_table(joined, tmp_path / "p" / f"{10:020d}-{30:020d}.parquet")
    append(store, 2)
    start(store, "s", ParquetTarget(tmp_path / "p")).close()
    assert pq.read_table(tmp_path / "p").sort_by(SEQUENCE)[SEQUENCE].to_pylist() == list(range(10, 42))


def test_parquet_in_another_filesystem(tmp_path, store):
    append(store, 25)
    (tmp_path / "root").mkdir()
    bucket = pafs.SubTreeFileSystem(str(tmp_path / "root"), pafs.LocalFileSystem())
    for _ in range(2):
        start(store, "s", ParquetTarget("in/p", bucket), rows=10).close()
        append(store, 5)
    assert pq.read_table(tmp_path / "root/in/p").sort_by(SEQUENCE)[SEQUENCE].to_pylist() == list(range(30))


@pytest.mark.parametrize("compression", ["zstd", "snappy", "none"])
def test_parquet_keeps_arrow_types(tmp_path, compression):
    kinds = {
        "ns": pa.timestamp("ns"),
        "zone": pa.timestamp("ms", "Asia/Tokyo"),
        "duration": pa.duration("ns"),
        "time": pa.time64("ns"),
        "u64": pa.uint64(),
        "half": pa.float16(),
        "view": pa.large_string(),
        "word": pa.dictionary(pa.int32(), pa.string()),
        "list": pa.list_(pa.struct([("a", pa.int64())])),
        "money": pa.decimal128(30, 4),
    }
    schema = pa.schema(list(kinds.items()), metadata={"made by": "us"})
    with tc.Store(tmp_path / "d.store") as store:
        store.create_stream("s", schema)
        store.append("s", pa.table({name: pa.nulls(2, kind) for name, kind in kinds.items()}, schema=schema))
        for _ in range(2):
            start(store, "s", ParquetTarget(tmp_path / "p", compression=compression)).close()
        back = pq.read_table(tmp_path / "p").schema
    assert {name: back.field(name).type for name in kinds} == kinds
    assert back.metadata[b"made by"] == b"us"
    assert back.metadata[b"tocsin.source"] == b"streams/s"


def test_what_parquet_cannot_keep_is_refused_by_name(tmp_path):
    with tc.Store(tmp_path / "d.store") as store:
        store.create_stream("s", pa.schema([("fine", pa.int64()), ("odd", pa.month_day_nano_interval())]))
        with pytest.raises(
            SyncError, match=r"column 'odd' \(month_day_nano_interval\) cannot be kept in Parquet"
        ):
            start(store, "s", ParquetTarget(tmp_path / "p"))
    assert not (tmp_path / "p").exists()


# -- stores ------------------------------------------------------------------------------------------


def test_a_store_that_is_open_already_stays_open(tmp_path, store):
    append(store, 20)
    with tc.Store(tmp_path / "b.store") as other:
        start(store, "s", StoreTarget(other, "copy")).close()
        assert other.scan("copy").read_all()[SEQUENCE].to_pylist() == list(range(20))
        assert other.log("copy").time == "ts"


def test_a_log_is_not_synced_to_itself(tmp_path, store):
    for target in (StoreTarget(store), StoreTarget(store, "s"), StoreTarget(store.path)):
        with pytest.raises(SyncError, match="is the source itself; give stream= another name"):
            start(store, "s", target)
    append(store, 5)
    start(store, "s", StoreTarget(store, "copy")).close()
    assert store.scan("copy").read_all().num_rows == 5


def test_somebody_else_has_appended_to_the_stream(tmp_path, store):
    append(store, 20)
    with tc.Store(tmp_path / "b.store") as other, start(store, "s", StoreTarget(other)) as sync:
        sync.wait(timeout=60)
        row = other.scan("s", sequence=(19, 20)).read_all()
        other.append("s", row.set_column(3, SEQUENCE, pa.array([7], pa.int64())))
        append(store, 5)
        with pytest.raises(SyncError, match="event 7 in the source is not the one"):
            sync.wait(timeout=60)


def test_a_stream_that_has_another_schema_there(tmp_path, store):
    with tc.Store(tmp_path / "b.store") as other:
        other.create_stream("s", SCHEMA)
        with pytest.raises(SyncError, match=f"column '{SEQUENCE}' .int64. is not in the store"):
            start(store, "s", StoreTarget(other))


def test_a_chain_of_stores(tmp_path, store):
    append(store, 20)
    with tc.Store(tmp_path / "b.store") as second, tc.Store(tmp_path / "c.store") as third:
        with (
            start(store, "s", StoreTarget(second)) as one,
            start(second, "s", StoreTarget(third), sequence_column="second_sequence") as two,
        ):
            one.wait(timeout=60)
            two.wait(timeout=60)
        assert third.scan("s").read_all().num_rows == 20


# -- marks -------------------------------------------------------------------------------------------


def test_a_mark_is_what_it_was():
    """Marks lie in targets for years: these numbers must never change."""
    batch = pa.record_batch(
        {
            "n": pa.array([1, None], pa.int64()),
            "word": pa.array(["ä", ""]).dictionary_encode(),
            "when": pa.array([5, -5], pa.timestamp("us")),
            "price": pa.array([0.5, -0.0]),
            "yes": pa.array([True, False]),
            "not counted": pa.array([Decimal("1.5"), None], pa.decimal128(5, 2)),
        }
    )
    assert [mark_of(batch, 0), mark_of(batch, 1)] == [489723810249402915, 2299540252273941326]
    layouts = batch.set_column(1, "word", pa.array(["ä", ""], pa.large_string()))
    assert mark_of(layouts, 0) == mark_of(batch, 0)
    for column in ("n", "word", "when", "price", "yes"):
        assert mark_of(batch.drop_columns([column]), 0) != mark_of(batch, 0)
    assert mark_of(batch.drop_columns(["not counted"]), 0) == mark_of(batch, 0)


# -- options -----------------------------------------------------------------------------------------


def test_wrong_options_and_sources(tmp_path, store):
    for options, message in (
        ({"gaps": "ignore"}, "gaps='ignore'"),
        ({"rows": 0}, "rows=0 must be positive"),
        ({"interval": -1}, "interval=-1 must be positive"),
        ({"linger": -1}, "linger=-1"),
    ):
        with pytest.raises(ValueError, match=message):
            start(store, "s", ParquetTarget(tmp_path / "p"), **options)
    for text in ("mysql://host/db", "delta:", "/just/a/path", ""):
        with pytest.raises(ValueError, match="names no target"):
            start(store, "s", text)
    with pytest.raises(TypeError, match="a Target or a text, not int"):
        start(store, "s", 7)
    with pytest.raises(StoreError, match="there is no stream 'nope'"):
        start(store, "nope", ParquetTarget(tmp_path / "p"))
    store.sync()
    with (
        tc.Store(store.path, read_only=True) as reader,
        pytest.raises(SyncError, match="read_only=True cannot be"),
    ):
        start(reader, "s", ParquetTarget(tmp_path / "p"))
    assert not (tmp_path / "p").exists()


def test_a_closed_store_ends_its_sync(tmp_path, caplog):
    store = tc.Store(tmp_path / "c.store")
    store.create_stream("s", SCHEMA, time="ts")
    sync = start(store, "s", ParquetTarget(tmp_path / "p"), interval=0.01)
    store.close()
    wait_until(lambda: sync.state == "closed")
    sync.wait(timeout=1)  # nothing is missing
    sync.close()
    with pytest.raises(ClosedError):
        start(store, "s", ParquetTarget(tmp_path / "p"))
