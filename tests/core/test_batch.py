"""The capsule contract: what comes in goes out unchanged and unowned; what is corrupt is refused by name."""

import ctypes as ct
import datetime as dt
import decimal
import gc
import threading

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from arrow_by_hand import ByHand, new_capsule
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin_core.batch import Batch, live_batches, live_exports
from tocsin_core.schema import Schema
from tocsin_core.status import SchemaError, TocsinError
from tocsin_core.testing import null_counts, read_columns

LONG = "a string longer than the twelve bytes of a view"
T0 = dt.datetime(2024, 2, 29, 12)


@pytest.fixture(autouse=True)
def nothing_leaks():
    if live_batches() or live_exports():  # what tests of engines left in cycles must not go in the middle
        gc.collect()
    before = live_batches(), live_exports()
    yield
    if (live_batches(), live_exports()) != before:  # perhaps only a cycle that has not been collected
        gc.collect()
    assert (live_batches(), live_exports()) == before


ARRAYS = {
    "null": pa.nulls(5),
    "bool": pa.array([True, None, False, True, True]),
    **{
        str(t): pa.array([1, None, 3, 0, 127], t)
        for t in (
            pa.int8(),
            pa.int16(),
            pa.int32(),
            pa.int64(),
            pa.uint8(),
            pa.uint16(),
            pa.uint32(),
            pa.uint64(),
            pa.float32(),
            pa.float64(),
            pa.date32(),
            pa.time32("s"),
            pa.time64("ns"),
            pa.duration("us"),
        )
    },
    "float16": pa.array(
        [np.float16(1.5), None, np.float16(-0.0), np.float16(np.inf), np.float16(np.nan)], pa.float16()
    ),
    "date64": pa.array([dt.date(2024, 1, 1), None, dt.date(1969, 1, 1), None, None], pa.date64()),
    **{
        f"timestamp {u}": pa.array([T0, None, T0, T0, None], pa.timestamp(u, "Europe/Berlin"))
        for u in ("s", "ms", "us", "ns")
    },
    "month_day_nano": pa.array([(1, 2, 3), None, (0, 0, 0), None, (9, 9, 9)], pa.month_day_nano_interval()),
    **{
        str(t): pa.array([decimal.Decimal("1.25"), None, decimal.Decimal("-7.50"), None, None], t)
        for t in (pa.decimal32(5, 2), pa.decimal64(10, 2), pa.decimal128(38, 2), pa.decimal256(60, 2))
    },
    "fixed binary": pa.array([b"abc", None, b"xyz", b"\0\0\0", None], pa.binary(3)),
    **{
        str(t): pa.array(["", None, LONG, "é", "end"], t)
        for t in (pa.string(), pa.large_string(), pa.string_view())
    },
    **{
        str(t): pa.array([b"", None, LONG.encode(), b"\xff\0", b"end"], t)
        for t in (pa.binary(), pa.large_binary(), pa.binary_view())
    },
    **{
        f"dictionary {t}": pa.DictionaryArray.from_arrays(
            pa.array([2, None, 0, 1, 2], t), pa.array(["a", None, LONG])
        )
        for t in (
            pa.int8(),
            pa.uint8(),
            pa.int16(),
            pa.uint16(),
            pa.int32(),
            pa.uint32(),
            pa.int64(),
            pa.uint64(),
        )
    },
    "dictionary of views": pa.DictionaryArray.from_arrays(
        pa.array([0, 1, 1, None, 0], pa.uint32()), pa.array(["a", LONG], pa.string_view())
    ),
    "dictionary of lists": pa.DictionaryArray.from_arrays(
        pa.array([0, 1, 1, None, 0]), pa.array([[1], [2, 3]])
    ),
    "list": pa.array([[1], None, [], [2, 3], [4]]),
    "large_list": pa.array([[1], None, [], [2, 3], [4]], pa.large_list(pa.int64())),
    "fixed list": pa.array([[1, 2], None, [3, 4], [5, 6], None], pa.list_(pa.int64(), 2)),
    "list_view": pa.array([[1], None, [], [2, 3], [4]], pa.list_view(pa.int64())),
    "struct": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": LONG}, {"a": 2, "b": None}, None]),
    "map": pa.array([[("k", 1)], None, [], [("l", 2)], [("m", None)]], pa.map_(pa.string(), pa.int64())),
    "sparse union": pa.UnionArray.from_sparse(
        pa.array([0, 1, 0, 1, 0], pa.int8()), [pa.array([1, 2, 3, 4, 5]), pa.array(list("vwxyz"))]
    ),
    "dense union": pa.UnionArray.from_dense(
        pa.array([0, 1, 0, 1, 0], pa.int8()),
        pa.array([0, 0, 1, 1, 2], pa.int32()),
        [pa.array([1, 2, 3]), pa.array(["x", "y"])],
    ),
    "run ends": pa.RunEndEncodedArray.from_arrays(pa.array([2, 5], pa.int32()), pa.array(["x", None])),
    "all null strings": pa.nulls(5, pa.string()),
    "all valid": pa.array([1, 2, 3, 4, 5]),
}


