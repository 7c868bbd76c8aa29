"""The nodes of a pyarrow expression, which Python cannot look into by itself.

An Expression pickles as an Arrow IPC file with one row: a column for each literal and each function's options, and
in the schema's metadata the nodes in order (Arrow's `compute::Serialize`; unchanged since Arrow 4):

    call: and_kleene   call: less   field_ref: x   literal: 0   end: less   ...   end: and_kleene

The keys repeat, so that a dict of the metadata does not have them all; the Arrow C data interface has. What cannot
be read this way (a nested field, a newer form) has no nodes, and is not looked into.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype = ctypes.c_void_p
_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]


class Node(NamedTuple):
    """`kind` is call, options, end, field_ref or literal; `value` the name, or the scalar."""

    kind: str
    value: Any


def nodes_of(expression: pc.Expression) -> list[Node]:
    """The nodes in Polish notation: a call, its arguments, perhaps its options, its end. Empty: they cannot be
    read."""
    try:
        _, (serialised, *_) = expression.__reduce__()
        row = pa.ipc.open_file(serialised).get_batch(0)
    except (pa.ArrowException, TypeError, ValueError):
        return []
    nodes = []
    for key, value in _metadata(row.schema):
        if key in ("literal", "options"):
            nodes.append(Node(key, row.column(int(value))[0]))
        elif key in ("call", "field_ref", "end"):
            nodes.append(Node(key, value))
        else:
            return []
    return nodes


def _metadata(schema: pa.Schema) -> Iterator[tuple[str, str]]:
    """All pairs of the schema's metadata, in order: struct ArrowSchema has format, name, metadata."""
    capsule = schema.__arrow_c_schema__()
    address = ctypes.cast(_pointer(capsule, b"arrow_schema"), ctypes.POINTER(ctypes.c_void_p))[2]
    if not address:
        return
    count, position = ctypes.c_int32.from_address(address).value, address + 4
    texts = []
    for _ in range(2 * count):
        size = ctypes.c_int32.from_address(position).value
        texts.append(ctypes.string_at(position + 4, size).decode())
        position += 4 + size
    yield from zip(texts[::2], texts[1::2], strict=True)
