"""Types: the text of an SQL type, as CAST and :: take it -> its one normal form.

    type   := base (ARRAY ['[' n ']'] | '[' [n] ']')*
    base   := ROW '(' [name] type, … ')' | ARRAY '<' type '>' | MAP '<' type ',' type '>'
            | INTERVAL field [TO field] | (TIME | TIMESTAMP) ['(' n ')'] [(WITH | WITHOUT) TIME ZONE]
            | DOUBLE [PRECISION] | (CHAR | CHARACTER) VARYING ['(' n ')'] | name ['(' (n | type), … ')']

The normal form is in lower case with single blanks, as in "decimal(10, 2)" and "timestamp(3) with time zone"; the
three ways to write an array give "array(bigint)", "character varying" gives "varchar", and WITHOUT TIME ZONE,
which changes nothing, is left out. Which of these types there are is tocsin.compile's to know.
"""

from __future__ import annotations

from tocsin.language.lexer import Lexer
from tocsin.sql.words import is_operator_word

NESTED_MAX = 30  # levels of a type inside a type


def type_text(lexer: Lexer, depth: int = 0) -> str:
    """Reads one type. Raises PatternError with the place.

    >>> from tocsin.language.source import Source
    >>> type_text(Lexer(Source("TIMESTAMP ( 3 ) with  time zone")))
    'timestamp(3) with time zone'
    """
    if depth > NESTED_MAX:
        raise lexer.error(f"a type is nested deeper than {NESTED_MAX} levels")
    text = _base(lexer, depth)
    while True:
        if lexer.accept_word("ARRAY"):
            if not lexer.at_op("["):
                text = f"array({text})"
                continue
        elif not lexer.at_op("["):
            return text
        lexer.expect_op("[", "after ARRAY")
        if lexer.token.kind == "number":
            _number(lexer)
        lexer.expect_op("]", "to close the type of an array")
        text = f"array({text})"
        depth += 1
        if depth > NESTED_MAX:
            raise lexer.error(f"a type is nested deeper than {NESTED_MAX} levels")


def _base(lexer: Lexer, depth: int) -> str:
    token = lexer.token
    if token.kind != "word" or is_operator_word(token):
        raise lexer.error(f"a type is expected, not {token}")
    lexer.take()
    name = token.value.lower()
    if name in ("array", "map") and lexer.at_op("<"):
        return _angled(lexer, name, depth)
    if name == "row" and lexer.at_op("("):
        return _row(lexer, depth)
    if name == "interval":
        first = lexer.take() if lexer.token.kind == "word" and not is_operator_word(lexer.token) else None
        if first is None:
            return name
        name = f"interval {first.value.lower()}"
        if lexer.accept_word("TO"):
            if lexer.token.kind != "word":
                raise lexer.error(f"a field is expected after TO, not {lexer.token}")
            name += f" to {lexer.take().value.lower()}"
        return name
    if name == "double" and lexer.accept_word("PRECISION"):
        return "double"
    if name in ("char", "character") and lexer.accept_word("VARYING"):
        name = "varchar"
    text = name + _parameters(lexer, depth)
    if name in ("time", "timestamp") and lexer.at_word("WITH", "WITHOUT"):
        zoned = lexer.take().upper == "WITH"
        for word in ("TIME", "ZONE"):
            lexer.expect_word(word, f"in the type {name.upper()} WITH TIME ZONE")
        if zoned:
            text += " with time zone"
    return text


def _parameters(lexer: Lexer, depth: int) -> str:
    if not lexer.accept_op("("):
        return ""
    found = [_parameter(lexer, depth)]
    while lexer.accept_op(","):
        found.append(_parameter(lexer, depth))
    lexer.expect_op(")", "to close the type")
    return f"({', '.join(found)})"


def _parameter(lexer: Lexer, depth: int) -> str:
    return _number(lexer) if lexer.token.kind == "number" else type_text(lexer, depth + 1)


def _number(lexer: Lexer) -> str:
    token = lexer.take()
    if not token.value.isdecimal() or len(token.value) > 9:
        raise lexer.error(f"a type takes whole numbers, not {token}", token.span)
    return str(int(token.value))


def _angled(lexer: Lexer, name: str, depth: int) -> str:
    lexer.take()
    inner = type_text(lexer, depth + 1)
    if name == "map":
        lexer.expect_op(",", "between the types of a MAP")
        inner += f", {type_text(lexer, depth + 1)}"
    lexer.expect_op(">", f"to close the type {name.upper()}")
    return f"{name}({inner})"


def _row(lexer: Lexer, depth: int) -> str:
    lexer.take()
    fields = []
    while True:
        field = ""
        token, following = lexer.token, lexer.peek()
        if token.kind == "quoted":
            lexer.take()
            field = '"' + token.value.replace('"', '""') + '" '
        elif following.kind == "word" and (token.upper, following.upper) not in _TWO_WORDS:
            lexer.take()
            field = f"{token.value.lower()} "
        fields.append(field + type_text(lexer, depth + 1))
        if not lexer.accept_op(","):
            break
    lexer.expect_op(")", "to close the type ROW")
    return f"row({', '.join(fields)})"


# Types of two words without a parenthesis between them; any other two words are a field's name and its type.
_TWO_WORDS = {("DOUBLE", "PRECISION"), ("CHARACTER", "VARYING"), ("CHAR", "VARYING")} | {
    (name, word) for name in ("TIME", "TIMESTAMP") for word in ("WITH", "WITHOUT")
}
