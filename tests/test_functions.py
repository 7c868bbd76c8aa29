"""The scalar functions: what each gives for rows with NULLs and extremes, and what is refused, at its place.

Expressions are built by Functions over the columns below, and computed as the product does: by the kernel, and by
the library where the kernel cannot.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tocsin.compile.catalogue import FUNCTIONS, REFUSED
from tocsin.compile.functions import Functions
from tocsin.compile.ir import Node, Nodes, can_fault
from tocsin.compile.library import evaluate
from tocsin.compile.operations import MONTHS, Operations
from tocsin.errors import EvaluationError, PatternError
from tocsin.language.source import NOWHERE, Source

T, D = dt.datetime, dt.date
LOW, HIGH = -(2**63), 2**63 - 1
EPOCH = T(1970, 1, 1)
TABLE = {
    "i": pa.array([1, -25, None, HIGH, 0]),
    "j": pa.array([2, 0, 3, None, -7], pa.int8()),
    "u": pa.array([1, 2**64 - 1, None, 0, 5], pa.uint64()),
    "d": pa.array([0.5, -1.5, None, math.nan, 2.675]),
    "s": pa.array(["Ab c", "", None, "2024-3-01", "é😀x"]),
    "n": pa.array([" 12 ", "x", None, "-7", "1e3"]),
    "b": pa.array([True, False, None, True, False]),
    "day": pa.array([D(2024, 1, 31), D(1969, 12, 31), None, D(2000, 2, 29), D(1970, 1, 1)]),
    "t": pa.array(
        [
            T(2024, 1, 31, 10, 5, 7, 250_000),
            T(1969, 12, 31, 23, 59, 59, 500_000),
            None,
            T(2000, 2, 29),
            EPOCH,
        ],
        pa.timestamp("us"),
    ),
    "z": pa.array([1_711_846_799, 1_711_846_800, None, 0, 1], pa.int64())
    .cast(pa.timestamp("s"))
    .cast(pa.timestamp("s", "Europe/Paris")),
    "dec": pa.array(
        [Decimal("1.50"), Decimal("-2.50"), None, Decimal("3.49"), Decimal(0)], pa.decimal128(20, 2)
    ),
    "list": pa.array([[1, 2], [], None, [None, 3], [4]]),
    "raw": pa.array([b"a", b"", None, b"\xff", b"b"]),
    "span": pa.array([1, -1500, None, 0, 60_000], pa.duration("ms")),
}
NAMES = list(TABLE)
operations = Operations(Nodes(), Source("the text of a clause"))
f = Functions(operations)


NULL_INT = operations.const(pa.int64(), None, NOWHERE)


def c(name: str) -> Node:
    return operations.nodes.make("column", TABLE[name].type, (), (NAMES.index(name), 0))


def k(value: Any, type: pa.DataType | None = None) -> Node:
    types = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_(), bytes: pa.binary()}
    return operations.const(type or (pa.null() if value is None else types[value.__class__]), value, NOWHERE)


def call(name: str, *arguments: Any) -> Node:
    return f.call(name, [a if isinstance(a, Node) else k(a) for a in arguments], (4, 8))


def array(*values: Any) -> Node:
    return call("array", *values)


def cast(x: Node, type: str, attempt: bool = False) -> Node:
    return f.cast(x, type, attempt, (4, 8))


def plus(op: str, x: Node, y: Node) -> Node:
    return operations.arithmetic(op, x, y, (4, 8))


def value(node: Node) -> list[Any]:
    found = evaluate(node, lambda x: TABLE[NAMES[x.attr[0]]], 5)  # type: ignore[index]
    assert found.type == node.type or pa.types.is_string(found.type)
    return [None if v is None else "nan" if v != v else v for v in found.to_pylist()]


NULL = None
CASES = [
    # choices
    (call("coalesce", c("i"), c("j"), 9), [1, -25, 3, HIGH, 0]),
    (call("coalesce", c("d"), c("i")), [0.5, -1.5, NULL, "nan", 2.675]),
    (call("coalesce", c("day"), c("t")), [T(2024, 1, 31), T(1969, 12, 31), NULL, T(2000, 2, 29), EPOCH]),
    (
        call("coalesce", c("dec"), cast(c("i"), "decimal(20,2)", True)),
        [Decimal("1.50"), Decimal("-2.50"), NULL, Decimal("3.49"), Decimal("0.00")],
    ),
    (call("nullif", c("i"), 0), [1, -25, NULL, HIGH, NULL]),
    (call("nullif", c("s"), ""), ["Ab c", NULL, NULL, "2024-3-01", "é😀x"]),
    (call("if", c("b"), "yes", "no"), ["yes", "no", "no", "yes", "no"]),
    (call("if", c("b"), c("list")), [[1, 2], NULL, NULL, [None, 3], NULL]),
    (call("greatest", c("d"), 0.0), [0.5, 0.0, NULL, "nan", 2.675]),
    (call("least", c("d"), 0.0), [0.0, -1.5, NULL, 0.0, 0.0]),
    (call("greatest", c("i"), c("j"), 0), [2, 0, NULL, NULL, 0]),
    (call("least", c("s"), "B"), ["Ab c", "", NULL, "2024-3-01", "B"]),
    (
        f.case(None, [c("b"), operations.compare("gt", c("i"), k(5), NOWHERE)], [k(1), k(2)], k(3), NOWHERE),
        [1, 3, 3, 1, 3],
    ),
    (f.case(c("i"), [k(1), k(0)], [k("one"), k("none")], None, NOWHERE), ["one", NULL, NULL, NULL, "none"]),
    (f.case(None, [k(None), k(True)], [k(1), k(2.5)], None, NOWHERE), [2.5] * 5),
    (f.distinct(c("i"), c("j"), False, NOWHERE), [True, True, True, True, True]),
    (f.distinct(c("d"), c("d"), False, NOWHERE), [False] * 5),
    (f.distinct(c("i"), k(None), False, NOWHERE), [True, True, False, True, True]),
    (f.distinct(c("i"), k(None), True, NOWHERE), [False, False, True, False, False]),
    (f.distinct(c("d"), k(0.5), True, NOWHERE), [True, False, False, False, False]),
    # a fault in the branch that is not taken is none
    (
        f.case(
            None,
            [operations.compare("ne", c("i"), k(0), NOWHERE)],
            [plus("div", k(10), c("i"))],
            None,
            NOWHERE,
        ),
        [10, 0, NULL, 0, NULL],
    ),
    (
        f.case(
            None, [f.like(c("n"), k("%1%"), None, False, NOWHERE)], [cast(c("n"), "double")], k(0), NOWHERE
        ),
        [12.0, 0.0, 0.0, 0.0, 1000.0],
    ),
    (
        f.case(
            None,
            [operations.compare("ne", c("i"), k(0), NOWHERE)],
            [call("upper", cast(plus("div", k(10), c("i")), "varchar"))],
            k("?"),
            NOWHERE,
        ),
        ["10", "0", "?", "0", "?"],
    ),
    (call("try", plus("div", k(10), c("i"))), [10, 0, NULL, 0, NULL]),
    # numbers
    (call("abs", c("j")), [2, 0, 3, NULL, 7]),
    (call("abs", c("d")), [0.5, 1.5, NULL, "nan", 2.675]),
    (call("sign", c("i")), [1, -1, NULL, 1, 0]),
    (call("sign", c("u")), [1, 1, NULL, 0, 1]),
    (call("floor", c("d")), [0.0, -2.0, NULL, "nan", 2.0]),
    (call("ceil", c("d")), [1.0, -1.0, NULL, "nan", 3.0]),
    (call("round", c("d")), [1.0, -2.0, NULL, "nan", 3.0]),
    (call("round", c("d"), 1), [0.5, -1.5, NULL, "nan", 2.7]),
    (call("round", c("j"), -1), [0, 0, 0, NULL, -10]),
    (call("truncate", c("d")), [0.0, -1.0, NULL, "nan", 2.0]),
    (call("truncate", c("d"), 2), [0.5, -1.5, NULL, "nan", 2.67]),
    (call("sqrt", c("j")), [math.sqrt(2), 0.0, math.sqrt(3), NULL, "nan"]),
    (call("cbrt", c("j")), [2 ** (1 / 3), 0.0, 3 ** (1 / 3), NULL, -(7 ** (1 / 3))]),
    (call("power", c("j"), 2), [4.0, 0.0, 9.0, NULL, 49.0]),
    (call("ln", c("j")), [math.log(2), -math.inf, math.log(3), NULL, "nan"]),
    (call("log", 2, 8.0), [3.0] * 5),
    (call("exp", c("j")), [math.exp(2), 1.0, math.exp(3), NULL, math.exp(-7)]),
    (call("mod", c("i"), 7), [1, -4, NULL, HIGH % 7, 0]),
    (call("pi"), [math.pi] * 5),
    (call("is_nan", c("d")), [False, False, NULL, True, False]),
    (call("is_finite", c("d")), [True, True, NULL, False, True]),
    (call("is_infinite", call("infinity")), [True] * 5),
    (call("degrees", call("pi")), [180.0] * 5),
    (call("atan2", 0.0, c("d")), [0.0, math.pi, NULL, "nan", 0.0]),
    # casts
    (cast(c("d"), "bigint", True), [1, -2, NULL, NULL, 3]),
    (cast(c("i"), "tinyint", True), [1, -25, NULL, NULL, 0]),
    (cast(c("u"), "bigint", True), [1, NULL, NULL, 0, 5]),
    (cast(c("j"), "integer"), [2, 0, 3, NULL, -7]),
    (cast(c("i"), "double"), [1.0, -25.0, NULL, float(HIGH), 0.0]),
    (cast(c("d"), "real"), [0.5, -1.5, NULL, "nan", 2.6749999523162842]),
    (cast(c("b"), "integer"), [1, 0, NULL, 1, 0]),
    (cast(c("b"), "double"), [1.0, 0.0, NULL, 1.0, 0.0]),
    (cast(c("i"), "boolean"), [True, True, NULL, True, False]),
    (cast(c("n"), "bigint", True), [12, NULL, NULL, -7, NULL]),
    (cast(c("n"), "double", True), [12.0, NULL, NULL, -7.0, 1000.0]),
    (cast(c("n"), "decimal(5,1)", True), [Decimal("12.0"), NULL, NULL, Decimal("-7.0"), Decimal("1000.0")]),
    (cast(c("s"), "date", True), [NULL, NULL, NULL, D(2024, 3, 1), NULL]),
    (cast(c("s"), "timestamp(3)", True), [NULL, NULL, NULL, T(2024, 3, 1), NULL]),
    (cast(k("10:05:06.7"), "time(3)"), [dt.time(10, 5, 6, 700_000)] * 5),
    (
        cast(k("2024-03-01 10:00:00.5+02:00"), "timestamp(3) with time zone"),
        [T(2024, 3, 1, 8, 0, 0, 500_000, dt.UTC)] * 5,
    ),
    (cast(k("TRUE"), "boolean"), [True] * 5),
    (cast(c("dec"), "double"), [1.5, -2.5, NULL, 3.49, 0.0]),
    (cast(c("dec"), "bigint"), [2, -3, NULL, 3, 0]),
    (
        cast(c("dec"), "decimal(20,1)"),
        [Decimal("1.5"), Decimal("-2.5"), NULL, Decimal("3.5"), Decimal("0.0")],
    ),
    (cast(c("i"), "varchar"), ["1", "-25", NULL, str(HIGH), "0"]),
    (cast(c("d"), "varchar"), ["0.5", "-1.5", NULL, "NaN", "2.675"]),
    (cast(c("j"), "varchar(1)"), ["2", "0", "3", NULL, "-"]),
    (cast(cast(c("j"), "double"), "varchar"), ["2.0", "0.0", "3.0", NULL, "-7.0"]),
    (cast(c("b"), "varchar"), ["true", "false", NULL, "true", "false"]),
    (cast(c("t"), "date"), [D(2024, 1, 31), D(1969, 12, 31), NULL, D(2000, 2, 29), D(1970, 1, 1)]),
    (cast(c("t"), "timestamp(0)"), [T(2024, 1, 31, 10, 5, 7), EPOCH, NULL, T(2000, 2, 29), EPOCH]),
    (cast(c("t"), "time(0)"), [dt.time(10, 5, 7), dt.time(23, 59, 59), NULL, dt.time(0), dt.time(0)]),
    (cast(c("day"), "timestamp"), [T(2024, 1, 31), T(1969, 12, 31), NULL, T(2000, 2, 29), EPOCH]),
    (
        cast(c("z"), "timestamp"),
        [T(2024, 3, 31, 1, 59, 59), T(2024, 3, 31, 3), NULL, T(1970, 1, 1, 1), T(1970, 1, 1, 1, 0, 1)],
    ),
    # texts
    (call("upper", c("s")), ["AB C", "", NULL, "2024-3-01", "É😀X"]),
    (call("lower", c("s")), ["ab c", "", NULL, "2024-3-01", "é😀x"]),
    (call("length", c("s")), [4, 0, NULL, 9, 3]),
    (call("reverse", c("s")), ["c bA", "", NULL, "10-3-4202", "x😀é"]),
    (call("substr", c("s"), 2, 2), ["b ", "", NULL, "02", "😀x"]),
    (call("substr", c("s"), -2), [" c", "", NULL, "01", "😀x"]),
    (call("substr", c("s"), -2, 1), [" ", "", NULL, "0", "😀"]),
    (call("substr", c("s"), -9), ["", "", NULL, "2024-3-01", ""]),
    (call("substring", c("s"), 0, 3), ["", "", NULL, "", ""]),
    (call("trim", c("n")), ["12", "x", NULL, "-7", "1e3"]),
    (call("ltrim", c("n"), " 1"), ["2 ", "x", NULL, "-7", "e3"]),
    (call("replace", c("s"), "-", "."), ["Ab c", "", NULL, "2024.3.01", "é😀x"]),
    (call("concat", c("s"), c("n")), ["Ab c 12 ", "x", NULL, "2024-3-01-7", "é😀x1e3"]),
    (call("starts_with", c("s"), "é😀"), [False, False, NULL, False, True]),
    (call("ends_with", c("s"), "c"), [True, False, NULL, False, False]),
    (call("strpos", c("s"), "x"), [0, 0, NULL, 0, 3]),
    (call("position", "-", c("s")), [0, 0, NULL, 5, 0]),
    (call("lpad", c("n"), 5, "*"), ["* 12 ", "****x", NULL, "***-7", "**1e3"]),
    (call("rpad", c("s"), 2), ["Ab", "  ", NULL, "20", "é😀"]),
    (call("split_part", c("s"), "-", 2), [NULL, NULL, NULL, "3", NULL]),
    (call("regexp_like", c("s"), r"^\d{4}"), [False, False, NULL, True, False]),
    (call("regexp_extract", c("s"), r"(\d+)-([0-9(]+)", 2), [NULL, NULL, NULL, "3", NULL]),
    (call("regexp_replace", c("s"), r"(\d)-", "$1/"), ["Ab c", "", NULL, "2024/3/01", "é😀x"]),
    (f.like(c("s"), k("%b_c"), None, False, NOWHERE), [True, False, NULL, False, False]),
    (f.like(c("s"), k("2024%"), None, True, NOWHERE), [True, True, NULL, False, True]),
    (f.like(c("s"), k("%-3-%"), None, False, NOWHERE), [False, False, NULL, True, False]),
    (f.like(c("s"), k("é%"), None, False, NOWHERE), [False, False, NULL, False, True]),
    (f.like(c("s"), k(""), None, False, NOWHERE), [False, True, NULL, False, False]),
    (f.like(c("s"), k("é_x"), None, False, NOWHERE), [False, False, NULL, False, True]),
    (f.like(k("50%"), k("50#%"), "#", False, NOWHERE), [True] * 5),
    (f.like(k("a\nb.c"), k("a_b.%"), None, False, NOWHERE), [True] * 5),
    # dates and times
    (call("year", c("t")), [2024, 1969, NULL, 2000, 1970]),
    (call("extract", "quarter", c("day")), [1, 4, NULL, 1, 1]),
    (call("week", c("day")), [5, 1, NULL, 9, 1]),
    (call("day_of_week", c("day")), [3, 3, NULL, 2, 4]),
    (call("doy", c("day")), [31, 365, NULL, 60, 1]),
    (call("hour", c("z")), [1, 3, NULL, 1, 1]),
    (call("millisecond", c("t")), [250, 500, NULL, 0, 0]),
    (call("extract", "epoch", c("t")), [1706695507.25, -0.5, NULL, 951782400.0, 0.0]),
    (
        call("date_trunc", "month", c("day")),
        [D(2024, 1, 1), D(1969, 12, 1), NULL, D(2000, 2, 1), D(1970, 1, 1)],
    ),
    (
        call("date_trunc", "hour", c("t")),
        [T(2024, 1, 31, 10), T(1969, 12, 31, 23), NULL, T(2000, 2, 29), EPOCH],
    ),
    (call("date_diff", "day", c("day"), k(0, pa.date32())), [-19753, 1, NULL, -11016, 0]),
    (call("date_diff", "hour", k(0, pa.timestamp("ns")), c("t")), [474082, 0, NULL, 264384, 0]),
    (call("date_diff", "month", c("day"), k(19782, pa.date32())), [1, 650, NULL, 288, 649]),  # to 2024-02-29
    (
        call("date_add", "month", c("j"), c("day")),
        [D(2024, 3, 31), D(1969, 12, 31), NULL, NULL, D(1969, 6, 1)],
    ),
    (
        call("date_add", "day", c("j"), c("day")),
        [D(2024, 2, 2), D(1969, 12, 31), NULL, NULL, D(1969, 12, 25)],
    ),
    (
        plus("add", c("day"), k(1, MONTHS)),
        [D(2024, 2, 29), D(1970, 1, 31), NULL, D(2000, 3, 29), D(1970, 2, 1)],
    ),
    (
        plus("sub", c("t"), operations.arithmetic("mul", k(12, MONTHS), k(4), NOWHERE)),
        [
            T(2020, 1, 31, 10, 5, 7, 250_000),
            T(1965, 12, 31, 23, 59, 59, 500_000),
            NULL,
            T(1996, 2, 29),
            T(1966, 1, 1),
        ],
    ),
    (
        call("last_day_of_month", c("day")),
        [D(2024, 1, 31), D(1969, 12, 31), NULL, D(2000, 2, 29), D(1970, 1, 31)],
    ),
    (
        call("from_unixtime", c("j")),
        [
            T(1970, 1, 1, 0, 0, 2, 0, dt.UTC),
            T(1970, 1, 1, tzinfo=dt.UTC),
            T(1970, 1, 1, 0, 0, 3, 0, dt.UTC),
            NULL,
            T(1969, 12, 31, 23, 59, 53, 0, dt.UTC),
        ],
    ),
    (call("date", c("t")), [D(2024, 1, 31), D(1969, 12, 31), NULL, D(2000, 2, 29), D(1970, 1, 1)]),
    (call("to_milliseconds", c("span")), [1, -1500, NULL, 0, 60_000]),
    (
        cast(call("at_timezone", c("z"), "UTC"), "timestamp"),
        [T(2024, 3, 31, 0, 59, 59), T(2024, 3, 31, 1), NULL, EPOCH, T(1970, 1, 1, 0, 0, 1)],
    ),
    (call("to_unixtime", call("with_timezone", k(0, pa.timestamp("s")), "Europe/Paris")), [-3600.0] * 5),
    # arrays
    (call("element_at", c("list"), 1), [1, NULL, NULL, NULL, 4]),
    (call("element_at", c("list"), -1), [2, NULL, NULL, 3, 4]),
    (call("element_at", c("list"), LOW), [NULL] * 5),
    (call("cardinality", c("list")), [2, 0, NULL, 2, 1]),
    (call("contains", c("list"), 3), [False, False, NULL, True, False]),
    (call("contains", c("list"), 1), [True, False, NULL, NULL, False]),
    (call("subscript", call("array", c("i"), 7), 2), [7] * 5),
    (
        call("concat_ws", "-", c("s"), "x", c("n")),
        ["Ab c-x- 12 ", "-x-x", "x", "2024-3-01-x--7", "é😀x-x-1e3"],
    ),
    (
        call("concat_ws", c("n"), call("array", c("s"), "x")),
        ["Ab c 12 x", "xx", NULL, "2024-3-01-7x", "é😀x1e3x"],
    ),
    (
        call("array_join", call("array", c("s"), "x", None), "/"),
        ["Ab c/x", "/x", "x", "2024-3-01/x", "é😀x/x"],
    ),
    (operations.compare("eq", c("list"), array(1, 2), NOWHERE), [True, False, NULL, False, False]),
    (operations.compare("ne", c("list"), array(NULL_INT, 3), NOWHERE), [True, True, NULL, NULL, True]),
    (operations.compare("eq", c("list"), array(4.0), NOWHERE), [False, False, NULL, False, True]),
    (f.distinct(c("list"), array(NULL_INT, 3), False, NOWHERE), [True, True, True, False, True]),
    (f.distinct(c("list"), c("list"), True, NOWHERE), [True] * 5),
    (operations.compare("eq", call("array", c("u")), array(5), NOWHERE), [False, False, NULL, False, True]),
    (f.distinct(call("array", c("d")), array(math.nan), True, NOWHERE), [False, False, False, True, False]),
    (operations.null_test(c("list"), False, NOWHERE), [False, False, True, False, False]),
]


@pytest.mark.parametrize(
    ("node", "expected"), CASES, ids=lambda x: f"{x.op} {x.attr}" if isinstance(x, Node) else ""
)
def test_a_function_gives(node: Node, expected: list[Any]) -> None:
    for got, want in zip(value(node), expected, strict=True):
        assert got == (pytest.approx(want, rel=1e-15) if isinstance(want, float) else want)


FAULTS = [
    (
        call("abs", plus("sub", k(LOW), plus("mul", c("j"), k(0)))),
        "overflow in 'ABS' of -9223372036854775808",
    ),
    (cast(c("d"), "bigint"), r"out of the range of BIGINT \(nan\)"),
    (cast(c("i"), "integer"), r"out of the range of INTEGER \(9223372036854775807\)"),
    (cast(c("u"), "bigint"), r"out of the range of BIGINT \(18446744073709551615\)"),
    (cast(c("n"), "bigint"), "CAST AS BIGINT: the value cannot be one; TRY_CAST"),
    (cast(c("n"), "decimal(3,1)"), "CAST AS DECIMAL"),
    (call("subscript", c("list"), 1), "a subscript beyond the array"),
    (call("subscript", c("list"), 0), "a subscript beyond the array"),
    (call("upper", cast(plus("div", k(1), c("i")), "varchar")), "an argument of UPPER has no value"),
    (call("date_add", "month", c("i"), c("t")), "that many months on is beyond"),
    (call("round", c("i"), -1), "overflow"),
]


@pytest.mark.parametrize(("node", "words"), FAULTS)
def test_a_fault_says_what_is_wrong(node: Node, words: str) -> None:
    assert can_fault(node)
    with pytest.raises(EvaluationError, match=words):
        value(node)


REFUSALS = [
    (lambda: call("uper", c("s")), "no function UPER: did you mean UPPER"),
    (lambda: call("now"), "reads a clock"),
    (lambda: call("abs"), "ABS takes 1 argument, not 0"),
    (lambda: call("substr", c("s")), "SUBSTR takes 2 to 3 arguments, not 1"),
    (lambda: call("coalesce"), "COALESCE takes 1 or more arguments, not 0"),
    (lambda: call("abs", c("s")), "ABS takes a number, not string"),
    (lambda: call("sqrt", c("dec")), r"SQRT takes a number, not decimal.*CAST"),
    (lambda: call("upper", c("i")), "UPPER takes a text, not int64"),
    (lambda: call("concat", c("s"), c("i")), r"\|\| takes a text, not int64"),
    (lambda: call("replace", c("s"), c("n")), "has to be a constant text"),
    (lambda: call("regexp_like", c("s"), "(a"), "not a regular expression"),
    (lambda: call("regexp_extract", c("s"), "a", 1), "0 groups"),
    (lambda: call("hour", c("day")), "HOUR needs a time of day"),
    (lambda: call("year", c("i")), "YEAR takes a date or a timestamp, not int64"),
    (lambda: call("extract", "yaer", c("t")), "no field YAER: did you mean YEAR"),
    (lambda: call("date_trunc", "fortnight", c("t")), "no unit 'fortnight'"),
    (lambda: call("date_trunc", "hour", c("day")), "a date has no hour"),
    (lambda: call("at_timezone", c("t"), "UTC"), "WITH_TIMEZONE"),
    (lambda: call("at_timezone", c("z"), "Mars/Base"), "not a time zone"),
    (lambda: call("cardinality", c("i")), "CARDINALITY takes an array, not int64"),
    (lambda: call("contains", c("list"), "a"), "looks for string"),
    (lambda: call("coalesce", c("i"), "a"), "COALESCE mixes int64 and string: CAST one"),
    (lambda: call("coalesce", c("i"), c("u")), "COALESCE mixes uint64 and int64"),
    (lambda: call("if", c("i"), 1), "IF takes a condition, and this is int64"),
    (lambda: call("array"), "no type"),
    (lambda: cast(c("i"), "bigintt"), "no type BIGINTT"),
    (lambda: cast(c("i"), "date"), "int64 cannot be cast to DATE"),
    (lambda: cast(c("list"), "varchar"), "cannot be cast to VARCHAR"),
    (lambda: cast(c("s"), "char(3)"), "use VARCHAR"),
    (lambda: cast(k(300), "tinyint"), "300 is out of the range"),
    (lambda: cast(c("t"), "timestamp with time zone"), "WITH_TIMEZONE"),
    (lambda: f.like(c("i"), k("%"), None, False, (4, 8)), "LIKE takes a text"),
    (lambda: f.like(c("s"), c("n"), None, False, (4, 8)), "constant text"),
    (lambda: f.like(c("s"), k("a#b"), "#", False, (4, 8)), "behind the escape character"),
    (lambda: f.like(c("s"), k("a"), "##", False, (4, 8)), "ESCAPE takes one character"),
    (lambda: f.case(None, [c("i")], [k(1)], None, (4, 8)), "WHEN takes a condition"),
    (lambda: operations.compare("eq", c("dec"), k(1), (4, 8)), "CAST"),
    (lambda: operations.compare("lt", c("list"), c("list"), (4, 8)), "CARDINALITY"),
    (lambda: operations.compare("eq", c("list"), k(1), (4, 8)), "CARDINALITY"),
    (lambda: operations.compare("eq", c("list"), array("a"), (4, 8)), "cannot compare"),
    (lambda: operations.compare("eq", call("array", c("u")), c("list"), (4, 8)), "CAST their elements"),
    (lambda: call("array_join", c("list"), ","), "ARRAY_JOIN joins texts"),
    (lambda: call("concat_ws", ",", c("list")), "CONCAT_WS joins texts"),
    (lambda: plus("add", c("dec"), k(1)), "CAST"),
    (lambda: plus("mul", c("t"), k(1, MONTHS)), "months are added to"),
    (lambda: plus("add", c("i"), k(1, MONTHS)), "months are added to"),
]


@pytest.mark.parametrize(("build", "words"), REFUSALS)
def test_what_has_no_meaning_is_refused(build: Any, words: str) -> None:
    with pytest.raises(PatternError, match=words):
        build()


def test_an_error_shows_its_place() -> None:
    with pytest.raises(PatternError, match=r"\^\^\^\^"):
        call("uper", c("s"))


def test_every_function_is_tried_above() -> None:
    """A function that no case calls has never run; synonyms count as one."""
    tried = set(re.findall(r'call\("(\w+)"', Path(__file__).read_text(encoding="utf-8")))
    builders = {FUNCTIONS[name].build for name in tried if name in FUNCTIONS}
    assert {f.build for f in FUNCTIONS.values()} <= builders
    assert not set(REFUSED) & set(FUNCTIONS)


def test_a_thousand_branches_are_no_deep_recursion() -> None:
    tests = [operations.compare("eq", c("i"), k(n), NOWHERE) for n in range(1000)]
    node = f.case(None, tests, [k(n) for n in range(1000)], k(-1), NOWHERE)
    assert value(node) == [1, -1, -1, -1, 0]
