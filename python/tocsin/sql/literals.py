"""Literals: numbers, and the constants that say their type in front -> trees.

    12  1.5  1e-3  X'00ff'  DATE '2024-03-01'  TIME '09:30:00'  TIMESTAMP '2024-03-01 09:30:00 UTC'
    INTERVAL '5' MINUTE  INTERVAL - '1 02:03' DAY TO MINUTE  INTERVAL '1-6' YEAR TO MONTH
    BIGINT '5'  DOUBLE 'NaN'  BOOLEAN 'true'  VARCHAR 'x'  DECIMAL '1.5'  REAL '0.1'

Intervals of years and months are a type of their own (whole months): a month has no fixed length. What is no value of
its type is refused here, at its place. A type that no Literal has (DECIMAL, REAL) is a cast of the text.
"""

from __future__ import annotations

import re

from tocsin.language.expression import Cast, Expression, Literal, LiteralType
from tocsin.language.lexer import Lexer, Token
from tocsin.language.source import Span
from tocsin.language.temporal import (
    FIELDS,
    MONTHS,
    parse_date,
    parse_interval,
    parse_months,
    parse_time,
    parse_timestamp,
)

_INTEGERS = {"TINYINT": 8, "SMALLINT": 16, "INT": 32, "INTEGER": 32, "BIGINT": 64}
_PLAIN = ("DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ")
_CONVERTED = (*_INTEGERS, "DOUBLE", "BOOLEAN", "VARCHAR", "CHAR", "DECIMAL", "NUMERIC", "REAL")
_BYTES = re.compile(r"(?:[0-9a-fA-F]{2}\s*)*", re.ASCII)
_WHOLE = re.compile(r"\s*([+-]?\d{1,30})\s*", re.ASCII)
_FLOAT = re.compile(
    r"\s*[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|infinity|nan)\s*", re.ASCII | re.IGNORECASE
)
_DECIMAL = re.compile(r"\s*[+-]?(?:0*+(\d*)(?:\.(\d*))?)\s*", re.ASCII)
_DECIMAL_MAX = 38  # digits, as in Arrow's decimal128
_RANGE = ["DAY", "HOUR", "MINUTE", "SECOND"]


def number(lexer: Lexer) -> Expression:
    """The number that is the current token."""
    token = lexer.take()
    if token.value.isdecimal():
        if len(token.value) > 40 or int(token.value) >= 2**64:
            raise lexer.error("an integer must fit 64 bits: write a floating-point number, 1e30", token.span)
        return Literal(int(token.value), span=token.span)
    value = float(token.value)
    if value == float("inf"):
        raise lexer.error("the number is beyond the range of a 64-bit float", token.span)
    return Literal(value, span=token.span)


def typed_literal(lexer: Lexer) -> Expression:
    """The constant that begins with the current token, a word before a string (or INTERVAL before a sign)."""
    token = lexer.token
    word = token.upper
    if word == "INTERVAL":
        return _interval(lexer)
    text = lexer.peek(2 if word == "DOUBLE" and lexer.peek().upper == "PRECISION" else 1)
    if word in ("B", "E", "N", "U", "R"):
        raise lexer.error(f"{word}'…' literals are not supported: write a plain string")
    if word not in _PLAIN and word not in _CONVERTED and word != "X":
        raise lexer.error(f"{text} does not belong after '{token.value[:40]}'", text.span)
    while lexer.token is not text:
        lexer.take()
    lexer.take()
    span = (token.span[0], text.span[1])
    try:
        if word == "X":
            return Literal(_bytes(text.value), span=span)
        if word in _CONVERTED:
            return _converted(word, text.value, text.span, span)
        kind, value = _temporal(word, text.value)
    except ValueError as wrong:
        raise lexer.error(str(wrong), text.span) from None
    return Literal(value, kind, span=span)


def _temporal(word: str, text: str) -> tuple[LiteralType, int]:
    if word == "DATE":
        return "date", parse_date(text)
    if word == "TIME":
        return "time", parse_time(text)
    value, zoned = parse_timestamp(text)
    if word == "TIMESTAMPTZ" and not zoned:
        raise ValueError(f"'{text}' has no time zone: write one, as in '… UTC'")
    return ("instant" if zoned else "timestamp"), value


