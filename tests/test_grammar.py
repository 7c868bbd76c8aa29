"""The text of expressions: what it says as a tree, and what is wrong with it, with the place."""

import pytest

from tocsin.errors import PatternError
from tocsin.language.expression import (
    Aggregate,
    Call,
    Case,
    Cast,
    Classifier,
    Column,
    IsDistinct,
    IsNull,
    Like,
    Literal,
    MatchNumber,
    Navigate,
)
from tocsin.sql.clause import parse_clause, parse_condition

a, b, c, x = (Column(name) for name in "abcx")
ax, ay = Column("x", "A"), Column("y", "A")
one, two = Literal(1), Literal(2)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        # CASE and its kin
        ("CASE WHEN a THEN 1 END", Case(None, (a,), (one,), None)),
        ("case when a then 1 when b then 2 else c end", Case(None, (a, b), (one, two), c)),
        ("CASE x WHEN 1 THEN a ELSE b END", Case(x, (one,), (a,), b)),
        ("CASE -1 WHEN 1 THEN a END", Case(Literal(-1), (one,), (a,), None)),
        ("CASE (x) WHEN 1 THEN a END", Case(x, (one,), (a,), None)),
        ("CASE CASE WHEN a THEN b END WHEN 1 THEN 2 END", Case(Case(None, (a,), (b,), None), (one,), (two,), None)),
        ("IF(a, 1)", Case(None, (a,), (one,), None)),
        ("IF(a, 1, 2)", Case(None, (a,), (one,), two)),
        ("COALESCE(a, b, 1)", Call("coalesce", (a, b, one))),
        ("nullif(a, b)", Call("nullif", (a, b))),
        ("Some_Function()", Call("some_function", ())),
        # Casts
        ("CAST(x AS BIGINT)", Cast(x, "bigint")),
        ("TRY_CAST(x AS Double  Precision)", Cast(x, "double", True)),
        ("x::decimal(10,2)", Cast(x, "decimal(10, 2)")),
        ("x :: timestamp ( 3 ) with time zone", Cast(x, "timestamp(3) with time zone")),
        ("CAST(x AS time without time zone)", Cast(x, "time")),
        ("CAST(x AS character varying(5))", Cast(x, "varchar(5)")),
        ("CAST(x AS ARRAY(bigint))", Cast(x, "array(bigint)")),
        ("CAST(x AS array<array<bigint>>)", Cast(x, "array(array(bigint))")),
        ("CAST(x AS bigint ARRAY[3])", Cast(x, "array(bigint)")),
        ("CAST(x AS bigint ARRAY ARRAY)", Cast(x, "array(array(bigint))")),
        ("x::bigint[]", Cast(x, "array(bigint)")),
        ("CAST(x AS map(varchar, row(a bigint, \"B c\" double precision)))",
         Cast(x, 'map(varchar, row(a bigint, "B c" double))')),
        ("CAST(x AS row(double precision, timestamp with time zone))",
         Cast(x, "row(double, timestamp with time zone)")),
        ("CAST(x AS map<varchar, int>)", Cast(x, "map(varchar, int)")),
        ("CAST(x AS interval day to second)", Cast(x, "interval day to second")),
        ("x::int::double", Cast(Cast(x, "int"), "double")),
        # Predicates
        ("x IS TRUE", IsDistinct(x, Literal(True), True)),
        ("x IS NOT TRUE", IsDistinct(x, Literal(True), False)),
        ("x IS FALSE", IsDistinct(x, Literal(False), True)),
        ("x IS UNKNOWN", IsNull(x, False)),
        ("x IS NOT UNKNOWN", IsNull(x, True)),
        ("a IS DISTINCT FROM b", IsDistinct(a, b, False)),
        ("a IS NOT DISTINCT FROM b || 'c'", IsDistinct(a, Call("concat", (b, Literal("c"))), True)),
        ("x LIKE 'a%'", Like(x, Literal("a%"), None, False)),
        ("x NOT LIKE a || '%' ESCAPE '!'", Like(x, Call("concat", (a, Literal("%"))), "!", True)),
        ("x LIKE '''_' ESCAPE ''''", Like(x, Literal("'_"), "'", False)),
        # Operators
        ("a || b || 'c'", Call("concat", (a, b, Literal("c")))),
        ("(a || b) || c", Call("concat", (Call("concat", (a, b)), c))),
        ("a || b + 1", Call("concat", (a, b + 1))),
        ("x[1]", Call("subscript", (x, one))),
        ("x[a + 1][b]", Call("subscript", (Call("subscript", (x, a + 1)), b))),
        ("A.x[2]", Call("subscript", (ax, two))),
        ("ARRAY[]", Call("array", ())),
        ("ARRAY[1, a][2]", Call("subscript", (Call("array", (one, a)), two))),
        ("x AT TIME ZONE 'UTC'", Call("at_timezone", (x, Literal("UTC")))),
        ("x::timestamp AT TIME ZONE 'a' AT TIME ZONE 'b'",
         Call("at_timezone", (Call("at_timezone", (Cast(x, "timestamp"), Literal("a"))), Literal("b")))),
        ("-x[1]", -Call("subscript", (x, one))),
        ("-1::double", -Cast(one, "double")),
        ("(-1)::double", Cast(Literal(-1), "double")),
        # Special forms
        ("EXTRACT(Year FROM x)", Call("extract", (Literal("year"), x))),
        ("EXTRACT(day_of_week FROM a - b)", Call("extract", (Literal("day_of_week"), a - b))),
        ("SUBSTRING(x FROM 2)", Call("substring", (x, two))),
        ("SUBSTRING(x FROM 1 FOR 2)", Call("substring", (x, one, two))),
        ("substring(x, 1, 2)", Call("substring", (x, one, two))),
        ("TRIM(x)", Call("trim", (x,))),
        ("TRIM(BOTH FROM x)", Call("trim", (x,))),
        ("TRIM(FROM x)", Call("trim", (x,))),
        ("TRIM(BOTH 'a' FROM x)", Call("trim", (x, Literal("a")))),
        ("TRIM('a' FROM x)", Call("trim", (x, Literal("a")))),
        ("TRIM(LEADING 'a' FROM x)", Call("ltrim", (x, Literal("a")))),
        ("TRIM(TRAILING FROM x)", Call("rtrim", (x,))),
        ("trim(both, 'a')", Call("trim", (Column("both"), Literal("a")))),
        ("POSITION(a || 'b' IN x)", Call("strpos", (x, Call("concat", (a, Literal("b")))))),
        # Navigation
        ("PREV(LAST(A.x, 2), 1)", Navigate("prev", Navigate("last", ax, 2), 1)),
        ("NEXT(x, 3)", Navigate("next", x, 3)),
        ("RUNNING LAST(A.x)", Navigate("last", ax, 0, "running")),
        ("final first(A.x, 1)", Navigate("first", ax, 1, "final")),
        ("PREV(CLASSIFIER())", Navigate("prev", Classifier(), 1)),
        ("CLASSIFIER(u)", Classifier("U")),
        ('CLASSIFIER("u")', Classifier("u")),
        ("MATCH_NUMBER()", MatchNumber()),
        # Aggregates
        ("COUNT(*)", Aggregate("count", None)),
        ("COUNT()", Aggregate("count", None)),
        ("RUNNING COUNT(a.*)", Aggregate("count", None, "A", (), "running")),
        ("COUNT(ALL A.x)", Aggregate("count", ax)),
        ("FINAL SUM(A.x * A.y)", Aggregate("sum", ax * ay, None, (), "final")),
        ("MAX_BY(A.x, A.y)", Aggregate("max_by", ax, None, (ay,))),
        ("array_agg(CLASSIFIER(A))", Aggregate("array_agg", Classifier("A"))),
        ("Stddev_Pop(A.x)", Aggregate("stddev_pop", ax)),
        # Literals
        ("X'00fF'", Literal(b"\x00\xff")),
        ("INTERVAL '3' MONTH", Literal(3, "months")),
        ("INTERVAL '2' YEARS", Literal(24, "months")),
        ("INTERVAL '1-6' YEAR TO MONTH", Literal(18, "months")),
        ("INTERVAL - '1-6' YEAR TO MONTH", Literal(-18, "months")),
        ("INTERVAL '-2' QUARTER", Literal(-6, "months")),
        ("BIGINT '-5'", Literal(-5)),
        ("DOUBLE '1e3'", Literal(1000.0)),
        ("DOUBLE PRECISION 'Infinity'", Literal(float("inf"))),
        ("BOOLEAN 'True'", Literal(True)),
        ("VARCHAR 'x'", Literal("x")),
        ("DECIMAL '-1.50'", Cast(Literal("-1.50"), "decimal(3, 2)")),
        ("DECIMAL '007'", Cast(Literal("007"), "decimal(1, 0)")),
        ("REAL '0.1'", Cast(Literal("0.1"), "real")),
    ],
)  # fmt: skip
def test_a_text_is_this_tree(text, tree):
    assert parse_condition(text).same(tree)


