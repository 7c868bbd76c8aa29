"""The oracle's expressions, second half: tree -> value, one row at a time, on plain Python values.

Values are Python's own: None is NULL, `bool`, `int`, `float`, `str`, `list`, plus `Instant` (dates and timestamps)
and `Span` (durations), both exact counts of nanoseconds, so that every unit compares with every other.

Two more are values that never leave a condition:
    Fault     an overflow of int64, a division of an integer by zero, a cast that fails: what raises EvaluationError
    PENDING   depends on a row that has not come yet (NEXT, live); never in a finished table
FALSE AND either is FALSE and TRUE OR either is TRUE, in either order; a CASE is only what its taken branch is;
anything else that touches one is one, PENDING rather than Fault, since it may still become FALSE AND fault.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from oracle_expression import (
    EPOCH,
    INT64_MAX,
    INT64_MIN,
    EvaluationError,
    Instant,
    OracleError,
    Span,
    instant,
)


@dataclass(frozen=True)
class Fault:
    text: str


class _Pending:
    def __repr__(self) -> str:
        return "PENDING"


PENDING = _Pending()
Leaf = Callable[[tuple], Any]  # gives the value of a node which reads rows


def broken(*values: Any) -> Any:
    """PENDING or a Fault among `values`, or None."""
    if any(v is PENDING for v in values):
        return PENDING
    return next((v for v in values if isinstance(v, Fault)), None)


def _int(value: int) -> Any:
    return value if INT64_MIN <= value <= INT64_MAX else Fault(f"{value} is no int64")


def _divide(x: int, y: int, remainder: bool) -> Any:
    if y == 0:
        return Fault("integer division by zero")
    quotient = abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)
    return _int(x - y * quotient if remainder else quotient)


def _float_divide(x: float, y: float) -> float:
    if y != 0:
        return x / y
    sign = math.copysign(1.0, x) * math.copysign(1.0, y)
    return math.nan if x == 0 or math.isnan(x) else sign * math.inf


def _arithmetic(op: str, x: Any, y: Any) -> Any:
    if isinstance(x, (Instant, Span)) or isinstance(y, (Instant, Span)):
        if op == "*" and isinstance(x, Span) != isinstance(y, Span):
            return Span(x.ns * y if isinstance(x, Span) else x * y.ns)
        if isinstance(y, Instant) and isinstance(x, Span) and op == "+":
            x, y = y, x
        if op == "-" and not (isinstance(x, Span) and isinstance(y, Instant)):
            return Span(x.ns - y.ns) if type(x) is type(y) else Instant(x.ns - y.ns)
        if op == "+" and not (isinstance(x, Instant) and isinstance(y, Instant)):
            return (Span if isinstance(x, Span) and isinstance(y, Span) else Instant)(x.ns + y.ns)
        raise OracleError(f"{op} between {x} and {y}")
    whole = isinstance(x, int) and isinstance(y, int)
    if op in "/%":
        if whole:
            return _divide(x, y, op == "%")
        if op == "%":
            return math.nan if y == 0 or math.isinf(x) else math.fmod(x, y)
        return _float_divide(float(x), float(y))
    value = x + y if op == "+" else x - y if op == "-" else x * y
    return _int(value) if whole else value


def _bytes(x: Any) -> Any:
    return x.encode() if isinstance(x, str) else x  # texts are in the order of their UTF-8 bytes


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda x, y: x == y,
    "<>": lambda x, y: x != y,
    "<": lambda x, y: x < y,
    "<=": lambda x, y: x <= y,
    ">": lambda x, y: x > y,
    ">=": lambda x, y: x >= y,
}


def _operate(op: str, x: Any, y: Any) -> Any:
    bad = broken(x, y)
    if bad is not None:
        return bad
    if x is None or y is None:
        return None
    if isinstance(x, list) and op in ("=", "<>"):
        same = _same_list(x, y)
        return same if same is None or op == "=" else not same
    return _COMPARE[op](_bytes(x), _bytes(y)) if op in _COMPARE else _arithmetic(op, x, y)


def _same_list(x: list, y: list) -> bool | None:
    if len(x) != len(y):
        return False
    pairs = [None if a is None or b is None else a == b for a, b in zip(x, y, strict=True)]
    return False if False in pairs else None if None in pairs else True


def _logic(kind: str, x: Any, y: Any) -> Any:
    settles = kind == "or"  # TRUE settles OR, FALSE settles AND, whatever stands on the other side
    if x is settles or y is settles:
        return settles
    bad = broken(x, y)
    if bad is not None:
        return bad
    return None if x is None or y is None else not settles


def _case(tree: tuple, leaf: Leaf) -> Any:
    for condition, value in tree[2]:
        test = condition if tree[1] is None else ("op", "=", tree[1], condition)
        holds = evaluate(test, leaf)
        bad = broken(holds)
        if bad is not None:
            return bad
        if holds is True:
            return evaluate(value, leaf)
    return evaluate(tree[3], leaf)


def evaluate(tree: tuple, leaf: Leaf) -> Any:
    """The value of `tree`; `leaf` gives that of every node which reads rows ("col", "nav", "agg", ...)."""
    kind = tree[0]
    if kind == "lit":
        return _int(tree[1]) if type(tree[1]) is int else tree[1]
    if kind == "op":
        return _operate(tree[1], evaluate(tree[2], leaf), evaluate(tree[3], leaf))
    if kind in ("and", "or"):
        return _logic(kind, evaluate(tree[1], leaf), evaluate(tree[2], leaf))
    if kind == "case":
        return _case(tree, leaf)
    if kind in ("not", "null?", "neg", "cast", "like", "distinct", "call"):
        operands = [evaluate(x, leaf) for x in tree[1:] if isinstance(x, tuple)]
        bad = broken(*operands)
        return bad if bad is not None else _apply(tree, operands)
    return leaf(tree)


def _apply(tree: tuple, operands: list[Any]) -> Any:
    kind, x = tree[0], operands[0] if operands else None
    if kind == "null?":
        return x is None
    if kind == "distinct":
        y = operands[1]
        return (x is None) != (y is None) if x is None or y is None else x != y
    if kind == "call":
        return _call(tree[1], operands)
    if x is None:
        return None
    if kind == "not":
        return not x
    if kind == "neg":
        return Span(-x.ns) if isinstance(x, Span) else _int(-x) if isinstance(x, int) else -x
    if kind == "like":
        return None if operands[1] is None else _like(x, operands[1], tree[3])
    return _cast(x, tree[2], tree[3])


def _like(text: str, pattern: str, escape: str | None) -> bool:
    regex, at = "", 0
    while at < len(pattern):
        if pattern[at] == escape:
            at += 1
            regex += re.escape(pattern[at])
        else:
            regex += {"%": ".*", "_": "."}.get(pattern[at]) or re.escape(pattern[at])
        at += 1
    return re.fullmatch(regex, text, re.DOTALL) is not None


def _half_away(x: float, digits: int = 0) -> float:
    """Rounded to `digits` after the point, halves away from zero, as SQL does."""
    scaled = abs(x) * 10**digits
    return math.copysign(math.floor(scaled + 0.5) / 10**digits, x)


_BITS = {"TINYINT": 8, "SMALLINT": 16, "INTEGER": 32, "INT": 32, "BIGINT": 64}


def _cast(x: Any, name: str, attempt: bool) -> Any:
    try:
        if name in _BITS:
            value = int(x) if not isinstance(x, float) else int(_half_away(x))
            if abs(value + 0.5) > 2 ** (_BITS[name] - 1):
                raise ValueError(f"{x} is no {name}")
            return value
        if name in ("DOUBLE", "REAL"):
            return float(x)
        if name in ("VARCHAR", "STRING", "TEXT"):
            return str(x).lower() if isinstance(x, bool) else str(x)
        if name == "BOOLEAN":
            known: dict[Any, bool] = {
                "true": True,
                "t": True,
                "1": True,
                "false": False,
                "f": False,
                "0": False,
            }
            return known[x.lower()] if isinstance(x, str) else bool(x)
        if name in ("DATE", "TIMESTAMP"):
            if isinstance(x, str):
                return instant(dt.datetime.fromisoformat(x.strip()))
            return Instant(x.ns - x.ns % (86_400 * 10**9)) if name == "DATE" else x
    except (ValueError, OverflowError, KeyError) as error:
        return None if attempt else Fault(f"CAST: {error}")
    raise OracleError(f"no type {name}")


def _field(name: str, x: Instant) -> int:
    return int(getattr(EPOCH + dt.timedelta(microseconds=x.ns // 1000), name.lower()))


def _truncated(unit: str, x: Instant) -> Instant:
    when = EPOCH + dt.timedelta(microseconds=x.ns // 1000)
    units = ["year", "month", "day", "hour", "minute", "second"]
    zeroed = {u: 1 if u in ("month", "day") else 0 for u in units[units.index(unit) + 1 :]}
    return instant(when.replace(**zeroed, microsecond=0))


def _substr(x: str, start: int, length: int | None = None) -> str:
    if start == 0 or abs(start) > len(x):
        return ""
    begin = start - 1 if start > 0 else len(x) + start
    return x[begin:] if length is None else x[begin : begin + max(length, 0)]


def _padded(x: str, size: int, fill: str, left: bool) -> str:
    if len(x) >= size:
        return x[:size]
    padding = (fill * size)[: size - len(x)]
    return padding + x if left else x + padding


def _logarithm(x: float, base: float) -> float:
    if x <= 0 or math.isnan(x):
        return -math.inf if x == 0 else math.nan
    return math.log(x) if base == math.e else math.log2(x) if base == 2 else math.log10(x)


_CALLS: dict[str, Callable[..., Any]] = {
    "CONCAT": lambda *v: [i for x in v for i in x] if isinstance(v[0], list) else "".join(v),
    "SUBSCRIPT": lambda x, i: x[i - 1] if 0 < i <= len(x) else Fault(f"no element {i}"),
    "GREATEST": lambda *v: max(v, key=_bytes),
    "LEAST": lambda *v: min(v, key=_bytes),
    "ABS": lambda x: _int(abs(x)) if isinstance(x, int) else abs(x),
    "SIGN": lambda x: (x > 0) - (x < 0) if isinstance(x, int) else math.copysign(1.0, x) if x else x,
    "FLOOR": lambda x: x if isinstance(x, int) or not math.isfinite(x) else float(math.floor(x)),
    "CEIL": lambda x: x if isinstance(x, int) or not math.isfinite(x) else float(math.ceil(x)),
    "ROUND": lambda x, d=0: x if isinstance(x, int) or not math.isfinite(x) else _half_away(x, d),
    "SQRT": lambda x: math.sqrt(x) if x >= 0 else math.nan,
    "EXP": lambda x: math.exp(x),
    "LN": lambda x: _logarithm(x, math.e),
    "LOG2": lambda x: _logarithm(x, 2),
    "LOG10": lambda x: _logarithm(x, 10),
    "POWER": lambda x, y: math.pow(x, y),
    "MOD": lambda x, y: _arithmetic("%", x, y),
    "LOWER": lambda x: x.lower(),
    "UPPER": lambda x: x.upper(),
    "LENGTH": lambda x: len(x),
    "SUBSTR": _substr,
    "TRIM": lambda x: x.strip(),
    "LTRIM": lambda x: x.lstrip(),
    "RTRIM": lambda x: x.rstrip(),
    "REPLACE": lambda x, old, new: x.replace(old, new),
    "REVERSE": lambda x: x[::-1],
    "STRPOS": lambda x, y: x.find(y) + 1,
    "STARTS_WITH": lambda x, y: x.startswith(y),
    "LPAD": lambda x, n, fill: _padded(x, n, fill, True),
    "RPAD": lambda x, n, fill: _padded(x, n, fill, False),
    "CARDINALITY": lambda x: len(x),
    "DATE_TRUNC": lambda unit, x: _truncated(unit, x),
    "DATE_DIFF": lambda unit, x, y: _int(math.trunc((y.ns - x.ns) / _UNITS[unit])),
    **{f: (lambda x, f=f: _field(f, x)) for f in ("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND")},
}
_UNITS = {
    "day": 86_400 * 10**9, "hour": 3_600 * 10**9, "minute": 60 * 10**9, "second": 10**9, "millisecond": 10**6,
}  # fmt: skip


def _call(name: str, operands: list[Any]) -> Any:
    if name == "ARRAY":
        return operands
    if name == "CONCAT_WS":
        if operands[0] is None:
            return None
        words = [w for v in operands[1:] for w in (v if isinstance(v, list) else [v]) if w is not None]
        return operands[0].join(words)
    if name == "CONTAINS" and operands[0] is not None and operands[1] is not None:
        return operands[1] in operands[0] or (None if None in operands[0] else False)
    if any(v is None for v in operands):
        return None
    return _CALLS[name](*operands)


def aggregate(name: str, rows: list[tuple]) -> Any:
    """The aggregate over `rows`, one tuple of arguments each, in the order of the match."""
    bad = broken(*(v for row in rows for v in row))
    if bad is not None:
        return bad
    if name == "ARRAY_AGG":
        return [row[0] for row in rows] or None
    if name in ("MIN_BY", "MAX_BY"):
        known = [row for row in rows if row[1] is not None]
        if not known:
            return None
        return (min if name == "MIN_BY" else max)(known, key=lambda row: _bytes(row[1]))[0]
    values = [row[0] for row in rows if row[0] is not None]
    if name == "COUNT":
        return len(values)
    if not values:
        return None
    if name == "ANY_VALUE":
        return values[0]
    if name in ("BOOL_AND", "BOOL_OR"):
        return all(values) if name == "BOOL_AND" else any(values)
    if name in ("MIN", "MAX"):
        ordered = sorted(values, key=_bytes)
        return ordered[0] if name == "MIN" else ordered[-1]
    if name == "SUM":
        total: Any = values[0]
        for v in values[1:]:
            total = _operate("+", total, v)
        return total
    if name == "AVG":
        finite = all(map(math.isfinite, values))
        return (math.fsum(values) if finite else sum(values)) / len(values)
    numbers = [float(v) for v in values]
    if not name.endswith("_POP") and len(numbers) < 2:
        return None
    variance = statistics.pvariance(numbers) if name.endswith("_POP") else statistics.variance(numbers)
    return math.sqrt(variance) if name.startswith("STDDEV") else variance


def checked(value: Any, where: str) -> Any:
    assert value is not PENDING
    if isinstance(value, Fault):
        raise EvaluationError(f"{where}: {value.text}")
    return value
