"""Operations: typed arithmetic, comparison and logic over IR nodes, with constants folded.

Constants are exact until they meet a column: integers of any size, dates, times, timestamps and intervals in
nanoseconds (types date32, time64[ns], timestamp[ns], duration[ns]; their value may be beyond int64 for now).
A constant that is compared with a column is brought into the column's unit, never the column into the
constant's: `ts < TIMESTAMP '… 00:00:00.5'` over seconds becomes `ts < second 1`, `n < 2.5` becomes `n < 3`,
and a bound that no value of the column's kind can reach becomes the smallest or largest value. So comparisons
with constants are exact, cost no cast and cannot overflow.

Two columns of different units of time meet in the finer one (a cast with a multiplier), an integer and a
float in float64, int64 and uint64 exactly in comparisons and not at all in arithmetic.
"""

from __future__ import annotations

import math
import operator

import pyarrow as pa

from tocsin.compile.ir import (
    INT64_MAX,
    INT64_MIN,
    UINT64_MAX,
    Node,
    Nodes,
    can_fault,
    is_binary,
    is_text,
    kernel_kind,
    unit_ns,
    value_type,
)
from tocsin.errors import PatternError
from tocsin.language.source import Source, Span
from tocsin.language.temporal import DAY_NS, parse_date, parse_time, parse_timestamp

