"""The tree of a MATCH_RECOGNIZE clause.

Immutable; what a node's place in the text is takes no part in equality. Expressions in it are those of
tocsin.language.expression, the row pattern is that of tocsin.language.pattern. Variables (and the names of subsets) are
in upper case unless they were quoted, so that two names are one variable exactly if they are equal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal as Choice

from tocsin.language.expression import Expression, Literal
from tocsin.language.pattern import RowPattern
from tocsin.language.source import NOWHERE, Source, Span


@dataclass(frozen=True, slots=True)
class SortKey:
    """One key of ORDER BY; NULLs come last unless `nulls_first`, in either direction."""

    expression: Expression
    descending: bool = False
    nulls_first: bool = False


@dataclass(frozen=True, slots=True)
class Subset:
    """SUBSET `name` = (`members`): a name for the rows of several variables.

    `span` is the place of the name, `spans` those of the members (empty if Python built it).
    """

    name: str
    members: tuple[str, ...]
    span: Span = field(default=NOWHERE, compare=False)
    spans: tuple[Span, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class SkipTo:
    """AFTER MATCH SKIP. kind: past_last, next, first (TO FIRST variable), last (TO LAST variable, TO variable).

    `span` is the place of the variable, where there is one.
    """

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
    """A whole clause; `str` of it is its text. `source` is the text that every span in it points into.

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

    def __str__(self) -> str:
        from tocsin.sql.clause_text import clause_text  # it reads every node class: it stands above

        return clause_text(self)
