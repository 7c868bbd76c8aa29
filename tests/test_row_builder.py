"""Rows given as dicts become Arrow columns, exactly as pyarrow would make them, or are refused by name."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.errors import SchemaError
from tocsin_core.row_builder import RowBuilder
from tocsin_core.schema import Schema

EVERY = pa.schema(
    [
        ("i8", pa.int8()), ("u64", pa.uint64()), ("f32", pa.float32()), ("f64", pa.float64()), ("s", pa.string()),
        ("t", pa.timestamp("us", tz="UTC")), ("d32", pa.date32()), ("du", pa.duration("ms")), ("b", pa.bool_()),
        ("z", pa.binary()),
    ]
)  # fmt: skip
ROW: dict[str, Any] = {
    "i8": -128, "u64": 2**64 - 1, "f32": 1.5, "f64": 3, "s": "hé", "t": dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC),
    "d32": dt.date(1969, 12, 31), "du": dt.timedelta(days=-1, seconds=3), "b": True, "z": b"\x00x",
}  # fmt: skip


def build(rows: list[Any], schema: pa.Schema = EVERY) -> pa.RecordBatch:
    batch = pa.record_batch(RowBuilder(Schema.from_arrow(schema)).build(rows))
    batch.validate(full=True)
    return batch


def test_rows_are_what_pyarrow_makes_of_them() -> None:
    rows = [ROW, dict.fromkeys(ROW), ROW]
    assert build(rows).to_pylist() == pa.RecordBatch.from_pylist(rows, schema=EVERY).to_pylist()


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "i": st.none() | st.integers(-(2**63), 2**63 - 1),
                "s": st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
                "t": st.none() | st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1)),
                "f": st.none() | st.floats(allow_nan=False),
            }
        ),
        max_size=20,
    )
)
def test_any_rows_are_what_pyarrow_makes_of_them(rows: list[dict[str, Any]]) -> None:
    schema = pa.schema(
        [("i", pa.int64()), ("s", pa.string()), ("t", pa.timestamp("us")), ("f", pa.float64())]
    )
    assert build(rows, schema).equals(pa.RecordBatch.from_pylist(rows, schema=schema))


def test_scalars_of_numpy_and_pandas_are_taken() -> None:
    row = ROW | {
        "i8": np.int16(3), "f32": np.float32(2), "f64": np.float64(4), "b": np.bool_(True), "u64": np.uint8(1),
        "t": np.datetime64("2024-01-01T00:00:00.5"), "du": np.timedelta64(1, "h"),
    }  # fmt: skip
    (got,) = build([row]).to_pylist()
    assert (got["i8"], got["f32"], got["b"], got["du"]) == (3, 2.0, True, dt.timedelta(hours=1))
    assert got["t"] == dt.datetime(2024, 1, 1, microsecond=500_000, tzinfo=dt.UTC)
    nothing = build([ROW | {"t": pd.NaT, "du": np.timedelta64("NaT", "s")}]).to_pylist()[0]
    assert nothing["t"] is None
    assert nothing["du"] is None
    schema = pa.schema([("t", pa.timestamp("ns"))])
    assert build([{"t": pd.Timestamp(1_234_567_891)}], schema).column(0).cast(pa.int64()).to_pylist() == [
        1_234_567_891
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"i8": 128}, r"column 'i8', row 1: 128 is outside -128 .. 127"),
        ({"i8": 1.0}, r"column 'i8', row 1: 1.0 is float, expected an integer"),
        ({"i8": True}, r"True is bool, expected an integer"),
        ({"u64": -1}, r"-1 is outside 0 .. 18446744073709551615"),
        ({"f32": "x"}, r"'x' is str, expected a number"),
        ({"s": 3}, r"3 is int, expected a str"),
        ({"s": "\ud800"}, r"cannot be UTF-8"),
        ({"b": 1}, r"1 is int, expected a bool"),
        ({"z": "s"}, r"'s' is str, expected bytes"),
        ({"t": dt.time(1)}, r"expected a datetime"),
        ({"d32": dt.datetime(2024, 1, 1, 3)}, r"does not fit Arrow type 'tdD' without loss"),
        ({"du": dt.timedelta(microseconds=1)}, r"without loss; round it first"),
        ({"t": dt.timedelta(1)}, r"expected a datetime"),
        ({"ss": 1}, r"row 1 has a column 'ss' that the stream has not; did you mean 's'"),
    ],
)
def test_a_value_that_does_not_fit_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        build([ROW, ROW | change])


def test_a_forgotten_column_is_no_null() -> None:
    with pytest.raises(SchemaError, match="row 0 has no column 'u64'"):
        build([{"i8": 1}])


def test_other_types_are_left_to_pyarrow() -> None:
    for kind in (
        pa.decimal128(10, 2),
        pa.dictionary(pa.int8(), pa.string()),
        pa.large_string(),
        pa.list_(pa.int8()),
    ):
        assert not RowBuilder(Schema.from_arrow(pa.schema([("x", kind)]))).supports


def test_a_builder_can_be_used_after_a_refusal() -> None:
    builder = RowBuilder(Schema.from_arrow(pa.schema([("n", pa.int64())])))
    with pytest.raises(SchemaError):
        builder.build([{"n": 1}, {"n": "x"}])
    assert pa.record_batch(builder.build([{"n": 2}])).to_pylist() == [{"n": 2}]
