"""Where MATCH_RECOGNIZE stands in a query: its input, its clause, and the WITH queries that it can see.

    … FROM  (SELECT …) AS t(a, b)  MATCH_RECOGNIZE ( … )  AS m …
            `------ input ------'                  `---'
                                                   clause

The input is a table factor of FROM: whatever stands between FROM, JOIN, a comma or an opening parenthesis and the
word. The scan goes by tokens and parentheses and needs no grammar of SELECT, so that any SQL of DuckDB may stand
around; whether it is right is for DuckDB to say. What would be read as something else is refused here.

`find` gives the inner ones first: what stands in the input of another, in its clause (as a sub-query), or in a WITH
query before it is ready when it is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

from tocsin.language.source import Span
from tocsin.sql.clause import parse_clause
from tocsin.sql.query_draft import Draft, PlacedSource
from tocsin.sql.query_tokens import Tokens, query_error

# Words that begin a part of a query: no table factor contains one outside of parentheses.
# fmt: off
_NOT_IN_A_FACTOR = (
    "select", "from", "where", "group", "having", "order", "limit", "offset", "fetch", "window", "qualify", "union",
    "except", "intersect", "on", "using", "join", "returning",
)
_NO_OPERAND = (
    *_NOT_IN_A_FACTOR, "as", "with", "and", "or", "not", "when", "then", "else", "by", "distinct", "all", "case", "in",
)
_ROW_WORDS = ("null", "true", "false", "cast", "date", "time", "timestamp", "interval", "varchar", "array")
# fmt: on


@dataclass(frozen=True, slots=True)
class Table:
    """A bare name as the input: `key` in lower case, the names that its column aliases give the first columns."""

    key: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class With:
    """The queries of one WITH that can be seen: their text begins and ends here."""

    start: int
    end: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inner:
    """A sub-query in a clause. kind: "exists" (its span begins at EXISTS), "in" (the list of IN), "value"."""

    kind: str
    span: Span
    body: Span


@dataclass(frozen=True, slots=True)
class Recognition:
    """One MATCH_RECOGNIZE. Spans are of the user's text; `clause` is what stands inside its parentheses.

    `names` are the names of columns (and everything else) that the clause has; `word` is where MATCH_RECOGNIZE stands.
    """

    input: Span
    table: Table | None
    word: Span
    clause: Span
    withs: tuple[With, ...]
    inner: tuple[Inner, ...]
    names: frozenset[str]

    @property
    def span(self) -> Span:
        return self.input[0], self.clause[1] + 1


def find(tokens: Tokens) -> list[Recognition]:
    """Every MATCH_RECOGNIZE of a query, inner ones first. Raises QueryError with the place (PatternError in a clause).

    >>> text = "SELECT * FROM trades AS t MATCH_RECOGNIZE (PATTERN (A)) m, (SELECT 1) MATCH_RECOGNIZE (PATTERN (B))"
    >>> [(text[slice(*part.input)], part.table, text[slice(*part.clause)]) for part in find(Tokens(text))]
    [('trades AS t', Table(key='trades', columns=()), 'PATTERN (A)'), ('(SELECT 1)', None, 'PATTERN (B)')]
    """
    found = [part for word in tokens.clauses if (part := _recognition(tokens, word)) is not None]
    return sorted(found, key=lambda part: part.clause[1])


def _recognition(tokens: Tokens, word: int) -> Recognition | None:
    token = tokens[word]
    before = tokens[word - 1] if word else None
    if before is not None and before.is_word("from", "join"):
        raise query_error(tokens.text, "a table is expected before MATCH_RECOGNIZE", (token.start, token.end))
    if before is None or before.is_word(*_NO_OPERAND) or (before.kind == "op" and not before.is_op(")")):
        return None  # a name of the user's: an alias, a function
    closing = tokens.partner[word + 1]
    if closing is None:
        opening = tokens[word + 1]
        rest = Draft(tokens.text).piece(opening.end)
        parse_clause(
            PlacedSource(rest.text, rest, tokens.text)
        )  # most often it is one of its own that is missing
        message = "the parenthesis of MATCH_RECOGNIZE is not closed"
        raise query_error(tokens.text, message, (opening.start, opening.end))
    first = _factor_start(tokens, word)
    _check_factor(tokens, first, word)
    return Recognition(
        input=(tokens[first].start, tokens[word - 1].end),
        table=_table(tokens, first, word),
        word=(token.start, token.end),
        clause=(tokens[word + 1].end, tokens[closing].start),
        withs=_withs(tokens, word, tokens.text[tokens[first].start : token.start]),
        inner=_inner(tokens, word + 1),
        names=frozenset(tokens[i].key for i in range(word + 2, closing) if tokens[i].is_name),
    )


def _factor_start(tokens: Tokens, word: int) -> int:
    """The first token of the table factor that ends before `word`."""
    index = word
    while index > 0:
        token = tokens[index - 1]
        if token.is_op("(", ";") or token.is_word("from", "join"):
            break
        if token.is_op(",") and not _in_values(tokens, index):
            break
        opening = tokens.partner.get(index - 1) if token.is_op(")") else None
        index = index - 1 if opening is None else opening
    return index


def _in_values(tokens: Tokens, index: int) -> bool:
    """Whether the parenthesis at `index` is a later row of a VALUES without parentheses around it."""
    while tokens[index].is_op("(") and index >= 2 and tokens[index - 1].is_op(","):
        opening = tokens.partner.get(index - 2)
        if not tokens[index - 2].is_op(")") or opening is None:
            return False
        index = opening
    return index > 0 and tokens[index].is_op("(") and tokens[index - 1].is_word("values")


def _check_factor(tokens: Tokens, first: int, word: int) -> None:
    at = (tokens[word].start, tokens[word].end)
    if tokens[first].is_word("lateral"):
        message = (
            "LATERAL is not supported as the input of MATCH_RECOGNIZE: it cannot read the tables beside it"
        )
        raise query_error(tokens.text, message, (tokens[first].start, tokens[first].end))
    for index in tokens.level(tokens.group[word], word):
        if index >= first and tokens[index].is_word(*_NOT_IN_A_FACTOR):
            raise query_error(
                tokens.text,
                f"MATCH_RECOGNIZE follows a table, not {tokens[index].key.upper()}: put what it should read "
                "in parentheses, (SELECT …) MATCH_RECOGNIZE (…)",
                at,
            )


def _table(tokens: Tokens, first: int, word: int) -> Table | None:
    """The factor as a bare table: name [[AS] alias [(column, …)]]."""
    part = [tokens[i] for i in range(first, word)]
    if not part[0].is_name or (part[0].kind == "word" and len(part) > 1 and part[1].is_op("(")):
        return None  # a sub-query, a function
    if len(part) > 2 and part[1].is_word("as"):
        del part[1]
    if len(part) == 1 or (len(part) == 2 and part[1].is_name):
        return Table(part[0].key)
    names = part[3:-1]
    if (
        not part[1].is_name
        or not part[2].is_op("(")
        or not part[-1].is_op(")")
        or not all(token.is_name if i % 2 == 0 else token.is_op(",") for i, token in enumerate(names))
        or len(names) % 2 == 0
    ):
        return None  # a.b, alias: table, TABLESAMPLE, …
    written = [tokens.text[token.start : token.end] for token in names[::2]]
    columns = (w[1:-1].replace('""', '"') if w.startswith('"') else w for w in written)
    return Table(part[0].key, tuple(columns))


def _withs(tokens: Tokens, word: int, factor: str) -> tuple[With, ...]:
    """The WITH queries that can be seen from token `word`, those of the outermost query first."""
    found = []
    for opening in tokens.around(word):
        level = tokens.level(opening)
        for place, index in enumerate(level):
            if index >= word:
                break
            if tokens[index].is_word("with"):
                seen = _with(tokens, level, place, word, factor)
                if seen is not None:
                    found.append(seen)
                    break
    return tuple(found)


def _with(tokens: Tokens, level: list[int], place: int, word: int, factor: str) -> With | None:
    """What of the WITH at `level[place]` can be seen from token `word`; None if nothing can, or it is another WITH."""
    start = tokens[level[place]].start
    place += 1
    recursive = place < len(level) and tokens[level[place]].is_word("recursive")
    place += recursive
    names: list[str] = []
    end = start
    while place < len(level) and tokens[level[place]].is_name:
        name = tokens[level[place]]
        # name [(columns)] [USING KEY (…)] AS [[NOT] MATERIALIZED] ( query )
        place += 1
        while place < len(level) and (
            tokens[level[place]].is_op("(", ")") or tokens[level[place]].is_word("using", "key")
        ):
            place += 1
        if place == len(level) or not tokens[level[place]].is_word("as"):
            break
        place += 1
        while place < len(level) and tokens[level[place]].is_word("not", "materialized"):
            place += 1
        if place + 1 >= len(level) or not tokens[level[place]].is_op("("):
            break
        opening, closing = level[place], level[place + 1]
        if word < closing:
            if recursive and word > opening and name.key in Tokens(factor).names():
                message = f"MATCH_RECOGNIZE cannot read {name.key}, the recursive query that it stands in"
                raise query_error(tokens.text, message, (tokens[word].start, tokens[word].end))
            break
        names.append(name.key)
        end = tokens[closing].end
        place += 2
        if place == len(level) or not tokens[level[place]].is_op(","):
            break
        place += 1
    return With(start, end, tuple(names)) if names else None


def _inner(tokens: Tokens, opening: int) -> tuple[Inner, ...]:
    """The sub-queries directly in the clause that `opening` begins."""
    found = []
    index, end = opening + 1, tokens.close(opening)
    while index < end:
        closing = tokens.partner.get(index) if tokens[index].is_op("(") else None
        if closing is not None and tokens[index + 1].is_word("select", "with", "values", "from"):
            before = tokens[index - 1]
            kind = before.key if before.is_word("exists", "in") else "value"
            start = before.start if kind == "exists" else tokens[index].start
            body = (tokens[index].end, tokens[closing].start)
            if kind != "value" or tokens[index + 1].is_word("select", "with"):
                found.append(Inner(kind, (start, tokens[closing].end), body))
                index = closing
        index += 1
    return tuple(found)


def bare_rows(tokens: Tokens) -> list[Span]:
    """The rows of VALUES that the standard writes without parentheses, and DuckDB does not: VALUES 1, 2.

    >>> text = "SELECT * FROM (VALUES 1, (2), abs(3)) t(x)"
    >>> [text[slice(*span)] for span in bare_rows(Tokens(text))]
    ['1', 'abs(3)']
    """
    found = []
    for index, token in enumerate(tokens.list[:-1]):
        first = tokens[index + 1]
        literal = first.kind in ("number", "string") or first.is_word(*_ROW_WORDS)
        if not token.is_word("values") or not literal:
            continue
        row: list[int] = []
        for place in [*(i for i in tokens.level(tokens.group[index]) if i > index), None]:
            if place is None or tokens[place].is_op(",", ";") or tokens[place].is_word(*_NOT_IN_A_FACTOR):
                if row and not tokens[row[0]].is_op("("):
                    found.append((tokens[row[0]].start, tokens[row[-1]].end))
                row = []
                if place is None or not tokens[place].is_op(","):
                    break
            else:
                row.append(place)
    return found
