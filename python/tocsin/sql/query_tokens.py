"""Tokens of a whole query: just enough of SQL's lexis to find what stands where.

A query is DuckDB's but for the parentheses of MATCH_RECOGNIZE ( … ), which are ours, and the two differ in what a
character means: outside, `$a$ … $a$` is a string, E'…' has escapes and comments nest; inside, `$` is an anchor
(`PATTERN ($A$)`) and comments do not nest. So one pass reads both, and changes its rules at those parentheses.

Kinds: "word", "quoted", "string", "number", "op" (any other character by itself). Comments and blanks separate
tokens. `Tokens` also knows which parentheses belong together, and which one each token stands in.

Cost: one regular expression per token.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import NamedTuple

from tocsin.errors import QueryError
from tocsin.language.source import Source, Span

_BOTH = r"""
        (?P<blank>\s+|--[^\n]*)
      | (?P<string>{string})
      | (?P<quoted>"[^"]*+(?:""[^"]*+)*+")
      | (?P<word>[^\W\d][\w$]*)
      | (?P<number>(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?)
      | (?P<op>.)
"""
_PLAIN = r"'[^']*+(?:''[^']*+)*+'"
_ESCAPED = r"[eE]'(?:[^'\\]|\\.|'')*+'"
_DOLLAR = r"\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$"
_OUTSIDE = re.compile(_BOTH.replace("{string}", f"{_PLAIN}|{_ESCAPED}|{_DOLLAR}"), re.VERBOSE | re.DOTALL)
_INSIDE = re.compile(_BOTH.replace("{string}", _PLAIN), re.VERBOSE | re.DOTALL)
_COMMENT = re.compile(r"/\*|\*/")
_UNFINISHED = {"'": "a string", '"': "a quoted name"}


class QueryToken(NamedTuple):
    """`key` compares names and words as DuckDB does: in lower case, without quotes; empty for strings."""

    kind: str
    key: str
    start: int
    end: int

    def is_word(self, *words: str) -> bool:
        """Whether this is one of these words (given in lower case), not quoted."""
        return self.kind == "word" and self.key in words

    def is_op(self, *ops: str) -> bool:
        return self.kind == "op" and self.key in ops

    @property
    def is_name(self) -> bool:
        return self.kind in ("word", "quoted")


def query_error(text: str, message: str, span: Span) -> QueryError:
    """The QueryError for `message`, with the line of `span` in the query `text` and a caret below it."""
    return QueryError(str(Source(text).error(message, span)))


class Tokens:
    """The tokens of `text`; `clauses` are the indexes of the words MATCH_RECOGNIZE that a parenthesis follows.

    `partner[i]` is the index of the parenthesis that belongs to the one at i (None if there is none), `group[i]`
    that of the opening parenthesis around token i (-1: none).

    >>> tokens = Tokens("SELECT a FROM t MATCH_RECOGNIZE (PATTERN ($A$))")
    >>> [tokens[i].key for i in tokens.clauses], tokens[tokens.partner[5]].key, tokens.group[6]
    (['match_recognize'], ')', 5)
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.list: list[QueryToken] = []
        self.partner: dict[int, int | None] = {}
        self.group: list[int] = []
        self.clauses: list[int] = []
        self._read()
        self._starts = [token.start for token in self.list]

    def __getitem__(self, index: int) -> QueryToken:
        return self.list[index]

    def __len__(self) -> int:
        return len(self.list)

    def _read(self) -> None:
        text, at = self.text, 0
        opened: list[int] = []
        clause: int | None = None  # the parenthesis of the outermost clause that is being read
        while at < len(text):
            if text.startswith("/*", at):
                at = self._comment_end(at, nested=clause is None)
                continue
            found = (_OUTSIDE if clause is None else _INSIDE).match(text, at)
            assert found is not None  # the last alternative takes any character
            kind, start, at = str(found.lastgroup), found.start(), found.end()
            if kind == "blank":
                continue
            index = len(self.list)
            token = self._token(kind, found.group(), start, at)
            self.group.append(opened[-1] if opened else -1)
            self.list.append(token)
            if token.is_op("("):
                self.partner[index] = None
                if index and self.list[index - 1].is_word("match_recognize"):
                    self.clauses.append(index - 1)
                    clause = index if clause is None else clause
                opened.append(index)
            elif token.is_op(")"):
                self.partner[index] = None
                if opened:
                    opening = opened.pop()
                    self.partner[opening], self.partner[index] = index, opening
                    self.group[index] = self.group[opening]
                    clause = None if opening == clause else clause

    def _token(self, kind: str, value: str, start: int, end: int) -> QueryToken:
        if kind == "op" and value in _UNFINISHED:  # an opening quote that began no whole token
            raise query_error(
                self.text, f"{_UNFINISHED[value]} that begins here is not closed", (start, start + 1)
            )
        if kind == "quoted":
            return QueryToken(kind, value[1:-1].replace('""', '"').lower(), start, end)
        return QueryToken(kind, "" if kind == "string" else value.lower(), start, end)

    def _comment_end(self, start: int, nested: bool) -> int:
        depth = 0
        for mark in _COMMENT.finditer(self.text, start):
            if mark.group() == "/*":
                depth = depth + 1 if nested else 1
            else:
                depth -= 1
            if depth == 0:
                return mark.end()
        raise query_error(self.text, "a comment that begins here is not closed", (start, start + 2))

    def around(self, index: int) -> list[int]:
        """The opening parentheses around token `index`, the outermost first; before them -1, the query itself."""
        found = []
        group = self.group[index]
        while group >= 0:
            found.append(group)
            group = self.group[group]
        return [-1, *reversed(found)]

    def close(self, opening: int) -> int:
        """The index of the parenthesis that closes the one at `opening`; the end of the tokens for -1 or none."""
        closing = self.partner[opening] if opening >= 0 else None
        return len(self.list) if closing is None else closing

    def level(self, opening: int, stop: int | None = None) -> list[int]:
        """The tokens directly in this parenthesis (and before token `stop`): those of inner ones are left out."""
        found = []
        index = opening + 1
        end = self.close(opening) if stop is None else stop
        while index < end:
            found.append(index)
            inner = self.partner.get(index) if self.list[index].is_op("(") else None
            index = index + 1 if inner is None else inner
        return found

    def names(self) -> set[str]:
        """The keys of all words and quoted names."""
        return {token.key for token in self.list if token.is_name}

    def at(self, offset: int) -> QueryToken | None:
        """The token that `offset` lies in."""
        index = bisect_right(self._starts, offset) - 1
        return self.list[index] if index >= 0 and offset < self.list[index].end else None