def test_between_symmetric_takes_its_bounds_in_either_order():
    assert str(parse_condition("x BETWEEN SYMMETRIC a AND b")) == "x BETWEEN a AND b OR x BETWEEN b AND a"
    text = "NOT (x BETWEEN a AND b OR x BETWEEN b AND a)"
    assert str(parse_condition("x NOT BETWEEN SYMMETRIC a AND b")) == text
    assert str(parse_condition("x BETWEEN ASYMMETRIC a AND b")) == "x BETWEEN a AND b"


@pytest.mark.parametrize(
    "text",
    ["case > 1 AND case IN (1) OR case NOT IN (2)", "final IN (1) AND running = 2", "array > 1", "date = time",
     "interval - 1 > 2", "double * 2 = x", "x BETWEEN symmetric AND 3", "COUNT(distinct)", "COUNT(all)",
     "at + zone > over", "f(both, leading)", "select > 1", "current > localtimezone",
     "CASE nulls WHEN first THEN last END = 1"],
)  # fmt: skip
def test_a_word_is_a_keyword_only_where_it_can_be(text):
    parse_condition(text)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("1 + CASE WHEN a THEN b END", "CASE WHEN a THEN b END"),
        ("1 + CAST(a AS int)", "CAST(a AS int)"),
        ("1 + RUNNING SUM(a)", "RUNNING SUM(a)"),
        ("1 + a::int[1]", "a::int[1]"),
        ("1 + EXTRACT(day FROM a)", "EXTRACT(day FROM a)"),
        ("1 + f(a, b)", "f(a, b)"),
        ("1 + ARRAY[a]", "ARRAY[a]"),
        ("1 + a AT TIME ZONE 'b'", "a AT TIME ZONE 'b'"),
    ],
)
def test_every_node_knows_its_place(text, part):
    assert text[slice(*parse_condition(text).right.span)] == part


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("x IN (SELECT 1)", "IN with a sub-query is not supported"),
        ("x = (SELECT 1)", "a sub-query is not supported"),
        ("EXISTS (SELECT 1)", "EXISTS is not supported"),
        ("(a, b) = (1, 2)", "ROW values are not supported"),
        ("x = ANY (1)", "ANY after a comparison is not supported"),
        ("x ~ 'a'", "'~' is not supported: LIKE is"),
        ("x > ?", "parameters (?) are not supported"),
        ("`x` > 1", 'names are quoted with ", not with `'),
        ("x && y", "'&&' is written AND"),
        ("x > 12abc", "the number '12' runs into a word"),
        ("x > 99999999999999999999", "an integer must fit 64 bits"),
        ("x > 1e999", "the number is beyond the range of a 64-bit float"),
        ("x > interval 5 minute", "an interval is written INTERVAL '5' MINUTE, with quotes"),
        (
            "x > interval '5' parsec",
            "a unit (SECOND, MINUTE, HOUR, DAY, WEEK, MONTH, YEAR) is expected after the interval",
        ),
        ("x > interval '5' second to day", "SECOND TO DAY is not an interval"),
        ("x > interval '99999999' day", "an interval must be shorter than 292 years"),
        ("x > TIMESTAMPTZ '2024-01-01 00:00'", "'2024-01-01 00:00' has no time zone"),
        ("a.b.c > 1", "'a.b.' has a name too many"),
        ("a. > 1", "a column is expected after 'a.', not '>'"),
        ("x y", "an operator or the end is expected, not 'y'"),
        ("x > 1)", "an operator or the end is expected, not ')'"),
        ("(x > 1", "')' is expected to close the parenthesis"),
        ("and x", "an expression is expected before AND"),
        ("x NOT 3", "IN, BETWEEN or LIKE is expected after NOT"),
        ("x IN ()", "an expression is expected, not ')'"),
        ("x BETWEEN 1 OR 2", "AND is expected between the bounds of BETWEEN"),
        ("SUM(*) > 1", "SUM(*) means nothing: only COUNT takes *"),
        ("SUM(A.*) > 1", "SUM(….*) means nothing"),
        ("SUM() > 1", "SUM needs an argument"),
        ("COUNT(DISTINCT x) > 1", "COUNT(DISTINCT …) is not supported"),
        ("SUM(x) FILTER (WHERE y) > 1", "FILTER after SUM is not supported"),
        ("SUM(x) OVER () > 1", "OVER after SUM is not supported"),
        ("SUM(x, y) > 1", "SUM takes one argument, not 2"),
        ("PREV(x, -1) > 1", "the offset of PREV must not be negative"),
        ("PREV(x, 1.5) > 1", "the offset of PREV must be a whole number"),
        ("PREV(x, y) > 1", "the offset of PREV must be a whole number"),
        ("PREV(x, 9999999999) > 1", "the offset of PREV must not exceed 2147483647"),
        ("FINAL PREV(x) > 1", "FINAL goes before FIRST, LAST or an aggregate only"),
        ("CASE END", "an operator or the end is expected, not 'END'"),
        ("CASE x END", "WHEN is expected in CASE, not 'END'"),
        ("CASE WHEN a 1 END", "THEN is expected after the condition of WHEN, not '1'"),
        ("CASE WHEN a THEN 1", "WHEN, ELSE or END is expected in CASE, not the end of the text"),
        ("CASE WHEN a THEN 1 ELSE 2 WHEN b THEN 3 END", "END is expected in CASE, not 'WHEN'"),
        ("IF(a)", "IF takes a condition and one or two values"),
        ("CAST(x)", "AS is expected and a type in CAST, not ')'"),
        ("CAST(x AS 5)", "a type is expected, not '5'"),
        ("CAST(x AS decimal(10)", "')' is expected to close CAST"),
        ("CAST(x AS time with zone)", "TIME is expected in the type TIME WITH TIME ZONE, not 'zone'"),
        ("x::", "a type is expected, not the end of the text"),
        ("SAFE_CAST(x AS int)", "SAFE_CAST is written TRY_CAST"),
        ("x LIKE 'a' ESCAPE 'ab'", "ESCAPE takes a text of one character"),
        ("x LIKE 'a' ESCAPE y", "ESCAPE takes a text of one character"),
        ("x ILIKE 'a'", "ILIKE is not supported"),
        ("x IS 3", "NULL, TRUE, FALSE, UNKNOWN or DISTINCT FROM is expected after IS, not '3'"),
        ("x IS NOT 3", "NULL, TRUE, FALSE, UNKNOWN or DISTINCT FROM is expected after IS NOT, not '3'"),
        ("x IS DISTINCT y", "FROM is expected after IS DISTINCT, not 'y'"),
        ("x IS NULL IS TRUE", "'IS' follows a comparison: they do not chain"),
        ("x[1:2]", "a slice of an array is not supported"),
        ("x[1", "']' is expected to close the subscript"),
        ("ARRAY[1", "']' is expected to close ARRAY"),
        ("ARRAY(1)", "an array is written ARRAY[…], with brackets"),
        ("x AT LOCAL", "AT LOCAL is not supported: name the zone"),
        ("EXTRACT(x)", "EXTRACT is written EXTRACT(YEAR FROM x)"),
        ("POSITION(a, b)", "POSITION is written POSITION(part IN text)"),
        ("f(x -> x + 1)", "a lambda (->) is not supported"),
        ("f((x, y) -> x + y)", "a lambda (->) is not supported"),
        ("f(a => 1)", "arguments are given by their places, without names"),
        ("f(DISTINCT a)", "F(DISTINCT …) is not supported"),
        ("f(*)", "F(*) means nothing: only COUNT takes *"),
        ("f(a", "')' is expected to close F, not the end of the text"),
        ("f(a b)", "')' is expected to close F, not 'b'"),
        ("f(SELECT 1)", "a sub-query is not supported"),
        ("f(a) OVER w", "OVER after F is not supported: a row pattern has no windows"),
        ("ARRAY_AGG(a ORDER BY b)", "ORDER BY in ARRAY_AGG is not supported"),
        ("FIRST(a IGNORE NULLS)", "IGNORE NULLS is not supported"),
        ("LAST(a) RESPECT NULLS", "RESPECT NULLS is not supported"),
        (
            "LISTAGG(a, ',') WITHIN GROUP (ORDER BY a)",
            "the aggregate LISTAGG is not supported: there are COUNT",
        ),
        ("approx_distinct(a)", "the aggregate APPROX_DISTINCT is not supported"),
        ("LAG(a)", "LAG is a window function, which a row pattern does not have: PREV is meant, perhaps"),
        ("row_number()", "ROW_NUMBER is a window function"),
        ("MAX_BY(a)", "MAX_BY takes two arguments, not 1"),
        ("MAX(a, 3)", "MAX takes one argument, not 2"),
        ("RUNNING CLASSIFIER() = 'A'", "RUNNING goes before FIRST, LAST or an aggregate only"),
        ("FINAL abs(x)", "FINAL goes before FIRST, LAST or an aggregate only"),
        ("RUNNING NEXT(x)", "RUNNING goes before FIRST, LAST or an aggregate only"),
        ("CLASSIFIER(A.x)", "')' is expected to close CLASSIFIER, not '.'"),
        ("CLASSIFIER(1)", "')' is expected to close CLASSIFIER, not '1'"),
        ("MATCH_NUMBER(1)", "')' is expected after MATCH_NUMBER"),
        ("PREV()", "PREV needs an argument"),
        ("PREV(x, 1, 2)", "')' is expected to close PREV, not ','"),
        ("A.*", "'A.*' is not a value: it stands in COUNT(A.*)"),
        ("A.f(x)", "'A.f(' means nothing: a function has no prefix"),
        ("ts > CURRENT_TIMESTAMP", "CURRENT_TIMESTAMP reads a clock, and a pattern does not"),
        ("ts > now()", "NOW reads a clock, and a pattern does not"),
        ("d = current_date", "CURRENT_DATE reads a clock"),
        ("a$b = 1", "'$' is no part of a plain name: quote it"),
        ("X'0'", "X'…' takes pairs of hexadecimal digits"),
        ("B'01'", "B'…' literals are not supported: write a plain string"),
        ("BIGINT 'a'", "'a' is no BIGINT: a whole number from -9223372036854775808 to 9223372036854775807"),
        ("TINYINT '128'", "'128' is no TINYINT"),
        ("BOOLEAN 'yes'", "a BOOLEAN is 'true' or 'false'"),
        ("DOUBLE 'a'", "'a' is no DOUBLE: a number, 'NaN' or 'Infinity'"),
        ("DOUBLE '1e999'", "the number is beyond the range of a 64-bit float"),
        ("DECIMAL '1e5'", "'1e5' is no DECIMAL: a number such as 1.5"),
        (
            "DECIMAL '0.123456789012345678901234567890123456789'",
            "a DECIMAL has at most 38 digits, and this one has 39",
        ),
        ("INTERVAL '1.5' MONTH", "'1.5' is not a whole number of MONTHS: write INTERVAL '5' MONTH"),
        ("INTERVAL '1-12' YEAR TO MONTH", "'1-12' is not an interval YEAR TO MONTH: a year has 12 months"),
        ("INTERVAL '1' YEAR TO DAY", "YEAR TO DAY is not an interval: the fields go from"),
        ("INTERVAL '9999999999' YEAR", "an interval must be shorter than 2147483648 months"),
    ],
)
def test_what_is_wrong_or_not_there_is_refused_by_name_with_its_place(text, wrong):
    with pytest.raises(PatternError) as caught:
        parse_condition(text)
    assert str(caught.value).startswith(wrong), str(caught.value)
    assert "\nline 1, column " in str(caught.value)


def test_a_function_that_others_have_in_a_clause_is_refused_at_its_place():
    with pytest.raises(PatternError, match=r"(?s)the aggregate MEDIAN .*column 10"):
        parse_clause("MEASURES median(A.x) AS m PATTERN (A)")