def batch_of(array):
    return pa.record_batch([array], ["x"])


@pytest.mark.parametrize("name", ARRAYS)
def test_every_type_goes_in_and_out_unchanged(name):
    there = batch_of(ARRAYS[name])
    back = pa.record_batch(Batch.from_arrow(there))
    back.validate(full=True)
    assert back.schema.equals(there.schema)
    assert back.to_pylist() == there.to_pylist() or name == "float16"


@pytest.mark.parametrize("start", [0, 1, 3, 5])
@pytest.mark.parametrize("name", ARRAYS)
def test_every_type_sliced(name, start):
    there = batch_of(ARRAYS[name]).slice(start, 2)
    batch = Batch.from_arrow(there)
    back = pa.record_batch(batch)
    if len(back):  # pyarrow finds fault with its own import of an empty slice of views
        back.validate(full=True)
    assert len(batch) == there.num_rows
    assert back.to_pylist() == there.to_pylist() or name == "float16"
    if name not in ("run ends", "null") and batch.schema.kinds != (0,):
        assert null_counts(batch) == [there.column(0).null_count]


@pytest.mark.parametrize("name", ARRAYS)
def test_every_type_empty(name):
    try:
        empty = pa.array([], ARRAYS[name].type)
    except pa.ArrowNotImplementedError:
        empty = ARRAYS[name].slice(0, 0)
    there = batch_of(empty)
    back = pa.record_batch(Batch.from_arrow(there))
    assert back.schema.equals(there.schema)
    assert back.num_rows == 0


def readable(value):
    return value.encode() if isinstance(value, str) else value


@pytest.mark.parametrize("start", [0, 1, 3])
@pytest.mark.parametrize(
    "name",
    [
        n
        for n in ARRAYS
        if n.startswith(
            (
                "bool",
                "int",
                "uint",
                "float32",
                "double",
                "string",
                "large_string",
                "binary",
                "large_binary",
                "dictionary ",
                "all",
            )
        )
    ],
)
def test_the_readers_see_what_arrow_sees(name, start):
    there = batch_of(ARRAYS[name].slice(start))
    batch = Batch.from_arrow(there)
    if batch.schema.kinds == (0,):
        return
    assert read_columns(batch) == [[readable(v) for v in there.column(0).to_pylist()]]


def test_half_floats_are_read_as_numpy_reads_them():
    bits = np.arange(1 << 16, dtype=np.uint16)
    read = read_columns(Batch.from_arrow(batch_of(pa.array(bits.view(np.float16)))))[0]
    assert np.array_equal(np.array(read), bits.view(np.float16).astype(float), equal_nan=True)


def struct_batch(array):
    """A producer whose struct array is passed as it is: its own offset and validity included."""

    class Producer:
        def __arrow_c_array__(self, requested_schema=None):
            return array.__arrow_c_array__()

    return Producer()


