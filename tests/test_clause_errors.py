"""What is wrong in a clause or a condition: the sentence, word for word, and the caret."""

import pytest

from tocsin.errors import PatternError
from tocsin.sql.clause import parse


def message(text):
    with pytest.raises(PatternError) as caught:
        parse(text)
    return str(caught.value)


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
