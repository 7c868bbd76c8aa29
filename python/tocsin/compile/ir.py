"""IR: what the type check hands to the kernel's compiler: trees of typed operations.

A node is immutable. `op` is one of

    const     attr: the value (int, also for dates, times, timestamps and durations, in the unit of the type;
              float; str; bytes; bool) or None for NULL
    column    attr: (column index, lag); lag n: of the row n before in the partition (PREV), -n: n behind (NEXT),
              0: the row itself. In the argument of an aggregate the index may be CLASSIFIER or MATCH_NUMBER
    leaf      attr: index into Plan.leaves (in measures) or Plan.define_leaves (in definitions)
    neg add sub mul div mod      arguments of one kernel kind; integer division truncates
    eq ne lt le gt ge            arguments of one kernel kind, or one i64 and one u64 (compared exactly)
    and or not                   three-valued; two, two and one arguments
    is_null is_not_null
    in        args[0]; attr: (values, whether a NULL was listed too)
    cast      attr: None for a widening to float64, or another name for the same value; an int: the multiplier from
              a coarser to a finer unit of time; "check", "try": to a narrower number, rounded half away from zero,
              where a value out of its range is a fault, or NULL
    lists     whether two lists are equal; attr: "equal" (NULL where only an element that is NULL leaves it open) or
              "alike" (a NULL is like a NULL, NaN like NaN), and whether their numbers are floating. Only in
              definitions, of lists that are carried as bytes (lists.py)
    check     args[0]; a fault where args[1] is FALSE; attr: the fault in words
    if        args: a condition, the value where it is TRUE, the value where it is not; all CASE, COALESCE and
              NULLIF come down to it. A fault in the branch that is not taken is none
    math      attr: abs, floor, ceil, round, sqrt, exp, ln, power, sign, trunc, ...: what the kernel computes itself
    call      attr: the name of a function that a library computes, column by column (compile/library.py), and what
              else it must know: a tuple. Only calls have arguments that the kernel cannot read (decimals, lists)

The kernel knows five kinds of values (`kernel_kind`); types of one kind may differ between the arguments of
an operation (int8 and int64, date32 and duration[s]) because they are computed alike.

`Nodes` makes nodes and gives the same object for the same operation, so equal sub-trees are shared and
equality is identity within one compilation: no deep hash or comparison is ever needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal as Choice

import pyarrow as pa

from tocsin.language.source import NOWHERE, Span
from tocsin.language.temporal import DAY_NS

Kind = Choice["i64", "u64", "f64", "bool", "str"]

INT64_MIN, INT64_MAX, UINT64_MAX = -(2**63), 2**63 - 1, 2**64 - 1


@dataclass(frozen=True, slots=True)
class Node:
    """One operation; see the top of the file."""

    op: str
    type: pa.DataType
    args: tuple[Node, ...] = ()
    attr: object = None
    span: Span = field(default=NOWHERE, compare=False, repr=False)


CLASSIFIER = -2  # in place of a column: the variable that the row was matched to, as text
MATCH_NUMBER = -3  # in place of a column, in an aggregate's argument: the match's number


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value of a match, or of the match so far, that measures and definitions are computed from.

    `kind`:

    first, last       the value of `column` at the `offset`-th row after the first, before the last, of the rows of
                      `variables`, and from there `physical` rows on in the partition (PREV: negative); NULL if there is
                      no such row. Of CLASSIFIER also NULL where that row is not of the match
    classifier        the variable of the last row of those of `variables`
    match_number      the match's number in its partition, from 1
    count_rows        how many rows; count: how many values that are not NULL; count_if: how many that are true
    sum avg min max stddev_samp stddev_pop var_samp var_pop any_value array_agg min_by max_by bool_and bool_or …
                      NULL without rows or values; see compile/aggregates.py. In definitions an array_agg is binary: the
                      list as lists.py carries it

    `variables` is a bit mask; `column` is -1 where there is none. `final`: over the whole match; else (RUNNING)
    over its rows up to the row that is shown, which only ALL ROWS PER MATCH tells apart. In a definition a leaf
    reads the rows before the row in question, and that row itself too if `current` (it is provisionally of the
    variable that is defined, and that is one of `variables`).

    An aggregate's argument is `column`, or, if it is more than a column, `arguments`: trees over "column" nodes of lag
    0 (two of them for min_by and max_by). A sum of type float64 over whole numbers is summed as float64.
    """

    kind: str
    variables: int
    column: int
    offset: int
    type: pa.DataType
    physical: int = 0
    final: bool = True
    current: bool = False
    arguments: tuple[Node, ...] = ()


