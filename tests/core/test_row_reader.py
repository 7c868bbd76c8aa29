"""RowReader: it gives what pyarrow's to_pylist gives, or says that it does not."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin_core.batch import Batch
from tocsin_core.row_reader import RowReader

I64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
MICROS = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)  # years 1 to 9999
VALUES: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.bool_(), st.booleans()),
    (pa.int8(), st.integers(-128, 127)),
    (pa.uint8(), st.integers(0, 255)),
    (pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    (pa.uint16(), st.integers(0, 2**16 - 1)),
    (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    (pa.uint32(), st.integers(0, 2**32 - 1)),
    (pa.int64(), I64),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.float32(), st.floats(width=32, allow_nan=False)),
    (pa.float64(), st.floats(allow_nan=False)),
    (pa.string(), TEXT),
    (pa.large_string(), TEXT),
    (pa.string_view(), TEXT),
    (pa.binary(), st.binary(max_size=20)),
    (pa.large_binary(), st.binary(max_size=20)),
    (pa.binary_view(), st.binary(max_size=20)),
    (pa.date32(), st.integers(-719_162, 2_932_896)),
    (pa.timestamp("s"), MICROS.map(lambda n: n // 1_000_000)),
    (pa.timestamp("ms"), MICROS.map(lambda n: n // 1_000)),
    (pa.timestamp("us"), MICROS),
    (pa.duration("s"), st.integers(-(10**12), 10**12)),
    (pa.duration("ms"), st.integers(-(10**15), 10**15)),
    (pa.duration("us"), I64.map(lambda n: n // 1_000)),
    (pa.null(), st.none()),
]


@pytest.mark.parametrize(("type", "values"), VALUES, ids=[str(t) for t, _ in VALUES])
@given(data=st.data())
def test_a_reader_gives_what_pyarrow_gives(
    type: pa.DataType, values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    column = pa.array(data.draw(st.lists(st.none() | values, max_size=9)), type)
    start = data.draw(st.integers(0, len(column)))
    rows = pa.record_batch({"n": pa.array(range(len(column))), "x": column}).slice(start)
    batch = Batch.from_arrow(rows)
    reader = RowReader(batch.schema)
    assert reader.supports
    assert reader.read(batch) == rows.to_pylist()


@given(
    texts=st.lists(st.none() | TEXT, max_size=9), codes=st.sampled_from([pa.int8(), pa.uint16(), pa.int64()])
)
def test_dictionaries_are_read(texts: list[str | None], codes: pa.DataType) -> None:
    encoded = pa.array(texts, pa.string()).dictionary_encode().cast(pa.dictionary(codes, pa.string()))
    rows = pa.record_batch({"k": encoded})
    batch = Batch.from_arrow(rows)
    assert RowReader(batch.schema).read(batch) == rows.to_pylist()


@pytest.mark.parametrize(
    "column",
    [
        pa.array([decimal.Decimal("1.5")]),
        pa.array([[1]]),
        pa.array([{"a": 1}]),
        pa.array([dt.datetime(2020, 1, 1)], pa.timestamp("ns")),
        pa.array([dt.datetime(2020, 1, 1, tzinfo=dt.UTC)]),
        pa.array([dt.time(1)]),
        pa.array([1.5], pa.float16()),
    ],
    ids=lambda column: str(column.type),
)
def test_other_types_are_refused_by_name(column: pa.Array) -> None:
    batch = Batch.from_arrow(pa.record_batch({"x": column}))
    reader = RowReader(batch.schema)
    assert not reader.supports
    with pytest.raises(TypeError, match="x: "):
        reader.read(batch)


def test_a_value_that_python_cannot_hold() -> None:
    batch = Batch.from_arrow(pa.record_batch({"t": pa.array([2**62], pa.timestamp("us"))}))
    with pytest.raises(OverflowError):
        RowReader(batch.schema).read(batch)
