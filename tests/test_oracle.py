"""The oracle against the spec cases, which were worked out by hand, and against its own definition of certainty."""

from __future__ import annotations

import itertools

import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle_pattern import compile_pattern, variables
from spec_cases import SpecCase, assert_same, dict_keys, load
from strategies import patterns

CASES = load()


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_the_oracle_agrees_with_the_case(case: SpecCase) -> None:
    if case.error:
        with pytest.raises(oracle.EvaluationError):
            case.oracle_matches()
        return
    found = case.oracle_matches()
    names = case.columns_out()
    assert_same(dict_keys(found, names), dict_keys(case.expected_rows(), names), case.clause())
    wanted = {(m.start, len(m.rows)): m for m in case.matches}
    order = _order(case)
    for match in found:
        start = order[match["_start"]]
        expected = wanted[start, len(match["_classifier"])]
        assert tuple(match["_classifier"]) == expected.classifier
        if expected.settled != "?":
            assert match["_settled"] == expected.settled, f"certainty of the match at {start}"


def _order(case: SpecCase) -> list[int]:
    """The rows as given, in the order of ORDER BY."""
    table = case.table()
    keys = [oracle.values_of(table.column(c)) for c in case.order_by]
    return sorted(range(table.num_rows), key=lambda r: [(k[r] is None, k[r]) for k in keys])


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 100


@pytest.mark.parametrize(
    "pattern", ["", "A )", "( A", "A | ", "A{0}", "A{,0}", "A{3,2}", "A{}", "A{,}", "A**", "* A", "A ^", "A{1", "A{x}"]
)
def test_the_oracle_refuses_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(oracle.OracleError):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    "text", ["", "x >", "x = ", "(x", "NOT", "x IN ()", "x BETWEEN 1", "x IS 1", "F(x)", "PREV(x, -1)", "x y", "'x"]
)
def test_the_oracle_refuses_what_is_no_expression(text: str) -> None:
    with pytest.raises(oracle.OracleError):
        oracle.run([{"x": 1}], pattern="A", define={"A": text})


@settings(max_examples=150, deadline=None)
@given(
    patterns(names="AB", leaves=3),
    st.lists(st.sampled_from(["", "A", "B", "AB"]), min_size=1, max_size=3),
    st.sampled_from(["past_last", "next"]),
    st.booleans(),
)
def test_settled_is_what_its_definition_says(pattern: str, masks: list[str], skip: str, numbered: bool) -> None:
    """Every continuation up to three rows is tried: a match that is certain is in all of them, with its number; one
    that is not is missing from one of them."""
    program = compile_pattern(pattern)
    if sum(i[0] == "row" for i in program) > 4:
        return

    def matches(letters: tuple[str, ...]) -> list[dict]:
        return oracle.match_letters(
            program, lambda v, r: v in letters[r], [range(len(letters))], skip=skip, numbered=numbered
        )

    def reported(match: dict, among: list[dict]) -> bool:
        keys = ["_start", "_classifier"] + ["_match_number"] * numbered
        return any(all(match[k] == other[k] for k in keys) for other in among)

    prefix = tuple(masks)
    letters = ["".join(c) for c in itertools.product(*(("", v) for v in variables(program)))]
    futures = [matches(prefix + f) for n in range(4) for f in itertools.product(letters, repeat=n)]
    for match in matches(prefix):
        certain = match["_settled"] is not None  # by the last row of the prefix
        assert certain == all(reported(match, future) for future in futures), (match, prefix)