def test_the_offset_of_the_struct_applies_to_its_children():
    struct = pa.StructArray.from_arrays(
        [pa.array([0, 1, None, 3, 4]), pa.array(["a", "b", "c", None, LONG])], ["n", "s"]
    )
    batch = Batch.from_arrow(struct_batch(struct.slice(1, 3)))
    assert read_columns(batch) == [[1, None, 3], [b"b", b"c", None]]
    assert null_counts(batch) == [1, 1]
    back = pa.record_batch(batch)
    back.validate(full=True)
    assert back.to_pylist() == struct.slice(1, 3).to_pylist()


def test_every_type_in_a_sliced_struct():
    arrays = {n: a for n, a in ARRAYS.items() if len(a) == 5}
    struct = pa.StructArray.from_arrays(arrays.values(), arrays)
    batch = Batch.from_arrow(struct_batch(struct.slice(1, 3)))
    back = pa.record_batch(batch)
    back.validate(full=True)
    assert str(back.to_pylist()) == str(struct.slice(1, 3).to_pylist())


def test_rows_that_are_null_as_a_whole_are_refused_unless_the_slice_has_none():
    struct = pa.StructArray.from_arrays([pa.array([0, 1, 2])], ["n"], mask=pa.array([False, True, False]))
    with pytest.raises(SchemaError, match="whole rows are null"):
        Batch.from_arrow(struct_batch(struct))
    assert read_columns(Batch.from_arrow(struct_batch(struct.slice(2)))) == [[2]]


def test_no_columns_and_some_rows():
    there = pa.record_batch({"a": [1, 2, 3]}).select([])
    batch = Batch.from_arrow(there)
    assert (batch.num_rows, batch.num_columns, len(batch)) == (3, 0, 3)
    assert pa.record_batch(batch).num_rows == 3


def test_chunked_tables_come_as_batches():
    table = pa.table({"a": pa.chunked_array([[1, 2], [], [3]]), "b": pa.chunked_array([["x"], ["y", None]])})
    batches = list(Batch.import_stream(table))
    assert pa.Table.from_batches([pa.record_batch(b) for b in batches]).to_pydict() == table.to_pydict()
    assert (
        list(Batch.import_stream(table.slice(0, 0))) == []
        or sum(map(len, Batch.import_stream(table.slice(0, 0)))) == 0
    )
    stream = Batch.import_stream(table.schema.empty_table())
    assert stream.schema.names == ("a", "b")


FRAME = {"i": [1, None, 3], "s": ["x", None, LONG], "f": [1.5, float("nan"), None], "t": [T0, None, T0]}


def rows_of(stream):
    return [row for batch in stream for row in pa.record_batch(batch).to_pylist()]


def test_polars_frames_with_views_and_categoricals():
    frame = pl.DataFrame(FRAME).with_columns(
        c=pl.col("s").cast(pl.Categorical),
        e=pl.col("s").cast(pl.Enum(["x", LONG])),
        d=pl.col("f").cast(pl.Decimal(20, 2), strict=False),
    )
    back = list(Batch.import_stream(frame))
    again = pl.concat([pl.DataFrame(pa.record_batch(b)) for b in back])
    assert again["s"].to_list() == FRAME["s"]
    assert again["c"].cast(pl.String).to_list() == FRAME["s"]
    assert again["e"].cast(pl.String).to_list() == FRAME["s"]
    for sliced in (frame.slice(1, 1), frame.slice(3), frame.head(0)):
        assert str(rows_of(Batch.import_stream(sliced))) == str(sliced.to_arrow().to_pylist())


def test_duckdb_relations_with_decimals():
    relation = duckdb.sql("""select i::int as i, (i / 3)::decimal(18, 3) as d,
        (i::varchar || repeat('x', i::int)) as s,
        i::hugeint as h, case when i % 2 = 0 then null else i end as n, ('a' || i % 2)::enum('a0', 'a1') as e,
        interval (i) minute as v, [i] as l from range(20) t(i)""")
    expected = relation.to_arrow_table().to_pylist()
    assert rows_of(Batch.import_stream(relation)) == expected


