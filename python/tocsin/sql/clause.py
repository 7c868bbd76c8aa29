"""The text of a clause or of a condition -> its tree: the entrance to the parsers.

The tree of a clause is sql/clause_tree.py's, its grammar sql/clause_parser.py's; that of expressions is
sql/grammar.py's, that of row patterns language/pattern.py's. Only the form is checked by them; names and types are
tocsin.compile's. Any text gives a tree or a PatternError that shows the place, in linear time.
"""

from __future__ import annotations

import re

from tocsin.errors import PatternError
from tocsin.language.expression import Expression
from tocsin.language.lexer import Lexer
from tocsin.language.source import Source
from tocsin.sql.clause_parser import ClauseParser
from tocsin.sql.clause_tree import Clause, Definition, MeasureItem, SkipTo, SortKey, Subset
from tocsin.sql.grammar import ExpressionParser
from tocsin.sql.words import at_clause, is_name, is_operator_word

_CLAUSE_WORD = re.compile("pattern|match_recognize", re.IGNORECASE)


def parse(text: str) -> Clause | Expression:
    """A clause, or a bare condition if `text` is no clause. Raises PatternError with the place.

    >>> type(parse("PATTERN (A+) DEFINE A AS price > 3")).__name__
    'Clause'
    >>> type(parse("price > 3")).__name__
    'Binary'
    """
    return parse_clause(text) if is_clause(text) else parse_condition(text)


def is_clause(text: str) -> bool:
    """Whether `text` is meant as a clause: a sub-clause begins it, or it has PATTERN ( somewhere."""
    lexer = Lexer(Source(text))
    if at_clause(lexer) or lexer.at_word("MATCH_RECOGNIZE"):
        return True
    if lexer.at_word("PATTERN") and is_name(lexer.peek()):
        return not is_operator_word(lexer.peek())
    if _CLAUSE_WORD.search(text) is None:
        return (
            False  # reading every token of a long condition to find none of the words would double its cost
        )
    try:
        while lexer.token.kind != "end":
            if lexer.at_word("PATTERN", "MATCH_RECOGNIZE") and lexer.peek().upper == "(":
                return True
            lexer.take()
    except PatternError:
        pass  # whichever parser reads the text says so with more sense of where it is
    return False


def parse_condition(text: str) -> Expression:
    """The tree of one expression that is the whole of `text`."""
    try:
        lexer = Lexer(Source(text))
        if lexer.token.kind == "end":
            raise lexer.error("a condition is expected, and the text is empty")
        expression = ExpressionParser(lexer).expression()
        if lexer.token.kind != "end":
            raise lexer.error(f"an operator or the end is expected, not {lexer.token}")
        return expression
    except RecursionError:  # the caller's own stack was nearly used up
        raise PatternError("the condition is nested too deeply for the stack that is left") from None


def parse_clause(text: str | Source) -> Clause:
    """The tree of a clause. Raises PatternError with the place (as `text` shows it, if it is a Source).

    >>> clause = parse_clause("MEASURES LAST(A.ts) AS ended PATTERN (A{3}) DEFINE A AS amount < 10")
    >>> clause.measures[0].name, clause.skip.kind, str(clause.definitions[0].condition)
    ('ended', 'past_last', 'amount < 10')
    """
    try:
        return ClauseParser(text if isinstance(text, Source) else Source(text)).clause()
    except RecursionError:  # the caller's own stack was nearly used up
        raise PatternError("the clause is nested too deeply for the stack that is left") from None


__all__ = [
    "Clause",
    "Definition",
    "MeasureItem",
    "SkipTo",
    "SortKey",
    "Subset",
    "is_clause",
    "parse",
    "parse_clause",
    "parse_condition",
]
