"""Functions: CASE, CAST, LIKE, IS DISTINCT FROM and the scalar functions, as IR.

What the kernel computes itself becomes kernel operations ("if", "math", "cast", arithmetic): numbers, booleans,
choices, and times of fixed length. The rest becomes a "call", which a library computes column by column
(library.py). A call never faults: what can go wrong in one (a text that is no number, an index beyond an array)
is NULL in its result, and a "check" around it, which the kernel computes, makes that NULL a fault. So a fault is
settled by AND, OR and CASE as any other: `CASE WHEN s <> 'n/a' THEN CAST(s AS BIGINT) END` has none.

Types meet as in Trino: whole numbers and doubles in double, dates and timestamps in timestamp, the finer unit of
time, NULL in any. The names and arguments of the functions are in catalogue.py.
"""

from __future__ import annotations

import math
from typing import cast as typed

import pyarrow as pa

from tocsin.compile.catalogue import FUNCTIONS, REFUSED
from tocsin.compile.ir import Node, is_text, kernel_kind, unit_ns
from tocsin.compile.library_text import quoted_regex
from tocsin.compile.operations import Operations, category, constant_ns, is_list, is_null, retyped, type_name
from tocsin.compile.sqltypes import integer_range, sql_type
from tocsin.errors import PatternError
from tocsin.language.source import Span, nearest
from tocsin.language.temporal import DAY_NS

_BOOL, _INT64, _FLOAT64, _TEXT = pa.bool_(), pa.int64(), pa.float64(), pa.string()
_POINTS = ("date", "timestamp", "timestamp with zone")


