"""tc.sql: types survive the trip through DuckDB, and no value is cut on the way."""

from __future__ import annotations

import datetime as dt
import decimal
import math

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tocsin as tc
from tocsin.query_types import give_back

NOON = dt.datetime(2024, 5, 6, 12, 30, 15)
MOMENT = NOON.replace(tzinfo=dt.UTC)
INTS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
UNITS = ["s", "ms", "us", "ns"]
TEXTS = [pa.string(), pa.large_string(), pa.string_view()]
DICTIONARIES = [
    pa.dictionary(i, v) for i in (pa.int8(), pa.uint8(), pa.int32(), pa.uint32()) for v in TEXTS[:2]
]

# type -> two values of it, null being the third
VALUES = {
    pa.bool_(): [True, False],
    **{kind: [0, 100] for kind in INTS},
    pa.float32(): [0.5, math.inf],
    pa.float64(): [0.1, -math.inf],
    **{kind: ["", "naïve"] for kind in [*TEXTS, *DICTIONARIES]},
    **{kind: [b"", b"\x00\xff"] for kind in [pa.binary(), pa.large_binary(), pa.binary_view()]},
    **{pa.timestamp(unit): [NOON, dt.datetime(1950, 1, 1)] for unit in UNITS},
    **{pa.timestamp(unit, "Europe/Berlin"): [MOMENT, MOMENT.replace(year=1960)] for unit in UNITS},
    **{pa.timestamp(unit, "+02:00"): [MOMENT, MOMENT.replace(year=1960)] for unit in UNITS},
    **{pa.duration(unit): [dt.timedelta(days=400, seconds=1), dt.timedelta(seconds=-5)] for unit in UNITS},
    pa.date32(): [NOON.date(), dt.date(1900, 1, 1)],
    pa.date64(): [NOON.date(), dt.date(1900, 1, 1)],
    pa.time32("s"): [NOON.time(), dt.time()],
    pa.time32("ms"): [NOON.time(), dt.time()],
    pa.time64("us"): [NOON.time(), dt.time()],
    pa.time64("ns"): [NOON.time(), dt.time()],
    pa.float16(): [0.5, 2.0],
}
# These can be passed on by SQL, but not be read in a clause.
ONLY_AROUND = {
    pa.binary(2): [b"ab", b"cd"],
    pa.decimal128(5, 2): [decimal.Decimal("1.25"), decimal.Decimal("-1.00")],
    pa.decimal128(38, 0): [decimal.Decimal(10**30), decimal.Decimal(-1)],
    pa.decimal256(20, 2): [decimal.Decimal("1.25"), decimal.Decimal("-1.00")],
    pa.list_(pa.int64()): [[1, None], []],
    pa.large_list(pa.int64()): [[1, None], []],
    pa.list_(pa.float32(), 2): [[1.0, None], [2.0, 3.0]],
    pa.struct({"a": pa.int8(), "b": pa.string()}): [{"a": 1, "b": "x"}, {"a": None, "b": None}],
    pa.map_(pa.string(), pa.int64()): [[("a", 1)], []],
    pa.month_day_nano_interval(): [pa.MonthDayNano([1, 2, 3000]), pa.MonthDayNano([0, 0, 0])],
}


def table_of(kind, values):
    column = pa.array([*values, None], pa.float32() if kind == pa.float16() else kind)
    column = column.cast(kind) if kind == pa.float16() else column
    return pa.table({"n": pa.array(range(len(column)), pa.int64()), "x": column})


