"""The text of a clause: what it says as a tree, and what is wrong with it, with the place."""

import pytest

from tocsin.errors import PatternError
from tocsin.language.expression import Expression
from tocsin.language.pattern import Quantified, Sequence, Variable
from tocsin.sql.clause import Clause, SkipTo, Subset, is_clause, parse, parse_clause

PROBES = """
    PARTITION BY account ORDER BY ts
    MEASURES FIRST(probe.ts) AS started, hit.ts AS ended, COUNT(probe.*) AS probes
    ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW
    PATTERN (probe{3,} hit) WITHIN INTERVAL '5' MINUTE
    DEFINE probe AS amount < 10, hit AS amount > 1000
"""

A, B = Variable("A"), Variable("B")


def message(text):
    with pytest.raises(PatternError) as caught:
        parse(text)
    return str(caught.value)


def test_a_whole_clause():
    clause = parse_clause(PROBES)
    assert [c.name for c in clause.partition] == ["account"]
    assert [(k.expression.name, k.descending, k.nulls_first) for k in clause.order] == [("ts", False, False)]
    assert [(str(m.expression), m.name) for m in clause.measures] == [
        ("FIRST(PROBE.ts)", "started"),
        ("HIT.ts", "ended"),
        ("COUNT(PROBE.*)", "probes"),
    ]
    assert clause.skip == SkipTo("past_last")
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
    assert [(k.expression.name, k.descending, k.nulls_first) for k in clause.order] == [
        ("a", True, True),
        ("b", False, False),
        ("c", False, False),
    ]


def test_keys_may_be_expressions():
    keys = "CASE WHEN x THEN 1 END DESC NULLS FIRST, ts - INTERVAL '1' DAY"
    clause = parse_clause(f"PARTITION BY lower(k), a % 2 ORDER BY {keys} PATTERN (A)")
    assert [str(key) for key in clause.partition] == ["LOWER(k)", "a % 2"]
    assert [(str(k.expression), k.descending, k.nulls_first) for k in clause.order] == [
        ("CASE WHEN x THEN 1 END", True, True),
        ("ts - INTERVAL '86400' SECOND", False, False),
    ]


@pytest.mark.parametrize(
    ("text", "skip"),
    [
        ("PAST LAST ROW", SkipTo("past_last")),
        ("TO NEXT ROW", SkipTo("next")),
        ("TO FIRST b", SkipTo("first", "B")),
        ("TO LAST b", SkipTo("last", "B")),
        ("TO b", SkipTo("last", "B")),
        ('TO FIRST "b c"', SkipTo("first", "b c")),
        ("TO first", SkipTo("last", "FIRST")),
        ("TO LAST last", SkipTo("last", "LAST")),
        ("TO next", SkipTo("last", "NEXT")),
    ],
)
def test_where_to_go_on_after_a_match(text, skip):
    assert parse_clause(f"AFTER MATCH SKIP {text} PATTERN (A)").skip == skip


@pytest.mark.parametrize(
    ("text", "rows", "empty"),
    [
        ("", "one", "show"),
        ("ONE ROW PER MATCH", "one", "show"),
        ("ALL ROWS PER MATCH", "all", "show"),
        ("all rows per match show empty matches", "all", "show"),
        ("ALL ROWS PER MATCH OMIT EMPTY MATCHES", "all", "omit"),
        ("ALL ROWS PER MATCH WITH UNMATCHED ROWS", "all", "unmatched"),
    ],
)
def test_which_rows_come_out(text, rows, empty):
    clause = parse_clause(f"MEASURES A.x AS x {text} AFTER MATCH SKIP TO NEXT ROW PATTERN (A)")
    assert (clause.rows, clause.empty) == (rows, empty)


def test_subsets_with_their_places():
    text = 'PATTERN (a b c) SUBSET u = (a, b), "v" = (u, "c d") DEFINE a AS x > 1'
    subsets = parse_clause(text).subsets
    assert subsets == (Subset("U", ("A", "B")), Subset("v", ("U", "c d")))
    assert [text[slice(*s.span)] for s in subsets] == ["u", '"v"']
    assert [text[slice(*span)] for s in subsets for span in s.spans] == ["a", "b", "u", '"c d"']


@pytest.mark.parametrize(
    "between", ["WITHIN INTERVAL '5' DAY SUBSET U = (A)", "SUBSET U = (A) WITHIN INTERVAL '5' DAY"]
)
def test_within_stands_on_either_side_of_subset(between):
    clause = parse_clause(f"PATTERN (A) {between} DEFINE A AS x > 1")
    assert (clause.subsets[0].name, clause.within.value) == ("U", 5 * 86_400 * 10**9)


