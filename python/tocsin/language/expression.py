"""Expressions: the immutable trees of conditions and measures, and their Python side.

The parser of the clause (tocsin.sql) and the operators below build the same trees; tocsin.compile gives them
types. A node knows its place in the text (`span`; NOWHERE when Python built it), which equality ignores.

Invariants, checked when a node is made, so that every walk over a tree may recurse and will end:
- `depth` (levels below and including the node) is at most DEPTH_MAX. AND and OR are n-ary and flat, so a
  chain of ten thousand of them is one level;
- `size` (nodes, shared ones counted each time) is at most SIZE_MAX: `x = x + x` forty times is refused.
Both are kept per node, which makes the check O(children).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn
from typing import Literal as Choice

from tocsin.duration import duration_ns, is_numpy
from tocsin.errors import PatternError
from tocsin.language.source import NOWHERE, Span

DEPTH_MAX = 200
SIZE_MAX = 1_000_000

# How a literal's value is to be read. None: by its Python type (bool, int, float, str, bytes, None).
# date: days since 1970-01-01; time: ns since midnight; timestamp (no zone), instant (a timestamp with a
# zone, in UTC): ns since 1970-01-01; interval: ns; months: an interval of whole months (INTERVAL '1' YEAR is 12).
LiteralType = Choice["date", "time", "timestamp", "instant", "interval", "months"]


class Operators:
    """The Python operators of an expression; each gives a new one and changes nothing."""

    __slots__ = ()

    def __add__(self, other: object) -> Expression:
        return Binary("+", _operand(self), to_expression(other))

    def __radd__(self, other: object) -> Expression:
        return Binary("+", to_expression(other), _operand(self))

    def __sub__(self, other: object) -> Expression:
        return Binary("-", _operand(self), to_expression(other))

    def __rsub__(self, other: object) -> Expression:
        return Binary("-", to_expression(other), _operand(self))

    def __mul__(self, other: object) -> Expression:
        return Binary("*", _operand(self), to_expression(other))

    def __rmul__(self, other: object) -> Expression:
        return Binary("*", to_expression(other), _operand(self))

    def __truediv__(self, other: object) -> Expression:
        return Binary("/", _operand(self), to_expression(other))

    def __rtruediv__(self, other: object) -> Expression:
        return Binary("/", to_expression(other), _operand(self))

    def __mod__(self, other: object) -> Expression:
        return Binary("%", _operand(self), to_expression(other))

    def __rmod__(self, other: object) -> Expression:
        return Binary("%", to_expression(other), _operand(self))

    def __neg__(self) -> Expression:
        return negative(_operand(self))

    def __invert__(self) -> Expression:
        return Unary("not", _operand(self))

    def __and__(self, other: object) -> Expression:
        return logical("and", [_operand(self), to_expression(other)])

    def __rand__(self, other: object) -> Expression:
        return logical("and", [to_expression(other), _operand(self)])

    def __or__(self, other: object) -> Expression:
        return logical("or", [_operand(self), to_expression(other)])

    def __ror__(self, other: object) -> Expression:
        return logical("or", [to_expression(other), _operand(self)])

    # Equality builds a condition, as in every data-frame library; trees are compared by `same`.
    def __eq__(self, other: object) -> Expression:  # type: ignore[override]
        return Binary("=", _operand(self), to_expression(other))

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]
        return Binary("<>", _operand(self), to_expression(other))

    def __lt__(self, other: object) -> Expression:
        return Binary("<", _operand(self), to_expression(other))

    def __le__(self, other: object) -> Expression:
        return Binary("<=", _operand(self), to_expression(other))

    def __gt__(self, other: object) -> Expression:
        return Binary(">", _operand(self), to_expression(other))

    def __ge__(self, other: object) -> Expression:
        return Binary(">=", _operand(self), to_expression(other))

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "an expression has no truth value of its own: combine conditions with & | ~ (each side in "
            "parentheses) instead of and, or, not; a chained comparison is .between(low, high), membership "
            "is .is_in([...])"
        )

    def is_null(self) -> Expression:
        """Whether the value is NULL; never NULL itself.

        >>> print(col("price").is_null())
        price IS NULL
        """
        return IsNull(_operand(self), False)

    def is_not_null(self) -> Expression:
        """Whether the value is not NULL; never NULL itself.

        >>> print(col("price").is_not_null())
        price IS NOT NULL
        """
        return IsNull(_operand(self), True)

    def between(self, low: object, high: object) -> Expression:
        """Whether the value lies from `low` to `high`, both included.

        Args:
            low, high: expressions, or constants as `lit` takes them.

        >>> print(col("price").between(1, 2.5))
        price BETWEEN 1 AND 2.5
        """
        return Between(_operand(self), to_expression(low), to_expression(high), False)

    def is_in(self, values: Iterable[object]) -> Expression:
        """Whether the value is one of `values`.

        Args:
            values: a list or other iterable of at least one constant or expression.

        Raises:
            TypeError: `values` is a text, or no iterable. (An empty list is refused when the condition is compiled.)

        >>> print(col("venue").is_in(["XAMS", "XPAR"]))
        venue IN ('XAMS', 'XPAR')
        """
        if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
            raise TypeError(f"is_in takes a list of values, not {values!r}")
        return In(_operand(self), tuple(to_expression(v) for v in values), False)

    def prev(self, n: int = 1) -> Expression:
        """The value `n` rows earlier in the same partition; NULL where there is none.

        It has a meaning inside a pattern only; a trigger's condition, which reads one row by itself, refuses it.

        Args:
            n: a whole number of rows, 0 or more.

        Raises:
            ValueError: `n` is none.

        >>> print(col("price") < col("price").prev())
        price < PREV(price)
        """
        if isinstance(n, bool) or not hasattr(n, "__index__") or n.__index__() < 0:
            raise ValueError(f"prev takes a whole number of rows, 0 or more, not {n!r}")
        return Navigate("prev", _operand(self), n.__index__())


@dataclass(frozen=True, slots=True, eq=False)
class Expression(Operators):
    """A node of an expression tree. Compare trees with `same`: `==` builds a condition."""

    span: Span = field(default=NOWHERE, kw_only=True, repr=False)
    depth: int = field(default=1, init=False, repr=False)
    size: int = field(default=1, init=False, repr=False)

    _parts: ClassVar[tuple[str, ...]] = ()  # the fields that hold expressions, or tuples of them

    __hash__ = object.__hash__

    def __post_init__(self) -> None:
        if not self._parts:  # a leaf: both are 1
            return
        depth = size = 0
        for child in self.children():
            depth = max(depth, child.depth)
            size += child.size
        object.__setattr__(self, "depth", depth + 1)
        object.__setattr__(self, "size", size + 1)
        if depth >= DEPTH_MAX:
            raise PatternError(f"an expression is nested deeper than {DEPTH_MAX} levels")
        if size >= SIZE_MAX:
            raise PatternError(f"an expression has more than {SIZE_MAX} parts")

    def children(self) -> tuple[Expression, ...]:
        """The expressions directly below this one, from left to right, as a tuple.

        >>> [str(child) for child in (col("a") + 1).children()]
        ['a', '1']
        """
        found: list[Expression] = []
        for name in self._parts:
            part = getattr(self, name)
            if isinstance(part, tuple):
                found.extend(part)
            elif part is not None:
                found.append(part)
        return tuple(found)

    def __str__(self) -> str:
        from tocsin.language.render import render  # render reads every node class: it stands above this file

        return render(self)[0]

    def same(self, other: Expression) -> bool:
        """Whether both trees say the same (places in a text aside); a bool.

        Args:
            other: the expression to compare with.

        >>> (col("a") > 1).same(col("a") > 1), (col("a") > 1).same(col("a") >= 1)
        (True, False)
        """
        return self._key() == other._key()

    def _key(self) -> tuple[object, ...]:
        own = tuple(
            (type(value), repr(value))
            for name in self.__slots__
            if name != "at" and name not in self._parts
            for value in (getattr(self, name),)
        )
        return (type(self), own, *(child._key() for child in self.children()))


@dataclass(frozen=True, slots=True, eq=False)
class Literal(Expression):
    """A constant; `type` says how to read `value` (see LiteralType)."""

    value: Any
    type: LiteralType | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Column(Expression):
    """A column, of the rows of one pattern variable if `variable` is given.

    `quoted` names must match a column exactly; others also without regard to case. `variable` is in upper
    case unless it was quoted, as everywhere.
    """

    name: str
    variable: str | None = None
    quoted: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Unary(Expression):
    """A sign or NOT."""

    _parts: ClassVar[tuple[str, ...]] = ("operand",)
    operator: Choice["-", "not"]
    operand: Expression


BinaryOperator = Choice["+", "-", "*", "/", "%", "=", "<>", "<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True, eq=False)
class Binary(Expression):
    """Arithmetic or a comparison. `at` is the place of the operator itself."""

    _parts: ClassVar[tuple[str, ...]] = ("left", "right")
    operator: BinaryOperator
    left: Expression
    right: Expression
    at: Span = field(default=NOWHERE, kw_only=True, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Logical(Expression):
    """AND or OR of two or more conditions, none of them one of the same operator (see `logical`)."""

    _parts: ClassVar[tuple[str, ...]] = ("operands",)
    operator: Choice["and", "or"]
    operands: tuple[Expression, ...]


@dataclass(frozen=True, slots=True, eq=False)
class IsNull(Expression):
    """IS NULL, or IS NOT NULL if `negated`."""

    _parts: ClassVar[tuple[str, ...]] = ("operand",)
    operand: Expression
    negated: bool


@dataclass(frozen=True, slots=True, eq=False)
class Between(Expression):
    """BETWEEN, both bounds included."""

    _parts: ClassVar[tuple[str, ...]] = ("operand", "low", "high")
    operand: Expression
    low: Expression
    high: Expression
    negated: bool


@dataclass(frozen=True, slots=True, eq=False)
class In(Expression):
    """IN with a list of at least one value."""

    _parts: ClassVar[tuple[str, ...]] = ("operand", "values")
    operand: Expression
    values: tuple[Expression, ...]
    negated: bool


@dataclass(frozen=True, slots=True, eq=False)
class Like(Expression):
    """LIKE: % is any text, _ any one character; `escape` is a text of one character, or None."""

    _parts: ClassVar[tuple[str, ...]] = ("operand", "pattern")
    operand: Expression
    pattern: Expression
    escape: str | None
    negated: bool


@dataclass(frozen=True, slots=True, eq=False)
class IsDistinct(Expression):
    """IS DISTINCT FROM, or IS NOT DISTINCT FROM if `negated`: a comparison that takes NULL for a value."""

    _parts: ClassVar[tuple[str, ...]] = ("left", "right")
    left: Expression
    right: Expression
    negated: bool


@dataclass(frozen=True, slots=True, eq=False)
class Case(Expression):
    """CASE with one condition and one value per branch, in order; `default` is None without ELSE.

    `CASE x WHEN y THEN …` has `operand`, and its `conditions` are the values that it is compared with.
    """

    _parts: ClassVar[tuple[str, ...]] = ("operand", "conditions", "values", "default")
    operand: Expression | None
    conditions: tuple[Expression, ...]
    values: tuple[Expression, ...]
    default: Expression | None


@dataclass(frozen=True, slots=True, eq=False)
class Cast(Expression):
    """CAST(operand AS type), or TRY_CAST, which gives NULL where the value cannot be one of the type.

    `type` is the type's text in lower case with single blanks, as in "bigint", "decimal(10, 2)", "timestamp(3)".
    """

    _parts: ClassVar[tuple[str, ...]] = ("operand",)
    operand: Expression
    type: str
    attempt: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Call(Expression):
    """A scalar function. `name` is in lower case; COALESCE, NULLIF, GREATEST, LEAST, EXTRACT and || are calls too.

    EXTRACT(YEAR FROM x) is the call "extract" with arguments (Literal("year"), x); x || y the call "concat"; x[i] the
    call "subscript"; ARRAY[x, y] the call "array"; x AT TIME ZONE 'z' the call "at_timezone".
    """

    _parts: ClassVar[tuple[str, ...]] = ("arguments",)
    name: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Navigate(Expression):
    """The argument at another row: PREV and NEXT count rows of the partition, FIRST and LAST of the match.

    `semantics` is what the text says before FIRST or LAST; None: RUNNING, the default.
    """

    _parts: ClassVar[tuple[str, ...]] = ("argument",)
    kind: Choice["prev", "next", "first", "last"]
    argument: Expression
    offset: int
    semantics: Choice["running", "final"] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Aggregate(Expression):
    """An aggregate over the rows of the match; `function` in lower case.

    No `argument`: COUNT(*), or COUNT(v.*) with `variable`. Otherwise the variable is that of the arguments. `more`
    are the arguments after the first, as in MAX_BY(x, y). `semantics` as in Navigate.
    """

    _parts: ClassVar[tuple[str, ...]] = ("argument", "more")
    function: str
    argument: Expression | None
    variable: str | None = None
    more: tuple[Expression, ...] = ()
    semantics: Choice["running", "final"] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Classifier(Expression):
    """The variable that the last row (of those of `variable`) was matched to."""

    variable: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class MatchNumber(Expression):
    """The match's number within its partition, from 1."""


