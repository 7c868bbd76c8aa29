"""Row patterns as automata: which position can follow which, in SQL's order of preference.

Positions are numbered from the left after bounded quantifiers are written out; M (-1) ends the match.
"""

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.compile.automata import MATCH, build
from tocsin.errors import PatternError
from tocsin.language.pattern import (
    Alternation,
    Empty,
    Quantified,
    Sequence,
    Variable,
    parse_pattern,
    variables,
)
from tocsin.language.source import Source

M = MATCH


def automaton(text):
    pattern = parse_pattern(text)
    ids = {name: i for i, name in enumerate(dict.fromkeys(v.name for v in variables(pattern)))}
    return build(pattern, ids, Source(text))


@pytest.mark.parametrize(
    ("text", "positions", "first", "follow"),
    [
        ("A", [0], [0], [[M]]),
        ("A B", [0, 1], [0], [[1], [M]]),
        ("A | B", [0, 1], [0, 1], [[M], [M]]),
        ("A*", [0], [0, M], [[0, M]]),
        ("A+", [0], [0], [[0, M]]),
        ("A?", [0], [0, M], [[M]]),
        ("A* B", [0, 1], [0, 1], [[0, 1], [M]]),
        ("A*? B", [0, 1], [1, 0], [[1, 0], [M]]),
        ("A+? B", [0, 1], [0], [[1, 0], [M]]),
        ("A?? B", [0, 1], [1, 0], [[1], [M]]),
        ("A{2}", [0, 0], [0], [[1], [M]]),
        ("A{2,}", [0, 0], [0], [[1], [1, M]]),
        ("A{1,3}", [0, 0, 0], [0], [[1, M], [2, M], [M]]),
        ("A{1,3}? B", [0, 0, 0, 1], [0], [[3, 1], [3, 2], [3], [M]]),
        ("A{,2}", [0, 0], [0, M], [[1, M], [M]]),
        ("A{,}", [0], [0, M], [[0, M]]),
        ("(A | B)+ C", [0, 1, 2], [0, 1], [[0, 1, 2], [0, 1, 2], [M]]),
        ("(A B)* C", [0, 1, 2], [0, 2], [[1], [0, 2], [M]]),
        ("A (B | ()) C", [0, 1, 2], [0], [[1, 2], [2], [M]]),
        ("A (() | B) C", [0, 1, 2], [0], [[2, 1], [2], [M]]),
        ("A B A", [0, 1, 0], [0], [[1], [2], [M]]),
    ],
)
def test_a_pattern_has_these_positions_and_successors(text, positions, first, follow):
    found = automaton(text)
    assert (list(found.variables), list(found.first), [list(f) for f in found.follow]) == (
        positions,
        first,
        follow,
    )


def test_what_is_less_preferred_than_the_end_of_the_match_is_cut():
    assert automaton("A B*?").follow == ((M,), (M,))
    assert automaton("A | A B").follow == ((M,), (2,), (M,))
    assert automaton("() | A").first == (M,)


@pytest.mark.parametrize(
    "text", ["(A*)*", "(A*)+", "(A+)*", "(A+)+", "((A*)*)*", "(A?)*", "(A?)+", "((A | ())*)*", "(() A?)*"]
)
def test_empty_iterations_end(text):
    found = automaton(text)
    assert found.follow == ((0, M),)
    assert found.nullable == (text != "(A+)+")


def test_an_empty_iteration_of_a_reluctant_body_ends_the_loop_as_in_trino():
    # (A*?)* prefers the iteration without rows; x* is (x+)?, so leaving comes before the first A.
    assert automaton("(A*?)* B").first == (1, 0)


def test_a_repeated_optional_has_no_duplicate_successors():
    found = automaton("(A?){3}")
    assert found.first == (0, 1, 2, M)
    assert found.follow == ((1, 2, M), (2, M), (M,))


def test_a_group_without_variables_matches_nothing_and_costs_nothing():
    assert automaton("(() | ()){2000000000} A").first == (0,)


@pytest.mark.parametrize(("text", "size"), [("A{1000}", 1000), ("(A|B){500}", 1000), ("(A?){1000}", 1000)])
def test_long_repetitions_are_quick(text, size):
    start = time.perf_counter()
    found = automaton(text)
    assert len(found.variables) == size
    assert time.perf_counter() - start < 5


