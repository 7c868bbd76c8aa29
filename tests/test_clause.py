"""The text of a clause: what it says as a tree, and what is wrong with it, with the place."""

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tocsin.errors import PatternError
from tocsin.language.expression import Expression
from tocsin.language.pattern import Alternation, Empty, Quantified, Sequence, Variable, parse_pattern
from tocsin.sql.clause import Clause, is_clause, parse, parse_clause, parse_condition

PROBES = """
    PARTITION BY account ORDER BY ts
    MEASURES FIRST(probe.ts) AS started, hit.ts AS ended, COUNT(probe.*) AS probes
    ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW
    PATTERN (probe{3,} hit) WITHIN INTERVAL '5' MINUTE
    DEFINE probe AS amount < 10, hit AS amount > 1000
"""

A, B, C = Variable("A"), Variable("B"), Variable("C")


def message(text, parser=parse):
    with pytest.raises(PatternError) as caught:
        parser(text)
    return str(caught.value)


def test_a_whole_clause():
    clause = parse_clause(PROBES)
    assert [c.name for c in clause.partition] == ["account"]
    assert [(k.column.name, k.descending, k.nulls_first) for k in clause.order] == [("ts", False, False)]
    assert [(str(m.expression), m.name) for m in clause.measures] == [
        ("FIRST(PROBE.ts)", "started"),
        ("HIT.ts", "ended"),
        ("COUNT(PROBE.*)", "probes"),
    ]
    assert clause.skip == "past_last"
    assert clause.pattern == Sequence((Quantified(Variable("PROBE"), 3, None), Variable("HIT")))
    assert clause.within.value == 300 * 10**9
    assert [(d.variable, str(d.condition)) for d in clause.definitions] == [
        ("PROBE", "amount < 10"),
        ("HIT", "amount > 1000"),
    ]


def test_match_recognize_may_stand_around_it():
    inside = parse_clause("PATTERN (A) DEFINE A AS x > 1")
    around = parse_clause("match_recognize ( PATTERN (A) DEFINE A AS x > 1 )")
    assert around.pattern == inside.pattern
    assert str(around.definitions[0].condition) == str(inside.definitions[0].condition)


def test_everything_but_the_pattern_may_be_left_out():
    clause = parse_clause("pattern (a)")
    assert clause == Clause(pattern=A)


def test_comments_blanks_and_case_do_not_matter():
    clause = parse_clause("""
        -- who
        Partition /* by whom */ by account
        pattern (a b) /* two
        lines */ define b as Price > 1 -- the end""")
    assert clause.pattern == Sequence((A, B))
    assert clause.definitions[0].condition.left.name == "Price"


def test_quoted_names_keep_their_case():
    clause = parse_clause(
        'PARTITION BY "My key" MEASURES "a".x AS "Out ""1""" PATTERN ("a" A) DEFINE "a" AS x > 1'
    )
    assert clause.pattern == Sequence((Variable("a"), A))
    assert clause.definitions[0].variable == "a"
    assert clause.measures[0].name == 'Out "1"'
    assert clause.measures[0].expression.variable == "a"
    assert (clause.partition[0].name, clause.partition[0].quoted) == ("My key", True)


def test_order_by_directions_and_nulls():
    clause = parse_clause("ORDER BY a DESC NULLS FIRST, b ASC, c NULLS LAST PATTERN (A)")
    assert [(k.column.name, k.descending, k.nulls_first) for k in clause.order] == [
        ("a", True, True),
        ("b", False, False),
        ("c", False, False),
    ]


def test_skip_to_next_row():
    assert parse_clause("AFTER MATCH SKIP TO NEXT ROW PATTERN (A)").skip == "next"


def test_final_is_the_meaning_measures_have_anyway():
    text = "MEASURES FINAL LAST(A.x) AS y, FINAL COUNT(*) AS n PATTERN (A)"
    assert [str(m.expression) for m in parse_clause(text).measures] == ["LAST(A.x)", "COUNT(*)"]


