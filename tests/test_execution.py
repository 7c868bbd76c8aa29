"""Execution classes: which way a plan runs and why, and what explain says of it."""

import threading

import pyarrow as pa
import pytest

import tocsin as tc
from tocsin.compile import compile_clause
from tocsin.compile.execution import execution_class

SCHEMA = pa.schema({"k": pa.string(), "t": pa.timestamp("us"), "x": pa.int64(), "y": pa.int64()})


@pytest.mark.parametrize(
    ("clause", "kind"),
    [
        ("PATTERN (A B+) DEFINE B AS x > PREV(x, 2)", "a"),
        ("MEASURES FIRST(A.x) AS f, LAST(x) AS l, MATCH_NUMBER() AS n PATTERN (A B+) DEFINE B AS x > 1", "a"),
        ("MEASURES FIRST(A.x) AS f AFTER MATCH SKIP TO NEXT ROW PATTERN (A B+)", "a"),
        ("PATTERN (PERMUTE(A, B, C)) DEFINE A AS x = 1", "a"),
        ("PATTERN (A {- B -})", "a"),
        ("PATTERN (())", "a"),
        ("PATTERN (A B) DEFINE B AS CLASSIFIER() = 'B'", "a"),
        ("PATTERN (A B) DEFINE B AS LOWER(k) = 'x'", "a"),
        ("MEASURES COUNT(*) AS n PATTERN (A B+)", "b"),
        ("MEASURES SUM(B.x) AS s, AVG(x) AS m, MIN(k) AS k PATTERN (A B+)", "b"),
        ("MEASURES CLASSIFIER() AS c PATTERN (A | B)", "b"),
        ("PATTERN (A B) DEFINE B AS x > A.x", "c"),
        ("PATTERN (A B) DEFINE B AS NEXT(x) > 1", "c"),
        ("PATTERN (A B) DEFINE B AS MATCH_NUMBER() > 1", "c"),
        ("PATTERN (A B) DEFINE B AS COUNT(A.*) > 1", "c"),
        ("PATTERN (^ A)", "c"),
        ("PATTERN (A $)", "c"),
        ("ALL ROWS PER MATCH PATTERN (A)", "c"),
        ("AFTER MATCH SKIP TO LAST A PATTERN (A B)", "c"),
        ("MEASURES PREV(x) AS p PATTERN (A)", "c"),
        ("MEASURES SUM(x * 2) AS p PATTERN (A)", "c"),
        ("MEASURES STDDEV(x) AS p PATTERN (A)", "c"),
        ("MEASURES ARRAY_AGG(x) AS p PATTERN (A)", "c"),
        ("MEASURES FIRST(CLASSIFIER()) AS p PATTERN (A)", "c"),
        ("PATTERN (A B) DEFINE B AS PREV(CLASSIFIER()) = 'A'", "c"),
        ("PATTERN (A B) DEFINE B AS PREV(CLASSIFIER(A)) = 'A'", "d"),
        ("PATTERN (A B) DEFINE B AS ARRAY_AGG(A.x) IS NULL", "d"),
    ],
)
def test_the_class_of_a_clause(clause, kind):
    assert execution_class(compile_clause(clause, SCHEMA)) == kind


def line(clause, word):
    """The line of explain that begins with `word`."""
    lines = tc.explain(clause, SCHEMA).splitlines()
    found = [text[13:] for text in lines[1:] if text[2:13].strip() == word]
    return found[0] if found else None


