"""Lexer: the text of a clause, a pattern or a condition as tokens, each with its exact place.

Tokens are read one at a time, on demand, so that garbage fails at its first bad character and not after a
pass over all of it. `TEXT_MAX` bounds the text itself: a clause is written by a person or by a program for a
person, and ten megabytes of it are a mistake that is told at once.

Kinds: "word" (an identifier or keyword; `upper` is its upper case), "quoted" (a "delimited identifier", value
without the quotes), "string" (a 'character literal', likewise), "number", "op" (punctuation), "end".
Comments (`-- …` to the end of the line, `/* … */` not nested) and blanks separate tokens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tocsin.errors import PatternError
from tocsin.language.source import Source, Span

TEXT_MAX = 1_000_000

# One alternative per kind; the name of the group that matched is the kind. Longer operators come first.
_TOKEN = re.compile(
    r"""(?P<blank>\s+|--[^\n]*|/\*.*?\*/)
      | (?P<word>[^\W\d]\w*)
      | (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<string>'[^']*+(?:''[^']*+)*+')
      | (?P<quoted>"[^"]*+(?:""[^"]*+)*+")
      | (?P<op>\{-|-\}|<=|>=|<>|!=|==|\|\||&&|::|->|=>|[-+*/%()<>=,.{}?|^$\[\]:;&~!@\#])
    """,
    re.VERBOSE | re.DOTALL,
)
_UNFINISHED = {"'": "a string", '"': "a quoted name"}


@dataclass(frozen=True, slots=True)
class Token:
    """`value` is the token without quotes; `upper` compares words (empty for names and strings in quotes)."""

    kind: str
    value: str
    upper: str
    span: Span

    def __str__(self) -> str:
        if self.kind == "end":
            return "the end of the text"
        if self.kind == "string":
            shown = self.value if len(self.value) <= 40 else self.value[:40] + "…"
            return f"the string '{shown}'"
        return f"'{self.value if len(self.value) <= 40 else self.value[:40] + '…'}'"


class Lexer:
    """A cursor over the tokens of `source`.

    `token` is the current one, `peek(n)` the n-th after it; `take()` moves on. Raises PatternError with the
    place on the first character that begins no token.
    """

    __slots__ = ("_ahead", "_at", "previous_end", "source", "token")

    def __init__(self, source: Source) -> None:
        if len(source.text) > TEXT_MAX:
            raise Source(source.text[:200]).error(
                f"the text has {len(source.text)} characters; the limit is {TEXT_MAX}. It begins", (0, 1)
            )
        self.source = source
        self._at = 0
        self._ahead: list[Token] = []
        self.previous_end = 0
        self.token = self._read()

    def _read(self) -> Token:
        text = self.source.text
        while True:
            if self._at >= len(text):
                return Token("end", "", "", (len(text), len(text)))
            found = _TOKEN.match(text, self._at)
            if found is None:
                raise self._bad_character()
            kind, start, end = str(found.lastgroup), found.start(), found.end()
            self._at = end
            if kind == "blank":
                continue
            value = found.group()
            if kind == "word":
                return Token(kind, value, value.upper(), (start, end))
            if kind == "string":
                return Token(kind, value[1:-1].replace("''", "'"), "", (start, end))
            if kind == "quoted":
                if end - start == 2:
                    raise self.source.error("a quoted name must not be empty", (start, end))
                return Token(kind, value[1:-1].replace('""', '"'), "", (start, end))
            if value == "/" and text.startswith("/*", start):
                raise self.source.error("a comment that begins here is not closed", (start, start + 2))
            if kind == "number" and end < len(text) and (text[end].isalnum() or text[end] == "_"):
                raise self.source.error(
                    f"the number '{value[:40]}' runs into a word: separate them by a blank", (start, end + 1)
                )
            return Token(kind, value, value, (start, end))

    def _bad_character(self) -> PatternError:
        character = self.source.text[self._at]
        span = (self._at, self._at + 1)
        if character in _UNFINISHED:  # an opening quote that began no whole token
            return self.source.error(f"{_UNFINISHED[character]} that begins here is not closed", span)
        if character == "`":
            return self.source.error('names are quoted with ", not with `', span)
        return self.source.error(f"{character!r} has no meaning here", span)

    def peek(self, ahead: int = 1) -> Token:
        """The token `ahead` places after the current one."""
        while len(self._ahead) < ahead:
            self._ahead.append(self._read())
        return self._ahead[ahead - 1]

    def take(self) -> Token:
        """The current token; the next one becomes current."""
        taken = self.token
        self.previous_end = taken.span[1]
        self.token = self._ahead.pop(0) if self._ahead else self._read()
        return taken

    def error(self, message: str, span: Span | None = None) -> PatternError:
        """The error for `message` at `span`, or at the current token."""
        return self.source.error(message, self.token.span if span is None else span)

    def at_word(self, *words: str) -> bool:
        """Whether the current token is one of these words, in any case (given here in upper case)."""
        return self.token.kind == "word" and self.token.upper in words

    def at_words(self, *words: str) -> bool:
        """Whether the next tokens are exactly these words."""
        if not self.at_word(words[0]):
            return False
        for i, word in enumerate(words[1:], 1):
            token = self.peek(i)
            if token.kind != "word" or token.upper != word:
                return False
        return True

    def at_op(self, *ops: str) -> bool:
        """Whether the current token is one of these operators."""
        return self.token.kind == "op" and self.token.value in ops

    def accept_word(self, *words: str) -> bool:
        """Takes the current token if it is one of these words; whether it was."""
        if self.at_word(*words):
            self.take()
            return True
        return False

    def accept_op(self, op: str) -> bool:
        """Takes the current token if it is this operator; whether it was."""
        if self.at_op(op):
            self.take()
            return True
        return False

    def expect_word(self, word: str, why: str) -> Token:
        """Takes this word; anything else is an error, which `why` completes."""
        if not self.at_word(word):
            raise self.error(f"{word} is expected {why}, not {self.token}")
        return self.take()

    def expect_op(self, op: str, why: str) -> Token:
        """Takes this operator; anything else is an error, which `why` completes."""
        if not self.at_op(op):
            raise self.error(f"'{op}' is expected {why}, not {self.token}")
        return self.take()
