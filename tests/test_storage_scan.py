"""The store as its user sees it: what goes in comes out, all of it or the part asked for."""

from __future__ import annotations

import datetime as dt
import decimal
import io
import threading
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tocsin.errors import ClosedError, SchemaError, StoreError
from tocsin.storage import Store
from tocsin.storage.names import decode_name, encode_name

TRADES = pa.schema([("ts", pa.timestamp("ms")), ("key", pa.string()), ("price", pa.float64())])


def trades(first: int, count: int) -> pa.RecordBatch:
    """Event i happens at i seconds, with key i % 7 and price i."""
    ids = np.arange(first, first + count)
    return pa.record_batch(
        [
            pa.array(ids * 1000).cast(pa.timestamp("ms")),
            pa.array([f"k{i % 7}" for i in ids]),
            pa.array(ids.astype(float)),
        ],
        schema=TRADES,
    )


@pytest.fixture
def store(tmp_path: Path):
    with Store(tmp_path / "s", segment_bytes=20_000) as store:
        store.create_stream("trades", TRADES, time="ts")
        for first in range(0, 2000, 100):
            assert store.append("trades", trades(first, 100)) == first
        yield store


def prices(reader: pa.RecordBatchReader) -> list[float]:
    return reader.read_all().column("price").to_pylist()


ALL_TYPES = {
    "bool": pa.array([True, None, False, True]),
    "int8": pa.array([1, None, -3, 4], pa.int8()),
    "uint64": pa.array([1, None, 2**64 - 1, 0], pa.uint64()),
    "half": pa.array([np.float16(1.5), None, np.float16(2), np.float16(0)], pa.float16()),
    "double": pa.array([1.5, None, float("inf"), -0.0]),
    "date32": pa.array([1, None, 3, 4], pa.date32()),
    "date64": pa.array([86400000, None, 0, 0], pa.date64()),
    "time64": pa.array([1, None, 3, 4], pa.time64("ns")),
    "timestamp": pa.array([1, None, 3, 4], pa.timestamp("ns", "Europe/Berlin")),
    "duration": pa.array([1, None, 3, 4], pa.duration("us")),
    "decimal": pa.array(
        [decimal.Decimal(n) if n else None for n in ("1.25", "", "-2", "0")], pa.decimal128(20, 3)),
    "string": pa.array(["a", None, "", "ü"]),
    "large_string": pa.array(["a", None, "", "ü"], pa.large_string()),
    "string_view": pa.array(["a", None, "a text that is too long to be inlined", "ü"], pa.string_view()),
    "binary": pa.array([b"\0", None, b"", b"x"]),
    "fixed": pa.array([b"ab", None, b"cd", b"ef"], pa.binary(2)),
    "dictionary": pa.array(["a", None, "b", "a"]).dictionary_encode(),
    "dictionary8": pa.DictionaryArray.from_arrays(
        pa.array([0, None, 1, 0], pa.uint8()), pa.array(["x", "y"], pa.string_view())),
    "list": pa.array([[1, 2], None, [], [3]]),
    "struct": pa.array([{"x": 1}, None, {"x": None}, {"x": 2}]),
    "map": pa.array([[("a", 1)], None, [], [("b", 2)]], pa.map_(pa.string(), pa.int64())),
    "null": pa.nulls(4),
    "list of dictionary": pa.array(
        [["a"], None, [], ["b", "a"]], pa.list_(pa.dictionary(pa.int32(), pa.string()))),
}  # fmt: skip


@pytest.mark.parametrize("name", ALL_TYPES)
def test_every_type_comes_back_whole_and_sliced(name, tmp_path):
    column = ALL_TYPES[name]
    schema = pa.schema([pa.field("x", column.type, metadata={"unit": "m"})], metadata={"made": "here"})
    batch = pa.record_batch([column], schema=schema)
    for _ in range(2):  # the second time it is reopened
        with Store(tmp_path / "s") as store:
            store.create_stream("t", schema)
            store.append("t", batch)
            store.append("t", batch.slice(1, 2))
            assert store.streams()["t"].schema.equals(schema, check_metadata=True)
    expected = pa.concat_arrays([column, column.slice(1, 2)] * 2).to_pylist()
    with Store(tmp_path / "s") as store:
        store.seal()
        table = store.scan("t").read_all()
        table.validate(full=True)
        assert table.column("x").to_pylist() == expected
        assert table.schema.equals(schema, check_metadata=True)
        valid = store.scan("t", sequence_column="n", where=pc.field("x").is_valid()).read_all()
        assert valid.column("x").to_pylist() == [x for x in expected if x is not None]


