"""Navigation: which row a column, a CLASSIFIER or a MATCH_NUMBER is read from, as IR nodes and leaves.

PREV, NEXT, FIRST and LAST are pushed down to the columns of their argument: the walk over an expression carries a
`Where`, the navigations around, and each column becomes one read there. A read is logical first (the `offset`-th of
the rows of a variable, from the front or the back), then physical (so many rows of the partition on from there).

In MEASURES every read is a leaf. In DEFINE of v the row in question is provisionally of v, which makes it the last
row so far of v, of any SUBSET with v and of the universal variable. So of those
- LAST(x, 0), which is what x alone means, is the row itself: a "column" node, with PREV and NEXT as its lag;
- LAST(x, k) is the k-1-th last of the rows before it, and FIRST(x, k) may be the row itself (Leaf.current);
- CLASSIFIER() is the name of v, and PREV(CLASSIFIER()) that of the row of the match before: rows of a match have no
  gap between them.
Of the other variables all rows lie before it, and every read is a leaf. In the argument of an aggregate a column is
a "column" node of lag 0: the aggregate says of which rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal as Choice

import pyarrow as pa

from tocsin.compile.ir import CLASSIFIER, MATCH_NUMBER, Leaf, Node, Nodes, kernel_kind, value_type
from tocsin.compile.scope import Columns, Variables
from tocsin.errors import PatternError
from tocsin.language.expression import Aggregate, Classifier, Column, Expression, MatchNumber, Navigate
from tocsin.language.source import Span

OFFSET_MAX = 2**31 - 1  # rows are counted in 32 bits


@dataclass(frozen=True, slots=True)
class Where:
    """Where an expression stands, and what its columns mean there.

    `mode`: "condition" (of a trigger) and "key" (of PARTITION BY, ORDER BY) have no pattern around; "define" is the
    definition of `variable`, by its number. `title` names the place in messages. `kind` and `offset` are those of the
    FIRST or LAST around, `step` is the PREV or NEXT around and `physical` its rows (PREV: negative). `final`: over the
    whole match, not RUNNING. `aggregate`: the function whose argument it is. `any_type`: also columns that the
    kernel cannot read may stand here, because a library computes what is around.
    """

    mode: Choice["condition", "key", "define", "measure"]
    title: str
    variable: int = -1
    final: bool = True
    kind: Choice["first", "last"] | None = None
    offset: int = 0
    step: Choice["prev", "next"] | None = None
    physical: int = 0
    aggregate: str | None = None
    any_type: bool = False


class Leaves:
    """The leaves of a clause's measures, or of its definitions, each once."""

    __slots__ = ("_numbers", "list")

    def __init__(self) -> None:
        self.list: list[Leaf] = []
        self._numbers: dict[object, int] = {}

    def node(self, leaf: Leaf, nodes: Nodes, span: Span) -> Node:
        """The node that reads `leaf`."""
        # Arguments by identity, which is equality: 0.0 and -0.0 are equal to Python only.
        key = (replace(leaf, arguments=()), tuple(map(id, leaf.arguments)))
        number = self._numbers.setdefault(key, len(self.list))
        if number == len(self.list):
            self.list.append(leaf)
        return nodes.make("leaf", leaf.type, (), number, span)


