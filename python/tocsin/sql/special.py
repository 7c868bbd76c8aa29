"""Special forms: what SQL writes with words between the arguments -> trees, most of them plain calls.

    CASE [x] WHEN … THEN … [ELSE …] END     IF(condition, value [, value])      the tree Case
    CAST(x AS type)  TRY_CAST(x AS type)                                        the tree Cast
    EXTRACT(YEAR FROM x)                                                        extract('year', x)
    SUBSTRING(x FROM start [FOR length])                                        substring(x, start, length)
    TRIM([BOTH | LEADING | TRAILING] [characters] FROM x)                       trim, ltrim, rtrim (x, characters)
    POSITION(part IN x)                                                         strpos(x, part)
    ARRAY[x, …]                                                                 array(x, …)

Each of the named ones is also read in its plain form, where it has one: SUBSTRING(x, 2, 3), TRIM(x).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from tocsin.language.expression import Call, Case, Cast, Expression, Literal
from tocsin.language.lexer import Token
from tocsin.language.precedence import CONCAT, OR
from tocsin.sql.types import type_text
from tocsin.sql.words import begins_operand, is_operator_word

if TYPE_CHECKING:
    from tocsin.sql.grammar import ExpressionParser

_SIDES = {"BOTH": "trim", "LEADING": "ltrim", "TRAILING": "rtrim"}
_QUERY = "a sub-query is not supported: a condition reads rows, not queries"


def refuse_query(parser: ExpressionParser) -> None:
    """Raises if a query begins here, where a value is expected."""
    lexer = parser.lexer
    if not lexer.at_word("SELECT", "WITH", "VALUES", "TABLE"):
        return
    following = lexer.peek()
    if following.kind in ("word", "quoted", "number", "string") and not is_operator_word(following):
        raise lexer.error(_QUERY)
    if lexer.at_word("SELECT") and following.upper == "*":
        raise lexer.error(_QUERY)


def case(parser: ExpressionParser) -> Expression:
    """CASE … END, from the word CASE on."""
    lexer = parser.lexer
    opening = lexer.take()
    operand = None if lexer.at_word("WHEN") else parser.climb(OR)
    conditions: list[Expression] = []
    values: list[Expression] = []
    while lexer.accept_word("WHEN"):
        conditions.append(parser.climb(OR))
        lexer.expect_word("THEN", "after the condition of WHEN")
        values.append(parser.climb(OR))
    if not conditions:
        raise lexer.error(f"WHEN is expected in CASE, not {lexer.token}")
    default = parser.climb(OR) if lexer.accept_word("ELSE") else None
    if not lexer.at_word("END"):
        raise lexer.error(
            f"{'END' if default is not None else 'WHEN, ELSE or END'} is expected in CASE, not {lexer.token}"
        )
    lexer.take()
    span = (opening.span[0], lexer.previous_end)
    return Case(operand, tuple(conditions), tuple(values), default, span=span)


def array(parser: ExpressionParser) -> Expression:
    """ARRAY[…], from the word ARRAY on."""
    lexer = parser.lexer
    opening = lexer.take()
    lexer.take()
    items: list[Expression] = []
    if not lexer.at_op("]"):
        items.append(parser.climb(OR))
        while lexer.accept_op(","):
            items.append(parser.climb(OR))
    lexer.expect_op("]", "to close ARRAY")
    return Call("array", tuple(items), span=(opening.span[0], lexer.previous_end))


def _if(parser: ExpressionParser, token: Token) -> Expression:
    found = _plain(parser, token, "if")
    if len(found.arguments) not in (2, 3):
        raise parser.lexer.error("IF takes a condition and one or two values", found.span)
    condition, value, *default = found.arguments
    return Case(None, (condition,), (value,), default[0] if default else None, span=found.span)


def _cast(parser: ExpressionParser, token: Token) -> Expression:
    lexer = parser.lexer
    _open(parser)
    operand = parser.climb(OR)
    lexer.expect_word("AS", f"and a type in {token.upper}")
    type = type_text(lexer)
    lexer.expect_op(")", f"to close {token.upper}")
    span = (token.span[0], lexer.previous_end)
    return Cast(operand, type, token.upper == "TRY_CAST", span=span)


def _extract(parser: ExpressionParser, token: Token) -> Expression:
    lexer = parser.lexer
    field = lexer.peek(2)
    following = lexer.peek(3)
    if field.kind not in ("word", "string") or following.upper != "FROM":
        if field.kind != "string":
            raise lexer.error("EXTRACT is written EXTRACT(YEAR FROM x)")
        return _plain(parser, token, "extract")
    _open(parser)
    lexer.take()
    lexer.take()
    operand = parser.climb(OR)
    lexer.expect_op(")", "to close EXTRACT")
    unit = Literal(field.value.lower(), span=field.span)
    return Call("extract", (unit, operand), span=(token.span[0], lexer.previous_end))


def _substring(parser: ExpressionParser, token: Token) -> Expression:
    lexer = parser.lexer
    _open(parser)
    arguments = [parser.climb(OR)]
    if lexer.accept_word("FROM"):
        arguments.append(parser.climb(OR))
        if lexer.accept_word("FOR"):
            arguments.append(parser.climb(OR))
    else:
        while lexer.accept_op(","):
            arguments.append(parser.climb(OR))
    lexer.expect_op(")", "to close SUBSTRING")
    return Call("substring", tuple(arguments), span=(token.span[0], lexer.previous_end))


def _trim(parser: ExpressionParser, token: Token) -> Expression:
    lexer = parser.lexer
    _open(parser)
    side = "trim"
    if lexer.at_word(*_SIDES) and (begins_operand(lexer, 1) or lexer.peek().upper == "FROM"):
        side = _SIDES[lexer.take().upper]
    if lexer.accept_word("FROM"):
        arguments = [parser.climb(OR)]
    else:
        arguments = [parser.climb(OR)]
        if lexer.accept_word("FROM"):
            arguments.insert(0, parser.climb(OR))
        elif lexer.accept_op(","):
            arguments.append(parser.climb(OR))
    lexer.expect_op(")", "to close TRIM")
    return Call(side, tuple(arguments), span=(token.span[0], lexer.previous_end))


def _position(parser: ExpressionParser, token: Token) -> Expression:
    lexer = parser.lexer
    _open(parser)
    part = parser.climb(CONCAT)
    if not lexer.accept_word("IN"):
        raise lexer.error(
            f"POSITION is written POSITION(part IN text), and IN is expected, not {lexer.token}"
        )
    text = parser.climb(CONCAT)
    lexer.expect_op(")", "to close POSITION")
    return Call("strpos", (text, part), span=(token.span[0], lexer.previous_end))


def _plain(parser: ExpressionParser, token: Token, name: str) -> Call:
    lexer = parser.lexer
    _open(parser)
    arguments = [parser.climb(OR)]
    while lexer.accept_op(","):
        arguments.append(parser.climb(OR))
    lexer.expect_op(")", f"to close {token.upper}")
    return Call(name, tuple(arguments), span=(token.span[0], lexer.previous_end))


def _open(parser: ExpressionParser) -> None:
    """Takes the name and the parenthesis."""
    parser.lexer.take()
    parser.lexer.take()
    refuse_query(parser)


def _refuse(parser: ExpressionParser, token: Token) -> NoReturn:
    raise parser.lexer.error(_REFUSED[token.upper])


_REFUSED = {
    "EXISTS": "EXISTS is not supported: a condition reads rows, not queries",
    "SELECT": _QUERY,
    "ARRAY": "an array is written ARRAY[…], with brackets",
    "ROW": "ROW values are not supported: compare one value at a time",
    "SAFE_CAST": "SAFE_CAST is written TRY_CAST",
    "CONVERT": "CONVERT is written CAST(x AS type)",
}

# Functions that are more than a name and arguments, by their names in lower case.
SPECIAL: dict[str, Callable[[ExpressionParser, Token], Expression]] = {
    "if": _if,
    "cast": _cast,
    "try_cast": _cast,
    "extract": _extract,
    "substring": _substring,
    "trim": _trim,
    "position": _position,
    **{name.lower(): _refuse for name in _REFUSED},
}