def test_all_types_together_are_read_by_others_from_sealed_files(tmp_path):
    batch = pa.record_batch(ALL_TYPES)
    with Store(tmp_path / "s") as store:
        store.create_stream("t", batch.schema)
        store.append("t", batch)
        store.append("t", batch.slice(2))
        store.seal()
        (path,) = (tmp_path / "s/streams/t").glob("0*.arrow")
        assert (
            pa.ipc.open_stream(path).read_all().to_pylist() == batch.to_pylist() + batch.slice(2).to_pylist()
        )


def test_polars_reads_sealed_segments(store, tmp_path):
    store.seal()
    files = sorted((tmp_path / "s/streams/trades").glob("0*.arrow"))
    assert len(files) > 2
    frames = [pl.read_ipc_stream(io.BytesIO(file.read_bytes())) for file in files]
    assert pl.concat(frames)["price"].to_list() == list(range(2000))


def test_reopened_store_goes_on_with_the_sequence(store, tmp_path):
    store.close()
    with Store(tmp_path / "s") as again:
        assert again.recovered == []
        assert again.append("trades", trades(2000, 5)) == 2000
        assert prices(again.scan("trades")) == list(range(2005))
        info = again.streams()["trades"]
        assert (info.rows, info.next_sequence, info.time) == (2005, 2005, "ts")
        assert info.time_range[1].as_py() == dt.datetime(1970, 1, 1, 0, 33, 24)
        assert info.segments > 2


@pytest.mark.parametrize(
    ("start", "stop", "first", "after"),
    [
        ("1970-01-01T00:01:40", "1970-01-01T00:05:00", 100, 300),
        ("1970-01-01T00:01:40.0005", "1970-01-01 00:05:00.000000001", 101, 301),
        (dt.datetime(1970, 1, 1, 0, 2), None, 120, 2000),
        (None, np.datetime64(250, "s"), 0, 250),
        (np.datetime64(249_000_001, "us"), np.datetime64("1970-01-02"), 250, 2000),
        (1500, 3000, 2, 3),
        (dt.date(1970, 1, 1), dt.date(1970, 1, 1), 0, 0),
        (pa.scalar(5, pa.timestamp("s")), 10**30, 5, 2000),
        (-(10**30), -(10**29), 0, 0),
        (10**30, None, 0, 0),
        (5000, 3000, 0, 0),
    ],
)
def test_time_bounds_are_half_open_and_exact(store, start, stop, first, after):
    assert prices(store.scan("trades", start=start, stop=stop)) == list(range(first, after))


@pytest.mark.parametrize(
    ("first", "after"), [(0, 1), (99, 101), (250, None), (None, 3), (1999, 9999), (5000, None), (7, 7)]
)
def test_sequence_bounds_are_half_open(store, first, after):
    wanted = list(range(2000))[first:after]
    assert prices(store.scan("trades", sequence=(first, after))) == wanted
    table = store.scan("trades", sequence=(first, after), columns=["price"], sequence_column="seq").read_all()
    assert table.column("seq").to_pylist() == wanted
    assert table.schema.names == ["price", "seq"]


def test_where_bounds_and_columns_together(store):
    reader = store.scan(
        "trades",
        start=50_000,
        stop=900_000,
        sequence=(60, 800),
        where=pc.field("key") == "k3",
        columns=["price"],
    )
    assert prices(reader) == [i for i in range(60, 800) if i % 7 == 3]
    assert store.scan("trades", where=pc.field("price") < 0).read_all().num_rows == 0


def test_where_keeps_the_order_and_drops_null_conditions(tmp_path):
    with Store(tmp_path / "s") as store:
        store.create_stream("t", pa.schema([("x", pa.int64())]))
        values = [i if i % 3 else None for i in range(100_000)]
        store.append("t", {"x": pa.array(values, pa.int64())})
        assert store.scan("t", where=pc.field("x") > 5).read_all().column("x").to_pylist() == [
            x for x in values if x is not None and x > 5
        ]


