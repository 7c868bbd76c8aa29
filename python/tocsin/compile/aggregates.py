"""Aggregates: what there is, of what it can be, and the leaf it becomes.

An aggregate is one leaf: its function, the rows (variables) and its argument, a column or trees over the columns of
one row. COUNT of what is never NULL counts rows. With ONE ROW PER MATCH the AVG of a column is SUM over COUNT, two
leaves that other measures may share; elsewhere it is a leaf of its own. GEOMETRIC_MEAN(x) is EXP(AVG(LN(x))).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal as Choice

import pyarrow as pa

from tocsin.compile.derive import Derivations
from tocsin.compile.functions import Functions
from tocsin.compile.ir import CLASSIFIER, MATCH_NUMBER, Leaf, Node, kernel_kind
from tocsin.compile.navigation import Reads, Where
from tocsin.compile.operations import Operations, category
from tocsin.language.expression import Aggregate, Column, Expression
from tocsin.language.source import listed


@dataclass(frozen=True, slots=True)
class Function:
    """An aggregate function: the leaf's kind, how many arguments, what they can be, and the result's type.

    `takes`, of the argument that is computed with (for min_by and max_by the second): any value, a number, a number or
    duration, or a condition. `gives`: int64 or float64; same, the first argument's type; sum, the type that sums
    of it have; list, of it.
    """

    kind: str
    arguments: int
    takes: Choice["any", "number", "summable", "condition"]
    gives: Choice["int64", "float64", "same", "sum", "list"]


FUNCTIONS = {
    "count": Function("count", 1, "any", "int64"),
    "count_if": Function("count_if", 1, "condition", "int64"),
    "sum": Function("sum", 1, "summable", "sum"),
    "avg": Function("avg", 1, "number", "float64"),
    "min": Function("min", 1, "any", "same"),
    "max": Function("max", 1, "any", "same"),
    "geometric_mean": Function("avg", 1, "number", "float64"),
    "stddev": Function("stddev_samp", 1, "number", "float64"),
    "stddev_samp": Function("stddev_samp", 1, "number", "float64"),
    "stddev_pop": Function("stddev_pop", 1, "number", "float64"),
    "variance": Function("var_samp", 1, "number", "float64"),
    "var_samp": Function("var_samp", 1, "number", "float64"),
    "var_pop": Function("var_pop", 1, "number", "float64"),
    "any_value": Function("any_value", 1, "any", "same"),
    "arbitrary": Function("any_value", 1, "any", "same"),
    "array_agg": Function("array_agg", 1, "any", "list"),
    "min_by": Function("min_by", 2, "any", "same"),
    "max_by": Function("max_by", 2, "any", "same"),
    "bool_and": Function("bool_and", 1, "condition", "same"),
    "every": Function("bool_and", 1, "condition", "same"),
    "bool_or": Function("bool_or", 1, "condition", "same"),
}


class Aggregates:
    """Makes the leaf of an aggregate; `lower` turns an argument into a node."""

    __slots__ = ("derivations", "functions", "lower", "operations", "reads")

    def __init__(
        self,
        reads: Reads,
        operations: Operations,
        derivations: Derivations,
        functions: Functions,
        lower: Callable[[Expression, Where], Node],
    ) -> None:
        self.reads = reads
        self.operations = operations
        self.derivations = derivations
        self.functions = functions
        self.lower = lower

    def node(self, e: Aggregate, where: Where) -> Node:
        """The value of an aggregate. Raises PatternError at its place."""
        name = e.function.upper()
        reads = self.reads
        reads.pattern_needed(name, where, e.span)
        if where.aggregate is not None:
            raise reads.error(f"{name} inside {where.aggregate}: aggregates do not nest", e.span)
        final = reads.is_final(e.semantics, name, where, e.span)
        function = FUNCTIONS.get(e.function)
        if function is None:
            raise reads.error(
                f"there is no aggregate {name}: there are {listed([f.upper() for f in FUNCTIONS], 40)}",
                e.span,
            )
        if e.argument is None:
            if e.function != "count":
                raise reads.error(f"{name} takes a value: only COUNT takes all rows, with *", e.span)
            mask = reads.mask(e.variable, where, e.span)
            return self._leaf(Leaf("count_rows", mask, -1, 0, pa.int64(), final=final), where, e)
        arguments = (e.argument, *e.more)
        if len(arguments) != function.arguments:
            wanted = "one argument" if function.arguments == 1 else f"{function.arguments} arguments"
            raise reads.error(f"{name} takes {wanted}, not {len(arguments)}", e.span)
        mask = reads.mask(reads.one_variable(arguments, name), where, e.span)
        names = reads.variables.names
        labels = tuple(names[v] for v in range(len(names)) if mask >> v & 1)
        nodes = [self._argument(argument, name, where, labels) for argument in arguments]
        if e.function == "count" and nodes[0].op == "const" and nodes[0].attr is None:
            return self.operations.const(pa.int64(), 0, e.span)
        if e.function == "count" and _never_null(nodes[0]):
            return self._leaf(Leaf("count_rows", mask, -1, 0, pa.int64(), final=final), where, e)
        for node, argument in zip(nodes, arguments, strict=True):
            self._check(function, name, node, argument, node is nodes[-1])
        value = nodes[0]
        if e.function == "geometric_mean":
            value = self.derivations.pull(self.functions.call("ln", [value], e.span), None)
            leaf = Leaf("avg", mask, -1, 0, pa.float64(), final=final, arguments=(value,))
            return self.functions.call("exp", [self._leaf(leaf, where, e)], e.span)
        leaf = Leaf(function.kind, mask, -1, 0, _result(function, value), final=final)
        if len(nodes) > 1:
            return self._leaf(replace(leaf, arguments=tuple(nodes)), where, e)
        if value.op != "column":
            return self._leaf(replace(leaf, arguments=(value,)), where, e)
        assert isinstance(value.attr, tuple)
        leaf = replace(leaf, column=value.attr[0])
        if function.kind == "avg" and where.mode == "measure" and reads.rows == "one":
            # NULL without values: the sum is NULL, and with it the quotient.
            total = self._leaf(replace(leaf, kind="sum"), where, e)
            count = self._leaf(replace(leaf, kind="count", type=pa.int64()), where, e)
            return self.operations.arithmetic("div", total, self.operations.widened(count), e.span)
        return self._leaf(leaf, where, e)

    def _argument(self, argument: Expression, name: str, where: Where, labels: tuple[str, ...]) -> Node:
        node = self.lower(argument, Where(where.mode, where.title, where.variable, aggregate=name))
        return self.derivations.pull(self.operations.in_range(node), None, labels=labels)

    def _check(self, function: Function, name: str, node: Node, argument: Expression, computed: bool) -> None:
        error = self.reads.error
        if pa.types.is_null(node.type):
            if isinstance(argument, Column):
                raise error(
                    f"{name} of the column '{argument.name}', which has no type and only NULLs", argument.span
                )
            raise error(f"{name} of NULL, which has no type", argument.span)
        if kernel_kind(node.type) is None:
            raise error(f"{name} of {node.type} is not supported", argument.span)
        if not computed:
            return
        kind = category(node.type)
        if function.takes == "condition" and kind != "boolean":
            raise error(f"{name} takes a condition, and this is {node.type}", argument.span)
        if function.takes in ("number", "summable") and not (
            kind == "number" or (kind == "duration" and function.takes == "summable")
        ):
            hint = ": SUM and COUNT of it give the same" if (kind, name) == ("duration", "AVG") else ""
            raise error(f"{name} of {node.type} is not supported{hint}", argument.span)

    def _leaf(self, leaf: Leaf, where: Where, e: Aggregate) -> Node:
        if where.mode == "define":
            leaf = replace(leaf, final=True, current=self.reads.is_of(where.variable, leaf.variables))
        return self.reads.leaf(leaf, where, e.span)


def _never_null(node: Node) -> bool:
    if node.op == "column":
        return node.attr in ((CLASSIFIER, 0), (MATCH_NUMBER, 0))
    return node.op == "const" and node.attr is not None


def _result(function: Function, value: Node) -> pa.DataType:
    if function.gives == "int64":
        return pa.int64()
    if function.gives == "float64":
        return pa.float64()
    if function.gives == "list":
        return pa.list_(value.type)
    if function.gives == "sum" and category(value.type) == "number":
        return {"i64": pa.int64(), "u64": pa.uint64(), "f64": pa.float64()}[str(kernel_kind(value.type))]
    return value.type
