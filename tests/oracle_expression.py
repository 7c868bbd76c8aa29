"""The oracle's expressions, first half: text -> tree. `oracle_value.py` has the second, tree -> value.

Only tests use this; it shares nothing with the product. Trees are tuples, `(kind, ...)`:

    ("lit", value)            ("col", variable or None, name)      ("classifier", variable or None)
    ("match_number",)         ("count", variable or None, semantics)               COUNT(*), COUNT(), COUNT(v.*)
    ("phys", n, tree)         n rows on in the partition: PREV(x, 2) is n = -2, NEXT(x) is n = 1
    ("nav", "FIRST" | "LAST", tree, n, semantics)    semantics: "RUNNING", "FINAL", or None where the text has none
    ("agg", name, arguments, semantics)
    ("neg", x)                ("op", "+ - * / % = <> < <= > >=", x, y)
    ("and" | "or", x, y)      ("not", x)                           ("null?", x)
    ("distinct", x, y)        ("like", x, pattern, escape)
    ("case", operand or None, ((condition, value), ...), default)
    ("cast", x, type, attempt)    ("call", name, x, ...)
BETWEEN and IN are written out as the comparisons that SQL says they are; x || y is the call CONCAT, x[i] the call
SUBSCRIPT, EXTRACT(YEAR FROM x) the call EXTRACT with a literal, COALESCE, NULLIF and IF are cases.

Identifiers keep their case (variables and columns are compared as written); keywords have none.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
NS = {"DAY": 86_400 * 10**9, "HOUR": 3_600 * 10**9, "MINUTE": 60 * 10**9, "SECOND": 10**9}
EPOCH = dt.datetime(1970, 1, 1)
SYNONYMS = {
    "ARBITRARY": "ANY_VALUE", "STDDEV_SAMP": "STDDEV", "VAR_SAMP": "VARIANCE", "EVERY": "BOOL_AND",
    "SUBSTRING": "SUBSTR", "POW": "POWER", "CEILING": "CEIL", "CHAR_LENGTH": "LENGTH",
    "CHARACTER_LENGTH": "LENGTH",
}  # fmt: skip
AGGREGATES = {
    "COUNT": 1, "SUM": 1, "AVG": 1, "MIN": 1, "MAX": 1, "STDDEV": 1, "STDDEV_POP": 1, "VARIANCE": 1, "VAR_POP": 1,
    "ARRAY_AGG": 1, "ANY_VALUE": 1, "BOOL_AND": 1, "BOOL_OR": 1, "MIN_BY": 2, "MAX_BY": 2,
}  # fmt: skip
FUNCTIONS = {  # name -> how many arguments
    "CONCAT": (2, 9), "SUBSCRIPT": (2, 2), "EXTRACT": (2, 2), "GREATEST": (1, 9), "LEAST": (1, 9), "ABS": (1, 1),
    "SIGN": (1, 1), "FLOOR": (1, 1), "CEIL": (1, 1), "ROUND": (1, 2), "SQRT": (1, 1), "EXP": (1, 1), "LN": (1, 1),
    "LOG2": (1, 1), "LOG10": (1, 1), "POWER": (2, 2), "MOD": (2, 2), "LOWER": (1, 1), "UPPER": (1, 1),
    "LENGTH": (1, 1), "SUBSTR": (2, 3), "TRIM": (1, 1), "LTRIM": (1, 1), "RTRIM": (1, 1), "REPLACE": (3, 3),
    "REVERSE": (1, 1), "STRPOS": (2, 2), "STARTS_WITH": (2, 2), "LPAD": (3, 3), "RPAD": (3, 3),
    "CONCAT_WS": (2, 9), "CARDINALITY": (1, 1), "CONTAINS": (2, 2), "ARRAY": (0, 9), "YEAR": (1, 1),
    "MONTH": (1, 1), "DAY": (1, 1), "HOUR": (1, 1), "MINUTE": (1, 1), "SECOND": (1, 1), "DATE_TRUNC": (2, 2),
    "DATE_DIFF": (3, 3),
}  # fmt: skip


class OracleError(Exception):
    """The text is not in the subset, or is wrong."""


class EvaluationError(OracleError):
    """What only the rows tell: an overflow of int64, a division of an integer by zero, a wrong SKIP TO."""


@dataclass(frozen=True, order=True)
class Instant:
    ns: int  # since 1970-01-01T00:00:00 (UTC where there is a zone)


@dataclass(frozen=True, order=True)
class Span:
    ns: int


def instant(value: dt.date | dt.datetime) -> Instant:
    """A Python date or datetime (UTC if it has a zone) as an exact Instant."""
    if not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day)
    if value.tzinfo is not None:
        value = value.astimezone(dt.UTC).replace(tzinfo=None)
    return Instant(((value - EPOCH) // dt.timedelta(microseconds=1)) * 1000)


_TOKEN = re.compile(
    r"\s*(?:(?P<num>\d+\.\d*(?:[eE][+-]?\d+)?|\.\d+|\d+[eE][+-]?\d+|\d+)|'(?P<str>(?:[^']|'')*)'"
    r"|\"(?P<quoted>(?:[^\"]|\"\")+)\"|(?P<word>[A-Za-z_]\w*)|(?P<sym><>|!=|<=|>=|\|\||[-+*/%=<>(),.\[\]]))"
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
        value = m.group(kind)
        out.append((kind, value.replace('""', '"') if kind == "quoted" else value))
        at = m.end()
    return [*out, ("end", "")]


class _Parser:
    """Recursive descent: or < and < not < predicate < || < sum < product < sign < subscript < primary."""

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
        x = self.text_sum()
        op = self.sym("=", "<>", "!=", "<", "<=", ">", ">=")
        if op:
            return ("op", "<>" if op == "!=" else op, x, self.text_sum())
        if self.word("IS"):
            negated = self.word("NOT")
            if self.word("DISTINCT"):
                self.need(self.word("FROM"), "FROM")
                tree: tuple = ("distinct", x, self.text_sum())
            else:
                self.need(self.word("NULL"), "NULL or DISTINCT FROM")
                tree = ("null?", x)
            return ("not", tree) if negated else tree
        negated = self.word("NOT")
        if self.word("BETWEEN"):
            low = self.text_sum()
            self.need(self.word("AND"), "AND")
            tree = ("and", ("op", ">=", x, low), ("op", "<=", x, self.text_sum()))
        elif self.word("LIKE"):
            pattern = self.text_sum()
            tree = ("like", x, pattern, self.literal() if self.word("ESCAPE") else None)
        elif self.word("IN"):
            self.need(self.sym("("), "(")
            tree = ("op", "=", x, self.text_sum())
            while self.sym(","):
                tree = ("or", tree, ("op", "=", x, self.text_sum()))
            self.need(self.sym(")"), ")")
        else:
            self.need(None if negated else True, "BETWEEN, IN or LIKE")
            return x
        return ("not", tree) if negated else tree

    def text_sum(self) -> tuple:
        x = self.sum()
        while self.sym("||"):
            x = ("call", "CONCAT", x, self.sum())
        return x

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
                return ("lit", -int(value))
            return ("neg", self.sign())
        return self.sign() if self.sym("+") else self.subscript()

    def subscript(self) -> tuple:
        x = self.primary()
        while self.sym("["):
            x = ("call", "SUBSCRIPT", x, self.disjunction())
            self.need(self.sym("]"), "]")
        return x

    def literal(self) -> str:
        kind, value = self.toks[self.at]
        self.need(kind == "str" or None, "a text")
        self.at += 1
        return value.replace("''", "'")

    def primary(self) -> tuple:
        kind, value = self.toks[self.at]
        self.at += 1
        if kind == "num":
            return ("lit", int(value) if value.isdigit() else float(value))
        if kind == "str":
            return ("lit", value.replace("''", "'"))
        if kind == "sym" and value == "(":
            tree = self.disjunction()
            self.need(self.sym(")"), ")")
            return tree
        if kind == "quoted":
            return self.column(value)
        if kind != "word":
            raise OracleError(f"unexpected {value!r} in {self.text!r}")
        upper = value.upper()
        if upper in ("TRUE", "FALSE", "NULL"):
            return ("lit", {"TRUE": True, "FALSE": False, "NULL": None}[upper])
        if upper in ("DATE", "TIMESTAMP", "INTERVAL") and self.toks[self.at][0] == "str":
            literal = self.literal()
            if upper == "DATE":
                return ("lit", instant(dt.date.fromisoformat(literal)))
            if upper == "TIMESTAMP":
                return ("lit", instant(dt.datetime.fromisoformat(literal)))
            return ("lit", Span(round(float(literal) * NS[self.need(self.word(*NS), "a unit")])))
        if upper in ("RUNNING", "FINAL") and self.toks[self.at][0] == "word":
            name = self.toks[self.at][1].upper()
            self.at += 1
            self.need(self.sym("("), "(")
            return self.call(name, upper)
        if upper == "CASE":
            return self.case()
        if upper == "ARRAY" and self.sym("["):
            return ("call", "ARRAY", *self.list_until("]"))
        return self.call(upper) if self.sym("(") else self.column(value)

    def column(self, name: str) -> tuple:
        if not self.sym("."):
            return ("col", None, name)
        kind, value = self.toks[self.at]
        self.need(kind in ("word", "quoted") or None, "a column")
        self.at += 1
        return ("col", name, value)

    def case(self) -> tuple:
        operand = None if self.toks[self.at] == ("word", "WHEN") else self.disjunction()
        branches = []
        while self.word("WHEN"):
            condition = self.disjunction()
            self.need(self.word("THEN"), "THEN")
            branches.append((condition, self.disjunction()))
        self.need(branches or None, "WHEN")
        default = self.disjunction() if self.word("ELSE") else ("lit", None)
        self.need(self.word("END"), "END")
        return ("case", operand, tuple(branches), default)

    def list_until(self, closing: str) -> list[tuple]:
        if self.sym(closing):
            return []
        found = [self.disjunction()]
        while self.sym(","):
            found.append(self.disjunction())
        self.need(self.sym(closing), closing)
        return found

    def variable(self) -> str | None:
        """A variable and the bracket that closes its call, or only the bracket."""
        if self.sym(")"):
            return None
        kind, value = self.toks[self.at]
        self.need(kind in ("word", "quoted") or None, "a variable")
        self.at += 1
        self.need(self.sym(")"), ")")
        return value

    def call(self, name: str, semantics: str | None = None) -> tuple:
        name = SYNONYMS.get(name, name)
        if semantics and name not in (*AGGREGATES, "FIRST", "LAST"):
            raise OracleError(f"{semantics} {name}")
        if name == "CLASSIFIER":
            return ("classifier", self.variable())
        if name == "MATCH_NUMBER":
            self.need(self.sym(")"), ")")
            return ("match_number",)
        if name == "COUNT" and (self.sym("*") or self.toks[self.at] == ("sym", ")")):
            self.need(self.sym(")"), ")")
            return ("count", None, semantics)
        if name == "COUNT" and self.toks[self.at + 1 : self.at + 3] == [("sym", "."), ("sym", "*")]:
            variable = self.toks[self.at][1]
            self.at += 3
            self.need(self.sym(")"), ")")
            return ("count", variable, semantics)
        if name in ("CAST", "TRY_CAST"):
            return self.cast(name == "TRY_CAST")
        if name == "EXTRACT":
            field = self.need(self.word("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"), "a field")
            self.need(self.word("FROM"), "FROM")
            x = self.disjunction()
            self.need(self.sym(")"), ")")
            return ("call", field, x)
        return self.built(name, self.list_until(")"), semantics)

    def cast(self, attempt: bool) -> tuple:
        x = self.disjunction()
        self.need(self.word("AS"), "AS")
        kind, name = self.toks[self.at]
        self.need(kind == "word" or None, "a type")
        self.at += 1
        if self.sym("("):  # the length or precision, which changes nothing here
            while not self.sym(")"):
                self.at += 1
        self.need(self.sym(")"), ")")
        return ("cast", x, name.upper(), attempt)

    def built(self, name: str, arguments: list[tuple], semantics: str | None) -> tuple:
        if name in AGGREGATES:
            if len(arguments) != AGGREGATES[name]:
                raise OracleError(f"{name} of {len(arguments)} arguments")
            return ("agg", name, tuple(arguments), semantics)
        if name in ("FIRST", "LAST", "PREV", "NEXT"):
            n = 1 if name in ("PREV", "NEXT") else 0
            if len(arguments) == 2:
                kind, n = arguments.pop()[:2]
                self.need((kind == "lit" and type(n) is int and n >= 0) or None, "a whole number")
            self.need(len(arguments) == 1 or None, "one argument")
            if name in ("FIRST", "LAST"):
                return ("nav", name, arguments[0], n, semantics)
            return ("phys", -n if name == "PREV" else n, arguments[0])
        null = ("lit", None)
        if name == "COALESCE" and arguments:
            tree = arguments[-1]
            for x in reversed(arguments[:-1]):
                tree = ("case", None, ((("not", ("null?", x)), x),), tree)
            return tree
        if name == "NULLIF" and len(arguments) == 2:
            return ("case", None, ((("op", "=", *arguments), null),), arguments[0])
        if name == "IF" and len(arguments) in (2, 3):
            return ("case", None, (tuple(arguments[:2]),), arguments[2] if len(arguments) == 3 else null)
        low, high = FUNCTIONS.get(name, (1, 0))
        if not low <= len(arguments) <= high:
            raise OracleError(f"no function {name} of {len(arguments)} arguments")
        return ("call", name, *arguments)


def parse(text: str) -> tuple:
    return _Parser(text).whole()


def walk(tree: Any) -> Iterator[tuple]:
    """Every node of `tree`, itself first."""
    if isinstance(tree, tuple):
        if tree and isinstance(tree[0], str):
            yield tree
        for part in tree:
            yield from walk(part)


def owners(tree: Any) -> set[str | None]:
    """The variables whose rows a tree reads; None among them: all rows."""
    return {node[1] for node in walk(tree) if node[0] in ("col", "classifier")}