def test_the_place_of_what_a_match_goes_on_at_is_that_of_the_variable():
    text = "AFTER MATCH SKIP TO FIRST nowhere PATTERN (A)"
    assert text[slice(*parse_clause(text).skip.span)] == "nowhere"


def test_running_and_final_are_kept():
    text = "MEASURES RUNNING LAST(A.x) AS y, FINAL COUNT(*) AS n, SUM(x) AS s PATTERN (A)"
    assert [m.expression.semantics for m in parse_clause(text).measures] == ["running", "final", None]


def test_a_clause_says_itself():
    text = """PARTITION BY k
ORDER BY t DESC
MEASURES FINAL LAST(U.x, 1) AS "Last x", COUNT(*) AS n
ALL ROWS PER MATCH OMIT EMPTY MATCHES
AFTER MATCH SKIP TO FIRST B
PATTERN (^ A+? {- B -} | PERMUTE(A, "b"))
WITHIN INTERVAL '300' SECOND
SUBSET U = (A, B)
DEFINE A AS x > 1, "b" AS PREV(x) IS NULL"""
    assert str(parse_clause(text)) == text


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
     "within", "one", "all", "after", "order", "partition", "classifier", "row", "case", "final", "running", "match",
     "subset", "skip", "show", "permute", "distinct", "symmetric", "array", "extract", "trim", "cast", "if", "at",
     "initial", "nulls", "over", "filter", "double", "both", "year", "next"],
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
            "ORDER BY ts\nONE ROW PER MATCH\nINITIAL PATTERN (A)",
            (
                "INITIAL belongs to row patterns in windows, not to MATCH_RECOGNIZE, which looks for a match "
                "from every row: leave it out\n"
                "line 3, column 1:\n"
                "    INITIAL PATTERN (A)\n"
                "    ^^^^^^^"
            ),
        ),
        (
            "ALL ROWS PER MATCH WITH UNMATCHED ROWS\nPATTERN (A {- B+ -})",
            (
                "an exclusion {- … -} contradicts WITH UNMATCHED ROWS, which shows every row of the input\n"
                "line 2, column 12:\n"
                "    PATTERN (A {- B+ -})\n"
                "               ^^^^^^^^"
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
                "MATCH or ALL ROWS PER MATCH, AFTER MATCH SKIP, PATTERN, WITHIN, SUBSET, DEFINE\n"
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
                "WITHIN takes an interval of fixed length, and a month or a year has none: use DAY\n"
                "line 1, column 20:\n"
                "    PATTERN (A) WITHIN INTERVAL '3' MONTH\n"
                "                       ^^^^^^^^^^^^^^^^^^"
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
            "name ILIKE 'a%'",
            (
                "ILIKE is not supported: write LOWER(…) LIKE\n"
                "line 1, column 6:\n"
                "    name ILIKE 'a%'\n"
                "         ^^^^^"
            ),
        ),
        (
            "CAST(x AS decimal(10, 2.5)) > 1",
            (
                "a type takes whole numbers, not '2.5'\n"
                "line 1, column 23:\n"
                "    CAST(x AS decimal(10, 2.5)) > 1\n"
                "                          ^^^"
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
    if "\n    …" in expected:
        assert got.split("\n")[0] == expected.split("\n")[0]
        line, caret = got.split("\n")[2:]
        assert len(line) <= 110
        assert line[caret.index("^")] == "*"
    else:
        assert got == expected


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "a condition is expected, and the text is empty"),
        ("SELECT * FROM t MATCH_RECOGNIZE (PATTERN (A))", "a clause is expected, and SELECT begins a query"),
        ("PARTITION BY a DEFINE A AS x > 1", "PATTERN is expected before DEFINE"),
        ("PARTITION BY a", "PATTERN is missing"),
        ("PATTERN (A) PATTERN (B)", "PATTERN is given twice"),
        ("PATTERN (A) SUBSET U", "'=' is expected after U in SUBSET, not the end of the text"),
        ("PATTERN (A) SUBSET U = A", "'(' is expected before the variables of SUBSET, not 'A'"),
        ("PATTERN (A) SUBSET U = ()", "a pattern variable is expected in SUBSET, not ')'"),
        ("PATTERN (A) SUBSET U = (A B)", "')' is expected to close SUBSET, not 'B'"),
        ("PATTERN (A) SUBSET U = (A,)", "a pattern variable is expected in SUBSET, not ')'"),
        ("SUBSET U = (A) PATTERN (A)", "PATTERN is expected before SUBSET"),
        ("PATTERN (A) DEFINE A AS x SUBSET U = (A)", "SUBSET must stand before DEFINE; the order is"),
        ("PATTERN (A) SUBSET U = (A) SUBSET V = (A)", "SUBSET is given twice"),
        ("PATTERN A", "'(' is expected after PATTERN"),
        ("PATTERN (A", "a variable, a quantifier or ')' is expected in PATTERN"),
        ("PATTERN (A) x", "WITHIN, SUBSET, DEFINE or the end is expected, not 'x'"),
        ("PATTERN (A) DEFINE A x > 1", "AS is expected after A in DEFINE, not 'x'"),
        (
            "PATTERN (A) DEFINE A AS x > 1,",
            "a pattern variable is expected in DEFINE, not the end of the text",
        ),
        ("PATTERN (A) WITHIN 5", "WITHIN takes an interval"),
        ("PATTERN (A) WITHIN INTERVAL '0' SECOND", "the interval of WITHIN must be longer than nothing"),
        ("PATTERN (A) WITHIN INTERVAL '-5' SECOND", "the interval of WITHIN must be longer than nothing"),
        (
            "AFTER MATCH SKIP TO PATTERN (A)",
            "NEXT ROW, FIRST, LAST or a pattern variable is expected after SKIP TO",
        ),
        ("AFTER MATCH SKIP TO 3 PATTERN (A)", "NEXT ROW, FIRST, LAST or a pattern variable is expected"),
        ("AFTER MATCH SKIP FIRST B PATTERN (A)", "TO is expected or PAST in AFTER MATCH SKIP, not 'FIRST'"),
        ("AFTER MATCH SKIP PAST FIRST ROW PATTERN (A)", "LAST is expected in SKIP PAST LAST ROW"),
        ("AFTER SKIP PAST LAST ROW PATTERN (A)", "MATCH is expected in AFTER MATCH SKIP, not 'SKIP'"),
        ("ALL ROWS FOR MATCH PATTERN (A)", "PER is expected in ALL ROWS PER MATCH, not 'FOR'"),
        ("ALL ROWS PER MATCH SHOW MATCHES PATTERN (A)", "EMPTY is expected in SHOW EMPTY MATCHES"),
        ("ALL ROWS PER MATCH OMIT EMPTY PATTERN (A)", "MATCHES is expected in OMIT EMPTY MATCHES"),
        ("ALL ROWS PER MATCH WITH ROWS PATTERN (A)", "UNMATCHED is expected in WITH UNMATCHED ROWS"),
        (
            "ONE ROW PER MATCH SHOW EMPTY MATCHES PATTERN (A)",
            "SHOW EMPTY … goes with ALL ROWS PER MATCH only",
        ),
        (
            "ONE ROW PER MATCH WITH UNMATCHED ROWS PATTERN (A)",
            "WITH UNMATCHED … goes with ALL ROWS PER MATCH",
        ),
        (
            "ONE ROW PER MATCH ALL ROWS PER MATCH PATTERN (A)",
            "ALL ROWS PER MATCH contradicts ONE ROW PER MATCH",
        ),
        (
            "AFTER MATCH SKIP TO NEXT ROW ONE ROW PER MATCH PATTERN (A)",
            "ONE ROW PER MATCH must stand before AFTER MATCH",
        ),
        ("SEEK PATTERN (A)", "SEEK belongs to row patterns in windows, not to MATCH_RECOGNIZE"),
        ("PATTERN (A) WITHIN INTERVAL '1-6' YEAR TO MONTH", "WITHIN takes an interval of fixed length"),
        ("ONE ROW FOR MATCH PATTERN (A)", "PER is expected in ONE ROW PER MATCH, not 'FOR'"),
        ("ORDER BY lower(t.a) PATTERN (A)", "ORDER BY takes columns of the input without a prefix"),
        ("PARTITION BY t.a PATTERN (A)", "PARTITION BY takes columns of the input without a prefix"),
        ("PARTITION BY PATTERN (A)", "an expression is expected before PATTERN"),
        ("ORDER BY a NULLS SOMETIMES PATTERN (A)", "FIRST or LAST is expected after NULLS"),
        ("MEASURES PATTERN (A)", "an expression is expected before PATTERN"),
        ("MATCH_RECOGNIZE (PATTERN (A)", "')' is expected to close MATCH_RECOGNIZE, not the end of the text"),
        ("MATCH_RECOGNIZE (PATTERN (A)) AS m", "the end is expected after the clause, not 'AS'"),
        ('PATTERN ("" A)', "a quoted name must not be empty"),
        ("/* x", "a comment that begins here is not closed"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(text, wrong):
    got = message(text)
    assert got.startswith(wrong), got
    assert "\nline 1, column " in got