KINDS = {
    f"c{number}": (kind, values) for number, (kind, values) in enumerate({**VALUES, **ONLY_AROUND}.items())
}
NAMES = ", ".join(KINDS)
ANY = ", ".join(f"any_value({name}) AS {name}" for name in KINDS)
FIRST = ", ".join(f"first_value({name}) OVER (PARTITION BY n) AS {name}" for name in KINDS)
OTHER = ", ".join(f"other_{name} AS {name}" for name in KINDS)
AROUND = [
    "SELECT * FROM t",
    f"SELECT {NAMES}, n FROM (SELECT * FROM t ORDER BY n) z",
    f"WITH w(n, {NAMES.replace('c', 'other_c')}) AS (SELECT * FROM t) SELECT {OTHER}, n FROM w",
    f"SELECT {NAMES} FROM t UNION ALL SELECT {NAMES} FROM t WHERE false",
    f"SELECT {ANY}, n FROM t GROUP BY n ORDER BY n",
    f"SELECT {FIRST}, n FROM (SELECT * FROM t) ORDER BY n",
    "SELECT a.* FROM t AS a JOIN t AS b USING (n) ORDER BY n",
    f"SELECT {OTHER} FROM t AS z(n, {NAMES.replace('c', 'other_c')})",
    "FROM t",
]


@pytest.mark.parametrize("query", AROUND, ids=range(len(AROUND)))
def test_a_column_that_passes_unchanged_keeps_its_type_and_values(query):
    columns = {name: table_of(*case).column("x") for name, case in KINDS.items()}
    found = tc.sql(query, t=pa.table({"n": [0, 1, 2], **columns}))
    assert {name: found.column(name).type for name in KINDS} == {
        name: kind for name, (kind, _) in KINDS.items()
    }
    for name, column in columns.items():
        assert found.column(name).to_pylist() == column.to_pylist(), (name, column.type)


CLAUSE = "MATCH_RECOGNIZE (PARTITION BY x ORDER BY n MEASURES LAST(A.x) AS y, LAST(A.n) AS n PATTERN (A))"
THROUGH = [
    f"SELECT * FROM t {CLAUSE}",
    f"SELECT * FROM (SELECT * FROM t) {CLAUSE} AS m ORDER BY n",
    f"WITH w AS (SELECT x AS z, n FROM t) SELECT * FROM (SELECT z AS x, n FROM w) {CLAUSE} AS m(x, y, n)",
]


@pytest.mark.parametrize("query", THROUGH)
@pytest.mark.parametrize("kind", VALUES, ids=str)
def test_a_column_goes_through_a_match_as_it_does_without_sql(kind, query):
    table = table_of(kind, VALUES[kind])
    direct = tc.match_recognize(table, CLAUSE)
    assert tc.sql(query, t=table).sort_by("n").equals(direct.sort_by("n"))


def test_the_zone_of_the_session_is_that_of_the_tables():
    moment = pa.array([dt.datetime(2024, 1, 1, 23, 30, tzinfo=dt.UTC)])
    query = "SELECT hour(ts) AS h, ts + INTERVAL 1 HOUR AS later FROM t"
    for zone, hour in {"Europe/Berlin": 0, "America/New_York": 18, "UTC": 23}.items():
        found = tc.sql(query, t=pa.table({"ts": moment.cast(pa.timestamp("ms", zone))}))
        assert found.column("h").to_pylist() == [hour]
        assert found.schema.field("later").type == pa.timestamp("us", zone)
    zones = {
        z[0]: pa.table({"ts": moment.cast(pa.timestamp("ms", z))}) for z in ("Asia/Tokyo", "Europe/Berlin")
    }
    found = tc.sql("SELECT hour(A.ts) AS h, A.ts AS a, E.ts AS e FROM A, E", **zones)
    assert found.column("h").to_pylist() == [23]
    assert found.schema.types[1:] == [pa.timestamp("ms", "Asia/Tokyo"), pa.timestamp("ms", "Europe/Berlin")]


