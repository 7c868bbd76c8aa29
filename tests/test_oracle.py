"""The oracle against the spec cases, which were worked out by hand, and against its own definition of
certainty."""

from __future__ import annotations

import itertools
from random import Random
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import oracle
from oracle_pattern import compile_pattern
from spec_cases import SpecCase, assert_same, dict_keys, load
from strategies import Case, cases, patterns
from whole_cases import whole_pattern

CASES = load()


@pytest.mark.parametrize("case", [c for c in CASES if c.raw is None], ids=lambda c: c.id)
def test_the_oracle_agrees_with_the_case(case: SpecCase) -> None:
    if case.error:
        with pytest.raises(oracle.EvaluationError):
            case.oracle_matches()
        return
    found = case.oracle_matches()
    names = case.columns_out()
    assert_same(dict_keys(found, names), dict_keys(case.expected_rows(), names), case.clause())
    if case.rows_out is not None:
        if case.rows_out and "_settled" in case.rows_out[0]:
            names = [*names, "_settled"]
            assert_same(dict_keys(found, names), dict_keys(case.expected_rows(), names), "certainty")
        return
    wanted = {(m.start, len(m.rows)): m for m in case.matches}
    table = case.table()
    cells = {name: oracle.values_of(table.column(name)) for name in table.column_names}
    order = oracle.ordered(cells, case.order_by, table.num_rows)
    for match in found:
        start = order[match["_start"]]
        expected = wanted[start, len(match["_classifier"])]
        assert tuple(match["_classifier"]) == expected.classifier
        if expected.settled != "?":
            assert match["_settled"] == expected.settled, f"certainty of the match at {start}"


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 420


@pytest.mark.parametrize(
    "pattern",
    ["", "A )", "( A", "A | ", "A{0}", "A{,0}", "A{3,2}", "A{}", "A**", "* A", "{- A", "A{1", "A{x}"],
)
def test_the_oracle_refuses_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(oracle.OracleError):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    "text",
    ["", "x >", "x = ", "(x", "NOT", "x IN ()", "x BETWEEN 1", "x IS 1", "F(x)", "PREV(x, -1)", "x y", "'x"],
)
def test_the_oracle_refuses_what_is_no_expression(text: str) -> None:
    with pytest.raises(oracle.OracleError):
        oracle.run([{"x": 1}], pattern="A", define={"A": text})


# ---------------------------------------------------------------- certainty, by trying every continuation

MASKS = ["U", "AU", "BU", "ABU"]  # U is a variable without a condition
Event = tuple[str, int, int]  # the letters that hold, the partition, the time since the event before


def _found(program: list, events: tuple[Event, ...], **how: Any) -> list[dict]:
    times = list(itertools.accumulate(e[2] for e in events))
    partitions = [[i for i, e in enumerate(events) if e[1] == p] for p in (0, 1)]
    return oracle.match_letters(program, lambda v, r: v in events[r][0], partitions, times=times, **how)


def _check_certainty(pattern: str, prefix: list[Event], steps: list[Event], depth: int, **how: Any) -> None:
    """A match is certain after `prefix` exactly if it is found in `prefix` and every continuation of it."""
    program = compile_pattern(pattern)
    assume(sum(i[0] == "row" for i in program) <= depth + 1)  # so that `depth` rows complete any path begun
    keys = ["_start", "_classifier"] + ["_match_number"] * how.get("numbered", False)

    def reports(events: tuple[Event, ...]) -> list[list]:
        return [[m[k] for k in keys] for m in _found(program, events, **how)]

    start = tuple(prefix)
    futures = [reports(start + f) for n in range(depth + 1) for f in itertools.product(steps, repeat=n)]
    found = _found(program, start, **how)
    for match in found:
        always = all([match[k] for k in keys] in future for future in futures)
        assert always == (match["_settled"] is not None), (pattern, prefix, match)
    for row in range(len(start)):  # and so after every shorter prefix
        shorter = [m for m in _found(program, start[: row + 1], **how) if m["_settled"] is not None]
        assert shorter == [m for m in found if m["_settled"] is not None and m["_settled"] <= row]


skips = st.sampled_from(["past_last", "next"])


@given(
    patterns("ABU", 4),
    st.lists(st.sampled_from(MASKS), min_size=1, max_size=4),
    skips,
    st.booleans(),
)
@example("(A B A | B)", ["AU", "BU"], "past_last", False)
@example("(A B A | B)", ["AU", "BU"], "next", False)
@example("(A B A | B)", ["AU", "BU"], "next", True)
def test_settled_is_what_its_definition_says(
    pattern: str, masks: list[str], skip: str, numbered: bool
) -> None:
    steps = [(mask, 0, 0) for mask in MASKS]
    _check_certainty(pattern, [(m, 0, 0) for m in masks], steps, 3, skip=skip, numbered=numbered)


@given(
    patterns("ABU", 3),
    st.lists(
        st.tuples(st.sampled_from(MASKS), st.sampled_from([0, 0, 1]), st.integers(0, 2)),
        min_size=1,
        max_size=5,
    ),
    skips,
    st.integers(1, 3),
)
@example("(A B? | B)", [("ABU", 0, 0), ("BU", 1, 0)], "past_last", 2)
@settings(max_examples=max(10, settings().max_examples // 4))
def test_settled_under_within_is_what_its_definition_says(
    pattern: str, prefix: list[Event], skip: str, within: int
) -> None:
    steps = [(mask, p, gap) for mask in MASKS for p in (0, 1) for gap in (0, 1)]
    _check_certainty(pattern, prefix, steps, 2, skip=skip, within=within)


@given(st.integers(0, 2**32), st.lists(st.sampled_from(MASKS), min_size=1, max_size=4), skips, st.booleans())
def test_what_is_settled_stays_in_patterns_of_every_operator(
    seed: int, masks: list[str], skip: str, numbered: bool
) -> None:
    pattern = whole_pattern(Random(seed), 3).replace("C", "U")
    program = compile_pattern(pattern)
    assume(sum(i[0] == "row" for i in program) <= 6)
    prefix = tuple((m, 0, 0) for m in masks)
    keys = ["_start", "_classifier"] + ["_match_number"] * numbered
    found = [
        [m[k] for k in keys]
        for m in _found(program, prefix, skip=skip, numbered=numbered)
        if m["_settled"] is not None
    ]
    for n in range(3):
        for future in itertools.product([(m, 0, 0) for m in MASKS], repeat=n):
            after = _found(program, prefix + future, skip=skip, numbered=numbered)
            reported = [[m[k] for k in keys] for m in after]
            assert all(match in reported for match in found), (pattern, prefix, future)


@given(cases())
def test_a_match_is_certain_at_its_last_row_at_the_earliest(case: Case) -> None:
    for match in case.oracle():
        assert (match["_first"] is None) == (match["_classifier"] == [])
        assert match["_settled"] is None or match["_settled"] >= (match["_last"] or match["_start"])
