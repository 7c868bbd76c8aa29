"""Schemas: what is copied, compared, refused."""

import pickle

import polars as pl
import pyarrow as pa
import pytest

from tocsin_core.schema import KINDS, Schema
from tocsin_core.status import SchemaError

KIND_OF = [
    (pa.null(), "null"),
    (pa.bool_(), "bool"),
    (pa.int8(), "i8"),
    (pa.int16(), "i16"),
    (pa.int32(), "i32"),
    (pa.int64(), "i64"),
    (pa.uint8(), "u8"),
    (pa.uint16(), "u16"),
    (pa.uint32(), "u32"),
    (pa.uint64(), "u64"),
    (pa.float16(), "f16"),
    (pa.float32(), "f32"),
    (pa.float64(), "f64"),
    (pa.date32(), "i32"),
    (pa.date64(), "i64"),
    (pa.time32("s"), "i32"),
    (pa.time32("ms"), "i32"),
    (pa.time64("us"), "i64"),
    (pa.time64("ns"), "i64"),
    (pa.timestamp("s"), "i64"),
    (pa.timestamp("ns", "Europe/Berlin"), "i64"),
    (pa.duration("ms"), "i64"),
    (pa.month_day_nano_interval(), "fixed"),
    (pa.decimal128(38, 10), "fixed"),
    (pa.decimal256(60, 2), "fixed"),
    (pa.binary(3), "fixed"),
    (pa.string(), "utf8"),
    (pa.binary(), "utf8"),
    (pa.large_string(), "large_utf8"),
    (pa.large_binary(), "large_utf8"),
    (pa.string_view(), "utf8_view"),
    (pa.binary_view(), "utf8_view"),
    (pa.dictionary(pa.uint8(), pa.string()), "utf8"),
    (pa.dictionary(pa.int64(), pa.float32()), "f32"),
    (pa.list_(pa.int8()), "none"),
    (pa.large_list(pa.int8()), "none"),
    (pa.list_(pa.int8(), 3), "none"),
    (pa.list_view(pa.int8()), "none"),
    (pa.large_list_view(pa.int8()), "none"),
    (pa.struct([("x", pa.int8())]), "none"),
    (pa.map_(pa.string(), pa.int8()), "none"),
    (pa.dense_union([pa.field("x", pa.int8())]), "none"),
    (pa.sparse_union([pa.field("x", pa.int8())]), "none"),
    (pa.run_end_encoded(pa.int32(), pa.string()), "none"),
]


@pytest.mark.parametrize(("dtype", "kind"), KIND_OF, ids=lambda v: str(v))
def test_each_arrow_type_has_its_kind_and_comes_back(dtype, kind):
    there = pa.schema(
        [pa.field("x", dtype, nullable=dtype == pa.null(), metadata={"k": "v"})], metadata={b"a": b"\0b"}
    )
    schema = Schema.from_arrow(there)
    assert schema.kinds == (KINDS[kind],)
    assert pa.schema(schema).equals(there, check_metadata=True)
    again = pickle.loads(pickle.dumps(schema))
    assert again == schema
    assert hash(again) == hash(schema)
    assert pa.schema(again).equals(there, check_metadata=True)


STRINGS = ["u", "U", "vu"]
OTHERS = [
    "b",
    "c",
    "C",
    "s",
    "S",
    "i",
    "I",
    "l",
    "L",
    "e",
    "f",
    "g",
    "z",
    "tdD",
    "tdm",
    "tts",
    "ttm",
    "ttu",
    "ttn",
    "tss:",
    "tsu:",
    "tsu:UTC",
    "tsn:UTC",
    "tDs",
    "tDu",
    "tiM",
    "tiD",
    "tin",
    "d:38,10",
    "d:38,9",
    "d:18,10,64",
    "w:3",
    "w:4",
    "n",
]


def one(format):
    return Schema.from_fields(["x"], [format])


@pytest.mark.parametrize("expected", [*STRINGS, "dict"])
@pytest.mark.parametrize("given", [*STRINGS, "dict"])
def test_all_layouts_of_strings_are_one_type(expected, given):
    made = [
        Schema.from_arrow(pa.schema([("x", pa.dictionary(pa.uint32(), pa.string_view()))]))
        if f == "dict"
        else one(f)
        for f in (expected, given)
    ]
    assert made[0].accepts(made[1])
    assert made[0].mismatch(made[1]) == ""


def test_every_other_difference_of_types_is_refused():
    for expected in ["u", *OTHERS]:
        for given in ["u", *OTHERS]:
            assert one(expected).accepts(one(given)) == (expected == given), (expected, given)
    assert one("z").accepts(one("vz"))
    assert one("Z").accepts(one("z"))
    assert not one("Z").accepts(one("u"))
    assert one("d:38,10").accepts(one("d:38,10,128"))


