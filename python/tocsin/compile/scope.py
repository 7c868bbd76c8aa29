"""Scope: the columns of a schema by name, and the errors of names that are not there."""

from __future__ import annotations

import pyarrow as pa

from tocsin.language.expression import Column
from tocsin.language.source import Source, listed, nearest


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

    def find(self, column: Column, variables: tuple[str, ...] = ()) -> int:
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

    def _unknown(self, column: Column, variables: tuple[str, ...]) -> str:
        message = f"there is no column '{_short(column.name)}': "
        if not column.quoted and column.name.upper() in variables:
            return f"{message}it is a pattern variable, of which one column can be read, {column.name}.column"
        names = list(self.schema.names)
        guess = nearest(column.name, names)
        if guess is not None:
            message += f"did you mean '{guess}'? "
        return message + f"The columns are {listed(names)}"


def _short(name: str) -> str:
    return name if len(name) <= 60 else name[:60] + "…"
