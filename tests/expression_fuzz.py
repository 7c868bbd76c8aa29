"""Random typed expressions, each as text for the product and as a Python function that gives its value.

What the product must do is written down here a third time (after the core and the spec oracle), with the types kept:
64-bit signed and unsigned integers, doubles, text, booleans, points in time and durations. A value is None for
NULL, or `FAULT` for what has none (overflow, integer division by zero); FALSE AND fault is FALSE, TRUE OR fault TRUE.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

FAULT = object()
Row = Mapping[str, Any]
Value = Callable[[Row], Any]


@dataclass(frozen=True)
class Tree:
    text: str
    kind: str  # "i64", "u64", "f64", "str", "bool", "time", "span"
    value: Value
    constant: bool = False


# Columns: name -> (type, kind, what a row may hold; times and durations as counts of their unit).
_ints = [-(2**63), -(2**63) + 1, -(2**31), -3, -2, -1, 0, 1, 2, 3, 7, 2**31, 2**53 + 1, 2**63 - 2, 2**63 - 1]
_floats = [0.0, -0.0, 1.0, -1.5, 2.5, 1e308, -1e308, 5e-324, math.inf, -math.inf, math.nan, 3.0, float(2**53)]
_words = ["", "a", "b", "ab", "a" * 12, "a" * 13, "é", "\U0001f600", "￿", "it's", "\0", "b\0a"]
_seconds = [-(10**9), -1, 0, 1, 59, 86_400, 10**9]


def _of(low: int, high: int) -> list[int]:
    return [v for v in {*_ints, low, high, *range(-3, 4)} if low <= v <= high]


COLUMNS: dict[str, tuple[pa.DataType, str, list[Any]]] = {
    "i64": (pa.int64(), "i64", _ints),
    "j64": (pa.int64(), "i64", list(range(-3, 4))),
    "i32": (pa.int32(), "i64", _of(-(2**31), 2**31 - 1)),
    "i16": (pa.int16(), "i64", _of(-(2**15), 2**15 - 1)),
    "i8": (pa.int8(), "i64", _of(-128, 127)),
    "u8": (pa.uint8(), "i64", _of(0, 255)),
    "u16": (pa.uint16(), "i64", _of(0, 2**16 - 1)),
    "u32": (pa.uint32(), "i64", _of(0, 2**32 - 1)),
    "u64": (pa.uint64(), "u64", [0, 1, 2, 3, 2**63 - 1, 2**63, 2**64 - 1]),
    "v64": (pa.uint64(), "u64", [0, 1, 2, 3]),
    "f64": (pa.float64(), "f64", _floats),
    "g64": (pa.float64(), "f64", [-2.0, -1.0, 0.0, 0.5, 1.0, 2.0]),
    "f32": (pa.float32(), "f64", [0.0, -0.0, 1.0, -1.5, math.inf, math.nan, 0.5, 2.0**100]),
    "f16": (pa.float16(), "f64", [0.0, 1.0, -1.5, 0.5, 65504.0]),
    "s": (pa.string(), "str", _words),
    "ls": (pa.large_string(), "str", _words),
    "sv": (pa.string_view(), "str", _words),
    "ds": (pa.dictionary(pa.int8(), pa.string()), "str", _words),
    "du": (pa.dictionary(pa.uint32(), pa.large_string()), "str", _words),
    "b": (pa.bool_(), "bool", [False, True]),
    "c": (pa.bool_(), "bool", [False, True]),
    "ts": (pa.timestamp("s"), "time", _seconds),
    "tms": (pa.timestamp("ms"), "time", _seconds),
    "tns": (pa.timestamp("ns"), "time", _seconds),
    "d32": (pa.date32(), "time", [-1, 0, 1, 20_000]),
    "dus": (pa.duration("us"), "span", _seconds),
    "dss": (pa.duration("s"), "span", [-1, 0, 1, 60]),
}
_UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


def unit_of(kind: pa.DataType) -> int:
    return 86_400 * 10**9 if pa.types.is_date32(kind) else _UNITS[kind.unit]


def array(name: str, values: list[Any]) -> pa.Array:
    """The column of `values` (counts for temporal types); a dictionary has a null among its values, too."""
    type = COLUMNS[name][0]
    if pa.types.is_dictionary(type):
        words = [*dict.fromkeys(v for v in values if v is not None), None]
        at = [words.index(v) if v is not None or i % 2 else None for i, v in enumerate(values)]
        return pa.DictionaryArray.from_arrays(
            pa.array(at, type.index_type), pa.array(words, pa.string()).cast(type.value_type)
        )
    if pa.types.is_temporal(type):
        return pa.array(values, pa.int32() if type.bit_width == 32 else pa.int64()).cast(type)
    return pa.array(values, type)


def row_of(name: str, value: Any) -> Any:
    """What an expression sees of `value`: nanoseconds for times and durations."""
    type, kind, _ = COLUMNS[name]
    return value * unit_of(type) if value is not None and kind in ("time", "span") else value


# ---------------------------------------------------------------- values


def _strict(f: Callable[..., Any]) -> Callable[..., Any]:
    """NULL for a NULL operand; a fault for one that is a fault, beside a NULL too."""

    def value(*operands: Any) -> Any:
        if any(x is FAULT for x in operands):
            return FAULT
        return None if any(x is None for x in operands) else f(*operands)

    return value


def _ranged(kind: str, value: int) -> Any:
    low, high = (0, 2**64 - 1) if kind == "u64" else (-(2**63), 2**63 - 1)
    return value if low <= value <= high else FAULT


def _integers(op: str, kind: str) -> Callable[[int, int], Any]:
    def value(x: int, y: int) -> Any:
        if op in "/%" and y == 0:
            return FAULT
        if op == "/":
            return _ranged(kind, abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1))
        if op == "%":
            return (abs(x) % abs(y)) * (-1 if x < 0 else 1)
        return _ranged(kind, x + y if op == "+" else x - y if op == "-" else x * y)

    return value


def _doubles(op: str) -> Callable[[float, float], float]:
    def value(x: float, y: float) -> float:
        if op == "/":
            if y == 0:
                return math.nan if x == 0 or x != x else math.copysign(math.inf, x) * math.copysign(1.0, y)
            return x / y
        if op == "%":
            return math.nan if y == 0 or math.isinf(x) else math.fmod(x, y)
        return x + y if op == "+" else x - y if op == "-" else x * y

    return value


def _compare(op: str, x: Any, y: Any) -> bool:
    if isinstance(x, str):
        x, y = x.encode(), y.encode()
    return {"=": x == y, "<>": x != y, "<": x < y, "<=": x <= y, ">": x > y, ">=": x >= y}[op]


def _both(settles: bool, x: Any, y: Any) -> Any:
    if x is settles or y is settles:
        return settles
    if x is FAULT or y is FAULT:
        return FAULT
    return None if x is None or y is None else not settles


# ---------------------------------------------------------------- strategies


def _column(name: str) -> Tree:
    return Tree(name, COLUMNS[name][1], lambda row: row[name])


def _columns_of(kind: str) -> st.SearchStrategy[Tree]:
    return st.sampled_from([_column(n) for n, (_, k, _) in COLUMNS.items() if k == kind])


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _literal(text: str, kind: str, value: Any) -> Tree:
    return Tree(text, kind, lambda row: value, constant=True)


_int_literals = st.sampled_from([-3, -2, -1, 0, 1, 2, 3, 10, 2**31, -(2**63) + 1, 2**63 - 1]).map(
    lambda v: _literal(f"({v})" if v < 0 else str(v), "i64", v)
)
_float_literals = st.sampled_from(["0.5", "1.0", "2.5", "1e308", "3.0"]).map(
    lambda t: _literal(t, "f64", float(t))
)
_text_literals = st.sampled_from([w for w in _words if "\0" not in w]).map(
    lambda w: _literal(quoted(w), "str", w)
)
_ops = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
_intervals = st.sampled_from(
    [
        ("INTERVAL '1' SECOND", 10**9),
        ("INTERVAL '1' DAY", 86_400 * 10**9),
        ("INTERVAL '2' MINUTE", 120 * 10**9),
    ]
).map(lambda p: _literal(p[0], "span", p[1]))
_instants = st.sampled_from(
    [
        ("TIMESTAMP '1970-01-01 00:00:01'", 10**9),
        ("DATE '1970-01-02'", 86_400 * 10**9),
        ("DATE '2024-10-04'", 20_000 * 86_400 * 10**9),
    ]
).map(lambda p: _literal(p[0], "time", p[1]))


def _with(literals: st.SearchStrategy[Tree], tree: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    return st.one_of(tree, tree, literals)


def _arithmetic(op: str, x: Tree, y: Tree) -> Tree:
    text = f"({x.text} {op} {y.text})"
    if "f64" in (x.kind, y.kind):
        work = _strict(lambda a, b: _doubles(op)(float(a), float(b)))
        return Tree(text, "f64", lambda row: work(x.value(row), y.value(row)))
    kind = "u64" if "u64" in (x.kind, y.kind) else "i64"
    whole = _strict(_integers(op, kind))
    return Tree(text, kind, lambda row: whole(x.value(row), y.value(row)))


def _negated(x: Tree) -> Tree:
    work = _strict((lambda a: -a) if x.kind == "f64" else (lambda a: _ranged("i64", -a)))
    return Tree(f"(- {x.text})", x.kind, lambda row: work(x.value(row)))


def _chosen(op: str, x: Tree, limit: Tree, yes: Tree, no: Tree) -> Tree:
    test = _compared(op, x, limit)

    def value(row: Row) -> Any:
        found = test.value(row)
        return FAULT if found is FAULT else yes.value(row) if found is True else no.value(row)

    return Tree(f"CASE WHEN {test.text} THEN {yes.text} ELSE {no.text} END", yes.kind, value)


def _coalesced(x: Tree, y: Tree) -> Tree:
    def value(row: Row) -> Any:
        found = x.value(row)
        return y.value(row) if found is None else found

    return Tree(f"COALESCE({x.text}, {y.text})", x.kind, value)


def _nullif(x: Tree, y: Tree) -> Tree:
    def value(row: Row) -> Any:
        a, b = x.value(row), y.value(row)
        return FAULT if FAULT in (a, b) else None if a is not None and b is not None and a == b else a

    return Tree(f"NULLIF({x.text}, {y.text})", x.kind, value)


def _away(x: float) -> float:
    """Rounded, halves away from zero."""
    whole = math.trunc(x)
    return math.copysign(abs(whole) + (abs(x - whole) >= 0.5), x)


def _function_of_one(name: str, x: Tree) -> Tree:
    def work(a: Any) -> Any:
        if name == "ABS":
            return abs(a) if x.kind == "f64" else _ranged("i64", abs(a))
        if name == "SIGN":
            return a if a == 0 or a != a else math.copysign(1.0, a) if x.kind == "f64" else (a > 0) - (a < 0)
        if x.kind == "i64" or a != a or math.isinf(a):
            return a
        whole = {"FLOOR": math.floor, "CEIL": math.ceil, "ROUND": _away}[name](a)
        return math.copysign(float(whole), a)

    strict = _strict(work)
    return Tree(f"{name}({x.text})", x.kind, lambda row: strict(x.value(row)))


def _whole_cast(x: Tree, type: str, attempt: bool) -> Tree:
    bits = {"BIGINT": 64, "INTEGER": 32, "SMALLINT": 16, "TINYINT": 8}[type]

    def work(a: Any) -> Any:
        whole = (
            None if a != a or (x.kind == "f64" and math.isinf(a)) else int(_away(a)) if x.kind == "f64" else a
        )
        fits = whole is not None and -(2 ** (bits - 1)) <= whole < 2 ** (bits - 1)
        return whole if fits else None if attempt else FAULT

    strict = _strict(work)
    return Tree(f"{'TRY_' * attempt}CAST({x.text} AS {type})", "i64", lambda row: strict(x.value(row)))


def _numbers(kind: str) -> st.SearchStrategy[Tree]:
    literals = {"i64": _int_literals, "f64": st.one_of(_float_literals, _int_literals), "u64": st.nothing()}[
        kind
    ]

    def grow(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
        ops = st.sampled_from("+-*/%")
        other = _columns_of("i64") if kind == "f64" else inner
        two = st.builds(_arithmetic, ops, inner, st.one_of(inner, inner, other, literals))
        back = st.builds(lambda op, x, y: _arithmetic(op, y, x), ops, inner, st.one_of(inner, literals))
        chosen = st.builds(
            _chosen, _ops, st.one_of(_columns_of("i64"), _columns_of("f64")), _int_literals, inner, inner
        )
        first = st.builds(_coalesced, inner, inner)
        unless = st.builds(_nullif, inner, inner)
        if kind == "u64":
            return st.one_of(two, back, chosen, first)
        of_one = st.builds(
            _function_of_one, st.sampled_from(["ABS", "SIGN", "FLOOR", "CEIL", "ROUND"]), inner
        )
        made = [two, two, back, inner.map(_negated), chosen, first, unless, of_one]
        if kind == "i64":
            types = st.sampled_from(["BIGINT", "INTEGER", "SMALLINT", "TINYINT"])
            doubles = st.one_of(_columns_of("f64"), inner)
            made.append(st.builds(_whole_cast, doubles, types, st.booleans()))
        return st.one_of(*made)

    return st.recursive(_columns_of(kind), grow, max_leaves=4)


def _compared(op: str, x: Tree, y: Tree) -> Tree:
    floats = "f64" in (x.kind, y.kind) and not (x.constant or y.constant)

    def compare(a: Any, b: Any) -> bool:
        return _compare(op, float(a), float(b)) if floats else _compare(op, a, b)

    work = _strict(compare)
    return Tree(f"{x.text} {op} {y.text}", "bool", lambda row: work(x.value(row), y.value(row)))


def _null_test(x: Tree, negated: bool) -> Tree:
    def value(row: Row) -> Any:
        found = x.value(row)
        return FAULT if found is FAULT else (found is None) != negated

    return Tree(f"{x.text} IS {'NOT ' if negated else ''}NULL", "bool", value)


def _logical(op: str, x: Tree, y: Tree) -> Tree:
    return Tree(
        f"({x.text} {op} {y.text})", "bool", lambda row: _both(op == "OR", x.value(row), y.value(row))
    )


def _not(x: Tree) -> Tree:
    work = _strict(lambda a: not a)
    return Tree(f"NOT ({x.text})", "bool", lambda row: work(x.value(row)))


def _between(x: Tree, low: Tree, high: Tree, negated: bool) -> Tree:
    both = _logical("AND", _compared(">=", x, low), _compared("<=", x, high))
    value = _not(both).value if negated else both.value
    return Tree(f"{x.text} {'NOT ' if negated else ''}BETWEEN {low.text} AND {high.text}", "bool", value)


def _in(x: Tree, values: list[Tree], null: bool, negated: bool) -> Tree:
    work = _compared("=", x, values[0])
    for v in values[1:]:
        work = _logical("OR", work, _compared("=", x, v))
    if null:
        work = _logical("OR", work, Tree("NULL", "bool", lambda row: None))
    texts = [v.text for v in values] + ["NULL"] * null
    value = _not(work).value if negated else work.value
    return Tree(f"{x.text} {'NOT ' if negated else ''}IN ({', '.join(texts)})", "bool", value)


_i, _u, _f = _numbers("i64"), _numbers("u64"), _numbers("f64")
_s, _t, _d = _columns_of("str"), _columns_of("time"), _columns_of("span")
_flags = st.booleans()
_pairs = st.one_of(
    st.tuples(_i, _with(_int_literals, _i)),
    st.tuples(_int_literals, _i),
    st.tuples(_i, _float_literals),
    st.tuples(_i, st.one_of(_i, _f)),
    st.tuples(_columns_of("u64"), _columns_of("i64")),
    st.tuples(_columns_of("i64"), _u),
    st.tuples(_u, st.one_of(_u, _int_literals, _float_literals)),
    st.tuples(_f, st.one_of(_f, _float_literals, _int_literals)),
    st.tuples(_float_literals, _f),
    st.tuples(_s, _with(_text_literals, _s)),
    st.tuples(_text_literals, _s),
    st.tuples(_t, _with(_instants, _t)),
    st.tuples(_d, _with(_intervals, _d)),
)
predicates: st.SearchStrategy[Tree] = st.one_of(
    st.builds(lambda op, p: _compared(op, *p), _ops, _pairs),
    st.builds(lambda op, p: _compared(op, *p), _ops, _pairs),
    st.builds(_null_test, st.one_of(_i, _f, _s, _t, _columns_of("bool")), _flags),
    _columns_of("bool"),
    st.builds(_between, _i, _with(_int_literals, _i), _with(_int_literals, _i), _flags),
    st.builds(_between, _s, _with(_text_literals, _s), _with(_text_literals, _s), _flags),
    st.builds(_in, _i, st.lists(_int_literals, min_size=1, max_size=4), _flags, _flags),
    st.builds(
        _in,
        _columns_of("f64"),
        st.lists(st.one_of(_float_literals, _int_literals), min_size=1, max_size=4),
        _flags,
        _flags,
    ),
    st.builds(_in, _s, st.lists(_text_literals, min_size=1, max_size=4), _flags, _flags),
    st.builds(_in, _s, st.lists(_s, min_size=1, max_size=2), _flags, _flags),
)
conditions: st.SearchStrategy[Tree] = st.recursive(
    predicates,
    lambda inner: st.one_of(
        st.builds(_logical, st.sampled_from(["AND", "OR"]), inner, inner), inner.map(_not)
    ),
    max_leaves=5,
)
numbers: st.SearchStrategy[Tree] = st.one_of(_i, _u, _f)


@st.composite
def rows(draw: st.DrawFn, max_rows: int = 20) -> dict[str, list[Any]]:
    """Column name -> values; every column has nulls now and then."""
    n = draw(st.integers(0, max_rows))
    cells = {
        name: st.lists(st.sampled_from([*values, *values[:3], None]), min_size=n, max_size=n)
        for name, (_, _, values) in COLUMNS.items()
    }
    return {name: draw(strategy) for name, strategy in cells.items()}
