"""A Delta Lake table: each transaction is a commit, with the position as an application transaction.

    commit = add (a Parquet file of rows)
           + txn("tocsin/streams/trades", after) + txn("tocsin/streams/trades/mark", mark)

The commit is one file in the table's log that is put there whole or not at all. A crash before it leaves a Parquet file
that no commit names (VACUUM takes it away), one after it is a commit like any other: the next sync reads the position
from the table. If another writer has committed the same application's transaction meanwhile, Delta refuses the commit;
other writers (OPTIMIZE, appends of rows of their own) are no obstacle.

Every transaction is a file and a version, so the pace is slow: 10 s, or a million rows.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.types as pat

from .errors import PositionMovedError, SyncError, TargetAwayError
from .fit import Fitting, Nanoseconds, is_leaf
from .target import Pace, Piece, Position, Shape

if TYPE_CHECKING:
    from deltalake import DeltaTable

_SAME: dict[pa.DataType, pa.DataType] = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
    pa.float16(): pa.float32(),
    pa.date64(): pa.date32(),
    pa.null(): pa.string(),
    **{
        kind: kind
        for kind in (
            pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.date32(),
        )
    },
}  # fmt: skip


class DeltaTarget:
    """A Delta Lake table, made if it is missing; rows and position are one commit.

    Args:
        uri: a folder, or "s3://bucket/table" and what else deltalake knows.
        partition_by: columns by which a new table is partitioned.
        storage_options: for deltalake: keys, endpoints.
        nanoseconds: Delta counts microseconds: "exact" refuses a value that is not whole ones, "truncate" cuts them
            off, "bigint" keeps the column as a number of nanoseconds.

    Needs deltalake: ``pip install tocsin[sync]``. A table that is there must have exactly the source's columns and the
    sequence, and be empty or have been filled by a sync of the same stream. On a local disk a commit survives kill -9;
    deltalake does not sync files, so a power failure may take or damage the last ones.

    >>> DeltaTarget("s3://lake/trades")
    DeltaTarget('s3://lake/trades')
    """

    pace = Pace(rows=1_000_000, bytes=128 << 20, interval=10.0)

    def __init__(
        self,
        uri: str | os.PathLike[str],
        *,
        partition_by: Sequence[str] = (),
        storage_options: Mapping[str, str] | None = None,
        nanoseconds: Nanoseconds = "exact",
    ) -> None:
        self._uri = os.fspath(uri)
        self._partition_by = list(partition_by)
        self._options = None if storage_options is None else dict(storage_options)
        self._nanoseconds: Nanoseconds = nanoseconds
        self._fitting: Fitting | None = None
        self._delta: DeltaTable | None = None
        self._app = ""
        self._position: int | None = None

    def open(self, shape: Shape) -> Position | None:
        """See Target."""
        self.close()
        deltalake = _library()
        self._app = f"tocsin/{shape.label}"
        self._fitting = Fitting(shape.schema, rule, str(self), self._nanoseconds)
        unknown = [name for name in self._partition_by if name not in shape.schema.names]
        if unknown:
            raise SyncError(f"{self}: partition_by names {unknown[0]!r}; there are {shape.schema.names}")
        with self._faults("cannot open it"):
            if not deltalake.DeltaTable.is_deltatable(self._uri, storage_options=self._options):
                deltalake.DeltaTable.create(
                    self._uri, self._fitting.schema, mode="error", partition_by=self._partition_by or None,
                    storage_options=self._options,
                )  # fmt: skip
            table = deltalake.DeltaTable(self._uri, storage_options=self._options)
            self._check(table, self._fitting.schema)
            position, mark = self._position_of(table)
            if position is None and table.file_uris():
                raise SyncError(
                    f"{self} has rows, and no position for {shape.label!r}: it is not known which events they are; "
                    "give another table"
                )
        self._delta, self._position = table, position
        return None if position is None else Position(position, mark)

    def write(self, piece: Piece) -> None:
        """See Target."""
        deltalake = _library()
        table = self._delta
        if table is None or self._fitting is None:
            raise TargetAwayError(f"{self} is not open")
        rows = self._fitting.table(piece)
        with self._faults(f"cannot write events {piece.first} to {piece.after - 1}"):
            table.update_incremental()
            if self._position_of(table)[0] != self._position:
                raise PositionMovedError(f"{self}: the position is not {self._position} any more")
            ours = [
                deltalake.Transaction(self._app, piece.after),
                deltalake.Transaction(self._app + "/mark", piece.mark),
            ]
            deltalake.write_deltalake(
                table,
                rows,
                mode="append",
                commit_properties=deltalake.CommitProperties(app_transactions=ours),
            )
        self._position = piece.after

    def close(self) -> None:
        """See Target."""
        self._delta = None

    def __str__(self) -> str:
        return f"Delta table {self._uri!r}"

    def __repr__(self) -> str:
        return f"DeltaTarget({self._uri!r})"

    def _position_of(self, table: DeltaTable) -> tuple[int | None, int | None]:
        return table.transaction_version(self._app), table.transaction_version(self._app + "/mark")

    def _check(self, table: DeltaTable, schema: pa.Schema) -> None:
        wanted = {field.name: str(field.type) for field in _delta_schema(schema)}
        there = {field.name: str(field.type) for field in table.schema().fields}
        faults = [
            f"column {name!r} ({kind}) is missing" for name, kind in wanted.items() if name not in there
        ]
        faults += [
            f"column {name!r} is {there[name]} there, {kind} is needed"
            for name, kind in wanted.items()
            if name in there and there[name] != kind
        ]
        faults += [
            f"column {name!r} ({kind}) is not in the source"
            for name, kind in there.items()
            if name not in wanted
        ]
        if faults:
            raise SyncError(f"{self} does not fit: {'; '.join(faults)}")

    @contextlib.contextmanager
    def _faults(self, what: str) -> Iterator[None]:
        """deltalake's errors as ours."""
        from deltalake import exceptions

        try:
            yield
        except exceptions.CommitFailedError as cause:
            raise PositionMovedError(f"{self}: {what}: {_first_line(cause)}") from cause
        except (exceptions.SchemaMismatchError, exceptions.DeltaProtocolError) as cause:
            raise SyncError(f"{self}: {what}: {_first_line(cause)}") from cause
        except (exceptions.DeltaError, OSError) as cause:
            raise TargetAwayError(f"{self}: {what}: {_first_line(cause)}") from cause


