"""Grammar of expressions: tokens -> trees, by precedence climbing.

    expression   := by precedence (language/precedence.py): OR, AND, NOT, predicate, ||, + -, * / %, sign, postfix
    predicate    := sql/predicates.py: comparison, IS …, [NOT] BETWEEN, IN, LIKE
    postfix      := primary ('::' type | '[' expression ']' | AT TIME ZONE primary)*
    primary      := number | string | typed literal | TRUE | FALSE | NULL | [variable '.'] column | '(' expression ')'
                  | name '(' … ')' (sql/calls.py) | CASE … END | ARRAY '[' … ']' (sql/special.py)

Recursion goes through `climb` only, which counts the levels: nesting is bounded, and a chain of AND, OR or || is one
level. Nothing is read twice, so time is linear in the text. What SQL:2016 has here and tocsin does not is recognised
and refused by its name, at its place. A word is a keyword only where the tokens after it make it one (sql/words.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from tocsin.errors import PatternError
from tocsin.language.expression import (
    DEPTH_MAX,
    Binary,
    BinaryOperator,
    Call,
    Cast,
    Column,
    Expression,
    Literal,
    Unary,
    logical,
    negative,
)
from tocsin.language.lexer import Lexer, Token
from tocsin.language.precedence import AND, ARITHMETIC, CONCAT, NOT, OR, PREDICATE
from tocsin.sql.calls import call, refuse_clock
from tocsin.sql.literals import is_unit, number, typed_literal
from tocsin.sql.predicates import at_predicate, predicate
from tocsin.sql.special import array, case, refuse_query
from tocsin.sql.types import type_text
from tocsin.sql.words import at_clause, begins_case, is_name, is_operator_word, variable_name

CALL_LEVELS = 3  # what one call or case counts in nesting: its reading takes that many more Python frames
LAMBDA_MAX = 20  # tokens that are looked at to tell the arguments of a lambda from a row
# Literals with more than one token before the string.
_BEFORE_STRINGS = {("DOUBLE", "PRECISION"), ("INTERVAL", "-"), ("INTERVAL", "+")}
_HINTS = {
    "==": "equality is written =, not ==",
    "&&": "'&&' is written AND",
    "|": "'|' means nothing between expressions: OR is meant, perhaps",
    "&": "'&' means nothing between expressions: AND is meant, perhaps",
    "^": "'^' is not an operator here",
    "->": "a lambda (->) is not supported",
    "=>": "arguments are given by their places, without names",
    "$": "'$' is no part of a plain name: quote it, \"a$b\"",
    "~": "'~' is not supported: LIKE is, and REGEXP_LIKE",
}


class ExpressionParser:
    """Reads expressions from `lexer`, each up to the first token that cannot belong to it."""

    __slots__ = ("_depth", "lexer")

    def __init__(self, lexer: Lexer) -> None:
        self.lexer = lexer
        self._depth = 0

    def expression(self) -> Expression:
        """One whole expression."""
        try:
            return self.climb(OR)
        except PatternError as wrong:
            if "\n" in str(wrong):
                raise
            # A limit of the tree itself (see expression.py): it knows no place.
            raise self.lexer.error(str(wrong)) from None

    def climb(self, floor: int) -> Expression:
        """An expression whose operators all bind at least as tightly as `floor`."""
        lexer = self.lexer
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise lexer.error(f"an expression is nested deeper than {DEPTH_MAX} levels")
        start = lexer.token.span[0]
        if lexer.at_word("NOT") and floor <= NOT:
            lexer.take()
            operand = self.climb(NOT)
            left: Expression = Unary("not", operand, span=(start, lexer.previous_end))
        else:
            left = self._operand()
        compared = False
        while True:
            token = lexer.token
            if token.kind == "op" and token.value in ARITHMETIC:
                binding = ARITHMETIC[token.value]
                if binding < floor:
                    break
                lexer.take()
                right = self.climb(binding + 1)
                operator = cast(BinaryOperator, token.value)
                left = Binary(operator, left, right, at=token.span, span=(start, lexer.previous_end))
            elif token.kind == "op" and token.value == "||":
                if floor > CONCAT:
                    break
                left = self._concat(left, start)
            elif token.kind == "word" and token.upper in ("AND", "OR"):
                binding = AND if token.upper == "AND" else OR
                if binding < floor:
                    break
                left = self._logical(token, left, start)
                compared = False
            elif at_predicate(token):
                if floor > PREDICATE:
                    break
                if compared:
                    raise lexer.error(
                        f"{token} follows a comparison: they do not chain, use AND, BETWEEN or parentheses"
                    )
                left = predicate(self, left, start)
                compared = True
            else:
                if token.kind == "op" and token.value in _HINTS:
                    raise lexer.error(_HINTS[token.value])
                break
        self._depth -= 1
        return left

    def _logical(self, token: Token, left: Expression, start: int) -> Expression:
        """AND or OR with all that follows on its level: one flat node, however long the chain."""
        lexer = self.lexer
        operands = [left]
        word = token.upper
        while lexer.accept_word(word):
            operands.append(self.climb((AND if word == "AND" else OR) + 1))
        return logical("and" if word == "AND" else "or", operands, span=(start, lexer.previous_end))

    def _concat(self, left: Expression, start: int) -> Expression:
        """|| with all that follows on its level, likewise."""
        lexer = self.lexer
        operands = [left]
        while lexer.accept_op("||"):
            operands.append(self.climb(CONCAT + 1))
        return Call("concat", tuple(operands), span=(start, lexer.previous_end))

    def _operand(self, postfix: bool = True) -> Expression:
        """A primary, and what stands directly behind it unless `postfix` is False.

        All of it in one frame, signs and parentheses too: nesting costs Python's stack, of which the caller may have
        left little.
        """
        lexer = self.lexer
        signs: list[Token] = []
        while lexer.at_op("-", "+"):
            signs.append(lexer.take())
            if len(signs) > DEPTH_MAX:
                raise lexer.error(f"an expression has more than {DEPTH_MAX} signs in a row")
        token = lexer.token
        if token.kind == "number":
            found = number(lexer)
        elif token.kind == "string":
            lexer.take()
            found = Literal(token.value, span=token.span)
        elif token.kind == "quoted":
            found = self._column()
        elif token.kind == "word":
            found = self._word(token)
        elif token.kind == "op" and token.value == "(":
            lexer.take()
            refuse_query(self)
            found = self.climb(OR)
            if lexer.at_op(","):
                raise self._several()
            lexer.expect_op(")", "to close the parenthesis")
        elif token.kind == "op" and token.value == "?":
            raise lexer.error("parameters (?) are not supported: write the value")
        else:
            raise lexer.error(f"an expression is expected, not {token}")
        if postfix and (lexer.at_op("::", "[") or lexer.at_word("AT")):
            found = self._postfix(found, token.span[0])
        # A minus directly before a number belongs to the number.
        for sign in reversed(signs):
            if sign.value == "-":
                found = negative(found, (sign.span[0], lexer.previous_end))
        return found

    def _several(self) -> PatternError:
        """The error of a comma in parentheses: a row, or the arguments of a lambda."""
        lexer = self.lexer
        ahead = 1
        while ahead < LAMBDA_MAX and is_name(lexer.peek(ahead)) and lexer.peek(ahead + 1).upper == ",":
            ahead += 2
        if is_name(lexer.peek(ahead)) and lexer.peek(ahead + 2).upper == "->":
            return lexer.error(_HINTS["->"], lexer.peek(ahead + 2).span)
        return lexer.error("ROW values are not supported: compare one value at a time")

    def _postfix(self, left: Expression, start: int) -> Expression:
        lexer = self.lexer
        while True:
            if lexer.accept_op("::"):
                left = Cast(left, type_text(lexer), span=(start, lexer.previous_end))
            elif lexer.accept_op("["):
                self._depth += CALL_LEVELS
                index = self.climb(OR)
                self._depth -= CALL_LEVELS
                if lexer.at_op(":"):
                    raise lexer.error("a slice of an array is not supported: one element is, x[1]")
                lexer.expect_op("]", "to close the subscript")
                left = Call("subscript", (left, index), span=(start, lexer.previous_end))
            elif lexer.at_words("AT", "TIME", "ZONE"):
                for _ in range(3):
                    lexer.take()
                zone = self._operand(postfix=False)
                left = Call("at_timezone", (left, zone), span=(start, lexer.previous_end))
            elif lexer.at_words("AT", "LOCAL"):
                raise lexer.error("AT LOCAL is not supported: name the zone, AT TIME ZONE 'Europe/Paris'")
            else:
                return left

    def _word(self, token: Token) -> Expression:
        lexer = self.lexer
        following = lexer.peek()
        word = token.upper
        if word in ("TRUE", "FALSE", "NULL") and following.upper != ".":
            lexer.take()
            return Literal({"TRUE": True, "FALSE": False, "NULL": None}[word], span=token.span)
        if word == "CASE" and begins_case(lexer):
            return self._deeper(case)
        if following.kind == "op" and following.upper == "(":
            return self._deeper(call)
        if word == "ARRAY" and following.upper == "[":
            return self._deeper(array)
        if following.kind == "string":
            return typed_literal(lexer)
        if (word, following.upper) in _BEFORE_STRINGS and lexer.peek(2).kind == "string":
            return typed_literal(lexer)
        if (
            following.kind in ("word", "number")
            and not is_operator_word(following)
            and not at_clause(lexer, 1)
        ):
            if word in ("RUNNING", "FINAL") and lexer.peek(2).upper == "(":
                return self._semantics()
            if word == "INTERVAL" and (following.kind == "number" or is_unit(lexer.peek(2))):
                shown = following.value if following.kind == "number" else "5"
                raise lexer.error(f"an interval is written INTERVAL '{shown[:40]}' MINUTE, with quotes")
        refuse_clock(self, token)
        if word == "SELECT":
            refuse_query(self)
        if is_operator_word(token) or at_clause(lexer):
            raise lexer.error(
                f'an expression is expected before {word} (a column of that name is written "{token.value}")'
            )
        return self._column()

    def _semantics(self) -> Expression:
        """RUNNING or FINAL before a function."""
        lexer = self.lexer
        token = lexer.take()
        self._depth += CALL_LEVELS
        found = call(self, token)
        self._depth -= CALL_LEVELS
        return found

    def _deeper(self, form: Callable[[ExpressionParser], Expression]) -> Expression:
        self._depth += CALL_LEVELS
        found = form(self)
        self._depth -= CALL_LEVELS
        return found

    def _column(self) -> Expression:
        lexer = self.lexer
        first = lexer.take()
        if not lexer.at_op("."):
            return Column(first.value, None, first.kind == "quoted", span=first.span)
        lexer.take()
        second = lexer.token
        if not is_name(second):
            if lexer.at_op("*"):
                raise lexer.error(
                    f"'{first.value[:40]}.*' is not a value: it stands in COUNT({first.value[:40]}.*)"
                )
            raise lexer.error(f"a column is expected after '{first.value[:40]}.', not {second}")
        lexer.take()
        if lexer.at_op("."):
            raise lexer.error(f"'{first.value}.{second.value}.' has a name too many: it is variable.column")
        if lexer.at_op("("):
            raise lexer.error(f"'{first.value}.{second.value}(' means nothing: a function has no prefix")
        return Column(
            second.value, variable_name(first), second.kind == "quoted", span=(first.span[0], second.span[1])
        )


__all__ = ["ExpressionParser", "at_clause", "is_operator_word", "variable_name"]
