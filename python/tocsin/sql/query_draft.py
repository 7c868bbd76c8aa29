"""A query that is being rewritten, and where each part of it came from.

Each MATCH_RECOGNIZE gives way to the name of a table, inner ones first. The text that the user wrote is never
changed: a `Draft` keeps it with a list of replacements, and a `Piece` is some of it as it stands by now, able to say
for any of its characters which character of the user's text it was (a replaced one: where that part began). So every
error, ours or DuckDB's, shows its place in the query as it was given.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from tocsin.errors import PatternError
from tocsin.language.source import NOWHERE, Source, Span


@dataclass(frozen=True, slots=True)
class Piece:
    """Fragments (text, its offset in the user's text, whether it was written there just so)."""

    fragments: tuple[tuple[str, int, bool], ...]

    @property
    def text(self) -> str:
        return "".join(fragment[0] for fragment in self.fragments)

    def __add__(self, other: Piece | str) -> Piece:
        """This and then `other`; what we add ourselves belongs to the place that it is added at."""
        if isinstance(other, str):
            text, start, verbatim = self.fragments[-1] if self.fragments else ("", 0, False)
            other = Piece(((other, start + len(text) if verbatim else start, False),))
        return Piece(self.fragments + other.fragments)

    def origin(self, offset: int) -> int:
        """Where in the user's text the character at `offset` comes from."""
        place = 0
        for text, start, verbatim in self.fragments:
            if offset < len(text):
                return start + offset if verbatim else start
            offset -= len(text)
            place = start + len(text) if verbatim else start
        return place

    def span(self, span: Span) -> Span:
        """The same for a span."""
        if span[0] < 0:
            return NOWHERE
        start = self.origin(span[0])
        return start, max(start + 1, self.origin(max(span[1] - 1, span[0])) + 1)


class Draft:
    """The user's text with replacements.

    >>> draft = Draft("SELECT * FROM (SELECT 1) x")
    >>> draft.replace(14, 24, " t1 ")
    >>> piece = draft.piece(9)
    >>> piece.text, piece.origin(6), piece.origin(10)
    ('FROM  t1  x', 14, 25)
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._edits: list[tuple[int, int, str]] = []

    def replace(self, start: int, end: int, new: str) -> None:
        """Puts `new` in the place of the user's text from `start` to `end`, and of what was replaced within it."""
        self._edits = [edit for edit in self._edits if not (start <= edit[0] and edit[1] <= end)]
        self._edits.insert(bisect_right(self._edits, (start, end, new)), (start, end, new))

    def piece(self, start: int, end: int | None = None) -> Piece:
        """The text from `start` to `end`, as it stands by now."""
        end = len(self.text) if end is None else end
        found: list[tuple[str, int, bool]] = []
        at = start
        for first, last, new in self._edits:
            if start <= first and last <= end:
                found.append((self.text[at:first], at, True))
                found.append((new, first, False))
                at = last
        last_one = (self.text[at:end], at, True)  # kept even if it is empty: an error may stand at the end
        return Piece((*(fragment for fragment in found if fragment[0]), last_one))


@dataclass(frozen=True, slots=True)
class PlacedSource(Source):
    """The text of a clause that stands in a query: what is wrong in it is shown in the whole query."""

    piece: Piece = Piece(())
    query: str = ""

    def error(self, message: str, span: Span) -> PatternError:
        """The PatternError for `message`, with the line of the query that `span` of the clause lies in."""
        return Source(self.query).error(message, self.piece.span(span))
