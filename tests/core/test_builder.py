"""Output columns: what is pushed or gathered is what comes out, and a failure leaves no trace."""

import gc

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin_core.batch import Batch, live_batches, live_exports
from tocsin_core.schema import Schema
from tocsin_core.status import SchemaError
from tocsin_core.testing import Builder, gather_rows, null_counts, read_columns

OK, TYPE, CAPACITY = 0, 11, 12
LONG = "a string longer than the twelve bytes of a view"


@pytest.fixture(autouse=True)
def nothing_leaks():
    before = live_batches(), live_exports()
    yield
    if (live_batches(), live_exports()) != before:
        gc.collect()
    assert (live_batches(), live_exports()) == before


def builder(*formats):
    return Builder(Schema.from_fields([f"c{i}" for i in range(len(formats))], formats))


def rows(*values):
    return np.array(values, dtype=np.int32)


def exported(out):
    back = pa.record_batch(out.export())
    back.validate(full=True)
    return back


INTS = {
    "c": (-128, 127),
    "C": (0, 255),
    "s": (-(2**15), 2**15 - 1),
    "S": (0, 2**16 - 1),
    "i": (-(2**31), 2**31 - 1),
    "I": (0, 2**32 - 1),
    "l": (-(2**63), 2**63 - 1),
    "L": (0, 2**63 - 1),
}


@pytest.mark.parametrize("format", INTS)
def test_pushed_integers_of_every_width(format):
    out = builder(format)
    values = [*INTS[format], None, 0, 1] * 50
    assert {out.push(0, v) for v in values} == {OK}
    assert exported(out).column(0).to_pylist() == values


def test_pushed_bools_floats_strings_and_fixed():
    out = builder("b", "g", "f", "u", "w:3", "d:9,2", "tsu:UTC")
    for i in range(200):
        null = i % 7 == 3
        for column, value in enumerate(
            [i % 2, i / 2, i / 4, str(i).encode() * (i % 5), b"abc", b"\x05" + 15 * b"\0", i]
        ):
            assert out.push(column, None if null else value) == OK
    back = exported(out)
    assert [column.null_count for column in back.columns] == [29] * 7
    assert back.slice(2, 1).to_pylist()[0]["c0"] is False
    assert back.column(3).to_pylist()[4] == "4444"
    assert str(back.column(5)[0].as_py()) == "0.05"


def test_a_value_of_the_wrong_kind_is_refused():
    out = builder("b", "g", "u", "w:3", "l", "n")
    wrong = {
        0: [1.5, b"x"],
        1: [1, b"x"],
        2: [1, 1.5],
        3: [1, 1.5, b"xx", b"xxxx"],
        4: [1.5, b"x"],
        5: [1, 1.5, b"x"],
    }
    for column, values in wrong.items():
        assert [out.push(column, v) for v in values] == [TYPE] * len(values)
        assert out.length(column) == 0


def test_truncate_forgets_rows_nulls_and_bytes():
    out = builder("l", "u", "b", "n")
    data = [(1, b"a", 1, None), (None, None, None, None), (3, b"ccc", 0, None), (None, b"d", 1, None)]
    for row in data:
        for column, value in enumerate(row):
            out.push(column, value)
    for column in range(4):
        out.truncate(column, 9)
        assert out.length(column) == 4
        out.truncate(column, 2)
        out.push(column, [7, b"zz", 0, None][column])
    batch = out.export()
    assert null_counts(batch) == [1, 1, 1, 3]
    back = pa.record_batch(batch)
    back.validate(full=True)
    assert back.to_pydict() == {
        "c0": [1, None, 7],
        "c1": ["a", None, "zz"],
        "c2": [True, None, False],
        "c3": [None] * 3,
    }


def test_no_rows_and_no_columns_make_batches():
    back = exported(builder("l", "u", "b", "g", "w:3", "w:0", "n"))
    assert (back.num_rows, back.num_columns) == (0, 7)
    assert exported(builder()).num_columns == 0


def test_a_builder_is_empty_and_usable_after_export():
    out = builder("u")
    out.push(0, b"x")
    first = out.export()
    out.push(0, b"y")
    assert read_columns(first) == [[b"x"]]
    assert read_columns(out.export()) == [[b"y"]]


# ------------------------------------------------------------------ gather