def _bytes(text: str) -> bytes:
    if not _BYTES.fullmatch(text.lstrip()):
        raise ValueError("X'…' takes pairs of hexadecimal digits, as in X'00ff'")
    return bytes.fromhex(text)


def _converted(word: str, text: str, at: Span, span: Span) -> Expression:
    """The value of `text` as the type `word`."""
    if word in ("VARCHAR", "CHAR"):
        return Literal(text, span=span)
    if word == "BOOLEAN":
        if text.strip().lower() not in ("true", "false"):
            raise ValueError("a BOOLEAN is 'true' or 'false'")
        return Literal(text.strip().lower() == "true", span=span)
    if word in _INTEGERS:
        whole = _WHOLE.fullmatch(text)
        limit = 2 ** (_INTEGERS[word] - 1)
        if whole is None or not -limit <= int(whole.group(1)) < limit:
            raise ValueError(f"'{text[:40]}' is no {word}: a whole number from {-limit} to {limit - 1}")
        return Literal(int(whole.group(1)), span=span)
    if word in ("DOUBLE", "REAL"):
        if not _FLOAT.fullmatch(text):
            raise ValueError(f"'{text[:40]}' is no {word}: a number, 'NaN' or 'Infinity'")
        if word == "REAL":
            return Cast(Literal(text.strip(), span=at), "real", span=span)
        value = float(text)
        if value in (float("inf"), float("-inf")) and "inf" not in text.lower():
            raise ValueError("the number is beyond the range of a 64-bit float")
        return Literal(value, span=span)
    digits = _DECIMAL.fullmatch(text)
    if digits is None or not any(c.isdigit() for c in text):
        raise ValueError(f"'{text[:40]}' is no {word}: a number such as 1.5")
    scale = len(digits.group(2) or "")
    precision = max(len(digits.group(1)) + scale, 1)
    if precision > _DECIMAL_MAX:
        raise ValueError(f"a {word} has at most {_DECIMAL_MAX} digits, and this one has {precision}")
    return Cast(Literal(text.strip(), span=at), f"decimal({precision}, {scale})", span=span)


# Intervals -------------------------------------------------------------------------------------------------


def is_unit(token: Token) -> bool:
    """Whether the token is the unit of an interval, in the singular or the plural."""
    return token.kind == "word" and _unit(token) is not None


def _unit(token: Token) -> str | None:
    for name in (token.upper, token.upper.removesuffix("S")):
        if name in FIELDS or name in MONTHS:
            return name
    return None


def _interval(lexer: Lexer) -> Expression:
    opening = lexer.take()
    negative = not lexer.accept_op("+") and lexer.accept_op("-")
    text = lexer.take()
    first, first_span = _interval_field(lexer)
    last, last_span = None, first_span
    if lexer.accept_word("TO"):
        last, last_span = _interval_field(lexer)
        both = _RANGE if first in _RANGE else ["YEAR", "MONTH"]
        if first not in both or last not in both or both.index(first) >= both.index(last):
            raise lexer.error(
                f"{first} TO {last} is not an interval: the fields go from DAY, HOUR, MINUTE to "
                "a smaller one, or from YEAR to MONTH",
                (first_span[0], last_span[1]),
            )
    span = (opening.span[0], last_span[1])
    try:
        months = first in MONTHS
        value = parse_months(text.value, first, last) if months else parse_interval(text.value, first, last)
    except ValueError as wrong:
        raise lexer.error(str(wrong), text.span) from None
    if months and abs(value) >= 2**31:
        raise lexer.error("an interval must be shorter than 2147483648 months", span)
    if abs(value) >= 2**63:
        raise lexer.error("an interval must be shorter than 292 years", span)
    return Literal(-value if negative else value, "months" if months else "interval", span=span)


def _interval_field(lexer: Lexer) -> tuple[str, Span]:
    token = lexer.token
    name = _unit(token) if token.kind == "word" else None
    if name is None:
        raise lexer.error(
            f"a unit (SECOND, MINUTE, HOUR, DAY, WEEK, MONTH, YEAR) is expected after the interval, not {token}"
        )
    lexer.take()
    if lexer.at_op("("):
        raise lexer.error(f"a precision after {name} is not supported: leave it out")
    return name, token.span