def rule(kind: pa.DataType) -> pa.DataType | None:
    """The type in which Delta keeps a column (fit.Rule).

    >>> rule(pa.uint32()), rule(pa.timestamp("ns", "Europe/Berlin")), rule(pa.duration("s"))
    (DataType(int64), TimestampType(timestamp[us, tz=UTC]), None)
    """
    if kind in _SAME:
        return _SAME[kind]
    if pat.is_string(kind) or pat.is_large_string(kind) or kind == pa.string_view():
        return pa.string() if pat.is_string(kind) else pa.large_string()
    if pat.is_fixed_size_binary(kind) or kind == pa.binary_view() or pat.is_large_binary(kind):
        return pa.large_binary()
    if pat.is_binary(kind):
        return pa.binary()
    if pat.is_timestamp(kind):
        return pa.timestamp("us", kind.tz and "UTC")
    if pat.is_decimal(kind):
        fits = 0 <= kind.scale <= kind.precision <= 38
        return pa.decimal128(kind.precision, kind.scale) if fits else None
    if pat.is_list(kind) or pat.is_large_list(kind) or pat.is_fixed_size_list(kind):
        return kind if is_leaf(kind.value_type) else None
    if pat.is_struct(kind):
        return kind if all(is_leaf(kind.field(i).type) for i in range(kind.num_fields)) else None
    if pat.is_map(kind):
        return kind if is_leaf(kind.key_type) and is_leaf(kind.item_type) else None
    return None


def _delta_schema(schema: pa.Schema) -> list[Any]:
    from deltalake import Schema

    fields: list[Any] = Schema.from_arrow(schema).fields
    return fields


def _first_line(cause: BaseException) -> str:
    return str(cause).strip().partition("\n")[0]


def _library() -> Any:
    try:
        import deltalake
    except ImportError as cause:
        raise ImportError("DeltaTarget needs deltalake: pip install tocsin[sync]", name=cause.name) from cause
    return deltalake
