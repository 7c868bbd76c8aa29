"""Type check: expression trees -> IR, for conditions, keys, definitions and measures.

What can be computed with what is in operations.py and functions.py, which row a column is read from in
navigation.py, aggregates in aggregates.py; here the walk over the tree holds them together.

A definition is taken apart: it is an AND, and those of its sides that read only their row and rows before it at fixed
distances (PREV) are its *condition*, computed for whole batches; the others, which read the match so far or rows
to come, are its *rest*. An integer division and a cast that may fail go with the rest, if there is one: what keeps
them from failing may be in there.

Everything wrong raises PatternError at its place.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal as Choice

import pyarrow as pa

from tocsin.compile.aggregates import Aggregates
from tocsin.compile.derive import Derivations
from tocsin.compile.functions import Functions
from tocsin.compile.ir import Node, Nodes, kernel_kind
from tocsin.compile.lists import DefinedLists
from tocsin.compile.navigation import Reads, Where
from tocsin.compile.operations import Operations, is_null, type_name
from tocsin.compile.scope import Columns, Variables
from tocsin.compile.trees import column_of, conjuncts, walk
from tocsin.errors import PatternError
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
from tocsin.language.source import Span
from tocsin.sql.clause import Definition, MeasureItem

_ARITHMETIC = {"+": "add", "-": "sub", "*": "mul", "/": "div", "%": "mod"}
_COMPARISON = {"=": "eq", "<>": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
_LITERALS = {
    "date": pa.date32(),
    "time": pa.time64("ns"),
    "timestamp": pa.timestamp("ns"),
    "instant": pa.timestamp("ns", "UTC"),
    "interval": pa.duration("ns"),
    "months": pa.month_day_nano_interval(),
}


class TypeCheck:
    """Checks the expressions of one clause or condition; `reads` and `derivations` collect what they read."""

    __slots__ = ("aggregates", "derivations", "functions", "nodes", "operations", "reads", "rows", "source")

    def __init__(
        self, columns: Columns, variables: Variables | None = None, rows: Choice["one", "all"] = "one"
    ) -> None:
        self.source = columns.source
        self.rows = rows
        self.nodes = Nodes()
        self.operations = Operations(self.nodes, self.source)
        self.functions = Functions(self.operations)
        self.derivations = Derivations(columns.schema, self.nodes, self.source)
        self.reads = Reads(columns, variables or Variables(), self.nodes, rows)
        self.aggregates = Aggregates(
            self.reads, self.operations, self.derivations, self.functions, self._lower
        )

    def condition(self, expression: Expression) -> Node:
        """A condition over single rows, without a pattern. It may have "call" nodes in it."""
        node = self._lower(expression, Where("condition", "a condition"))
        return self._boolean(node, expression.span, "a condition")

    def key(self, expression: Expression, title: str) -> Node:
        """A key of PARTITION BY or ORDER BY, computed from one row. It may have "call" nodes in it."""
        return self.operations.in_range(self._lower(expression, Where("key", title)))

    def definition(self, definition: Definition) -> tuple[Node | None, Node | None]:
        """The condition and the rest of a pattern variable; None for what is true of every row."""
        title = f"DEFINE {definition.variable}"
        number = self.reads.variables.defined(definition.variable, definition.span)
        node = self._lower(definition.condition, Where("define", title, number))
        node = self._boolean(node, definition.condition.span, title)
        if node.op == "const" and node.attr is True:
            return None, None
        node = DefinedLists(self.functions, self.reads.defined).lowered(node)
        node = self.derivations.pull(node, self.reads.defined)
        parts = conjuncts(node)
        of_row = [part for part in parts if _is_of_row(part)]
        if len(of_row) == len(parts):
            return node, None
        of_row = [part for part in of_row if not _may_fail(part)]
        if not of_row:
            return None, node
        held = set(map(id, of_row))
        rest = [part for part in parts if id(part) not in held]
        return (
            self.operations.junction("and", of_row, node.span),
            self.operations.junction("and", rest, node.span),
        )

    def measure(self, item: MeasureItem) -> Node:
        """The value of one output column. It may have "call" nodes in it, over leaves that the kernel can hold."""
        where = Where("measure", "MEASURES", final=self.rows == "one")
        node = self._lower(item.expression, where)
        if pa.types.is_null(node.type):
            raise self._error(
                f"the measure '{item.name}' is always NULL and has no type", item.expression.span
            )
        return self.derivations.pull(self.operations.in_range(node), self.reads.measured, only_needed=True)

    def _error(self, message: str, span: Span) -> PatternError:
        return self.source.error(message, span)

    def _boolean(self, node: Node, span: Span, what: str) -> Node:
        """`node` if it is a condition; an untyped NULL is one, an unknown."""
        if is_null(node):
            return self.operations.boolean(None, span)
        if not pa.types.is_boolean(node.type):
            raise self._error(f"{what} has to be true or false, and this is {type_name(node)}", span)
        return node

    def _lower(self, e: Expression, where: Where) -> Node:
        if isinstance(e, Column):
            return self.reads.column(e, where)
        if isinstance(e, Navigate):
            return self._lower(e.argument, self.reads.inside(e, where))
        if isinstance(e, (Call, Cast)):
            return self._call(e, replace(where, any_type=True))
        if where.any_type:
            where = replace(where, any_type=False)
        if isinstance(e, Literal):
            return self._literal(e)
        if isinstance(e, Binary):
            left, right = self._lower(e.left, where), self._lower(e.right, where)
            if e.operator in _ARITHMETIC:
                return self.operations.arithmetic(_ARITHMETIC[e.operator], left, right, e.span)
            return self.operations.compare(_COMPARISON[e.operator], left, right, e.span)
        if isinstance(e, Logical):
            word = e.operator.upper()
            operands = [self._condition(o, where, f"each side of {word}") for o in e.operands]
            return self.operations.junction(e.operator, operands, e.span)
        if isinstance(e, Unary):
            if e.operator == "not":
                return self.operations.negation(
                    self._condition(e.operand, where, "the operand of NOT"), e.span
                )
            return self.operations.negative(self._lower(e.operand, where), e.span)
        if isinstance(e, IsNull):
            return self.operations.null_test(self._lower(e.operand, where), e.negated, e.span)
        if isinstance(e, Between):
            return self._between(e, where)
        if isinstance(e, In):
            return self._in(e, where)
        if isinstance(e, Case):
            return self._case(e, where)
        if isinstance(e, Like):
            operand, pattern = self._lower(e.operand, where), self._lower(e.pattern, where)
            return self.functions.like(operand, pattern, e.escape, e.negated, e.span)
        if isinstance(e, IsDistinct):
            left, right = self._lower(e.left, where), self._lower(e.right, where)
            return self.functions.distinct(left, right, e.negated, e.span)
        if isinstance(e, Aggregate):
            return self.aggregates.node(e, where)
        if isinstance(e, Classifier):
            return self.reads.classifier(e, where)
        assert isinstance(e, MatchNumber)
        return self.reads.match_number(e, where)

    def _condition(self, e: Expression, where: Where, what: str) -> Node:
        return self._boolean(self._lower(e, where), e.span, what)

    def _between(self, e: Between, where: Where) -> Node:
        operand = self._lower(e.operand, where)
        low = self.operations.compare("ge", operand, self._lower(e.low, where), e.span)
        high = self.operations.compare("le", operand, self._lower(e.high, where), e.span)
        both = self.operations.junction("and", [low, high], e.span)
        return self.operations.negation(both, e.span) if e.negated else both

    def _in(self, e: In, where: Where) -> Node:
        if not e.values:
            raise self._error("IN needs at least one value", e.span)
        operand = self._lower(e.operand, where)
        values = [self._lower(value, where) for value in e.values]
        node = self.operations.membership(operand, values, e.span)
        return self.operations.negation(node, e.span) if e.negated else node

    def _case(self, e: Case, where: Where) -> Node:
        operand = None if e.operand is None else self._lower(e.operand, where)
        if operand is None:
            conditions = [self._condition(c, where, "what stands behind WHEN") for c in e.conditions]
        else:
            conditions = [self._lower(c, where) for c in e.conditions]
        values = [self._lower(value, where) for value in e.values]
        default = None if e.default is None else self._lower(e.default, where)
        return self.functions.case(operand, conditions, values, default, e.span)

    def _call(self, e: Call | Cast, where: Where) -> Node:
        if isinstance(e, Cast):
            return self.functions.cast(self._lower(e.operand, where), e.type, e.attempt, e.span)
        return self.functions.call(e.name, [self._lower(a, where) for a in e.arguments], e.span)

    def _literal(self, e: Literal) -> Node:
        value = e.value
        if e.type is not None:
            type = _LITERALS[e.type]
        elif value is None:
            type = pa.null()
        elif isinstance(value, bool):
            type = pa.bool_()
        elif isinstance(value, int):
            type = pa.int64() if -(2**63) <= value < 2**63 else pa.uint64()
        else:
            type = {float: pa.float64(), str: pa.string(), bytes: pa.binary()}[_builtin(value)]
        return self.operations.const(type, value, e.span)


def _is_of_row(node: Node) -> bool:
    """Whether a condition reads nothing but its row and rows before it at fixed distances."""
    return not any(
        part.op == "leaf" or (part.op == "column" and column_of(part)[1] < 0) for part in walk(node)
    )


def _may_fail(node: Node) -> bool:
    """Whether a condition divides whole numbers by what may be zero, or checks a value (a cast of text, say)."""
    for part in walk(node):
        if part.op in ("div", "mod") and kernel_kind(part.type) != "f64" and part.args[1].op != "const":
            return True
        if part.op == "check" or (part.op == "cast" and part.attr == "check"):
            return True
    return False


def _builtin(value: object) -> type:
    """The plain class of a literal's value."""
    for plain in (float, str, bytes):
        if isinstance(value, plain):
            return plain
    raise TypeError(f"{value!r} cannot be a literal")
