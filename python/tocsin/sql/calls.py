"""Calls: what is written name(…) -> trees: navigation, aggregates, CLASSIFIER, MATCH_NUMBER, scalar functions.

    [RUNNING | FINAL] (FIRST | LAST) (expression [, offset])      (PREV | NEXT) (expression [, offset])
    [RUNNING | FINAL] aggregate ([ALL] expression, …)             COUNT(*)  COUNT(v.*)  COUNT()
    CLASSIFIER([v])  MATCH_NUMBER()  name(expression, …)

A scalar function is any other name: whether there is such a function is tocsin.compile's to know, so that it can say
which name was meant. What SQL can add to a call and a row pattern has no use for (DISTINCT, FILTER, ORDER BY, OVER,
IGNORE NULLS) is refused by name, and so are functions that read a clock: nothing in the core does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from typing import Literal as Choice

from tocsin.language.expression import Aggregate, Call, Classifier, Expression, MatchNumber, Navigate
from tocsin.language.lexer import Token
from tocsin.language.precedence import OR
from tocsin.sql.special import SPECIAL, refuse_query
from tocsin.sql.words import at_clause, begins_operand, is_name, is_operator_word, variable_name

if TYPE_CHECKING:
    from tocsin.sql.grammar import ExpressionParser

OFFSET_MAX = 2**31 - 1
# How many arguments each aggregate takes.
AGGREGATES = {
    "count": 1,
    "sum": 1,
    "avg": 1,
    "min": 1,
    "max": 1,
    "stddev": 1,
    "stddev_samp": 1,
    "stddev_pop": 1,
    "variance": 1,
    "var_samp": 1,
    "var_pop": 1,
    "array_agg": 1,
    "arbitrary": 1,
    "any_value": 1,
    "min_by": 2,
    "max_by": 2,
    "bool_and": 1,
    "bool_or": 1,
    "every": 1,
    "count_if": 1,
    "geometric_mean": 1,
}
_NAVIGATIONS = ("prev", "next", "first", "last")
# Functions over several rows that others have: to call them unknown functions of one row would mislead.
# fmt: off
_AGGREGATES_REFUSED = frozenset(
    (
        "approx_distinct", "approx_most_frequent", "approx_percentile", "approx_set", "bitwise_and_agg",
        "bitwise_or_agg", "bitwise_xor_agg", "checksum", "corr", "covar_pop", "covar_samp", "entropy",
        "grouping", "histogram", "kurtosis", "listagg", "map_agg", "map_union", "median", "mode",
        "multimap_agg", "numeric_histogram", "percentile_cont", "percentile_disc", "quantile", "reduce_agg",
        "regr_intercept", "regr_slope", "skewness", "string_agg",
    )
)
# fmt: on
# fmt: off
_WINDOW = frozenset(
    (
        "cume_dist", "dense_rank", "first_value", "lag", "last_value", "lead", "nth_value", "ntile",
        "percent_rank", "rank", "row_number",
    )
)
# fmt: on
_CLOCK = ("now", "current_date", "current_time", "current_timestamp", "localtime", "localtimestamp")


def call(parser: ExpressionParser, semantics: Token | None = None) -> Expression:
    """The call that begins with the current token, a word before '('; `semantics` is RUNNING or FINAL before it."""
    lexer = parser.lexer
    token = lexer.token
    name = token.upper.lower()
    found: Expression
    if at_clause(lexer):
        raise lexer.error(f"an expression is expected before {token.upper}")
    if name in AGGREGATES:
        found = _aggregate(parser, token, _chosen(semantics))
    elif name in ("first", "last"):
        found = _navigate(parser, token, _chosen(semantics))
    elif semantics is not None:
        raise lexer.error(f"{semantics.upper} goes before FIRST, LAST or an aggregate only", semantics.span)
    elif name in _NAVIGATIONS:
        found = _navigate(parser, token, None)
    elif name == "classifier":
        found = _classifier(parser, token)
    elif name == "match_number":
        lexer.take()
        lexer.take()
        lexer.expect_op(")", "after MATCH_NUMBER( , which takes no argument")
        found = MatchNumber(span=(token.span[0], lexer.previous_end))
    elif name in SPECIAL:
        found = SPECIAL[name](parser, token)
    else:
        found = _scalar(parser, token)
    _refuse_suffix(parser, token)
    return found if semantics is None else replace(found, span=(semantics.span[0], found.span[1]))


def refuse_clock(parser: ExpressionParser, token: Token) -> None:
    """Raises if the word is one that reads a clock."""
    if token.upper.lower() in _CLOCK:
        raise parser.lexer.error(
            f"{token.upper} reads a clock, and a pattern does not, so that a replay gives the same matches: write "
            f'the time, or push it as a column (a column of that name is written "{token.value}")',
            token.span,
        )


def _chosen(semantics: Token | None) -> Choice["running", "final"] | None:
    if semantics is None:
        return None
    return "running" if semantics.upper == "RUNNING" else "final"


def _scalar(parser: ExpressionParser, token: Token) -> Expression:
    lexer = parser.lexer
    name = token.upper.lower()
    if is_operator_word(token):
        raise lexer.error(f"an expression is expected before {token.upper}")
    refuse_clock(parser, token)
    if name in _WINDOW:
        instead = {"lag": ": PREV is meant, perhaps", "lead": ": NEXT is meant, perhaps"}
        raise lexer.error(
            f"{token.upper} is a window function, which a row pattern does not have" + instead.get(name, "")
        )
    if name in _AGGREGATES_REFUSED:
        there = ", ".join(a.upper() for a in AGGREGATES)
        raise lexer.error(f"the aggregate {token.upper} is not supported: there are {there}")
    lexer.take()
    lexer.take()
    arguments: list[Expression] = []
    if not lexer.at_op(")"):
        if lexer.at_op("*"):
            raise lexer.error(f"{token.upper[:40]}(*) means nothing: only COUNT takes *")
        _refuse_quantifier(parser, token)
        arguments.append(_argument(parser, token))
        while lexer.accept_op(","):
            arguments.append(_argument(parser, token))
    lexer.expect_op(")", f"to close {token.upper[:40]}")
    return Call(name, tuple(arguments), span=(token.span[0], lexer.previous_end))


def _argument(parser: ExpressionParser, token: Token) -> Expression:
    """One argument of the function `token`; what may only stand behind an argument elsewhere in SQL is refused."""
    lexer = parser.lexer
    refuse_query(parser)
    argument = parser.climb(OR)
    if lexer.at_word("ORDER") and lexer.peek().upper == "BY":
        raise lexer.error(f"ORDER BY in {token.upper[:40]} is not supported: its rows are those of the match")
    _refuse_nulls(parser, token)
    return argument


def _refuse_quantifier(parser: ExpressionParser, token: Token) -> None:
    lexer = parser.lexer
    if lexer.at_word("DISTINCT") and begins_operand(lexer, 1):
        raise lexer.error(f"{token.upper[:40]}(DISTINCT …) is not supported")


def _refuse_nulls(parser: ExpressionParser, token: Token) -> None:
    lexer = parser.lexer
    if lexer.at_word("IGNORE", "RESPECT") and lexer.peek().upper == "NULLS":
        raise lexer.error(
            f"{lexer.token.upper} NULLS is not supported: {token.upper[:40]} reads the row as it is"
        )


def _refuse_suffix(parser: ExpressionParser, token: Token) -> None:
    """What SQL can have behind a call."""
    lexer = parser.lexer
    if lexer.at_word("FILTER") and lexer.peek().upper == "(":
        raise lexer.error(
            f"FILTER after {token.upper[:40]} is not supported: give the condition to a pattern variable, or to CASE"
        )
    if lexer.at_word("OVER") and (lexer.peek().upper == "(" or lexer.peek().kind == "word"):
        raise lexer.error(f"OVER after {token.upper[:40]} is not supported: a row pattern has no windows")
    if lexer.at_words("WITHIN", "GROUP"):
        raise lexer.error(f"WITHIN GROUP after {token.upper[:40]} is not supported")
    _refuse_nulls(parser, token)


def _aggregate(
    parser: ExpressionParser, token: Token, semantics: Choice["running", "final"] | None
) -> Expression:
    lexer = parser.lexer
    lexer.take()
    lexer.take()
    function = token.upper.lower()
    arguments: list[Expression] = []
    variable: str | None = None
    starred = is_name(lexer.token) and lexer.peek().upper == "." and lexer.peek(2).upper == "*"
    if lexer.at_op("*") or starred:
        if starred:
            variable = variable_name(lexer.take())
            lexer.take()
        star = lexer.take()
        if function != "count":
            form = "….*" if starred else "*"
            raise lexer.error(f"{token.upper}({form}) means nothing: only COUNT takes *", star.span)
    elif not lexer.at_op(")"):
        _refuse_quantifier(parser, token)
        if lexer.at_word("ALL") and begins_operand(lexer, 1):
            lexer.take()
        arguments.append(_argument(parser, token))
        while lexer.accept_op(","):
            arguments.append(_argument(parser, token))
    elif function != "count":
        raise lexer.error(f"{token.upper} needs an argument")
    wanted = AGGREGATES[function]
    if arguments and len(arguments) != wanted:
        count = {1: "one argument", 2: "two arguments"}[wanted]
        raise lexer.error(
            f"{token.upper} takes {count}, not {len(arguments)}",
            arguments[wanted].span if len(arguments) > wanted else token.span,
        )
    lexer.expect_op(")", f"to close {token.upper}")
    return Aggregate(
        function,
        arguments[0] if arguments else None,
        variable,
        tuple(arguments[1:]),
        semantics,
        span=(token.span[0], lexer.previous_end),
    )


def _navigate(
    parser: ExpressionParser, token: Token, semantics: Choice["running", "final"] | None
) -> Expression:
    lexer = parser.lexer
    lexer.take()
    lexer.take()
    kind = token.upper.lower()
    if lexer.at_op(")"):
        raise lexer.error(f"{token.upper} needs an argument")
    argument = _argument(parser, token)
    offset = 1 if kind in ("prev", "next") else 0
    if lexer.accept_op(","):
        number = lexer.token
        if lexer.at_op("-"):
            raise lexer.error(f"the offset of {token.upper} must not be negative")
        if number.kind != "number" or not number.value.isdecimal():
            raise lexer.error(f"the offset of {token.upper} must be a whole number, not {number}")
        if len(number.value) > 10 or int(number.value) > OFFSET_MAX:
            raise lexer.error(f"the offset of {token.upper} must not exceed {OFFSET_MAX}")
        offset = int(lexer.take().value)
    lexer.expect_op(")", f"to close {token.upper}")
    span = (token.span[0], lexer.previous_end)
    return Navigate(kind, argument, offset, semantics, span=span)  # type: ignore[arg-type]


def _classifier(parser: ExpressionParser, token: Token) -> Expression:
    lexer = parser.lexer
    lexer.take()
    lexer.take()
    variable = variable_name(lexer.take()) if is_name(lexer.token) else None
    lexer.expect_op(")", "to close CLASSIFIER")
    return Classifier(variable, span=(token.span[0], lexer.previous_end))
