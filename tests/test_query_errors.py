"""tc.sql, when something is wrong: which error, its words, and its place in the query as it was given."""

from __future__ import annotations

import subprocess
import sys

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tocsin as tc
from query_support import PRICES, VEES, rows

# What is wrong, and what the message says and shows: the text that the caret stands under.
WRONG_CLAUSES = {
    "SELECT *\nFROM prices MATCH_RECOGNIZE (ORDER BY t PATTERN (A)\n  DEFINE A AS prize > 3) m": (
        "'prize'",
        "prize",
    ),
    "SELECT * FROM (SELECT t FROM prices WHERE t > 2) MATCH_RECOGNIZE (ORDER BY t PATTERN (A) DEFINE A AS price > 3)": (
        "The columns are t",
        "price",
    ),
    "SELECT 'ééé' FROM prices MATCH_RECOGNIZE (ORDER BY t PATERN (A))": ("PATTERN", "PATERN"),
    "SELECT * FROM (SELECT t AS id FROM prices MATCH_RECOGNIZE (PATTERN (A) DEFINE B AS true))"
    " MATCH_RECOGNIZE (PATTERN (A) DEFINE A AS id > )": (
        "DEFINE of 'B', which is not in PATTERN",
        "B AS true",
    ),
    "SELECT * FROM prices MATCH_RECOGNIZE (PATTERN (A B DEFINE A AS price < 3) m": ("')' is expected", "<"),
    "SELECT * FROM prices MATCH_RECOGNIZE () m": ("PATTERN is missing", ") m"),
    "SELECT * FROM prices MATCH_RECOGNIZE (PATTERN (A) DEFINE A AS price > (SELECT 3) AND nix) m": (
        "'nix'",
        "nix",
    ),
}


def caret(error):
    """What the message shows from its caret on."""
    lines = str(error).splitlines()
    return lines[-2][lines[-1].index("^") :]


@pytest.mark.parametrize("query", WRONG_CLAUSES)
def test_a_wrong_clause_is_shown_in_the_query(query):
    message, place = WRONG_CLAUSES[query]
    with pytest.raises(tc.PatternError) as wrong:
        rows(query)
    assert message in str(wrong.value)
    assert caret(wrong.value).startswith(place)
    line = int(str(wrong.value).split("line ")[-1].split(",")[0])
    assert place in query.splitlines()[line - 1]


M = "MATCH_RECOGNIZE (PATTERN (A))"
WRONG_QUERIES = {
    "": ("the text is empty", None),
    " ; ": ("the text is empty", None),
    "SELECT 1; SELECT 2": ("one query is expected", "SELECT 2"),
    "SELECT x frm t": ("syntax error", "t"),
    "SELECT 'é', nix FROM prices": ("nix", "nix FROM"),
    f"SELECT 'é',\n nix FROM prices {VEES} m": ("nix", "nix FROM"),
    f"SELECT m.top FROM prices {VEES} AS m\nWHERE m.nix = 3": ("nix", "m.nix = 3"),
    f"SELECT * FROM (SELECT nix FROM prices) {M}": ("nix", "nix FROM"),
    f"WITH w AS (SELECT price / 'x' AS y FROM prices) SELECT * FROM (FROM w) {M}": ("x", None),
    f"SELECT * FROM nowhere {M}": ("The tables given are prices, shops", "nowhere"),
    f"SELECT * FROM {M}": ("a table is expected before", "MATCH_RECOGNIZE"),
    f"SELECT * FROM shops JOIN {M} m ON true": ("a table is expected before", "MATCH_RECOGNIZE"),
    f"SELECT * FROM prices WHERE t > 3 {M}": ("follows a table, not WHERE", "MATCH_RECOGNIZE"),
    f"SELECT * FROM prices JOIN shops USING (k) {M}": ("not USING", "MATCH_RECOGNIZE"),
    f"SELECT * FROM shops, LATERAL (SELECT shops.k) {M}": ("LATERAL is not supported", "LATERAL"),
    f"SELECT * FROM shops s, (SELECT s.k) {M}": ('"s" not found', "s.k"),
    f"WITH RECURSIVE r AS (SELECT 1 AS t UNION ALL SELECT t + 1 FROM r {M}) FROM r": (
        "recursive",
        "MATCH_RECOGNIZE",
    ),
    "SELECT * FROM prices MATCH_RECOGNIZE (PATTERN (A)": ("is not closed", "(PATTERN"),
    "SELECT * FROM prices MATCH_RECOGNIZE (PATTERN (A)) DEFINE A AS price > 3)": (
        "no parenthesis is open",
        ")",
    ),
    "SELECT 'abc": ("a string that begins here is not closed", "'abc"),
    'SELECT "abc': ("a quoted name that begins here is not closed", '"abc'),
    "SELECT 1 /* /* */": ("a comment that begins here is not closed", "/* /*"),
    "CREATE TABLE x AS SELECT 1": ("only reads", None),
    "DROP TABLE prices": ("only reads", None),
    "COPY (SELECT 1) TO 'x.csv'": ("only reads", None),
    "SET threads = 1": ("only reads", None),
    "ATTACH 'x.db'": ("only reads", None),
    "SELECT * FROM prices MATCH_RECOGNIZE (PATTERN (A) DEFINE A AS t IN (SELECT 1 WHERE false)) m": (
        "gives no row",
        "(SELECT 1",
    ),
    "SELECT * FROM prices MATCH_RECOGNIZE (PATTERN (A) DEFINE A AS t IN (SELECT 1, 2)) m": (
        "gives one column, not 2",
        "(SELECT 1, 2)",
    ),
    "SELECT * FROM prices MATCH_RECOGNIZE (PATTERN (A) DEFINE A AS t = (SELECT [1])) m": (
        "cast it",
        "(SELECT [1])",
    ),
    "SELECT * FROM prices MATCH_RECOGNIZE (PATTERN (A) DEFINE A AS t = (SELECT t FROM prices)) m": (
        "More than one row",
        None,
    ),
    "SELECT * FROM prices MATCH_RECOGNIZE (PATTERN (A) DEFINE A AS t = (SELECT zzz FROM shops)) m": (
        "zzz",
        "zzz FROM",
    ),
}