class Reads:
    """Makes the nodes that read rows; `measured` and `defined` collect the leaves.

    `rows`: with "one" RUNNING and FINAL are the same, and every leaf of a measure is final.
    """

    __slots__ = ("columns", "defined", "measured", "nodes", "rows", "schema", "source", "variables")

    def __init__(
        self, columns: Columns, variables: Variables, nodes: Nodes, rows: Choice["one", "all"] = "one"
    ) -> None:
        self.columns = columns
        self.schema: pa.Schema = columns.schema
        self.source = columns.source
        self.variables = variables
        self.nodes = nodes
        self.rows = rows
        self.measured = Leaves()
        self.defined = Leaves()

    def error(self, message: str, span: Span) -> PatternError:
        """The error for `message` at `span`, to be raised."""
        return self.source.error(message, span)

    def leaf(self, leaf: Leaf, where: Where, span: Span) -> Node:
        """The node that reads `leaf` at this place."""
        leaves = self.defined if where.mode == "define" else self.measured
        return leaves.node(leaf, self.nodes, span)

    # What is read ----------------------------------------------------------------------------------------

    def column(self, e: Column, where: Where) -> Node:
        """A column, of the row that `where` says."""
        mask = self.mask(e.variable, where, e.span)
        index = self.columns.find(e, self.variables)
        type = value_type(self.schema.field(index).type)
        if pa.types.is_null(type):
            return self.nodes.make("const", type, (), None, e.span)
        if kernel_kind(type) is None and not where.any_type:
            raise self.error(
                f"the column '{self.schema.field(index).name}' of type {self.schema.field(index).type} cannot be "
                "read in an expression: convert it before the match",
                e.span,
            )
        return self._read(index, type, mask, where, e.span)

    def classifier(self, e: Classifier, where: Where) -> Node:
        """The variable of the row that `where` says."""
        self.pattern_needed("CLASSIFIER", where, e.span)
        mask = self.mask(e.variable, where, e.span)
        if where.aggregate is None:
            if where.mode == "define" and self._is_current(mask, where):
                if where.physical >= 0:  # the row itself; the rows behind it are of no match yet
                    name = self.variables.names[where.variable] if where.physical == 0 else None
                    return self.nodes.make("const", pa.string(), (), name, e.span)
                mask = self.variables.everything
            if mask == self.variables.everything and where.kind != "first" and where.physical < 0:
                where = replace(where, offset=where.offset - where.physical, physical=0)
        return self._read(CLASSIFIER, pa.string(), mask, where, e.span)

    def match_number(self, e: MatchNumber, where: Where) -> Node:
        """The number of the match, which is that of every row of it."""
        self.pattern_needed("MATCH_NUMBER", where, e.span)
        if where.aggregate is not None:
            return self.nodes.make("column", pa.int64(), (), (MATCH_NUMBER, 0), e.span)
        return self.leaf(Leaf("match_number", self.variables.everything, -1, 0, pa.int64()), where, e.span)

    def _read(self, column: int, type: pa.DataType, mask: int, where: Where, span: Span) -> Node:
        if where.mode in ("condition", "key") or where.aggregate is not None:
            return self.nodes.make("column", type, (), (column, 0), span)
        kind, offset, final, current = where.kind or "last", where.offset, where.final, False
        if where.mode == "define":
            final = True
            if self._is_current(mask, where):
                return self.nodes.make("column", type, (), (column, -where.physical), span)
            if self.is_of(where.variable, mask):
                current = kind == "first"
                offset -= kind == "last"
        if column == CLASSIFIER and kind == "last" and offset == 0 and where.physical == 0:
            return self.leaf(Leaf("classifier", mask, -1, 0, type, final=final), where, span)
        return self.leaf(Leaf(kind, mask, column, offset, type, where.physical, final, current), where, span)

    def _is_current(self, mask: int, where: Where) -> bool:
        """Whether a read of `mask`, in DEFINE, is of the row in question (and from there physically)."""
        return self.is_of(where.variable, mask) and where.kind != "first" and where.offset == 0

    @staticmethod
    def is_of(variable: int, mask: int) -> bool:
        """Whether the variable of this number is one of `mask`."""
        return variable >= 0 and bool(mask >> variable & 1)

    # What may stand where --------------------------------------------------------------------------------

    def mask(self, variable: str | None, where: Where, span: Span) -> int:
        """The rows that a reference is to, as a bit mask of variables."""
        if variable is not None and where.mode in ("condition", "key"):
            raise self.error(
                f"{where.title} has no pattern variables, so '{variable}.' means nothing here", span
            )
        return self.variables.mask(variable, span)

    def pattern_needed(self, name: str, where: Where, span: Span) -> None:
        """Refuses what has no meaning outside DEFINE and MEASURES."""
        if where.mode == "condition":
            raise self.error(f"{name} needs a pattern: a condition reads one row by itself", span)
        if where.mode == "key":
            raise self.error(f"{name} means nothing in {where.title}, which reads one row by itself", span)

    def is_final(self, semantics: str | None, name: str, where: Where, span: Span) -> bool:
        """Whether a function is computed over the whole match; `semantics` is what the text says before it."""
        if where.mode == "define" and semantics == "final":
            raise self.error(
                f"FINAL {name} in DEFINE: the match is not known yet while its rows are still being found",
                span,
            )
        return self.rows == "one" or semantics == "final"

    def inside(self, e: Navigate, where: Where) -> Where:
        """What the argument of a navigation means. Raises PatternError for all that SQL has no meaning for."""
        name = e.kind.upper()
        self.pattern_needed(name, where, e.span)
        if where.aggregate is not None:
            raise self.error(
                f"{name} inside {where.aggregate}: an aggregate reads one row after the other, and navigation "
                "has no place in its argument",
                e.span,
            )
        if not 0 <= e.offset <= OFFSET_MAX:
            raise self.error(f"{name} takes a number of rows from 0 to {OFFSET_MAX}, not {e.offset}", e.span)
        if (
            where.kind is None and where.step is None
        ):  # what is true of the outermost argument is of all within
            self._check_argument(e, name)
        final = self.is_final(e.semantics, name, where, e.span)
        if e.kind in ("first", "last"):
            if where.kind is not None:
                raise self.error(
                    f"{name} inside {where.kind.upper()} means nothing: FIRST and LAST do not nest", e.span
                )
            # What stands around is about rows of the partition; the text's RUNNING or FINAL is here.
            # RUNNING tells LAST where to begin; FIRST begins at the match's first row all the same (as in Trino).
            return replace(
                where,
                kind=e.kind,
                offset=e.offset,
                final=final or (e.kind == "first" and where.mode == "measure"),
            )
        if where.kind is not None:
            raise self.error(
                f"{name} inside {where.kind.upper()}: PREV and NEXT can only stand around FIRST and LAST",
                e.span,
            )
        if where.step is not None:
            hint = f": {name} takes a number of rows, {name}(x, 2)" if where.step == e.kind else ""
            raise self.error(
                f"{name} inside {where.step.upper()} means nothing: PREV and NEXT do not nest{hint}", e.span
            )
        if e.kind == "next":
            return replace(where, step="next", physical=e.offset)
        return replace(where, step="prev", physical=-e.offset)

    def _check_argument(self, e: Navigate, name: str) -> None:
        self.one_variable((e.argument,), name)
        parts = walk(e.argument)
        aggregate = next((p for p in parts if isinstance(p, Aggregate)), None)
        if aggregate is not None:
            raise self.error(
                f"{aggregate.function.upper()} inside {name}: an aggregate is a value of many rows, and {name} "
                "goes to one",
                aggregate.span,
            )
        if not any(isinstance(part, (Column, Classifier)) for part in parts):
            raise self.error(f"{name} needs a column in its argument", e.span)

    def one_variable(self, arguments: tuple[Expression, ...], name: str) -> str | None:
        """The variable that the columns of these arguments are of: the standard wants one for all, or none."""
        found = [p for a in arguments for p in walk(a) if isinstance(p, (Column, Classifier))]
        for part in found[1:]:
            if part.variable != found[0].variable:
                said = [
                    f"'{p.variable}'" if p.variable is not None else "no variable" for p in (found[0], part)
                ]
                raise self.error(
                    f"the argument of {name} mixes columns of {said[0]} and of {said[1]}; they must be of one",
                    part.span,
                )
        return found[0].variable if found else None


def walk(e: Expression) -> list[Expression]:
    """`e` and all below it, parents first."""
    found: list[Expression] = []
    stack = [e]
    while stack:
        part = stack.pop()
        found.append(part)
        stack.extend(reversed(part.children()))
    return found
