"""Words: which token is a keyword, and where.

SQL's keywords are free as names wherever nothing else they could mean stands: a column may be called date, first,
count or match. So a word is judged by its neighbours, never by itself alone: by the token after it, and for a
few by the one after that. The price is constant, and nothing is read twice. Only the words in `RESERVED` (and
CASE, before what can begin a case) have to be quoted to be names.
"""

from __future__ import annotations

from tocsin.language.lexer import Lexer, Token

# Words that can begin no operand unless quoted.
# fmt: off
RESERVED = frozenset(
    (
        "AND", "OR", "IS", "IN", "BETWEEN", "LIKE", "ILIKE", "AS", "WHEN", "THEN", "ELSE", "END",
        "FROM", "WHERE", "ESCAPE", "ASC", "DESC",
    )
)
# fmt: on

# What begins a sub-clause, with the token that has to follow it (None: see at_clause).
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
    "INITIAL": "PATTERN",
    "SEEK": "PATTERN",
}


def is_operator_word(token: Token) -> bool:
    """Whether a word goes on with the expression before it, and so leaves that one a name."""
    return token.kind == "word" and (token.upper in RESERVED or token.upper == "NOT")


def is_name(token: Token) -> bool:
    """Whether the token can be a name."""
    return token.kind in ("word", "quoted")


def at_clause(lexer: Lexer, ahead: int = 0) -> bool:
    """Whether a sub-clause of MATCH_RECOGNIZE begins `ahead` tokens from here (its words are free as names)."""
    token = lexer.peek(ahead) if ahead else lexer.token
    if token.kind != "word" or token.upper not in _CLAUSES:
        return False
    partner = _CLAUSES[token.upper]
    following = lexer.peek(ahead + 1)
    if partner is not None:
        return following.kind in ("word", "op") and following.upper == partner
    if not is_name(following) or is_operator_word(following):
        return False
    third = lexer.peek(ahead + 2)
    if token.upper != "MEASURES":
        return third.upper == ("=" if token.upper == "SUBSET" else "AS")
    # MEASURES measures AS …, but ORDER BY measures MEASURES x AS …: the word before another clause's is a name.
    another = following.kind == "word" and following.upper in _CLAUSES
    return not (
        another
        and (third.upper == _CLAUSES[following.upper] or (is_name(third) and not is_operator_word(third)))
    )


def begins_operand(lexer: Lexer, ahead: int) -> bool:
    """Whether an operand can begin `ahead` tokens from here, so that the word before it may be a keyword.

    After a name there would have to be an operator, a comma, a closing bracket or the end. A sign could be either
    and counts as the operand's, as SQL has it for the reserved words that this is asked of.
    """
    token = lexer.peek(ahead)
    if token.kind in ("number", "string", "quoted"):
        return True
    if token.kind == "op":
        return token.value in ("(", "-", "+")
    return token.kind == "word" and not is_operator_word(token) and not at_clause(lexer, ahead)


def begins_case(lexer: Lexer) -> bool:
    """Whether the word CASE, which is the current one, begins a case; else it is a column's name."""
    following = lexer.peek()
    if following.kind == "word" and following.upper == "WHEN":
        return True
    if following.kind == "word" and following.upper == "NOT":  # CASE NOT a WHEN …; case NOT IN (…)
        return lexer.peek(2).upper not in ("IN", "BETWEEN", "LIKE", "ILIKE")
    if following.kind == "word" and following.upper == "NULLS":  # ORDER BY case NULLS FIRST
        return lexer.peek(2).upper not in ("FIRST", "LAST")
    return begins_operand(lexer, 1)


def variable_name(token: Token) -> str:
    """A pattern variable as it is compared: in upper case unless quoted."""
    return token.value if token.kind == "quoted" else token.upper
