"""Event files for the command line: open by suffix, read in batches; write matches as they come.

    suffix                      reads                               writes
    .parquet .pq                batch by batch                      yes
    .arrow .feather .ipc        batch by batch (file or stream)     yes, as an IPC file
    .csv .tsv                   block by block                      yes
    .ndjson .jsonl              whole                               yes

A text file may be compressed: .csv.gz, .csv.zst, .ndjson.bz2. The types of a text file's columns are taken
from its first block (CSV, 8 MiB) or from all of it (NDJSON).

A file is written under a temporary name and renamed when it is whole: an interrupted or failed run leaves
what was there before.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

BATCH_ROWS = 65_536
_CSV_BLOCK_BYTES = 8 << 20
_COMPRESSED = {".gz", ".bz2", ".zst", ".lz4"}
_FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".csv": "csv",
    ".tsv": "tsv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
}


class FileError(Exception):
    """A file that cannot be read or written as asked; the message names it and the remedy."""


def format_of(path: Path) -> str:
    """Returns "parquet", "arrow", "csv", "tsv" or "ndjson" by the name of a file.

    Raises
    ------
    FileError
        The suffix is none of those.

    Examples
    --------
    >>> format_of(Path("trades.csv.gz"))
    'csv'
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    if not suffixes or suffixes[-1] not in _FORMATS:
        raise FileError(f"{path}: cannot tell the format by the suffix; known are {' '.join(_FORMATS)}")
    return _FORMATS[suffixes[-1]]


class EventFile:
    """A file of events: its schema, and its batches once.

    Parameters
    ----------
    path : Path
        The file; its suffix says the format.

    Attributes
    ----------
    schema : pyarrow.Schema
        The columns.
    rows : int or None
        How many events there are, where the file says so.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: int | None = None
        self._bytes: IO[Any] | None = None
        kind = format_of(path)
        if path.is_dir():
            raise FileError(f"{path} is a folder; name one file")
        try:
            self.schema, self._batches = getattr(self, f"_open_{'csv' if kind == 'tsv' else kind}")()
        except pa.ArrowInvalid as error:
            raise FileError(f"{path} is no {kind} file, or it is damaged: {error}") from error

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._batches
        except pa.ArrowInvalid as error:
            raise FileError(f"{self.path}: {error}") from error

    def fraction(self) -> float | None:
        """How much of the file has been read (0 to 1), where only the position in bytes tells."""
        size = self.path.stat().st_size
        return self._bytes.tell() / size if self._bytes is not None and size else None

    def _open_parquet(self) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        file = pq.ParquetFile(self.path)
        self.rows = file.metadata.num_rows
        return file.schema_arrow, file.iter_batches(batch_size=BATCH_ROWS)

    def _open_arrow(self) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        source = pa.memory_map(str(self.path))
        try:
            file = pa.ipc.open_file(source)
        except pa.ArrowInvalid:
            source.seek(0)
            stream = pa.ipc.open_stream(source)
            self._bytes = source
            return stream.schema, iter(stream)
        return file.schema, (file.get_batch(i) for i in range(file.num_record_batches))

    def _text(self) -> Any:
        self._bytes = pa.OSFile(str(self.path))
        compression = pa.Codec.detect(str(self.path)).name if self.path.suffix in _COMPRESSED else None
        return pa.CompressedInputStream(self._bytes, compression) if compression else self._bytes

    def _open_csv(self) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        stream = pa_csv.open_csv(
            self._text(),
            read_options=pa_csv.ReadOptions(block_size=_CSV_BLOCK_BYTES),
            parse_options=pa_csv.ParseOptions(delimiter="\t" if format_of(self.path) == "tsv" else ","),
            convert_options=pa_csv.ConvertOptions(
                null_values=["", "NA", "null", "NULL"], strings_can_be_null=True
            ),
        )
        return stream.schema, iter(stream)

    def _open_ndjson(self) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        table = pa_json.read_json(self._text())
        self.rows, self._bytes = table.num_rows, None
        return table.schema, iter(table.to_batches(max_chunksize=BATCH_ROWS))


class MatchFile:
    """A file of matches, written batch by batch and renamed into place by `close`.

    Parameters
    ----------
    path : Path
        The file; its suffix says the format.
    schema : pyarrow.Schema
        The columns of the matches.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        if path.suffix.lower() in _COMPRESSED:
            raise FileError(f"{path}: matches are written uncompressed; leave out {path.suffix}")
        kind = format_of(path)
        if path.is_dir():
            raise FileError(f"{path} is a folder; name a file in it")
        self._path = path
        self._partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        self._close, self._write = _open_writer(kind, self._partial, schema)

    def write(self, matches: pa.RecordBatch) -> None:
        """Appends some matches."""
        if matches.num_rows:
            self._write(matches)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        if error is None:
            self._partial.replace(self._path)
        else:
            with suppress(FileNotFoundError):
                self._partial.unlink()


def write_csv(matches: pa.Table, sink: IO[bytes]) -> None:
    """Writes a table as CSV, header first."""
    pa_csv.write_csv(matches, sink)


def _open_writer(
    kind: str, path: Path, schema: pa.Schema
) -> tuple[Callable[[], None], Callable[[pa.RecordBatch], None]]:
    """Opens a file for matches; returns what closes it and what writes one batch."""
    if kind == "ndjson":
        file = path.open("w", encoding="utf-8")

        def write_lines(matches: pa.RecordBatch) -> None:
            for row in matches.to_pylist():
                file.write(json.dumps(row, default=str, ensure_ascii=False) + "\n")

        return file.close, write_lines
    if kind == "parquet":
        writer: Any = pq.ParquetWriter(path, schema)
    elif kind == "arrow":
        writer = pa.ipc.new_file(str(path), schema)
    else:
        options = pa_csv.WriteOptions(delimiter="\t" if kind == "tsv" else ",")
        writer = pa_csv.CSVWriter(str(path), schema, write_options=options)
    return writer.close, writer.write_batch if kind == "parquet" else writer.write