SOURCES = {
    "b": pa.array([True, False, None, True, True]),
    **{
        f: pa.array([0, 1, None, 100, 5], t)
        for f, t in {
            "c": pa.int8(),
            "C": pa.uint8(),
            "s": pa.int16(),
            "S": pa.uint16(),
            "i": pa.int32(),
            "I": pa.uint32(),
            "l": pa.int64(),
            "L": pa.uint64(),
            "f": pa.float32(),
            "g": pa.float64(),
            "tdD": pa.date32(),
            "tsn:UTC": pa.timestamp("ns", "UTC"),
            "tDs": pa.duration("s"),
            "d:38,2": pa.decimal128(38, 2),
            "d:60,2,256": pa.decimal256(60, 2),
        }.items()
    },
    "e": pa.array([1.5, 2.5, None, -4.0, 0.0]).cast(pa.float16()),
    "w:3": pa.array([b"abc", b"def", None, b"ghi", b"jkl"], pa.binary(3)),
    "w:5": pa.array([b"abcde", b"fghij", None, b"klmno", b"pqrst"], pa.binary(5)),
    "u": pa.array(["", LONG, None, "é", "end"]),
    "z": pa.array([b"", b"\xff", None, b"a\0", b"end"]),
}


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("optional", [False, True])
@pytest.mark.parametrize("dense", [False, True], ids=["nulls", "no nulls"])
@pytest.mark.parametrize("format", SOURCES)
def test_rows_of_every_type_are_gathered_after_what_is_there(format, dense, optional, start):
    source = SOURCES[format]
    if dense:
        source = pc.if_else(source.is_valid(), source, source[3]) if format != "e" else source.drop_null()
    source = source.slice(start)
    n = len(source)
    chosen = [0, n - 1, 1, 1, 2, 0] * 40
    if optional:
        chosen[5] = chosen[77] = -1
    out = builder(format)
    batch = Batch.from_arrow(pa.record_batch([source], ["x"]))
    expected = [source[r].as_py() if r >= 0 else None for r in chosen]
    assert out.gather(0, batch, 0, rows(*chosen), optional) == OK
    assert out.gather(0, batch, 0, rows(), optional) == OK
    assert out.gather(0, batch, 0, rows(*chosen[:3]), optional) == OK
    made = out.export()
    assert null_counts(made) == [(expected + expected[:3]).count(None)]
    back = pa.record_batch(made)
    back.validate(full=True)
    assert back.column(0).to_pylist() == expected + expected[:3]


STRINGS = pa.array(["", LONG, None, "é", "end"])


@pytest.mark.parametrize("optional", [False, True])
@pytest.mark.parametrize(
    "source",
    [
        STRINGS.cast(pa.large_string()),
        STRINGS.cast(pa.string_view()),
        STRINGS.dictionary_encode(),
        *[
            pa.DictionaryArray.from_arrays(pa.array([2, None, 0, 1, 2], t), pa.array(["a", None, LONG]))
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
        ],
        pa.DictionaryArray.from_arrays(pa.array([0, 1, 1, 0, 0]), pa.array([LONG, "x"], pa.large_string())),
        pa.DictionaryArray.from_arrays(pa.array([0, 1, 1, 0, 0]), pa.array([LONG, "x"], pa.string_view())),
        pa.DictionaryArray.from_arrays(pa.array([None] * 5, pa.int8()), pa.array([], pa.string())),
    ],
    ids=lambda a: str(getattr(a, "type", a)),
)
def test_strings_of_every_layout_become_utf8(source, optional):
    batch = Batch.from_arrow(pa.record_batch([source], ["x"]))
    chosen = [4, 0, 1, 2, 3, 3] * 500 + [-1] * optional
    out = builder("u")
    assert out.gather(0, batch, 0, rows(*chosen), optional) == OK
    assert exported(out).column(0).to_pylist() == [source[r].as_py() if r >= 0 else None for r in chosen]


def test_dictionaries_of_numbers_are_decoded_and_null_columns_give_nulls():
    coded = pa.DictionaryArray.from_arrays(pa.array([1, None, 0], pa.uint8()), pa.array([1.5, 2.5]))
    batch = Batch.from_arrow(pa.record_batch([coded, pa.nulls(3)], ["d", "n"]))
    out = builder("g", "u", "n")
    assert out.gather(0, batch, 0, rows(0, 1, 2)) == OK
    assert out.gather(1, batch, 1, rows(0, 1, 2)) == OK
    assert out.gather(2, batch, 1, rows(0, 1, 2)) == OK
    assert exported(out).to_pydict() == {"c0": [2.5, None, 1.5], "c1": [None] * 3, "c2": [None] * 3}