@pytest.mark.parametrize("unit", ["us", "ns"])
def test_a_duration_finer_than_duckdbs_intervals_is_refused_and_not_cut(unit):
    table = pa.table({"n": [1, 2], "gap": pa.array([5_000, 5_001], pa.duration(unit))})
    clause = "MATCH_RECOGNIZE (ORDER BY n MEASURES LAST(A.n) AS n PATTERN (A) DEFINE A AS gap > INTERVAL '0' SECOND)"
    assert tc.sql(f"SELECT n FROM t {clause}", t=table).num_rows == 2  # a bare table is not DuckDB's to read
    if unit == "us":
        assert tc.sql("SELECT gap FROM t", t=table).column("gap").type == pa.duration("us")
    else:
        with pytest.raises(
            tc.SchemaError, match=r"table t: gap at row 1 is 5001 ns.*cast the column to duration\[us\]"
        ):
            tc.sql("SELECT gap FROM t", t=table)


def test_what_duckdb_computes_can_be_read_in_a_clause():
    """Sums are HUGEINT, literals DECIMAL and differences of times INTERVAL there."""
    found = tc.sql(
        """
        SELECT * FROM (
            SELECT day, sum(x) AS total, min(1.5 * x) AS part, max(ts) - min(ts) AS gap
            FROM t GROUP BY day
        ) MATCH_RECOGNIZE (
            ORDER BY day
            MEASURES LAST(A.total) AS total, LAST(A.part) AS part, COUNT(*) AS n
            PATTERN (A+)
            DEFINE A AS total >= 3 AND part < 100.5 AND gap < INTERVAL '3' HOUR
        )""",
        t={
            "day": [1, 1, 2, 2, 3, 3],
            "x": [1, 2, 30, 4, 5, 6],
            "ts": pa.array([0, 7200, 0, 10, 0, 10_800], pa.timestamp("s")),
        },
    )
    assert found.schema == pa.schema({"total": pa.int64(), "part": pa.float64(), "n": pa.int64()})
    assert found.to_pylist() == [{"total": 34, "part": 6.0, "n": 2}]


def test_a_number_or_interval_that_a_clause_cannot_read_is_refused_by_name():
    with pytest.raises(tc.EvaluationError, match=r"the column s of type decimal128\(38, 0\).*beyond 64 bits"):
        tc.sql(
            "SELECT * FROM (SELECT 10000000000000000000000::HUGEINT AS s) "
            "MATCH_RECOGNIZE (PATTERN (A) DEFINE A AS s > 3)"
        )
    with pytest.raises(tc.EvaluationError, match=r"the column gap .* months have no length"):
        tc.sql(
            "SELECT * FROM (SELECT INTERVAL 1 MONTH AS gap) "
            "MATCH_RECOGNIZE (PATTERN (A) DEFINE A AS gap > INTERVAL '3' DAY)"
        )
    # Not read, so not looked at.
    assert tc.sql(
        "SELECT * FROM (SELECT INTERVAL 1 MONTH AS gap, 1 AS x) MATCH_RECOGNIZE (MEASURES x AS x PATTERN (A))"
    )


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.none() | st.timedeltas(dt.timedelta(days=-90_000), dt.timedelta(days=90_000)), max_size=6),
    st.data(),
)
def test_durations_come_back_from_intervals_as_they_were(values, data):
    """However DuckDB divides them into days and the rest, and wherever a slice begins."""
    start = data.draw(st.integers(0, len(values)))
    column = pa.array(values, pa.duration("us"))[start:]
    found = tc.sql("SELECT x, to_days(2) + x - to_days(2) AS y FROM t", t=pa.table({"x": column}))
    assert found.column("x").type == pa.duration("us")
    assert found.column("x").to_pylist() == values[start:]
    assert give_back(found.column("y"), pa.duration("us")).to_pylist() == values[start:]


def test_an_interval_with_months_is_no_duration():
    column = pa.chunked_array([pa.array([pa.MonthDayNano([1, 0, 0]), None])])
    assert give_back(column, pa.duration("us")) is column
    finer = pa.chunked_array([pa.array([pa.MonthDayNano([0, 0, 1500])])])
    assert give_back(finer, pa.duration("us")) is finer
    assert give_back(finer, pa.duration("ns")).to_pylist() == [pa.scalar(1500, pa.duration("ns")).as_py()]
