"""The text of a clause: what it says as a tree, and what is wrong with it, with the place."""

import pytest

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
