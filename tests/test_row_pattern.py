"""The text of PATTERN: what it says as a tree, what is wrong with it, and the text of a tree."""

import pytest
from hypothesis import given

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
    parts,
    variables,
)
from tree_strategies import row_patterns

A, B, C = Variable("A"), Variable("B"), Variable("C")
START, END = Anchor("start"), Anchor("end")


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
        ("permute(a, b c)", Permute((A, Sequence((B, C))))),
        (
            "PERMUTE(A | B, C*)+?",
            Quantified(Permute((Alternation((A, B)), Quantified(C, 0, None))), 1, None, False),
        ),
        ("PERMUTE(A)", Permute((A,))),
        ("permute a", Sequence((Variable("PERMUTE"), A))),
        ('"PERMUTE" (a)', Sequence((Variable("PERMUTE"), A))),
        ("{- A -}", Exclusion(A)),
        ("A{-B C*-}+", Sequence((A, Quantified(Exclusion(Sequence((B, Quantified(C, 0, None)))), 1, None)))),
        ("{- {- A -} () -}", Exclusion(Sequence((Exclusion(A), Empty())))),
        ("^ A $", Sequence((START, A, END))),
        ("^A$", Sequence((START, A, END))),
        ("(^|A)$?", Sequence((Alternation((START, A)), Quantified(END, 0, 1)))),
        ("^", START),
        ("(())+", Quantified(Empty(), 1, None)),
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
        ("PERMUTE()", "a pattern is expected after '(' in PERMUTE, not ')'"),
        ("PERMUTE(A,)", "a pattern is expected after ',' in PERMUTE, not ')'"),
        ("PERMUTE(A B", "')' is expected or ',' in PERMUTE, not the end of the text"),
        ("{- -}", "a pattern is expected after '{-' (what it leaves out), not '-}'"),
        ("{- A", "'-}' is expected to close the exclusion, not the end of the text"),
        ("A -}", "a variable or a quantifier is expected, not '-}'"),
        ("^^*+", "a second quantifier, '+', needs parentheses"),
        ("A || B", "a variable or a quantifier is expected, not '||'"),
    ],
)
def test_a_wrong_pattern_is_refused_with_its_place(text, wrong):
    with pytest.raises(PatternError) as caught:
        parse_pattern(text)
    assert str(caught.value).startswith(wrong)
    assert "\nline 1, column " in str(caught.value)


def test_every_node_knows_its_place():
    text = "^ PERMUTE(a, b)+ {- c -}"
    start, quantified, exclusion = parse_pattern(text).items
    places = [
        text[slice(*part.span)] for part in (start, quantified, quantified.item, exclusion, exclusion.item)
    ]
    assert places == ["^", "PERMUTE(a, b)+", "PERMUTE(a, b)", "{- c -}", "c"]


def test_the_parts_of_a_pattern_are_walked_from_left_to_right():
    pattern = parse_pattern("^ (a | PERMUTE(b, {- c -})) a*")
    assert [v.name for v in variables(pattern)] == ["A", "B", "C", "A"]
    assert [type(p).__name__ for p in parts(pattern)] == [
        "Sequence", "Anchor", "Alternation", "Variable", "Permute", "Variable", "Exclusion", "Variable", "Quantified",
        "Variable",
    ]  # fmt: skip


@given(row_patterns())
def test_any_pattern_is_read_back_from_its_text(pattern):
    assert parse_pattern(str(pattern)) == pattern