class Nodes:
    """Makes nodes; each distinct one once. The first place at which one was met is the one it keeps."""

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made: dict[object, Node] = {}

    def make(
        self,
        op: str,
        type: pa.DataType,
        args: tuple[Node, ...] = (),
        attr: object = None,
        span: Span = NOWHERE,
    ) -> Node:
        """The node of this operation: an old one if it was made before."""
        # repr tells 0.0 from -0.0, 1 from True and 1.0, and makes NaN equal to itself.
        key = (op, type, tuple(map(id, args)), repr(attr))
        node = self._made.get(key)
        if node is None:
            node = self._made[key] = Node(op, type, args, attr, span)
        return node


def can_fault(node: Node) -> bool:
    """Whether the value of some row may be missing for a reason of its own, which is no NULL."""
    seen: set[int] = set()
    stack = [node]
    while stack:
        part = stack.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        name = part.attr[0] if part.op == "call" and isinstance(part.attr, tuple) else part.op
        if name in ("attempt", "fine"):  # what they say of their argument is never at fault
            continue
        whole = kernel_kind(part.type) != "f64"
        if (
            name == "check"
            or (part.op in ("add", "sub", "mul", "div", "mod", "neg") and whole)
            or (part.op == "cast" and (part.attr == "check" or isinstance(part.attr, int)))
            or (part.op == "math" and part.attr == "abs" and whole)
        ):
            return True
        stack.extend(part.args)
    return False


# PERF: one look-up where pyarrow's questions, one after the other, take a microsecond: the compiler asks at each node.
_KINDS: dict[int, Kind] = {
    pa.bool_().id: "bool",
    pa.uint64().id: "u64",
    **{
        type.id: "i64"
        for type in (
            *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32()),
            *(
                pa.date32(),
                pa.date64(),
                pa.time32("s"),
                pa.time64("us"),
                pa.timestamp("us"),
                pa.duration("us"),
            ),
        )
    },
    **{type.id: "f64" for type in (pa.float16(), pa.float32(), pa.float64())},
}


def kernel_kind(type: pa.DataType) -> Kind | None:
    """How the kernel computes with values of `type`; None if it cannot read them."""
    kind = _KINDS.get(type.id)
    if kind is not None:
        return kind
    if is_text(type) or is_binary(type):
        return "str"
    if pa.types.is_dictionary(type):
        return kernel_kind(type.value_type)
    return None


def is_text(type: pa.DataType) -> bool:
    """Whether `type` is UTF-8 text, in any layout but a dictionary."""
    t = pa.types
    return bool(t.is_string(type) or t.is_large_string(type) or _is_view(type, "is_string_view"))


def is_binary(type: pa.DataType) -> bool:
    """Whether `type` is bytes of any length, in any layout but a dictionary."""
    t = pa.types
    return bool(t.is_binary(type) or t.is_large_binary(type) or _is_view(type, "is_binary_view"))


def _is_view(type: pa.DataType, name: str) -> bool:
    check = getattr(pa.types, name, None)  # pyarrow 16 has the types, an older one not even the question
    return check is not None and bool(check(type))


def value_type(type: pa.DataType) -> pa.DataType:
    """The type of the values: that of the dictionary's values, else `type` itself."""
    return type.value_type if pa.types.is_dictionary(type) else type


def unit_ns(type: pa.DataType) -> int | None:
    """Nanoseconds in one step of a temporal type; None for any other type."""
    t = pa.types
    if t.is_date32(type):
        return DAY_NS
    if t.is_date64(type):
        return 1_000_000
    if t.is_time(type) or t.is_timestamp(type) or t.is_duration(type):
        return {"s": 10**9, "ms": 10**6, "us": 1_000, "ns": 1}[type.unit]
    return None
