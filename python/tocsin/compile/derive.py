"""Derive: columns that a library computes of each batch, before the match sees it.

A "call" node is a function that the kernel does not have. Where its value is of one row, it need not be called at
run time: the function of the whole column is a column of its own, a *derived* one, behind those of the schema, and
what is left in the tree is a read of that. Navigation around or inside is the same either way, since it is pushed
down to the columns: LOWER(LAST(A.x)) is LAST of the column LOWER(x), A's. (All functions of the library are NULL
where an argument is NULL, so a row that is not there gives NULL both ways.)

A call over values of several rows, or of the whole match, cannot be a column of the batch, and is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import pyarrow as pa

from tocsin.compile.ir import CLASSIFIER, Leaf, Node, Nodes, kernel_kind
from tocsin.compile.plan import Derived
from tocsin.compile.trees import column_of, leaf_of, rebuild, walk
from tocsin.language.source import Source


class LeafMaker(Protocol):
    """Where the leaves of a tree are: Leaves, of navigation.py."""

    list: list[Leaf]

    def node(self, leaf: Leaf, nodes: Nodes, span: tuple[int, int]) -> Node: ...


class Derivations:
    """The derived columns of one clause or condition over `schema`; equal ones are one.

    >>> from tocsin.compile.clauses import compile_condition
    >>> schema = pa.schema({"x": pa.int64()})
    >>> derivations = Derivations(schema, Nodes(), Source("x > 1"))
    >>> derivations.pull(compile_condition("x > 1", schema), None).op, derivations.schema is schema
    ('gt', True)
    """

    __slots__ = ("_numbers", "derived", "input", "nodes", "source")

    def __init__(self, schema: pa.Schema, nodes: Nodes, source: Source) -> None:
        self.input = schema
        self.nodes = nodes
        self.source = source
        self.derived: list[Derived] = []
        self._numbers: dict[int, int] = {}  # identity of the tree -> its column

    @property
    def schema(self) -> pa.Schema:
        """The input's columns and then the derived ones."""
        if not self.derived:
            return self.input
        fields = [pa.field(d.name, d.node.type, True) for d in self.derived]
        return pa.schema([*self.input, *fields], metadata=self.input.metadata)

    def column(self, node: Node, name: str | None = None) -> int:
        """The number of the column that has the values of `node`, a tree over "column" nodes of lag 0."""
        number = self._numbers.get(id(node))
        if number is None:
            number = len(self.input) + len(self.derived)
            self._numbers[id(node)] = number
            self.derived.append(Derived(name or f"{self._text(node)} #{len(self.derived) + 1}", node))
        return number

    def pull(
        self,
        node: Node,
        leaves: LeafMaker | None,
        *,
        only_needed: bool = False,
        labels: tuple[str, ...] = (),
    ) -> Node:
        """`node` with a read of a derived column in place of each call.

        Args:
            node: a tree over columns, and leaves of `leaves`.
            leaves: what its "leaf" nodes number; None: it has none.
            labels: the variables that a row can be of, where the tree reads CLASSIFIER (an aggregate's argument). A
                call over it is as many columns, one for each name, and a choice among them.
            only_needed: leave a call where it is, unless it reads a column that the kernel cannot.

        Raises:
            PatternError: a call reads several rows.
        """

        def change(part: Node) -> Node | None:
            if part.op != "call" or (only_needed and not self._unreadable(part, leaves)):
                return None
            if labels and any(below.op == "column" and below.attr == (CLASSIFIER, 0) for below in walk(part)):
                return self._chosen(part, labels)
            return self._pulled(part, leaves)

        return rebuild(node, self.nodes, change)

    def _unreadable(self, call: Node, leaves: LeafMaker | None) -> bool:
        """Whether a call reads a column that cannot be captured row by row. What a leaf computes is no column."""
        for part in walk(call):
            if part.op == "leaf" and kernel_kind(part.type) is None:
                assert leaves is not None
                if leaves.list[leaf_of(part)].kind in ("first", "last"):
                    return True
        return False

    def _chosen(self, call: Node, labels: tuple[str, ...]) -> Node:
        """The value of a call over CLASSIFIER, by which of `labels` it is."""
        label = self.nodes.make("column", pa.string(), (), (CLASSIFIER, 0), call.span)
        names = [self.nodes.make("const", pa.string(), (), name, call.span) for name in labels]
        values = [self._pulled(rebuild(call, self.nodes, _replacing(label, name)), None) for name in names]
        value = values[-1]
        for name, other in zip(reversed(names[:-1]), reversed(values[:-1]), strict=True):
            test = self.nodes.make("eq", pa.bool_(), (label, name), None, call.span)
            value = self.nodes.make("if", call.type, (test, other, value), None, call.span)
        return value

    def _pulled(self, call: Node, leaves: LeafMaker | None) -> Node:
        lags: set[int] = set()
        sites: set[Leaf] = set()
        for part in walk(call):
            if part.op == "column":
                column, lag = column_of(part)
                if column < 0:
                    raise self._refused(call, "MATCH_NUMBER")
                lags.add(lag)
            elif part.op == "leaf":
                assert leaves is not None
                leaf = leaves.list[leaf_of(part)]
                if leaf.kind not in ("first", "last") or leaf.column < 0:
                    raise self._refused(call, leaf.kind.upper())
                sites.add(replace(leaf, column=0, type=pa.null()))
        if len(lags) + len(sites) > 1:
            raise self._refused(call, "several rows")

        def at_row(part: Node) -> Node | None:
            if part.op == "column":
                column = column_of(part)[0]
            elif part.op == "leaf":
                assert leaves is not None
                column = leaves.list[leaf_of(part)].column
            else:
                return None
            return self.nodes.make("column", part.type, (), (column, 0), part.span)

        number = self.column(rebuild(call, self.nodes, at_row))
        if sites:
            assert leaves is not None
            leaf = replace(next(iter(sites)), column=number, type=call.type)
            return leaves.node(leaf, self.nodes, call.span)
        lag = next(iter(lags), 0)
        return self.nodes.make("column", call.type, (), (number, lag), call.span)

    def _text(self, node: Node) -> str:
        """The function and the columns it reads, for messages."""
        columns = sorted({column_of(part)[0] for part in walk(node) if part.op == "column"})
        return f"{_function(node)}({', '.join(self.schema.field(c).name for c in columns)})"

    def _refused(self, call: Node, what: str) -> Exception:
        return self.source.error(
            f"{_function(call)} over {what} is not supported here: a function of the library is computed for "
            "whole columns, so its arguments must be of one row; call it on each column, or compute the column "
            "before the match",
            call.span,
        )


def _replacing(old: Node, new: Node) -> Callable[[Node], Node | None]:
    return lambda part: new if part is old else None


def derive(condition: Node, schema: pa.Schema) -> tuple[Node, pa.Schema, tuple[Derived, ...]]:
    """A condition over single rows without its calls, the schema with their columns, and those.

    >>> from tocsin.compile.clauses import compile_condition
    >>> schema = pa.schema({"x": pa.string()})
    >>> condition, wider, derived = derive(compile_condition("LOWER(x) = 'a'", schema), schema)
    >>> condition.args[0].attr, wider.names, derived[0].node.op
    ((1, 0), ['x', 'LOWER(x) #1'], 'call')
    """
    if not any(part.op == "call" for part in walk(condition)):
        return condition, schema, ()
    derivations = Derivations(schema, Nodes(), Source(""))
    condition = derivations.pull(condition, None)
    return condition, derivations.schema, tuple(derivations.derived)


def _function(node: Node) -> str:
    """The name of a call, for messages."""
    name = node.attr[0] if isinstance(node.attr, tuple) and node.attr else node.attr
    return name.upper() if node.op == "call" and isinstance(name, str) else "expression"