def test_kinds_that_do_not_fit_are_refused_and_leave_no_trace():
    batch = Batch.from_arrow(
        pa.record_batch({"i": [1], "s": ["x"], "l": [[1]], "d": pa.array(["x"]).dictionary_encode()})
    )
    out = builder("g", "u", "l", "w:3", "n")
    for column, sources in {
        0: [0, 1, 2, 3],
        1: [0, 2],
        2: [1, 2, 3],
        3: [0, 1, 2, 3],
        4: [0, 1, 2, 3],
    }.items():
        assert [out.gather(column, batch, s, rows(0)) for s in sources] == [TYPE] * len(sources)
        assert out.length(column) == 0
    assert exported(out).num_rows == 0


@pytest.mark.parametrize(
    "source",
    [
        pa.array(["x" * 2**20]),
        pa.array(["x" * 2**20], pa.string_view()),
        pa.array(["x" * 2**20, None]),
    ],
    ids=["utf8", "view", "nulls"],
)
def test_more_than_two_gibibytes_of_strings_are_refused_before_anything_is_written(source):
    batch = Batch.from_arrow(pa.record_batch([source], ["x"]))
    out = builder("u")
    assert out.push(0, b"first") == OK
    assert out.gather(0, batch, 0, np.zeros(2048, np.int32)) == CAPACITY
    assert out.length(0) == 1
    assert out.gather(0, batch, 0, rows(0)) == OK
    assert [len(v) for v in exported(out).column(0).to_pylist()] == [5, 2**20]


# ------------------------------------------------------------------ whole batches


@st.composite
def batches(draw):
    n = draw(st.integers(0, 30))
    texts = draw(st.lists(st.one_of(st.none(), st.text(max_size=20)), min_size=n, max_size=n))
    numbers = draw(st.lists(st.one_of(st.none(), st.integers(0, 100)), min_size=n, max_size=n))
    whole = pa.record_batch(
        {
            "i8": pa.array(numbers, pa.int8()),
            "u64": pa.array(numbers, pa.uint64()),
            "g": pa.array(numbers, pa.float64()),
            "b": pa.array([None if v is None else v % 2 == 0 for v in numbers], pa.bool_()),
            "d": pa.array(numbers, pa.decimal128(9, 2)),
            "u": pa.array(texts, pa.string()),
            "U": pa.array(texts, pa.large_string()),
            "vu": pa.array(texts, pa.string_view()),
            "n": pa.nulls(n),
            "c": pa.array(texts, pa.string()).dictionary_encode(),
            "k": pa.array(texts, pa.dictionary(pa.uint16(), pa.string())),
            "all": pa.array(range(n), pa.int32()),
        }
    )
    start = draw(st.integers(0, n))
    part = whole.slice(start, draw(st.integers(0, n - start)))
    m = part.num_rows
    return part, draw(st.lists(st.integers(0, m - 1), max_size=40)) if m else []


@settings(max_examples=200, deadline=None)
@given(batches())
def test_gathered_rows_are_those_that_arrow_takes(case):
    part, chosen = case
    batch = Batch.from_arrow(part)
    made = gather_rows(batch, rows(*chosen))
    expected = [[column[r] for r in chosen] for column in read_columns(batch)]
    del batch
    assert read_columns(made) == expected
    back = pa.record_batch(made)
    del made
    if chosen:
        back.validate(full=True)
    assert back.schema.equals(part.schema)
    assert back.to_pylist() == [part.slice(r, 1).to_pylist()[0] for r in chosen]
    assert read_columns(Batch.from_arrow(back)) == expected


@settings(max_examples=100, deadline=None)
@given(batches())
def test_columns_gathered_one_by_one_say_the_same(case):
    part, chosen = case
    batch = Batch.from_arrow(part)
    formats = ["u" if f in ("U", "vu") else f for f in batch.schema.formats]
    out = builder(*formats)
    for column in range(len(formats)):
        assert out.gather(column, batch, column, rows(*chosen)) == OK
    assert read_columns(out.export()) == read_columns(gather_rows(batch, rows(*chosen)))


def test_a_gathered_batch_can_be_gathered_again():
    batch = Batch.from_arrow(
        pa.record_batch(
            {
                "c": pa.array(["a", "b", None]).dictionary_encode(),
                "v": pa.array([LONG, "x", None], pa.string_view()),
            }
        )
    )
    twice = gather_rows(gather_rows(batch, rows(2, 1, 0)), rows(2, 0))
    del batch
    assert pa.record_batch(twice).to_pydict() == {"c": ["a", None], "v": [LONG, None]}


def test_a_column_that_kernels_cannot_read_is_refused_by_its_number():
    batch = Batch.from_arrow(pa.record_batch({"a": [1], "l": [[1]]}))
    with pytest.raises(SchemaError, match="rows of this type cannot be picked out"):
        gather_rows(batch, rows(0))
