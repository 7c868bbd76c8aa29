"""The catalogue: the scalar functions by their SQL names, what arguments each takes, and how each becomes IR.

A builder gets the Functions that it builds with, the name it was called by (for messages), the arguments, of which
there are between `least` and `most`, and the place in the text. All functions but COALESCE, IF and NULLIF give
NULL for a NULL argument. Texts are counted in code points, from 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from tocsin.compile.ir import Node, can_fault, kernel_kind, unit_ns, value_type
from tocsin.compile.library_text import regex_fault
from tocsin.compile.operations import category, is_list, is_null, type_name
from tocsin.language.source import Span, nearest
from tocsin.language.temporal import FIELDS

if TYPE_CHECKING:
    from tocsin.compile.functions import Functions

_BOOL, _INT64, _FLOAT64, _TEXT = pa.bool_(), pa.int64(), pa.float64(), pa.string()
MANY = 1_000

Builder = Callable[["Functions", str, list[Node], Span], Node]


@dataclass(frozen=True, slots=True)
class Function:
    """One function: how many arguments it takes, and how it becomes a node."""

    build: Builder
    least: int
    most: int


FUNCTIONS: dict[str, Function] = {}
# Functions that others have and that would break a promise here, and why.
REFUSED = dict.fromkeys(
    ("now", "current_date", "current_timestamp", "localtimestamp", "current_time", "localtime"),
    "nothing here reads a clock, so that a replay gives what the live run gave; make it a column",
) | dict.fromkeys(("random", "rand", "uuid", "shuffle"), "a replay could not give the same; make it a column")


def _function(names: str, least: int, most: int | None = None) -> Callable[[Builder], Builder]:
    def register(build: Builder) -> Builder:
        for name in names.split():
            FUNCTIONS[name] = Function(build, least, least if most is None else most)
        return build

    return register


# Choices -------------------------------------------------------------------------------------------------


@_function("coalesce ifnull nvl", 1, MANY)
def _coalesce(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    *values, result = f.unified(args, name.upper(), span)
    for value in reversed(values):
        result = f.choose(f.operations.null_test(value, True, span), value, result, span)
    return result


@_function("nullif", 2)
def _nullif(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    same = f.operations.compare("eq", args[0], args[1], span)
    return f.choose(same, f.operations.const(args[0].type, None, span), args[0], span)


@_function("if iff", 2, 3)
def _if(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    return f.case(None, [f.condition(args[0], "IF")], [args[1]], args[2] if len(args) > 2 else None, span)


@_function("greatest least", 1, MANY)
def _extreme(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    """NULL if any is; NaN is above all other numbers."""
    o = f.operations
    values = f.unified(args, name.upper(), span)
    best = values[0]
    for value in values[1:]:
        test = o.compare("ge" if name == "greatest" else "le", best, value, span)
        if kernel_kind(best.type) == "f64":
            high = best if name == "greatest" else value
            test = o.junction("or", [test, o.compare("ne", high, high, span)], span)
        null = o.const(best.type, None, span)
        best = f.choose(test, best, f.choose(o.negation(test, span), value, null, span), span)
    return best


@_function("try", 1)
def _try(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    """NULL instead of a fault."""
    if not can_fault(args[0]):
        return args[0]
    return f.operations.make("call", args[0].type, (args[0],), ("attempt",), span)


# Numbers -------------------------------------------------------------------------------------------------


def _result_type(node: Node) -> pa.DataType:
    return {"f64": _FLOAT64, "u64": pa.uint64()}.get(str(kernel_kind(node.type)), _INT64)


@_function("abs sign", 1)
def _abs(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    x = f.number(args[0], name)
    if kernel_kind(x.type) == "u64":
        if name == "abs":
            return x
        above = f.operations.compare("gt", x, f.operations.const(_INT64, 0, span), span)
        return f.operations.make("cast", _INT64, (above,), None, span)
    return f.math(name, _result_type(x), (x,), span)


@_function("floor ceil ceiling", 1)
def _floor(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    x = f.number(args[0], name)
    if kernel_kind(x.type) != "f64":
        return x
    return f.math("floor" if name == "floor" else "ceil", _FLOAT64, (x,), span)


@_function("round truncate trunc", 1, 2)
def _round(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    """To whole numbers, or to n digits behind the point; halves away from zero."""
    x = f.number(args[0], name)
    kind = "round" if name == "round" else "trunc"
    if len(args) == 1:
        return x if kernel_kind(x.type) != "f64" else f.math(kind, _FLOAT64, (x,), span)
    if kernel_kind(x.type) == "f64":
        digits = f.operations.widened(_whole(f, args[1], name))
        return f.math(kind + "_to", _FLOAT64, (x, digits), span)
    digits_given = f.constant_integer(args[1], name, "the number of digits")
    if digits_given >= 0:
        return x
    o = f.operations
    if digits_given < -18:
        return o.arithmetic("mul", x, o.const(_INT64, 0, span), span)
    step = o.const(_INT64, 10**-digits_given, span)
    part = o.arithmetic("mod", x, step, span)
    low = o.arithmetic("sub", x, part, span)
    if kind == "trunc":
        return low
    half = o.const(_INT64, 10**-digits_given // 2, span)
    up = f.choose(o.compare("ge", part, half, span), o.arithmetic("add", low, step, span), low, span)
    if kernel_kind(x.type) == "u64":
        return up
    minus = o.const(_INT64, -(10**-digits_given) // 2, span)
    return f.choose(o.compare("le", part, minus, span), o.arithmetic("sub", low, step, span), up, span)


def _whole(f: Functions, node: Node, name: str) -> Node:
    if is_null(node):
        return f.operations.const(_INT64, None, node.span)
    if category(node.type) != "number" or kernel_kind(node.type) == "f64":
        raise f.error(f"{name.upper()} takes a whole number here, not {type_name(node)}", node.span)
    return node


@_function("sqrt cbrt exp ln log10 log2 sin cos tan asin acos atan sinh cosh tanh degrees radians", 1)
def _of_double(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    return f.math(name, _FLOAT64, (f.operations.widened(f.number(args[0], name)),), span)


@_function("power pow atan2", 2)
def _of_two(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    x, y = (f.operations.widened(f.number(a, name)) for a in args)
    return f.math("atan2" if name == "atan2" else "power", _FLOAT64, (x, y), span)


@_function("log", 2)
def _log(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    """log(b, x): the logarithm of x to the base b."""
    b, x = (f.math("ln", _FLOAT64, (f.operations.widened(f.number(a, name)),), span) for a in args)
    return f.operations.arithmetic("div", x, b, span)


@_function("mod", 2)
def _mod(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    return f.operations.arithmetic("mod", f.number(args[0], name), f.number(args[1], name), span)


@_function("pi e infinity nan", 0)
def _constant(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    return f.operations.const(
        _FLOAT64, {"pi": math.pi, "e": math.e, "infinity": math.inf, "nan": math.nan}[name], span
    )


@_function("is_nan is_finite is_infinite", 1)
def _kind_of_double(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    o = f.operations
    x = o.widened(f.number(args[0], name))
    if name == "is_nan":
        return o.make("ne", _BOOL, (x, x), None, span)
    size = f.math("abs", _FLOAT64, (x,), span)
    return o.make(
        "eq" if name == "is_infinite" else "lt", _BOOL, (size, o.const(_FLOAT64, math.inf, span)), None, span
    )


# Texts ---------------------------------------------------------------------------------------------------


@_function("lower upper reverse", 1)
def _of_text(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    return f.called(name, _TEXT, (f.text(args[0], name),), span)


@_function("length char_length character_length", 1)
def _length(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    return f.called("length", _INT64, (f.text(args[0], name),), span)


@_function("substr substring", 2, 3)
def _substring(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    """From the start-th code point on (from the end, if negative), at most `length`; '' beyond the text."""
    x = f.text(args[0], name)
    start = f.constant_integer(args[1], name, "the start")
    length = f.constant_integer(args[2], name, "the length") if len(args) > 2 else None
    return f.called("substring", _TEXT, (x,), span, start, length)


@_function("trim ltrim rtrim", 1, 2)
def _trim(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    letters = f.constant_text(args[1], name, "the second argument") if len(args) > 1 else " "
    return f.called(name, _TEXT, (f.text(args[0], name),), span, letters)


@_function("replace", 2, 3)
def _replace(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    old = f.constant_text(args[1], name, "the second argument")
    new = f.constant_text(args[2], name, "the third argument") if len(args) > 2 else ""
    return f.called("replace", _TEXT, (f.text(args[0], name),), span, old, new)


@_function("concat", 1, MANY)
def _concat(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    return f.called("concat", _TEXT, tuple(f.text(a, "||") for a in args), span)


@_function("concat_ws", 2, MANY)
def _concat_ws(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    """The texts, or those of one array, with a separator between; a NULL is left out."""
    by = f.text(args[0], name)
    if len(args) == 2 and is_list(args[1].type):
        return _joined(f, name, args[1], by, span)
    texts = tuple(f.text(a, name) for a in args[1:])
    return f.called("array_join", _TEXT, (f.called("array", pa.list_(_TEXT), texts, span), by), span)


@_function("array_join", 2)
def _array_join(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    """The texts of an array, with a separator between; a NULL is left out."""
    return _joined(f, name, _list(f, args[0], name), f.text(args[1], name), span)


def _joined(f: Functions, name: str, array: Node, by: Node, span: Span) -> Node:
    if category(array.type.value_type) != "string":
        raise f.error(
            f"{name.upper()} joins texts, and this is an array of {array.type.value_type}", array.span
        )
    return f.called("array_join", _TEXT, (array, by), span)


@_function("starts_with ends_with contains_text", 2)
def _affix(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    x = f.text(args[0], name)
    if is_null(args[1]):
        return f.operations.boolean(None, span)
    affix = f.constant_text(args[1], name, "the second argument")
    if name == "starts_with":
        return f.starts_with(x, affix, span)
    return f.called(name, _BOOL, (x,), span, affix)


@_function("strpos position instr", 2)
def _position(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    """The place of the first occurrence, from 1; 0 if there is none. POSITION(a IN x) is position(a, x)."""
    x, part = reversed(args) if name == "position" else args
    return f.called(
        "strpos", _INT64, (f.text(x, name),), span, f.constant_text(part, name, "the text to find")
    )


@_function("lpad rpad", 2, 3)
def _pad(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    size = f.constant_integer(args[1], name, "the size")
    letter = f.constant_text(args[2], name, "the filling") if len(args) > 2 else " "
    if len(letter) != 1 or not 0 <= size < 2**31:
        raise f.error(f"{name.upper()} takes a size from 0 on and one letter to fill with", span)
    return f.called(name, _TEXT, (f.text(args[0], name),), span, size, letter)


@_function("split_part", 3)
def _split_part(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    """The index-th part, from 1; NULL if there are fewer."""
    by = f.constant_text(args[1], name, "the separator")
    index = f.constant_integer(args[2], name, "the index")
    if not by or index < 1:
        raise f.error("SPLIT_PART takes a separator that is not empty, and an index from 1 on", span)
    return f.called("split_part", _TEXT, (f.text(args[0], name),), span, by, index)


@_function("regexp_like", 2)
def _regexp_like(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    return f.called("regexp_like", _BOOL, (f.text(args[0], name),), span, _regex(f, args[1], name))


@_function("regexp_extract", 2, 3)
def _regexp_extract(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    """The first match, or its group-th group; NULL without a match."""
    regex = _regex(f, args[1], name)
    group = f.constant_integer(args[2], name, "the group") if len(args) > 2 else 0
    groups = re.compile(regex).groups
    if not 0 <= group <= groups:
        raise f.error(f"the pattern has {groups} groups, and no group {group}", args[-1].span)
    return f.called("regexp_extract", _TEXT, (f.text(args[0], name),), span, regex, group)


@_function("regexp_replace", 2, 3)
def _regexp_replace(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    """Every match replaced; $1 in the replacement is the first group."""
    new = f.constant_text(args[2], name, "the replacement") if len(args) > 2 else ""
    new = re.sub(r"\$(\d)", r"\\\1", new.replace("\\", "\\\\"))
    return f.called("regexp_replace", _TEXT, (f.text(args[0], name),), span, _regex(f, args[1], name), new)


def _regex(f: Functions, node: Node, name: str) -> str:
    regex = f.constant_text(node, name, "the pattern")
    wrong = regex_fault(regex)
    if wrong:
        raise f.error(f"'{regex}' is not a regular expression: {wrong}", node.span)
    return regex


# Dates and times -----------------------------------------------------------------------------------------

_FIELDS = {
    "year": "year",
    "quarter": "quarter",
    "month": "month",
    "week": "week",
    "week_of_year": "week",
    "day": "day",
    "day_of_month": "day",
    "day_of_week": "day_of_week",
    "dow": "day_of_week",
    "day_of_year": "day_of_year",
    "doy": "day_of_year",
    "year_of_week": "year_of_week",
    "yow": "year_of_week",
    "hour": "hour",
    "minute": "minute",
    "second": "second",
    "millisecond": "millisecond",
}
_OF_TIME = ("hour", "minute", "second", "millisecond")


@_function(" ".join(_FIELDS), 1)
def _field(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    field, x = _FIELDS[name], args[0]
    if category(x.type) != "time" or field not in _OF_TIME:
        x = f.point(x, name)
    if field in _OF_TIME and category(x.type) == "date":
        raise f.error(f"{name.upper()} needs a time of day, and a date has none", span)
    return f.called("field", _INT64, (x,), span, field)


@_function("extract", 2)
def _extract(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    field = f.constant_text(args[0], name, "the field").lower()
    if field in _FIELDS:
        return _field(f, field, args[1:], span)
    if field == "epoch":
        return _to_unixtime(f, name, args[1:], span)
    guess = nearest(field, [*_FIELDS, "epoch"])
    meant = f": did you mean {guess.upper()}?" if guess else ""
    raise f.error(f"EXTRACT knows no field {field.upper()}{meant}", span)


_UNITS = ("millisecond", "second", "minute", "hour", "day", "week", "month", "quarter", "year")


def _unit(f: Functions, node: Node, name: str, of: Node) -> str:
    unit = f.constant_text(node, name, "the unit").lower()
    if unit not in _UNITS:
        guess = nearest(unit, list(_UNITS))
        meant = f": did you mean '{guess}'?" if guess else f": it is one of {', '.join(_UNITS)}"
        raise f.error(f"{name.upper()} knows no unit '{unit}'{meant}", node.span)
    if category(of.type) == "date" and unit in (*_OF_TIME, "hour"):
        raise f.error(f"{name.upper()}: a date has no {unit}; CAST it AS TIMESTAMP", node.span)
    return unit


@_function("date_trunc", 2)
def _date_trunc(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    x = f.point(args[1], name)
    return f.called("date_trunc", x.type, (x,), span, _unit(f, args[0], name, x))


@_function("date_add", 3)
def _date_add(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    x, n, o = f.point(args[2], name), _whole(f, args[1], name), f.operations
    unit = _unit(f, args[0], name, x)
    if unit in ("month", "quarter", "year"):
        months = o.arithmetic(
            "mul", n, o.const(_INT64, {"month": 1, "quarter": 3, "year": 12}[unit], span), span
        )
        return o.add_months(x, months, span)
    if is_null(x) or is_null(n):
        return o.const(x.type, None, span)
    step = FIELDS[unit.upper()]
    if category(x.type) == "date":
        whole = o.const(_INT64, step // (unit_ns(x.type) or 1), span)
        if x.op == "const" and n.op == "const":
            return o.arithmetic("add", x, o.const(pa.duration("ns"), step * n.attr, span), span)  # type: ignore[operator]
        return o.make("add", x.type, (x, o.arithmetic("mul", n, whole, span)), None, span)
    return o.arithmetic("add", x, _duration(f, n, step, span), span)


def _duration(f: Functions, n: Node, step: int, span: Span) -> Node:
    return f.operations.arithmetic("mul", f.operations.const(pa.duration("ns"), step, span), n, span)


@_function("date_diff", 3)
def _date_diff(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    """How many whole units lie between, from the second argument to the third."""
    low, high, o = f.point(args[1], name), f.point(args[2], name), f.operations
    unit = _unit(f, args[0], name, low if category(low.type) != "date" else high)
    if is_null(low) or is_null(high):
        return o.const(_INT64, None, span)
    difference = o.arithmetic("sub", high, low, span)  # refuses a zone beside none
    zoned = category(low.type) == "timestamp with zone"
    if unit in ("month", "quarter", "year") or (zoned and unit in ("day", "week")):
        if zoned:
            low, high = (f.called("local", pa.timestamp(x.type.unit), (x,), span) for x in (low, high))
        if unit in ("month", "quarter", "year"):
            low, high = f.unified([low, high], name, span)
            return f.called(
                "months_between", _INT64, (low, high), span, {"month": 1, "quarter": 3, "year": 12}[unit]
            )
        difference = o.arithmetic("sub", high, low, span)
    return _whole_units(f, difference, FIELDS[unit.upper()], span)


def _whole_units(f: Functions, duration: Node, step: int, span: Span) -> Node:
    """How often `step` nanoseconds fit into a duration, towards zero."""
    o = f.operations
    if duration.op == "const":
        total = duration.attr
        assert isinstance(total, int)
        return o.const(_INT64, total // step if total >= 0 else -(-total // step), span)
    own = unit_ns(duration.type) or 1
    if step >= own:
        return o.make("div", _INT64, (duration, o.const(_INT64, step // own, span)), None, span)
    return o.make("mul", _INT64, (duration, o.const(_INT64, own // step, span)), None, span)


@_function("to_milliseconds", 1)
def _to_milliseconds(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    if category(args[0].type) != "duration":
        raise f.error(f"TO_MILLISECONDS takes an interval, not {type_name(args[0])}", span)
    return _whole_units(f, args[0], 10**6, span)


@_function("to_unixtime", 1)
def _to_unixtime(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    x = f.point(args[0], name)
    seconds = f.operations.widened(f.operations.const(_INT64, x.attr, span) if x.op == "const" else x)
    own = unit_ns(x.type) or 1
    o = f.operations
    if own >= 10**9:
        return o.arithmetic("mul", seconds, o.const(_FLOAT64, float(own // 10**9), span), span)
    return o.arithmetic("div", seconds, o.const(_FLOAT64, float(10**9 // own), span), span)


@_function("from_unixtime", 1, 2)
def _from_unixtime(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    """Seconds since 1970 -> timestamp(3) in UTC, or in the zone that is named."""
    zone = _zone(f, args[1], name) if len(args) > 1 else "UTC"
    o = f.operations
    ms = o.arithmetic("mul", o.widened(f.number(args[0], name)), o.const(_FLOAT64, 1000.0, span), span)
    whole = f.cast(ms, "bigint", False, span)
    if whole.op == "const":
        return o.const(pa.timestamp("ms", zone), whole.attr, span)
    return o.make("cast", pa.timestamp("ms", zone), (whole,), None, span)


def _zone(f: Functions, node: Node, name: str) -> str:
    from zoneinfo import ZoneInfo

    zone = f.constant_text(node, name, "the time zone")
    try:
        if not re.fullmatch(r"[+-]\d\d:\d\d", zone):
            ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise f.error(f"'{zone}' is not a time zone that is known here", node.span) from None
    return zone


@_function("at_timezone", 2)
def _at_timezone(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    x, zone = f.point(args[0], name), _zone(f, args[1], name)
    if is_null(x):
        return f.operations.const(pa.timestamp("us", zone), None, span)
    if category(x.type) != "timestamp with zone":
        raise f.error(
            "AT TIME ZONE takes a timestamp with a zone; WITH_TIMEZONE(x, 'UTC') says in which one x is", span
        )
    type = pa.timestamp(x.type.unit, zone)
    if x.op == "const":
        return f.operations.const(type, x.attr, span)
    return f.operations.make("cast", type, (x,), None, span)


@_function("with_timezone", 2)
def _with_timezone(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    """The instant at which a clock in the zone showed the timestamp."""
    x, zone = f.point(args[0], name), _zone(f, args[1], name)
    if category(x.type) != "timestamp":
        raise f.error(f"WITH_TIMEZONE takes a timestamp without a zone, not {type_name(x)}", span)
    return f.called("with_timezone", pa.timestamp(x.type.unit, zone), (x,), span, zone)


@_function("date", 1)
def _date(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    return f.cast(args[0], "date", False, span)


@_function("last_day_of_month", 1)
def _last_day(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    x = f.cast(f.point(args[0], name), "date", False, span)
    return f.called("last_day_of_month", pa.date32(), (x,), span)


# Arrays --------------------------------------------------------------------------------------------------


def _list(f: Functions, node: Node, name: str) -> Node:
    if not is_list(node.type):
        raise f.error(f"{name.upper()} takes an array, not {type_name(node)}", node.span)
    return node


@_function("cardinality", 1)
def _cardinality(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    return f.called("cardinality", _INT64, (_list(f, args[0], name),), span)


@_function("subscript element_at", 2)
def _element(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    """x[i], from 1: a fault beyond the array. ELEMENT_AT: NULL there; from the end, if negative."""
    shown = "x[i]" if name == "subscript" else name
    array, index = _list(f, args[0], shown), _whole(f, args[1], shown)
    type = value_type(array.type.value_type)
    made = f.called("element", type, (array, index), span)
    if name == "element_at":
        return made
    fine = f.called("within", _BOOL, (array, index), span)
    words = "a subscript beyond the array; ELEMENT_AT gives NULL instead"
    if kernel_kind(type) is None:
        return f.called("check", type, (made, fine), span, words)
    return f.operations.make("check", type, (made, fine), words, span)


@_function("array", 0, MANY)
def _array(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    if not args:
        raise f.error("ARRAY[] has no type: give it at least one element", span)
    values = f.unified(args, "ARRAY", span)
    if pa.types.is_null(values[0].type):
        raise f.error("ARRAY[NULL] has no type: CAST one element", span)
    return f.called("array", pa.list_(values[0].type), tuple(values), span)


@_function("contains", 2)
def _contains(f: Functions, name: str, args: list[Node], span: Span) -> Node:
    """Whether an array has an element; NULL if it has not and there are NULLs in it."""
    array = _list(f, args[0], name)
    if is_null(args[1]):
        return f.operations.boolean(None, span)
    inner = f.operations.const(array.type.value_type, None, span)
    if category(inner.type) != category(args[1].type):
        raise f.error(
            f"CONTAINS looks for {type_name(args[1])} in an array of {array.type.value_type}: CAST one of them",
            span,
        )
    return f.called("contains", _BOOL, (array, args[1]), span)


__all__ = ["FUNCTIONS", "MANY", "REFUSED", "Function"]
