"""Source: the text of a clause, and errors that point into it.

Every token and every tree node carries a span, a half-open pair of character offsets into the text it was
read from. The line, the column and the caret are worked out only here, and only when something is wrong.
An excerpt is at most `EXCERPT` characters wide, however long the line, and a message that quotes a name of a
million characters is cut: ten megabytes of garbage still give an error that fits a terminal.
"""

from __future__ import annotations

from dataclasses import dataclass

from tocsin.errors import PatternError

Span = tuple[int, int]
NOWHERE: Span = (-1, -1)
EXCERPT = 100
MESSAGE_MAX = 1200


@dataclass(frozen=True, slots=True)
class Source:
    """A text, able to say where in it something is wrong.

    >>> print(Source("price >> 3").error("'>' is not expected here", (7, 8)))
    '>' is not expected here
    line 1, column 8:
        price >> 3
               ^
    """

    text: str

    def error(self, message: str, span: Span) -> PatternError:
        """The PatternError for `message`, to be raised: with the line of `span` and a caret below it."""
        if len(message) > MESSAGE_MAX:  # a name in it is no name: both ends say what is wrong
            message = f"{message[: MESSAGE_MAX // 2]} … {message[-MESSAGE_MAX // 2 :]}"
        if span[0] < 0:
            return PatternError(message)
        start = min(span[0], len(self.text))
        line_start = self.text.rfind("\n", 0, start) + 1
        line_end = self.text.find("\n", start)
        if line_end < 0:
            line_end = len(self.text)
        line_number = self.text.count("\n", 0, line_start) + 1
        width = max(1, min(span[1], line_end) - start)
        # A window of the line around the fault, with an ellipsis where it was cut.
        left = max(line_start, start - EXCERPT // 2) if line_end - line_start > EXCERPT else line_start
        right = min(line_end, left + EXCERPT)
        shown = "".join(c if c.isprintable() else " " for c in self.text[left:right])
        before = "…" if left > line_start else ""
        after = "…" if right < line_end else ""
        # Only blanks at both ends can go: the caret counts from the first character that stays.
        stripped = shown.lstrip(" ") if not before else shown
        caret_at = len(before) + (start - left) - (len(shown) - len(stripped))
        width = min(width, max(1, right - start))
        if caret_at < 0:  # the fault is in the indentation itself
            stripped, caret_at = shown, start - left
        return PatternError(
            f"{message}\nline {line_number}, column {start - line_start + 1}:\n"
            f"    {before}{stripped.rstrip(' ')}{after}\n    {' ' * caret_at}{'^' * width}"
        )


def nearest(name: str, known: list[str]) -> str | None:
    """The name in `known` that `name` was most likely meant to be, or None."""
    import difflib  # only ever needed on the way to an error

    by_fold = {k.casefold(): k for k in known}
    close = difflib.get_close_matches(name.casefold(), list(by_fold), n=1, cutoff=0.6)
    return by_fold[close[0]] if close else None


def listed(names: list[str], limit: int = 20) -> str:
    """`names` for an error message: all of them, or the first `limit` and how many more there are."""
    if not names:
        return "(none)"
    more = f", … ({len(names)} in all)" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
