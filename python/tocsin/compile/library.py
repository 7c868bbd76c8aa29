"""The library: the value of any IR tree over columns, for what the kernel cannot read or compute by itself.

A tree is cut at its calls. Each call is one function of pyarrow.compute over whole columns (library_text,
library_time, library_cast); what stands between the calls is one program of the expression kernel, so that an
expression means the same wherever it is computed, down to the last bit.

Faults      a value travels with a mask of the rows in which it has none, and the first such row's exception. A
            program takes up the masks of its calls by "check" and settles them as it does its own: AND, OR and CASE
            hide the fault of what they do not need. Only what reaches the root is raised.
Cost        that of pyarrow's functions, one copy of each argument that is no plain column, and 10 us a program.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tocsin.compile.ir import Node, Nodes, can_fault, is_binary, is_text, value_type
from tocsin.compile.library_cast import CASTS
from tocsin.compile.library_list import LISTS
from tocsin.compile.library_text import TEXTS
from tocsin.compile.library_time import TIMES
from tocsin.compile.program import ProgramBuilder
from tocsin.errors import EvaluationError
from tocsin_core.batch import Batch
from tocsin_core.projection import Projection
from tocsin_core.schema import Schema

ColumnOf = Callable[[Node], pa.Array]
# (arguments, type of the result, the rest of the call's attribute) -> result
CALLS: dict[str, Callable[..., pa.Array]] = {**TEXTS, **TIMES, **CASTS, **LISTS}


def evaluate(node: Node, column: ColumnOf, n: int) -> pa.Array:
    """The value of a tree over `n` rows.

    Args:
        node: any tree of IR.
        column: gives the value of a "column" or "leaf" node: an array of n rows, of the node's type or a dictionary
            of it.
        n: how many rows.

    Returns:
        An array of n rows of `node.type` (text in the plain layout).

    Raises:
        EvaluationError: a row has no value: overflow, division by zero, a cast that cannot be.
    """
    return Computation(node).run(column, n)


class _Value:
    """A column, the rows in which it faulted (a mask, or None), and the exception of the first."""

    __slots__ = ("array", "fault", "mask")

    def __init__(self, array: pa.Array, mask: pa.Array | None = None, fault: Exception | None = None) -> None:
        self.array = array
        self.mask = mask
        self.fault = fault


class Computation:
    """A tree, cut into calls and programs once, to be run over many batches; see `evaluate`. One thread at a time."""

    __slots__ = ("_segments", "node")

    def __init__(self, node: Node) -> None:
        self.node = node
        self._segments: dict[int, _Segment] = {}

    def run(self, column: ColumnOf, n: int) -> pa.Array:
        """The value over `n` rows; arguments and exceptions of `evaluate`."""
        value = self._value(self.node, column, n, {})
        if value.mask is not None and pc.any(value.mask).as_py():
            raise value.fault or EvaluationError("an expression has no value")
        return value.array

    def _value(self, node: Node, column: ColumnOf, n: int, done: dict[int, _Value]) -> _Value:
        """`done`: values of this run by the identity of their nodes, since equal trees are one."""
        value = done.get(id(node))
        if value is None:
            if node.op in ("column", "leaf"):
                value = _Value(plain(column(node), node.type))
            elif node.op == "const":
                value = _Value(constant(node, n))
            elif node.op == "call":
                value = self._call(node, column, n, done)
            else:
                value = self._program(node, column, n, done)
            done[id(node)] = value
        return value

    def _call(self, node: Node, column: ColumnOf, n: int, done: dict[int, _Value]) -> _Value:
        name, *options = cast(tuple[Any, ...], node.attr)
        args = [self._value(a, column, n, done) for a in node.args]
        arrays = [a.array for a in args]
        if name == "check":
            wrong = pc.fill_null(pc.invert(arrays[1]), False)
            return _Value(
                arrays[0],
                _either([args[0].mask, args[1].mask, wrong]),
                _first(args) or EvaluationError(options[0]),
            )
        if name == "attempt":
            if args[0].mask is None:
                return args[0]
            return _Value(pc.if_else(args[0].mask, pa.scalar(None, arrays[0].type), arrays[0]))
        if name == "fine":
            return _Value(pa.repeat(pa.scalar(True), n) if args[0].mask is None else pc.invert(args[0].mask))
        if name == "if":
            test, yes, no = args
            pick = pc.fill_null(arrays[0], False)
            none = pa.repeat(pa.scalar(False), n)
            mask = None
            if yes.mask is not None or no.mask is not None:
                mask = pc.if_else(
                    pick, none if yes.mask is None else yes.mask, none if no.mask is None else no.mask
                )
            made = pc.if_else(pick, yes.array, no.array)
            return _Value(plain(made, node.type), _either([test.mask, mask]), _first(args))
        made = CALLS[name](arrays, node.type, *options)
        return _Value(plain(made, node.type), _either([a.mask for a in args]), _first(args))

    def _program(self, node: Node, column: ColumnOf, n: int, done: dict[int, _Value]) -> _Value:
        segment = self._segments.get(id(node))
        if segment is None:
            segment = self._segments[id(node)] = _Segment(node)
        inputs = [self._value(a, column, n, done) for a in segment.inputs]
        return segment.run(inputs, n, node.type)


class _Segment:
    """The part of a tree from one node down to the next calls and columns: one program of the kernel."""

    __slots__ = ("inputs", "masked", "projection")

    def __init__(self, root: Node) -> None:
        self.inputs: list[Node] = []
        self.masked: list[int] = []  # inputs that may fault: their masks are further columns
        nodes, made = Nodes(), dict[int, Node]()
        stack = [(root, False)]
        while stack:
            node, ready = stack.pop()
            if id(node) in made:
                continue
            if node.op in ("column", "leaf", "call"):
                made[id(node)] = self._input(nodes, node)
            elif ready or not node.args:
                args = tuple(made[id(a)] for a in node.args)
                made[id(node)] = nodes.make(node.op, node.type, args, node.attr)
            else:
                stack.append((node, True))
                stack.extend((a, False) for a in node.args)
        builder = ProgramBuilder()
        builder.add(made[id(root)])
        # Masks stand behind all values, of which there are so many only now.
        sources = [_place(source, len(self.inputs)) for source in builder.sources]
        output = pa.schema([("value", result_type(root.type)), ("fault", pa.bool_())])
        self.projection = Projection(builder.program(), sources, Schema.from_arrow(output))

    def _input(self, nodes: Nodes, node: Node) -> Node:
        value = nodes.make("column", node.type, (), (len(self.inputs), 0))
        self.inputs.append(node)
        if node.op == "call" and can_fault(node):
            self.masked.append(len(self.inputs) - 1)
            fine = nodes.make("column", pa.bool_(), (), (-len(self.masked), 0))
            value = nodes.make("check", node.type, (value, fine), "an expression has no value")
        return value

    def run(self, inputs: list[_Value], n: int, type: pa.DataType) -> _Value:
        none = pa.repeat(pa.scalar(True), n)
        masks = [inputs[i].mask for i in self.masked]
        columns = [v.array for v in inputs] + [none if m is None else pc.invert(m) for m in masks]
        if not columns:
            columns = [none]
        batch = pa.RecordBatch.from_arrays(columns, [str(i) for i in range(len(columns))])
        found, fault = self.projection.run(Batch.from_arrow(batch))
        value, mask = pa.record_batch(found).columns
        nested = _first([inputs[i] for i in self.masked])
        return _Value(plain(value, type), None if fault is None else mask, nested or fault)


def _place(source: object, n_values: int) -> int:
    """The column of an input: a value's own number, or a mask's (-1, -2, …) behind the values."""
    at = cast(tuple[int, int], source)[0]
    return at if at >= 0 else n_values - at - 1


def _either(masks: list[pa.Array | None]) -> pa.Array | None:
    found = None
    for mask in masks:
        if mask is not None:
            found = mask if found is None else pc.or_(found, mask)
    return found


def _first(values: list[_Value]) -> Exception | None:
    return next((v.fault for v in values if v.fault is not None), None)


def result_type(type: pa.DataType) -> pa.DataType:
    """The type in which the kernel writes values of `type`."""
    type = value_type(type)
    if is_text(type):
        return pa.string()
    if is_binary(type):
        return pa.binary()
    return pa.float32() if pa.types.is_float16(type) else type


def plain(array: Any, type: pa.DataType) -> pa.Array:
    """One array of `type`: chunks joined, dictionaries decoded, text and bytes in the plain layout."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
        if isinstance(array, pa.ChunkedArray):  # of no chunks
            array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    wanted = (
        result_type(type) if is_text(value_type(type)) or is_binary(value_type(type)) else value_type(type)
    )
    return array if array.type == wanted else array.cast(wanted)


