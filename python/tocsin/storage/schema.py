"""A stream's schema: how it is kept, and how batches are made to fit it.

`schema.arrow` is one schema message in a frame of ours (frame.py): readable by any Arrow reader as a stream
without batches, and guarded by the frame's sum. The stream's name and time column ride along in the schema's
metadata under `tocsin.stream` and `tocsin.time`; each segment begins with the same message, so that a lost
schema.arrow can be had back from any of them.

A batch fits when it has the stream's columns by name, in any order, with the same types up to the *encoding*
of text and bytes: utf8, large_utf8 and string_view, plain or dictionary, are one kind (producers choose among
them freely from batch to batch), and so are the three binaries. Nothing else is cast: int32 for int64 is a
drift of the schema that somebody should hear of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from tocsin.errors import SchemaError, StoreError

from .files import replace_file, store_error
from .frame import METADATA_BYTES_MAX, decode_schema, encode_schema
from .segment import list_segments
from .times import is_time_type

FILE = "schema.arrow"
_STREAM_KEY, _TIME_KEY, _LOOKUP_KEY = b"tocsin.stream", b"tocsin.time", b"tocsin.lookup"
# Views share whole buffers with what they were sliced from; up to here a copy is not worth it.
_VIEW_SLACK_BYTES = 64 * 1024


def check_lookup(name: str, schema: pa.Schema, lookup: tuple[str, ...]) -> None:
    """Raise SchemaError for look-up columns that a stream of this schema cannot have."""
    for number, column in enumerate(lookup):
        at = schema.get_field_index(column)
        if at < 0 or column in lookup[:number]:
            what = "twice" if at >= 0 else f"not among {schema.names}"
            raise SchemaError(f"stream {name!r}: look-up column {column!r} is {what}")
        kind = schema.field(at).type
        if pa.types.is_nested(kind.value_type if pa.types.is_dictionary(kind) else kind):
            raise SchemaError(f"stream {name!r}: look-up column {column!r} is {kind}; it must not be nested")


def check_schema(name: str, schema: pa.Schema, time: str | None) -> None:
    """Raise SchemaError for a schema that no stream can have."""
    if not isinstance(schema, pa.Schema):
        raise SchemaError(
            f"stream {name!r}: the schema must be a pyarrow.Schema, not {type(schema).__name__}"
        )
    if not schema.names:
        raise SchemaError(f"stream {name!r}: a schema without columns has nothing to store")
    twice = sorted({column for column in schema.names if schema.names.count(column) > 1})
    if twice:
        raise SchemaError(f"stream {name!r}: column {twice[0]!r} occurs twice; rename one of them")
    if time is None:
        return
    if time not in schema.names:
        raise SchemaError(f"stream {name!r}: there is no time column {time!r} among {schema.names}")
    if not is_time_type(schema.field(time).type):
        raise SchemaError(
            f"stream {name!r}: time column {time!r} is {schema.field(time).type}; "
            "it must be a timestamp, a date or an integer (not uint64)"
        )


def key_values(stream: str, schema: pa.Schema, column: str, wanted: Any) -> pa.Array:
    """What `scan(keys={column: wanted})` asks for: an array of the column's type (a dictionary's values')."""
    at = schema.get_field_index(column)
    if at < 0:
        raise SchemaError(f"stream {stream!r}: keys= names column {column!r}; there are {schema.names}")
    kind = schema.field(at).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    values = wanted if isinstance(wanted, (list, tuple, set, pa.Array)) else [wanted]
    try:
        found = values.cast(kind) if isinstance(values, pa.Array) else pa.array(list(values), kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as wrong:
        raise SchemaError(f"stream {stream!r}: keys= for column {column!r} ({kind}): {wrong}") from None
    if found.null_count:
        raise SchemaError(f"stream {stream!r}: keys= for column {column!r} has a null, which equals nothing")
    return found


def difference(ours: pa.Schema, theirs: pa.Schema) -> str:
    """What stands in the way between two schemas, in words."""
    faults = []
    for field in ours:
        at = theirs.get_field_index(field.name)
        if at < 0:
            faults.append(f"column {field.name!r} ({field.type}) is missing")
        elif theirs.field(at).type != field.type:
            faults.append(f"column {field.name!r} is {field.type} in the store, {theirs.field(at).type} here")
        elif theirs.field(at).nullable != field.nullable:
            faults.append(f"column {field.name!r} is {'' if field.nullable else 'not '}nullable in the store")
    faults += [
        f"column {field.name!r} ({field.type}) is not in the store"
        for field in theirs
        if ours.get_field_index(field.name) < 0
    ]
    if not faults and ours.names != theirs.names:
        faults.append(f"the columns' order is {ours.names} in the store, {theirs.names} here")
    return "; ".join(faults)


class Fitter:
    """Makes data fit one stream's schema; what can be decided from the schema is decided once, here."""

    def __init__(self, name: str, schema: pa.Schema) -> None:
        self._name = name
        self._schema = schema
        self._required = [i for i, field in enumerate(schema) if not field.nullable]
        self._shared = [
            i for i, field in enumerate(schema) if _is_view(field.type) or pat.is_dictionary(field.type)
        ]

    def batches(self, data: Any) -> list[pa.RecordBatch]:
        """Anything that speaks Arrow, or a dict of arrays, as batches of the stream's schema."""
        name = self._name
        if isinstance(data, pa.RecordBatch):
            return [self._fit(data)]
        try:
            if isinstance(data, Mapping):
                data = pa.table({key: _column(value) for key, value in data.items()})
            elif hasattr(data, "__arrow_c_array__"):
                return [self._fit(pa.record_batch(data))]
            elif hasattr(data, "__arrow_c_stream__"):
                data = pa.table(data)
            else:
                raise SchemaError(
                    f"stream {name!r}: cannot store a {type(data).__name__}; give an Arrow batch or table, "
                    "a data frame that speaks Arrow (__arrow_c_stream__), or a dict of arrays"
                )
        except (pa.ArrowException, TypeError) as cause:
            raise SchemaError(
                f"stream {name!r}: the data cannot be read as an Arrow table: {cause}"
            ) from cause
        if not data.num_rows:  # an empty table has no batches, and must fit all the same
            return [self._fit(pa.RecordBatch.from_pylist([], schema=data.schema))]
        return [self._fit(batch) for batch in data.combine_chunks().to_batches()]

    def _fit(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if not batch.schema.equals(self._schema):
            batch = _cast(self._name, batch, self._schema)
        for i in self._required:
            nulls = batch.column(i).null_count
            if nulls:
                column = self._schema.names[i]
                raise SchemaError(
                    f"stream {self._name!r}: column {column!r} has {nulls} nulls and is not nullable"
                )
        for i in self._shared:
            column = batch.column(i)
            compact = _compact(column)
            if compact is not column:
                batch = batch.set_column(i, self._schema.field(i), compact)
        return batch


def has_dictionaries(kind: pa.DataType) -> bool:
    """Whether a dictionary hides anywhere in the type."""
    if pat.is_dictionary(kind):
        return True
    if isinstance(kind, pa.BaseExtensionType):
        return has_dictionaries(kind.storage_type)
    if pat.is_run_end_encoded(kind):
        return has_dictionaries(kind.value_type)
    return any(has_dictionaries(kind.field(i).type) for i in range(kind.num_fields))


def save_schema(
    folder: Path, name: str, schema: pa.Schema, time: str | None, lookup: tuple[str, ...]
) -> None:
    """Write schema.arrow, whole or not at all."""
    replace_file(folder / FILE, [encode_schema(stored_schema(name, schema, time, lookup), 0)])


def stored_schema(name: str, schema: pa.Schema, time: str | None, lookup: tuple[str, ...]) -> pa.Schema:
    """The schema with the stream's name, time column and look-up columns in its metadata."""
    ours = {_STREAM_KEY: name.encode()} | ({} if time is None else {_TIME_KEY: time.encode()})
    if lookup:
        ours[_LOOKUP_KEY] = json.dumps(lookup).encode()
    return schema.with_metadata({**(schema.metadata or {}), **ours})


def load_schema(folder: Path, name: str) -> tuple[pa.Schema, str | None, tuple[str, ...], bool]:
    """(schema, time column, look-up columns, whether schema.arrow was whole); StoreError when no copy is left."""
    try:
        sources = [folder / FILE, *(path for _, path in list_segments(folder))]
    except OSError as cause:
        raise store_error(f"stream {name!r}: cannot read", folder, cause) from cause
    for source in sources:
        try:
            stored = decode_schema(_first_message(source))
        except FileNotFoundError:
            continue
        except OSError as cause:
            raise store_error(f"stream {name!r}: cannot read", source, cause) from cause
        if stored is None or (stored.metadata or {}).get(_STREAM_KEY) != name.encode():
            continue
        metadata = dict(stored.metadata)
        del metadata[_STREAM_KEY]
        time = metadata.pop(_TIME_KEY, None)
        lookup = tuple(json.loads(metadata.pop(_LOOKUP_KEY, b"[]")))
        schema = stored.with_metadata(metadata or None)
        return schema, None if time is None else time.decode(), lookup, source.name == FILE
    raise StoreError(
        f"stream {name!r}: {str(folder / FILE)!r} is missing or damaged, and no segment has a copy"
    )


def _first_message(path: Path) -> bytes:
    with path.open("rb") as file:
        start = file.read(8)
        return start + file.read(min(int.from_bytes(start[4:8], "little"), METADATA_BYTES_MAX))


def _column(value: Any) -> Any:
    return value if isinstance(value, (pa.Array, pa.ChunkedArray)) else pa.array(value)


def _cast(name: str, batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    names = batch.schema.names
    fits = len(names) == len(schema) and set(names) == set(schema.names)
    fits = fits and all(_same_kind(batch.schema.field(f.name).type, f.type) for f in schema)
    if not fits:
        why = difference(schema, batch.schema) or "a column occurs twice"
        raise SchemaError(f"stream {name!r}: the batch does not fit: {why}")
    arrays = []
    for field in schema:
        column = batch.column(field.name)
        try:
            arrays.append(_encode_as(column, field.type))
        except pa.ArrowException as cause:
            raise SchemaError(
                f"stream {name!r}: column {field.name!r} ({column.type}) "
                f"cannot be stored as {field.type}: {cause}"
            ) from cause
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _encode_as(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type == kind:
        return column
    if pat.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not pat.is_dictionary(kind):
        return column.cast(kind)
    return _dictionary(column.cast(kind.value_type), kind)


def _dictionary(column: pa.Array, kind: pa.DataType) -> pa.Array:
    encoded = column.dictionary_encode()
    indices = encoded.indices.cast(kind.index_type)
    return pa.DictionaryArray.from_arrays(indices, encoded.dictionary, ordered=kind.ordered)


def _same_kind(given: pa.DataType, wanted: pa.DataType) -> bool:
    return given == wanted or (_family(given) is not None and _family(given) == _family(wanted))


def _family(kind: pa.DataType) -> str | None:
    if pat.is_dictionary(kind):
        kind = kind.value_type
    if pat.is_string(kind) or pat.is_large_string(kind) or kind == pa.string_view():
        return "text"
    if pat.is_binary(kind) or pat.is_large_binary(kind) or kind == pa.binary_view():
        return "bytes"
    return None


def _is_view(kind: pa.DataType) -> bool:
    return kind in (pa.string_view(), pa.binary_view())


def _compact(column: pa.Array) -> pa.Array:
    """The same values without the parent's: views drop foreign text, slices foreign dictionary values."""
    if pat.is_dictionary(column.type):
        if len(column.dictionary) <= max(len(column), 256) or column.type.ordered:
            return column  # an ordered dictionary's order is data
        return _dictionary(column.dictionary_decode(), column.type)
    _, views, *shared = column.buffers()
    held = sum(buffer.size for buffer in shared if buffer is not None)
    if views is None or held <= _VIEW_SLACK_BYTES:
        return column
    # A view is 16 bytes, the first four of them the text's length.
    lengths = np.frombuffer(views, "<i4", 4 * len(column), 16 * column.offset)[::4]
    if held <= 2 * int(lengths.sum(dtype=np.int64)):
        return column
    plain = pa.large_string() if column.type == pa.string_view() else pa.large_binary()
    return column.cast(plain).cast(column.type)