def col(name: str) -> Expression:
    """A column, by its exact name.

    Conditions are built from it by + - * / %, comparisons, & | ~ (each side in parentheses), `between`, `is_in`,
    `is_null`. `bool()` of one raises TypeError, so that `and`, `or`, `not` and chained comparisons cannot go wrong
    unseen.

    Args:
        name: of the column; letter case counts.

    Returns:
        An immutable Expression. Whether there is such a column is checked when a trigger is set.

    Raises:
        TypeError: `name` is no text, or empty.

    >>> import tocsin as tc
    >>> print((tc.col("amount") < 10) & tc.col("country").is_in(["NL", "BE"]))
    amount < 10 AND country IN ('NL', 'BE')
    """
    return Column(_name(name), None, True)


def lit(value: object) -> Expression:
    """A constant.

    Args:
        value: bool, int, float, str, bytes, None, datetime, date, time, timedelta, or a numpy scalar (datetime64
            and timedelta64 too). A datetime with a zone is the instant, one without a zone is read as it stands.

    Returns:
        An immutable Expression; needed only where Python would compute by itself, as in `lit(1) + lit(2)`.

    Raises:
        TypeError: any other type. ValueError: an int beyond 64 bits.

    >>> import datetime as dt, tocsin as tc
    >>> print(tc.lit(dt.timedelta(minutes=5)) * 2)
    INTERVAL '300' SECOND * 2
    """
    return to_expression(value)