@pytest.mark.parametrize(
    ("clause", "because"),
    [
        ("PATTERN (A B) DEFINE B AS x > 1", "every condition reads only its own row"),
        (
            "PATTERN (A B) DEFINE B AS x > PREV(x)",
            "every condition reads only its own row and PREV at fixed distances",
        ),
        (
            "MEASURES COUNT(*) AS n PATTERN (A+)",
            "every condition reads only its own row; measures ask which row was matched to what",
        ),
        ("PATTERN (A B) DEFINE B AS x > A.x", "DEFINE B reads the match so far"),
        ("PATTERN (A B) DEFINE A AS NEXT(x) > 1", "DEFINE A reads rows to come (NEXT)"),
        (
            "ALL ROWS PER MATCH AFTER MATCH SKIP TO B PATTERN (^ A B $)",
            (
                "ALL ROWS PER MATCH shows each row with what it was matched to; AFTER MATCH SKIP TO a variable needs "
                "the rows of that variable; the pattern asks for the start of its partition (^); the pattern asks for "
                "the end of its partition ($)"
            ),
        ),
        (
            "PATTERN (A B) DEFINE B AS PREV(CLASSIFIER(A)) = 'A'",
            "no register holds PREV(LAST(CLASSIFIER(A)), 1), which a definition reads",
        ),
    ],
)
def test_explain_says_why(clause, because):
    assert line(clause, "because") == because


def test_explain_names_what_is_remembered():
    clause = """
        PARTITION BY LOWER(k) ORDER BY t MEASURES LAST(x) AS m
        PATTERN (A B+ C) WITHIN INTERVAL '1' MINUTE SUBSET U = (A, B)
        DEFINE B AS x > 1 AND x > A.x AND NEXT(y, 2) > 1, C AS COUNT(B.*) > 2 AND LAST(U.y, 3) < MAX(y + x)
    """
    assert line(clause, "partition") == "LOWER(k)"
    assert line(clause, "derived") == "LOWER(k): computed by a library, as columns of each batch"
    assert line(clause, "conditions") == "1, over x; for whole batches"
    assert line(clause, "rests") == "2, over x, y; per attempt and row after its condition"
    assert line(clause, "registers") == "LAST(A.x), COUNT(B.*), LAST((A, B).y, 3), MAX(x, y)"
    assert line(clause, "NEXT") == "the verdict on a row waits for the 2 row(s) behind it"
    assert line(clause, "always") == "A: no condition, so true for every row"
    assert line(clause, "WITHIN") == "60000000 units of t (timestamp[us]); expired attempts leave"
    assert line(clause, "bound") == "per partition: the attempts that began within the interval"


@pytest.mark.parametrize(
    ("clause", "steps"),
    [
        ("PATTERN (A B) DEFINE B AS x > 1", None),
        (
            "PATTERN (A*)",
            "by groups of attempts in one state (empty matches), not all of a partition at once",
        ),
        (
            "AFTER MATCH SKIP TO NEXT ROW PATTERN (A)",
            "by groups of attempts in one state (SKIP TO NEXT ROW), not all of a partition at once",
        ),
        (
            f"PATTERN ({' '.join(f'V{i}' for i in range(9))}) DEFINE "
            + ", ".join(f"V{i} AS x = {i}" for i in range(9)),
            "by groups of attempts in one state (more than 8 conditions), not all of a partition at once",
        ),
    ],
)
def test_explain_says_when_attempts_step_by_groups(clause, steps):
    assert line(clause, "steps") == steps


def test_the_fallback_says_what_bounds_it():
    assert "max_steps" in line("PATTERN (A B) DEFINE B AS ARRAY_AGG(A.x) IS NULL", "per event")


def test_verdicts_that_are_far_away_need_no_stack():
    """At every row C asks for one a thousand rows on, and B, which is preferred, goes ahead of it each time."""
    found = []

    def run():
        matcher = tc.Matcher(
            "MEASURES COUNT(*) AS n PATTERN ((B | C)+ D) DEFINE C AS NEXT(x, 1000) > 0, D AS x < 0",
            pa.schema({"x": pa.int64()}),
        )
        found.append(matcher.push({"x": [1] * 1000}).num_rows)

    size = threading.stack_size(128 * 1024)
    try:
        thread = threading.Thread(target=run)
        thread.start()
    finally:
        threading.stack_size(size)
    thread.join()
    assert found == [0]
