"""Lists in definitions: carried through the kernel's programs as bytes, so that they can be compared.

The kernel has no lists. What a definition can do with ARRAY_AGG is to compare it (=, <>, IN, IS DISTINCT FROM) with an
array of constants or another ARRAY_AGG, to ask whether it is NULL, and how many elements it has. For the first the
list is a value of type binary: for each element a tag (NULL, number, text) and, behind it, 8 bytes of a number in
one register type, or a text's size and its bytes (registers.pxd). The elements of both sides are brought into one
type before, those of ARRAY_AGG by the tree that is its argument. The last is a count of the same rows.

What else a function does with a list is computed by the library, for whole columns, so it cannot stand here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import pyarrow as pa

from tocsin.compile.functions import Functions
from tocsin.compile.ir import Leaf, Node, kernel_kind
from tocsin.compile.navigation import Leaves
from tocsin.compile.operations import is_list
from tocsin.compile.trees import leaf_of, rebuild, walk

TAG_NULL, TAG_WORD, TAG_TEXT = b"\x00", b"\x01", b"\x02"
_WORDS = {"i64": "q", "bool": "q", "u64": "Q", "f64": "d"}


class DefinedLists:
    """Takes the lists out of a definition; `leaves` are those that its "leaf" nodes number."""

    __slots__ = ("functions", "leaves", "nodes", "operations")

    def __init__(self, functions: Functions, leaves: Leaves) -> None:
        self.functions = functions
        self.operations = functions.operations
        self.nodes = functions.operations.nodes
        self.leaves = leaves

    def lowered(self, node: Node) -> Node:
        """`node` without lists, as far as they are ARRAY_AGG. Raises PatternError for what it cannot do with one."""
        return rebuild(node, self.nodes, self._changed)

    def _changed(self, part: Node) -> Node | None:
        if part.op != "call" or not any(is_list(a.type) for a in part.args):
            return None
        if not any(p.op == "leaf" and self._is_list_leaf(p) for p in walk(part)):
            return None  # lists of columns: of one row, so a function of them is a column too
        name, *options = cast(tuple[str, ...], part.attr)
        if name == "same_list":
            left, right = self._carried(part.args)
            real = kernel_kind(left.type.value_type) == "f64"
            made = (self._bytes(left), self._bytes(right))
            return self.nodes.make("lists", pa.bool_(), made, (options[0], real), part.span)
        if name in ("is_null", "is_not_null"):
            value = self._bytes(part.args[0])
            return self.operations.null_test(value, name == "is_not_null", part.span)
        if name == "cardinality" and part.args[0].op == "leaf":
            return self._cardinality(part)
        shown = {"element": "one element", "within": "one element", "array": "ARRAY[…]"}.get(
            name, name.upper()
        )
        raise self.operations.error(
            f"{shown} of ARRAY_AGG is not supported in DEFINE: there it can be compared with an array of constants or "
            "another ARRAY_AGG, and counted with CARDINALITY",
            part.span,
        )

    def _is_list_leaf(self, node: Node) -> bool:
        return self.leaves.list[leaf_of(node)].kind == "array_agg"

    def _cardinality(self, part: Node) -> Node:
        leaf = self.leaves.list[leaf_of(part.args[0])]
        rows = replace(leaf, kind="count_rows", column=-1, type=pa.int64(), arguments=())
        count = self.leaves.node(rows, self.nodes, part.span)
        none = self.operations.compare(
            "eq", count, self.operations.const(pa.int64(), 0, part.span), part.span
        )
        return self.functions.choose(
            none, self.operations.const(pa.int64(), None, part.span), count, part.span
        )

    # Two lists in one type -------------------------------------------------------------------------------

    def _carried(self, lists: tuple[Node, ...]) -> list[Node]:
        """The lists with elements of one type."""
        own = [list(self._elements(node)) for node in lists]
        found = iter(
            self.functions.unified([e for elements in own for e in elements], "a comparison", lists[0].span)
        )
        return [self._with_elements(node, found) for node in lists]

    def _elements(self, node: Node) -> Iterator[Node]:
        """What the elements of a list are computed from."""
        if node.op == "leaf" and self._is_list_leaf(node):
            leaf = self.leaves.list[leaf_of(node)]
            inner = node.type.value_type
            yield (
                leaf.arguments[0]
                if leaf.arguments
                else self.nodes.make("column", inner, (), (leaf.column, 0), node.span)
            )
        elif node.op == "call" and node.attr == ("array",) and all(a.op == "const" for a in node.args):
            yield from node.args
        elif node.op == "call" and node.attr == ("if",):
            yield from self._elements(node.args[1])
            yield from self._elements(node.args[2])
        elif not (node.op == "const" and node.attr is None):
            raise self.operations.error(
                "ARRAY_AGG is compared here with what is neither an array of constants nor another ARRAY_AGG, which is "
                "not supported in DEFINE",
                node.span,
            )

    def _with_elements(self, node: Node, found: Iterator[Node]) -> Node:
        """`node` with the next of `found` for its elements."""
        if node.op == "leaf":
            leaf = self.leaves.list[leaf_of(node)]
            element = next(found)
            type = pa.list_(element.type)
            if element.op == "column":
                return self.leaves.node(replace(leaf, type=type), self.nodes, node.span)
            changed = replace(leaf, type=type, column=-1, arguments=(element,))
            return self.leaves.node(changed, self.nodes, node.span)
        if node.op == "const":
            return node
        if node.attr == ("if",):
            yes, no = self._with_elements(node.args[1], found), self._with_elements(node.args[2], found)
            return self.nodes.make("call", yes.type, (node.args[0], yes, no), node.attr, node.span)
        elements = tuple(next(found) for _ in node.args)
        return self.nodes.make("call", pa.list_(elements[0].type), elements, node.attr, node.span)

    # A list as bytes -------------------------------------------------------------------------------------

    def _bytes(self, node: Node) -> Node:
        """The list as a value of type binary."""
        if node.op == "const":
            return self.operations.const(pa.binary(), None, node.span)
        if node.op == "leaf" and self._is_list_leaf(node):
            leaf: Leaf = replace(self.leaves.list[leaf_of(node)], type=pa.binary())
            return self.leaves.node(leaf, self.nodes, node.span)
        if node.op == "call" and node.attr == ("if",):
            test = self.lowered(node.args[0])
            return self.functions.choose(
                test, self._bytes(node.args[1]), self._bytes(node.args[2]), node.span
            )
        if node.op == "call" and node.attr == ("array",) and all(a.op == "const" for a in node.args):
            for element in node.args:
                self.operations.in_range(element)
            data = b"".join(serialised(element) for element in node.args)
            return self.operations.const(pa.binary(), data, node.span)
        raise self.operations.error("this list cannot stand beside ARRAY_AGG in DEFINE", node.span)


def serialised(element: Node) -> bytes:
    """A constant as an element of a list: what the kernel makes of a value of the same type.

    >>> serialised(Node("const", pa.string(), (), "B"))
    b'\\x02\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00B'
    """
    value = element.attr
    if value is None:
        return TAG_NULL
    if isinstance(value, (str, bytes)):
        data = value.encode() if isinstance(value, str) else value
        return TAG_TEXT + struct.pack("=q", len(data)) + data
    return TAG_WORD + struct.pack("=" + _WORDS[cast(str, kernel_kind(element.type))], value)
