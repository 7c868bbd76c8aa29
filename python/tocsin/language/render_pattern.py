"""Render: a row pattern as the text of PATTERN.

Groups get parentheses where the grammar needs them and nowhere else; `parse_pattern` reads the text back as an equal
tree. A quantifier is written in its shortest form: `+` for {1,}, {3} for {3,3}.
"""

from __future__ import annotations

from tocsin.language.pattern import (
    Alternation,
    Anchor,
    Empty,
    Exclusion,
    Permute,
    Quantified,
    RowPattern,
    Sequence,
    Variable,
)
from tocsin.language.render import variable_text

# Where a node stands: anywhere, between bars, in a sequence, before a quantifier.
PATTERN, ALTERNATIVE, ITEM, PRIMARY = range(4)
_SHORT = {(0, None): "*", (1, None): "+", (0, 1): "?"}


def pattern_text(pattern: RowPattern, place: int = PATTERN) -> str:
    """The text of `pattern`.

    >>> from tocsin.language.pattern import parse_pattern
    >>> pattern_text(parse_pattern("a ((b | c){0,}? d)+ permute(a, b) {- c -} $"))
    'A ((B | C)*? D)+ PERMUTE(A, B) {- C -} $'
    """
    if isinstance(pattern, Variable):
        return variable_text(pattern.name)
    if isinstance(pattern, Empty):
        return "()"
    if isinstance(pattern, Anchor):
        return "^" if pattern.where == "start" else "$"
    if isinstance(pattern, Permute):
        return f"PERMUTE({', '.join(pattern_text(item) for item in pattern.items)})"
    if isinstance(pattern, Exclusion):
        return f"{{- {pattern_text(pattern.item)} -}}"
    if isinstance(pattern, Quantified):
        text, own = pattern_text(pattern.item, PRIMARY) + _quantifier(pattern), ITEM
    elif isinstance(pattern, Sequence):
        text, own = " ".join(pattern_text(item, ITEM) for item in pattern.items), ALTERNATIVE
    elif isinstance(pattern, Alternation):
        text, own = " | ".join(pattern_text(item, ALTERNATIVE) for item in pattern.items), PATTERN
    else:
        raise AssertionError(f"no text for {type(pattern).__name__}")
    return text if place <= own else f"({text})"


def _quantifier(pattern: Quantified) -> str:
    minimum, maximum = pattern.minimum, pattern.maximum
    short = _SHORT.get((minimum, maximum))
    if short is None:
        if minimum == maximum:
            short = f"{{{minimum}}}"
        else:
            short = f"{{{minimum},{'' if maximum is None else maximum}}}"
    return short if pattern.greedy else short + "?"
