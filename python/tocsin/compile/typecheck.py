"""Type check: expression trees -> IR, for conditions, definitions and measures.

A condition (of a trigger) and a DEFINE read one row, and rows a fixed number before it through PREV, which is
pushed down to the columns: PREV(a + b, 2) reads both two rows back. In DEFINE of v, `x` and `v.x` are the row
itself, since the last row of the match so far, and of v, is the one in question.

A measure reads the finished match through leaves (tocsin.compile.ir.Leaf): a bare column is LAST over the
whole match, `v.x` LAST over the rows of v, FIRST and LAST of an expression are pushed down to its columns.
Equal leaves are one.

Everything wrong raises PatternError at its place; the operations' own rules are in operations.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal as Choice

import pyarrow as pa

from tocsin.compile.ir import Leaf, Node, Nodes, kernel_kind, value_type
from tocsin.compile.operations import Operations, category, is_null, type_name
from tocsin.compile.scope import Columns
from tocsin.errors import PatternError
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
from tocsin.language.source import Span, listed, nearest
from tocsin.sql.clause import Definition, MeasureItem

_ARITHMETIC = {"+": "add", "-": "sub", "*": "mul", "/": "div", "%": "mod"}
_COMPARISON = {"=": "eq", "<>": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}


@dataclass(frozen=True, slots=True)
class _Where:
    """Where an expression stands, and what its columns mean there.

    `mode`: "condition" (no pattern), "define" (of `variable`), "measure". `lag`: rows back, of the PREVs
    around. `kind` and `offset`: the FIRST or LAST around, in a measure.
    """

    mode: Choice["condition", "define", "measure"]
    variable: str | None = None
    lag: int = 0
    kind: Choice["first", "last"] | None = None
    offset: int = 0


class TypeCheck:
    """Checks the expressions of one clause; `leaves` collects what its measures read."""

    __slots__ = ("_leaf_numbers", "columns", "leaves", "nodes", "operations", "schema", "source", "variables")

    def __init__(self, columns: Columns, variables: tuple[str, ...] = ()) -> None:
        self.columns = columns
        self.schema: pa.Schema = columns.schema
        self.source = columns.source
        self.variables = variables
        self.nodes = Nodes()
        self.operations = Operations(self.nodes, self.source)
        self.leaves: list[Leaf] = []
        self._leaf_numbers: dict[Leaf, int] = {}

    def condition(self, expression: Expression) -> Node:
        """A condition over single rows, without a pattern."""
        return self._boolean(self._lower(expression, _Where("condition")), expression.span, "a condition")

    def definition(self, definition: Definition) -> Node:
        """The condition of a pattern variable."""
        node = self._lower(definition.condition, _Where("define", definition.variable))
        return self._boolean(node, definition.condition.span, f"DEFINE {definition.variable}")

    def measure(self, item: MeasureItem) -> Node:
        """The value of one output column."""
        node = self._lower(item.expression, _Where("measure"))
        if pa.types.is_null(node.type):
            raise self._error(
                f"the measure '{item.name}' is always NULL and has no type", item.expression.span
            )
        return self.operations.in_range(node)

    def _error(self, message: str, span: Span) -> PatternError:
        return self.source.error(message, span)

    def _boolean(self, node: Node, span: Span, what: str) -> Node:
        """`node` if it is a condition; an untyped NULL is one, an unknown."""
        if is_null(node):
            return self.operations.boolean(None, span)
        if not pa.types.is_boolean(node.type):
            raise self._error(f"{what} has to be true or false, and this is {type_name(node)}", span)
        return node

    def _lower(self, e: Expression, where: _Where) -> Node:
        if isinstance(e, Column):
            return self._column(e, where)
        if isinstance(e, Literal):
            return self._literal(e)
        if isinstance(e, Binary):
            left, right = self._lower(e.left, where), self._lower(e.right, where)
            if e.operator in _ARITHMETIC:
                return self.operations.arithmetic(_ARITHMETIC[e.operator], left, right, e.span)
            return self.operations.compare(_COMPARISON[e.operator], left, right, e.span)
        if isinstance(e, Logical):
            word = e.operator.upper()
            operands = [
                self._boolean(self._lower(o, where), o.span, f"each side of {word}") for o in e.operands
            ]
            return self.operations.junction(e.operator, operands, e.span)
        if isinstance(e, Unary):
            operand = self._lower(e.operand, where)
            if e.operator == "not":
                return self.operations.negation(
                    self._boolean(operand, e.operand.span, "the operand of NOT"), e.span
                )
            return self.operations.negative(operand, e.span)
        if isinstance(e, IsNull):
            return self.operations.null_test(self._lower(e.operand, where), e.negated, e.span)
        if isinstance(e, Between):
            return self._between(e, where)
        if isinstance(e, In):
            return self._in(e, where)
        if isinstance(e, Navigate):
            return self._navigate(e, where)
        return self._of_match(e, where)

    def _between(self, e: Between, where: _Where) -> Node:
        operand = self._lower(e.operand, where)
        low = self.operations.compare("ge", operand, self._lower(e.low, where), e.span)
        high = self.operations.compare("le", operand, self._lower(e.high, where), e.span)
        both = self.operations.junction("and", [low, high], e.span)
        return self.operations.negation(both, e.span) if e.negated else both

    def _in(self, e: In, where: _Where) -> Node:
        if not e.values:
            raise self._error("IN needs at least one value", e.span)
        operand = self._lower(e.operand, where)
        values = [self._lower(value, where) for value in e.values]
        node = self.operations.membership(operand, values, e.span)
        return self.operations.negation(node, e.span) if e.negated else node

    def _literal(self, e: Literal) -> Node:
        value = e.value
        if e.type is not None:
            type = {
                "date": pa.date32(),
                "time": pa.time64("ns"),
                "timestamp": pa.timestamp("ns"),
                "instant": pa.timestamp("ns", "UTC"),
                "interval": pa.duration("ns"),
            }[e.type]
        elif value is None:
            type = pa.null()
        elif isinstance(value, bool):
            type = pa.bool_()
        elif isinstance(value, int):
            type = pa.int64() if -(2**63) <= value < 2**63 else pa.uint64()
        else:
            type = {float: pa.float64(), str: pa.string(), bytes: pa.binary()}[builtin(value)]
        return self.operations.const(type, value, e.span)

    # Columns ---------------------------------------------------------------------------------------------

    def _column(self, e: Column, where: _Where) -> Node:
        if e.variable is not None:
            self._check_variable(e.variable, e, where)
        index = self._readable(e)
        type = value_type(self.schema.field(index).type)
        if pa.types.is_null(type):
            return self.operations.const(type, None, e.span)
        if where.mode == "measure":
            return self._leaf(
                Leaf(where.kind or "last", self._mask(e.variable), index, where.offset, type), e.span
            )
        return self.nodes.make("column", type, (), (index, where.lag), e.span)

    def _readable(self, e: Column) -> int:
        index = self.columns.find(e, self.variables)
        type = self.schema.field(index).type
        if kernel_kind(type) is None and not pa.types.is_null(type):
            name = self.schema.field(index).name
            raise self._error(
                f"the column '{name}' of type {type} cannot be read in an expression: convert it before "
                "the match",
                e.span,
            )
        return index

    def _check_variable(self, variable: str, e: Expression, where: _Where) -> None:
        if where.mode == "condition":
            raise self._error(
                f"a condition has no pattern variables, so '{variable}.' means nothing here", e.span
            )
        if variable not in self.variables:
            guess = nearest(variable, list(self.variables))
            meant = f"did you mean '{guess}'? " if guess else ""
            raise self._error(
                f"'{variable}' is no variable of PATTERN: {meant}Its variables are "
                f"{listed(list(self.variables))}",
                e.span,
            )
        if where.mode == "define" and variable != where.variable:
            raise self._error(
                f"a reference to another variable in DEFINE is not supported yet: DEFINE {where.variable} "
                f"reads '{variable}'; it can read its own row and PREV",
                e.span,
            )

    def _mask(self, variable: str | None) -> int:
        if variable is None:
            return (1 << len(self.variables)) - 1
        return 1 << self.variables.index(variable)

    def _leaf(self, leaf: Leaf, span: Span) -> Node:
        number = self._leaf_numbers.setdefault(leaf, len(self.leaves))
        if number == len(self.leaves):
            self.leaves.append(leaf)
        return self.nodes.make("leaf", leaf.type, (), number, span)

    # Navigation ------------------------------------------------------------------------------------------

    def _navigate(self, e: Navigate, where: _Where) -> Node:
        name = e.kind.upper()
        if e.kind == "next":
            raise self._error(
                "NEXT is not supported yet: a row would have to wait for the one after it; PREV reads back",
                e.span,
            )
        if where.mode != "measure" and e.kind in ("first", "last"):
            place = "DEFINE" if where.mode == "define" else "a condition"
            raise self._error(
                f"{name} in {place} is not supported yet: PREV and the row's own columns are", e.span
            )
        if where.mode == "measure" and e.kind == "prev":
            raise self._error("PREV in MEASURES is not supported yet: FIRST and LAST are", e.span)
        if where.mode == "condition":
            raise self._error("PREV needs a pattern: a condition reads one row by itself", e.span)
        if not any(isinstance(part, Column) for part in _walk(e.argument)):
            inner = next((p for p in _walk(e.argument) if isinstance(p, (Classifier, MatchNumber))), None)
            if isinstance(inner, Classifier):
                raise self._error(f"CLASSIFIER inside {name} is not supported yet", inner.span)
            raise self._error(f"{name} needs a column in its argument", e.span)
        if e.kind == "prev":
            lag = where.lag + e.offset
            if lag >= 2**31:
                raise self._error("PREV reaches back more rows than can be counted", e.span)
            return self._lower(e.argument, _Where(where.mode, where.variable, lag))
        if where.kind is not None:
            raise self._error(
                f"{name} inside {where.kind.upper()} means nothing: FIRST and LAST do not nest", e.span
            )
        self._one_variable(e.argument, name)
        kind: Choice["first", "last"] = "first" if e.kind == "first" else "last"
        return self._lower(e.argument, _Where("measure", None, 0, kind, e.offset))

    def _one_variable(self, argument: Expression, name: str) -> None:
        """The standard's rule: all columns in one argument are of the same variable, or none has one."""
        columns = [part for part in _walk(argument) if isinstance(part, Column)]
        for column in columns[1:]:
            if column.variable != columns[0].variable:
                said = [
                    f"'{c.variable}'" if c.variable is not None else "no variable"
                    for c in (columns[0], column)
                ]
                raise self._error(
                    f"the argument of {name} mixes columns of {said[0]} and of {said[1]}; they must be of "
                    "one",
                    column.span,
                )

    # Values of the whole match ---------------------------------------------------------------------------

    def _of_match(self, e: Expression, where: _Where) -> Node:
        name = (
            e.function.upper()
            if isinstance(e, Aggregate)
            else "CLASSIFIER"
            if isinstance(e, Classifier)
            else "MATCH_NUMBER"
        )
        if where.mode == "condition":
            raise self._error(f"{name} needs a pattern: a condition reads one row by itself", e.span)
        if where.mode == "define":
            raise self._error(
                f"{name} in DEFINE is not supported yet: PREV and the row's own columns are", e.span
            )
        if where.kind is not None:
            raise self._error(f"{name} inside {where.kind.upper()} is not supported", e.span)
        if isinstance(e, Aggregate):
            return self._aggregate(e, where)
        if isinstance(e, Classifier):
            if e.variable is not None:
                self._check_variable(e.variable, e, where)
            return self._leaf(Leaf("classifier", self._mask(e.variable), -1, 0, pa.string()), e.span)
        return self._leaf(Leaf("match_number", self._mask(None), -1, 0, pa.int64()), e.span)

    def _aggregate(self, e: Aggregate, where: _Where) -> Node:
        name = e.function.upper()
        argument = e.argument
        if argument is None:
            if e.variable is not None:
                self._check_variable(e.variable, e, where)
            return self._leaf(Leaf("count_rows", self._mask(e.variable), -1, 0, pa.int64()), e.span)
        if isinstance(argument, Literal) and e.function == "count" and argument.value is not None:
            return self._leaf(Leaf("count_rows", self._mask(None), -1, 0, pa.int64()), e.span)
        if not isinstance(argument, Column):
            for part in _walk(argument):
                if isinstance(part, Aggregate):
                    raise self._error(
                        f"{part.function.upper()} inside {name}: aggregates do not nest", part.span
                    )
            self._one_variable(argument, name)
            raise self._error(
                f"{name} of an expression is not supported yet: compute it as a column before the match",
                argument.span,
            )
        if argument.variable is not None:
            self._check_variable(argument.variable, argument, where)
        index = self._readable(argument)
        type = value_type(self.schema.field(index).type)
        mask = self._mask(argument.variable)
        if pa.types.is_null(type):
            raise self._error(
                f"{name} of the column '{argument.name}', which has no type and only NULLs", argument.span
            )
        if e.function == "count":
            return self._leaf(Leaf("count", mask, index, 0, pa.int64()), e.span)
        if e.function in ("min", "max"):
            return self._leaf(Leaf("min" if e.function == "min" else "max", mask, index, 0, type), e.span)
        kind = category(type)
        if kind != "number" and not (kind == "duration" and e.function == "sum"):
            hint = " yet: SUM and COUNT of it give the same" if kind == "duration" else ""
            raise self._error(f"{name} of {type} is not supported{hint}", e.span)
        if e.function == "avg":
            # NULL without values: the sum is NULL, and with it the quotient.
            total = self._leaf(Leaf("sum", mask, index, 0, pa.float64()), e.span)
            count = self._leaf(Leaf("count", mask, index, 0, pa.int64()), e.span)
            return self.operations.arithmetic("div", total, self.operations.widened(count), e.span)
        if kind == "number":
            type = {"i64": pa.int64(), "u64": pa.uint64(), "f64": pa.float64()}[str(kernel_kind(type))]
        return self._leaf(Leaf("sum", mask, index, 0, type), e.span)


def builtin(value: object) -> type:
    """The plain class of a literal's value."""
    for plain in (float, str, bytes):
        if isinstance(value, plain):
            return plain
    raise TypeError(f"{value!r} cannot be a literal")


def _walk(e: Expression) -> Iterator[Expression]:
    """`e` and all below it, parents first."""
    stack = [e]
    while stack:
        part = stack.pop()
        yield part
        stack.extend(reversed(part.children()))
