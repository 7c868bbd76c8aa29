"""Dictionaries of every readable type mean what their values mean, wherever a clause reads them."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest

import tocsin as tc

VALUES = {
    "int32": pa.array([1, 2, 3, None, 1], pa.int32()),
    "uint64": pa.array([2**63, 2, 2**63 + 1, None, 2**63], pa.uint64()),
    "float64": pa.array([1.5, 2.5, -0.0, None, 1.5], pa.float64()),
    "bool": pa.array([True, False, None, True, False]),
    "date32": pa.array([dt.date(2024, 1, day) for day in (1, 2, 3, 4, 1)]),
    "timestamp": pa.array([dt.datetime(2024, 1, day) for day in (1, 2, 3, 4, 1)], pa.timestamp("ms")),
    "string": pa.array(["a", "b", None, "a long text that is not kept in a word", "a"]),
    "binary": pa.array([b"a", b"b", None, b"\xff", b"a"]),
}
CLAUSES = [
    "PARTITION BY x MEASURES LAST(a.x) AS l, FIRST(x) AS f, COUNT(x) AS c, MIN(x) AS low, SUM(y) AS s PATTERN (a+)",
    (
        "MEASURES LAST(a.x, 1) AS l, COUNT(*) AS c, CLASSIFIER() AS v PATTERN (a+ | b) "
        "DEFINE a AS PREV(x) IS NULL OR x > PREV(x)"
    ),
    "ORDER BY x MEASURES FIRST(x) AS f, LAST(x) AS l PATTERN (a+) DEFINE a AS x IS NOT NULL",
]


@pytest.mark.parametrize("index", [pa.int8(), pa.uint32()], ids=str)
@pytest.mark.parametrize("clause", CLAUSES, ids=["partition", "condition", "order"])
@pytest.mark.parametrize("name", VALUES)
def test_a_dictionary_gives_what_its_values_give(name: str, clause: str, index: pa.DataType) -> None:
    plain = pa.table({"x": VALUES[name], "y": [5, 4, 3, 2, 1]})
    encoded = VALUES[name].dictionary_encode().cast(pa.dictionary(index, VALUES[name].type))
    coded = pa.table({"x": encoded, "y": plain["y"]})
    expected = tc.match_recognize(plain, clause)
    assert expected.num_rows > 0
    assert tc.match_recognize(coded, clause).to_pylist() == expected.to_pylist()
