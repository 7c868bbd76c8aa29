"""From typed trees to the expression kernel's flat programs.

One `ProgramBuilder` gathers the trees of one operator: every distinct node becomes one instruction with a
register of its own (nodes are shared by identity, see ir.Nodes), so a sub-expression that two conditions have in
common is computed once per row. Constants stand on the right of comparisons, where the kernel keeps them in a
machine register; string equality and IN on a plain column become one instruction that knows dictionaries.
"""

from __future__ import annotations

from typing import cast

import pyarrow as pa

from tocsin.compile.ir import Node, kernel_kind
from tocsin_core.conditions import Conditions
from tocsin_core.expression import ARITHMETIC, CASTS, COMPARISONS, LISTS, MATH, MATH2, OPS, TYPES, Program
from tocsin_core.row_condition import RowCondition

FLIPPED = {"eq": "eq", "ne": "ne", "lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}
NO_OPERAND = 0


def type_number(type: pa.DataType) -> int:
    """The kernel's register type for values of an Arrow type; NULL without a type is a boolean."""
    kind = kernel_kind(type)
    return TYPES[kind if kind is not None else "bool"]


class ProgramBuilder:
    """Gathers trees; `program()` gives the verified Program, `sources` what its inputs are.

    A source is what the attribute of a "column" or "leaf" node says: (column, lag) or a leaf's number.
    """

    def __init__(self) -> None:
        self.instructions: list[tuple[int, int, int, int, int, int]] = []
        self.registers: list[int] = []
        self.inputs: list[int] = []
        self.sources: list[object] = []
        self.constants: list[tuple[int, object]] = []
        self.sets: list[tuple[int, list[object], bool]] = []
        self.results: list[int] = []
        self._done: dict[int, int] = {}
        self._kept: list[Node] = []  # ids stay unique while the nodes live
        self._input_of: dict[object, int] = {}

    def add(self, node: Node) -> int:
        """Makes `node` a result; returns its number among the results."""
        self.results.append(self._walk(node))
        return len(self.results) - 1

    def program(self) -> Program:
        return Program(
            self.instructions, self.registers, self.inputs, self.constants, self.sets, self.results
        )

    # -- the walk: an explicit stack, because a condition may be a thousand ANDs deep

    def _walk(self, root: Node) -> int:
        stack = [(root, False)]
        while stack:
            node, ready = stack.pop()
            if id(node) in self._done:
                continue
            if ready or not node.args:
                self._done[id(node)] = self._emit(node)
                self._kept.append(node)
            else:
                stack.append((node, True))
                stack.extend((argument, False) for argument in reversed(node.args))
        return self._done[id(root)]

    def _register(self, type_: int) -> int:
        self.registers.append(type_)
        return len(self.registers) - 1

    def _instruction(self, op: str, type_: int, a: int = 0, b: int = 0, sub: int = 0, imm: int = 0) -> int:
        dst = self._register(type_)
        self.instructions.append((OPS[op], sub, dst, a, b, imm))
        return dst

    def _input(self, source: object, type_: int) -> int:
        if source not in self._input_of:
            self._input_of[source] = len(self.inputs)
            self.inputs.append(type_)
            self.sources.append(source)
        return self._input_of[source]

    def _set(self, type_: int, values: tuple[object, ...], has_null: bool) -> int:
        self.sets.append((type_, [_raw(v) for v in values], has_null))
        return len(self.sets) - 1

    def _constant(self, type_: int, value: object) -> int:
        self.constants.append((type_, _raw(value)))
        return self._instruction("const", type_, imm=len(self.constants) - 1)

    def _emit(self, node: Node) -> int:
        op, boolean = node.op, TYPES["bool"]
        type_ = type_number(node.type)
        args = [self._done[id(a)] for a in node.args]
        if op == "const":
            return self._constant(type_, node.attr)
        if op in ("column", "leaf"):
            return self._instruction("load", type_, imm=self._input(node.attr, type_))
        if op in COMPARISONS:
            return self._compare(node, args)
        if op in ARITHMETIC:
            return self._instruction("arithmetic", type_, args[0], args[1], ARITHMETIC[op])
        if op in ("and", "or"):
            return self._instruction(op, boolean, args[0], args[1])
        if op in ("not", "is_null", "is_not_null"):
            return self._instruction(op, boolean, args[0])
        if op == "neg":
            return self._instruction("neg", type_, args[0])
        if op == "in":
            values, has_null = cast(tuple[tuple[object, ...], bool], node.attr)
            return self._in(node.args[0], args[0], values, has_null)
        if op == "cast":
            return self._cast(node, args[0], type_)
        if op == "if":
            return self._instruction("if", type_, args[0], args[1], imm=args[2])
        if op == "math":
            name = cast(str, node.attr)
            if name in MATH:
                return self._instruction("math", type_, args[0], sub=MATH[name])
            return self._instruction("math2", type_, args[0], args[1], sub=MATH2[name])
        if op == "lists":
            way, real = cast(tuple[str, bool], node.attr)
            return self._instruction("lists", boolean, args[0], args[1], LISTS[way], int(real))
        if op == "check":
            self.constants.append((TYPES["str"], cast(str, node.attr).encode()))
            return self._instruction("check", type_, args[0], args[1], imm=len(self.constants) - 1)
        raise AssertionError(f"the kernel has no operation {op!r}")

    def _cast(self, node: Node, source: int, type_: int) -> int:
        if isinstance(node.attr, str):
            return self._instruction("cast", type_, source, sub=CASTS[node.attr], imm=node.type.bit_width)
        if node.attr is not None:  # a coarser unit of time to a finer one
            return self._instruction(
                "arithmetic", type_, source, self._constant(type_, node.attr), ARITHMETIC["mul"]
            )
        if (
            self.registers[source] == type_
        ):  # float32 to float64 and int8 to int64 are one thing to the kernel
            return source
        return self._instruction("cast", type_, source)

    def _compare(self, node: Node, args: list[int]) -> int:
        op, (left, right) = node.op, node.args
        a, b = args
        if op in ("eq", "ne"):
            for column, constant in ((left, right), (right, left)):
                if constant.op == "const" and isinstance(constant.attr, (str, bytes)) and _plain_text(column):
                    found = self._in(column, -1, (constant.attr,), False)
                    return found if op == "eq" else self._instruction("not", TYPES["bool"], found)
        unsigned, signed = TYPES["u64"], TYPES["i64"]
        mixed = (self.registers[a], self.registers[b]) == (signed, unsigned)
        # The unsigned side stands left (the kernel's rule); a constant stands right.
        if mixed or (left.op == "const" and right.op != "const" and self.registers[a] == self.registers[b]):
            a, b, op = b, a, FLIPPED[op]
        return self._instruction("compare", TYPES["bool"], a, b, COMPARISONS[op])

    def _in(self, argument: Node, register: int, values: tuple[object, ...], has_null: bool) -> int:
        type_ = type_number(argument.type)
        number = self._set(type_, values, has_null)
        if _plain_text(argument):
            source = self._input(argument.attr, type_)
            return self._instruction("column_in", TYPES["bool"], source, imm=number)
        return self._instruction("in", TYPES["bool"], register, imm=number)


def _plain_text(node: Node) -> bool:
    return (
        node.op == "column" and kernel_kind(node.type) == "str" and cast(tuple[int, int], node.attr)[1] == 0
    )


def _raw(value: object) -> object:
    return value.encode() if isinstance(value, str) else value


def make_conditions(nodes: tuple[Node, ...]) -> Conditions:
    """The conditions of one operator: a program with one result per condition, and the lags that PREV needs."""
    builder = ProgramBuilder()
    for node in nodes:
        builder.add(node)
    lags: list[tuple[int, int, int]] = []
    outputs: list[tuple[int, int]] = []
    sources: list[tuple[int, int]] = []
    lag_of: dict[int, int] = {}
    for source, type_ in zip(builder.sources, builder.inputs, strict=True):
        column, offset = cast(tuple[int, int], source)
        if offset == 0:
            sources.append((column, -1))
            continue
        number = lag_of.setdefault(column, len(lags))
        if number == len(lags):
            lags.append((column, type_, offset))
        lags[number] = (column, type_, max(lags[number][2], offset))
        sources.append((column, len(outputs)))
        outputs.append((number, offset))
    return Conditions(builder.program(), sources, lags, outputs)


def make_row_condition(node: Node) -> RowCondition:
    """One condition over single rows, without PREV."""
    builder = ProgramBuilder()
    builder.add(node)
    sources = [cast(tuple[int, int], source) for source in builder.sources]
    assert all(lag == 0 for _, lag in sources)  # "a condition" of TypeCheck has no navigation
    return RowCondition(builder.program(), [column for column, _ in sources])
