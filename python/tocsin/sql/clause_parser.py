"""The grammar of a MATCH_RECOGNIZE clause: tokens -> Clause.

    [PARTITION BY expression, …] [ORDER BY expression [ASC | DESC] [NULLS FIRST | NULLS LAST], …]
    [MEASURES expression AS name, …]
    [ONE ROW PER MATCH | ALL ROWS PER MATCH [SHOW EMPTY MATCHES | OMIT EMPTY MATCHES | WITH UNMATCHED ROWS]]
    [AFTER MATCH SKIP (PAST LAST ROW | TO NEXT ROW | TO [FIRST | LAST] variable)]
    PATTERN ( … ) [WITHIN INTERVAL '…' unit] [SUBSET name = (variable, …), …]
    [DEFINE variable AS condition, …]

in this order, as SQL:2016 has it, with Flink's WITHIN on either side of SUBSET. `MATCH_RECOGNIZE ( … )` may stand
around it. INITIAL and SEEK belong to row patterns in windows; the standard forbids them here, and so do we.
"""

from __future__ import annotations

from typing import Any

from tocsin.language.expression import Column, Expression, Literal
from tocsin.language.lexer import Lexer, Token
from tocsin.language.pattern import Exclusion, PatternParser, RowPattern, parts
from tocsin.language.source import Source, Span
from tocsin.sql.clause_tree import Clause, Definition, MeasureItem, SkipTo, SortKey, Subset
from tocsin.sql.grammar import ExpressionParser
from tocsin.sql.words import at_clause, is_name, variable_name

# The word that begins each sub-clause, and how the sub-clause is called in errors. Those of one line stand in any
# order, and of ONE and ALL there is but one.
_ORDER = (
    {"PARTITION": "PARTITION BY"},
    {"ORDER": "ORDER BY"},
    {"MEASURES": "MEASURES"},
    {"ONE": "ONE ROW PER MATCH", "ALL": "ALL ROWS PER MATCH"},
    {"AFTER": "AFTER MATCH SKIP"},
    {"PATTERN": "PATTERN"},
    {"WITHIN": "WITHIN", "SUBSET": "SUBSET"},
    {"DEFINE": "DEFINE"},
)
_TITLES = {word: title for line in _ORDER for word, title in line.items()}
_RANKS = {word: rank for rank, line in enumerate(_ORDER) for word in line}
_PATTERN_RANK = _RANKS["PATTERN"]
_WHOLE_ORDER = ", ".join(" or ".join(line.values()) for line in _ORDER).replace(
    "WITHIN or SUBSET", "WITHIN, SUBSET"
)


