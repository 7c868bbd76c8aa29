"""The MATCH_RECOGNIZE clause: text -> Clause tree.

    [PARTITION BY column, …] [ORDER BY column [ASC | DESC] [NULLS FIRST | LAST], …]
    [MEASURES expression AS name, …] [ONE ROW PER MATCH]
    [AFTER MATCH SKIP PAST LAST ROW | AFTER MATCH SKIP TO NEXT ROW]
    PATTERN ( … ) [WITHIN INTERVAL '…' unit] [DEFINE variable AS condition, …]

in this order, as SQL:2016 has it, with Flink's WITHIN after PATTERN. `MATCH_RECOGNIZE ( … )` may stand around
it. Only the form is checked here; names and types are tocsin.compile's. What the standard has and tocsin does
not is refused by name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal as Choice

from tocsin.errors import PatternError
from tocsin.language.expression import Column, Expression, Literal
from tocsin.language.lexer import Lexer, Token
from tocsin.language.pattern import PatternParser, RowPattern
from tocsin.language.source import NOWHERE, Source, Span
from tocsin.sql.grammar import ExpressionParser, at_clause, is_operator_word, variable_name

_CLAUSE_WORD = re.compile("pattern|match_recognize", re.IGNORECASE)
_ORDER = ["PARTITION", "ORDER", "MEASURES", "ONE", "AFTER", "PATTERN", "WITHIN", "DEFINE"]
_TITLES = {
    "PARTITION": "PARTITION BY",
    "ORDER": "ORDER BY",
    "ONE": "ONE ROW PER MATCH",
    "AFTER": "AFTER MATCH SKIP",
}


@dataclass(frozen=True, slots=True)
class SortKey:
    """One key of ORDER BY; NULLs come last unless `nulls_first`, in either direction."""

    expression: Expression
    descending: bool = False
    nulls_first: bool = False


@dataclass(frozen=True, slots=True)
class Subset:
    """SUBSET `name` = (`members`): a name for the rows of several variables."""

    name: str
    members: tuple[str, ...]
    span: Span = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class SkipTo:
    """AFTER MATCH SKIP. kind: past_last, next, first (TO FIRST variable), last (TO LAST variable, TO variable)."""

    kind: Choice["past_last", "next", "first", "last"] = "past_last"
    variable: str | None = None
    span: Span = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class MeasureItem:
    """`expression` AS `name`."""

    expression: Expression
    name: str
    quoted: bool = False
    span: Span = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Definition:
    """`variable` (in upper case unless it was quoted) AS `condition`."""

    variable: str
    condition: Expression
    span: Span = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Clause:
    """A whole clause. `source` is the text that every span in it points into.

    `rows`: ONE ROW or ALL ROWS PER MATCH; `empty`: SHOW EMPTY MATCHES, OMIT EMPTY MATCHES, WITH UNMATCHED ROWS.
    """

    pattern: RowPattern
    partition: tuple[Expression, ...] = ()
    order: tuple[SortKey, ...] = ()
    measures: tuple[MeasureItem, ...] = ()
    rows: Choice["one", "all"] = "one"
    empty: Choice["show", "omit", "unmatched"] = "show"
    skip: SkipTo = SkipTo()
    within: Literal | None = None
    subsets: tuple[Subset, ...] = ()
    definitions: tuple[Definition, ...] = ()
    source: Source = field(default_factory=lambda: Source(""), compare=False)
    pattern_span: Span = field(default=NOWHERE, compare=False)


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
    if lexer.at_word("PATTERN") and lexer.peek().kind in ("word", "quoted"):
        return not is_operator_word(lexer.peek())
    if _CLAUSE_WORD.search(text) is None:
        return (
            False  # reading every token of a long condition to find none of the words would double its cost
        )
    try:
        while lexer.token.kind != "end":
            if lexer.at_word("PATTERN", "MATCH_RECOGNIZE") and lexer.peek().value == "(":
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


def parse_clause(text: str) -> Clause:
    """The tree of a clause. Raises PatternError with the place.

    >>> clause = parse_clause("MEASURES LAST(A.ts) AS ended PATTERN (A{3}) DEFINE A AS amount < 10")
    >>> clause.measures[0].name, clause.skip, str(clause.definitions[0].condition)
    ('ended', 'past_last', 'amount < 10')
    """
    try:
        return _ClauseParser(Source(text)).clause()
    except RecursionError:  # the caller's own stack was nearly used up
        raise PatternError("the clause is nested too deeply for the stack that is left") from None


class _ClauseParser:
    __slots__ = ("expressions", "lexer", "source")

    def __init__(self, source: Source) -> None:
        self.source = source
        self.lexer = Lexer(source)
        self.expressions = ExpressionParser(self.lexer)

    def clause(self) -> Clause:
        lexer = self.lexer
        surrounded = lexer.accept_word("MATCH_RECOGNIZE")
        if surrounded:
            lexer.expect_op("(", "after MATCH_RECOGNIZE")
        partition: tuple[Expression, ...] = ()
        order: tuple[SortKey, ...] = ()
        measures: tuple[MeasureItem, ...] = ()
        skip = SkipTo()
        pattern: RowPattern | None = None
        pattern_span = NOWHERE
        within: Literal | None = None
        definitions: tuple[Definition, ...] = ()
        reached = -1
        while True:
            token = lexer.token
            self._refuse(token)
            word = token.upper if token.kind == "word" else ""
            if word not in _ORDER:
                break
            if _ORDER.index(word) <= reached:
                raise lexer.error(self._misplaced(word, reached))
            reached = _ORDER.index(word)
            if pattern is None and reached > _ORDER.index("PATTERN"):
                raise lexer.error(f"PATTERN is expected before {word}")
            lexer.take()
            if word == "PARTITION":
                partition = self._partition()
            elif word == "ORDER":
                order = self._order()
            elif word == "MEASURES":
                measures = self._measures()
            elif word == "ONE":
                self._one_row()
            elif word == "AFTER":
                skip = self._skip()
            elif word == "PATTERN":
                pattern, pattern_span = self._pattern()
            elif word == "WITHIN":
                within = self._within()
            else:
                definitions = self._define()
        if lexer.token.kind != "end" and not (surrounded and lexer.at_op(")")):
            raise lexer.error(self._unexpected(reached))
        if pattern is None:
            raise lexer.error("PATTERN is missing: a clause needs PATTERN ( … )")
        if surrounded:
            lexer.expect_op(")", "to close MATCH_RECOGNIZE")
        if lexer.token.kind != "end":
            raise lexer.error(f"the end is expected after the clause, not {lexer.token}")
        return Clause(
            pattern,
            partition,
            order,
            measures,
            skip=skip,
            within=within,
            definitions=definitions,
            source=self.source,
            pattern_span=pattern_span,
        )

    def _misplaced(self, word: str, reached: int) -> str:
        title = _TITLES.get(word, word)
        if _ORDER[reached] == word:
            return f"{title} is given twice"
        order = ", ".join(_TITLES.get(w, w) for w in _ORDER)
        return (
            f"{title} must stand before {_TITLES.get(_ORDER[reached], _ORDER[reached])}; the order is {order}"
        )

    def _unexpected(self, reached: int) -> str:
        following = [_TITLES.get(w, w) for w in _ORDER[reached + 1 :]]
        if not following:
            return f"the end is expected, not {self.lexer.token}"
        return (
            f"{following[0] if len(following) == 1 else ', '.join(following)} or the end is expected, not "
            + str(self.lexer.token)
        )

    def _refuse(self, token: Token) -> None:
        """Sub-clauses of the standard (and a whole query) that are not ours."""
        lexer = self.lexer
        if lexer.at_word("ALL"):
            raise lexer.error("ALL ROWS PER MATCH is not supported yet: ONE ROW PER MATCH is")
        if lexer.at_word("SUBSET"):
            raise lexer.error("SUBSET is not supported yet: name the variables one by one")
        if lexer.at_word("SELECT", "WITH", "FROM"):
            raise lexer.error(
                f"a clause is expected, and {token.upper} begins a query: give what stands in "
                "MATCH_RECOGNIZE ( … )"
            )
        if lexer.at_word("INITIAL", "SEEK"):
            raise lexer.error(f"{token.upper} belongs to row patterns in windows, which are not supported")

    def _comma_list_goes_on(self) -> bool:
        return self.lexer.accept_op(",")

    def _column(self, where: str) -> Column:
        lexer = self.lexer
        token = lexer.token
        if token.kind not in ("word", "quoted"):
            raise lexer.error(f"a column is expected in {where}, not {token}")
        if lexer.peek().value == "(" or lexer.peek().upper == "BY":  # PATTERN ( or ORDER BY
            raise lexer.error(f"a column is expected in {where} before {token.upper}")
        lexer.take()
        if lexer.at_op("."):
            raise lexer.error(f"{where} takes columns of the input without a prefix")
        if lexer.token.kind == "op" and not lexer.at_op(",", ")"):
            raise lexer.error(f"{where} takes plain columns, not expressions")
        return Column(token.value, None, token.kind == "quoted", span=token.span)

    def _partition(self) -> tuple[Column, ...]:
        self.lexer.expect_word("BY", "after PARTITION")
        columns = [self._column("PARTITION BY")]
        while self._comma_list_goes_on():
            columns.append(self._column("PARTITION BY"))
        return tuple(columns)

    def _order(self) -> tuple[SortKey, ...]:
        self.lexer.expect_word("BY", "after ORDER")
        keys = [self._sort_key()]
        while self._comma_list_goes_on():
            keys.append(self._sort_key())
        return tuple(keys)

    def _sort_key(self) -> SortKey:
        lexer = self.lexer
        column = self._column("ORDER BY")
        descending = lexer.accept_word("DESC")
        if not descending:
            lexer.accept_word("ASC")
        nulls_first = False
        if lexer.accept_word("NULLS"):
            if not lexer.at_word("FIRST", "LAST"):
                raise lexer.error(f"FIRST or LAST is expected after NULLS, not {lexer.token}")
            nulls_first = lexer.take().upper == "FIRST"
        return SortKey(column, descending, nulls_first)

    def _measures(self) -> tuple[MeasureItem, ...]:
        items = [self._measure()]
        while self._comma_list_goes_on():
            items.append(self._measure())
        return tuple(items)

    def _measure(self) -> MeasureItem:
        lexer = self.lexer
        start = lexer.token.span[0]
        expression = self.expressions.expression()
        if not lexer.at_word("AS"):
            raise lexer.error(f"AS and a name are expected after the measure, not {lexer.token}")
        lexer.take()
        token = lexer.token
        if token.kind not in ("word", "quoted"):
            raise lexer.error(f"a name is expected after AS, not {token}")
        lexer.take()
        return MeasureItem(expression, token.value, token.kind == "quoted", (start, token.span[1]))

    def _one_row(self) -> None:
        lexer = self.lexer
        for word in ("ROW", "PER", "MATCH"):
            lexer.expect_word(word, "in ONE ROW PER MATCH")

    def _skip(self) -> SkipTo:
        lexer = self.lexer
        lexer.expect_word("MATCH", "in AFTER MATCH SKIP")
        lexer.expect_word("SKIP", "in AFTER MATCH SKIP")
        if lexer.accept_word("PAST"):
            lexer.expect_word("LAST", "in SKIP PAST LAST ROW")
            lexer.expect_word("ROW", "in SKIP PAST LAST ROW")
            return SkipTo()
        lexer.expect_word("TO", "or PAST in AFTER MATCH SKIP")
        if lexer.at_words("NEXT", "ROW"):
            lexer.take()
            lexer.take()
            return SkipTo("next")
        if lexer.token.kind in ("word", "quoted"):
            if lexer.at_word("FIRST", "LAST") and lexer.peek().kind in ("word", "quoted"):
                target = f"{lexer.token.upper} {lexer.peek().value}"
            else:
                target = lexer.token.value
            raise lexer.error(
                f"SKIP TO {target[:40]} is not supported yet: SKIP PAST LAST ROW and SKIP TO NEXT ROW are"
            )
        raise lexer.error(f"NEXT ROW is expected after SKIP TO, not {lexer.token}")

    def _pattern(self) -> tuple[RowPattern, Span]:
        lexer = self.lexer
        opening = lexer.expect_op("(", "after PATTERN")
        pattern = PatternParser(lexer).pattern()
        if not lexer.at_op(")"):
            raise lexer.error(f"a variable, a quantifier or ')' is expected in PATTERN, not {lexer.token}")
        closing = lexer.take()
        return pattern, (opening.span[0], closing.span[1])

    def _within(self) -> Literal:
        lexer = self.lexer
        start = lexer.token
        value = self.expressions.expression()
        if not isinstance(value, Literal) or value.type != "interval":
            raise lexer.error(
                "WITHIN takes an interval: WITHIN INTERVAL '5' MINUTE", (start.span[0], lexer.previous_end)
            )
        if value.value <= 0:
            raise lexer.error("the interval of WITHIN must be longer than nothing", value.span)
        return value

    def _define(self) -> tuple[Definition, ...]:
        items = [self._definition()]
        while self._comma_list_goes_on():
            items.append(self._definition())
        return tuple(items)

    def _definition(self) -> Definition:
        lexer = self.lexer
        token = lexer.token
        if token.kind not in ("word", "quoted"):
            raise lexer.error(f"a pattern variable is expected in DEFINE, not {token}")
        lexer.take()
        lexer.expect_word("AS", f"after {token.value[:40]} in DEFINE")
        return Definition(variable_name(token), self.expressions.expression(), token.span)
