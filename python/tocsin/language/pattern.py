"""Row patterns: the tree of PATTERN, and the one parser of its text.

    pattern      := sequence ('|' sequence)*              the left alternative is preferred
    sequence     := quantified*                           nothing at all is the empty pattern, '()' too
    quantified   := primary [('*' | '+' | '?' | '{n}' | '{n,}' | '{,m}' | '{n,m}' | '{,}') ['?']]
    primary      := variable | '(' pattern ')' | PERMUTE '(' pattern (',' pattern)* ')'
                  | '{-' pattern '-}' | '^' | '$'

A '?' after a quantifier makes it reluctant. Variables are held in upper case unless quoted. Sequences and
alternations are n-ary and flat; parentheses leave no node. Nesting is at most DEPTH_MAX deep and a pattern
has at most NODES_MAX nodes, so every walk may recurse. As in the standard an upper bound is at least 1, and a
quantifier applies to a primary, of whatever kind: `^*` is a pattern and `A**` an error. PERMUTE is a variable's
name unless a parenthesis follows; a variable before a group has to be quoted to be called so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal as Choice

from tocsin.errors import PatternError
from tocsin.language.lexer import Lexer, Token
from tocsin.language.source import NOWHERE, Source, Span

DEPTH_MAX = 100
NODES_MAX = 100_000
REPEAT_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class RowPattern:
    """A node of a row pattern; `str` of it is its text."""

    span: Span = field(default=NOWHERE, kw_only=True, compare=False, repr=False)

    def __str__(self) -> str:
        from tocsin.language.render_pattern import pattern_text  # it reads every node class: it stands above

        return pattern_text(self)


@dataclass(frozen=True, slots=True)
class Empty(RowPattern):
    """Matches no rows."""


@dataclass(frozen=True, slots=True)
class Variable(RowPattern):
    """One row that meets the variable's condition."""

    name: str


@dataclass(frozen=True, slots=True)
class Sequence(RowPattern):
    """One after the other."""

    items: tuple[RowPattern, ...]


@dataclass(frozen=True, slots=True)
class Alternation(RowPattern):
    """One of several; the earlier ones are preferred."""

    items: tuple[RowPattern, ...]


@dataclass(frozen=True, slots=True)
class Quantified(RowPattern):
    """`item`, from `minimum` to `maximum` times (None: without end)."""

    item: RowPattern
    minimum: int
    maximum: int | None
    greedy: bool = True


@dataclass(frozen=True, slots=True)
class Permute(RowPattern):
    """The items in every order; orders are preferred as their items are listed (lexicographically)."""

    items: tuple[RowPattern, ...]


@dataclass(frozen=True, slots=True)
class Exclusion(RowPattern):
    """{- item -}: matched, and left out of the rows that ALL ROWS PER MATCH shows."""

    item: RowPattern


@dataclass(frozen=True, slots=True)
class Anchor(RowPattern):
    """`^` (where "start") and `$` (where "end"): no row, at the start or the end of the partition only."""

    where: Choice["start", "end"]


def parse_pattern(text: str) -> RowPattern:
    """The tree of a pattern's text (what stands between the parentheses of PATTERN).

    Raises PatternError with the place.

    >>> parse_pattern("A (B | C)*?")
    Sequence(items=(Variable(name='A'), Quantified(item=Alternation(items=(Variable(name='B'), \
Variable(name='C'))), minimum=0, maximum=None, greedy=False)))
    """
    lexer = Lexer(Source(text))
    tree = PatternParser(lexer).pattern()
    if lexer.token.kind != "end":
        raise lexer.error(f"a variable or a quantifier is expected, not {lexer.token}")
    return tree


def parts(pattern: RowPattern) -> Iterator[RowPattern]:
    """Every node, parents first, from left to right."""
    yield pattern
    if isinstance(pattern, (Quantified, Exclusion)):
        yield from parts(pattern.item)
    elif isinstance(pattern, (Sequence, Alternation, Permute)):
        for item in pattern.items:
            yield from parts(item)


def variables(pattern: RowPattern) -> Iterator[Variable]:
    """Every occurrence of a variable, from left to right."""
    return (part for part in parts(pattern) if isinstance(part, Variable))


def _is_nothing(pattern: RowPattern) -> bool:
    """Whether the text has no pattern here: it is empty without the parentheses that say so."""
    return isinstance(pattern, Empty) and pattern.span[0] == pattern.span[1]


