"""Columns of Arrow types as a target can hold them; what it cannot hold is refused by name.

A target says for each type what it becomes (`Rule`); here it is done, table by table. The encoding is taken off first
(dictionaries, runs, extension types), then the values are cast, and a cast that would change a value is an error that
names the column: nothing is rounded in silence. Two targets count microseconds where Arrow may count nanoseconds; for
these the user can say what is to become of the rest:

    nanoseconds="exact"      an error when a value is not whole microseconds
    nanoseconds="truncate"   the rest is cut off
    nanoseconds="bigint"     the column is an integer: nanoseconds, since 1970 for a timestamp
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from .errors import SyncError
from .target import Piece

Nanoseconds = Literal["exact", "truncate", "bigint"]
Rule = Callable[[pa.DataType], pa.DataType | None]


class Fitting:
    """How the rows of one schema become a target's.

    Args:
        schema: of the rows as they come.
        rule: the target's type for a plain type (no dictionary, run or extension); None: it has none.
        target: for messages.
        nanoseconds: see the module.

    Raises:
        SyncError: names the column that cannot go.
    """

    def __init__(
        self, schema: pa.Schema, rule: Rule, target: str, nanoseconds: Nanoseconds = "exact"
    ) -> None:
        if nanoseconds not in ("exact", "truncate", "bigint"):
            raise SyncError(f'nanoseconds={nanoseconds!r}: "exact", "truncate" or "bigint"')
        self._target = target
        self._cut = nanoseconds == "truncate"
        fields = []
        for field in schema:
            plain = plain_type(field.type)
            wanted = rule(plain)
            if counts_nanoseconds(plain) and nanoseconds == "bigint":
                wanted = pa.int64()
            if wanted is None:
                raise SyncError(
                    f"{target}: column {field.name!r} is {field.type}, which cannot be kept there; sync a stream or "
                    "trigger without it, or to another target"
                )
            fields.append(pa.field(field.name, wanted, nullable=field.nullable))
        self.schema = pa.schema(fields)

    def table(self, piece: Piece) -> pa.Table:
        """The rows as the target takes them; SyncError for a value that it would not keep as it is."""
        columns = []
        for column, field in zip(piece.rows.columns, self.schema, strict=True):
            try:
                columns.append(self._convert(column, field.type))
            except pa.ArrowException as cause:
                hint = ""
                if counts_nanoseconds(plain_type(column.type)):
                    hint = (
                        '; nanoseconds="truncate" cuts them off, nanoseconds="bigint" keeps them as a number'
                    )
                raise SyncError(
                    f"{self._target}: column {field.name!r} ({column.type}) has a value among events {piece.first} to "
                    f"{piece.after - 1} that cannot be kept as {field.type}: {cause}{hint}"
                ) from cause
        return pa.Table.from_arrays(columns, schema=self.schema)

    def _convert(self, column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
        column = pa.chunked_array([_plain(chunk) for chunk in column.chunks], plain_type(column.type))
        if column.type == wanted:
            return column
        if wanted == pa.int64() and counts_nanoseconds(column.type):
            return column.cast(pa.int64())
        return column.cast(wanted, safe=not (self._cut and counts_nanoseconds(column.type)))


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type without extension, dictionary and runs around it.

    >>> plain_type(pa.dictionary(pa.int8(), pa.string()))
    DataType(string)
    """
    while True:
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        elif pat.is_dictionary(kind) or pat.is_run_end_encoded(kind):
            kind = kind.value_type
        else:
            return kind


def counts_nanoseconds(kind: pa.DataType) -> bool:
    """Whether it is a time of any kind in nanoseconds."""
    is_time = pat.is_timestamp(kind) or pat.is_duration(kind) or pat.is_time64(kind)
    return is_time and kind.unit == "ns"


def is_leaf(kind: pa.DataType) -> bool:
    """Whether a target may be given lists of it as they are: no conversion inside lists."""
    return (
        pat.is_boolean(kind)
        or kind in (pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64())
        or pat.is_string(kind)
        or pat.is_large_string(kind)
        or pat.is_binary(kind)
        or pat.is_large_binary(kind)
    )


def _plain(column: pa.Array) -> pa.Array:
    while True:
        if isinstance(column.type, pa.BaseExtensionType):
            column = column.storage
        elif pat.is_dictionary(column.type):
            column = column.dictionary_decode()
        elif pat.is_run_end_encoded(column.type):
            column = pc.run_end_decode(column)
        else:
            return column
