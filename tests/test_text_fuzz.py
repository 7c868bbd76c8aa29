"""Any text at all: it is parsed or refused, soon, with little memory, and only ever by a PatternError.

Three sources: random characters, random tokens of the grammar, and whole clauses made from the grammar, as they are
(they must parse, and be read back from their text) and with a few places overwritten.
"""

import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tocsin.errors import PatternError
from tocsin.language.pattern import parse_pattern
from tocsin.sql.clause import parse, parse_clause, parse_condition
from tree_strategies import VARIABLES, clauses, expressions

# fmt: off
WORDS = [
    "PARTITION", "BY", "ORDER", "MEASURES", "ONE", "ROW", "PER", "MATCH", "ALL", "ROWS", "AFTER", "SKIP",
    "PAST", "LAST", "TO", "NEXT", "PATTERN", "WITHIN", "INTERVAL", "DEFINE", "SUBSET", "AS", "AND", "OR", "NOT",
    "IS", "NULL", "IN", "BETWEEN", "LIKE", "CASE", "CAST", "TRUE", "FALSE", "FIRST", "PREV", "COUNT", "SUM",
    "AVG", "MIN", "MAX", "CLASSIFIER", "MATCH_NUMBER", "FINAL", "RUNNING", "DATE", "TIMESTAMP", "TIME", "DAY",
    "SECOND", "MINUTE", "MONTH", "ASC", "DESC", "NULLS", "SELECT", "MATCH_RECOGNIZE", "PERMUTE", "A", "B", "a",
    "b", "price", "ts", "SHOW", "EMPTY", "MATCHES", "OMIT", "WITH", "UNMATCHED", "INITIAL", "WHEN", "THEN",
    "ELSE", "END", "ESCAPE", "DISTINCT", "UNKNOWN", "SYMMETRIC", "AT", "ZONE", "ARRAY", "EXTRACT", "YEAR",
    "FROM", "FOR", "BOTH", "TRIM", "SUBSTRING", "POSITION", "IF", "COALESCE", "TRY_CAST", "BIGINT", "DECIMAL",
    "DOUBLE", "PRECISION", "MAP", "VARCHAR", "MAX_BY", "ARRAY_AGG", "OVER", "FILTER", "IGNORE", "U",
]
SIGNS = [
    '"q"', "'x'", "'5'", "'2024-01-01'", "'1", "02:03:04'", "0", "1", "2", "3.5", "1e9", "(", ")", "(", ")",
    "(", ")", ",", ",", ".", "*", "+", "-", "/", "%", "=", "<", ">", "<=", "<>", "{", "}", "{-", "-}", "?", "|",
    "^", "$", "::", "||", "[", "]", "[", "]", ";", ":", "->", "=>", "--", "/*", "*/", "'", '"', "§",
]
# fmt: on
TOKENS = WORDS + SIGNS
FUZZ = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


PROBES = """
    PARTITION BY account ORDER BY ts
    MEASURES FIRST(probe.ts) AS started, hit.ts AS ended, COUNT(probe.*) AS probes
    ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW
    PATTERN (probe{3,} hit) WITHIN INTERVAL '5' MINUTE
    DEFINE probe AS amount < 10, hit AS amount > 1000
"""


def only_pattern_error(text):
    for parser in (parse, parse_clause, parse_condition, parse_pattern):
        error = ""
        try:
            parser(text)
        except PatternError as wrong:
            error = str(wrong)
        assert len(error) < 1_500


@FUZZ
@given(st.text(max_size=60))
def test_random_text_is_parsed_or_refused(text):
    only_pattern_error(text)


@FUZZ
@given(st.lists(st.sampled_from(TOKENS), max_size=40))
def test_random_tokens_are_parsed_or_refused(tokens):
    only_pattern_error(" ".join(tokens))


# What has no tree of its own, so that no tree has it as its text.
SUGAR = [
    "x IS NOT TRUE AND y IS UNKNOWN OR z NOT BETWEEN SYMMETRIC -1 AND (2)",
    "IF(a, b, c) + TRIM(LEADING 'x' FROM y) || TRIM(FROM z) || SUBSTRING(a FROM 2 FOR 3)",
    "POSITION('a' IN b || c) = x::map(varchar, array<bigint>)[1] AT TIME ZONE 'UTC'",
    "CASE WHEN a THEN CASE b WHEN 1 THEN 2 ELSE 3 END END::timestamp(3) without time zone[]",
    "DECIMAL '1.50' + BIGINT '7' * DOUBLE PRECISION '1e3' - REAL '2' > COUNT(ALL x) + COUNT()",
    "ts + INTERVAL - '1-6' YEAR TO MONTH <= TIMESTAMPTZ '2024-03-01 00:00 UTC' - INTERVAL '1 02' DAY TO HOUR",
    "ALL ROWS PER MATCH WITH UNMATCHED ROWS AFTER MATCH SKIP TO last PATTERN (A{,3} B) SUBSET U = (A)",
]


@FUZZ
@given(st.data())
def test_mutations_of_what_is_right_are_parsed_or_refused(data):
    text = str(data.draw(st.one_of(clauses(), expressions(VARIABLES), st.sampled_from([PROBES, *SUGAR]))))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        stop = min(len(text), start + data.draw(st.integers(0, 12)))
        put = data.draw(st.one_of(st.sampled_from(TOKENS), st.text(max_size=3), st.just("")))
        text = text[:start] + put + text[stop:]
    only_pattern_error(text)