def test_unordered_times_and_nulls_are_filtered_row_by_row(tmp_path):
    rng = np.random.default_rng(1)
    schema = pa.schema([("ts", pa.int32()), ("price", pa.int64())])
    everything = []
    with Store(tmp_path / "s", segment_bytes=2000) as store:
        store.create_stream("t", schema, time="ts")
        for size in rng.integers(1, 60, 40):
            times = [None if rng.random() < 0.1 else int(t) for t in rng.integers(-50, 50, size)]
            batch = pa.record_batch([pa.array(times, pa.int32()), pa.array(range(size))], schema=schema)
            store.append("t", batch)
            everything += batch.to_pylist()
        store.append("t", {"ts": pa.nulls(3, pa.int32()), "price": [1, 2, 3]})
        for start, stop in [(-10, 10), (None, 0), (49, None), (-50, 50)]:
            low, high = -100 if start is None else start, 100 if stop is None else stop
            wanted = [row for row in everything if row["ts"] is not None and low <= row["ts"] < high]
            assert store.scan("t", start=start, stop=stop).read_all().to_pylist() == wanted
        assert store.scan("t").read_all().num_rows == len(everything) + 3


def test_naive_bounds_are_read_in_the_zone_of_the_column(tmp_path):
    with Store(tmp_path / "s") as store:
        for name, zone, offset_hours in [
            ("berlin", "Europe/Berlin", 1),
            ("fixed", "+05:30", 5.5),
            ("utc", "UTC", 0),
        ]:
            kind = pa.timestamp("s", zone)
            store.create_stream(name, pa.schema([("ts", kind)]), time="ts")
            store.append(name, {"ts": pa.array(range(0, 86400, 600)).cast(kind)})
            for start in ("1970-01-01T12:00", dt.datetime(1970, 1, 1, 12), np.datetime64("1970-01-01T12")):
                got = store.scan(name, start=start).read_all().column("ts").cast(pa.int64())[0].as_py()
                assert got == (12 - offset_hours) * 3600
            aware = store.scan(name, start="1970-01-01T12:00:00.000000001+02:00").read_all()
            assert aware.column("ts").cast(pa.int64())[0].as_py() == 10 * 3600 + 600


def test_a_scan_is_lazy_and_does_not_see_later_appends(store):
    reader = store.scan("trades", sequence=(1900, None))
    store.append("trades", trades(2000, 50))
    assert prices(reader) == list(range(1900, 2000))
    assert prices(store.scan("trades", sequence=(1999, None))) == list(range(1999, 2050))


def test_data_come_in_every_form(tmp_path):
    with Store(tmp_path / "s") as store:
        store.create_stream("t", pa.schema([("a", pa.int64()), ("s", pa.string())]))
        table = pa.table({"s": ["x", "y"], "a": [1, 2]})  # other order
        for data in (
            table, table.to_batches()[0], pl.DataFrame(table),
            pa.concat_tables([table.slice(0, 1), table.slice(1)]),
            {"a": np.array([1, 2]), "s": ["x", "y"]},
            table.set_column(0, "s", table["s"].dictionary_encode()),
            table.set_column(0, "s", table["s"].cast(pa.large_string())),
            table.set_column(0, "s", table["s"].cast(pa.string_view())),
        ):  # fmt: skip
            store.append("t", data)
        assert store.scan("t").read_all().to_pylist() == [{"a": 1, "s": "x"}, {"a": 2, "s": "y"}] * 8
        assert store.append("t", table.slice(0, 0)) == 16
        assert store.append("t", {"a": pa.array([], pa.int64()), "s": pa.array([], pa.string())}) == 16


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.uint16(), pa.large_string())]
)
@pytest.mark.parametrize(
    "given", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
)
def test_encodings_of_text_are_cast_to_the_streams(kind, given, tmp_path):
    with Store(tmp_path / "s") as store:
        store.create_stream("t", pa.schema([("x", kind)]))
        column = pa.array(["a", None, "b", "a"])
        column = (
            column.dictionary_encode().cast(given) if pa.types.is_dictionary(given) else column.cast(given)
        )
        store.append("t", pa.record_batch([column], names=["x"]))
        table = store.scan("t").read_all()
        assert table.schema.field("x").type == kind
        assert table.column("x").to_pylist() == ["a", None, "b", "a"]