class PatternParser:
    """Reads a row pattern from `lexer` up to the first token that cannot belong to it."""

    __slots__ = ("_depth", "_lexer", "_nodes")

    def __init__(self, lexer: Lexer) -> None:
        self._lexer = lexer
        self._depth = 0
        self._nodes = 0

    def pattern(self) -> RowPattern:
        """One whole pattern."""
        lexer = self._lexer
        start = lexer.token.span[0]
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise lexer.error(f"a pattern is nested deeper than {DEPTH_MAX} levels")
        alternatives = [self._sequence()]
        while lexer.at_op("|"):
            bar = lexer.take()
            if _is_nothing(alternatives[-1]):
                raise lexer.error(
                    "a pattern is expected before '|' (the empty pattern is written '()')", bar.span
                )
            alternatives.append(self._sequence())
            if _is_nothing(alternatives[-1]):
                raise lexer.error(
                    "a pattern is expected after '|' (the empty pattern is written '()')", bar.span
                )
        self._depth -= 1
        if len(alternatives) == 1:
            return alternatives[0]
        return Alternation(tuple(alternatives), span=(start, lexer.previous_end))

    def _sequence(self) -> RowPattern:
        lexer = self._lexer
        start = lexer.token.span[0]
        items: list[RowPattern] = []
        while (primary := self._primary()) is not None:
            self._nodes += 1
            if self._nodes > NODES_MAX:
                raise lexer.error(f"a pattern has more than {NODES_MAX} parts")
            items.append(self._quantified(primary))
        if not items:
            return Empty(span=(start, start))
        if len(items) == 1:
            return items[0]
        return Sequence(tuple(items), span=(start, lexer.previous_end))

    def _primary(self) -> RowPattern | None:
        lexer = self._lexer
        token = lexer.token
        if token.kind == "quoted":
            lexer.take()
            return Variable(token.value, span=token.span)
        if token.kind == "word":
            if token.upper == "PERMUTE" and lexer.peek().upper == "(":
                return self._permute()
            lexer.take()
            return Variable(token.upper, span=token.span)
        if token.kind == "op" and token.value == "(":
            lexer.take()
            inner = self.pattern()
            lexer.expect_op(")", "to close the group")
            if isinstance(inner, Empty):
                return Empty(span=(token.span[0], lexer.previous_end))
            return inner
        if token.kind == "op" and token.value == "{-":
            lexer.take()
            inner = self._some("'{-' (what it leaves out)")
            lexer.expect_op("-}", "to close the exclusion")
            return Exclusion(inner, span=(token.span[0], lexer.previous_end))
        if token.kind == "op" and token.value in ("^", "$"):
            lexer.take()
            return Anchor("start" if token.value == "^" else "end", span=token.span)
        return None

    def _permute(self) -> RowPattern:
        lexer = self._lexer
        opening = lexer.take()
        lexer.take()
        items = [self._some("'(' in PERMUTE")]
        while lexer.accept_op(","):
            items.append(self._some("',' in PERMUTE"))
        lexer.expect_op(")", "or ',' in PERMUTE")
        return Permute(tuple(items), span=(opening.span[0], lexer.previous_end))

    def _some(self, after: str) -> RowPattern:
        """A pattern that must not be left out."""
        found = self.pattern()
        if _is_nothing(found):
            raise self._lexer.error(f"a pattern is expected after {after}, not {self._lexer.token}")
        return found

    def _quantified(self, item: RowPattern) -> RowPattern:
        lexer = self._lexer
        token = lexer.token
        if token.kind != "op" or token.value not in ("*", "+", "?", "{"):
            return item
        lexer.take()
        minimum, maximum = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(token.value) or self._bounds(
            token
        )
        greedy = not lexer.accept_op("?")
        if lexer.at_op("*", "+", "?", "{"):
            raise lexer.error(f"a second quantifier, {lexer.token}, needs parentheses around what it repeats")
        return Quantified(item, minimum, maximum, greedy, span=(item.span[0], lexer.previous_end))

    def _bounds(self, opening: Token) -> tuple[int, int | None]:
        lexer = self._lexer
        minimum = self._number() if lexer.token.kind == "number" else None
        maximum = minimum
        if lexer.accept_op(","):
            maximum = self._number() if lexer.token.kind == "number" else None
        elif minimum is None:
            raise lexer.error(f"a number or ',' is expected in a quantifier, not {lexer.token}")
        lexer.expect_op("}", "to close the quantifier")
        span = (opening.span[0], lexer.previous_end)
        if maximum is not None and maximum < 1:
            raise lexer.error("the upper bound of a quantifier must be at least 1", span)
        if minimum is not None and maximum is not None and minimum > maximum:
            raise lexer.error(
                f"the lower bound of a quantifier, {minimum}, must not exceed its upper bound, {maximum}",
                span,
            )
        return minimum or 0, maximum

    def _number(self) -> int:
        token = self._lexer.take()
        if not token.value.isdecimal():
            raise self._lexer.error(f"a quantifier takes whole numbers, not {token}", token.span)
        if len(token.value) > 10 or int(token.value) > REPEAT_MAX:
            raise self._lexer.error(f"a quantifier's bound must not exceed {REPEAT_MAX}", token.span)
        return int(token.value)


__all__ = [
    "Alternation",
    "Anchor",
    "Empty",
    "Exclusion",
    "PatternError",
    "PatternParser",
    "Permute",
    "Quantified",
    "RowPattern",
    "Sequence",
    "Variable",
    "parse_pattern",
    "parts",
    "variables",
]