def test_dictionaries_of_numbers_differ_from_numbers_but_not_by_index_width():
    def coded(index, value):
        return Schema.from_arrow(pa.schema([("x", pa.dictionary(index, value))]))

    assert coded(pa.int8(), pa.int64()).accepts(coded(pa.uint32(), pa.int64()))
    assert not coded(pa.int8(), pa.int64()).accepts(coded(pa.int8(), pa.int32()))
    assert not coded(pa.int8(), pa.int64()).accepts(one("l"))
    assert "in a dictionary" in one("l").mismatch(coded(pa.int8(), pa.int64()))


def test_nested_types_compare_by_what_is_inside():
    def nested(dtype):
        return Schema.from_arrow(pa.schema([("x", dtype)]))

    assert nested(pa.list_(pa.field("item", pa.string()))).accepts(
        nested(pa.list_(pa.field("element", pa.string_view())))
    )
    assert not nested(pa.list_(pa.int8())).accepts(nested(pa.list_(pa.int16())))
    assert not nested(pa.struct([("a", pa.int8())])).accepts(nested(pa.struct([("b", pa.int8())])))
    assert "inner types" in nested(pa.list_(pa.int8())).mismatch(nested(pa.list_(pa.int16())))


def test_a_mismatch_is_told_in_words():
    two = Schema.from_fields(["a", "b"], ["l", "u"])
    assert (
        two.mismatch(Schema.from_fields(["b", "a"], ["u", "l"]))
        == "the columns are in another order: b, a; expected a, b"
    )
    assert two.mismatch(Schema.from_fields(["a"], ["l"])) == "column 'b' missing"
    assert two.mismatch(Schema.from_fields(["a", "b", "c"], ["l", "u", "l"])) == "column 'c' not expected"
    assert (
        two.mismatch(Schema.from_fields(["a", "c"], ["l", "u"]))
        == "column 'b' missing; column 'c' not expected"
    )
    assert (
        two.mismatch(Schema.from_fields(["a", "b"], ["g", "u"]))
        == "column 'a' has Arrow type 'g', expected 'l'"
    )
    assert two.mismatch(Schema.from_fields(["a", "b", "b"], ["l", "u", "u"])) != ""


def test_nullability_and_metadata_do_not_matter_to_accepts_but_to_equality():
    plain = Schema.from_fields(["a"], ["l"])
    strict = Schema.from_fields(["a"], ["l"], nullable=False)
    noted = Schema.from_arrow(pa.schema([("a", pa.int64())], metadata={"k": "v"}))
    assert plain.accepts(strict)
    assert plain.accepts(noted)
    assert plain != strict
    assert plain != noted
    assert plain != 1


@pytest.mark.parametrize(
    "format",
    [
        "",
        "x",
        "ll",
        "t",
        "ts",
        "tsx:",
        "tsu",
        "tdX",
        "d:",
        "d:38",
        "d:38,",
        "d:38,1,7",
        "w:",
        "w:-1",
        "w:3x",
        "w:99999999999999999999",
        "v",
        "vx",
        "+",
        "+q",
        "+w:3",
        "+l",
        "+ux:",
        "tiQ",
        "tDx",
        "ttq",
    ],
)
def test_a_format_that_is_none_is_refused_by_name(format):
    with pytest.raises(SchemaError, match="column 'x'"):
        one(format)


def test_what_is_no_schema_is_refused():
    with pytest.raises(SchemaError, match="not a table"):
        Schema.from_arrow(pa.int64())
    with pytest.raises(TypeError, match="__arrow_c_schema__"):
        Schema.from_arrow(3)
    with pytest.raises(SchemaError, match="1 names but 2 formats"):
        Schema.from_fields(["a"], ["l", "l"])
    with pytest.raises(SchemaError, match="NUL"):
        Schema.from_fields(["a\0b"], ["l"])
    with pytest.raises(TypeError):
        Schema()


def test_a_type_nested_too_deep_is_refused():
    dtype = pa.int8()
    for _ in range(80):
        dtype = pa.list_(dtype)
    with pytest.raises(SchemaError, match="64 deep"):
        Schema.from_arrow(pa.schema([("x", dtype)]))


def test_a_schema_of_no_columns_is_one():
    empty = Schema.from_fields([], [])
    assert len(empty) == 0
    assert empty.names == ()
    assert empty.accepts(Schema.from_arrow(pa.schema([])))


def test_polars_schema_is_taken():
    frame = pl.DataFrame({"a": [1], "s": ["x"]})
    if hasattr(frame.schema, "__arrow_c_schema__"):
        assert Schema.from_arrow(frame.schema).names == ("a", "s")