@pytest.mark.parametrize(
    ("interval", "nanoseconds"),
    [
        ("INTERVAL '5' MINUTE", 300 * 10**9),
        ("INTERVAL '90' SECONDS", 90 * 10**9),
        ("INTERVAL '0.5' SECOND", 5 * 10**8),
        ("INTERVAL '2' DAY", 172_800 * 10**9),
        ("INTERVAL '1' WEEK", 604_800 * 10**9),
        ("INTERVAL '1 02:03:04' DAY TO SECOND", 93_784 * 10**9),
        ("INTERVAL '01:30' HOUR TO MINUTE", 5_400 * 10**9),
    ],
)
def test_within_takes_every_interval_of_fixed_length(interval, nanoseconds):
    assert parse_clause(f"ORDER BY ts PATTERN (A) WITHIN {interval}").within.value == nanoseconds


@pytest.mark.parametrize(
    "name",
    ["date", "time", "timestamp", "interval", "first", "last", "count", "prev", "pattern", "define", "measures",
     "within", "one", "all", "after", "order", "partition", "classifier", "row", "case", "final", "running", "match"],
)  # fmt: skip
def test_words_that_only_mean_something_in_their_place_are_free_as_names(name):
    text = f"ORDER BY {name} MEASURES {name} AS {name} PATTERN ({name}) "
    clause = parse_clause(text + f"DEFINE {name} AS {name} > 1 AND {name} IS NULL")
    assert clause.definitions[0].condition.operands[0].left.name == name
    assert clause.measures[0].expression.name == name


def test_a_text_is_a_clause_or_a_condition():
    assert is_clause(PROBES)
    assert is_clause("PARTITION BY a DEFINE A AS x > 1")
    assert not is_clause("pattern > 3")
    assert not is_clause("x > 'PATTERN (A)'")
    assert isinstance(parse("price > 3"), Expression)


# Patterns


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("A", A),
        ("a", A),
        ("A B C", Sequence((A, B, C))),
        ("A | B | C", Alternation((A, B, C))),
        ("A B | C", Alternation((Sequence((A, B)), C))),
        ("A (B | C)", Sequence((A, Alternation((B, C))))),
        ("((A))", A),
        ("A*", Quantified(A, 0, None)),
        ("A+", Quantified(A, 1, None)),
        ("A?", Quantified(A, 0, 1)),
        ("A*?", Quantified(A, 0, None, False)),
        ("A+?", Quantified(A, 1, None, False)),
        ("A??", Quantified(A, 0, 1, False)),
        ("A{3}", Quantified(A, 3, 3)),
        ("A{3}?", Quantified(A, 3, 3, False)),
        ("A{3,}", Quantified(A, 3, None)),
        ("A{,3}", Quantified(A, 0, 3)),
        ("A{2,3}?", Quantified(A, 2, 3, False)),
        ("A{,}", Quantified(A, 0, None)),
        ("A{0,}", Quantified(A, 0, None)),
        ("A | ()", Alternation((A, Empty()))),
        ("(A B)+ C", Sequence((Quantified(Sequence((A, B)), 1, None), C))),
        ("A /* x */ -- y\n B", Sequence((A, B))),
    ],
)
def test_a_pattern_is_this_tree(text, tree):
    assert parse_pattern(text) == tree


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("A{0}", "the upper bound of a quantifier must be at least 1"),
        ("A{,0}", "the upper bound of a quantifier must be at least 1"),
        ("A{3,2}", "the lower bound of a quantifier, 3, must not exceed its upper bound, 2"),
        ("A{1.5}", "a quantifier takes whole numbers, not '1.5'"),
        ("A{99999999999}", "a quantifier's bound must not exceed 2147483647"),
        ("A{}", "a number or ',' is expected in a quantifier, not '}'"),
        ("A{1", "'}' is expected to close the quantifier, not the end of the text"),
        ("A**", "a second quantifier, '*', needs parentheses around what it repeats"),
        ("A+??", "a second quantifier, '?', needs parentheses"),
        ("*", "a variable or a quantifier is expected, not '*'"),
        ("A |", "a pattern is expected after '|' (the empty pattern is written '()')"),
        ("| A", "a pattern is expected before '|'"),
        ("(A", "')' is expected to close the group"),
        ("A)", "a variable or a quantifier is expected, not ')'"),
        ("A, B", "a variable or a quantifier is expected, not ','"),
        ("PERMUTE(A, B)", "PERMUTE is not supported yet"),
        ("{- A -} B", "exclusion {- … -} is not supported yet"),
        ("^ A", "the anchor ^ is not supported yet: a pattern cannot ask for the start of a partition"),
        ("A $", "the anchor $ is not supported yet: a pattern cannot ask for the end of a partition"),
    ],
)
def test_a_wrong_pattern_is_refused(text, wrong):
    assert message(text, parse_pattern).startswith(wrong)


