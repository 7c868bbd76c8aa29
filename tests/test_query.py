"""tc.sql: MATCH_RECOGNIZE wherever a table may stand, the SQL around it by DuckDB.

Each query has its whole result beside it.
"""

from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tocsin as tc
from query_support import COUNT, SHOPS, VEES, rows

ALL_VEES = [
    {"k": "a", "bottom": 7, "top": 9, "number": 1},
    {"k": "a", "bottom": 4, "top": 6, "number": 2},
    {"k": "b", "bottom": 3, "top": 4, "number": 1},
]
SHAPES = {
    "a table": (f"SELECT * FROM prices {VEES} ORDER BY k, number", ALL_VEES),
    "with an alias": (
        f"SELECT m.top FROM prices {VEES} AS m ORDER BY m.top",
        [{"top": t} for t in (4, 6, 9)],
    ),
    "with an alias without AS": (f"SELECT m.top FROM prices {VEES} m ORDER BY 1 DESC LIMIT 1", [{"top": 9}]),
    "with names for its columns": (
        f"SELECT b, c FROM prices {VEES} AS m (a, b, c, d) WHERE d = 2",
        [{"b": 4, "c": 6}],
    ),
    "in lower case, with a semicolon": (
        f"select count(*) as n from prices {VEES.lower()};",
        [{"n": 3}],
    ),
    "the table's name in another case": (
        f'SELECT count(*) AS n FROM PRICES {VEES} JOIN "Shops" USING (K)',
        [{"n": 3}],
    ),
    "an alias before it": (f"SELECT max(top) AS top FROM prices AS p {VEES} m", [{"top": 9}]),
    "names for the columns of its input": (
        f"SELECT n FROM shops AS s(id, shop) {COUNT}",
        [{"n": 2}],
    ),
    "a sub-query": (
        f"SELECT k, top FROM (SELECT * FROM prices WHERE k = 'b') {VEES} AS m",
        [{"k": "b", "top": 4}],
    ),
    "a sub-query with an alias": (
        f"SELECT k, top FROM (SELECT 'z' || k AS k, t, price FROM prices) p {VEES} WHERE number = 2",
        [{"k": "za", "top": 6}],
    ),
    "values": (
        f"SELECT * FROM (VALUES (1, 'a'), (2, 'b'), (3, 'c')) AS t(id, name) {COUNT} AS m",
        [{"n": 3, "last": 3}],
    ),
    "values of one column as the standard writes them": (
        f"SELECT * FROM (VALUES 30, -10, 20) t(id) {COUNT} AS m",
        [{"n": 3, "last": 30}],
    ),
    "values without parentheses": (
        f"SELECT * FROM VALUES (1), (5) t(id) {COUNT} AS m",
        [{"n": 2, "last": 5}],
    ),
    "a table function": (f"SELECT n, last FROM range(7) AS r(id) {COUNT}", [{"n": 7, "last": 6}]),
    "a join in parentheses": (
        (
            f"SELECT k, name, top FROM (SELECT * FROM prices JOIN shops USING (k)) "
            f"{VEES.replace('PARTITION BY k', 'PARTITION BY k, name')} m WHERE number = 1 ORDER BY k"
        ),
        [{"k": "a", "name": "Adam", "top": 9}, {"k": "b", "name": "Berta", "top": 4}],
    ),
    "the right side of a join": (
        f"SELECT s.name, m.top FROM shops s JOIN prices {VEES} AS m ON m.k = s.k WHERE m.number = 1 ORDER BY 1",
        [{"name": "Adam", "top": 9}, {"name": "Berta", "top": 4}],
    ),
    "the left side of a join": (
        f"SELECT name, top FROM prices {VEES} m LEFT JOIN shops ON shops.k = m.k ORDER BY top",
        [{"name": "Berta", "top": 4}, {"name": "Adam", "top": 6}, {"name": "Adam", "top": 9}],
    ),
    "commas": (
        (
            f"SELECT a.top AS one, b.top AS other FROM prices {VEES} a, shops, prices {VEES} AS b "
            "WHERE a.k = shops.k AND b.k = a.k AND a.number < b.number"
        ),
        [{"one": 9, "other": 6}],
    ),
    "a comma before a sub-query": (
        f"SELECT name, n FROM shops, (VALUES (1), (2)) t(id) {COUNT} m ORDER BY name",
        [{"name": "Adam", "n": 2}, {"name": "Berta", "n": 2}],
    ),
    "several in one query": (
        (
            "SELECT first.last AS one, second.last AS two, third.last AS three "
            f"FROM (VALUES (1), (2)) t(id) {COUNT} AS first, "
            f"(VALUES (10), (20) ) t(id) {COUNT} AS second, (VALUES 100) t(id) {COUNT} AS third"
        ),
        [{"one": 2, "two": 20, "three": 100}],
    ),
    "group by, having, a window": (
        (
            f"SELECT k, count(*) AS n, max(max(top)) OVER () AS best FROM prices {VEES} m GROUP BY k "
            "HAVING count(*) > 0 ORDER BY k"
        ),
        [{"k": "a", "n": 2, "best": 9}, {"k": "b", "n": 1, "best": 9}],
    ),
    "in a WITH query": (
        f"WITH v AS (SELECT * FROM prices {VEES}) SELECT count(*) AS n FROM v WHERE top > 4",
        [{"n": 2}],
    ),
    "over a WITH query": (
        f"WITH p AS (SELECT * FROM prices WHERE k = 'b'), q AS (FROM p) SELECT top FROM q {VEES}",
        [{"top": 4}],
    ),
    "a WITH query hides a table": (
        (
            f"WITH prices AS (SELECT 'x' AS k, t, price FROM shops, (VALUES (1, 2), (2, 1), (3, 3)) v(t, price) "
            f"WHERE shops.k = 'a') SELECT k, top FROM prices {VEES}"
        ),
        [{"k": "x", "top": 3}],
    ),
    "over a WITH query that has one itself": (
        (
            f"WITH p(k, t, price) AS MATERIALIZED (SELECT * FROM prices), v AS (SELECT * FROM p {VEES} m) "
            f"SELECT n, last FROM (SELECT top AS id FROM v) {COUNT}"
        ),
        [{"n": 3, "last": 9}],
    ),
    "WITH inside of WITH": (
        (
            "WITH a AS (SELECT * FROM prices WHERE k = 'a') SELECT n FROM ("
            f"  WITH b AS (SELECT t AS id FROM a WHERE t > 2) SELECT * FROM b {COUNT} m, a LIMIT 1)"
        ),
        [{"n": 4}],
    ),
    "WITH in its own input": (
        f"SELECT top FROM (WITH p AS (FROM prices WHERE k = 'b') SELECT * FROM p) AS x {VEES}",
        [{"top": 4}],
    ),
    "WITH RECURSIVE": (
        (
            "WITH RECURSIVE r(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM r WHERE id < 5) "
            f"SELECT n, last FROM r {COUNT}"
        ),
        [{"n": 5, "last": 5}],
    ),
    "nested": (
        f"SELECT n, last FROM (SELECT top AS id FROM prices {VEES} AS inside) {COUNT} AS outside",
        [{"n": 3, "last": 9}],
    ),
    "nested three deep": (
        f"SELECT n FROM (SELECT last AS id FROM (SELECT top AS id FROM prices {VEES}) a {COUNT}) b {COUNT} c",
        [{"n": 1}],
    ),
    "one upon another": (
        f"SELECT n, last FROM (VALUES (3), (1)) t(id) {COUNT} AS m(id, x) {COUNT} AS o",
        [{"n": 1, "last": 2}],
    ),
    "a scalar sub-query": (
        f"SELECT name, (SELECT max(top) FROM prices {VEES} m) AS best FROM shops ORDER BY name",
        [{"name": "Adam", "best": 9}, {"name": "Berta", "best": 9}],
    ),
    "IN": (
        f"SELECT name FROM shops WHERE k IN (SELECT k FROM prices {VEES} AS m WHERE m.top > 5)",
        [{"name": "Adam"}],
    ),
    "EXISTS, correlated around it": (
        f"SELECT name FROM shops WHERE EXISTS (SELECT 1 FROM prices {VEES} m WHERE m.k = shops.k AND m.number = 2)",
        [{"name": "Adam"}],
    ),
    "UNION": (
        f"SELECT top FROM prices {VEES} UNION ALL SELECT n FROM (VALUES (7)) v(id) {COUNT} ORDER BY top",
        [{"top": 1}, {"top": 4}, {"top": 6}, {"top": 9}],
    ),
    "FROM first": (f"FROM prices {VEES} SELECT max(top) AS top", [{"top": 9}]),
    "FROM alone": (f"FROM (VALUES (4)) t(id) {COUNT}", [{"n": 1, "last": 4}]),
    "CASE and CAST around it": (
        f"SELECT CASE WHEN max(top) > 5 THEN CAST(sum(number) AS BIGINT) END AS x FROM prices {VEES}",
        [{"x": 4}],
    ),
    "nothing of ours": ("SELECT sum(price)::INT AS s FROM prices", [{"s": 55}]),
    "no table": ("SELECT 1 + 1 AS two", [{"two": 2}]),
    "VALUES alone": ("VALUES (1, 'x')", [{"col0": 1, "col1": "x"}]),
    "a name that is like the word": (
        "SELECT price AS match_recognize FROM prices AS match_recognize WHERE match_recognize.t = 6",
        [{"match_recognize": 6}],
    ),
    "the fresh name is taken": (
        f'SELECT n AS tocsin_match_1 FROM (SELECT 3 AS id) AS "tocsin_match_1" {COUNT} m',
        [{"tocsin_match_1": 1}],
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_match_recognize_stands_where_a_table_may(name):
    query, expected = SHAPES[name]
    assert rows(query) == expected


LEXIS = {
    "comments": (
        f"SELECT /* MATCH_RECOGNIZE ( /* nested */ ' */ n -- it's (\n FROM /**/ range(3) r(id) /* x */ {COUNT} -- end"
    ),
    "a comment of the clause does not nest": (
        "SELECT n FROM range(3) r(id) MATCH_RECOGNIZE (MEASURES COUNT(*) AS n /* /* ( */ PATTERN (A+) -- )\n)"
    ),
    "strings": (
        f"SELECT n FROM range(3) r(id) {COUNT} WHERE 'MATCH_RECOGNIZE ( '' ' <> ')' AND $$ ' ) $$ <> $t$ $$ ( $t$"
    ),
    "a string with escapes": rf"SELECT n FROM range(3) r(id) {COUNT} WHERE E'\' MATCH_RECOGNIZE (' <> ')'",
    "a string in the clause": (
        "SELECT n FROM range(3) r(id) MATCH_RECOGNIZE (MEASURES COUNT(*) AS n, ') '' (' AS s PATTERN (A+)) m"
    ),
    "quoted names": 'SELECT "x) "" (" AS n FROM range(3) "r("("id") MATCH_RECOGNIZE '
    '(ORDER BY "id" MEASURES COUNT(*) AS "x) "" (" PATTERN ("a)"+)) AS "MATCH_RECOGNIZE ("',
    "no blanks": "SELECT n FROM(VALUES(1),(2),(3))t(id)MATCH_RECOGNIZE(MEASURES COUNT(*)AS n PATTERN(A+))m",
    "dollar signs in a name": f"SELECT a$b$ AS n FROM (SELECT n AS a$b$ FROM range(3) r(id) {COUNT})",
}


@pytest.mark.parametrize("name", LEXIS)
def test_what_is_quoted_or_commented_out_is_left_alone(name):
    assert rows(LEXIS[name]) == [{"n": 3}]


IN_THE_CLAUSE = {
    "a value": ("id >= (SELECT avg(x) FROM (VALUES (2), (4)) v(x))", [3, 4, 5]),
    "a negative value": ("id > 3 - (SELECT -1)", [5]),
    "no value": ("id > (SELECT 1 WHERE false)", []),
    "IN": ("id IN (SELECT 2 UNION ALL SELECT 5 UNION ALL SELECT 2)", [2, 5]),
    "NOT IN": ("id NOT IN (VALUES (2), (5))", [1, 3, 4]),
    "EXISTS": ("EXISTS (SELECT 1) AND NOT EXISTS(SELECT 1 WHERE false) AND id < 3", [1, 2]),
    "a table and a WITH query": ("id = (SELECT count(*) FROM shops, w)", [4]),
    "a MATCH_RECOGNIZE": (f"id = (SELECT n + 1 FROM w {COUNT} m)", [3]),
    "an interval": ("ts - TIMESTAMP '2024-01-01 00:00:00' > (SELECT INTERVAL 2 DAY)", [4, 5]),
    "a time": ("ts < (SELECT TIMESTAMP '2024-01-02 12:00:00')", [1, 2]),
    "a date": ("day = (SELECT DATE '2024-01-03')", [3]),
    "a text with a quote": ("name = (SELECT 'o''' || 2)", [2]),
}


@pytest.mark.parametrize("name", IN_THE_CLAUSE)
def test_a_sub_query_in_a_clause_is_a_constant(name):
    condition, expected = IN_THE_CLAUSE[name]
    found = rows(
        "WITH w AS (SELECT * FROM range(2) r(id)) SELECT m.id FROM (SELECT id, 'o''' || id AS name, "
        "DATE '2024-01-01' + (id - 1)::INT AS day, TIMESTAMP '2024-01-01' + to_days((id - 1)::INT) AS ts "
        "FROM range(1, 6) r(id)) MATCH_RECOGNIZE ("
        f"ORDER BY id MEASURES LAST(A.id) AS id PATTERN (A) DEFINE A AS {condition}) m",
        shops=SHOPS,
    )
    assert [row["id"] for row in found] == expected


def test_the_v_shape_of_orders():
    """The shape of the example in Trino's manual, with orders of our own."""
    orders = {
        "orderkey": [11, 12, 13, 14, 21, 22, 23, 24, 25],
        "custkey": [1, 1, 1, 1, 2, 2, 2, 2, 2],
        "day": [1, 2, 3, 4, 1, 2, 3, 4, 5],
        "total": [100.0, 80.5, 60.0, 90.0, 50.0, 70.0, 40.0, 30.0, 45.0],
    }
    query = """
        SELECT custkey, starting, bottom, top, top - bottom AS rise
        FROM orders MATCH_RECOGNIZE (
            PARTITION BY custkey ORDER BY day
            MEASURES A.total AS starting, LAST(B.total) AS bottom, LAST(C.total) AS top
            ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW
            PATTERN (A B+ C+)
            DEFINE B AS total < PREV(total), C AS total > PREV(total)
        ) ORDER BY custkey"""
    assert rows(query, orders=orders) == [
        {"custkey": 1, "starting": 100.0, "bottom": 60.0, "top": 90.0, "rise": 30.0},
        {"custkey": 2, "starting": 70.0, "bottom": 30.0, "top": 45.0, "rise": 15.0},
    ]


INPUTS = {
    "a dict of arrays": lambda: {"id": np.array([1, 2]), "name": ["x", "y"]},
    "pyarrow": lambda: pa.table({"id": [1, 2], "name": ["x", "y"]}),
    "a record batch": lambda: pa.record_batch({"id": [1, 2], "name": ["x", "y"]}),
    "a reader": lambda: pa.table({"id": [1, 2], "name": ["x", "y"]}).to_reader(),
    "polars": lambda: pl.DataFrame({"id": [1, 2], "name": ["x", "y"]}),
    "pandas": lambda: pd.DataFrame({"id": [1, 2], "name": ["x", "y"]}),
    "duckdb": lambda: duckdb.connect().sql("SELECT * FROM (VALUES (1, 'x'), (2, 'y')) t(id, name)"),
}


@pytest.mark.parametrize("kind", INPUTS)
def test_tables_of_every_kind_are_taken(kind):
    query = f"SELECT n, x.name FROM t {COUNT} m JOIN t AS x ON x.id = m.last"
    assert rows(query, t=INPUTS[kind]()) == [{"n": 2, "name": "y"}]


def test_an_empty_table_gives_an_empty_result_with_its_types():
    found = tc.sql(f"SELECT * FROM t {COUNT}", t=pa.table({"id": pa.array([], pa.int32())}))
    assert found.num_rows == 0
    assert found.schema == pa.schema({"n": pa.int64(), "last": pa.int32()})


def test_rows_of_equal_keys_stay_as_they_come():
    query = "SELECT * FROM (SELECT * FROM t) MATCH_RECOGNIZE (ORDER BY k MEASURES LAST(A.x) AS x PATTERN (A))"
    values = list(range(5000))
    assert [row["x"] for row in rows(query, t={"k": [0] * 5000, "x": values})] == values


def test_a_table_may_be_called_query():
    assert tc.sql("SELECT count(*) AS n FROM query", query={"x": [1, 2]}).to_pylist() == [{"n": 2}]


WRAPPERS = [
    "SELECT * FROM t {}",
    "SELECT m.* FROM t AS x {} AS m",
    "SELECT * FROM (SELECT * FROM t) {}",
    "WITH w AS (SELECT * FROM t) SELECT * FROM w {} m",
    "WITH w AS (SELECT * FROM t {}) SELECT * FROM w",
    "SELECT m.* FROM (SELECT 1), t {} m",
    "(SELECT * FROM t {} m)",
    "SELECT * FROM (SELECT * FROM (SELECT * FROM t) z {}) y",
]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(-3, 3)), max_size=12),
    st.sampled_from(WRAPPERS),
    st.sampled_from(["(A+ B*)", "(A B)", "(A? B+?)", "((A | B)+)"]),
)
def test_the_result_is_that_of_match_recognize_over_the_input(data, wrapper, pattern):
    table = pa.table(
        {
            "k": pa.array([k for k, _ in data], pa.int8()),
            "t": pa.array(range(len(data)), pa.int64()),
            "x": pa.array([x for _, x in data], pa.float32()),
        }
    )
    clause = (
        "PARTITION BY k ORDER BY t MEASURES FIRST(t) AS a, LAST(t) AS z, SUM(A.x) AS s, CLASSIFIER() AS c "
        f"PATTERN {pattern} DEFINE A AS x > 0, B AS x <= PREV(x)"
    )
    assert tc.sql(wrapper.format(f"MATCH_RECOGNIZE ({clause})"), t=table).equals(
        tc.match_recognize(table, clause)
    )
