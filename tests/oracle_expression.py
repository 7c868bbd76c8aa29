"""The oracle's expressions: text -> tree -> value, one row at a time, on plain Python values.

Only tests use this; it shares nothing with the product. Values are Python's own: None is NULL, `bool`, `int`,
`float`, `str`, plus `Instant` (dates and timestamps) and `Span` (durations), both exact counts of
nanoseconds, so that every unit compares with every other. A fault (overflow of int64, integer division by
zero) is a value too, `Fault`: FALSE AND fault is FALSE and TRUE OR fault is TRUE, in either order; everything
else that touches a fault is a fault, and a condition that ends as a fault raises `EvaluationError`.

Trees are tuples, `(kind, ...)`:
    ("lit", value)            ("col", variable or None, name)      ("prev", tree, n)
    ("neg", x)                ("op", "+ - * / % = <> < <= > >=", x, y)
    ("and" | "or", x, y)      ("not", x)                           ("null?", x)
    ("nav", "FIRST" | "LAST", tree, n)    ("agg", "COUNT" ..., tree)   ("count", variable or None)
    ("classifier",)           ("match_number",)
BETWEEN and IN are written out as the comparisons that SQL says they are.

Identifiers keep their case (variables and columns are compared as written); keywords have none.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
NS = {"DAY": 86_400 * 10**9, "HOUR": 3_600 * 10**9, "MINUTE": 60 * 10**9, "SECOND": 10**9}
AGGREGATES = ("COUNT", "SUM", "AVG", "MIN", "MAX")
EPOCH = dt.datetime(1970, 1, 1)


class OracleError(Exception):
    """The text is not in the subset, or is wrong."""


class EvaluationError(OracleError):
    """A condition or a measure overflowed int64 or divided an integer by zero."""


@dataclass(frozen=True, order=True)
class Instant:
    ns: int  # since 1970-01-01T00:00:00 (UTC where there is a zone)


@dataclass(frozen=True, order=True)
class Span:
    ns: int


@dataclass(frozen=True)
class Fault:
    text: str


def instant(value: dt.date | dt.datetime) -> Instant:
    """A Python date or datetime (UTC if it has a zone) as an exact Instant."""
    if not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day)
    if value.tzinfo is not None:
        value = value.astimezone(dt.UTC).replace(tzinfo=None)
    return Instant(((value - EPOCH) // dt.timedelta(microseconds=1)) * 1000)


# ---------------------------------------------------------------- text -> tree

_TOKEN = re.compile(
    r"\s*(?:(?P<num>\d+\.\d*(?:[eE][+-]?\d+)?|\.\d+|\d+[eE][+-]?\d+|\d+)|'(?P<str>(?:[^']|'')*)'"
    r"|\"(?P<quoted>(?:[^\"]|\"\")+)\"|(?P<word>[A-Za-z_]\w*)|(?P<sym><>|!=|<=|>=|[-+*/%=<>(),.]))"
)


def tokens(text: str) -> list[tuple[str, str]]:
    out: list[tuple[str, str]] = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        m = _TOKEN.match(text, at)
        if m is None:
            raise OracleError(f"cannot read {text[at:]!r}")
        kind = str(m.lastgroup)
        out.append((kind, m.group(kind)))
        at = m.end()
    return [*out, ("end", "")]


class _Parser:
    """Recursive descent: or < and < not < predicate < sum < product < sign < primary."""

    def __init__(self, text: str) -> None:
        self.text, self.toks, self.at = text, tokens(text), 0

    def word(self, *wanted: str) -> str | None:
        kind, value = self.toks[self.at]
        if kind == "word" and value.upper() in wanted:
            self.at += 1
            return value.upper()
        return None

    def sym(self, *wanted: str) -> str | None:
        kind, value = self.toks[self.at]
        if kind == "sym" and value in wanted:
            self.at += 1
            return value
        return None

    def need(self, found: Any, what: str) -> Any:
        if found is None:
            raise OracleError(f"expected {what} at token {self.at} of {self.text!r}")
        return found

    def whole(self) -> tuple:
        tree = self.disjunction()
        if self.toks[self.at][0] != "end":
            raise OracleError(f"unexpected {self.toks[self.at][1]!r} in {self.text!r}")
        return tree

    def disjunction(self) -> tuple:
        x = self.conjunction()
        while self.word("OR"):
            x = ("or", x, self.conjunction())
        return x

    def conjunction(self) -> tuple:
        x = self.negation()
        while self.word("AND"):
            x = ("and", x, self.negation())
        return x

    def negation(self) -> tuple:
        return ("not", self.negation()) if self.word("NOT") else self.predicate()

    def predicate(self) -> tuple:
        x = self.sum()
        op = self.sym("=", "<>", "!=", "<", "<=", ">", ">=")
        if op:
            return ("op", "<>" if op == "!=" else op, x, self.sum())
        if self.word("IS"):
            negated = self.word("NOT")
            self.need(self.word("NULL"), "NULL")
            return ("not", ("null?", x)) if negated else ("null?", x)
        negated = self.word("NOT")
        if self.word("BETWEEN"):
            low = self.sum()
            self.need(self.word("AND"), "AND")
            tree: tuple = ("and", ("op", ">=", x, low), ("op", "<=", x, self.sum()))
        elif self.word("IN"):
            self.need(self.sym("("), "(")
            tree = ("op", "=", x, self.sum())
            while self.sym(","):
                tree = ("or", tree, ("op", "=", x, self.sum()))
            self.need(self.sym(")"), ")")
        else:
            self.need(None if negated else True, "BETWEEN or IN")
            return x
        return ("not", tree) if negated else tree

    def sum(self) -> tuple:
        x = self.product()
        while op := self.sym("+", "-"):
            x = ("op", op, x, self.product())
        return x

    def product(self) -> tuple:
        x = self.sign()
        while op := self.sym("*", "/", "%"):
            x = ("op", op, x, self.sign())
        return x

    def sign(self) -> tuple:
        if self.sym("-"):
            kind, value = self.toks[self.at]
            if kind == "num" and value.isdigit():  # so that -9223372036854775808 is a literal
                self.at += 1
                return ("lit", _int(-int(value)))
            return ("neg", self.sign())
        return self.sign() if self.sym("+") else self.primary()

    def primary(self) -> tuple:
        kind, value = self.toks[self.at]
        self.at += 1
        if kind == "num":
            return ("lit", _int(int(value)) if value.isdigit() else float(value))
        if kind == "str":
            return ("lit", value.replace("''", "'"))
        if kind == "sym" and value == "(":
            tree = self.disjunction()
            self.need(self.sym(")"), ")")
            return tree
        if kind == "quoted":
            return self.column(value.replace('""', '"'))
        if kind != "word":
            raise OracleError(f"unexpected {value!r} in {self.text!r}")
        upper = value.upper()
        if upper in ("TRUE", "FALSE", "NULL"):
            return ("lit", {"TRUE": True, "FALSE": False, "NULL": None}[upper])
        if upper in ("DATE", "TIMESTAMP", "INTERVAL") and self.toks[self.at][0] == "str":
            literal = self.toks[self.at][1]
            self.at += 1
            if upper == "DATE":
                return ("lit", instant(dt.date.fromisoformat(literal)))
            if upper == "TIMESTAMP":
                return ("lit", instant(dt.datetime.fromisoformat(literal)))
            return ("lit", Span(round(float(literal) * NS[self.need(self.word(*NS), "a unit")])))
        return self.call(upper) if self.sym("(") else self.column(value)

    def column(self, name: str) -> tuple:
        if not self.sym("."):
            return ("col", None, name)
        kind, value = self.toks[self.at]
        self.need(kind in ("word", "quoted") or None, "a column")
        self.at += 1
        return ("col", name, value.replace('""', '"') if kind == "quoted" else value)

    def call(self, name: str) -> tuple:
        if name in ("CLASSIFIER", "MATCH_NUMBER"):
            self.need(self.sym(")"), ")")
            return (name.lower(),)
        if name == "COUNT":
            if self.sym("*"):
                self.need(self.sym(")"), ")")
                return ("count", None)
            kind, variable = self.toks[self.at]
            if kind in ("word", "quoted") and [t[1] for t in self.toks[self.at + 1 : self.at + 3]] == [
                ".",
                "*",
            ]:
                self.at += 3
                self.need(self.sym(")"), ")")
                return ("count", variable)
        if name not in (*AGGREGATES, "FIRST", "LAST", "PREV"):
            raise OracleError(f"no function {name}")
        x = self.sum()
        n = None
        if name not in AGGREGATES and self.sym(","):
            kind, digits = self.toks[self.at]
            self.need((kind == "num" and digits.isdigit()) or None, "a whole number")
            self.at += 1
            n = int(digits)
        self.need(self.sym(")"), ")")
        if name in AGGREGATES:
            return ("agg", name, x)
        return ("prev", x, 1 if n is None else n) if name == "PREV" else ("nav", name, x, n or 0)


def parse(text: str) -> tuple:
    return _Parser(text).whole()


# ---------------------------------------------------------------- tree -> value


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
    if isinstance(x, (Instant, Span)):  # Instant - Instant, Instant +- Span, Span +- Span
        if op == "-":
            return Span(x.ns - y.ns) if type(x) is type(y) else Instant(x.ns - y.ns)
        if op == "+" and not (isinstance(x, Instant) and isinstance(y, Instant)):
            return (Span if isinstance(x, Span) and isinstance(y, Span) else Instant)(x.ns + y.ns)
        raise OracleError(f"{op} between {x} and {y}")
    whole = isinstance(x, int) and isinstance(y, int)
    if op in "/%":
        if whole:
            return _divide(x, y, op == "%")
        return _float_divide(float(x), float(y)) if op == "/" else math.fmod(x, y)
    value = x + y if op == "+" else x - y if op == "-" else x * y
    return _int(value) if whole else value


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda x, y: x == y,
    "<>": lambda x, y: x != y,
    "<": lambda x, y: x < y,
    "<=": lambda x, y: x <= y,
    ">": lambda x, y: x > y,
    ">=": lambda x, y: x >= y,
}


def _operate(op: str, x: Any, y: Any) -> Any:
    for side in (x, y):
        if isinstance(side, Fault):
            return side
    if x is None or y is None:
        return None
    if op in _COMPARE:
        if isinstance(x, str):  # the order of UTF-8 bytes
            x, y = x.encode(), y.encode()
        return _COMPARE[op](x, y)
    return _arithmetic(op, x, y)


def _logic(kind: str, x: Any, y: Any) -> Any:
    settles = kind == "or"  # TRUE settles OR, FALSE settles AND, whatever stands on the other side
    if x is settles or y is settles:
        return settles
    for side in (x, y):
        if isinstance(side, Fault):
            return side
    return None if x is None or y is None else not settles


def evaluate(tree: tuple, leaf: Callable[[tuple], Any]) -> Any:
    """The value of `tree`; `leaf` gives that of every node which reads rows ("col", "prev", "nav", ...)."""
    kind = tree[0]
    if kind == "lit":
        return tree[1]
    if kind == "op":
        return _operate(tree[1], evaluate(tree[2], leaf), evaluate(tree[3], leaf))
    if kind in ("and", "or"):
        return _logic(kind, evaluate(tree[1], leaf), evaluate(tree[2], leaf))
    if kind in ("not", "null?", "neg"):
        x = evaluate(tree[1], leaf)
        if isinstance(x, Fault):
            return x
        if kind == "null?":
            return x is None
        if x is None:
            return None
        if kind == "not":
            return not x
        return Span(-x.ns) if isinstance(x, Span) else _int(-x) if isinstance(x, int) else -x
    return leaf(tree)


def columns(tree: tuple) -> set[tuple[str | None, str]]:
    """The (variable, column) pairs that a tree reads."""
    if tree[0] == "col":
        return {(tree[1], tree[2])}
    found: set[tuple[str | None, str]] = set()
    for part in tree[1:]:
        if isinstance(part, tuple):
            found |= columns(part)
    return found


def checked(value: Any, where: str) -> Any:
    if isinstance(value, Fault):
        raise EvaluationError(f"{where}: {value.text}")
    return value