def logical(operator: Choice["and", "or"], operands: Iterable[Expression], span: Span = NOWHERE) -> Logical:
    """AND or OR of `operands`, with those of the same kind merged into one flat node."""
    flat: list[Expression] = []
    for operand in operands:
        if isinstance(operand, Logical) and operand.operator == operator:
            flat.extend(operand.operands)
        else:
            flat.append(operand)
    return Logical(operator, tuple(flat), span=span)


def negative(operand: Expression, span: Span = NOWHERE) -> Expression:
    """Minus `operand`; minus a number is the negative number."""
    if isinstance(operand, Literal) and operand.type is None and type(operand.value) in (int, float):
        return Literal(-operand.value, span=span)
    return Unary("-", operand, span=span)


def to_expression(value: object) -> Expression:
    """`value` itself if it is an expression, else the literal of it (see `lit`)."""
    if isinstance(value, Expression):
        return value
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        # A subclass (numpy's float64 is a float) is brought down to the plain type.
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            raise ValueError("an integer in an expression must fit 64 bits")
        if value is None or isinstance(value, bool):
            return Literal(value)
        if isinstance(value, int | float):
            return Literal(int(value) if isinstance(value, int) else float(value))
        return Literal(str(value) if isinstance(value, str) else bytes(value))
    if isinstance(value, dt.datetime):
        if value != value:  # pandas' NaT calls itself a datetime
            return Literal(None)
        since = value.replace(tzinfo=None) - dt.datetime(1970, 1, 1)
        if value.tzinfo is None:
            return Literal(datetime_ns(since, value), "timestamp")
        return Literal(datetime_ns(value - dt.datetime(1970, 1, 1, tzinfo=dt.UTC), value), "instant")
    if isinstance(value, dt.date):
        return Literal((value - dt.date(1970, 1, 1)).days, "date")
    if isinstance(value, dt.time) and value.tzinfo is None:
        seconds = (value.hour * 60 + value.minute) * 60 + value.second
        return Literal(seconds * 1_000_000_000 + value.microsecond * 1_000, "time")
    if isinstance(value, dt.timedelta) or is_numpy(value, "timedelta64"):
        return Literal(duration_ns(value), "interval")
    if is_numpy(value, "datetime64"):
        return _numpy_timestamp(value)
    if type(value).__module__ == "numpy" and hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        plain_value = value.item()
        if type(plain_value) is not type(value):  # a longdouble stays one: Python has no such number
            return to_expression(plain_value)
    raise TypeError(
        f"{value!r} of type {type(value).__name__} cannot stand in an expression: it takes columns, bool, "
        "int, float, str, bytes, None, date, time, datetime, timedelta and numpy scalars"
    )


def _name(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"col takes the name of a column, not {value!r}")
    return value


def _operand(value: Operators) -> Expression:
    assert isinstance(value, Expression)
    return value


def datetime_ns(since: dt.timedelta, value: dt.datetime) -> int:
    """Nanoseconds of `since`, of any length, and of the nanoseconds that pandas' datetimes have besides."""
    whole = (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000
    return whole + int(getattr(value, "nanosecond", 0))


def _numpy_timestamp(value: Any) -> Expression:
    import numpy as np  # the value is numpy's: it is loaded already

    if np.isnat(value):
        return Literal(None)
    unit, step = np.datetime_data(value.dtype)
    if unit in ("Y", "M", "W", "D"):
        return Literal(int(value.astype("datetime64[D]").astype(np.int64)), "date")
    scale = {"h": 3_600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6, "us": 1_000, "ns": 1}.get(unit)
    if scale is None:
        raise TypeError(f"{value!r} is in the unit {unit!r}; the finest unit is the nanosecond")
    return Literal(int(value.astype(np.int64)) * step * scale, "timestamp")
