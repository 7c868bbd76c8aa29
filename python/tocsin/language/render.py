"""Render: an expression tree as SQL text, and the same tree with each node's place in that text.

An expression that Python built has no text to point into. Rendering gives it one, so that its errors have a
caret like any other's; `str(expression)` and explain use the text alone. Parentheses appear where the
grammar needs them and nowhere else.
"""

from __future__ import annotations

from dataclasses import replace

from tocsin.language.expression import (
    Aggregate,
    Between,
    Binary,
    Classifier,
    Column,
    Expression,
    In,
    IsNull,
    Literal,
    Logical,
    MatchNumber,
    Navigate,
    Unary,
)
from tocsin.language.temporal import format_date, format_time, format_timestamp

# How tightly each form binds; an operand that binds less tightly than its place asks is parenthesised.
OR, AND, NOT, PREDICATE, SUM, PRODUCT, SIGN, ATOM = range(8)
_BINARY = {"+": SUM, "-": SUM, "*": PRODUCT, "/": PRODUCT, "%": PRODUCT}


def render(expression: Expression) -> tuple[str, Expression]:
    """The text of `expression`, and the tree with spans into that text."""
    writer = _Writer()
    placed = writer.write(expression, OR)
    return "".join(writer.parts), placed


def name_text(name: str) -> str:
    """`name` as an SQL identifier: quoted unless it is a plain word that is no keyword."""
    if name.isidentifier() and name.isascii() and name.upper() not in _KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


# fmt: off
_KEYWORDS = frozenset(
    (
        "AND", "OR", "NOT", "IS", "NULL", "TRUE", "FALSE", "BETWEEN", "IN", "LIKE", "ILIKE",
        "ESCAPE", "CASE", "WHEN", "THEN", "ELSE", "END", "CAST", "AS", "ASC", "DESC", "SELECT",
        "FROM", "WHERE", "EXISTS", "INTERVAL", "BY", "MEASURES", "PATTERN", "DEFINE", "WITHIN",
        "PARTITION", "ORDER", "AFTER", "ONE", "ALL", "SUBSET", "MATCH_RECOGNIZE", "RUNNING",
        "FINAL",
    )
)
# fmt: on


class _Writer:
    __slots__ = ("at", "parts")

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.at = 0

    def put(self, text: str) -> None:
        self.parts.append(text)
        self.at += len(text)

    def write(self, e: Expression, place: int) -> Expression:
        parenthesised = _binding(e) < place
        if parenthesised:
            self.put("(")
        start = self.at
        placed = self._body(e)
        placed = replace(placed, span=(start, self.at))
        if parenthesised:
            self.put(")")
        return placed

    def _body(self, e: Expression) -> Expression:
        if isinstance(e, Literal):
            self.put(literal_text(e))
        elif isinstance(e, Column):
            variable = f"{name_text(e.variable)}." if e.variable is not None else ""
            self.put(variable + name_text(e.name))
        elif isinstance(e, Binary):
            binding = _BINARY.get(e.operator)
            left = self.write(e.left, SUM if binding is None else binding)
            self.put(" ")
            at = (self.at, self.at + len(e.operator))
            self.put(e.operator + " ")
            return replace(
                e, left=left, right=self.write(e.right, SUM if binding is None else binding + 1), at=at
            )
        elif isinstance(e, Logical):
            operands = []
            for i, operand in enumerate(e.operands):
                if i:
                    self.put(f" {e.operator.upper()} ")
                operands.append(self.write(operand, (OR if e.operator == "or" else AND) + 1))
            return replace(e, operands=tuple(operands))
        elif isinstance(e, Unary):
            self.put("NOT " if e.operator == "not" else "- ")
            return replace(e, operand=self.write(e.operand, NOT if e.operator == "not" else SIGN))
        elif isinstance(e, IsNull):
            operand = self.write(e.operand, SUM)
            self.put(" IS NOT NULL" if e.negated else " IS NULL")
            return replace(e, operand=operand)
        elif isinstance(e, Between):
            operand = self.write(e.operand, SUM)
            self.put(" NOT BETWEEN " if e.negated else " BETWEEN ")
            low = self.write(e.low, SUM)
            self.put(" AND ")
            return replace(e, operand=operand, low=low, high=self.write(e.high, SUM))
        elif isinstance(e, In):
            operand = self.write(e.operand, SUM)
            self.put(" NOT IN (" if e.negated else " IN (")
            values = []
            for i, value in enumerate(e.values):
                if i:
                    self.put(", ")
                values.append(self.write(value, SUM))
            self.put(")")
            return replace(e, operand=operand, values=tuple(values))
        elif isinstance(e, Navigate):
            self.put(e.kind.upper() + "(")
            argument = self.write(e.argument, OR)
            default = 1 if e.kind in ("prev", "next") else 0
            self.put(")" if e.offset == default else f", {e.offset})")
            return replace(e, argument=argument)
        elif isinstance(e, Aggregate):
            self.put(e.function.upper() + "(")
            if e.argument is not None:
                argument = self.write(e.argument, OR)
                self.put(")")
                return replace(e, argument=argument)
            self.put("*)" if e.variable is None else f"{name_text(e.variable)}.*)")
        elif isinstance(e, Classifier):
            self.put("CLASSIFIER(" + (name_text(e.variable) if e.variable is not None else "") + ")")
        elif isinstance(e, MatchNumber):
            self.put("MATCH_NUMBER()")
        else:
            raise AssertionError(f"no text for {type(e).__name__}")
        return e


def _binding(e: Expression) -> int:
    if isinstance(e, Logical):
        return OR if e.operator == "or" else AND
    if isinstance(e, Unary):
        return NOT if e.operator == "not" else SIGN
    if isinstance(e, Binary):
        return _BINARY.get(e.operator, PREDICATE)
    if isinstance(e, (IsNull, Between, In)):
        return PREDICATE
    if isinstance(e, Literal) and type(e.value) in (int, float) and e.type is None and str(e.value)[0] == "-":
        return SIGN
    return ATOM


def literal_text(e: Literal) -> str:
    """A constant as SQL would write it (a float without a finite value, and bytes, as Python would)."""
    value = e.value
    if value is None:
        return "NULL"
    if e.type == "date":
        return f"DATE '{format_date(value)}'"
    if e.type == "time":
        return f"TIME '{format_time(value)}'"
    if e.type == "timestamp":
        return f"TIMESTAMP '{format_timestamp(value)}'"
    if e.type == "instant":
        return f"TIMESTAMP '{format_timestamp(value, ' UTC')}'"
    if e.type == "interval":
        return f"INTERVAL '{interval_seconds(value)}' SECOND"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


def interval_seconds(ns: int) -> str:
    """Nanoseconds as a decimal number of seconds."""
    whole, fraction = divmod(abs(ns), 10**9)
    text = f"{whole}.{fraction:09}".rstrip("0") if fraction else str(whole)
    return f"-{text}" if ns < 0 else text