def test_pandas_frames():
    frame = pd.DataFrame({"i": [1, 2], "s": ["x", None]})
    assert [row["s"] for row in rows_of(Batch.import_stream(frame))] == ["x", None]


def test_a_reader_is_read_once_and_its_fault_told_in_its_own_words():
    def produce():
        yield pa.record_batch({"a": [1]})
        raise ValueError("the disk is gone")

    stream = Batch.import_stream(pa.RecordBatchReader.from_batches(pa.schema([("a", pa.int64())]), produce()))
    assert len(next(stream)) == 1
    with pytest.raises(TocsinError, match="the disk is gone"):
        next(stream)
    stream.close()
    with pytest.raises(StopIteration):
        next(stream)


def test_a_stream_is_read_by_one_thread_at_a_time():
    entered, leave = threading.Event(), threading.Event()

    def produce():
        entered.set()
        leave.wait(10)
        yield pa.record_batch({"a": [1]})

    stream = Batch.import_stream(pa.RecordBatchReader.from_batches(pa.schema([("a", pa.int64())]), produce()))
    other = threading.Thread(target=lambda: next(stream))
    other.start()
    entered.wait(10)
    try:
        with pytest.raises(TocsinError, match="another thread"):
            next(stream)
        with pytest.raises(TocsinError, match="another thread"):
            stream.close()
    finally:
        leave.set()
        other.join()


def test_references_are_taken_and_dropped_on_any_thread():
    batch = Batch.from_arrow(pa.record_batch({"a": pa.array(["x", LONG])}))

    def work():
        for _ in range(500):
            assert pa.record_batch(batch).num_rows == 2

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def test_an_export_outlives_its_batch_and_its_siblings():
    batch = Batch.from_arrow(pa.record_batch({"a": [1, 2], "b": ["x", LONG]}))
    kept = pa.record_batch(batch).column("b")
    del batch
    gc.collect()
    assert kept.to_pylist() == ["x", LONG]
    assert live_batches() > 0


def test_an_export_that_nobody_takes_is_let_go():
    batch = Batch.from_arrow(pa.record_batch({"a": pa.array(["x"]).dictionary_encode(), "l": [[1]]}))
    before = live_exports()
    capsules = batch.__arrow_c_array__()
    assert live_exports() == before + 1
    del capsules
    assert live_exports() == before


def test_a_requested_schema_may_name_a_layout_but_not_another_type():
    batch = Batch.from_arrow(pa.record_batch({"s": ["x"]}))
    layout = pa.schema([("s", pa.string_view())]).__arrow_c_schema__()
    assert pa.RecordBatch._import_from_c_capsule(*batch.__arrow_c_array__(layout)).to_pydict() == {"s": ["x"]}
    with pytest.raises(SchemaError, match="requested schema"):
        batch.__arrow_c_array__(pa.schema([("s", pa.int64())]).__arrow_c_schema__())


def test_a_schema_is_shared_when_it_is_the_same_and_only_then():
    there = pa.record_batch({"a": [1]})
    schema = Schema.from_arrow(there.schema)
    assert Batch.from_arrow(there, schema).schema is schema
    assert next(Batch.import_stream(pa.table(there), schema)).schema is schema
    other = Batch.from_arrow(pa.record_batch({"b": [1]}), schema)
    assert other.schema.names == ("b",)


# ------------------------------------------------------------------ capsules that are not what they should be


def taken(producer):
    try:
        return Batch.from_arrow(producer)
    finally:
        producer.let_go()


def test_a_consumed_capsule_is_refused():
    class Twice:
        capsules = pa.record_batch({"a": [1]}).__arrow_c_array__()

        def __arrow_c_array__(self, requested_schema=None):
            return self.capsules

    producer = Twice()
    assert len(Batch.from_arrow(producer)) == 1
    with pytest.raises(SchemaError, match="released or consumed already"):
        Batch.from_arrow(producer)