class ClauseParser:
    """Reads one whole clause from `source`."""

    __slots__ = ("_expressions", "_lexer", "_source")

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lexer = Lexer(source)
        self._expressions = ExpressionParser(self._lexer)

    def clause(self) -> Clause:
        """The tree. Raises PatternError with the place."""
        lexer = self._lexer
        surrounded = lexer.accept_word("MATCH_RECOGNIZE")
        if surrounded:
            lexer.expect_op("(", "after MATCH_RECOGNIZE")
        readers = {
            "PARTITION": self._partition,
            "ORDER": self._order,
            "MEASURES": self._measures,
            "ONE": self._one_row,
            "ALL": self._all_rows,
            "AFTER": self._skip,
            "PATTERN": self._pattern,
            "WITHIN": self._within,
            "SUBSET": self._subset,
            "DEFINE": self._define,
        }
        found: dict[str, Any] = {}  # fields of Clause
        given: list[str] = []
        while True:
            self._refuse()
            word = lexer.token.upper if lexer.token.kind == "word" else ""
            if word not in _RANKS:
                break
            self._check_order(word, given)
            given.append(word)
            lexer.take()
            found.update(readers[word]())
        if lexer.token.kind != "end" and not (surrounded and lexer.at_op(")")):
            raise lexer.error(self._unexpected(given))
        if "PATTERN" not in given:
            raise lexer.error("PATTERN is missing: a clause needs PATTERN ( … )")
        if surrounded:
            lexer.expect_op(")", "to close MATCH_RECOGNIZE")
        if lexer.token.kind != "end":
            raise lexer.error(f"the end is expected after the clause, not {lexer.token}")
        clause = Clause(**found, source=self._source)
        self._check_exclusion(clause)
        return clause

    def _check_order(self, word: str, given: list[str]) -> None:
        lexer = self._lexer
        title = _TITLES[word]
        if word in given:
            raise lexer.error(f"{title} is given twice")
        rank = _RANKS[word]
        if given and word in ("ONE", "ALL") and _RANKS[given[-1]] == rank:
            raise lexer.error(f"{title} contradicts {_TITLES[given[-1]]}")
        if given and rank < _RANKS[given[-1]]:
            behind = next(w for w in given if _RANKS[w] > rank)
            raise lexer.error(f"{title} must stand before {_TITLES[behind]}; the order is {_WHOLE_ORDER}")
        if rank > _PATTERN_RANK and "PATTERN" not in given:
            raise lexer.error(f"PATTERN is expected before {word}")

    def _unexpected(self, given: list[str]) -> str:
        reached = max((_RANKS[word] for word in given), default=-1)
        following = [
            title
            for word, title in _TITLES.items()
            if word not in given
            and (_RANKS[word] > reached or (_RANKS[word] == reached and word not in ("ONE", "ALL")))
        ]
        if not following:
            return f"the end is expected, not {self._lexer.token}"
        return f"{', '.join(following)} or the end is expected, not {self._lexer.token}"

    def _refuse(self) -> None:
        """What is no sub-clause of MATCH_RECOGNIZE and looks like one, and a whole query."""
        lexer = self._lexer
        if lexer.at_word("SELECT", "WITH", "FROM"):
            raise lexer.error(
                f"a clause is expected, and {lexer.token.upper} begins a query: give what stands in "
                "MATCH_RECOGNIZE ( … )"
            )
        if lexer.at_word("INITIAL", "SEEK"):
            raise lexer.error(
                f"{lexer.token.upper} belongs to row patterns in windows, not to MATCH_RECOGNIZE, which looks for "
                "a match from every row: leave it out"
            )

    def _check_exclusion(self, clause: Clause) -> None:
        if clause.empty != "unmatched":
            return
        for part in parts(clause.pattern):
            if isinstance(part, Exclusion):
                raise self._lexer.error(
                    "an exclusion {- … -} contradicts WITH UNMATCHED ROWS, which shows every row of the input",
                    part.span,
                )

    # Which rows, and in which order -----------------------------------------------------------------------

    def _of_input(self, where: str) -> Expression:
        """An expression over one row of the input."""
        expression = self._expressions.expression()
        stack = [expression]
        while stack:
            part = stack.pop()
            if isinstance(part, Column) and part.variable is not None:
                raise self._lexer.error(f"{where} takes columns of the input without a prefix", part.span)
            stack.extend(part.children())
        return expression

    def _partition(self) -> dict[str, Any]:
        self._lexer.expect_word("BY", "after PARTITION")
        keys = [self._of_input("PARTITION BY")]
        while self._lexer.accept_op(","):
            keys.append(self._of_input("PARTITION BY"))
        return {"partition": tuple(keys)}

    def _order(self) -> dict[str, Any]:
        self._lexer.expect_word("BY", "after ORDER")
        keys = [self._sort_key()]
        while self._lexer.accept_op(","):
            keys.append(self._sort_key())
        return {"order": tuple(keys)}

    def _sort_key(self) -> SortKey:
        lexer = self._lexer
        expression = self._of_input("ORDER BY")
        descending = lexer.accept_word("DESC")
        if not descending:
            lexer.accept_word("ASC")
        nulls_first = False
        if lexer.accept_word("NULLS"):
            if not lexer.at_word("FIRST", "LAST"):
                raise lexer.error(f"FIRST or LAST is expected after NULLS, not {lexer.token}")
            nulls_first = lexer.take().upper == "FIRST"
        return SortKey(expression, descending, nulls_first)

    # What comes out ---------------------------------------------------------------------------------------

    def _measures(self) -> dict[str, Any]:
        items = [self._measure()]
        while self._lexer.accept_op(","):
            items.append(self._measure())
        return {"measures": tuple(items)}

    def _measure(self) -> MeasureItem:
        lexer = self._lexer
        start = lexer.token.span[0]
        expression = self._expressions.expression()
        if not lexer.at_word("AS"):
            raise lexer.error(f"AS and a name are expected after the measure, not {lexer.token}")
        lexer.take()
        token = lexer.token
        if not is_name(token):
            raise lexer.error(f"a name is expected after AS, not {token}")
        lexer.take()
        return MeasureItem(expression, token.value, token.kind == "quoted", (start, token.span[1]))

    def _words(self, *words: str, where: str) -> None:
        for word in words:
            self._lexer.expect_word(word, f"in {where}")

    def _one_row(self) -> dict[str, Any]:
        lexer = self._lexer
        self._words("ROW", "PER", "MATCH", where="ONE ROW PER MATCH")
        if (
            lexer.at_words("SHOW", "EMPTY")
            or lexer.at_words("OMIT", "EMPTY")
            or lexer.at_words("WITH", "UNMATCHED")
        ):
            raise lexer.error(f"{lexer.token.upper} {lexer.peek().upper} … goes with ALL ROWS PER MATCH only")
        return {"rows": "one"}

    def _all_rows(self) -> dict[str, Any]:
        lexer = self._lexer
        self._words("ROWS", "PER", "MATCH", where="ALL ROWS PER MATCH")
        empty = "show"
        if lexer.accept_word("SHOW"):
            self._words("EMPTY", "MATCHES", where="SHOW EMPTY MATCHES")
        elif lexer.accept_word("OMIT"):
            self._words("EMPTY", "MATCHES", where="OMIT EMPTY MATCHES")
            empty = "omit"
        elif lexer.accept_word("WITH"):
            self._words("UNMATCHED", "ROWS", where="WITH UNMATCHED ROWS")
            empty = "unmatched"
        return {"rows": "all", "empty": empty}

    # How matches are found --------------------------------------------------------------------------------

    def _skip(self) -> dict[str, Any]:
        lexer = self._lexer
        self._words("MATCH", "SKIP", where="AFTER MATCH SKIP")
        if lexer.accept_word("PAST"):
            self._words("LAST", "ROW", where="SKIP PAST LAST ROW")
            return {"skip": SkipTo()}
        lexer.expect_word("TO", "or PAST in AFTER MATCH SKIP")
        if lexer.at_words("NEXT", "ROW"):
            lexer.take()
            lexer.take()
            return {"skip": SkipTo("next")}
        first = False
        # FIRST and LAST may be variables themselves: SKIP TO last PATTERN (…).
        if lexer.at_word("FIRST", "LAST") and is_name(lexer.peek()) and not at_clause(lexer, 1):
            first = lexer.take().upper == "FIRST"
        token = self._name("NEXT ROW, FIRST, LAST or a pattern variable is expected after SKIP TO")
        return {"skip": SkipTo("first" if first else "last", variable_name(token), token.span)}

    def _name(self, message: str) -> Token:
        lexer = self._lexer
        if not is_name(lexer.token) or at_clause(lexer):
            raise lexer.error(f"{message}, not {lexer.token}")
        return lexer.take()

    def _pattern(self) -> dict[str, Any]:
        lexer = self._lexer
        opening = lexer.expect_op("(", "after PATTERN")
        pattern: RowPattern = PatternParser(lexer).pattern()
        if not lexer.at_op(")"):
            raise lexer.error(f"a variable, a quantifier or ')' is expected in PATTERN, not {lexer.token}")
        closing = lexer.take()
        span: Span = (opening.span[0], closing.span[1])
        return {"pattern": pattern, "pattern_span": span}

    def _within(self) -> dict[str, Any]:
        lexer = self._lexer
        start = lexer.token
        value = self._expressions.expression()
        if isinstance(value, Literal) and value.type == "months":
            raise lexer.error(
                "WITHIN takes an interval of fixed length, and a month or a year has none: use DAY",
                value.span,
            )
        if not isinstance(value, Literal) or value.type != "interval":
            raise lexer.error(
                "WITHIN takes an interval: WITHIN INTERVAL '5' MINUTE", (start.span[0], lexer.previous_end)
            )
        if value.value <= 0:
            raise lexer.error("the interval of WITHIN must be longer than nothing", value.span)
        return {"within": value}

    def _subset(self) -> dict[str, Any]:
        subsets = [self._one_subset()]
        while self._lexer.accept_op(","):
            subsets.append(self._one_subset())
        return {"subsets": tuple(subsets)}

    def _one_subset(self) -> Subset:
        lexer = self._lexer
        name = self._name("a name is expected in SUBSET")
        lexer.expect_op("=", f"after {name.value[:40]} in SUBSET")
        lexer.expect_op("(", "before the variables of SUBSET")
        members = [self._name("a pattern variable is expected in SUBSET")]
        while lexer.accept_op(","):
            members.append(self._name("a pattern variable is expected in SUBSET"))
        lexer.expect_op(")", "to close SUBSET")
        return Subset(
            variable_name(name),
            tuple(variable_name(m) for m in members),
            name.span,
            tuple(m.span for m in members),
        )

    def _define(self) -> dict[str, Any]:
        items = [self._definition()]
        while self._lexer.accept_op(","):
            items.append(self._definition())
        return {"definitions": tuple(items)}

    def _definition(self) -> Definition:
        lexer = self._lexer
        token = lexer.token
        if not is_name(token):
            raise lexer.error(f"a pattern variable is expected in DEFINE, not {token}")
        lexer.take()
        lexer.expect_word("AS", f"after {token.value[:40]} in DEFINE")
        return Definition(variable_name(token), self._expressions.expression(), token.span)