_BOOL, _INT64, _UINT64, _FLOAT64 = pa.bool_(), pa.int64(), pa.uint64(), pa.float64()
_UNITS = ("s", "ms", "us", "ns")
MONTHS = pa.month_day_nano_interval()  # the type of an interval of whole months; only constants have it
_MIRRORED = {"eq": "eq", "ne": "ne", "lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}
SYMBOLS = {
    "eq": "=",
    "ne": "<>",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "mod": "%",
}


def category(type: pa.DataType) -> str:
    """What can be compared with what: equal categories, and date with timestamp."""
    t = pa.types
    if t.is_boolean(type):
        return "boolean"
    if t.is_integer(type) or t.is_floating(type):
        return "number"
    if t.is_timestamp(type):
        return "timestamp" if type.tz is None else "timestamp with zone"
    for name in ("date", "time", "duration"):
        if getattr(t, f"is_{name}")(type):
            return name
    values = type.value_type if t.is_dictionary(type) else type
    if is_binary(values):
        return "binary"
    if is_text(values) or t.is_null(type):
        return "string"
    if t.is_decimal(type):
        return "decimal"
    return "interval of months" if type == MONTHS else str(type)


def is_list(type: pa.DataType) -> bool:
    """Whether values of `type` are arrays, of any layout."""
    t = pa.types
    return bool(t.is_list(type) or t.is_large_list(type) or t.is_fixed_size_list(type))


def is_null(node: Node) -> bool:
    """Whether `node` is the constant NULL."""
    return node.op == "const" and node.attr is None


def constant_ns(node: Node) -> int:
    """A temporal constant in nanoseconds."""
    assert isinstance(node.attr, int)
    return node.attr * (unit_ns(node.type) or 1)


class Operations:
    """Builds checked nodes. Every method raises PatternError at `span` where SQL has no such operation."""

    __slots__ = ("nodes", "source")

    def __init__(self, nodes: Nodes, source: Source) -> None:
        self.nodes = nodes
        self.source = source

    def error(self, message: str, span: Span) -> PatternError:
        """The error for `message` at `span`, to be raised."""
        return self.source.error(message, span)

    def const(self, type: pa.DataType, value: object, span: Span) -> Node:
        """A constant, not yet checked to fit `type`: it may still be folded."""
        return self.nodes.make("const", type, (), value, span)

    def boolean(self, value: bool | None, span: Span) -> Node:
        """TRUE, FALSE or an unknown."""
        return self.const(_BOOL, value, span)

    def make(self, op: str, type: pa.DataType, args: tuple[Node, ...], attr: object, span: Span) -> Node:
        """An operation on `args`, whose constants have to fit their types by now."""
        for arg in args:
            self.in_range(arg)
        return self.nodes.make(op, type, args, attr, span)

    def in_range(self, node: Node) -> Node:
        """`node`, unless it is a constant that its type cannot hold."""
        if node.op == "const" and isinstance(node.attr, int) and node.type not in (_BOOL, MONTHS):
            low, high = (0, UINT64_MAX) if node.type == _UINT64 else (INT64_MIN, INT64_MAX)
            if not low <= node.attr <= high:
                raise self.error(f"the value is out of the range of {node.type}", node.span)
        return node

    def called(
        self, name: str, type: pa.DataType, args: tuple[Node, ...], span: Span, *options: object
    ) -> Node:
        """A function that the library computes. A fault of an argument is one of the result, made by the kernel."""
        made = self.make("call", type, args, (name, *options), span)
        if name == "check" or not can_fault(made):
            return made
        fine = self.make("call", _BOOL, (made,), ("fine",), span)
        value = self.make("call", type, (made,), ("attempt",), span)
        words = (
            f"an argument of {name.upper()} has no value: an overflow, a division by zero, or a failed cast"
        )
        if kernel_kind(type) is None:
            return self.make("call", type, (value, fine), ("check", words), span)
        return self.make("check", type, (value, fine), words, span)

    # Logic -----------------------------------------------------------------------------------------------

    def negation(self, arg: Node, span: Span) -> Node:
        """NOT of a condition."""
        if arg.op == "const":
            return self.boolean(None if arg.attr is None else not arg.attr, span)
        if arg.op == "not":
            return arg.args[0]
        return self.make("not", _BOOL, (arg,), None, span)

    def junction(self, op: str, args: list[Node], span: Span) -> Node:
        """AND or OR of any number of conditions, as a balanced tree of logarithmic depth."""
        settles = op == "or"  # the value that settles the whole
        distinct: dict[int, Node] = {}  # by identity, which is equality here
        unknown = False
        for arg in args:
            if arg.op != "const":
                distinct[id(arg)] = arg
            elif arg.attr is settles:
                return self.boolean(settles, span)
            elif arg.attr is None:
                unknown = True
        left = list(distinct.values())
        if unknown:
            left.append(self.boolean(None, span))
        if not left:
            return self.boolean(not settles, span)
        while len(left) > 1:
            left = [
                self.make(op, _BOOL, (left[i], left[i + 1]), None, span) if i + 1 < len(left) else left[i]
                for i in range(0, len(left), 2)
            ]
        return left[0]

    def null_test(self, arg: Node, negated: bool, span: Span) -> Node:
        """IS NULL, or IS NOT NULL if `negated`."""
        if arg.op == "const":
            return self.boolean((arg.attr is None) != negated, span)
        if kernel_kind(arg.type) is None:
            name = "is_not_null" if negated else "is_null"
            return self.make("call", _BOOL, (arg,), (name,), span)
        return self.make("is_not_null" if negated else "is_null", _BOOL, (arg,), None, span)

    # Comparison ------------------------------------------------------------------------------------------

    def compare(self, op: str, left: Node, right: Node, span: Span) -> Node:
        """A comparison; `op` is eq, ne, lt, le, gt or ge."""
        if is_null(left) or is_null(right):
            return self.boolean(None, span)
        left, right = self.as_temporal(left, right), self.as_temporal(right, left)
        if op in ("eq", "ne") and is_list(left.type) and is_list(right.type):
            equal = self.same_list("equal", SYMBOLS[op], left, right, span)
            return self.negation(equal, span) if op == "ne" else equal
        self._comparable(SYMBOLS[op], left, right, span)
        if left.op == "const" and right.op == "const":
            return self.boolean(_fold_comparison(op, left, right), span)
        if left.op == "const":
            return self._with_constant(_MIRRORED[op], right, left, span)
        if right.op == "const":
            return self._with_constant(op, left, right, span)
        left, right = self._same_unit(left, right)
        return self.make(op, _BOOL, (left, right), None, span)

    def as_temporal(self, node: Node, other: Node) -> Node:
        """A bare string beside a date, time or timestamp is a literal of that kind; anything else stays."""
        if node.op != "const" or not isinstance(node.attr, str):
            return node
        kind = category(other.type)
        text = node.attr
        try:
            if kind == "date":
                if len(text.strip()) > 10:  # a time of day behind the date: compare as a timestamp
                    return self._timestamp(text, node.span)
                return self.const(pa.date32(), parse_date(text), node.span)
            if kind == "time":
                return self.const(pa.time64("ns"), parse_time(text), node.span)
            if kind in ("timestamp", "timestamp with zone"):
                return self._timestamp(text, node.span)
        except ValueError as wrong:
            if isinstance(wrong, PatternError):
                raise
            raise self.error(str(wrong), node.span) from None
        return node

    def _timestamp(self, text: str, span: Span) -> Node:
        ns, zoned = parse_timestamp(text)
        return self.const(pa.timestamp("ns", "UTC" if zoned else None), ns, span)

    def _comparable(self, symbol: str, left: Node, right: Node, span: Span) -> None:
        a, b = category(left.type), category(right.type)
        kinds = {a, b}
        odd = next((n for n in (left, right) if kernel_kind(n.type) is None), None)
        if odd is not None:
            raise self.error(f"{symbol} cannot compare {type_name(odd)}: {self.remedy(odd)}", span)
        if a == b or kinds == {"date", "timestamp"}:
            return
        if "timestamp with zone" in kinds and kinds & {"timestamp", "date"}:
            hint = (
                "one has a time zone and the other has not: give the literal a zone, as in "
                "'2024-03-01 09:30:00 UTC', or convert the column"
            )
        elif "duration" in kinds and kinds & {"number", "string"}:
            hint = "write the duration as INTERVAL '5' MINUTE"
        elif kinds == {"number", "string"}:
            hint = "numbers are written without quotes"
        elif kinds == {"boolean", "number"}:
            hint = "a boolean is a condition by itself, or TRUE or FALSE"
        else:
            hint = "both sides must be of one kind"
        raise self.error(f"{symbol} cannot compare {type_name(left)} with {type_name(right)}: {hint}", span)

    def same_list(self, way: str, symbol: str, left: Node, right: Node, span: Span) -> Node:
        """Whether two lists have the same elements; `way`: "equal", or "alike" where a NULL is like a NULL."""
        if {left.type.value_type, right.type.value_type} == {_UINT64, _INT64}:
            left, right = self._unsigned_array(left), self._unsigned_array(right)
        elements = [self.const(value_type(n.type.value_type), 0, n.span) for n in (left, right)]
        kinds = {kernel_kind(e.type) for e in elements}
        if None in kinds or kinds == {"i64", "u64"}:
            raise self.error(
                f"{symbol} cannot compare {type_name(left)} with {type_name(right)}: CAST their elements",
                span,
            )
        self._comparable(symbol, elements[0], elements[1], span)
        return self.called("same_list", _BOOL, (left, right), span, way)

    def _unsigned_array(self, node: Node) -> Node:
        """An array of constants, none below 0, as one of uint64; any other list as it is."""
        if node.op != "call" or node.attr != ("array",):
            return node
        if any(a.op != "const" or (isinstance(a.attr, int) and a.attr < 0) for a in node.args):
            return node
        elements = tuple(self.const(_UINT64, a.attr, a.span) for a in node.args)
        return self.called("array", pa.list_(_UINT64), elements, node.span)

    def remedy(self, node: Node) -> str:
        """What to do with a value that the kernel cannot read."""
        kind = category(node.type)
        if kind == "decimal":
            return "write CAST(… AS DOUBLE), or AS BIGINT"
        if kind == "interval of months":
            return "months have no fixed length; write days"
        if is_list(node.type):
            return "take one element of it, as in x[1], or CARDINALITY(x)"
        return "convert the column before the match"

    def _same_unit(self, left: Node, right: Node) -> tuple[Node, Node]:
        """Both in one kernel kind and, for temporal types, in the finer unit (int64 beside uint64 stays)."""
        kinds = {kernel_kind(left.type), kernel_kind(right.type)}
        if "f64" in kinds:
            return self.widened(left), self.widened(right)
        a, b = unit_ns(left.type), unit_ns(right.type)
        if a is None or b is None or a == b:
            return left, right
        return self._in_unit(left, min(a, b), right), self._in_unit(right, min(a, b), left)

    def _in_unit(self, node: Node, unit: int, like: Node) -> Node:
        own = unit_ns(node.type)
        assert own is not None
        if own == unit:
            return node
        target = like.type if unit_ns(like.type) == unit else retyped(node.type, unit)
        return self.make("cast", target, (node,), own // unit, node.span)

    def widened(self, node: Node) -> Node:
        """`node` as float64 (float32 and float16 are read as float64 anyway)."""
        if kernel_kind(node.type) == "f64":
            return node
        if node.op == "const":
            assert isinstance(node.attr, int)
            return self.const(_FLOAT64, float(node.attr), node.span)
        return self.make("cast", _FLOAT64, (node,), None, node.span)

    def _with_constant(self, op: str, node: Node, constant: Node, span: Span) -> Node:
        kind = kernel_kind(node.type)
        if kind in ("bool", "str"):
            return self.make(op, _BOOL, (node, constant), None, span)
        if kind == "f64":
            return self.make(op, _BOOL, (node, self.widened(constant)), None, span)
        if isinstance(constant.attr, float) and not math.isfinite(constant.attr):
            return self.make(op, _BOOL, (self.widened(node), constant), None, span)
        floor, exact = self.in_unit_of(node, constant)
        ceiling = floor if exact else floor + 1
        low, high = (0, UINT64_MAX) if kind == "u64" else (INT64_MIN, INT64_MAX)
        never, always = ("lt", low), ("ge", low)
        if op in ("eq", "ne"):
            if not exact or not low <= floor <= high:
                op, value = never if op == "eq" else always
            else:
                value = floor
        else:
            value = ceiling if op in ("lt", "ge") else floor
            if value > high:
                op, value = always if op in ("lt", "le") else never
            elif value < low:
                op, value = never if op in ("lt", "le") else always
        type = _UINT64 if kind == "u64" else node.type if unit_ns(node.type) else _INT64
        return self.make(op, _BOOL, (node, self.const(type, value, constant.span)), None, span)

    def in_unit_of(self, node: Node, constant: Node) -> tuple[int, bool]:
        """The constant in the unit of `node`, rounded down, and whether it was exact."""
        if isinstance(constant.attr, float):
            floor = math.floor(constant.attr)
            return floor, floor == constant.attr
        unit = unit_ns(node.type)
        assert isinstance(constant.attr, int)
        if unit is None:
            return constant.attr, True
        floor, rest = divmod(constant_ns(constant), unit)
        return floor, rest == 0

    def membership(self, node: Node, values: list[Node], span: Span) -> Node:
        """`node` IN (values)."""
        if node.op == "const" or any(v.op != "const" for v in values):
            return self.junction("or", [self.compare("eq", node, v, span) for v in values], span)
        kind = kernel_kind(node.type)
        low, high = (0, UINT64_MAX) if kind == "u64" else (INT64_MIN, INT64_MAX)
        listed: dict[object, None] = {}
        has_null = False
        for value in values:
            if is_null(value):
                has_null = True
                continue
            value = self.as_temporal(value, node)
            self._comparable("IN", node, value, value.span)
            if kind in ("bool", "str"):
                listed[value.attr] = None
            elif kind == "f64":
                number = self.widened(value).attr
                if number == number:  # NaN equals nothing
                    listed[number] = None
            elif not (isinstance(value.attr, float) and not math.isfinite(value.attr)):
                whole, exact = self.in_unit_of(node, value)
                if exact and low <= whole <= high:
                    listed[whole] = None
        if not listed:
            if has_null:
                return self.boolean(None, span)
            # No value of the column's kind is in the list: false, and NULL for NULL.
            return (
                self._with_constant("lt", node, self.const(_FLOAT64, -math.inf, span), span)
                if kind == "f64"
                else self.make(
                    "lt",
                    _BOOL,
                    (node, self.const(_UINT64 if kind == "u64" else _INT64, low, span)),
                    None,
                    span,
                )
            )
        return self.make("in", _BOOL, (node,), (tuple(listed), has_null), span)

    # Arithmetic ------------------------------------------------------------------------------------------

    def negative(self, arg: Node, span: Span) -> Node:
        """Minus `arg`."""
        if is_null(arg):
            return arg
        kind = category(arg.type)
        if kind == "interval of months":
            assert isinstance(arg.attr, int)
            return self.const(MONTHS, -arg.attr, span)
        if kind not in ("number", "duration"):
            raise self.error(f"- cannot be applied to {type_name(arg)}", span)
        if arg.op == "const":
            assert isinstance(arg.attr, (int, float))
            return (
                self._number(-arg.attr, span) if kind == "number" else self.const(arg.type, -arg.attr, span)
            )
        if kernel_kind(arg.type) == "u64":
            raise self.error(
                "- cannot be applied to uint64: its values have no negative; convert the column to int64",
                span,
            )
        return self.make("neg", _arithmetic_type(arg), (arg,), None, span)

    def arithmetic(self, op: str, left: Node, right: Node, span: Span) -> Node:
        """A sum, difference, product, quotient or remainder; `op` is add, sub, mul, div or mod."""
        a, b = category(left.type), category(right.type)
        if is_null(left) or is_null(right):
            other = right if is_null(left) else left
            return self.const(other.type, None, span)
        if a == b == "number":
            return self._numbers(op, left, right, span)
        if "interval of months" in (a, b):
            return self._months(op, left, right, span)
        points = ("timestamp", "timestamp with zone", "date")
        if op == "sub" and ((a == b and a in (*points, "time")) or {a, b} == {"date", "timestamp"}):
            return self._difference(left, right, span)
        if op in ("add", "sub") and b == "duration" and a in (*points, "duration"):
            return self._shifted(op, left, right, span)
        if op == "add" and a == "duration" and b in points:
            return self._shifted(op, right, left, span)
        if op in ("mul", "div") and a == "duration" and b == "number":
            return self._scaled(op, left, right, span)
        if op == "mul" and a == "number" and b == "duration":
            return self._scaled(op, right, left, span)
        hint = ""
        odd = next((n for n in (left, right) if kernel_kind(n.type) is None), None)
        if odd is not None:
            hint = f": {self.remedy(odd)}"
        elif a == b == "string":
            hint = ": strings are compared, not computed with"
        elif "string" in (a, b):
            hint = ": write a typed literal, as in DATE '2024-03-01'"
        elif {a, b} == {"time", "duration"}:
            hint = ": a time of day would pass midnight; use a timestamp"
        elif {a, b} == {"timestamp", "timestamp with zone"}:
            hint = ": one has a time zone and the other has not"
        raise self.error(
            f"{SYMBOLS[op]} cannot be applied to {type_name(left)} and {type_name(right)}{hint}", span
        )

    def _number(self, value: int | float, span: Span, unsigned: bool = False) -> Node:
        """A numeric constant of the type its value asks for."""
        if isinstance(value, float):
            return self.const(_FLOAT64, value, span)
        if INT64_MIN <= value <= INT64_MAX:
            return self.const(_INT64, value, span)
        if unsigned and 0 <= value <= UINT64_MAX:
            return self.const(_UINT64, value, span)
        raise self.error("the value of this constant expression does not fit 64 bits", span)

    def _numbers(self, op: str, left: Node, right: Node, span: Span) -> Node:
        if left.op == "const" and right.op == "const":
            unsigned = _UINT64 in (left.type, right.type)
            return self._number(self._fold(op, left.attr, right.attr, span), span, unsigned)
        kinds = (kernel_kind(left.type), kernel_kind(right.type))
        if "f64" in kinds:
            return self.make(op, _FLOAT64, (self.widened(left), self.widened(right)), None, span)
        if kinds == ("i64", "i64"):
            return self.make(op, _INT64, (left, right), None, span)
        if "i64" in kinds:  # one of each: only a constant that fits the other kind can follow it
            left, right = self._unsigned(left, span), self._unsigned(right, span)
        return self.make(op, _UINT64, (left, right), None, span)

    def _unsigned(self, node: Node, span: Span) -> Node:
        if kernel_kind(node.type) == "u64":
            return node
        if node.op == "const" and isinstance(node.attr, int) and node.attr >= 0:
            return self.const(_UINT64, node.attr, node.span)
        raise self.error(
            f"arithmetic between uint64 and {type_name(node)} has no exact type: convert one column before "
            "the match",
            span,
        )

    def _fold(self, op: str, left: object, right: object, span: Span) -> int | float:
        assert isinstance(left, int | float)
        assert isinstance(right, int | float)
        if isinstance(left, int) and isinstance(right, int):
            if op in ("div", "mod") and right == 0:
                raise self.error("division by zero", span)
            if op == "div":
                quotient = abs(left) // abs(right)
                return quotient if (left < 0) == (right < 0) else -quotient
            if op == "mod":
                rest = abs(left) % abs(right)
                return -rest if left < 0 else rest
            return left + right if op == "add" else left - right if op == "sub" else left * right
        a, b = float(left), float(right)
        if op == "div":
            if b == 0.0:
                return math.nan if a == 0.0 or a != a else math.copysign(math.inf, a) * math.copysign(1.0, b)
            return a / b
        if op == "mod":
            return math.nan if b == 0.0 or math.isinf(a) else math.fmod(a, b)
        return a + b if op == "add" else a - b if op == "sub" else a * b

    def _difference(self, left: Node, right: Node, span: Span) -> Node:
        """Two points in time -> duration."""
        if left.op == "const" and right.op == "const":
            return self.const(pa.duration("ns"), constant_ns(left) - constant_ns(right), span)
        left, right, unit = self._aligned(left, right)
        return self.make("sub", pa.duration(_UNITS[_unit_index(unit)]), (left, right), None, span)

    def _shifted(self, op: str, left: Node, right: Node, span: Span) -> Node:
        """A point in time, or a duration, plus or minus a duration."""
        sign = 1 if op == "add" else -1
        if left.op == "const" and right.op == "const":
            total = constant_ns(left) + sign * constant_ns(right)
            if category(left.type) != "date":
                return self.const(left.type, total // (unit_ns(left.type) or 1), span)
            if total % DAY_NS == 0:
                return self.const(left.type, total // (unit_ns(left.type) or 1), span)
            return self.const(pa.timestamp("ns"), total, span)
        if category(left.type) == "date" and right.op == "const" and constant_ns(right) % DAY_NS == 0:
            # Whole days leave a date a date, as in Trino.
            days = self.const(_INT64, constant_ns(right) // (unit_ns(left.type) or 1), right.span)
            return self.make(op, left.type, (left, days), None, span)
        first, second, unit = self._aligned(left, right)
        zone = left.type.tz if pa.types.is_timestamp(left.type) else None
        name = _UNITS[_unit_index(unit)]
        type = pa.duration(name) if category(left.type) == "duration" else pa.timestamp(name, zone)
        return self.make(op, type, (first, second), None, span)

    def _aligned(self, left: Node, right: Node) -> tuple[Node, Node, int]:
        """Both in the coarsest of s, ms, us, ns that holds either exactly; and that unit in nanoseconds."""
        needed = 10**9
        for node in (left, right):
            if node.op == "const":
                while constant_ns(node) % needed:
                    needed //= 1_000
            else:
                needed = min(needed, unit_ns(node.type) or needed)
        aligned = []
        for node in (left, right):
            if node.op == "const":
                aligned.append(self.const(retyped(node.type, needed), constant_ns(node) // needed, node.span))
            else:
                own = unit_ns(node.type) or needed
                aligned.append(
                    node
                    if own == needed
                    else self.make("cast", retyped(node.type, needed), (node,), own // needed, node.span)
                )
        return aligned[0], aligned[1], needed

    def _months(self, op: str, left: Node, right: Node, span: Span) -> Node:
        """Calendar arithmetic: a date or timestamp and whole months; or two counts of months."""
        a, b = category(left.type), category(right.type)
        both = (a == b and op in ("add", "sub")) or (
            {a, b} == {"number", "interval of months"} and op == "mul"
        )
        if both and left.op == "const" and right.op == "const":
            value = self._fold(op, left.attr, right.attr, span)
            if isinstance(value, int) and abs(value) < 2**31:
                return self.const(MONTHS, value, span)
            raise self.error("an interval of months is a whole number below 2147483648", span)
        if op == "add" and a == "interval of months":
            left, right, a, b = right, left, b, a
        if op in ("add", "sub") and a in ("date", "timestamp", "timestamp with zone"):
            assert isinstance(right.attr, int)
            months = self.const(_INT64, right.attr if op == "add" else -right.attr, right.span)
            return self.add_months(left, months, span)
        raise self.error(
            f"{SYMBOLS[op]} cannot be applied to {type_name(left)} and {type_name(right)}: months are added to, "
            "or taken from, a date or a timestamp",
            span,
        )

    def add_months(self, point: Node, months: Node, span: Span) -> Node:
        """A date or timestamp some months later; a fault beyond what its unit can hold."""
        made = self.called("add_months", point.type, (point, months), span)
        fine = [self.null_test(made, True, span), *(self.null_test(x, False, span) for x in (point, months))]
        words = "a date or timestamp that many months on is beyond what its type can hold"
        return self.make("check", point.type, (made, self.junction("or", fine, span)), words, span)

    def _scaled(self, op: str, duration: Node, number: Node, span: Span) -> Node:
        """A duration times or divided by a whole number."""
        if kernel_kind(number.type) != "i64":
            raise self.error(
                f"{SYMBOLS[op]} of a duration takes a whole number (int64), not {type_name(number)}", span
            )
        if duration.op == "const" and number.op == "const":
            value = self._fold(op, duration.attr, number.attr, span)
            assert isinstance(value, int)
            return self.const(duration.type, value, span)
        return self.make(op, duration.type, (duration, number), None, span)


def _fold_comparison(op: str, left: Node, right: Node) -> bool:
    a: object = left.attr
    b: object = right.attr
    if unit_ns(left.type):
        a, b = constant_ns(left), constant_ns(right)
    elif isinstance(a, str) and isinstance(b, str):
        a, b = (
            a.encode("utf-8", "surrogatepass"),
            b.encode("utf-8", "surrogatepass"),
        )  # the kernel's order: bytes
    return bool(getattr(operator, op)(a, b))


def _arithmetic_type(node: Node) -> pa.DataType:
    kind = kernel_kind(node.type)
    if category(node.type) == "duration":
        return node.type
    return _FLOAT64 if kind == "f64" else _UINT64 if kind == "u64" else _INT64


def _unit_index(unit: int) -> int:
    return {10**9: 0, 10**6: 1, 10**3: 2, 1: 3}[unit]


def retyped(type: pa.DataType, unit: int) -> pa.DataType:
    """`type` in another unit; a date becomes a timestamp."""
    name = _UNITS[_unit_index(unit)]
    t = pa.types
    if t.is_duration(type):
        return pa.duration(name)
    if t.is_time(type):
        return pa.time32(name) if name in ("s", "ms") else pa.time64(name)
    return pa.timestamp(name, type.tz if t.is_timestamp(type) else None)


def type_name(node: Node) -> str:
    """The type for a message; of a constant only its kind, since its width is not the user's choice."""
    return category(node.type) if node.op == "const" else str(node.type)