def test_a_consumed_stream_is_refused():
    class Twice:
        capsule = pa.table({"a": [1]}).__arrow_c_stream__()

        def __arrow_c_stream__(self, requested_schema=None):
            return self.capsule

    assert len(list(Batch.import_stream(Twice()))) == 1
    with pytest.raises(SchemaError, match="released or consumed already"):
        Batch.import_stream(Twice())


def test_a_released_schema_is_refused():
    producer = ByHand(pa.record_batch({"a": [1]}))
    kept, producer.schema.release = producer.schema.release, None
    with pytest.raises(SchemaError, match="schema was released"):
        Batch.from_arrow(producer)
    producer.schema.release = kept
    producer.let_go()


def test_capsules_of_another_name_or_none_are_refused():
    producer = ByHand(pa.record_batch({"a": [1]}))
    producer.array_name = b"something"
    with pytest.raises(SchemaError, match="named 'arrow_array', got one named 'something'"):
        taken(producer)

    class Wrong:
        answer = None

        def __arrow_c_array__(self, requested_schema=None):
            return self.answer

        def __arrow_c_stream__(self, requested_schema=None):
            return new_capsule(ct.addressof(ct.c_int()), b"x", None)

    wrong = Wrong()
    for wrong.answer in (None, (), (1, 2), "ab", [1, 2]):
        with pytest.raises(SchemaError):
            Batch.from_arrow(wrong)
    with pytest.raises(SchemaError, match="arrow_array_stream"):
        Batch.import_stream(wrong)


def test_what_is_no_table_is_refused():
    with pytest.raises(SchemaError, match="not a table"):
        Batch.from_arrow(pa.array([1, 2]))
    with pytest.raises(SchemaError, match="not a table"):
        Batch.import_stream(pa.chunked_array([[1, 2]]))
    with pytest.raises(TypeError, match="use import_stream"):
        Batch.from_arrow(pl.DataFrame({"a": [1]}))
    with pytest.raises(TypeError, match="__arrow_c_array__"):
        Batch.from_arrow([1])
    with pytest.raises(TypeError, match="__arrow_c_stream__"):
        Batch.import_stream([1])
    with pytest.raises(TypeError):
        Batch()


def test_a_dictionary_of_a_dictionary_is_refused_by_name():
    producer = ByHand(pa.record_batch({"n": [1], "d": pa.array(["x"]).dictionary_encode()}))
    inner = producer.schema.children[1].contents.dictionary.contents
    inner.dictionary = ct.pointer(producer.schema.children[0].contents)
    with pytest.raises(SchemaError, match=r"column 'd'.*dictionary of a dictionary"):
        Batch.from_arrow(producer)
    inner.dictionary = None
    producer.let_go()


# ------------------------------------------------------------------ arrays that break the format


def spoil(array, change, text, name="x"):
    """Applies `change` to the exported column, expects the refusal, restores the structs for their release."""
    producer = ByHand(pa.record_batch([array], [name]))
    column = producer.column()
    fields = {
        f: getattr(s, f)
        for s in (column,)
        for f in ("length", "null_count", "offset", "n_buffers", "n_children")
    }
    buffers = [column.buffers[i] for i in range(column.n_buffers)]
    release = column.release
    change(producer, column)
    with pytest.raises(SchemaError, match=text):
        Batch.from_arrow(producer)
    assert producer.array.release, "a refused array stays its producer's"
    for field, value in fields.items():
        setattr(column, field, value)
    for i, buffer in enumerate(buffers):
        column.buffers[i] = buffer
    column.release = release
    producer.let_go()


def put(**fields):
    def change(producer, column):
        for field, value in fields.items():
            setattr(column, field, value)

    return change


def drop(buffer):
    def change(producer, column):
        column.buffers[buffer] = None

    return change


def shift(buffer, by):
    def change(producer, column):
        column.buffers[buffer] = column.buffers[buffer] + by

    return change