# What is wrong, word for word, with the caret


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "PATTERN (A+ B) DEFINE A AS price > NEXT(price",
            (
                "')' is expected to close NEXT, not the end of the text\n"
                "line 1, column 46:\n"
                "    PATTERN (A+ B) DEFINE A AS price > NEXT(price\n"
                "                                                 ^"
            ),
        ),
        (
            "PATTERN (A+ B)\n  DEFINE A AS price == 3",
            (
                "equality is written =, not ==\n"
                "line 2, column 21:\n"
                "    DEFINE A AS price == 3\n"
                "                      ^^"
            ),
        ),
        (
            "ORDER BY ts\nALL ROWS PER MATCH\nPATTERN (A)",
            (
                "ALL ROWS PER MATCH is not supported yet: ONE ROW PER MATCH is\n"
                "line 2, column 1:\n"
                "    ALL ROWS PER MATCH\n"
                "    ^^^"
            ),
        ),
        (
            "PATTERN (A B{3,2} C)",
            (
                "the lower bound of a quantifier, 3, must not exceed its upper bound, 2\n"
                "line 1, column 13:\n"
                "    PATTERN (A B{3,2} C)\n"
                "                ^^^^^"
            ),
        ),
        (
            "PATTERN (A) PARTITION BY x",
            (
                "PARTITION BY must stand before PATTERN; the order is PARTITION BY, ORDER BY, MEASURES, ONE ROW PER "
                "MATCH, AFTER MATCH SKIP, PATTERN, WITHIN, DEFINE\n"
                "line 1, column 13:\n"
                "    PATTERN (A) PARTITION BY x\n"
                "                ^^^^^^^^^"
            ),
        ),
        (
            "MEASURES A.x PATTERN (A)",
            (
                "AS and a name are expected after the measure, not 'PATTERN'\n"
                "line 1, column 14:\n"
                "    MEASURES A.x PATTERN (A)\n"
                "                 ^^^^^^^"
            ),
        ),
        (
            "PATTERN (A) WITHIN INTERVAL '3' MONTH",
            (
                "INTERVAL in MONTH: a month has no fixed length; use DAY\n"
                "line 1, column 33:\n"
                "    PATTERN (A) WITHIN INTERVAL '3' MONTH\n"
                "                                    ^^^^^"
            ),
        ),
        (
            "1 < x < 3",
            (
                "'<' follows a comparison: they do not chain, use AND, BETWEEN or parentheses\n"
                "line 1, column 7:\n"
                "    1 < x < 3\n"
                "          ^"
            ),
        ),
        (
            "name LIKE 'a%'",
            (
                "LIKE is not supported yet: compute it as a boolean column before the match\n"
                "line 1, column 6:\n"
                "    name LIKE 'a%'\n"
                "         ^^^^"
            ),
        ),
        (
            "name = 'abc",
            "a string that begins here is not closed\nline 1, column 8:\n    name = 'abc\n           ^",
        ),
        (
            "x > 1 and",
            (
                "an expression is expected, not the end of the text\n"
                "line 1, column 10:\n"
                "    x > 1 and\n"
                "             ^"
            ),
        ),
        (
            "d > DATE '2024-02-30'",
            (
                "'2024-02-30' is not a date: day is out of range for month\n"
                "line 1, column 10:\n"
                "    d > DATE '2024-02-30'\n"
                "             ^^^^^^^^^^^^"
            ),
        ),
        (
            "  \tx > §",
            "'§' has no meaning here\nline 1, column 8:\n    x > §\n        ^",
        ),
        (
            "a + " * 60 + "* 2",
            (
                "an expression is expected, not '*'\n"
                "line 1, column 241:\n"
                "    …+ a + a + a + a + a + a + a + a + a + a + a + a + * 2\n"
                "                                                       ^"
            ),
        ),
    ],
)
def test_an_error_says_what_is_wrong_and_shows_where(text, expected):
    got = message(text)
    if "…" in expected:
        assert got.split("\n")[0] == expected.split("\n")[0]
        line, caret = got.split("\n")[2:]
        assert len(line) <= 110
        assert line[caret.index("^")] == "*"
    else:
        assert got == expected


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("x = CASE WHEN a THEN b END", "CASE is not supported yet"),
        ("CAST(x AS INT) > 1", "CAST is not supported yet"),
        ("x::int > 1", ":: (a cast) is not supported yet"),
        ("upper(x) = 'A'", "the function UPPER is not supported yet"),
        ("a || b = 'x'", "|| (concatenation) is not supported yet"),
        ("x IN (SELECT 1)", "IN with a sub-query is not supported"),
        ("x = (SELECT 1)", "a sub-query is not supported"),
        ("EXISTS (SELECT 1)", "EXISTS is not supported"),
        ("(a, b) = (1, 2)", "ROW values are not supported yet"),
        ("x = ANY (1)", "ANY after a comparison is not supported"),
        ("x IS TRUE", "IS TRUE is not supported yet"),
        ("x IS NOT DISTINCT FROM y", "IS DISTINCT is not supported yet"),
        ("x BETWEEN SYMMETRIC 1 AND 2", "BETWEEN SYMMETRIC is not supported yet"),
        ("x NOT LIKE 'a'", "LIKE is not supported yet"),
        ("x ~ 'a'", "'~' is not supported yet"),
        ("x[1] > 2", "[…] (an element of an array) is not supported yet"),
        ("ts AT TIME ZONE 'UTC' > x", "AT TIME ZONE is not supported yet"),
        ("x > ?", "parameters (?) are not supported"),
        ("X'00' = x", "X'…' literals are not supported yet"),
        ("`x` > 1", 'names are quoted with ", not with `'),
        ("x && y", "'&&' is written AND"),
        ("x > 12abc", "the number '12' runs into a word"),
        ("x > 99999999999999999999", "an integer must fit 64 bits"),
        ("x > 1e999", "the number is beyond the range of a 64-bit float"),
        ("x > interval 5 minute", "an interval is written INTERVAL '5' MINUTE, with quotes"),
        (
            "x > interval '5' parsec",
            "a unit (SECOND, MINUTE, HOUR, DAY, WEEK) is expected after the interval",
        ),
        ("x > interval '5' second to day", "SECOND TO DAY is not an interval"),
        ("x > interval '300' years", "INTERVAL in YEAR: a year has no fixed length"),
        ("x > interval '99999999' day", "an interval must be shorter than 292 years"),
        ("x > TIMESTAMPTZ '2024-01-01 00:00'", "'2024-01-01 00:00' has no time zone"),
        ("a.b.c > 1", "'a.b.' has a name too many"),
        ("a. > 1", "a column is expected after 'a.', not '>'"),
        ("x y", "an operator or the end is expected, not 'y'"),
        ("x > 1)", "an operator or the end is expected, not ')'"),
        ("(x > 1", "')' is expected to close the parenthesis"),
        ("and x", "an expression is expected before AND"),
        ("x NOT 3", "IN or BETWEEN is expected after NOT"),
        ("x IN ()", "an expression is expected, not ')'"),
        ("x BETWEEN 1 OR 2", "AND is expected between the bounds of BETWEEN"),
        ("cuont(x) > 1", "the function CUONT is not supported yet: did you mean COUNT?"),
        ("SUM(*) > 1", "SUM(*) means nothing: only COUNT takes *"),
        ("SUM(A.*) > 1", "SUM(….*) means nothing"),
        ("SUM() > 1", "SUM needs an argument"),
        ("COUNT(DISTINCT x) > 1", "COUNT(DISTINCT …) is not supported yet"),
        ("SUM(x) FILTER (WHERE y) > 1", "FILTER after SUM is not supported yet"),
        ("SUM(x) OVER () > 1", "OVER after SUM is not supported yet"),
        ("SUM(x, y) > 1", "SUM takes one argument"),
        ("PREV(x, -1) > 1", "the offset of PREV must not be negative"),
        ("PREV(x, 1.5) > 1", "the offset of PREV must be a whole number"),
        ("PREV(x, y) > 1", "the offset of PREV must be a whole number"),
        ("PREV(x, 9999999999) > 1", "the offset of PREV must not exceed 2147483647"),
        ("RUNNING LAST(x) > 1", "RUNNING is not supported yet"),
        ("FINAL PREV(x) > 1", "FINAL goes before FIRST, LAST or an aggregate only"),
        ("", "a condition is expected, and the text is empty"),
        ("SELECT * FROM t MATCH_RECOGNIZE (PATTERN (A))", "a clause is expected, and SELECT begins a query"),
        ("PARTITION BY a DEFINE A AS x > 1", "PATTERN is expected before DEFINE"),
        ("PARTITION BY a", "PATTERN is missing"),
        ("PATTERN (A) PATTERN (B)", "PATTERN is given twice"),
        ("PATTERN (A) SUBSET U = (A, B)", "SUBSET is not supported yet"),
        ("PATTERN A", "'(' is expected after PATTERN"),
        ("PATTERN (A", "a variable, a quantifier or ')' is expected in PATTERN"),
        ("PATTERN (A) x", "WITHIN, DEFINE or the end is expected, not 'x'"),
        ("PATTERN (A) DEFINE A x > 1", "AS is expected after A in DEFINE, not 'x'"),
        (
            "PATTERN (A) DEFINE A AS x > 1,",
            "a pattern variable is expected in DEFINE, not the end of the text",
        ),
        ("PATTERN (A) WITHIN 5", "WITHIN takes an interval"),
        ("PATTERN (A) WITHIN INTERVAL '0' SECOND", "the interval of WITHIN must be longer than nothing"),
        ("PATTERN (A) WITHIN INTERVAL '-5' SECOND", "the interval of WITHIN must be longer than nothing"),
        ("AFTER MATCH SKIP TO LAST B PATTERN (A)", "SKIP TO LAST B is not supported yet"),
        ("AFTER MATCH SKIP TO FIRST B PATTERN (A)", "SKIP TO FIRST B is not supported yet"),
        ("AFTER MATCH SKIP TO B PATTERN (A)", "SKIP TO B is not supported yet"),
        ("ONE ROW FOR MATCH PATTERN (A)", "PER is expected in ONE ROW PER MATCH, not 'FOR'"),
        ("ORDER BY a + 1 PATTERN (A)", "ORDER BY takes plain columns, not expressions"),
        ("PARTITION BY t.a PATTERN (A)", "PARTITION BY takes columns of the input without a prefix"),
        ("PARTITION BY PATTERN (A)", "a column is expected in PARTITION BY before PATTERN"),
        ("ORDER BY a NULLS SOMETIMES PATTERN (A)", "FIRST or LAST is expected after NULLS"),
        ("MEASURES PATTERN (A)", "an expression is expected before PATTERN"),
        ("MATCH_RECOGNIZE (PATTERN (A)", "')' is expected to close MATCH_RECOGNIZE, not the end of the text"),
        ("MATCH_RECOGNIZE (PATTERN (A)) AS m", "the end is expected after the clause, not 'AS'"),
        ('PATTERN ("" A)', "a quoted name must not be empty"),
        ("/* x", "a comment that begins here is not closed"),
    ],
)
def test_what_is_wrong_or_not_built_is_refused_by_name(text, wrong):
    got = message(text)
    assert got.startswith(wrong), got
    assert "\nline 1, column " in got


