"""The mark of an event: 63 bits by which a target knows the last event that it was given.

A position is a number, and a number fits every log. A store that was deleted and made anew, or brought back from a
backup, has other events at the same sequences; a target would take them for the continuation of what it has. So each
target keeps, with its position, the mark of the event before it. When a sync resumes, the source's event must have the
same one.

    mark = (((0 * M + hash of column 1) * M + hash of column 2) * M + ...) mod 2^64 >> 1,   M = 0x9E3779B97F4A7C15

over the columns of the types below, in the order of the schema; the hashes are `tocsin_core.owner.value_hashes`, as in
the store's format. Marks lie in targets for years: neither the list of types nor the formula may change.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.types as pat

from tocsin.storage.keys import hashes_of

_FACTOR = 0x9E3779B97F4A7C15
_MASK = 2**64 - 1


def mark_of(batch: pa.RecordBatch, row: int) -> int:
    """The mark of one row of a batch; columns that are not hashed count as absent.

    >>> batch = pa.record_batch({"n": [1, 2, 1], "word": ["a", "a", "a"]})
    >>> mark_of(batch, 0) == mark_of(batch, 2), mark_of(batch, 0) == mark_of(batch, 1)
    (True, False)
    """
    total = 0
    for column in batch.slice(row, 1).columns:
        if _is_marked(column.type):
            total = (total * _FACTOR + int(hashes_of(column)[0])) & _MASK
    return total >> 1


def _is_marked(kind: pa.DataType) -> bool:
    if pat.is_dictionary(kind):
        kind = kind.value_type
    return (
        pat.is_boolean(kind)
        or pat.is_integer(kind)
        or pat.is_float32(kind)
        or pat.is_float64(kind)
        or pat.is_date(kind)
        or pat.is_timestamp(kind)
        or pat.is_string(kind)
        or pat.is_large_string(kind)
        or kind == pa.string_view()
    )