def write(ctype, at, value, buffer=1):
    def change(producer, column):
        producer.values(ctype, buffer=buffer)[at] = value

    return change


INTS = pa.array([1, None, 3])
WORDS = pa.array(["a", "bb", "ccc"])
VIEWS = pa.array(["a", LONG, None], pa.string_view())
CODED = pa.array(["a", "b", None]).dictionary_encode()


@pytest.mark.parametrize(
    ("array", "change", "text"),
    [
        (INTS, put(length=-1), "column 'x'.*negative"),
        (INTS, put(offset=-1), "column 'x'.*negative"),
        (INTS, put(null_count=-2), "column 'x'.*negative"),
        (INTS, put(offset=2**63 - 2), "beyond any memory"),
        (INTS, put(length=2), "shorter than its batch"),
        (INTS, put(n_buffers=1), "wrong number of buffers"),
        (INTS, put(n_buffers=3), "wrong number of buffers"),
        (INTS, put(n_buffers=-1), "wrong number of buffers"),
        (INTS, put(n_children=1), "number of children"),
        (INTS, put(release=None), "released or consumed"),
        (INTS, drop(0), "nulls but no validity bitmap"),
        (INTS, drop(1), "values buffer is missing"),
        (INTS, shift(1, 1), "misaligned"),
        (WORDS, put(n_buffers=2), "wrong number of buffers"),
        (WORDS, drop(1), "offsets buffer is missing"),
        (WORDS, drop(2), "bytes is missing"),
        (WORDS, shift(1, 2), "misaligned"),
        (WORDS, write(ct.c_int32, 0, -1), "negative offset at row 0"),
        (WORDS, write(ct.c_int32, 1, 9), "offsets fall at row 1"),
        (WORDS, write(ct.c_int32, 3, 0), "offsets fall at row 2"),
        (WORDS.cast(pa.large_string()), write(ct.c_int64, 0, -1), "negative offset"),
        (WORDS.cast(pa.large_string()), write(ct.c_int64, 2, -5), "offsets fall at row 1"),
        (WORDS.cast(pa.large_string()), shift(1, 4), "misaligned"),
        (VIEWS, put(n_buffers=2), "wrong number of buffers"),
        (VIEWS, drop(1), "values buffer is missing"),
        (VIEWS, drop(2), "variadic buffer is missing"),
        (VIEWS, drop(3), "sizes of the variadic"),
        (CODED, write(ct.c_int32, 1, 2), "dictionary code lies outside its dictionary at row 1"),
        (CODED, write(ct.c_int32, 0, -1), "dictionary code lies outside its dictionary at row 0"),
    ],
)
def test_an_array_that_breaks_the_format_is_refused_with_its_column_and_row(array, change, text):
    spoil(array, change, text)


@pytest.mark.parametrize("word", [0, 2, 3])
def test_a_view_that_leaves_its_buffer_is_refused(word):
    def change(producer, column):
        views = producer.values(ct.c_int32 * 4)
        views[1][word] = -1 if word != 3 else 1000

    spoil(VIEWS, change, "view points outside its buffers at row 1")


def test_what_lies_under_a_null_is_not_looked_at():
    producer = ByHand(pa.record_batch([CODED], ["x"]))
    producer.values(ct.c_int32)[2] = 99
    assert read_columns(Batch.from_arrow(producer)) == [[b"a", b"b", None]]
    producer = ByHand(pa.record_batch([VIEWS], ["x"]))
    producer.values(ct.c_int32 * 4)[2][0] = -7
    assert read_columns(Batch.from_arrow(producer)) == [[b"a", LONG.encode(), None]]


def test_the_dictionary_is_checked_like_a_column():
    producer = ByHand(pa.record_batch([CODED], ["x"]))
    dictionary = producer.column().dictionary.contents
    offsets = producer.values(ct.c_int32, array=dictionary)
    offsets[1] = 9
    with pytest.raises(SchemaError, match=r"column 'x'.*offsets fall$"):
        taken(producer)


