"""Row patterns as automata: which position can follow which, in SQL's order of preference.

Positions are numbered from the left after bounded quantifiers are written out; M (-1) ends the match.
"""

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.compile.automata import MATCH, MATCH_AT_END, build
from tocsin.errors import PatternError
from tocsin.language.pattern import (
    Alternation,
    Anchor,
    Empty,
    Exclusion,
    Permute,
    Quantified,
    Sequence,
    Variable,
    parse_pattern,
    variables,
)
from tocsin.language.source import Source

M, E = MATCH, MATCH_AT_END


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


# Anchors and exclusion


@pytest.mark.parametrize(
    ("text", "first", "at_start", "follow"),
    [
        ("^ A", [], [0], [[M]]),
        ("A $", [0], [0], [[E]]),
        ("^ A B $", [], [0], [[1], [E]]),
        ("A ^ B", [], [], [[], [M]]),
        ("A $ B", [], [], [[], [M]]),
        ("A $ B?", [0], [0], [[E], [M]]),
        ("A (B | $)", [0], [0], [[1, E], [M]]),
        ("A ($ | B)", [0], [0], [[E, 1], [M]]),
        ("A ($ | ())", [0], [0], [[M]]),
        ("A (() | $)", [0], [0], [[M]]),
        ("A ($ | $ | B)", [0], [0], [[E, 1], [M]]),
        ("(^ A | B) C", [1], [0, 1], [[2], [2], [M]]),
        ("^* A", [0], [0], [[M]]),
        ("^+ A", [], [0], [[M]]),
        ("^{2000000000} A", [], [0], [[M]]),
        ("(^ A)+", [], [0], [[M]]),
        ("(A $)*", [0, M], [0, M], [[E]]),
        ("A* $", [0], [0], [[0, E]]),
        ("A*? $", [0], [0], [[E, 0]]),
        ("^", [], [M], []),
        ("$", [], [], []),
        ("^ $", [], [], []),
        ("() | ^", [M], [M], []),
        ("^ | A", [0], [M], [[M]]),
    ],
)
def test_anchors(text, first, at_start, follow):
    found = automaton(text)
    assert [list(found.first), list(found.first_at_start), [list(f) for f in found.follow]] == [
        first,
        at_start,
        follow,
    ]


def test_without_an_anchor_the_start_is_as_any_other_row():
    found = automaton("A B*")
    assert found.first_at_start is found.first


def test_exclusion_marks_positions_and_changes_nothing_else():
    found = automaton("A {- B+ (C | D){2} -} E")
    plain = automaton("A B+ (C | D){2} E")
    assert (found.first, found.follow, found.variables) == (plain.first, plain.follow, plain.variables)
    assert found.excluded == (False, True, True, True, True, True, False)
    assert plain.excluded == (False,) * 7


def test_the_empty_pattern_matches_no_rows():
    found = automaton("()")
    assert (found.variables, found.first, found.first_at_start, found.follow) == ((), (M,), (M,), ())


# PERMUTE


def written_out(items):
    """What PERMUTE means: the alternation of all orders."""
    return Alternation(tuple(Sequence(order) for order in itertools.permutations(items)))


def test_permute_of_eight_variables_is_a_graph_of_sets():
    start = time.perf_counter()
    found = automaton("PERMUTE(A, B, C, D, E, F, G, H)")
    assert len(found.variables) == 8 * 2**7
    assert sum(map(len, found.follow)) < 8_000
    assert [found.variables[p] for p in found.first] == list(range(8))
    assert time.perf_counter() - start < 1


def test_permute_of_two_is_the_two_orders():
    found = automaton("PERMUTE(A+, B)")

    def behind(choices):
        return [found.variables[p] if p >= 0 else p for p in choices]

    assert behind(found.first) == [0, 1]
    a, b = found.first
    assert (behind(found.follow[a]), behind(found.follow[b])) == ([0, 1], [0])
    assert behind(found.follow[found.follow[a][1]]) == [M]
    assert behind(found.follow[found.follow[b][0]]) == [0, M]


@pytest.mark.parametrize(
    ("text", "positions"),
    [
        ("PERMUTE(A)", 1),
        ("PERMUTE(A, B, C)", 12),
        ("PERMUTE(A{2}, B, {- C -})", 16),
        ("PERMUTE(PERMUTE(A, B), C)", 10),
        ("PERMUTE(A+, B, C, D, E, F, G, H)", 27_854),
        ("PERMUTE(A+, B*, C?, D+, E+, F+, G+)", 13_699),
    ],
)
def test_permute_has_as_many_positions_as_its_choices_need(text, positions):
    assert len(automaton(text).variables) == positions


