"""Render: an expression tree as SQL text, and the same tree with each node's place in that text.

An expression that Python built has no text to point into. Rendering gives it one, so that its errors have a
caret like any other's; `str(expression)` and explain use the text alone. Parentheses appear where the
grammar needs them and nowhere else, and the parser reads the text back as the same tree (but for the quotes of a
column's name, which are left out where the name can be read without them).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from math import isfinite
from typing import Any, TypeGuard, TypeVar

from tocsin.language.expression import (
    Aggregate,
    Between,
    Binary,
    Call,
    Case,
    Cast,
    Classifier,
    Column,
    Expression,
    In,
    IsDistinct,
    IsNull,
    Like,
    Literal,
    Logical,
    MatchNumber,
    Navigate,
    Unary,
)
from tocsin.language.precedence import (
    AND,
    ARITHMETIC,
    ATOM,
    CONCAT,
    NOT,
    OR,
    POSTFIX,
    PREDICATE,
    SIGN,
)
from tocsin.language.temporal import format_date, format_time, format_timestamp

_Node = TypeVar("_Node", bound=Expression)


def replace(node: _Node, **parts: Any) -> _Node:
    """`node` with other parts. PERF: 1.5 us where dataclasses.replace takes 5: the placed parts are the old ones, so
    the depth and size that a constructor works out and checks are known."""
    placed = object.__new__(type(node))
    for name in _FIELDS[type(node)]:
        object.__setattr__(placed, name, parts[name] if name in parts else getattr(node, name))
    return placed


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


def variable_text(name: str) -> str:
    """A pattern variable as an SQL identifier: quoted also if letters in lower case are part of its name."""
    return name_text(name) if name == name.upper() else '"' + name.replace('"', '""') + '"'


# fmt: off
_KEYWORDS = frozenset(
    (
        "AND", "OR", "NOT", "IS", "NULL", "TRUE", "FALSE", "BETWEEN", "IN", "LIKE", "ILIKE",
        "ESCAPE", "CASE", "WHEN", "THEN", "ELSE", "END", "CAST", "AS", "ASC", "DESC", "SELECT",
        "FROM", "WHERE", "EXISTS", "INTERVAL", "BY", "MEASURES", "PATTERN", "DEFINE", "WITHIN",
        "PARTITION", "ORDER", "AFTER", "ONE", "ALL", "SUBSET", "MATCH_RECOGNIZE", "RUNNING",
        "FINAL", "INITIAL", "SEEK", "DISTINCT", "SYMMETRIC", "ASYMMETRIC", "ARRAY", "PERMUTE",
        "BOTH", "LEADING", "TRAILING", "NULLS", "ANY", "SOME", "AT", "OVER", "FILTER",
        "CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "LOCALTIME", "LOCALTIMESTAMP", "NOW",
    )
)
# fmt: on


class _Writer:
    """Collects the text; each method writes one kind of node and gives it back with its parts placed."""

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
        placed = _WRITERS[type(e)](self, e)
        placed = replace(placed, span=(start, self.at))
        if parenthesised:
            self.put(")")
        return placed

    def listed(self, items: tuple[Expression, ...]) -> tuple[Expression, ...]:
        placed = []
        for i, item in enumerate(items):
            if i:
                self.put(", ")
            placed.append(self.write(item, OR))
        return tuple(placed)

    def literal(self, e: Literal) -> Expression:
        self.put(literal_text(e))
        return e

    def column(self, e: Column) -> Expression:
        variable = f"{variable_text(e.variable)}." if e.variable is not None else ""
        self.put(variable + name_text(e.name))
        return e

    def binary(self, e: Binary) -> Expression:
        binding = ARITHMETIC.get(e.operator)
        left = self.write(e.left, CONCAT if binding is None else binding)
        self.put(" ")
        at = (self.at, self.at + len(e.operator))
        self.put(e.operator + " ")
        right = self.write(e.right, CONCAT if binding is None else binding + 1)
        return replace(e, left=left, right=right, at=at)

    def logical(self, e: Logical) -> Expression:
        operands = []
        for i, operand in enumerate(e.operands):
            if i:
                self.put(f" {e.operator.upper()} ")
            operands.append(self.write(operand, (OR if e.operator == "or" else AND) + 1))
        return replace(e, operands=tuple(operands))

    def unary(self, e: Unary) -> Expression:
        self.put("NOT " if e.operator == "not" else "- ")
        return replace(e, operand=self.write(e.operand, NOT if e.operator == "not" else SIGN))

    def is_null(self, e: IsNull) -> Expression:
        operand = self.write(e.operand, CONCAT)
        self.put(" IS NOT NULL" if e.negated else " IS NULL")
        return replace(e, operand=operand)

    def is_distinct(self, e: IsDistinct) -> Expression:
        left = self.write(e.left, CONCAT)
        self.put(" IS NOT DISTINCT FROM " if e.negated else " IS DISTINCT FROM ")
        return replace(e, left=left, right=self.write(e.right, CONCAT))

    def between(self, e: Between) -> Expression:
        operand = self.write(e.operand, CONCAT)
        self.put(" NOT BETWEEN " if e.negated else " BETWEEN ")
        low = self.write(e.low, CONCAT)
        self.put(" AND ")
        return replace(e, operand=operand, low=low, high=self.write(e.high, CONCAT))

    def membership(self, e: In) -> Expression:
        operand = self.write(e.operand, CONCAT)
        self.put(" NOT IN (" if e.negated else " IN (")
        values = self.listed(e.values)
        self.put(")")
        return replace(e, operand=operand, values=values)

    def like(self, e: Like) -> Expression:
        operand = self.write(e.operand, CONCAT)
        self.put(" NOT LIKE " if e.negated else " LIKE ")
        pattern = self.write(e.pattern, CONCAT)
        if e.escape is not None:
            self.put(f" ESCAPE {_text(e.escape)}")
        return replace(e, operand=operand, pattern=pattern)

    def case(self, e: Case) -> Expression:
        self.put("CASE")
        operand, default = e.operand, e.default
        if operand is not None:
            self.put(" ")
            operand = self.write(operand, OR)
        conditions, values = [], []
        for condition, value in zip(e.conditions, e.values, strict=True):
            self.put(" WHEN ")
            conditions.append(self.write(condition, OR))
            self.put(" THEN ")
            values.append(self.write(value, OR))
        if default is not None:
            self.put(" ELSE ")
            default = self.write(default, OR)
        self.put(" END")
        return replace(
            e, operand=operand, conditions=tuple(conditions), values=tuple(values), default=default
        )

    def cast(self, e: Cast) -> Expression:
        self.put("TRY_CAST(" if e.attempt else "CAST(")
        operand = self.write(e.operand, OR)
        self.put(f" AS {e.type})")
        return replace(e, operand=operand)

    def call(self, e: Call) -> Expression:
        arguments = e.arguments
        if e.name == "array":
            self.put("ARRAY[")
            arguments = self.listed(arguments)
            self.put("]")
        elif e.name == "concat" and len(arguments) > 1:
            placed = []
            for i, argument in enumerate(arguments):
                if i:
                    self.put(" || ")
                placed.append(self.write(argument, CONCAT + 1))
            arguments = tuple(placed)
        elif e.name == "subscript" and len(arguments) == 2:
            base = self.write(arguments[0], POSTFIX)
            self.put("[")
            arguments = (base, self.write(arguments[1], OR))
            self.put("]")
        elif e.name == "at_timezone" and len(arguments) == 2:
            operand = self.write(arguments[0], POSTFIX)
            self.put(" AT TIME ZONE ")
            arguments = (operand, self.write(arguments[1], ATOM))
        elif e.name == "extract" and len(arguments) == 2 and _is_field(arguments[0]):
            self.put("EXTRACT(")
            start = self.at
            self.put(arguments[0].value.upper())
            field = replace(arguments[0], span=(start, self.at))
            self.put(" FROM ")
            arguments = (field, self.write(arguments[1], OR))
            self.put(")")
        else:
            self.put(f"{e.name.upper()}(")
            arguments = self.listed(arguments)
            self.put(")")
        return replace(e, arguments=arguments)

    def navigate(self, e: Navigate) -> Expression:
        self.semantics(e)
        self.put(e.kind.upper() + "(")
        argument = self.write(e.argument, OR)
        default = 1 if e.kind in ("prev", "next") else 0
        self.put(")" if e.offset == default else f", {e.offset})")
        return replace(e, argument=argument)

    def aggregate(self, e: Aggregate) -> Expression:
        self.semantics(e)
        self.put(e.function.upper() + "(")
        if e.argument is None:
            self.put("*)" if e.variable is None else f"{variable_text(e.variable)}.*)")
            return e
        first, *more = self.listed((e.argument, *e.more))
        self.put(")")
        return replace(e, argument=first, more=tuple(more))

    def semantics(self, e: Navigate | Aggregate) -> None:
        if e.semantics is not None:
            self.put(e.semantics.upper() + " ")

    def classifier(self, e: Classifier) -> Expression:
        self.put("CLASSIFIER(" + (variable_text(e.variable) if e.variable is not None else "") + ")")
        return e

    def match_number(self, e: MatchNumber) -> Expression:
        self.put("MATCH_NUMBER()")
        return e


_WRITERS: dict[type[Expression], Callable[[_Writer, Any], Expression]] = {
    Aggregate: _Writer.aggregate,
    Between: _Writer.between,
    Binary: _Writer.binary,
    Call: _Writer.call,
    Case: _Writer.case,
    Cast: _Writer.cast,
    Classifier: _Writer.classifier,
    Column: _Writer.column,
    In: _Writer.membership,
    IsDistinct: _Writer.is_distinct,
    IsNull: _Writer.is_null,
    Like: _Writer.like,
    Literal: _Writer.literal,
    Logical: _Writer.logical,
    MatchNumber: _Writer.match_number,
    Navigate: _Writer.navigate,
    Unary: _Writer.unary,
}
_FIELDS = {kind: tuple(field.name for field in fields(kind)) for kind in _WRITERS}


def _binding(e: Expression) -> int:
    if isinstance(e, Logical):
        return OR if e.operator == "or" else AND
    if isinstance(e, Unary):
        return NOT if e.operator == "not" else SIGN
    if isinstance(e, Binary):
        return ARITHMETIC.get(e.operator, PREDICATE)
    if isinstance(e, (IsNull, IsDistinct, Between, In, Like)):
        return PREDICATE
    if isinstance(e, Call) and e.name == "concat" and len(e.arguments) > 1:
        return CONCAT
    if isinstance(e, Call) and e.name in ("subscript", "at_timezone") and len(e.arguments) == 2:
        return POSTFIX
    if _is_number(e) and literal_text(e)[0] == "-":
        return SIGN
    return ATOM


def _is_number(e: Expression) -> TypeGuard[Literal]:
    return isinstance(e, Literal) and e.type is None and type(e.value) in (int, float)


def _is_field(e: Expression) -> TypeGuard[Literal]:
    """Whether EXTRACT can name it without quotes."""
    return (
        isinstance(e, Literal)
        and isinstance(e.value, str)
        and e.value.isidentifier()
        and e.value.isascii()
        and e.value == e.value.lower()
    )


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def literal_text(e: Literal) -> str:
    """A constant as SQL would write it."""
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
    if e.type == "months":
        return f"INTERVAL '{value}' MONTH"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    if isinstance(value, float) and not isfinite(value):
        return f"DOUBLE '{'NaN' if value != value else 'Infinity' if value > 0 else '-Infinity'}'"
    return repr(value)


def interval_seconds(ns: int) -> str:
    """Nanoseconds as a decimal number of seconds."""
    whole, fraction = divmod(abs(ns), 10**9)
    text = f"{whole}.{fraction:09}".rstrip("0") if fraction else str(whole)
    return f"-{text}" if ns < 0 else text
