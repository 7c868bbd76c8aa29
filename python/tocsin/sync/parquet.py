"""A folder of Parquet files, each named by the events that it has; the names are the position.

    trades/00000000000000000000-00000000000000065536.parquet     events 0 to 65 535
           00000000000000065536-00000000000000070000.parquet     events 65 536 to 69 999
           .00000000000000070000-….parquet.tmp                   being written; after a crash the next sync removes it
           _tocsin/LOCK                                          held by the process that writes (local folders)

A file is written aside, made durable, and renamed: it is there whole or not at all, and with it the position. Readers
(pyarrow, Polars, DuckDB, Spark) pass over names that begin with a dot or an underscore. Whose events they are, and the
mark of the last one (mark.py), stand in each file's metadata; the newest file is asked.

Files may be taken away from the front, and put together, as long as the names say what is inside.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from tocsin.errors import StoreError
from tocsin.storage.files import sync_file, sync_folder
from tocsin.storage.lock import StoreLock

from .errors import PositionMovedError, SyncError, TargetAwayError
from .target import Pace, Piece, Position, Shape

_NAME = re.compile(r"(\d{20})-(\d{20})\.parquet")
_ASIDE = re.compile(r"\.\d{20}-\d{20}\.parquet\.tmp")
_SOURCE, _MARK = b"tocsin.source", b"tocsin.mark"


class ParquetTarget:
    """A folder of Parquet files, made if it is missing; a file is a transaction.

    Args:
        folder: on this machine, or inside `filesystem`.
        filesystem: a pyarrow.fs.FileSystem, such as S3FileSystem; None: this machine's.
        compression: of the files: "zstd", "snappy", "lz4", "gzip", "brotli" or "none".

    A column keeps its Arrow type; what Parquet cannot hold is refused by name. On this machine a lock keeps a second
    sync out; elsewhere, see that there is one only.

    >>> ParquetTarget("/data/trades")
    ParquetTarget('/data/trades')
    """

    pace = Pace(rows=1_000_000, bytes=128 << 20, interval=10.0)

    def __init__(
        self,
        folder: str | os.PathLike[str],
        filesystem: pafs.FileSystem | None = None,
        *,
        compression: str = "zstd",
    ) -> None:
        self._folder = os.fspath(folder).rstrip("/") or "/"
        self._local = filesystem is None or isinstance(filesystem, pafs.LocalFileSystem)
        self._files = pafs.LocalFileSystem() if filesystem is None else filesystem
        if self._local:
            self._folder = os.path.abspath(self._folder)
        self._shown = os.fspath(folder)
        self._compression = compression
        self._lock: StoreLock | None = None
        self._shape: Shape | None = None
        self._position: int | None = None

    def open(self, shape: Shape) -> Position | None:
        """See Target."""
        self.close()
        self._check_types(shape)
        with self._faults("cannot open it"):
            self._files.create_dir(self._folder, recursive=True)
            if self._local:
                self._take_lock()
            try:
                found = self._read_position(shape)
            except BaseException:
                self.close()
                raise
        self._shape, self._position = shape, None if found is None else found.next
        return found

    def write(self, piece: Piece) -> None:
        """See Target."""
        if self._shape is None:
            raise TargetAwayError(f"{self} is not open")
        name = f"{piece.first:020d}-{piece.after:020d}.parquet"
        aside, final = f"{self._folder}/.{name}.tmp", f"{self._folder}/{name}"
        metadata = {**(self._shape.schema.metadata or {}), **self._marks(piece)}
        rows = piece.rows.unify_dictionaries().replace_schema_metadata(metadata)
        with self._faults(f"cannot write events {piece.first} to {piece.after - 1}"):
            if not self._local:
                ends = [after for _, after in self._names()]
                if (max(ends) if ends else None) != self._position:
                    raise PositionMovedError(f"{self}: somebody else has written to it")
            with self._files.open_output_stream(aside) as sink:
                pq.write_table(rows, sink, compression=self._compression)
            if self._local:
                _sync(Path(aside))
            self._files.move(aside, final)
            if self._local:
                sync_folder(Path(self._folder))
        self._position = piece.after

    def close(self) -> None:
        """See Target."""
        self._shape = None
        lock, self._lock = self._lock, None
        if lock is not None:
            with contextlib.suppress(OSError):
                lock.release()

    def __str__(self) -> str:
        return f"Parquet folder {self._shown!r}"

    def __repr__(self) -> str:
        return f"ParquetTarget({self._shown!r})"

    def _take_lock(self) -> None:
        inside = Path(self._folder) / "_tocsin"
        inside.mkdir(exist_ok=True)
        try:
            self._lock = StoreLock(inside)
        except StoreError as cause:
            raise TargetAwayError(
                f"{self}: another sync writes to it, or it is not ours to write: {cause}"
            ) from cause

    def _read_position(self, shape: Shape) -> Position | None:
        names = self._names(remove_aside=True)
        end = 0
        for first, after in names:
            if first < end or after <= first:
                raise SyncError(
                    f"{self}: the file of events {first} to {after - 1} has events that another file has too; take one "
                    "of them away"
                )
            end = after
        if not names:
            return None
        first, after = names[-1]
        last = f"{self._folder}/{first:020d}-{after:020d}.parquet"
        try:
            with self._files.open_input_file(last) as file:
                schema = pq.read_schema(file)
        except pa.ArrowInvalid as cause:
            raise SyncError(f"{self}: {last!r} is damaged: {cause}; take it away") from cause
        metadata = dict(schema.metadata or {})
        source = metadata.pop(_SOURCE, b"").decode()
        if source != shape.label:
            raise SyncError(f"{self} keeps {source!r}, not {shape.label!r}; give another folder")
        for field in shape.schema:
            at = schema.get_field_index(field.name)
            there = "missing" if at < 0 else str(schema.field(at).type)
            if at < 0 or schema.field(at).type != field.type:
                raise SyncError(
                    f"{self}: column {field.name!r} is {there} there and {field.type} in the source; give another "
                    "folder"
                )
        for name in schema.names:
            if name not in shape.schema.names:
                raise SyncError(f"{self}: column {name!r} is not in the source; give another folder")
        return Position(after, int(metadata[_MARK]) if _MARK in metadata else None)

    def _names(self, *, remove_aside: bool = False) -> list[tuple[int, int]]:
        found = []
        for info in self._files.get_file_info(pafs.FileSelector(self._folder)):
            match = _NAME.fullmatch(info.base_name)
            if match:
                found.append((int(match[1]), int(match[2])))
            elif remove_aside and _ASIDE.fullmatch(info.base_name):
                self._files.delete_file(info.path)
        return sorted(found)

    def _marks(self, piece: Piece) -> dict[bytes, bytes]:
        assert self._shape is not None
        return {_SOURCE: self._shape.label.encode(), _MARK: str(piece.mark).encode()}

    def _check_types(self, shape: Shape) -> None:
        """Refuses what pyarrow cannot write, or would give back as another type; found by trying."""
        for field in shape.schema:
            column = pa.table({"c": pa.nulls(2, field.type)})
            try:
                sink = pa.BufferOutputStream()
                pq.write_table(column, sink, compression=self._compression)
                back = pq.read_table(pa.BufferReader(sink.getvalue())).schema.field(0).type
            except (pa.ArrowException, OSError) as cause:
                raise SyncError(
                    f"{self}: column {field.name!r} ({field.type}) cannot be kept in Parquet: {cause}"
                ) from cause
            if back != field.type:
                raise SyncError(
                    f"{self}: column {field.name!r} ({field.type}) would be {back} in Parquet; sync a stream or "
                    "trigger without it, or to another target"
                )

    @contextlib.contextmanager
    def _faults(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as cause:  # pyarrow's too
            raise TargetAwayError(f"{self}: {what}: {cause}") from cause
        except pa.ArrowException as cause:
            raise SyncError(f"{self}: {what}: {cause}") from cause


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDWR)
    try:
        sync_file(fd)
    finally:
        os.close(fd)
