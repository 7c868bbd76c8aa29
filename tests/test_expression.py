"""The Python side of expressions: operators, literals, texts and limits."""

import ast
import datetime as dt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

import tocsin
from tocsin.errors import PatternError
from tocsin.language.expression import (
    Column,
    Literal,
    Logical,
    Navigate,
    col,
    lit,
    to_expression,
)
from tocsin.language.render import render
from tocsin.sql.clause import parse_condition
from tree_strategies import VARIABLES, expressions

a, b = col("a"), col("b")


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (a + 1, "a + 1"),
        (1 + a, "1 + a"),
        (a - b, "a - b"),
        (1 - a, "1 - a"),
        (a * 2, "a * 2"),
        (2 * a, "2 * a"),
        (a / b, "a / b"),
        (1 / a, "1 / a"),
        (a % 2, "a % 2"),
        (3 % a, "3 % a"),
        (-a, "- a"),
        ((-a).__neg__(), "- - a"),
        (a - lit(-3), "a - -3"),
        (a + -lit(3), "a + -3"),
        ((a + b) * 2, "(a + b) * 2"),
        (a + b * 2, "a + b * 2"),
        (a - (b - 1), "a - (b - 1)"),
        (a - b - 1, "a - b - 1"),
        (-(a + b), "- (a + b)"),
        (a == 1, "a = 1"),
        (a != 1, "a <> 1"),
        (a < 1, "a < 1"),
        (a <= 1, "a <= 1"),
        (a > 1, "a > 1"),
        (a >= 1, "a >= 1"),
        (a + 1 > -2, "a + 1 > -2"),
        ((a > 1) & (b > 2), "a > 1 AND b > 2"),
        ((a > 1) | (b > 2) & ~(a > 3), "a > 1 OR b > 2 AND NOT a > 3"),
        (((a > 1) | (b > 2)) & True, "(a > 1 OR b > 2) AND TRUE"),
        (False | (a > 1), "FALSE OR a > 1"),
        (True & (a > 1), "TRUE AND a > 1"),
        (~((a > 1) & (b > 2)), "NOT (a > 1 AND b > 2)"),
        ((a > 1) == (b > 2), "(a > 1) = (b > 2)"),
        (a.is_null(), "a IS NULL"),
        ((a + 1).is_not_null(), "a + 1 IS NOT NULL"),
        (a.between(1, b), "a BETWEEN 1 AND b"),
        (a.is_in([1, 2, None]), "a IN (1, 2, NULL)"),
        (a.prev() < a, "PREV(a) < a"),
        ((a + b).prev(3), "PREV(a + b, 3)"),
        (a.prev(0), "PREV(a, 0)"),
        (col("two words") > 1, '"two words" > 1'),
        (col('say "x"') > 1, '"say ""x""" > 1'),
        (col("and") > 1, '"and" > 1'),
        (a == "it's", "a = 'it''s'"),
        (a == dt.date(2024, 3, 1), "a = DATE '2024-03-01'"),
        (a == dt.time(9, 30), "a = TIME '09:30:00'"),
        (a == dt.datetime(2024, 3, 1, 9, 30, 0, 5), "a = TIMESTAMP '2024-03-01 09:30:00.000005'"),
        (a == dt.datetime(2024, 3, 1, 9, 30, tzinfo=dt.UTC), "a = TIMESTAMP '2024-03-01 09:30:00 UTC'"),
        (a - b < dt.timedelta(minutes=5), "a - b < INTERVAL '300' SECOND"),
        (a < dt.timedelta(microseconds=-1500), "a < INTERVAL '-0.0015' SECOND"),
    ],
)
def test_an_expression_says_itself_in_sql_and_is_read_back_as_the_same(expression, text):
    assert str(expression) == text
    assert str(parse_condition(text)) == text


def test_every_part_of_a_rendered_expression_knows_its_place():
    text, placed = render((a + 1 > 2) & b.is_null())
    first, second = placed.operands
    assert text == "a + 1 > 2 AND b IS NULL"
    assert text[slice(*first.span)] == "a + 1 > 2"
    assert text[slice(*first.left.span)] == "a + 1"
    assert text[slice(*first.at)] == ">"
    assert text[slice(*second.operand.span)] == "b"


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        (True, Literal(True)),
        (1, Literal(1)),
        (1.5, Literal(1.5)),
        ("x", Literal("x")),
        (b"x", Literal(b"x")),
        (None, Literal(None)),
        (np.int8(-3), Literal(-3)),
        (np.uint64(2**64 - 1), Literal(2**64 - 1)),
        (np.float32(0.5), Literal(0.5)),
        (np.float64(0.5), Literal(0.5)),
        (np.bool_(True), Literal(True)),
        (np.str_("x"), Literal("x")),
        (np.datetime64("2024-03-01"), Literal(19_783, "date")),
        (np.datetime64("1970-01-01T00:00:00.000000007"), Literal(7, "timestamp")),
        (np.datetime64("1970-01-01T01", "h"), Literal(3_600 * 10**9, "timestamp")),
        (np.datetime64("NaT"), Literal(None)),
        (np.timedelta64(5, "m"), Literal(300 * 10**9, "interval")),
        (dt.timedelta(days=1), Literal(86_400 * 10**9, "interval")),
        (dt.date(1970, 1, 2), Literal(1, "date")),
        (dt.time(0, 0, 1), Literal(10**9, "time")),
        (dt.datetime(1970, 1, 1, 0, 0, 1), Literal(10**9, "timestamp")),
        (
            dt.datetime(1970, 1, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2))),
            Literal(0, "instant"),
        ),
        (dt.datetime(1, 1, 1), Literal(-62_135_596_800 * 10**9, "timestamp")),
    ],
)
def test_a_python_or_numpy_value_is_this_literal(value, literal):
    assert lit(value).same(literal)
    assert type(lit(value).value) is type(literal.value)


