"""Events as one Parquet file, for others to read, and back, as they were.

    rows        sorted by the look-up columns, the time column and the sequence: a key's rows lie together
    sequence    one more column, int64, `sequence` (or with underscores behind, if the stream has that column)
    encoding    dictionaries, ZSTD, statistics, checksums of pages; row groups of 65 536 rows

What Parquet does not have is stored as something that it has (`plain_type`) and turned back by the stream's schema;
of a column of dictionaries the values are stored, and `dress` makes dictionaries of them again. Nothing is taken on
trust: `encode` reads its own bytes again and compares every value, so that a column that Parquet would change (a
month-day-nano interval, an ordered dictionary) keeps its events out of Parquet instead.

A reader gets the bytes through `BlockFile`, which checks the CRC-32 of every block it hands out: damage anywhere, a
footer's too, is an error and never a wrong row.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from tocsin.errors import StoreError

GROUP_ROWS = 65_536
BLOCK_BYTES = 256 * 1024

Sums = npt.NDArray[np.uint32]


class BlockError(Exception):
    """Some bytes are not those that were written."""


def sequence_name(schema: pa.Schema) -> str:
    """What the column of sequences is called beside these columns."""
    name = "sequence"
    while schema.get_field_index(name) >= 0:
        name += "_"
    return name


def encode(
    table: pa.Table, sequences: npt.NDArray[np.int64], sort_by: Sequence[str], metadata: dict[str, str]
) -> tuple[pa.Buffer, pa.Table]:
    """The bytes of a Parquet file with these events; and the events in its order, in plain types, with their sequences
    as last column.

    Raises StoreError: a column cannot be kept as Parquet without a change.
    """
    import pyarrow.parquet as pq

    name = sequence_name(table.schema)
    numbers = pa.array(sequences)
    for field in table.schema:
        if pat.is_dictionary(field.type) and field.type.ordered:
            raise StoreError(
                f"column {field.name!r} ({field.type}): Parquet would lose the order of the values"
            )
    sink = pa.BufferOutputStream()
    try:
        order = _order([one(table.column(by)) for by in sort_by], numbers)
        arrays = [one(column).take(order) for column in table.columns] + [numbers.take(order)]
        fields = [*map(_plain_field, table.schema), pa.field(name, pa.int64(), nullable=False)]
        schema = pa.schema(fields, metadata={**(table.schema.metadata or {}), **metadata})
        plain = pa.table(arrays, schema=schema)
        flat = not any(pat.is_nested(field.type) for field in schema)
        pq.write_table(
            plain,
            sink,
            row_group_size=GROUP_ROWS,
            compression="zstd",
            write_page_checksum=True,
            use_dictionary=schema.names[:-1] if flat else True,
            column_encoding={name: "DELTA_BINARY_PACKED"} if flat else None,
        )
        data = sink.getvalue()
        again = decode(data, table.schema, table.schema.names, None)
    except (pa.ArrowException, OSError) as cause:
        raise StoreError(f"the events cannot be kept as Parquet: {cause}") from cause
    for field, array, back in zip(fields, arrays, again.columns, strict=True):
        if not _same(one(back), array):
            raise StoreError(
                f"column {field.name!r} ({field.type}) cannot be kept as Parquet without a change"
            )
    return data, plain


def decode(source: Any, schema: pa.Schema, columns: Sequence[str], groups: Sequence[int] | None) -> pa.Table:
    """Columns of some row groups (None: all) in plain types, and the sequences as last column."""
    import pyarrow.parquet as pq

    name = sequence_name(schema)
    # Neighbouring pieces are fetched together: over a network each fetch is a wait.
    source = pa.BufferReader(source) if isinstance(source, pa.Buffer) else source
    with pq.ParquetFile(source, pre_buffer=True) as file:
        chosen = range(file.metadata.num_row_groups) if groups is None else groups
        raw = file.read_row_groups(list(chosen), columns=[*columns, name])
    fields = [_plain_field(schema.field(column)) for column in columns]
    # Parquet has no seconds, they come as milliseconds.
    arrays = [raw.column(field.name).cast(field.type) for field in fields]
    fields.append(pa.field(name, pa.int64(), nullable=False))
    return pa.table([*arrays, raw.column(name)], schema=pa.schema(fields))


def dress(table: pa.Table, schema: pa.Schema) -> list[pa.RecordBatch]:
    """The plain table with the stream's types: several batches, if one dictionary has no room for all values."""
    fields = [schema.field(name) for name in table.schema.names]
    try:
        arrays = [wear(one(column), f.type) for column, f in zip(table.columns, fields, strict=True)]
    except pa.ArrowInvalid:
        if table.num_rows <= 1:
            raise
        half = table.num_rows // 2
        return dress(table.slice(0, half), schema) + dress(table.slice(half), schema)
    return [pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields, metadata=schema.metadata))]


def _plain_field(field: pa.Field) -> pa.Field:
    return pa.field(field.name, plain_type(field.type), field.nullable)


def block_sums(data: pa.Buffer) -> Sums:
    """The CRC-32 of every block of the file."""
    view = memoryview(data)
    sums = [zlib.crc32(view[at : at + BLOCK_BYTES]) for at in range(0, len(view), BLOCK_BYTES)]
    return np.array(sums, "<u4")