class Functions:
    """Builds the nodes of scalar functions. Every method raises PatternError at `span` where SQL has none such."""

    __slots__ = ("operations",)

    def __init__(self, operations: Operations) -> None:
        self.operations = operations

    def error(self, message: str, span: Span) -> PatternError:
        """The error for `message` at `span`, to be raised."""
        return self.operations.error(message, span)

    # The five doors of the type check --------------------------------------------------------------------

    def call(self, name: str, arguments: list[Node], span: Span) -> Node:
        """The function `name` (in lower case) of `arguments`."""
        function = FUNCTIONS.get(name)
        if function is None:
            if name in REFUSED:
                raise self.error(f"{name.upper()} is not supported: {REFUSED[name]}", span)
            guess = nearest(name, list(FUNCTIONS))
            meant = f": did you mean {guess.upper()}?" if guess else ""
            raise self.error(f"there is no function {name.upper()}{meant}", span)
        n = len(arguments)
        if not function.least <= n <= function.most:
            wanted = (
                str(function.least)
                if function.least == function.most
                else f"{function.least} or more"
                if function.most > 9
                else f"{function.least} to {function.most}"
            )
            raise self.error(f"{name.upper()} takes {wanted} argument{'s' * (wanted != '1')}, not {n}", span)
        return function.build(self, name, arguments, span)

    def case(
        self,
        operand: Node | None,
        conditions: list[Node],
        values: list[Node],
        default: Node | None,
        span: Span,
    ) -> Node:
        """CASE: the value of the first condition that is TRUE (that equals `operand`), else `default`, else NULL."""
        tests: list[Node] = []
        for condition in conditions:
            if operand is not None:
                condition = self.operations.compare("eq", operand, condition, condition.span)
            tests.append(self.condition(condition, "WHEN"))
        other = self.operations.const(pa.null(), None, span) if default is None else default
        *branches, other = self.unified([*values, other], "CASE", span)
        for test, value in zip(reversed(tests), reversed(branches), strict=True):
            other = self.choose(test, value, other, span)
        return other

    def cast(self, operand: Node, type_text: str, attempt: bool, span: Span) -> Node:
        """CAST(operand AS type_text); with `attempt` TRY_CAST, which is NULL where the value is none of the type."""
        target = sql_type(type_text, operand.type)
        if target is None:
            raise self.error(
                f"there is no type {type_text.upper()}: BOOLEAN, TINYINT, SMALLINT, INTEGER, BIGINT, REAL, DOUBLE, "
                "DECIMAL(p, s), VARCHAR, VARBINARY, DATE, TIME and TIMESTAMP are known",
                span,
            )
        if is_null(operand):
            return self.operations.const(target, None, span)
        if is_text(target):
            return self._to_text(operand, type_text, span)
        words = f"CAST AS {type_text.upper()}: the value cannot be one; TRY_CAST gives NULL instead"
        made = self._converted(operand, target, None if attempt else words, span)
        if made is None:
            raise self.error(f"{type_name(operand)} cannot be cast to {type_text.upper()}", span)
        return made

    def like(self, operand: Node, pattern: Node, escape: str | None, negated: bool, span: Span) -> Node:
        """operand LIKE pattern, with a constant pattern."""
        if is_null(operand) or is_null(pattern):
            return self.operations.boolean(None, span)
        self.text(operand, "LIKE")
        if pattern.op != "const" or not isinstance(pattern.attr, str):
            raise self.error("the pattern of LIKE has to be a constant text", pattern.span)
        if escape is not None and len(escape) != 1:
            raise self.error("ESCAPE takes one character", span)
        parts = self._like_parts(pattern.attr, escape, pattern.span)
        node = self._like(operand, parts, span)
        return self.operations.negation(node, span) if negated else node

    def distinct(self, left: Node, right: Node, negated: bool, span: Span) -> Node:
        """left IS DISTINCT FROM right: never NULL; NULL is like NULL, NaN like NaN."""
        o = self.operations
        if is_null(left) or is_null(right):
            return o.null_test(right if is_null(left) else left, not negated, span)
        if is_list(left.type) and is_list(right.type):
            differ = o.negation(o.same_list("alike", "IS DISTINCT FROM", left, right, span), span)
        else:
            differ = o.compare("ne", left, right, span)
        if kernel_kind(left.type) == kernel_kind(right.type) == "f64" and differ.op != "const":
            nans = [o.compare("ne", x, x, span) for x in (left, right)]
            differ = o.junction("and", [differ, o.negation(o.junction("and", nans, span), span)], span)
        result = self.choose(
            o.null_test(left, False, span),
            o.null_test(right, True, span),
            self.choose(o.null_test(right, False, span), o.boolean(True, span), differ, span),
            span,
        )
        return o.negation(result, span) if negated else result

    # Choices ---------------------------------------------------------------------------------------------

    def condition(self, node: Node, where: str) -> Node:
        """`node`, which has to be a condition."""
        if is_null(node):
            return self.operations.boolean(None, node.span)
        if not pa.types.is_boolean(node.type):
            raise self.error(f"{where} takes a condition, and this is {type_name(node)}", node.span)
        return node

    def choose(self, test: Node, value: Node, other: Node, span: Span) -> Node:
        """`value` where `test` is TRUE, else `other`; both of one type (see `unified`)."""
        if test.op == "const":
            return value if test.attr is True else other
        if value is other:
            return value
        if is_null(value) and is_null(other):
            return value
        if kernel_kind(value.type) is None:
            return self.called("if", value.type, (test, value, other), span)
        return self.operations.make("if", value.type, (test, value, other), None, span)

    def unified(self, nodes: list[Node], what: str, span: Span) -> list[Node]:
        """`nodes` in the one type in which they meet; NULL takes on the type of the others."""
        known = [n for n in nodes if not is_null(n)]
        if not known:
            return nodes
        point = next((n for n in known if unit_ns(n.type) is not None), None)
        if point is not None:
            nodes = [self.operations.as_temporal(n, point) for n in nodes]
            known = [n for n in nodes if not is_null(n)]
        kinds = {category(n.type) for n in known}
        if kinds == {"number", "decimal"}:
            nodes = [n if is_null(n) or category(n.type) == "number" else self.double(n, span) for n in nodes]
            known, kinds = [n for n in nodes if not is_null(n)], {"number"}
        if len(kinds) > 1 and kinds != {"date", "timestamp"}:
            other = next(n for n in known if category(n.type) != category(known[0].type))
            raise self.error(
                f"{what} mixes {type_name(known[0])} and {type_name(other)}: CAST one of them", other.span
            )
        if unit_ns(known[0].type) is not None:
            return self._one_unit(nodes, known)
        if kinds == {"number"}:
            return self._one_number(nodes, known, what)
        kind = next(iter(kinds))
        type = {"string": _TEXT, "binary": pa.binary(), "boolean": _BOOL}.get(kind, known[0].type)
        if any(n.type != type for n in known) and kernel_kind(type) is None:
            other = next(n for n in known if n.type != type)
            raise self.error(f"{what} mixes {type} and {other.type}: CAST one of them", other.span)
        return [self._as(n, type) for n in nodes]

    def _as(self, node: Node, type: pa.DataType) -> Node:
        """`node` under the name of another type that the kernel holds alike; NULL in any type."""
        if node.type == type:
            return node
        if node.op == "const":
            return self.operations.const(type, node.attr, node.span)
        return self.operations.make("cast", type, (node,), None, node.span)

    def _one_number(self, nodes: list[Node], known: list[Node], what: str) -> list[Node]:
        kinds = {kernel_kind(n.type) for n in known}
        if all(n.type == known[0].type for n in known):
            type = known[0].type
        elif "f64" in kinds:
            type = _FLOAT64
            nodes = [n if is_null(n) else self.operations.widened(n) for n in nodes]
        elif kinds == {"i64", "u64"}:
            odd = next(
                (n for n in known if kernel_kind(n.type) == "i64" and not (n.op == "const" and n.attr >= 0)),  # type: ignore[operator]
                None,
            )
            if odd is not None:
                raise self.error(
                    f"{what} mixes uint64 and {type_name(odd)}, which have no type in common: CAST one of them",
                    odd.span,
                )
            type = pa.uint64()
        else:
            type = pa.uint64() if kinds == {"u64"} else _INT64
        return [self._as(n, type) for n in nodes]

    def _one_unit(self, nodes: list[Node], known: list[Node]) -> list[Node]:
        """Points in time or durations in the finest unit among them; a constant asks for what it needs."""
        unit = DAY_NS if all(category(n.type) == "date" for n in known) else 10**9
        for node in known:
            if node.op != "const":
                unit = min(unit, typed(int, unit_ns(node.type)))
            else:
                while constant_ns(node) % unit:
                    unit = 10**9 if unit == DAY_NS else unit // 1_000
        if unit == DAY_NS:
            type = pa.date32()
        elif all(category(n.type) == "date" for n in known):
            type, unit = pa.date64(), 10**6
        else:
            like = next(n for n in known if category(n.type) != "date")
            type = retyped(like.type, unit)
        made: list[Node] = []
        for node in nodes:
            if is_null(node):
                made.append(self.operations.const(type, None, node.span))
            elif node.op == "const":
                made.append(self.operations.const(type, constant_ns(node) // unit, node.span))
            else:
                made.append(self.in_unit(node, type))
        return made

    def in_unit(self, node: Node, type: pa.DataType) -> Node:
        """A point in time or duration as `type`; into a coarser unit it is rounded down."""
        own, unit = typed(int, unit_ns(node.type)), typed(int, unit_ns(type))
        if node.op == "const":
            return self.operations.const(
                type, None if node.attr is None else constant_ns(node) // unit, node.span
            )
        if own == unit:
            return self._as(node, type)
        if own > unit:
            return self.operations.make("cast", type, (node,), own // unit, node.span)
        return self.floor_div(node, unit // own, type)

    # Building blocks -------------------------------------------------------------------------------------

    def called(
        self, name: str, type: pa.DataType, args: tuple[Node, ...], span: Span, *options: object
    ) -> Node:
        """A function that the library computes. A fault of an argument is one of the result, made by the kernel."""
        return self.operations.called(name, type, args, span, *options)

    def math(self, name: str, type: pa.DataType, args: tuple[Node, ...], span: Span) -> Node:
        """A function that the kernel computes."""
        return self.operations.make("math", type, args, name, span)

    def floor_div(self, node: Node, divisor: int, type: pa.DataType) -> Node:
        """A whole number divided by a positive constant, rounded down; the result is called `type`."""
        by = self.operations.const(_INT64, divisor, node.span)
        return self.math("floor_div", type, (node, by), node.span)

    def checked(self, value: Node, source: Node, words: str, span: Span) -> Node:
        """`value`; a fault, described by `words`, where it is NULL and `source` is not."""
        o = self.operations
        fine = o.junction("or", [o.null_test(value, True, span), o.null_test(source, False, span)], span)
        if kernel_kind(value.type) is None:
            return self.called("check", value.type, (value, fine), span, words)
        return o.make("check", value.type, (value, fine), words, span)

    def number(self, node: Node, name: str) -> Node:
        """`node`, which has to be a number that the kernel computes with; NULL becomes one."""
        if is_null(node):
            return self.operations.const(_FLOAT64, None, node.span)
        if category(node.type) != "number":
            hint = f": {self.operations.remedy(node)}" if kernel_kind(node.type) is None else ""
            raise self.error(f"{name.upper()} takes a number, not {type_name(node)}{hint}", node.span)
        return node

    def double(self, node: Node, span: Span) -> Node:
        """A number or decimal as double."""
        if category(node.type) == "decimal":
            return self.called("cast", _FLOAT64, (node,), span)
        return self.operations.widened(node)

    def text(self, node: Node, name: str) -> Node:
        """`node`, which has to be a text; NULL becomes one."""
        if is_null(node):
            return self.operations.const(_TEXT, None, node.span)
        if category(node.type) != "string":
            raise self.error(
                f"{name.upper()} takes a text, not {type_name(node)}: write CAST(… AS VARCHAR)", node.span
            )
        return node

    def point(self, node: Node, name: str) -> Node:
        """`node`, which has to be a date or timestamp; a bare text is one if it reads so."""
        if node.op == "const" and isinstance(node.attr, str):
            node = self.operations.as_temporal(
                node, self.operations.const(pa.timestamp("ns"), None, node.span)
            )
        if is_null(node) and category(node.type) not in _POINTS:
            return self.operations.const(pa.timestamp("us"), None, node.span)
        if category(node.type) not in _POINTS:
            raise self.error(f"{name.upper()} takes a date or a timestamp, not {type_name(node)}", node.span)
        return node

    def constant_text(self, node: Node, name: str, what: str) -> str:
        """The value of a constant text."""
        if node.op != "const" or not isinstance(node.attr, str):
            raise self.error(f"{what} of {name.upper()} has to be a constant text", node.span)
        return node.attr

    def constant_integer(self, node: Node, name: str, what: str) -> int:
        """The value of a constant whole number."""
        if node.op != "const" or not isinstance(node.attr, int) or category(node.type) != "number":
            raise self.error(f"{what} of {name.upper()} has to be a constant whole number", node.span)
        return node.attr

    # Casts -----------------------------------------------------------------------------------------------

    def _converted(self, node: Node, target: pa.DataType, words: str | None, span: Span) -> Node | None:
        """`node` as `target`, which is no text; None if there is no such cast. `words` of a fault; None: NULL."""
        source, goal = category(node.type), category(target)
        if source == "string":
            return self._parsed(node, target, words, span)
        if source == "boolean" and goal in ("boolean", "number"):
            return self._from_boolean(node, target, span)
        if source == "number" and goal == "number":
            return self._to_number(node, target, words is None, span)
        if source == "number" and goal == "boolean":
            return self.operations.compare("ne", node, self.operations.const(_INT64, 0, span), span)
        if "decimal" in (source, goal) and {source, goal} <= {"decimal", "number"}:
            if pa.types.is_floating(target):
                return self._as_float(self.double(node, span), target, span)
            made = self.called("cast", target, (node,), span)
            return made if words is None else self.checked(made, node, words, span)
        if source in _POINTS and goal in (*_POINTS, "time"):
            return self._between_points(node, target, span)
        if source == goal == "time" or source == goal == "duration":
            return self.in_unit(node, target)
        return node if source == goal and (source == "binary" or node.type == target) else None

    def _from_boolean(self, node: Node, target: pa.DataType, span: Span) -> Node:
        if pa.types.is_boolean(target):
            return node
        if node.op == "const":
            return self.operations.const(target, typed(bool, node.attr) + 0, span)
        whole = self.operations.make("cast", _INT64, (node,), None, span)
        if pa.types.is_floating(target):
            return self._as_float(self.operations.widened(whole), target, span)
        return self._as(whole, target)

    def _as_float(self, node: Node, target: pa.DataType, span: Span) -> Node:
        if not pa.types.is_float32(target) or pa.types.is_float32(node.type):
            return self._as(node, target)
        return self.math("float32", target, (node,), span)

    def _to_number(self, node: Node, target: pa.DataType, attempt: bool, span: Span) -> Node:
        if pa.types.is_floating(target):
            if node.type == target:
                return node
            return self._as_float(self.operations.widened(node), target, span)
        low, high = integer_range(target)
        if node.op == "const":
            value = node.attr
            if isinstance(value, float):
                value = rounded(value) if math.isfinite(value) else None
            if value is not None and low <= typed(int, value) <= high:
                return self.operations.const(target, value, span)
            if attempt:
                return self.operations.const(target, None, span)
            raise self.error(f"{node.attr} is out of the range of {target!s}", node.span)
        if pa.types.is_integer(node.type):
            own_low, own_high = integer_range(node.type)
            if low <= own_low and own_high <= high and kernel_kind(node.type) == kernel_kind(target):
                return self._as(node, target)
        return self.operations.make("cast", target, (node,), "try" if attempt else "check", span)

    def _between_points(self, node: Node, target: pa.DataType, span: Span) -> Node | None:
        zoned = category(node.type) == "timestamp with zone"
        if category(target) == "timestamp with zone" and not zoned:
            raise self.error(
                "a timestamp without a zone does not say where it was: WITH_TIMEZONE(x, 'UTC') does", span
            )
        if zoned and category(target) != "timestamp with zone":
            node = self.called("local", pa.timestamp(node.type.unit), (node,), span)
        if pa.types.is_time(target):
            if category(node.type) == "date":
                return None
            return self._time_of_day(node, target)
        own, unit = unit_ns(node.type) or 1, unit_ns(target) or 1
        if own < unit and not pa.types.is_date(target) and node.op != "const":
            # SQL rounds a fraction of the last place, halves up.
            half = self.operations.const(_INT64, unit // own // 2, span)
            node = self.operations.make("add", node.type, (node, half), None, span)
        return self.in_unit(node, target)

    def _time_of_day(self, node: Node, target: pa.DataType) -> Node:
        unit = unit_ns(node.type) or 1
        own = pa.time32(node.type.unit) if node.type.unit in ("s", "ms") else pa.time64(node.type.unit)
        if node.op == "const":
            day = constant_ns(node) % DAY_NS
            return self.operations.const(target, day // (unit_ns(target) or 1), node.span)
        by = self.operations.const(_INT64, DAY_NS // unit, node.span)
        return self.in_unit(self.math("floor_mod", own, (node, by), node.span), target)

    def _parsed(self, node: Node, target: pa.DataType, words: str | None, span: Span) -> Node:
        made = self.called("parse", target, (node,), span)
        return made if words is None else self.checked(made, node, words, span)

    def _to_text(self, node: Node, type_text: str, span: Span) -> Node:
        name, _, rest = type_text.partition("(")
        if name.strip() in ("char", "character") and rest:
            raise self.error(
                "CAST AS CHAR(n) is not supported: it would pad with blanks; use VARCHAR(n)", span
            )
        if category(node.type) not in (*_POINTS, "string", "number", "boolean", "decimal", "time"):
            raise self.error(f"{type_name(node)} cannot be cast to VARCHAR", span)
        if category(node.type) != "string":
            node = self.called("text", _TEXT, (node,), span)
        if not rest:
            return node
        return self.called("slice", _TEXT, (node,), span, 0, int(rest.rstrip(" )")))

    # LIKE ------------------------------------------------------------------------------------------------

    def _like_parts(self, pattern: str, escape: str | None, span: Span) -> list[str | None]:
        """The pattern as literal texts, "%" and "_" standing as the one-letter strings behind a None."""
        parts: list[str | None] = []
        literal = ""
        i = 0
        while i < len(pattern):
            letter = pattern[i]
            if escape is not None and letter == escape:
                i += 1
                if i == len(pattern) or pattern[i] not in (escape, "%", "_"):
                    raise self.error(
                        f"behind the escape character {escape} of LIKE comes %, _ or {escape}", span
                    )
                literal += pattern[i]
            elif letter in "%_":
                if literal:
                    parts.append(literal)
                    literal = ""
                parts += [None, letter]
            else:
                literal += letter
            i += 1
        if literal:
            parts.append(literal)
        return parts

    def _like(self, operand: Node, parts: list[str | None], span: Span) -> Node:
        o = self.operations
        if not parts or (len(parts) == 1 and parts[0] is not None):
            return o.compare("eq", operand, o.const(_TEXT, parts[0] if parts else "", span), span)
        if len(parts) == 3 and parts[1:] == [None, "%"]:
            return self.starts_with(operand, typed(str, parts[0]), span)
        if len(parts) == 3 and parts[:2] == [None, "%"]:
            return self.called("ends_with", _BOOL, (operand,), span, parts[2])
        if len(parts) == 5 and parts[:2] == parts[3:] == [None, "%"]:
            return self.called("contains_text", _BOOL, (operand,), span, parts[2])
        regex = ""
        wild = False
        for part in parts:
            if part is None:
                wild = True
            elif wild:
                regex += ".*" if part == "%" else "."
                wild = False
            else:
                regex += quoted_regex(part)
        return self.called("regexp_like", _BOOL, (operand,), span, f"(?s)\\A(?:{regex})\\z")

    def starts_with(self, operand: Node, prefix: str, span: Span) -> Node:
        """Texts are ordered by their bytes, so a prefix is a range, which the kernel compares."""
        o = self.operations
        low = o.compare("ge", operand, o.const(_TEXT, prefix, span), span)
        after = prefix.encode("utf-8", "surrogatepass").rstrip(b"\xff")
        if not after:
            return low
        bound = after[:-1] + bytes([after[-1] + 1])
        if operand.op == "const":
            return o.boolean(typed(str, operand.attr).startswith(prefix), span)
        return o.junction(
            "and", [low, o.make("lt", _BOOL, (operand, o.const(_TEXT, bound, span)), None, span)], span
        )


def rounded(value: float) -> int:
    """The nearest whole number, halves away from zero."""
    whole = math.trunc(value)
    return whole + (0 if abs(value - whole) < 0.5 else 1 if value > 0 else -1)


__all__ = ["Functions", "rounded"]
