"""Grammar of expressions: tokens -> trees, by precedence climbing.

From loose to tight: OR, AND, NOT, predicate (comparison, IS NULL, BETWEEN, IN), + -, * / %, sign, primary.
As in SQL a predicate does not chain: `a < b < c` and `a = b IS NULL` are errors and not guesses.

Whatever SQL:2016 has here and tocsin does not is recognised and refused by its name, at its place. A word is
only taken as a function, a literal prefix or a keyword where the next token makes it one, so that columns may
be called date, first or count.
"""

from __future__ import annotations

from typing import cast

from tocsin.errors import PatternError
from tocsin.language.expression import (
    DEPTH_MAX,
    Aggregate,
    Between,
    Binary,
    BinaryOperator,
    Classifier,
    Column,
    Expression,
    In,
    IsNull,
    Literal,
    LiteralType,
    MatchNumber,
    Navigate,
    Unary,
    logical,
    negative,
)
from tocsin.language.lexer import Lexer, Token
from tocsin.language.source import Span, nearest
from tocsin.language.temporal import FIELDS, parse_date, parse_interval, parse_time, parse_timestamp

OR, AND, NOT, PREDICATE, SUM, PRODUCT, SIGN = range(7)
CALL_LEVELS = 3  # what one function call counts in nesting: its reading takes that many more Python frames
_BINARY = {"+": SUM, "-": SUM, "*": PRODUCT, "/": PRODUCT, "%": PRODUCT}
_COMPARISONS = {"=": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_AGGREGATES = ("count", "sum", "avg", "min", "max")
_NAVIGATIONS = ("prev", "next", "first", "last")
FUNCTIONS = ["COUNT", "SUM", "AVG", "MIN", "MAX", "FIRST", "LAST", "PREV", "CLASSIFIER", "MATCH_NUMBER"]

# Words that can begin no operand unless quoted, and words of SQL that begin one we do not have.
# fmt: off
_RESERVED = frozenset(
    (
        "AND", "OR", "IS", "IN", "BETWEEN", "LIKE", "ILIKE", "AS", "WHEN", "THEN", "ELSE", "END",
        "FROM", "WHERE", "ESCAPE", "ASC", "DESC",
    )
)
# fmt: on
_REFUSED = {
    "CASE": "CASE is not supported yet: combine conditions with AND and OR",
    "EXISTS": "EXISTS is not supported: a condition reads rows, not queries",
    "SELECT": "a sub-query is not supported: a condition reads rows, not queries",
    "ARRAY": "ARRAY is not supported yet",
    "ROW": "ROW values are not supported yet",
}
_CASTS = ("CAST", "TRY_CAST", "SAFE_CAST", "CONVERT")
_PREDICATES_REFUSED = ("LIKE", "ILIKE", "SIMILAR", "RLIKE", "REGEXP", "GLOB", "OVERLAPS", "COLLATE")
_CLAUSES = {
    "MEASURES": None,
    "DEFINE": None,
    "SUBSET": None,
    "PATTERN": "(",
    "PARTITION": "BY",
    "ORDER": "BY",
    "ONE": "ROW",
    "ALL": "ROWS",
    "AFTER": "MATCH",
    "WITHIN": "INTERVAL",
}


def is_operator_word(token: Token) -> bool:
    """Whether a word goes on with the expression before it, and so leaves that one a name."""
    return token.kind == "word" and (token.upper in _RESERVED or token.upper == "NOT")


def at_clause(lexer: Lexer) -> bool:
    """Whether a sub-clause of MATCH_RECOGNIZE begins here (its words are free as names elsewhere)."""
    if lexer.token.kind != "word" or lexer.token.upper not in _CLAUSES:
        return False
    partner = _CLAUSES[lexer.token.upper]
    following = lexer.peek()
    if partner is None:
        return following.kind in ("quoted", "word") and not is_operator_word(following)
    return following.kind in ("word", "op") and following.upper == partner


class ExpressionParser:
    """Reads expressions from `lexer`, each up to the first token that cannot belong to it."""

    __slots__ = ("_depth", "lexer")

    def __init__(self, lexer: Lexer) -> None:
        self.lexer = lexer
        self._depth = 0

    def expression(self) -> Expression:
        """One whole expression."""
        try:
            return self._climb(OR)
        except PatternError as wrong:
            if "\n" in str(wrong):
                raise
            # A limit of the tree itself (see expression.py): it knows no place.
            raise self.lexer.error(str(wrong)) from None

    def _climb(self, floor: int) -> Expression:
        """An expression whose operators all bind at least as tightly as `floor`."""
        lexer = self.lexer
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise lexer.error(f"an expression is nested deeper than {DEPTH_MAX} levels")
        start = lexer.token.span[0]
        if lexer.at_word("NOT") and floor <= NOT:
            lexer.take()
            operand = self._climb(NOT)
            left: Expression = Unary("not", operand, span=(start, lexer.previous_end))
        elif lexer.at_op("-", "+"):
            left = self._signed()
        else:
            left = self._primary()
        compared = False
        while True:
            token = lexer.token
            if token.kind == "op" and token.value in _BINARY:
                binding = _BINARY[token.value]
                if binding < floor:
                    break
                lexer.take()
                right = self._climb(binding + 1)
                operator = cast(BinaryOperator, token.value)
                left = Binary(operator, left, right, at=token.span, span=(start, lexer.previous_end))
            elif token.kind == "word" and token.upper in ("AND", "OR"):
                binding = AND if token.upper == "AND" else OR
                if binding < floor:
                    break
                left = self._logical(token, left, start)
                compared = False
            elif self._at_predicate(token):
                if floor > PREDICATE:
                    break
                if compared:
                    raise lexer.error(
                        f"{token} follows a comparison: they do not chain, use AND, BETWEEN or parentheses"
                    )
                left = self._predicate(token, left, start)
                compared = True
            else:
                self._refuse_postfix(token)
                break
        self._depth -= 1
        return left

    def _logical(self, token: Token, left: Expression, start: int) -> Expression:
        """AND or OR with all that follows on its level: one flat node, however long the chain."""
        lexer = self.lexer
        operands = [left]
        word = token.upper
        while lexer.accept_word(word):
            operands.append(self._climb((AND if word == "AND" else OR) + 1))
        return logical("and" if word == "AND" else "or", operands, span=(start, lexer.previous_end))

    def _signed(self) -> Expression:
        """A chain of signs; a minus directly before a number belongs to the number."""
        lexer = self.lexer
        signs: list[Token] = []
        while lexer.at_op("-", "+"):
            signs.append(lexer.take())
        operand = self._climb(SIGN)
        for sign in reversed(signs):
            if sign.value == "+":
                continue
            operand = negative(operand, (sign.span[0], lexer.previous_end))
        return operand

    @staticmethod
    def _at_predicate(token: Token) -> bool:
        if token.kind == "op":
            return token.value in _COMPARISONS
        return token.kind == "word" and (
            token.upper in ("IS", "IN", "BETWEEN", "NOT") or token.upper in _PREDICATES_REFUSED
        )

    def _predicate(self, token: Token, left: Expression, start: int) -> Expression:
        lexer = self.lexer
        lexer.take()
        if token.kind == "op":
            if lexer.at_word("ALL", "ANY", "SOME") and lexer.peek().value == "(":
                raise lexer.error(f"{lexer.token.upper} after a comparison is not supported: use IN")
            operator = cast(BinaryOperator, _COMPARISONS[token.value])
            right = self._climb(SUM)
            return Binary(operator, left, right, at=token.span, span=(start, lexer.previous_end))
        if token.upper == "IS":
            negated = lexer.accept_word("NOT")
            if lexer.accept_word("NULL"):
                return IsNull(left, negated, span=(start, lexer.previous_end))
            if lexer.at_word("TRUE", "FALSE", "UNKNOWN", "DISTINCT", "JSON", "OF", "NORMALIZED"):
                raise lexer.error(f"IS {lexer.token.upper} is not supported yet: IS NULL and IS NOT NULL are")
            raise lexer.error(f"NULL or NOT NULL is expected after IS, not {lexer.token}")
        negated = token.upper == "NOT"
        if negated:
            token = lexer.token
            if not lexer.at_word("IN", "BETWEEN", *_PREDICATES_REFUSED):
                raise lexer.error(f"IN or BETWEEN is expected after NOT, not {token}")
            lexer.take()
        if token.upper == "BETWEEN":
            if lexer.at_word("SYMMETRIC", "ASYMMETRIC") and lexer.peek().kind != "op":
                raise lexer.error(
                    f"BETWEEN {lexer.token.upper} is not supported yet: write the smaller bound first"
                )
            low = self._climb(SUM)
            lexer.expect_word("AND", "between the bounds of BETWEEN")
            high = self._climb(SUM)
            return Between(left, low, high, negated, span=(start, lexer.previous_end))
        if token.upper == "IN":
            return In(left, self._in_list(), negated, span=(start, lexer.previous_end))
        raise lexer.error(
            f"{token.upper} is not supported yet: compute it as a boolean column before the match", token.span
        )

    def _in_list(self) -> tuple[Expression, ...]:
        lexer = self.lexer
        lexer.expect_op("(", "after IN")
        if lexer.at_word("SELECT", "WITH", "VALUES", "TABLE") and lexer.peek().kind != "op":
            raise lexer.error("IN with a sub-query is not supported: give the values")
        values = [self._climb(SUM)]
        while lexer.accept_op(","):
            values.append(self._climb(SUM))
        lexer.expect_op(")", "to close the list of IN")
        return tuple(values)

    def _refuse_postfix(self, token: Token) -> None:
        """Operators that other SQLs have after an operand."""
        if token.kind == "op":
            hint = {
                "||": "|| (concatenation) is not supported yet: compute it as a column before the match",
                "::": ":: (a cast) is not supported yet: cast the column before the match",
                "==": "equality is written =, not ==",
                "&&": "'&&' is written AND",
                "|": "'|' means nothing between expressions: OR is meant, perhaps",
                "&": "'&' means nothing between expressions: AND is meant, perhaps",
                "^": "'^' is not an operator here",
                "[": "[…] (an element of an array) is not supported yet",
                "->": "'->' is not supported yet: compute it as a column before the match",
                "~": "'~' is not supported yet: compute it as a boolean column before the match",
            }.get(token.value)
            if hint:
                raise self.lexer.error(hint)
        elif self.lexer.at_words("AT", "TIME", "ZONE"):
            raise self.lexer.error("AT TIME ZONE is not supported yet: convert the column before the match")

    def _primary(self) -> Expression:
        lexer = self.lexer
        token = lexer.token
        if token.kind == "number":
            return self._number()
        if token.kind == "string":
            lexer.take()
            return Literal(token.value, span=token.span)
        if token.kind == "quoted":
            return self._column()
        if token.kind == "word":
            return self._word(token)
        if token.kind == "op" and token.value == "(":
            lexer.take()
            if lexer.at_word("SELECT", "WITH") and lexer.peek().kind in ("word", "quoted", "number"):
                raise lexer.error(_REFUSED["SELECT"])
            inner = self._climb(OR)
            if lexer.at_op(","):
                raise lexer.error(_REFUSED["ROW"] + ": compare one value at a time")
            lexer.expect_op(")", "to close the parenthesis")
            return inner
        if token.kind == "op" and token.value == "?":
            raise lexer.error("parameters (?) are not supported: write the value")
        raise lexer.error(f"an expression is expected, not {token}")

    def _number(self) -> Expression:
        token = self.lexer.take()
        if token.value.isdecimal():
            if len(token.value) > 40 or int(token.value) >= 2**64:
                raise self.lexer.error(
                    "an integer must fit 64 bits: write a floating-point number, 1e30", token.span
                )
            return Literal(int(token.value), span=token.span)
        value = float(token.value)
        if value == float("inf"):
            raise self.lexer.error("the number is beyond the range of a 64-bit float", token.span)
        return Literal(value, span=token.span)

    def _word(self, token: Token) -> Expression:
        lexer = self.lexer
        following = lexer.peek()
        word = token.upper
        if word in ("TRUE", "FALSE", "NULL") and following.value != ".":
            lexer.take()
            return Literal({"TRUE": True, "FALSE": False, "NULL": None}[word], span=token.span)
        if following.kind == "op" and following.value == "(":
            self._depth += CALL_LEVELS
            call = self._call(token)
            self._depth -= CALL_LEVELS
            return call
        if word == "INTERVAL" and following.value in ("-", "+") and lexer.peek(2).kind == "string":
            return self._interval(token, lexer.peek(2))
        if following.kind == "string":
            return self._typed_literal(token, following)
        if following.kind == "word":
            if word in ("RUNNING", "FINAL") and lexer.peek(2).value == "(":
                return self._semantics(token)
            if word in _REFUSED and (not is_operator_word(following) or following.upper == "WHEN"):
                raise lexer.error(_REFUSED[word])
            if word == "INTERVAL" and not is_operator_word(following):
                raise lexer.error("an interval is written INTERVAL '5' MINUTE, with quotes")
        if word == "INTERVAL" and following.kind == "number":
            raise lexer.error(f"an interval is written INTERVAL '{following.value}' MINUTE, with quotes")
        if is_operator_word(token) or at_clause(lexer):
            raise lexer.error(
                f'an expression is expected before {word} (a column of that name is written "{token.value}")'
            )
        return self._column()

    def _column(self) -> Expression:
        lexer = self.lexer
        first = lexer.take()
        if not lexer.at_op("."):
            return Column(first.value, None, first.kind == "quoted", span=first.span)
        lexer.take()
        second = lexer.token
        if second.kind not in ("word", "quoted"):
            raise lexer.error(f"a column is expected after '{first.value}.', not {second}")
        lexer.take()
        if lexer.at_op("."):
            raise lexer.error(f"'{first.value}.{second.value}.' has a name too many: it is variable.column")
        return Column(
            second.value, variable_name(first), second.kind == "quoted", span=(first.span[0], second.span[1])
        )

    def _typed_literal(self, token: Token, text: Token) -> Expression:
        lexer = self.lexer
        word = token.upper
        value: int
        kind: LiteralType
        if word not in ("DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ", "INTERVAL"):
            if word in ("X", "B", "E", "N", "U", "R"):
                raise lexer.error(f"{word}'…' literals are not supported yet")
            raise lexer.error(f"{text} does not belong after '{token.value}'", text.span)
        if word == "INTERVAL":
            return self._interval(token, text)
        lexer.take()
        lexer.take()
        try:
            if word == "DATE":
                kind, value = "date", parse_date(text.value)
            elif word == "TIME":
                kind, value = "time", parse_time(text.value)
            else:
                value, zoned = parse_timestamp(text.value)
                kind = "instant" if zoned else "timestamp"
                if word == "TIMESTAMPTZ" and not zoned:
                    raise ValueError(f"'{text.value}' has no time zone: write one, as in '… UTC'")
        except ValueError as wrong:
            raise lexer.error(str(wrong), text.span) from None
        return Literal(value, kind, span=(token.span[0], text.span[1]))

    def _interval(self, token: Token, text: Token) -> Expression:
        lexer = self.lexer
        lexer.take()
        negative = not lexer.accept_op("+") and lexer.accept_op("-")
        lexer.take()
        first, first_span = self._interval_field()
        last, last_span = None, first_span
        if lexer.accept_word("TO"):
            last, last_span = self._interval_field()
            order = ["DAY", "HOUR", "MINUTE", "SECOND"]
            if first not in order or last not in order or order.index(first) >= order.index(last):
                raise lexer.error(
                    f"{first} TO {last} is not an interval: the fields go from DAY, HOUR, MINUTE to "
                    "a smaller one",
                    (first_span[0], last_span[1]),
                )
        try:
            value = parse_interval(text.value, first, last)
        except ValueError as wrong:
            raise lexer.error(str(wrong), text.span) from None
        if abs(value) >= 2**63:
            raise lexer.error("an interval must be shorter than 292 years", (token.span[0], last_span[1]))
        return Literal(-value if negative else value, "interval", span=(token.span[0], last_span[1]))

    def _interval_field(self) -> tuple[str, Span]:
        lexer = self.lexer
        token = lexer.token
        name = token.upper
        if name.endswith("S") and name[:-1] in FIELDS:
            name = name[:-1]
        if token.kind == "word" and name.removesuffix("S") in ("YEAR", "MONTH", "QUARTER"):
            name = name.removesuffix("S")
            raise lexer.error(f"INTERVAL in {name}: a {name.lower()} has no fixed length; use DAY")
        if token.kind != "word" or name not in FIELDS:
            raise lexer.error(
                f"a unit (SECOND, MINUTE, HOUR, DAY, WEEK) is expected after the interval, not {token}"
            )
        lexer.take()
        if lexer.at_op("("):
            raise lexer.error(f"a precision after {name} is not supported: leave it out")
        return name, token.span

    def _semantics(self, token: Token) -> Expression:
        """RUNNING or FINAL before a function."""
        lexer = self.lexer
        lexer.take()
        if token.upper == "RUNNING":
            raise lexer.error(
                "RUNNING is not supported yet: measures are those of the whole match (FINAL)", token.span
            )
        inner = self._call(lexer.token)
        if not (
            isinstance(inner, Aggregate) or (isinstance(inner, Navigate) and inner.kind in ("first", "last"))
        ):
            raise lexer.error("FINAL goes before FIRST, LAST or an aggregate only", token.span)
        return inner

    def _call(self, token: Token) -> Expression:
        lexer = self.lexer
        name = token.upper.lower()
        if name in _AGGREGATES:
            return self._aggregate(token)
        if name in _NAVIGATIONS:
            return self._navigate(token)
        if name == "classifier":
            lexer.take()
            lexer.take()
            variable = None
            if lexer.token.kind in ("word", "quoted"):
                variable = variable_name(lexer.take())
            lexer.expect_op(")", "to close CLASSIFIER")
            return Classifier(variable, span=(token.span[0], lexer.previous_end))
        if name == "match_number":
            lexer.take()
            lexer.take()
            lexer.expect_op(")", "after MATCH_NUMBER( , which takes no argument")
            return MatchNumber(span=(token.span[0], lexer.previous_end))
        if at_clause(lexer):
            raise lexer.error(f"an expression is expected before {token.upper}")
        if token.upper in _REFUSED:
            raise lexer.error(_REFUSED[token.upper])
        if token.upper in _CASTS:
            raise lexer.error(f"{token.upper} is not supported yet: cast the column before the match")
        if is_operator_word(token):
            raise lexer.error(f"an expression is expected before {token.upper}")
        guess = nearest(token.value, FUNCTIONS)
        meant = f"did you mean {guess}? " if guess else ""
        raise lexer.error(
            f"the function {token.upper[:40]} is not supported yet: {meant}There are {', '.join(FUNCTIONS)}"
        )

    def _aggregate(self, token: Token) -> Expression:
        lexer = self.lexer
        lexer.take()
        lexer.take()
        function = token.upper.lower()
        argument: Expression | None = None
        variable: str | None = None
        if lexer.at_op("*"):
            star = lexer.take()
            if function != "count":
                raise lexer.error(f"{token.upper}(*) means nothing: only COUNT takes *", star.span)
        elif lexer.at_word("DISTINCT") and lexer.peek().value not in (")", "."):
            raise lexer.error(f"{token.upper}(DISTINCT …) is not supported yet")
        elif (
            lexer.token.kind in ("word", "quoted")
            and lexer.peek().value == "."
            and lexer.peek(2).value == "*"
        ):
            variable = variable_name(lexer.take())
            lexer.take()
            star = lexer.take()
            if function != "count":
                raise lexer.error(f"{token.upper}(….*) means nothing: only COUNT takes *", star.span)
        elif lexer.at_op(")"):
            raise lexer.error(f"{token.upper} needs an argument")
        else:
            argument = self._climb(OR)
        if lexer.at_op(","):
            raise lexer.error(f"{token.upper} takes one argument")
        if lexer.at_word("ORDER"):
            raise lexer.error(f"ORDER BY in {token.upper} is not supported: its rows are those of the match")
        lexer.expect_op(")", f"to close {token.upper}")
        if lexer.at_word("FILTER", "OVER") and lexer.peek().value == "(":
            raise lexer.error(f"{lexer.token.upper} after {token.upper} is not supported yet")
        return Aggregate(function, argument, variable, span=(token.span[0], lexer.previous_end))  # type: ignore[arg-type]

    def _navigate(self, token: Token) -> Expression:
        lexer = self.lexer
        lexer.take()
        lexer.take()
        kind = token.upper.lower()
        argument = self._climb(OR)
        offset = 1 if kind in ("prev", "next") else 0
        if lexer.accept_op(","):
            number = lexer.token
            if lexer.at_op("-"):
                raise lexer.error(f"the offset of {token.upper} must not be negative")
            if number.kind != "number" or not number.value.isdecimal():
                raise lexer.error(f"the offset of {token.upper} must be a whole number, not {number}")
            if len(number.value) > 10 or int(number.value) > 2**31 - 1:
                raise lexer.error(f"the offset of {token.upper} must not exceed {2**31 - 1}")
            offset = int(lexer.take().value)
        lexer.expect_op(")", f"to close {token.upper}")
        return Navigate(kind, argument, offset, span=(token.span[0], lexer.previous_end))  # type: ignore[arg-type]


def variable_name(token: Token) -> str:
    """A pattern variable as it is compared: in upper case unless quoted."""
    return token.value if token.kind == "quoted" else token.upper


__all__ = ["FUNCTIONS", "ExpressionParser", "at_clause", "variable_name"]