def test_an_expression_is_its_own_literal():
    assert to_expression(a) is a


@pytest.mark.parametrize(
    "value", [[1], {1: 2}, object(), 1j, np.longdouble(1), np.array([1]), dt.time(1, tzinfo=dt.UTC)]
)
def test_other_values_are_refused_by_type(value):
    with pytest.raises(TypeError, match=f"of type {type(value).__name__} cannot stand in an expression"):
        lit(value)


def test_an_integer_has_to_fit_64_bits():
    with pytest.raises(ValueError, match="an integer in an expression must fit 64 bits"):
        lit(2**64)


def test_an_expression_has_no_truth_value():
    for use in (lambda: a > 1 and b > 2, lambda: 1 < a < 3, lambda: not a, lambda: bool(a), lambda: a in [1]):
        with pytest.raises(TypeError, match=r"& \| ~ .* \.between\(low, high\), membership is \.is_in"):
            use()


@pytest.mark.parametrize("n", [-1, 1.5, "1", True])
def test_prev_takes_a_whole_number_of_rows(n):
    with pytest.raises(ValueError, match="prev takes a whole number of rows, 0 or more"):
        a.prev(n)


def test_is_in_takes_a_list():
    assert str(a.is_in(np.array([1, 2]))) == "a IN (1, 2)"
    for wrong in ("abc", 3):
        with pytest.raises(TypeError, match="is_in takes a list of values"):
            a.is_in(wrong)


@pytest.mark.parametrize("name", ["", None, 3])
def test_col_takes_a_name(name):
    with pytest.raises(TypeError, match="col takes the name of a column"):
        col(name)


def test_operators_change_nothing():
    before = str(a)
    _ = a + 1, a & (b > 1), ~a, a.prev()
    assert str(a) == before
    with pytest.raises(AttributeError):
        a.name = "c"


def test_trees_are_compared_by_same():
    assert (a + 1).same(col("a") + 1)
    assert not (a + 1).same(a + 1.0)
    assert not (a + 1).same(a + True)
    assert not a.is_null().same(a.is_not_null())
    assert not Navigate("prev", a, 1).same(Navigate("prev", a, 2))
    assert not Column("a").same(Column("a", "A"))
    assert len({a, a, col("a")}) == 2  # hashed by identity: == says nothing


def test_a_long_chain_of_and_is_one_level():
    condition = a > 0
    for i in range(3_000):
        condition = condition & (b != i)
    assert isinstance(condition, Logical)
    assert len(condition.operands) == 3_001
    assert condition.depth == 3
    assert str(parse_condition(str(condition))) == str(condition)


def test_an_expression_that_is_too_deep_or_too_large_is_refused_when_it_is_made():
    deep = a
    for _ in range(199):
        deep = deep + 1
    with pytest.raises(PatternError, match="nested deeper than 200 levels"):
        _ = deep + 1
    wide = a
    for _ in range(18):
        wide = wide + wide
    with pytest.raises(PatternError, match="more than 1000000 parts"):
        _ = wide + wide + wide


def test_the_trees_are_made_without_numpy_and_pyarrow():
    for folder in ("language", "sql"):
        for path in (Path(tocsin.__file__).parent / folder).glob("*.py"):
            for statement in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(statement, ast.Import | ast.ImportFrom):
                    words = set(ast.unparse(statement).replace(".", " ").split())
                    assert not words & {"numpy", "pyarrow"}, path


@given(expressions(VARIABLES))
def test_any_expression_is_read_back_from_its_text(expression):
    text, placed = render(expression)
    assert placed.same(expression)
    again = parse_condition(text)
    assert again.same(expression)
    assert str(again) == text


@given(expressions(VARIABLES))
def test_places_are_those_of_the_text(expression):
    text, placed = render(expression)
    stack = [placed, parse_condition(text)]
    while stack:
        part = stack.pop()
        assert 0 <= part.span[0] < part.span[1] <= len(text)
        stack.extend(part.children())