@pytest.mark.parametrize("query", WRONG_QUERIES)
def test_a_wrong_query_is_shown_with_its_place(query):
    message, place = WRONG_QUERIES[query]
    with pytest.raises(tc.QueryError) as wrong:
        rows(query)
    assert message in str(wrong.value)
    if place is not None:
        assert caret(wrong.value).startswith(place)


def test_other_errors_stay_what_they_are():
    with pytest.raises(TypeError, match="a query is text, not a int"):
        tc.sql(3)
    with pytest.raises(tc.SchemaError, match="a table is expected"):
        tc.sql("SELECT 1", t=3)
    with pytest.raises(tc.QueryError, match="called T and t"):
        tc.sql("SELECT 1", t={"x": [1]}, T={"x": [1]})
    with pytest.raises(tc.EvaluationError):
        tc.sql("FROM t MATCH_RECOGNIZE (PATTERN (A) DEFINE A AS 1 / x > 0)", t={"x": [1, 0]})


def test_a_query_sees_nothing_but_its_tables(tmp_path):
    secret = pa.table({"x": [1]})  # a replacement scan would find this variable
    assert secret.num_rows == 1
    path = tmp_path / "secret.csv"
    path.write_text("x\n1\n")
    for query in (
        "SELECT * FROM secret",
        f"SELECT * FROM '{path}'",
        f"SELECT * FROM read_csv('{path}')",
        f"SELECT * FROM read_text('{path}')",
        f"SELECT * FROM glob('{tmp_path}/*')",
        f"SELECT * FROM '{path}' {M}",
        f"SELECT * FROM read_csv('{path}') {M}",
    ):
        with pytest.raises(tc.QueryError):
            tc.sql(query, t={"x": [1]})


def test_importing_tocsin_loads_neither_duckdb_nor_sqlglot():
    code = "import sys, tocsin; print([m for m in ('duckdb', '_duckdb', 'sqlglot') if m in sys.modules], tocsin.sql)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.startswith("[] <function sql ")


@pytest.mark.parametrize("package", ["duckdb", "sqlglot"])
def test_a_missing_package_is_told_with_its_remedy(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"{package}.*pip install tocsin\[sql\]"):
        tc.sql("SELECT 1")


WORDS = """
    SELECT * FROM t prices m AS ( ) ( ) , ; . MATCH_RECOGNIZE WITH RECURSIVE VALUES 1 'x' "q" WHERE IN EXISTS JOIN
    LATERAL PIVOT $a$ $ /* */ ' " { } [ ] ::INT é E'
"""
FRAGMENTS = WORDS.split()
FRAGMENTS += [
    "MATCH_RECOGNIZE (",
    "PATTERN (A)",
    "DEFINE A AS price > 3",
    "ORDER BY t",
    "MEASURES LAST(A.t) AS t",
]
FRAGMENTS += [
    "w AS",
    "(SELECT 1 AS t)",
    "ON true",
    "USING (k)",
    "UNION ALL",
    "--\n",
    "(SELECT * FROM prices)",
]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=14))
def test_garbage_gives_an_error_of_ours_or_a_result(fragments):
    try:
        assert isinstance(tc.sql(" ".join(fragments), prices=PRICES), pa.Table)
    except tc.TocsinError:
        pass