@pytest.mark.parametrize(
    "kind",
    [
        pa.int64(),
        pa.bool_(),
        pa.string(),
        pa.string_view(),
        pa.list_(pa.int32()),
        pa.dictionary(pa.int32(), pa.string()),
    ],
)
def test_a_small_slice_does_not_store_its_parent(kind, tmp_path):
    texts = [f"a text of more than twelve bytes, number {i}" for i in range(20_000)]
    parent = {
        pa.int64(): lambda: pa.array(range(20_000)), pa.bool_(): lambda: pa.array([True] * 20_000),
        pa.list_(pa.int32()): lambda: pa.array([[i, i] for i in range(20_000)], kind),
        pa.dictionary(pa.int32(), pa.string()): lambda: pa.array(texts).dictionary_encode(),
    }.get(kind, lambda: pa.array(texts, kind))()  # fmt: skip
    batch = pa.record_batch([parent], names=["x"]).slice(500, 10)
    with Store(tmp_path / "s") as store:
        store.create_stream("t", batch.schema)
        store.append("t", batch)
        assert store.streams()["t"].bytes < 3000
        assert store.scan("t").read_all().column("x").to_pylist() == batch.column("x").to_pylist()


def test_misfits_are_named_and_change_nothing(store):
    before = store.streams()["trades"]
    batch = trades(0, 3)
    cases = [
        (batch.select(["ts", "key"]), "column 'price' .* is missing"),
        (batch.append_column("more", pa.array([1, 2, 3])), "column 'more' .* is not in the store"),
        (
            batch.set_column(2, "price", pa.array([1, 2, 3])),
            "column 'price' is double in the store, int64 here",
        ),
        ({"ts": [1]}, "missing"),
        ({"ts": [1, 2], "key": ["a"], "price": [1.0]}, "cannot be read"),
        (7, "cannot store a int"),
    ]
    for data, text in cases:
        with pytest.raises(SchemaError, match=text):
            store.append("trades", data)
    assert store.streams()["trades"] == before
    store.create_stream("strict", pa.schema([pa.field("x", pa.int64(), nullable=False)]))
    with pytest.raises(SchemaError, match="'x' has 1 nulls and is not nullable"):
        store.append("strict", {"x": pa.array([1, None])})
    assert store.append("strict", {"x": pa.array([1])}) == 0


def test_wrong_questions_are_named(store):
    cases = [
        ({"columns": ["prise"]}, "no column 'prise'; there are"),
        ({"columns": "price"}, "list of column names"),
        ({"where": pc.field("prise") > 1}, "prise"), ({"where": pc.field("price")}, "must give booleans"),
        ({"where": "price > 1"}, "expression"), ({"start": "soon"}, "start='soon' is not a time"),
        ({"start": "2024-01-01T00:00Z"}, "has a time zone"), ({"stop": 1.5}, "stop=1.5 is not a time"),
        ({"sequence": (-1, 2)}, "whole numbers"), ({"sequence_column": "price"}, "choose another name"),
        ({"start": np.datetime64("NaT")}, "not a time"),
    ]  # fmt: skip
    for arguments, text in cases:
        with pytest.raises(SchemaError, match=text):
            store.scan("trades", **arguments)
    store.create_stream("timeless", pa.schema([("x", pa.int64())]))
    with pytest.raises(SchemaError, match="no time column; give sequence"):
        store.scan("timeless", start=1)
    with pytest.raises(StoreError, match=r"no stream 'trade' .* there are \['timeless', 'trades'\]"):
        store.scan("trade")