@FUZZ
@given(clauses())
def test_any_clause_is_read_back_from_its_text(clause):
    text = str(clause)
    again = parse_clause(text)
    assert str(again) == text
    assert again.pattern == clause.pattern
    assert (again.rows, again.empty, again.skip, again.subsets) == (
        clause.rows,
        clause.empty,
        clause.skip,
        clause.subsets,
    )
    assert all(same(a, b) for a, b in zip(again.partition, clause.partition, strict=True))
    for given_key, key in zip(again.order, clause.order, strict=True):
        assert same(given_key.expression, key.expression)
        assert (given_key.descending, given_key.nulls_first) == (key.descending, key.nulls_first)
    for given_measure, measure in zip(again.measures, clause.measures, strict=True):
        assert same(given_measure.expression, measure.expression)
        assert (given_measure.name, given_measure.quoted) == (measure.name, measure.quoted)
    for given_definition, definition in zip(again.definitions, clause.definitions, strict=True):
        assert given_definition.variable == definition.variable
        assert same(given_definition.condition, definition.condition)
    assert (again.within is None) == (clause.within is None)
    assert again.within is None or same(again.within, clause.within)


def same(left, right):
    return left.same(right)


# Bounds


def message(text, parser=parse):
    with pytest.raises(PatternError) as caught:
        parser(text)
    return str(caught.value)


def test_nesting_is_bounded():
    assert "nested deeper than 200 levels" in message("(" * 100_000 + "x")
    assert "nested deeper than 200 levels" in message("NOT " * 100_000 + "x")
    assert "more than 200 signs in a row" in message("- " * 100_000 + "x")
    assert "nested deeper than 200 levels" in message("- " * 200 + "x")
    assert "nested deeper than 200 levels" in message("PREV(" * 10_000 + "x")
    assert "nested deeper than 200 levels" in message("1 + " * 10_000 + "x")
    assert "nested deeper than 100 levels" in message("PATTERN " + "(" * 100_000)


@pytest.mark.parametrize(
    "unit",
    ["f(", "IF(1, ", "CASE WHEN ", "CASE ", "x[", "ARRAY[", "CAST(", "x IN (", "a = (", "TRIM(", "EXTRACT(day FROM ",
     "SUM(", "x BETWEEN (", "x LIKE (", "- (", "POSITION(", "MAX_BY(1, ", "FINAL LAST("],
)  # fmt: skip
def test_every_form_is_bounded_in_nesting(unit):
    assert "nested deeper than 200 levels" in message(unit * 10_000 + "x", parse_condition)


@pytest.mark.parametrize("unit", ["::int", "[1]", " AT TIME ZONE 'UTC'"])
def test_a_long_chain_behind_an_operand_is_bounded(unit):
    assert "nested deeper than 200 levels" in message("x" + unit * 10_000, parse_condition)
    assert parse_condition("x" + unit * 190).depth == 191


@pytest.mark.parametrize("unit", ["array(", "row(a ", "array<", "map(int, "])
def test_a_type_is_bounded_in_nesting(unit):
    assert "a type is nested deeper than 30 levels" in message(f"CAST(x AS {unit * 10_000}", parse_condition)
    assert "a type is nested deeper than 30 levels" in message(f"x::int{'[]' * 10_000}", parse_condition)


@pytest.mark.parametrize("unit", ["PERMUTE(A, ", "{- A ", "(A | "])
def test_a_pattern_of_every_form_is_bounded_in_nesting(unit):
    assert "nested deeper than 100 levels" in message(unit * 10_000, parse_pattern)


@pytest.mark.parametrize(
    "text",
    ["x" + " || x" * 10_000, "x" + " AND x" * 10_000, "x IN (1" + ", 1" * 20_000 + ")",
     "f(1" + ", 1" * 20_000 + ")", "ARRAY[1" + ", 1" * 20_000 + "]", "CASE" + " WHEN x THEN 1" * 5_000 + " END"],
)  # fmt: skip
def test_a_long_text_is_read_in_bounded_memory(text):
    tracemalloc.start()
    try:
        tree = parse_condition(text)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert tree.depth <= 3
    assert peak < 500 * len(text)


def test_the_deepest_expression_parses():
    assert str(parse_condition("(" * 198 + "x" + ")" * 198)) == "x"
    assert parse_condition("PREV(" * 49 + "x" + ")" * 49).depth == 50


@pytest.mark.parametrize("unit", ["\0", "A ", "((", "é~", "'", "A|", "{-", "PATTERN (", "x > 1 AND "])
def test_ten_megabytes_of_garbage_are_refused_at_once_with_a_short_message(unit):
    start = time.perf_counter()
    got = message(unit * (10_000_000 // len(unit)))
    assert time.perf_counter() - start < 1
    assert len(got) < 500
    assert "characters; the limit is 1000000. It begins" in got


@pytest.mark.parametrize(
    "unit", ["\0", "A ", "((", "'' ", "A|", "x > 1 AND ", "-- ", "/*", "PATTERN (A) ", "1,"]
)
def test_a_megabyte_of_garbage_is_refused_quickly(unit):
    start = time.perf_counter()
    got = message(unit * (900_000 // len(unit)))
    assert time.perf_counter() - start < 15
    assert len(got) < 500