# Bounds


def test_nesting_is_bounded():
    assert "nested deeper than 200 levels" in message("(" * 100_000 + "x")
    assert "nested deeper than 200 levels" in message("NOT " * 100_000 + "x")
    assert "nested deeper than 200 levels" in message("- " * 100_000 + "x")
    assert "nested deeper than 200 levels" in message("PREV(" * 10_000 + "x")
    assert "nested deeper than 200 levels" in message("1 + " * 10_000 + "x")
    assert "nested deeper than 100 levels" in message("PATTERN " + "(" * 100_000)


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


# Fuzz: only PatternError may escape

TOKENS = [
    "PARTITION",
    "BY",
    "ORDER",
    "MEASURES",
    "ONE",
    "ROW",
    "PER",
    "MATCH",
    "ALL",
    "ROWS",
    "AFTER",
    "SKIP",
    "PAST",
    "LAST",
    "TO",
    "NEXT",
    "PATTERN",
    "WITHIN",
    "INTERVAL",
    "DEFINE",
    "SUBSET",
    "AS",
    "AND",
    "OR",
    "NOT",
    "IS",
    "NULL",
    "IN",
    "BETWEEN",
    "LIKE",
    "CASE",
    "CAST",
    "TRUE",
    "FALSE",
    "FIRST",
    "PREV",
    "COUNT",
    "SUM",
    "AVG",
    "MIN",
    "MAX",
    "CLASSIFIER",
    "MATCH_NUMBER",
    "FINAL",
    "RUNNING",
    "DATE",
    "TIMESTAMP",
    "TIME",
    "DAY",
    "SECOND",
    "MINUTE",
    "MONTH",
    "ASC",
    "DESC",
    "NULLS",
    "SELECT",
    "MATCH_RECOGNIZE",
    "PERMUTE",
    "A",
    "B",
    "a",
    "b",
    "price",
    "ts",
    '"q"',
    "'x'",
    "'5'",
    "'2024-01-01'",
    "'1",
    "02:03:04'",
    "0",
    "1",
    "2",
    "3.5",
    "1e9",
    "(",
    ")",
    "(",
    ")",
    "(",
    ")",
    ",",
    ",",
    ".",
    "*",
    "+",
    "-",
    "/",
    "%",
    "=",
    "<",
    ">",
    "<=",
    "<>",
    "{",
    "}",
    "{-",
    "-}",
    "?",
    "|",
    "^",
    "$",
    "::",
    "||",
    "[",
    "]",
    ";",
    "--",
    "/*",
    "*/",
    "'",
    '"',
]
FUZZ = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


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


@FUZZ
@given(st.data())
def test_mutations_of_a_clause_are_parsed_or_refused(data):
    text = PROBES
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        stop = min(len(text), start + data.draw(st.integers(0, 12)))
        put = data.draw(st.one_of(st.sampled_from(TOKENS), st.text(max_size=3), st.just("")))
        text = text[:start] + put + text[stop:]
    only_pattern_error(text)