def test_declaring_again_is_idempotent_and_strict(store):
    store.create_stream("trades", TRADES, time="ts")
    with pytest.raises(SchemaError, match="column 'price' is double in the store, int64 here"):
        store.create_stream("trades", TRADES.set(2, pa.field("price", pa.int64())), time="ts")
    with pytest.raises(SchemaError, match="order"):
        store.create_stream("trades", pa.schema(list(TRADES)[::-1]), time="ts")
    with pytest.raises(SchemaError, match="time column 'ts', not None"):
        store.create_stream("trades", TRADES)
    for schema, time, text in [
        (pa.schema([]), None, "without columns"),
        (pa.schema([("a", pa.int8())] * 2), None, "'a' occurs twice"),
        (TRADES, "t", "no time column 't'"),
        (TRADES, "price", "'price' is double"), ("x", None, "pyarrow.Schema"),
    ]:  # fmt: skip
        with pytest.raises(SchemaError, match=text):
            store.create_stream("new", schema, time)
    with pytest.raises(StoreError, match="by case alone"):
        store.create_stream("Trades", TRADES)
    assert list(store.streams()) == ["trades"]


def test_matches_are_kept_apart(store, tmp_path):
    store.matches.create_stream("trades", pa.schema([("n", pa.int64())]))
    store.matches.append("trades", {"n": [1, 2]})
    assert (tmp_path / "s/matches/trades/schema.arrow").exists()
    store.close()
    with Store(tmp_path / "s") as again:
        assert again.matches.scan("trades").read_all().to_pydict() == {"n": [1, 2]}
        assert again.streams()["trades"].rows == 2000
        assert again.matches.streams()["trades"].rows == 2


@pytest.mark.parametrize(
    "name", ["../../up", ".", "..", "a/b", "a\\b", "C:", "nul", "ünï", " ", "x" * 200, "%41", "a.arrow", "\0"]
)
def test_any_name_stays_inside_the_store(name, tmp_path):
    assert decode_name(encode_name(name)) == name
    with Store(tmp_path / "s") as store:
        store.create_stream(name, pa.schema([("x", pa.int64())]))
        store.append(name, {"x": [1]})
    assert [p.name for p in tmp_path.iterdir()] == ["s"]
    assert [p.parent.parent for p in tmp_path.rglob("schema.arrow")] == [tmp_path / "s/streams"]
    with Store(tmp_path / "s") as store:
        assert store.scan(name).read_all().num_rows == 1


@pytest.mark.parametrize("name", ["", "x" * 201, "ü" * 40, 7, "\ud800"])
def test_impossible_names_are_refused(name, tmp_path):
    with Store(tmp_path / "s") as store, pytest.raises(StoreError, match="name"):
        store.create_stream(name, pa.schema([("x", pa.int64())]))


@pytest.mark.parametrize("durability", ["commit", "interval", "none"])
def test_many_threads_append_and_one_reads(durability, tmp_path):
    schema = pa.schema([("thread", pa.int64()), ("n", pa.int64())])
    with Store(tmp_path / "s", durability=durability, segment_bytes=20_000, interval_ms=1) as store:
        log = store.create_stream("t", schema)
        taken: list[tuple[int, int]] = []

        def work(thread: int) -> None:
            taken.extend((log.append({"thread": [thread] * 3, "n": [n] * 3}), thread) for n in range(60))

        threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
        for thread in threads:
            thread.start()
        seen = 0
        while any(thread.is_alive() for thread in threads):
            rows = store.scan("t").read_all().num_rows  # always whole batches, never less than before
            assert rows % 3 == 0
            assert rows >= seen
            seen = rows
        for thread in threads:
            thread.join()
        table = store.scan("t").read_all()
        assert table.num_rows == 6 * 60 * 3
        assert sorted(first for first, _ in taken) == list(range(0, 1080, 3))
        by_row = table.column("thread").to_pylist()
        assert all(by_row[first] == thread for first, thread in taken)
        for thread in range(6):  # each thread's own appends stay in their order
            n = table.filter(pc.field("thread") == thread).column("n").to_pylist()
            assert n == sorted(n)


def test_a_closed_store_says_so(store):
    log = store.log("trades")
    store.close()
    store.close()
    for call in (lambda: store.append("trades", trades(0, 1)), lambda: log.append(trades(0, 1)),
                 lambda: store.scan("trades"),
                 store.streams, lambda: store.create_stream("x", TRADES)):  # fmt: skip
        with pytest.raises(ClosedError, match="closed"):
            call()
