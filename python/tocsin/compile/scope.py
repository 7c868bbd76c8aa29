"""Scope: the columns of a schema and the variables of a pattern by name, and the errors of names that are not there."""

from __future__ import annotations

import pyarrow as pa

from tocsin.errors import PatternError
from tocsin.language.expression import Column
from tocsin.language.pattern import RowPattern
from tocsin.language.pattern import variables as variables_of
from tocsin.language.source import Source, Span, listed, nearest
from tocsin.sql.clause import Subset

VARIABLES_MAX = 64  # a row's conditions and a leaf's variables are one 64-bit mask


class Variables:
    """The variables of a pattern, numbered as they are first met, and the union variables of SUBSET.

    `names` holds the former; `mask` knows both. `everything` is the mask of the universal variable: all rows.
    """

    __slots__ = ("_masks", "everything", "names", "source")

    def __init__(
        self,
        pattern: RowPattern | None = None,
        subsets: tuple[Subset, ...] = (),
        source: Source | None = None,
    ) -> None:
        self.source = source or Source("")
        spans: dict[str, Span] = {}
        if pattern is not None:
            for variable in variables_of(pattern):
                spans.setdefault(variable.name, variable.span)
        self.names = tuple(spans)
        if len(self.names) > VARIABLES_MAX:
            name = self.names[VARIABLES_MAX]
            raise self.source.error(
                f"PATTERN has more than {VARIABLES_MAX} different variables; '{name}' is one too many",
                spans[name],
            )
        self.everything = (1 << len(self.names)) - 1
        self._masks = {name: 1 << number for number, name in enumerate(self.names)}
        for subset in subsets:
            self._masks[subset.name] = self._union(subset)

    def _union(self, subset: Subset) -> int:
        if subset.name in self.names:
            raise self.source.error(
                f"SUBSET '{subset.name}' has the name of a variable of PATTERN", subset.span
            )
        if subset.name in self._masks:
            raise self.source.error(f"SUBSET '{subset.name}' is given twice", subset.span)
        mask = 0
        spans = subset.spans or (subset.span,) * len(subset.members)
        for member, span in zip(subset.members, spans, strict=True):
            if member not in self.names:
                if member in self._masks:
                    wrong = (
                        f"SUBSET '{subset.name}' has '{member}', a subset itself, and a subset is made of "
                        "variables of PATTERN"
                    )
                else:
                    wrong = f"SUBSET '{subset.name}' has '{member}', which is not in PATTERN"
                raise self.source.error(
                    f"{wrong}: {self._guess(member, list(self.names))}Its variables are "
                    f"{listed(list(self.names))}",
                    span,
                )
            if mask & self._masks[member]:
                raise self.source.error(f"SUBSET '{subset.name}' has '{member}' twice", span)
            mask |= self._masks[member]
        return mask

    def __contains__(self, name: object) -> bool:
        return name in self._masks

    def __len__(self) -> int:
        return len(self.names)

    def mask(self, name: str | None, span: Span) -> int:
        """The bit mask of a variable or subset; None: the universal variable. Raises PatternError at `span`."""
        if name is None:
            return self.everything
        found = self._masks.get(name)
        if found is None:
            raise self.unknown(f"'{name}' is no variable of PATTERN", name, span)
        return found

    def defined(self, name: str, span: Span) -> int:
        """The number of the variable that DEFINE names. Raises PatternError at `span`."""
        if name in self.names:
            return self.names.index(name)
        if name in self._masks:
            raise self.source.error(
                f"DEFINE of '{name}', which is a SUBSET: the rows of a subset are those of its variables",
                span,
            )
        guess = self._guess(name, list(self.names))
        raise self.source.error(
            f"DEFINE of '{name}', which is not in PATTERN: {guess}Its variables are {listed(list(self.names))}",
            span,
        )

    def unknown(self, message: str, name: str, span: Span) -> PatternError:
        """The error, to be raised, that `name` is none of the variables; `message` says of what."""
        known = list(self._masks)
        return self.source.error(
            f"{message}: {self._guess(name, known)}Its variables are {listed(known)}", span
        )

    @staticmethod
    def _guess(name: str, known: list[str]) -> str:
        guess = nearest(name, known)
        return f"did you mean '{guess}'? " if guess else ""


class Columns:
    """Finds a column as SQL does: the exact name first, then, unless it was quoted, in any case."""

    __slots__ = ("_exact", "_folded", "schema", "source")

    def __init__(self, schema: pa.Schema, source: Source) -> None:
        self.schema = schema
        self.source = source
        self._exact: dict[str, list[int]] = {}
        self._folded: dict[str, list[int]] = {}
        for index, name in enumerate(schema.names):
            self._exact.setdefault(name, []).append(index)
            self._folded.setdefault(name.casefold(), []).append(index)

    def find(self, column: Column, variables: Variables | None = None) -> int:
        """The index of `column`. Raises PatternError if there is none or more than one."""
        found = self._exact.get(column.name, [])
        if not found and not column.quoted:
            found = self._folded.get(column.name.casefold(), [])
        if len(found) == 1:
            return found[0]
        if found:
            names = listed([f"'{self.schema.field(i).name}' (number {i})" for i in found])
            raise self.source.error(
                f"the column '{column.name}' is ambiguous: there are {names}", column.span
            )
        raise self.source.error(self._unknown(column, variables), column.span)

    def _unknown(self, column: Column, variables: Variables | None) -> str:
        message = f"there is no column '{_short(column.name)}': "
        if variables is not None and not column.quoted and column.name.upper() in variables:
            return f"{message}it is a pattern variable, of which one column can be read, {column.name}.column"
        names = list(self.schema.names)
        guess = nearest(column.name, names)
        if guess is not None:
            message += f"did you mean '{guess}'? "
        return message + f"The columns are {listed(names)}"


def _short(name: str) -> str:
    return name if len(name) <= 60 else name[:60] + "…"