@pytest.mark.parametrize(
    "text",
    [
        "PERMUTE(" + ", ".join(f"V{i}+" for i in range(8)) + ")",
        "PERMUTE(" + ", ".join(f"V{i}" for i in range(15)) + ")",
        "PERMUTE(" + ", ".join("A" for _ in range(5_000)) + ")",
        "PERMUTE(" + ", ".join("A?" for _ in range(5_000)) + ")",
    ],
)
def test_a_permute_that_is_too_large_is_refused_before_it_is_made(text):
    start = time.perf_counter()
    with pytest.raises(PatternError, match="the pattern is too large"):
        automaton(text)
    assert time.perf_counter() - start < 1


# Against the meaning itself: words in order of preference, enumerated from the tree.

LETTERS = "ABC"


def trees(depth=3):
    leaf = st.sampled_from([Variable(name) for name in LETTERS] + [Empty()])
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3).map(lambda i: Sequence(tuple(i))),
            st.lists(inner, min_size=1, max_size=3).map(lambda i: Alternation(tuple(i))),
            st.lists(inner, min_size=1, max_size=3).map(lambda i: Permute(tuple(i))),
            inner.map(Exclusion),
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
    if isinstance(tree, Exclusion):
        return language(tree.item, longest)
    if isinstance(tree, Permute):
        return language(written_out(tree.items), longest)
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
    if isinstance(tree, (Exclusion, Permute)):
        return False
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


# Against the meaning itself: the preferred match over rows of which each may be of several variables.


def preferred(found, rows, start):
    """The variables of the preferred match from `start` on, by the lists; None: there is none."""

    def search(choices, at):
        for p in choices:
            if p == M or (p == E and at == len(rows)):
                return ()
            if p >= 0 and at < len(rows) and LETTERS[found.variables[p]] in rows[at]:
                tail = search(found.follow[p], at + 1)
                if tail is not None:
                    return ((LETTERS[found.variables[p]], found.excluded[p]), *tail)
        return None

    return search(found.first if start else found.first_at_start, start)


def ways(tree, rows, at, excluded=False):
    """Every way to match `tree` from row `at` on, most preferred first: (variables, the row behind)."""
    if isinstance(tree, Variable):
        if at < len(rows) and tree.name in rows[at]:
            yield ((tree.name, excluded),), at + 1
    elif isinstance(tree, Anchor):
        if at == (0 if tree.where == "start" else len(rows)):
            yield (), at
    elif isinstance(tree, Exclusion):
        yield from ways(tree.item, rows, at, True)
    elif isinstance(tree, Sequence):
        if not tree.items:
            yield (), at
            return
        for head, behind in ways(tree.items[0], rows, at, excluded):
            for tail, end in ways(Sequence(tree.items[1:]), rows, behind, excluded):
                yield head + tail, end
    elif isinstance(tree, Alternation):
        for item in tree.items:
            yield from ways(item, rows, at, excluded)
    elif isinstance(tree, Permute):
        yield from ways(written_out(tree.items), rows, at, excluded)
    elif isinstance(tree, Empty):
        yield (), at
    else:
        yield from repeated(tree, rows, at, excluded, 0)


def repeated(tree, rows, at, excluded, times):
    more = tree.maximum is None or times < tree.maximum
    if times >= tree.minimum and not tree.greedy:
        yield (), at
    if more:
        for head, behind in ways(tree.item, rows, at, excluded):
            for tail, end in repeated(tree, rows, behind, excluded, times + 1):
                yield head + tail, end
    if times >= tree.minimum and tree.greedy:
        yield (), at


def solid_trees():
    """Patterns whose quantified parts are never empty, where an iteration without rows asks for a rule of its own."""
    leaf = st.sampled_from([Variable(name) for name in LETTERS])
    quantified = st.builds(
        lambda item, low, extra, greedy: Quantified(
            item, low, None if extra is None else max(1, low + extra), greedy
        ),
        st.one_of(leaf, st.lists(leaf, min_size=1, max_size=2).map(lambda i: Sequence(tuple(i)))),
        st.integers(0, 2),
        st.one_of(st.none(), st.integers(0, 2)),
        st.booleans(),
    )
    anchor = st.sampled_from([Anchor("start"), Anchor("end"), Empty()])
    return st.recursive(
        st.one_of(leaf, quantified, quantified, anchor),
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3).map(lambda i: Sequence(tuple(i))),
            st.lists(inner, min_size=1, max_size=3).map(lambda i: Alternation(tuple(i))),
            st.lists(inner, min_size=2, max_size=3).map(lambda i: Permute(tuple(i))),
            inner.map(Exclusion),
        ),
        max_leaves=6,
    )


@given(solid_trees(), st.lists(st.sets(st.sampled_from(LETTERS), min_size=1), min_size=1, max_size=5))
def test_the_lists_lead_to_the_preferred_match(tree, rows):
    found = build(tree, {name: i for i, name in enumerate(LETTERS)})
    for start in (0, 1):
        if start < len(rows):  # a match begins at a row
            expected = next(ways(tree, rows, start), None)
            assert preferred(found, rows, start) == (None if expected is None else expected[0])