def test_a_dictionary_that_is_missing_or_not_expected_is_refused():
    producer = ByHand(pa.record_batch([CODED], ["x"]))
    column = producer.column()
    kept, column.dictionary = column.dictionary, None
    with pytest.raises(SchemaError, match="disagree on whether there is a dictionary"):
        Batch.from_arrow(producer)
    column.dictionary = kept
    producer.let_go()


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("n_children", 0, "another number of columns"),
        ("n_buffers", 0, "wrong number of buffers"),
        ("length", -3, "negative"),
        ("length", 10, "column 'a'.*shorter"),
        ("length", 2**31, "smaller ones"),
        ("offset", 1, "column 'a'.*shorter"),
        ("null_count", 1, "whole rows are null"),
    ],
)
def test_a_struct_that_breaks_the_format_is_refused(field, value, text):
    producer = ByHand(pa.record_batch({"a": [1, 2]}))
    kept = getattr(producer.array, field)
    setattr(producer.array, field, value)
    with pytest.raises(SchemaError, match=text):
        Batch.from_arrow(producer)
    setattr(producer.array, field, kept)
    producer.let_go()


def test_nested_children_are_checked_in_shape():
    producer = ByHand(pa.record_batch({"l": pa.array([[1], [2, 3]]), "s": pa.array([{"a": 1}, {"a": 2}])}))
    inner = producer.column(1).children[0].contents
    inner.length = 1
    with pytest.raises(SchemaError, match=r"column 's'.*shorter"):
        Batch.from_arrow(producer)
    inner.length = 2
    inner = producer.column(0).children[0].contents
    inner.n_buffers = 7
    with pytest.raises(SchemaError, match=r"column 'l'.*wrong number of buffers"):
        Batch.from_arrow(producer)
    inner.n_buffers = 2
    producer.let_go()


@pytest.mark.parametrize("nulls", [-1, 2, 3])
def test_nulls_are_counted_whatever_the_producer_said(nulls):
    producer = ByHand(pa.record_batch([pa.array([1, None, 3, None])], ["x"]))
    producer.column().null_count = nulls
    assert null_counts(Batch.from_arrow(producer)) == [2]


# ------------------------------------------------------------------ any table

TYPES = [
    pa.bool_(),
    pa.int8(),
    pa.uint32(),
    pa.int64(),
    pa.float64(),
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.dictionary(pa.uint8(), pa.string()),
    pa.dictionary(pa.int32(), pa.string()),
    pa.list_(pa.int8()),
]


def values_of(dtype):
    if pa.types.is_boolean(dtype):
        one = st.booleans()
    elif pa.types.is_integer(dtype):
        one = st.integers(0, 100)
    elif pa.types.is_floating(dtype):
        one = st.floats(allow_nan=False)
    elif pa.types.is_list(dtype):
        one = st.lists(st.integers(0, 9), max_size=3)
    else:
        one = st.text(max_size=20)
    return st.one_of(st.none(), one)


@st.composite
def tables(draw):
    n = draw(st.integers(0, 40))
    columns = {}
    for i, dtype in enumerate(draw(st.lists(st.sampled_from(TYPES), max_size=4))):
        columns[f"c{i}"] = pa.array(draw(st.lists(values_of(dtype), min_size=n, max_size=n)), dtype)
    batch = pa.record_batch(columns) if columns else pa.record_batch({"c": pa.nulls(n)})
    start = draw(st.integers(0, n))
    return batch.slice(start, draw(st.integers(0, n - start)))


@settings(max_examples=200, deadline=None)
@given(tables())
def test_any_table_goes_in_and_out(there):
    batch = Batch.from_arrow(there)
    back = pa.record_batch(batch)
    if len(back):
        back.validate(full=True)
    assert back.equals(there)
    for read, column in zip(read_columns(batch), there.columns, strict=True):
        if not pa.types.is_list(column.type):
            assert read == [readable(v) for v in column.to_pylist()]
