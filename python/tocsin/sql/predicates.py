"""Predicates: comparison, IS, BETWEEN, IN, LIKE -> trees.

IS TRUE and its kin and BETWEEN SYMMETRIC have no trees of their own: x IS TRUE is x IS NOT DISTINCT FROM TRUE, x IS
UNKNOWN is x IS NULL, and x BETWEEN SYMMETRIC a AND b is x BETWEEN a AND b OR x BETWEEN b AND a.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from tocsin.language.expression import (
    Between,
    Binary,
    BinaryOperator,
    Expression,
    In,
    IsDistinct,
    IsNull,
    Like,
    Literal,
    Unary,
    logical,
)
from tocsin.language.lexer import Token
from tocsin.language.precedence import CONCAT, OR
from tocsin.sql.words import begins_operand

if TYPE_CHECKING:
    from tocsin.sql.grammar import ExpressionParser

_COMPARISONS = {"=": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_REFUSED = {
    "ILIKE": "ILIKE is not supported: write LOWER(…) LIKE",
    "SIMILAR": "SIMILAR TO is not supported: LIKE is, and REGEXP_LIKE",
    "RLIKE": "RLIKE is not supported: LIKE is, and REGEXP_LIKE",
    "REGEXP": "REGEXP is not supported: LIKE is, and REGEXP_LIKE",
    "GLOB": "GLOB is not supported: LIKE is, and REGEXP_LIKE",
    "OVERLAPS": "OVERLAPS is not supported: compare the bounds",
    "COLLATE": "COLLATE is not supported: texts compare by their bytes",
}


def at_predicate(token: Token) -> bool:
    """Whether the token is the operator of a predicate."""
    if token.kind == "op":
        return token.value in _COMPARISONS
    return token.kind == "word" and (
        token.upper in ("IS", "IN", "BETWEEN", "LIKE", "NOT") or token.upper in _REFUSED
    )


def predicate(parser: ExpressionParser, left: Expression, start: int) -> Expression:
    """The predicate of `left` (which begins at `start`) whose operator is the current token."""
    lexer = parser.lexer
    token = lexer.take()
    if token.kind == "op":
        if lexer.at_word("ALL", "ANY", "SOME") and lexer.peek().upper == "(":
            raise lexer.error(f"{lexer.token.upper} after a comparison is not supported: use IN")
        operator = cast(BinaryOperator, _COMPARISONS[token.value])
        right = parser.climb(CONCAT)
        return Binary(operator, left, right, at=token.span, span=(start, lexer.previous_end))
    if token.upper == "IS":
        return _is(parser, left, start)
    negated = token.upper == "NOT"
    if negated:
        token = lexer.token
        if not lexer.at_word("IN", "BETWEEN", "LIKE", *_REFUSED):
            raise lexer.error(f"IN, BETWEEN or LIKE is expected after NOT, not {token}")
        lexer.take()
    if token.upper == "BETWEEN":
        return _between(parser, left, start, negated)
    if token.upper == "IN":
        values = _in_list(parser)
        return In(left, values, negated, span=(start, lexer.previous_end))
    if token.upper == "LIKE":
        pattern = parser.climb(CONCAT)
        escape = _escape(parser) if lexer.at_word("ESCAPE") else None
        return Like(left, pattern, escape, negated, span=(start, lexer.previous_end))
    raise lexer.error(_REFUSED[token.upper], token.span)


def _is(parser: ExpressionParser, left: Expression, start: int) -> Expression:
    lexer = parser.lexer
    negated = lexer.accept_word("NOT")
    token = lexer.token
    if lexer.accept_word("NULL", "UNKNOWN"):
        return IsNull(left, negated, span=(start, lexer.previous_end))
    if lexer.accept_word("TRUE", "FALSE"):
        truth = Literal(token.upper == "TRUE", span=token.span)
        return IsDistinct(left, truth, not negated, span=(start, lexer.previous_end))
    if lexer.accept_word("DISTINCT"):
        lexer.expect_word("FROM", "after IS DISTINCT")
        right = parser.climb(CONCAT)
        return IsDistinct(left, right, negated, span=(start, lexer.previous_end))
    if lexer.at_word("JSON", "OF", "NORMALIZED", "DOCUMENT"):
        raise lexer.error(f"IS {token.upper} is not supported")
    raise lexer.error(
        f"NULL, TRUE, FALSE, UNKNOWN or DISTINCT FROM is expected after IS{' NOT' if negated else ''}, not {token}"
    )


def _between(parser: ExpressionParser, left: Expression, start: int, negated: bool) -> Expression:
    lexer = parser.lexer
    symmetric = False
    if lexer.at_word("SYMMETRIC", "ASYMMETRIC") and begins_operand(lexer, 1):
        symmetric = lexer.take().upper == "SYMMETRIC"
    low = parser.climb(CONCAT)
    lexer.expect_word("AND", "between the bounds of BETWEEN")
    high = parser.climb(CONCAT)
    span = (start, lexer.previous_end)
    if not symmetric:
        return Between(left, low, high, negated, span=span)
    either = [Between(left, low, high, False, span=span), Between(left, high, low, False, span=span)]
    both = logical("or", either, span=span)
    return Unary("not", both, span=span) if negated else both


def _in_list(parser: ExpressionParser) -> tuple[Expression, ...]:
    lexer = parser.lexer
    lexer.expect_op("(", "after IN")
    if lexer.at_word("SELECT", "WITH", "VALUES", "TABLE") and lexer.peek().kind != "op":
        raise lexer.error("IN with a sub-query is not supported: give the values")
    values = [parser.climb(OR)]
    while lexer.accept_op(","):
        values.append(parser.climb(OR))
    lexer.expect_op(")", "to close the list of IN")
    return tuple(values)


def _escape(parser: ExpressionParser) -> str:
    lexer = parser.lexer
    lexer.take()
    token = lexer.token
    if token.kind != "string" or len(token.value) != 1:
        raise lexer.error(f"ESCAPE takes a text of one character, as in ESCAPE '!', not {token}")
    return lexer.take().value