class BlockFile(io.RawIOBase):
    """A file read in whole blocks, each checked before a byte of it is handed out.

    Args:
        source: an open pyarrow file that can seek.
        size: what it had when it was written.
        sums: of its blocks; None: believe it.
    """

    def __init__(self, source: Any, size: int, sums: Sums | None) -> None:
        super().__init__()
        self._source, self._size, self._sums = source, size, sums
        self._position = 0
        self._first, self._window = 0, memoryview(b"")  # the blocks read last
        self.fault: BlockError | None = None
        if source.size() != size:
            self._refuse(f"it has {source.size()} bytes, {size} were written")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Fewer bytes only where the file ends."""
        end = self._size if size < 0 else min(self._position + size, self._size)
        if end <= self._position:
            return b""
        start, self._position = self._position, end
        first, after = start // BLOCK_BYTES, -(-end // BLOCK_BYTES)
        if not (self._first <= first and after * BLOCK_BYTES <= self._first * BLOCK_BYTES + self._covered()):
            self._fetch(first, after)
        offset = start - self._first * BLOCK_BYTES
        return bytes(self._window[offset : offset + end - start])

    def close(self) -> None:
        if not self.closed:
            self._source.close()
        super().close()

    def _covered(self) -> int:
        """So far the window goes, the end of a short last block rounded up."""
        return -(-len(self._window) // BLOCK_BYTES) * BLOCK_BYTES

    def _fetch(self, first: int, after: int) -> None:
        start = first * BLOCK_BYTES
        wanted = min(after * BLOCK_BYTES, self._size) - start
        self._source.seek(start)
        window = memoryview(self._source.read(wanted))
        if len(window) != wanted:
            self._refuse(f"it ends before byte {start + wanted}")
        if self._sums is not None:
            for block in range(first, after):
                at = (block - first) * BLOCK_BYTES
                if zlib.crc32(window[at : at + BLOCK_BYTES]) != self._sums[block]:
                    self._refuse(f"bytes from {block * BLOCK_BYTES} on are not those that were written")
        self._first, self._window = first, window

    def _refuse(self, why: str) -> None:
        self.fault = BlockError(why)  # Arrow may word what it is raised inside of
        raise self.fault


def _order(keys: list[pa.Array], numbers: pa.Array) -> pa.Array:
    """In which order the rows go into the file. A key that Arrow cannot sort by is passed over."""
    sortable = []
    for key in keys:
        array = key.cast(pa.float32()) if pat.is_float16(key.type) else key
        try:
            pc.sort_indices(array.slice(0, 0))
        except (pa.ArrowNotImplementedError, pa.ArrowTypeError):
            continue
        sortable.append(array)
    names = [f"k{number}" for number in range(len(sortable) + 1)]
    return pc.sort_indices(
        pa.table([*sortable, numbers], names=names), sort_keys=[(name, "ascending") for name in names]
    )


def one(column: pa.ChunkedArray) -> pa.Array:
    """The column in one piece, in its plain type; of dictionaries the values, as no one index may have room for
    all."""
    whole = pa.chunked_array(
        [_plain(chunk) for chunk in column.chunks], plain_type(column.type)
    ).combine_chunks()
    return whole if isinstance(whole, pa.Array) else whole.chunk(0)


def plain_type(kind: pa.DataType) -> pa.DataType:
    """As what a column of this type goes into the file: something that every Parquet writer, and `take`, knows."""
    if isinstance(kind, pa.BaseExtensionType):
        return plain_type(kind.storage_type)
    if pat.is_run_end_encoded(kind) or pat.is_dictionary(kind):
        return plain_type(kind.value_type)
    if kind == pa.date64():
        return pa.timestamp("ms")  # its milliseconds need not be whole days
    return {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}.get(kind, kind)


def _plain(array: pa.Array) -> pa.Array:
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return _plain(array.storage)
    if pat.is_run_end_encoded(kind):
        return _plain(pc.run_end_decode(array))
    if pat.is_dictionary(kind):
        return _plain(array.dictionary).take(array.indices)  # decoding knows no views
    return array.view(plain_type(kind)) if kind == pa.date64() else array.cast(plain_type(kind))


def wear(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """A plain column as one of the stream's type; ArrowInvalid: a dictionary's index has no room for all values."""
    if isinstance(kind, pa.BaseExtensionType):
        return kind.wrap_array(wear(array, kind.storage_type))
    if pat.is_run_end_encoded(kind):
        return pc.run_end_encode(wear(array, kind.value_type), run_end_type=kind.run_end_type)
    if pat.is_dictionary(kind):
        encoded = array.dictionary_encode()
        values = wear(encoded.dictionary, kind.value_type)
        return pa.DictionaryArray.from_arrays(encoded.indices.cast(kind.index_type), values)
    return array.view(kind) if kind == pa.date64() else array.cast(kind)


def _same(one: pa.Array, other: pa.Array) -> bool:
    """Whether the values are the same, NaN and all, whatever dictionaries say them."""
    kind = one.type
    if kind != other.type or len(one) != len(other):
        return False
    if isinstance(one, pa.ExtensionArray):
        return _same(one.storage, other.storage)
    if pat.is_dictionary(kind):  # inside of another type
        return _same(one.dictionary_decode(), other.dictionary_decode())
    if pat.is_run_end_encoded(kind):
        return _same(pc.run_end_decode(one), pc.run_end_decode(other))
    if pat.is_floating(kind):
        bits = {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[kind.bit_width]
        return one.view(bits).equals(other.view(bits))
    if one.equals(other):
        return True
    if not one.is_valid().equals(other.is_valid()):
        return False
    if pat.is_struct(kind):
        return all(_same(a, b) for a, b in zip(one.flatten(), other.flatten(), strict=True))
    if pat.is_list(kind) or pat.is_large_list(kind) or pat.is_fixed_size_list(kind):
        lengths = [pc.list_value_length(a) for a in (one, other)]
        return lengths[0].equals(lengths[1]) and _same(one.flatten(), other.flatten())
    return False