def test_a_chain_of_optionals_can_skip_to_any_later_one():
    found = automaton("(A?){1000}")
    assert found.first == (*range(1000), M)
    assert found.follow[500] == (*range(501, 1000), M)


@pytest.mark.parametrize("text", ["A{100000}", "((A{100}){100}){100}", "(A{2000000000}){2000000000}"])
def test_too_many_positions_are_refused_before_they_are_made(text):
    start = time.perf_counter()
    with pytest.raises(PatternError, match="the pattern is too large: written out it has"):
        automaton(text)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("text", ["(A?){10000}", "((A | B | C | D)?){3000}", "(A" + " | ()" * 5000 + "){60}"])
def test_too_many_transitions_are_refused_in_bounded_time(text):
    start = time.perf_counter()
    with pytest.raises(PatternError, match="the pattern is too large"):
        automaton(text)
    assert time.perf_counter() - start < 20


def test_the_deepest_pattern_that_parses_is_built():
    text = "(" * 99 + "A" + ")+?" * 99
    assert automaton(text).follow == ((M,),)
    text = "(B | C (" * 49 + "A" + ")?)*" * 49
    assert len(automaton(text).variables) == 99
    with pytest.raises(PatternError, match="nested deeper than 100 levels"):
        automaton("(" * 100 + "A" + ")" * 100)


# Against the meaning itself: words in order of preference, enumerated from the tree.

LETTERS = "ABC"


def trees(depth=3):
    leaf = st.sampled_from([Variable(name) for name in LETTERS] + [Empty()])
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3).map(lambda i: Sequence(tuple(i))),
            st.lists(inner, min_size=1, max_size=3).map(lambda i: Alternation(tuple(i))),
            st.builds(
                lambda item, low, extra, greedy: Quantified(
                    item, low, None if extra is None else max(1, low + extra), greedy
                ),
                inner,
                st.integers(0, 2),
                st.one_of(st.none(), st.integers(0, 2)),
                st.booleans(),
            ),
        ),
        max_leaves=5,
    )


def language(tree, longest):
    """The words of `tree` up to a length."""
    if isinstance(tree, Empty):
        return {""}
    if isinstance(tree, Variable):
        return {tree.name} if longest else set()
    if isinstance(tree, Sequence):
        words = {""}
        for item in tree.items:
            tail = language(item, longest)
            words = {a + b for a in words for b in tail if len(a + b) <= longest}
        return words
    if isinstance(tree, Alternation):
        return set().union(*(language(item, longest) for item in tree.items))
    body = language(tree.item, longest)
    words, power, times = set(), {""}, 0
    top = tree.maximum if tree.maximum is not None else tree.minimum + longest
    while True:
        if times >= tree.minimum:
            words |= power
        if times >= top:
            return words
        power = {a + b for a in power for b in body if len(a + b) <= longest}
        times += 1


def accepts(found, word):
    now = set(found.first)
    for letter in word:
        reached = {p for p in now if p != M and LETTERS[found.variables[p]] == letter}
        now = set().union(*(found.follow[p] for p in reached))
    return M in now


def uncut(tree):
    """Whether MATCH never hides a longer word: only greedy quantifiers and no empty or prefix alternatives."""
    if isinstance(tree, Quantified):
        return tree.greedy and "" not in language(tree.item, 0) and uncut(tree.item)
    if isinstance(tree, Alternation):
        return all(isinstance(i, Variable) for i in tree.items)
    return not isinstance(tree, Sequence) or all(uncut(i) for i in tree.items)


@given(trees())
def test_the_automaton_accepts_only_words_of_the_pattern_and_all_where_nothing_is_cut(tree):
    found = build(tree, {name: i for i, name in enumerate(LETTERS)})
    words = language(tree, 4)
    for length in range(5):
        for letters in itertools.product(LETTERS, repeat=length):
            word = "".join(letters)
            if accepts(found, word):
                assert word in words
            elif uncut(tree):
                assert word not in words
    assert found.nullable == ("" in words)


@given(trees())
def test_lists_have_no_duplicates_and_nothing_after_the_end_of_the_match(tree):
    found = build(tree, {name: i for i, name in enumerate(LETTERS)})
    for reached in (found.first, *found.follow):
        assert len(set(reached)) == len(reached)
        assert M not in reached[:-1]
        assert all(M <= p < len(found.variables) for p in reached)