def constant(node: Node, n: int) -> pa.Array:
    """A constant as a column; temporal constants are counts of their unit."""
    type = result_type(node.type)
    if node.attr is None:
        return pa.nulls(n, type)
    if isinstance(node.attr, int) and pa.types.is_temporal(type):
        width = np.int32 if type.bit_width == 32 else np.int64
        return pa.array(np.full(n, node.attr, width)).view(type)
    return pa.repeat(pa.scalar(node.attr, type), n)


class Measuring:
    """What Derive calls after an operator: computes measures, and keeps those behind one at fault for the next call.

    Args:
        compute: matches (pa.RecordBatch) -> the result (pa.RecordBatch), row by row; raises EvaluationError.

    Called with matches (anything with `__arrow_c_array__`) or None; returns a record batch, or None for no rows.
    Raises the first row's EvaluationError: that row is left out, the others come with the next calls.
    """

    __slots__ = ("_compute", "_faults", "_kept")

    def __init__(self, compute: Callable[[pa.RecordBatch], pa.RecordBatch]) -> None:
        self._compute = compute
        self._kept: list[pa.RecordBatch] = []
        self._faults: list[EvaluationError] = []

    def __call__(self, matches: Any) -> pa.RecordBatch | None:
        if matches is not None:
            self._split(pa.record_batch(matches))
        if self._faults:
            raise self._faults.pop(0)
        kept, self._kept = self._kept, []
        if not kept:
            return None
        return kept[0] if len(kept) == 1 else pa.concat_batches(kept)

    def _split(self, matches: pa.RecordBatch) -> None:
        """Computes `matches`, in halves around each row at fault."""
        stack = [matches]
        while stack:
            part = stack.pop()
            try:
                if part.num_rows:
                    self._kept.append(self._compute(part))
            except EvaluationError as fault:
                if part.num_rows == 1:
                    self._faults.append(fault)
                else:
                    half = part.num_rows // 2
                    stack += [part.slice(half), part.slice(0, half)]

    def save(self) -> bytes:
        """What is kept back, to be saved with the operator's state; faults not yet told are told no more."""
        if not self._kept:
            return b""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self._kept[0].schema) as writer:
            for batch in self._kept:
                writer.write_batch(batch)
        return bytes(sink.getvalue())

    def restore(self, state: bytes) -> None:
        """Takes back what `save` gave."""
        with pa.ipc.open_stream(state) as reader:
            self._kept = list(reader)
        self._faults = []


__all__ = ["CALLS", "Computation", "Measuring", "constant", "evaluate", "plain", "result_type"]
